"""A recorded session as an open-loop recording: what decoders are fitted to after a block of calibration."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import known_counts, without_missing

VELOCITIES = ("intended", "cursor", "rotated")


def session_recording(path: pathlib.Path, velocity: str = "intended"):
    """Return counts, cursor and targets of a session that was recorded by the runtime.

    Bins without data have no kinematics; a gap or a reset of the device's clock starts again.

    Parameters
    ----------
    path : path
        A ``.mcap`` file.
    velocity : {"intended", "cursor", "rotated"}
        What is to be decoded: the velocity that the session inferred as intended (its own training signal), the
        cursor's, or the cursor's speed turned to the target and zero within it (Gilja et al. 2012).

    Raises
    ------
    BadInput
        When it is not a recording, is too short, or holds no such velocity.
    """
    from bmi_runtime.intention.infer import rotated_to_target
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.sources.from_arrays import recording_from_arrays

    if velocity not in VELOCITIES:
        raise BadInput(f"there is no velocity '{velocity}' in a session; choose from {', '.join(VELOCITIES)}")
    recording = Recording(path)
    config = recording.header.get("config")
    if not isinstance(config, dict):
        raise BadInput(f"{path.name} has no configuration in its header, so the width of its bins is not known")
    steps = recording.steps()
    given, made = steps["input"], steps["output"]
    cursor, n = np.array(made["cursor"], dtype=float), recording.space.n_axes
    targets = np.array(made["target"], dtype=float)
    wanted = np.array(made["intended"], dtype=float) if velocity == "intended" else cursor[:, n:].copy()
    if velocity == "rotated":
        inside = np.linalg.norm(cursor[:, :n] - targets[:, :n], axis=1) <= targets[:, n]
        wanted = rotated_to_target(cursor, targets[:, :n], inside)[:, n:]
    wanted[(given["stale"] > 0) | ~np.isfinite(wanted).all(axis=1)] = np.nan
    if not np.isfinite(wanted).any():
        raise BadInput(f"{path.name} holds no {velocity} velocity")
    lacking = int(np.isnan(known_counts(given["counts"])).any(axis=1).sum())
    odd = (
        (f"units are missing in {lacking} bin{'' if lacking == 1 else 's'}: taken as silent there",) if lacking else ()
    )
    breaks = (given["gap_bins"] > 0) | np.r_[True, np.diff(given["segment"].astype(np.int64)) != 0]
    return recording_from_arrays(
        path.name,
        without_missing(given["counts"]),
        _bin_s(config),
        wanted,
        cursor[:, :n],
        np.flatnonzero(breaks),
        restart=breaks,
        targets=targets,
        axes=recording.space.axes,
        velocity_unit="m/s",
        position_unit="m",
        odd=odd,
    )


def _bin_s(config) -> float:
    session = config["session"]
    return session["bin_s"] or USUAL_BIN_S[session["likelihood"]]
