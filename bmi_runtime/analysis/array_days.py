"""Sessions of several days as counts of the same units: what the stability of an array is judged from."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.analysis.stability import Day, Reference, Stability, day
from bmi_runtime.analysis.stability_cost import Cost, expected_cost
from bmi_runtime.encoding.artifacts import mostly_missing
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import known_counts
from bmi_runtime.recording.model_file import load_model


def read_day(path: pathlib.Path, seconds: float = 0.0) -> Day:
    """Return the counts of a session (``.mcap``) or of a data file; of its first `seconds` only, if that is not 0.

    Bins without fresh data are left out.

    Raises
    ------
    BadInput
        When it holds no bin with data.
    """
    if path.suffix != ".mcap":
        from bmi_runtime.sources.datafile import load_recording

        recording = load_recording(path)
        counts, bin_s = np.asarray(recording.counts), recording.bin_s
        usable, names = np.ones(len(counts), bool), [str(unit) for unit in range(counts.shape[1])]
        likelihood = "poisson" if (counts >= 0).all() and (counts == np.round(counts)).all() else "gaussian"
    else:
        counts, usable, bin_s, names, likelihood = _session(path)
    stop = round(seconds / bin_s) if seconds else len(counts)
    found = day(path.name, counts[:stop], usable[:stop], bin_s, names, likelihood)
    if not len(found.counts):
        raise BadInput(f"{path} holds no bin with data")
    return found


def _session(path):
    from bmi_runtime.recording.reader import Recording

    recording = Recording(path)
    data = recording.header.get("config")
    if not isinstance(data, dict):
        raise BadInput(f"{path} has no configuration in its header, so the width of its bins is not known")
    config = configuration.from_dict(configuration.as_recorded(data), str(path))
    counts = known_counts(recording.column("input", "counts"))
    usable = recording.column("input", "stale") == 0
    names = recording.header.get("unit_names") or config.session.unit_names
    names = names or [str(unit) for unit in range(counts.shape[1])]
    gone = mostly_missing(counts[usable])
    counts, names = np.delete(counts, gone, axis=1), np.delete(names, gone).tolist()
    return counts, usable, config.bin_s, names, config.session.likelihood


def common_units(days: Sequence[Day]) -> tuple[list[Day], list[str], list[str]]:
    """Return the days with the units that all of them have, those that are new today, and those that are gone.

    Raises
    ------
    BadInput
        When no unit is in all of them, or they are counts on one day and features, or features of other bins, on
        another.
    """
    *references, today = days
    for one in references:
        _same_kind(one, today)
    shared = [name for name in today.units if all(name in one.units for one in references)]
    if not shared:
        raise BadInput(f"{today.name} has none of the reference's units: their names differ (session.unit_names)")
    kept = []
    for one in days:
        at = {name: unit for unit, name in enumerate(one.units)}
        kept.append(dataclasses.replace(one, counts=one.counts[:, [at[n] for n in shared]], units=tuple(shared)))
    before = set().union(*(one.units for one in references))
    return kept, [n for n in today.units if n not in before], sorted(before - set(today.units))


def _same_kind(one: Day, today: Day) -> None:
    kinds = {"poisson": "spike counts", "gaussian": "features"}
    if one.likelihood != today.likelihood:
        raise BadInput(
            f"{one.name} holds {kinds[one.likelihood]}, {today.name} {kinds[today.likelihood]}: they cannot be compared"
        )
    if one.likelihood == "gaussian" and abs(one.bin_s - today.bin_s) > 1e-9:
        raise BadInput(
            f"{one.name} has features in bins of {1000 * one.bin_s:g} ms, {today.name} of {1000 * today.bin_s:g} ms: "
            "they have another noise and scale"
        )


@dataclasses.dataclass(frozen=True)
class Known:
    """The newest reference session's model, for the units that are judged, and its decoder's settings."""

    model: EncodingModel
    config: configuration.Config

    @property
    def tuning(self) -> np.ndarray | None:
        """Gains per dm/s, (units, axes); None when the units are not tuned to velocity."""
        place = self.model.regressors.places.get("velocity")
        return self.model.weights[place].T if place is not None else None

    def cost(self, found: Stability, reference: Reference) -> Cost | None:
        """Return what the change costs (None when the units are not tuned to velocity)."""
        if self.tuning is None:
            return None
        decoder, rate = self.config.decoder, self.config.adapter.learning_rate
        prior = (decoder.velocity_sd_m_s, decoder.velocity_time_constant_s)
        return expected_cost(found, reference, self.model, *prior, rate)


def reference_model(paths: Sequence[pathlib.Path], units: Sequence[str]) -> Known | None:
    """Return the model of the last reference session that has one, or None (data files have none)."""
    for path in reversed(paths):
        if path.suffix == ".mcap":
            from bmi_runtime.recording.reader import Recording

            data = Recording(path).header["config"]
            config = configuration.from_dict(configuration.as_recorded(data), str(path))
            return Known(_of_units(load_model(path), units), config)
    return None


def _of_units(model: EncodingModel, units: Sequence[str]) -> EncodingModel:
    at = {name: unit for unit, name in enumerate(model.names)}
    rows = [at[name] for name in units]
    return EncodingModel(
        model.weights[:, rows],
        model.covariance[:, rows],
        model.likelihood,
        model.bin_s,
        model.noise_variance[rows],
        regressors=model.regressors,
    )
