"""Reading a pilot: a session's recording, or an open-loop data file."""

import pathlib

import numpy as np

from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.errors import BadInput

DM_PER_M = 10.0


def load_pilot(
    path: str | pathlib.Path,
    likelihood: str | None = None,
    velocity_scale: float = DM_PER_M,
    left_out: tuple[str, ...] = (),
) -> Pilot:
    """Read what the units did, and the velocity that they encoded meanwhile.

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

    Raises
    ------
    BadInput
        If the file cannot be read, or holds too little.
    """
    path = pathlib.Path(path)
    if not (np.isfinite(velocity_scale) and velocity_scale > 0):
        raise BadInput(
            f"a velocity scale of {velocity_scale:g} cannot be; 10 takes m/s to the dm/s of the encoding model"
        )
    if path.suffix.lower() == ".mcap":
        return _from_recording(path, likelihood, velocity_scale, left_out)
    from bmi_runtime.sources.datafile import load_recording

    data = load_recording(path)
    whole = bool(np.all(data.counts == np.round(data.counts)) and data.counts.min() >= 0)
    kind = likelihood or ("poisson" if whole else "gaussian")
    return Pilot(data.counts, velocity_scale * data.velocity, data.bin_s, kind, left_out=left_out)


def _from_recording(path: pathlib.Path, likelihood: str | None, velocity_scale: float, left_out) -> Pilot:
    """Return the bins of a recording in which an intended velocity is known and the source delivered."""
    from bmi_runtime.recording.reader import Recording

    recording = Recording(path)
    session = (recording.header.get("config") or {}).get("session", {})
    kind = likelihood or session.get("likelihood") or ("gaussian" if recording.continuous else "poisson")
    bin_s = session.get("bin_s") or (0.05 if kind == "gaussian" else 0.005)
    states = velocity_scale * recording.column("output", "intended").astype(np.float64)
    states[recording.column("input", "stale") > 0] = np.nan
    return Pilot(recording.column("input", "counts").astype(np.float64), states, float(bin_s), kind, left_out=left_out)
