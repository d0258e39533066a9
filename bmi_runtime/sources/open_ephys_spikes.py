"""Spikes that the Open Ephys GUI saved in its binary format, which neo does not read, and when each stream recorded.

The GUI names the arrays of a spike stream differently from version to version: ``spike_times.npy`` (0.4, 0.5),
``sample_numbers.npy`` with ``timestamps.npy`` in seconds (0.6 and later).
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

from bmi_runtime.errors import BadInput, first_line

SAMPLES = ("sample_numbers.npy", "spike_times.npy", "timestamps.npy")
ELECTRODES = ("electrode_indices.npy", "spike_electrode_indices.npy")
CLUSTERS = ("clusters.npy", "spike_clusters.npy")


def spikes_of(recording: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the spike times (s) of every electrode and sorted unit in a folder with a ``structure.oebin``.

    Raises
    ------
    BadInput
        When the arrays of a stream do not fit each other.
    """
    try:
        streams = json.loads((recording / "structure.oebin").read_text()).get("spikes", [])
    except (OSError, ValueError) as error:
        raise BadInput(f"{recording / 'structure.oebin'} cannot be read ({first_line(error)})") from None
    found: dict[str, np.ndarray] = {}
    for stream in streams:
        folder = recording / "spikes" / str(stream.get("folder_name", stream.get("folder", "")))
        if folder.is_dir():
            found |= _stream(folder, float(stream.get("sample_rate") or 0.0))
    return found


def _stream(folder: pathlib.Path, rate_hz: float) -> dict[str, np.ndarray]:
    times_s = _times_s(folder, rate_hz)
    electrodes, clusters = _numbers(folder, ELECTRODES, len(times_s)), _numbers(folder, CLUSTERS, len(times_s))
    units: dict[str, np.ndarray] = {}
    for electrode, cluster in sorted(set(zip(electrodes.tolist(), clusters.tolist(), strict=True))):
        rows = (electrodes == electrode) & (clusters == cluster)
        units[f"{folder.parent.name}/{folder.name} electrode {electrode} unit {cluster}"] = np.sort(times_s[rows])
    return units


def _times_s(folder: pathlib.Path, rate_hz: float) -> np.ndarray:
    synchronised = folder / "timestamps.npy"
    if synchronised.is_file():
        stamps = np.load(synchronised, allow_pickle=False)
        if stamps.dtype.kind == "f":
            return stamps.ravel().astype(float)
    samples = next((folder / name for name in SAMPLES if (folder / name).is_file()), None)
    if samples is None or rate_hz <= 0:
        raise BadInput(f"{folder}: no spike times ({', '.join(SAMPLES)}) with a sample rate are in it")
    return np.load(samples, allow_pickle=False).ravel().astype(float) / rate_hz


def _numbers(folder: pathlib.Path, names: tuple[str, ...], spikes: int) -> np.ndarray:
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    numbers = np.zeros(spikes, np.int64) if file is None else np.load(file, allow_pickle=False).ravel()
    if len(numbers) != spikes:
        raise BadInput(f"{file}: {len(numbers)} numbers for {spikes} spikes")
    return numbers.astype(np.int64)
