"""Whether files of acquisition systems are all there: cut short, or without the files that they name."""

from __future__ import annotations

import json
import pathlib

import numpy as np

from bmi_runtime.sources.recognised import Recognised

NEV_LENGTHS_AT = 12  # bytes of all headers, bytes of a packet


def cut_short(path: pathlib.Path) -> list[str]:
    """Return a sentence for each file that ends before its header says, where the format tells."""
    if path.suffix.lower() == ".nev" and path.is_file():
        return _nev_cut_short(path)
    folder, pattern = (path, "*.meta") if path.is_dir() else (path.parent, f"{path.stem}.meta")
    return [sentence for meta in sorted(folder.rglob(pattern)) for sentence in _spikeglx_cut_short(meta)]


def _nev_cut_short(path: pathlib.Path) -> list[str]:
    """Return a sentence where a Blackrock .nev ends within a packet."""
    with open(path, "rb") as file:
        head = file.read(NEV_LENGTHS_AT + 8)
    if not head.startswith((b"NEURALEV", b"BREVENTS")):
        return []
    headers, packet = np.frombuffer(head, "<u4", 2, NEV_LENGTHS_AT).tolist()
    left_over = (path.stat().st_size - headers) % packet if packet else 0
    return [f"the file ends {left_over} bytes into a packet of {packet}: it was cut short"] if left_over else []


def _spikeglx_cut_short(meta: pathlib.Path) -> list[str]:
    """Return a sentence where the .bin beside a SpikeGLX .meta is shorter than the .meta says."""
    samples = meta.with_suffix(".bin")
    lines = meta.read_text(errors="replace").splitlines() if samples.is_file() else []
    said = next((line.partition("=")[2] for line in lines if line.startswith("fileSizeBytes=")), "")
    if not said.isdigit() or samples.stat().st_size >= int(said):
        return []
    return [f"{samples.name} has {samples.stat().st_size:,} of the {int(said):,} bytes that its .meta says: cut short"]


def what_may_help(found: Recognised) -> str:
    """Return what to try with a recording that neo did not open, behind a semicolon; empty where nothing is known."""
    if found.format.name == "Neuralynx" and found.path.is_dir():
        return "; give one of its files"
    if found.format.name == "Open Ephys (binary)":
        missing = _missing_of_open_ephys(found.path)
        if missing:
            return f"; {missing[0]} is missing" + (f", and {len(missing) - 1} more" if missing[1:] else "")
    return ""


def _missing_of_open_ephys(path: pathlib.Path) -> list[str]:
    """Return the files of samples and stamps that a structure.oebin names and that are not beside it."""
    indexes = sorted(path.rglob("structure.oebin")) if path.is_dir() else [path]
    missing = []
    for index in indexes:
        try:
            streams = json.loads(index.read_text())["continuous"]
            folders = [index.parent / "continuous" / str(stream["folder_name"]) for stream in streams]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for folder in folders:
            stamps = ("timestamps.npy", "sample_numbers.npy")
            absent = [] if (folder / "continuous.dat").is_file() else ["continuous.dat"]
            absent += [] if any((folder / name).is_file() for name in stamps) else [stamps[0]]
            missing += [f"continuous/{folder.name}/{name}" for name in absent]
    return missing
