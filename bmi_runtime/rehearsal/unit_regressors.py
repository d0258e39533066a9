"""The movement as units may be tuned to it: every regressor at every lead, and the sets to choose from."""

from __future__ import annotations

import numpy as np

from bmi_runtime.intention.paths import intended_path
from bmi_runtime.rehearsal.pilot import Pilot
from bmi_runtime.rehearsal.world import FittedSubject

LEADS_S = (-0.1, 0.0, 0.1, 0.2)
"""By how much the movement of an arm follows its units, where no cursor says when it was intended; some units follow
the movement.
"""


def arm_leads(pilot: Pilot) -> list[int]:
    """Return by how many bins units may run ahead of an arm's movement, smallest first; a session's intention by none.

    The intention of a world that is fitted to an arm's movement is that of the largest lead.
    """
    return sorted({round(lead / pilot.bin_s) for lead in LEADS_S}) if pilot.velocity is not None else [0]


def kinematics(pilot: Pilot, subject: FittedSubject) -> dict[str, tuple[np.ndarray, int]]:
    """Return every regressor that units may be tuned to, by name, in dm/s and dm, with the lag behind the intention."""
    from bmi_runtime.constants import DM_PER_M

    found: dict[str, tuple[np.ndarray, int]] = {}
    axes = range(pilot.axes)
    if pilot.velocity is None:
        assert pilot.seen is not None and pilot.target is not None
        velocity = DM_PER_M * intended_path(subject.mean, pilot.seen, pilot.target, pilot.bin_s)
        leads = [0]
        position: np.ndarray | None = DM_PER_M * pilot.seen
    else:
        velocity = DM_PER_M * filled(pilot.velocity)
        leads = arm_leads(pilot)
        position = None if pilot.position is None else DM_PER_M * filled(pilot.position)
    most = leads[-1]
    for lead in leads:
        ahead = _ahead(velocity, lead)
        for axis in axes:
            found[f"v{axis}@{lead}"] = ahead[:, axis], most - lead
        found[f"speed@{lead}"] = np.linalg.norm(ahead, axis=1), most - lead
    found |= {f"square@{lead}": ((_ahead(velocity, lead) ** 2).sum(axis=1), most - lead) for lead in leads}
    if position is not None:
        for axis in axes:
            found[f"p{axis}@0"] = position[:, axis], 0
    return found


def filled(rows: np.ndarray) -> np.ndarray:
    """Return rows in which gaps are bridged linearly."""
    index, filled = np.arange(len(rows)), rows.copy()
    for axis in range(rows.shape[1]):
        known = np.isfinite(rows[:, axis])
        filled[:, axis] = np.interp(index, index[known], rows[known, axis])
    return filled


def _ahead(rows: np.ndarray, bins: int) -> np.ndarray:
    return rows[np.clip(np.arange(len(rows)) + bins, 0, len(rows) - 1)]


def candidates(names: list[str], noisy: bool) -> list[list[str]]:
    """Return the sets of regressors to choose from, simplest first."""
    leads = sorted({name.partition("@")[2] for name in names if name.startswith("v0")}, key=int)
    middle = leads[len(leads) // 2]
    velocity = [name for name in names if name.startswith("v") and name.endswith(f"@{middle}")]
    square = [f"square@{middle}"] if noisy else []
    all_leads = [name for name in names if name.startswith("v")]
    speed = [f"speed@{middle}"]
    position = [name for name in names if name.startswith("p")]
    sets = [velocity + square]
    if not noisy:
        sets.append(velocity + speed)
    sets.append(velocity + (square or speed) + position)
    if len(leads) > 1:
        sets += [all_leads + speed, all_leads + speed + position]
    return sets
