"""Stimulated data out of files: sessions of the runtime, or counts and the schedule that was run."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime.analysis.glm.files import open_npz
from bmi_runtime.analysis.perturbation.judging import StimulatedCounts, Truth, truth_of
from bmi_runtime.analysis.perturbation.recorded import stimulation_of
from bmi_runtime.analysis.perturbation.schedule import load_schedule
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import without_missing


def read_stimulated(path, schedule=None) -> StimulatedCounts:
    """Return the stimulated counts in `path`: an ``.mcap`` session, or an ``.npz`` with the `schedule` that was run.

    Raises
    ------
    BadInput
        When there was no stimulation, or what is needed is not there.
    """
    path = pathlib.Path(path)
    if path.suffix == ".mcap":
        return _of_session(path)
    arrays = open_npz(str(path), ("counts", "bin_s"))
    if schedule is None:
        raise BadInput(f"give the schedule that was run while {path} was recorded (--schedule FILE.npz)")
    plan, bin_s = load_schedule(schedule), float(arrays["bin_s"])
    counts = arrays["counts"]
    if counts.ndim != 2 or plan.units.max() >= counts.shape[1]:
        raise BadInput(f"the schedule stimulates unit {plan.units.max()}; counts in {path} are of shape {counts.shape}")
    order = np.argsort(plan.units)
    bins = np.floor(plan.onsets_s / bin_s + 1e-9).astype(int)
    return StimulatedCounts(counts, bins, plan.units[order], plan.assignments[:, order], plan.pulses, bin_s)


def _of_session(path: pathlib.Path) -> StimulatedCounts:
    from bmi_runtime.recording.reader import Recording

    recording = Recording(path)
    units, assignments, bins, events = stimulation_of(recording)
    inputs = recording.steps()["input"]
    bin_s = float(np.median(np.diff(inputs["device_time_s"])))
    stale = np.concatenate([[0], np.cumsum(inputs["stale"] != 0)])
    ends = np.minimum(bins + round(0.2 / bin_s), len(stale) - 1)
    fresh = stale[ends] == stale[np.minimum(bins, len(stale) - 1)]  # no gap in the response
    pulses = int(events[0]["pulses"])
    return StimulatedCounts(without_missing(inputs["counts"]), bins[fresh], units, assignments[fresh], pulses, bin_s)


def read_truth(path, units: int) -> Truth:
    """Return the true connections of a network whose first `units` units are recorded.

    They are ``true_coupling``, ``weights`` or ``connectivity`` of an ``.npz``.

    Raises
    ------
    BadInput
        When there is none, or it does not have as many units as the fit.
    """
    arrays = open_npz(str(path))
    for name in ("true_coupling", "weights", "connectivity"):
        if name in arrays:
            values = np.asarray(arrays[name])
            if values.ndim not in (2, 3) or min(values.shape[:2]) < units:
                raise BadInput(f"{name} in {path} is of shape {values.shape}; the fit has {units} units")
            return truth_of(np.abs(values).max(axis=2) if values.ndim == 3 else values, units)
    raise BadInput(f"{path} has no true_coupling, weights or connectivity; it has {', '.join(arrays) or 'nothing'}")
