"""Which values leave for other people's programs, in which order, unit and pace: the section ``[output]``."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import StateSpace, StepRecord, output_dtype, places_in, struct_of

PER_M = {"m": 1.0, "dm": 10.0, "cm": 100.0, "mm": 1000.0}
INPUTS = ("bin_index", "device_time_s", "host_time_ns", "stale")


def vector_names(space: StateSpace) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the names and units of the numbers in each vector of a step's output."""
    kinematics, units = space.kinematics, space.kinematics_units
    target = (*space.units, space.units[0])
    vectors = dict.fromkeys(("cursor", "decoded"), (kinematics, units))
    return {**vectors, "target": (space.target, target), "intended": (space.velocities, units[space.n_axes :])}


def default_names(space: StateSpace) -> list[str]:
    """Return what leaves when the configuration says nothing: cursor, decoded state, target, safety state."""
    vectors = vector_names(space)
    named = [f"{vector}_{name}" for vector in ("cursor", "decoded", "target") for name in vectors[vector][0]]
    return [*named, "safety_state"]


class OutputValues:
    """The chosen values of a step, as a list of numbers.

    Parameters
    ----------
    config : Config
        Section output.

    Attributes
    ----------
    labels : dict
        Each value's name, in order, with its unit.

    Raises
    ------
    BadInput
        When a value is unknown; the sentence names the nearest.
    """

    def __init__(self, config: Config):
        space, layout = config.space, output_dtype(config.space)
        self._read = struct_of(layout).unpack_from
        places, wanted = places_in(layout), config.output.values or default_names(space)
        unit, per_m = config.output.unit, PER_M.get(config.output.unit, config.output.pixels_per_m)
        known: dict[str, tuple[int, float, str]] = {}
        for vector, (names, units) in vector_names(space).items():
            for offset, (name, own) in enumerate(zip(names, units, strict=True)):
                length = own.split("/")[0] == "m"
                known[f"{vector}_{name}"] = (
                    places[vector].start + offset,
                    per_m if length else 1.0,
                    own.replace("m", unit, 1) if length else own,
                )
        for name, field in (("safety_state", "safety"), ("trial_state", "trial_state"), ("trial", "trial")):
            known[name] = (places[field].start, 1.0, "")
        if space.click:
            known["clicked"] = (places["clicked"].start, 1.0, "")
        self.labels: dict[str, str] = {}
        self._parts: list[tuple[int, float] | Callable[[StepRecord], float]] = []
        for name in wanted:
            self._add(name, known)

    def _add(self, name: str, known: dict[str, tuple[int, float, str]]) -> None:
        if name in known:
            place, scale, unit = known[name]
            self._parts.append((place, scale))
            self.labels[name] = unit
        elif name in INPUTS:
            self._parts.append(lambda record, name=name: float(getattr(record.input, name)[0]))  # type: ignore[misc]
            self.labels[name] = {"device_time_s": "s", "host_time_ns": "ns"}.get(name, "")
        else:
            names = [*known, *INPUTS]
            near = difflib.get_close_matches(name, names, 1)
            raise BadInput(
                f"output.values holds '{name[:60]}', which is not a value"
                + (f"; the nearest one is '{near[0]}'" if near else f"; there are: {', '.join(names)}")
            )

    def of(self, record: StepRecord) -> list[float]:
        """Return the values of one step."""
        out = self._read(record.output_bytes)
        return [part(record) if callable(part) else out[part[0]] * part[1] for part in self._parts]


class Thinned:
    """Says which bins leave when ``output.rate_hz`` is lower than the bins' own rate."""

    def __init__(self, rate_hz: float, bin_s: float):
        self._step = rate_hz * bin_s if rate_hz else 1.0
        self._due = 1.0

    def due(self) -> bool:
        """Return whether this bin's values are to be sent; call once per bin."""
        if self._step >= 1.0:
            return True
        self._due += self._step
        if self._due < 1.0 - 1e-9:
            return False
        self._due -= 1.0
        return True


class NoFaster:
    """Holds a stream that names a rate to it: bins come faster than time passes where data that were held up return.

    A sender that answers every sample (an encoder in a closed loop) would answer the surplus, too, and go on doing so.

    Parameters
    ----------
    rate_hz : float
        A part in a thousand more passes, so that a device whose clock is quick loses nothing, and so does a burst.
    """

    def __init__(self, rate_hz: float):
        self._per_ns, self._most = 1.001e-9 * rate_hz, max(0.1 * rate_hz, 2.0)
        self._left, self._before_ns = self._most, 0

    def due(self, host_ns: int) -> bool:
        """Return whether the values of a bin that closed at this host time may leave; call once per bin."""
        passed_ns = max(host_ns - self._before_ns, 0) if self._before_ns else 0
        self._left, self._before_ns = min(self._left + passed_ns * self._per_ns, self._most), host_ns
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
