"""Stimulation trials out of a session's recording, ready for the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.analysis.perturbation.schedule import LEFT_OUT, SHAM, STIMULATE, trial_responses
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import without_missing


def stimulation_of(recording: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Return the units that were stimulated, the assignments (trials, units), the bins stimulated, and the events.

    Raises
    ------
    BadInput
        When the recording holds no stimulation.
    """
    events = [message for _, message in recording.messages("event") if message["name"] == "stimulation"]
    if not events:
        raise BadInput(f"{recording.path} holds no stimulation (stimulation.enabled was off)")
    units = np.unique([unit for event in events for unit in (*event["stimulate"], *event["sham"])]).astype(int)
    column = {unit: index for index, unit in enumerate(units.tolist())}
    assignments = np.full((len(events), len(units)), LEFT_OUT, np.int8)
    for trial, event in enumerate(events):
        assignments[trial, [column[unit] for unit in event["stimulate"]]] = STIMULATE
        assignments[trial, [column[unit] for unit in event["sham"]]] = SHAM
    bins = np.array([event["bin"] for event in events]) - recording.first_bin + 1  # done in the bin after
    return units, assignments, bins, events


def recorded_trials(recording: Any, after_s: float = 0.05, delay_s: float = 0.0) -> dict[str, np.ndarray]:
    """Return assignments, treatments and outcomes of the stimulation trials in a recording.

    Parameters
    ----------
    recording : bmi_runtime.recording.reader.Recording
    after_s, delay_s : float
        Window of the outcome after the bin that was stimulated.

    Returns
    -------
    dict of ndarray
        ``units`` (k,): the units that were perturbed; ``assignments`` (trials, k): 1 stimulated, 0 sham, -1 left out;
        ``treatments`` (trials, k): spikes of those units in the stimulated bin; ``outcomes`` (trials, units): spikes of
        every unit in the window after it.

    Raises
    ------
    BadInput
        When the recording holds no stimulation, or no trial with its whole window.
    """
    units, assignments, bins, _ = stimulation_of(recording)
    inputs = recording.steps()["input"]
    bin_s = float(np.median(np.diff(inputs["device_time_s"])))
    onsets_s = bins * bin_s
    usable = inputs["stale"] == 0
    found = trial_responses(without_missing(inputs["counts"]), bin_s, onsets_s, after_s, delay_s, valid=usable)
    return {
        "units": units,
        "assignments": assignments[found.kept],
        "treatments": found.during[:, units].astype(float),
        "outcomes": found.after.astype(float),
    }
