"""A whole session to Neurodata Without Borders: spikes, bins, kinematics, task, trials, events, model, provenance."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from bmi_runtime.errors import NO_ROOM, BadInput, BmiError
from bmi_runtime.recording.nwb_contents import FileContents
from bmi_runtime.recording.patient_file import PatientFile
from bmi_runtime.recording.reader import Recording

ARCHIVE_WANTS = ("subject_id", "species", "sex", "age", "experimenter", "lab", "institution")


def export_nwb(recording: Recording, out, subject: dict[str, Any] | None = None) -> dict[str, Any]:
    """Write `recording` as an NWB file.

    Spike times stand in the units table at the middle of the bin that held them, spread evenly where a bin held several
    (the resolution column says so); the bins themselves are kept as a time series. Times are those of the device clock,
    relative to the first bin's beginning; host times and clock uncertainty are series of their own. Of the subject the
    file says what the recording's ``[metadata]`` and `subject` say, and nothing else.

    Parameters
    ----------
    recording : Recording
    out : path-like
        A file that does not exist yet.
    subject : dict, optional
        Keys of ``[metadata]`` that are given now; they go before those that were recorded.

    Returns
    -------
    dict
        ``path``, ``bins``, ``spikes``, ``trials``, ``events``, ``missing_metadata`` (keys that an archive will want).

    Raises
    ------
    BadInput
        When pynwb is not installed, the file exists, or the recording holds no bin.
    BmiError
        When it cannot be written.
    """
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise BadInput("export to NWB needs pynwb; install bmi-runtime[nwb]") from None
    path = Path(out)
    if path.exists():
        raise BadInput(f"{path} exists; give another name (existing files are never overwritten)")
    if not recording.n_steps:
        raise BadInput(f"{recording.path} holds no bin, so there is nothing to export")
    builder = FileContents(recording, subject or {}, path.resolve().parent)
    partial = path.with_name(f"{path.stem}.partial.nwb")
    try:
        _write(builder, partial, path, NWBHDF5IO)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    missing = [key for key in ARCHIVE_WANTS if not builder.metadata.get(key)]
    return {"path": str(path), **builder.counted, "missing_metadata": missing}


def _write(builder: FileContents, partial: Path, path: Path, io_class: Any) -> None:
    """Write the file; a disk that is full is an error in a sentence."""
    import h5py

    partial.unlink(missing_ok=True)  # of an export that was killed
    target = PatientFile(partial)
    try:
        with h5py.File(target, "w") as opened, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The file path provided: None")  # pynwb 3: an open file has no path
            with io_class(file=opened, mode="w") as file:
                file.write(builder.build())
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            target.error = target.error or error
        if target.error is None:
            raise
    finally:
        target.close()
    if target.error is not None:
        raise BmiError(f"{path} cannot be written: {target.error.strerror}; nothing is left of it")
