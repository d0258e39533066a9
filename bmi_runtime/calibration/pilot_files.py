"""Reading a pilot: a session's recording, or an open-loop data file."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from bmi_runtime.calibration.aim_fit import Screen
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.calibration.pilot_states import Recorded, recorded_features, recorded_units
from bmi_runtime.calibration.screening import check_even, check_speed, usable_units, without_glitches
from bmi_runtime.constants import DM_PER_M, USUAL_BIN_S
from bmi_runtime.encoding.artifacts import artifact_bins, mostly_missing
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput

if TYPE_CHECKING:
    from bmi_runtime.recording.reader import Recording

MISSING_SHARE = 0.05  # of the bins, that may be without a movement before it is worth a word


def load_pilot(
    path: str | pathlib.Path,
    likelihood: str | None = None,
    velocity_scale: float = DM_PER_M,
    left_out: tuple[str, ...] = (),
    any_speed: bool = False,
    features: bool = False,
) -> Pilot:
    """Read what the units did, and the velocity that they encoded meanwhile; silent units are set aside.

    Parameters
    ----------
    path : path
        A recording of a session (``.mcap``; the intended velocity is the encoded one) or a data file of ``bmi decode``.
    likelihood : {"gaussian", "poisson"}, optional
        What the recording says; Poisson for a data file of whole numbers, else Gaussian.
    velocity_scale : float
        What the file's velocity is multiplied by: 10 takes m/s to the dm/s of the encoding model.
    left_out : tuple of str
        Units to leave out, by name.
    any_speed : bool
        Whether to take velocities that no hand or cursor reaches.
    features : bool
        Whether to take the features of a mixed session for its units.

    Raises
    ------
    BadInput
        If the file cannot be read, holds too little, or moves too fast for its unit to be what it is taken for.
    """
    path = pathlib.Path(path)
    if not (np.isfinite(velocity_scale) and velocity_scale > 0):
        raise BadInput(
            f"a velocity scale of {velocity_scale:g} cannot be; 10 takes m/s to the dm/s of the encoding model"
        )
    if path.suffix.lower() == ".mcap":
        recorded, kind = _from_recording(path, likelihood, velocity_scale, features)
        unit = "m/s"
    elif features:
        raise BadInput(f"--features is for the recording of a mixed session; {path.name} is a data file")
    else:
        recorded, kind, unit = _from_data_file(path, likelihood, velocity_scale)
    counts, states = recorded.counts, recorded.velocity
    if not np.isfinite(states).all(axis=1).any():
        raise BadInput(
            f"{path.name}: no bin says what was intended, so no unit can be calibrated; record a pilot whose intention "
            "is known, or wait until it can be inferred"
        )
    missing = int(len(states) - np.isfinite(states).all(axis=1).sum())
    states, glitches = without_glitches(states)
    artifacts = recorded.artifacts
    if artifacts is None:
        artifacts = artifact_bins(counts, recorded.bin_s) if kind == "poisson" else np.zeros(len(counts), bool)
    states = np.where(artifacts[:, None], np.nan, states)
    if not any_speed:
        check_speed(states, velocity_scale, unit)
    check_even(states)
    names = tuple(str(unit) for unit in range(counts.shape[1]))
    known = np.isfinite(states).all(axis=1)
    gone = mostly_missing(counts[known])
    counts[:, gone] = 0.0
    aside = usable_units(counts[known], names, kind) if known.any() else {}
    aside |= {names[unit]: "missing in more than half of the bins" for unit in gone}
    if len(aside) == len(names):
        raise BadInput(f"{path.name}: no unit can be calibrated; unit {names[0]}: {aside[names[0]]}")
    aside = {name: why for name, why in aside.items() if name not in left_out}
    told = _noticed(len(states), known & ~np.isfinite(counts).all(axis=1), missing, glitches, artifacts)
    return Pilot(
        counts, recorded.states(states), recorded.bin_s, kind, names, (*left_out, *aside), tuple(aside.items()),
        told=told, kinds=recorded.kinds, own=recorded.own,
    )  # fmt: skip


def _noticed(bins: int, lacking: np.ndarray, missing: int, glitches: int, artifacts: np.ndarray) -> tuple[str, ...]:
    """Return what is to be told of the bins that are left out."""
    found = (
        (lacking.any(), f"in {lacking.sum()} of {bins} bins a unit is missing: left out"),
        (missing > MISSING_SHARE * bins, f"{missing} of {bins} bins say nothing of the movement: left out"),
        (glitches, f"{glitches} bins move far faster than 99 in 100 of the others: taken as glitches and left out"),
        (artifacts.any(), f"in {artifacts.sum()} bins all units fired at once: taken as artifacts and left out"),
    )
    return tuple(text for noticed, text in found if noticed)


def _from_data_file(path: pathlib.Path, likelihood: str | None, velocity_scale: float) -> tuple[Recorded, str, str]:
    """Return the units of a data file, their likelihood, and the unit of its velocity."""
    from bmi_runtime.sources.datafile import load_recording

    data = load_recording(path)
    counts, velocity = data.counts, velocity_scale * data.velocity
    whole = bool(np.all(counts == np.round(counts)) and counts.min() >= 0)
    nothing = np.zeros((len(counts), 0))
    recorded = Recorded(counts, velocity, nothing, nothing, None, Regressors(velocity.shape[1]), data.bin_s)
    return recorded, likelihood or ("poisson" if whole else "gaussian"), data.velocity_unit


def _from_recording(
    path: pathlib.Path, likelihood: str | None, velocity_scale: float, features: bool
) -> tuple[Recorded, str]:
    """Return the units, or the features, of a session, and their likelihood."""
    recording = opened(path)
    config = recording.header.get("config") or {}
    session = config.get("session", {})
    kind = likelihood or session.get("likelihood") or ("gaussian" if recording.continuous else "poisson")
    bin_s = float(session.get("bin_s") or USUAL_BIN_S["gaussian" if kind == "gaussian" else "poisson"])
    if features:
        return recorded_features(recording, config, bin_s, velocity_scale), "gaussian"
    return recorded_units(recording, config, bin_s, velocity_scale), kind


def opened(path: str | pathlib.Path) -> Recording:
    """Return a session's recording, the same as a moment ago where the file has not changed: a scan takes its time."""
    path = pathlib.Path(path)
    try:
        found = path.stat()
    except OSError:
        return _opened(path, 0, 0)
    return _opened(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=1)
def _opened(path: pathlib.Path, mtime_ns: int, size: int) -> Recording:
    from bmi_runtime.recording.reader import Recording

    return Recording(path)


def load_screen(path: str | pathlib.Path, usable: np.ndarray) -> Screen | None:
    """Read what the subject of a session saw in every bin, which is what was shown at the end of the bin before.

    Parameters
    ----------
    path : path
    usable : ndarray of bool, (recorded bins,)
        `Pilot.usable`.

    Returns
    -------
    Screen or None
        None for a data file, or a session that took its intention from recorded kinematics.
    """
    if pathlib.Path(path).suffix.lower() != ".mcap":
        return None
    recording = opened(path)
    if (recording.header.get("config") or {}).get("adapter", {}).get("intention") == "recorded":
        return None
    axes = recording.column("output", "intended").shape[1]
    cursor, target = (recording.column("output", name)[:, :axes].astype(np.float64) for name in ("cursor", "target"))
    seen, shown = (np.vstack([rows[:1], rows[:-1]]) for rows in (cursor, target))
    return Screen(seen, shown, usable)
