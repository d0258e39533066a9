"""Which acquisition system or sorter a file or folder is of, told by what is in it and not by its name alone.

A row of :data:`FORMATS` is one format: whose it is, how its files begin, and what reads it. Formats that are one file
are given by that file, those that are a folder by the folder or any of its files. A folder may hold several recordings;
then the person is asked which, never the first taken.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

from bmi_runtime.errors import BadInput

MOST_FILES = 20_000  # looked at in a folder
HEAD_BYTES = 256  # of a file, that tell its format
PART_OF_SESSION = re.compile(r"record node|.*_imec\d+$", re.IGNORECASE)
"""Folders beside others of the same session: one for each recording node, or each probe."""
HDF5 = b"\x89HDF\r\n\x1a\n"
UTF8_MARK = b"\xef\xbb\xbf"  # some programs put it before a text


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of an acquisition system or sorter.

    Attributes
    ----------
    name : str
        Whose it is.
    reader : str
        The class of neo that reads it, or ``module:function`` of ours.
    suffixes : tuple of str
        In lower case.
    begins : tuple of bytes
        One of these is what a file of it begins with; empty where anything may stand there.
    files : tuple of str
        Names (in lower case) that a folder of it has, in place of suffixes.
    beside : tuple of str
        One of these lies in the same folder, where such a name alone says too little.
    is_folder : bool
        Whether the folder as a whole is the recording.
    above : int
        How many folders the recording's lies above such a file.
    """

    name: str
    reader: str
    suffixes: tuple[str, ...] = ()
    begins: tuple[bytes, ...] = ()
    files: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    is_folder: bool = False
    above: int = 0

    def begins_well(self, head: bytes) -> bool:
        """Return whether a file with this beginning may be one; a tag may have a comment before it."""
        text = head.removeprefix(UTF8_MARK)
        return not self.begins or any(
            start in text if start.startswith(b"<") else text.startswith(start) for start in self.begins
        )


SMR = tuple(bytes((version, 0)) + b"(C) CED 87" for version in range(1, 10))
OURS = "bmi_runtime.sources.sorted_folder:"
FORMATS = (
    Format("Phy or Kilosort", OURS + "read_phy", files=("spike_times.npy",),
           beside=("params.py", "spike_templates.npy"), is_folder=True),
    Format("SpikeInterface", OURS + "read_spikeinterface", files=("numpysorting_info.json",), is_folder=True),
    Format("Open Ephys (binary)", "OpenEphysBinaryRawIO", files=("structure.oebin",), is_folder=True, above=2),
    Format("Open Ephys", "OpenEphysRawIO", (".continuous", ".spikes"), (b"header.",), is_folder=True),
    Format("SpikeGLX", "SpikeGLXRawIO", (".meta",), is_folder=True),
    Format("MClust", "bmi_runtime.sources.mclust:read_mclust", (".t", "._t", ".t32", "._t32", ".t64", "._t64"),
           (b"%%BEGINHEADER",), is_folder=True),
    Format("Neuralynx", "NeuralynxRawIO", (".ncs", ".nse", ".ntt", ".nev"), (b"########",), is_folder=True),
    Format("TDT", "TdtRawIO", (".tsq", ".tbk", ".tev", ".tdx"), is_folder=True),
    Format("Alpha Omega", "AlphaOmegaRawIO", (".mpx",), is_folder=True),
    Format("Intan", "IntanRawIO", (".rhd",), (b"\x02\x27\x91\xc6",)),
    Format("Intan (stimulation)", "IntanRawIO", (".rhs",), (b"\xac\x27\x91\xd6",)),
    Format("Blackrock", "BlackrockRawIO", (".nev", *(f".ns{n}" for n in range(1, 7))),
           (b"NEURALEV", b"BREVENTS", b"NEURALSG", b"NEURALCD", b"BRSMPGRP")),
    Format("Plexon", "PlexonRawIO", (".plx",), (b"PLEX",)),
    Format("NeuroExplorer", "NeuroExplorerRawIO", (".nex",), (b"NEX1",)),
    Format("Spike2", "Spike2RawIO", (".smr",), SMR),
    Format("SpikeGadgets", "SpikeGadgetsRawIO", (".rec",), (b"<?xml", b"<Configuration")),
    Format("NIX", "NIXRawIO", (".nix",), (HDF5,)),
    Format("Neuroscope", OURS + "read_neuroscope", (".xml",), (b"<parameters", b"<?xml")),
    Format("Axon", "AxonRawIO", (".abf",), (b"ABF ", b"ABF2")),
    Format("BrainVision", "BrainVisionRawIO", (".vhdr",), (b"Brain Vision", b"BrainVision")),
    Format("Micromed", "MicromedRawIO", (".trc",), (b"* MICROMED",)),
    Format("NeuroNexus", "NeuroNexusRawIO", (".xdat",)),
)  # fmt: skip
NO_SPIKES = "this format holds field potentials and no spikes; count threshold crossings, and save .npz or NWB"
TABLE = "a table of this kind is not read; save it as .csv with a mapping beside it, or as .npz"
ONE_FILE = {".nwb": "NWB", ".mcap": "a session of the runtime"}
SAVE_ZARR = "save counts, bin_s, velocity and position as .npz"
RAW_VOLTAGE = (
    "this is raw voltage of SpikeInterface, without spikes; sort it or count threshold crossings, and save .npz or NWB"
)
ZARR_MARKS = (".zgroup", ".zarray", ".zmetadata", "zarr.json")
ZARR_ATTRIBUTES, ATTRIBUTE_BYTES = (".zattrs", "zarr.json"), 1_000_000
ZARR = {  # what its attributes hold: what to do
    "NWBFile": "an NWB file in Zarr is not read; export it to .nwb (HDF5) with hdmf-zarr (NWBHDF5IO.export)",
    "SortingExtractor": "a SpikeInterface sorting in Zarr is not read; save it with format='numpy_folder'",
    "RecordingExtractor": RAW_VOLTAGE,
    "spikeinterface": "a SpikeInterface analyzer in Zarr is not read; save it with format='binary_folder'",
}
NOT_READ_FOLDERS = {  # a file in it: what to do
    "binary.json": RAW_VOLTAGE,
}
COLUMNS = "a table with names of columns is read by 'bmi decode', 'bmi compare' and 'bmi inspect', through a mapping"
NOT_READ = {
    **dict.fromkeys((".csv", ".tsv", ".parquet"), COLUMNS),
    ".nex5": "neo does not read .nex5; save it as .nex in NeuroExplorer",
    ".pl2": "neo reads .pl2 with Plexon's Windows library only; export it to .plx or NWB",
    ".smrx": "neo reads .smrx with CED's own library only; export it to .smr or .mat in Spike2",
    ".nvt": "the video tracking of Neuralynx (.nvt) is read by nothing here; save it as .npz or NWB",
    ".kwik": "klusta's .kwik is not read; open it in phy and save spike_times.npy and spike_clusters.npy, or NWB",
    ".mcd": "neo reads .mcd with MCS's Windows library only; export it to HDF5 or raw in MC_DataTool, then to NWB",
    ".msrd": "MCS's .msrd is not read; export it with the Multi Channel DataManager, then to NWB",
    ".brw": "3Brain's .brw is not read; sort it and save the spikes as NWB or phy folder",
    ".mda": "MountainSort's .mda is not read; export the sorting to phy or NWB with SpikeInterface",
    ".pkl": "a pickle can run any program when it is opened, so it never is; save arrays as .npz",
    ".joblib": "a pickle can run any program when it is opened, so it never is; save arrays as .npz",
    ".pickle": "a pickle can run any program when it is opened, so it never is; save arrays as .npz",
    ".xlsx": TABLE,
    ".npy": "one array without a name; save counts, bin_s, velocity and position together as .npz",
    **dict.fromkeys((".feather", ".arrow", ".json", ".jsonl", ".ods", ".txt"), TABLE),
    **dict.fromkeys((".edf", ".bdf", ".fif", ".set", ".cnt", ".eeg", ".vmrk"), NO_SPIKES),
    ".xdf": "LSL's .xdf is not read; load it with pyxdf and save counts, bin_s, velocity and position as .npz",
    ".snirf": "near-infrared recordings hold no spikes; save the features and the kinematics as .npz",
    ".zip": "an archive is not read; unpack it and give what is inside",
    ".gz": "an archive is not read; unpack it and give what is inside",
    ".zarr": "a Zarr store is not read; " + SAVE_ZARR,
}
"""What to do with files that look as if they were read."""
BEGINNINGS = {b"PK\x03\x04": ".npz", b"MATLAB 5.0": ".mat", HDF5: ".nwb, .h5 or .mat", b"\x89MCAP0": ".mcap"}
ANYBODYS = (b"<?xml", HDF5)  # so many formats begin so that it says nothing of one of them


@dataclasses.dataclass(frozen=True)
class Recognised:
    """A recording that was found: its format, and the file or folder that it is given by."""

    format: Format
    path: pathlib.Path


def suffixes() -> list[str]:
    """Return the suffixes of every format that is read, and ``folder``."""
    return ["folder", *dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes), ".oebin", ".bin"]


def recognised(path: pathlib.Path) -> Recognised:
    """Return what a file or folder is.

    Raises
    ------
    BadInput
        When it is nothing that is read, is not what its suffix says, or is a folder of several recordings.
    """
    return _folder(path) if path.is_dir() else _file(path)


def _names() -> list[str]:
    return list(dict.fromkeys(one.name.partition(" (")[0] for one in FORMATS))


def _file(path: pathlib.Path) -> Recognised:
    suffix, head = path.suffix.lower(), _head(path)
    if suffix in NOT_READ and not any(path.name.lower() in one.files for one in FORMATS):
        raise BadInput(f"{path.name}: {NOT_READ[suffix]}")
    if suffix == ".bin":
        if not path.with_suffix(".meta").is_file():
            raise BadInput(f"{path.name}: a SpikeGLX .bin needs its .meta beside it")
        suffix = ".meta"
    of_suffix = [one for one in FORMATS if suffix in one.suffixes or path.name.lower() in one.files]
    if not of_suffix:
        raise BadInput(
            f"{path.name}: no format of the suffix '{suffix or 'none'}' is read; those of {', '.join(_names())} are, "
            f"and .npz, .mat, .nwb, .h5, .gdf, .mcap: save it as .npz or export it to NWB{begins_as(path)}"
        )
    if not head:
        raise BadInput(f"{path.name}: the file is empty")
    for one in of_suffix:
        if one.begins_well(head):
            return Recognised(one, path)
    whose = " or ".join(one.name for one in of_suffix)
    raise BadInput(f"{path.name}: has a suffix of {whose}, but does not begin as a {whose} file does")


def _folder(folder: pathlib.Path) -> Recognised:
    found = list(dict.fromkeys(_recordings(folder)))
    if not found:
        if told := _unread_folder(folder):
            raise BadInput(f"{folder}: {told}")
        names = ", ".join(one.name for one in FORMATS if one.is_folder)
        raise BadInput(f"{folder} is a folder without a recording that is known; it would be one of {names}")
    whole = [one for one in found if isinstance(one, Recognised)]
    if len(found) == 1 and whole:
        return whole[0]
    shared = len({one.path for one in whole}) < len(whole)  # the folder alone does not say which of them is meant
    shown = _distinct(whole, folder) if shared and len(whole) == len(found) else list(map(_named, found))
    listed = "; ".join(f"{name}: {path}" for name, path in shown[:6])
    more = f"; and {len(found) - 6} more" if len(found) > 6 else ""
    several = f"{len(found)} recordings" if len(found) > 1 else "one"
    raise BadInput(f"{folder} is a folder with {several}; give what you mean ({listed}{more})")


def _unread_folder(folder: pathlib.Path) -> str:
    """Return what to do with a folder that is of a known kind and is not read; nothing of another."""
    for name, told in NOT_READ_FOLDERS.items():
        if (folder / name).is_file():
            return told
    if not any((folder / mark).is_file() for mark in ZARR_MARKS):
        return ""
    attributes = b"".join(
        _head(folder / name, ATTRIBUTE_BYTES) for name in ZARR_ATTRIBUTES if (folder / name).is_file()
    )
    kinds = (told for kind, told in ZARR.items() if kind.encode() in attributes)
    return next(kinds, NOT_READ[".zarr"])


def _named(found: Recognised | tuple[str, pathlib.Path]) -> tuple[str, pathlib.Path]:
    return (found.format.name, found.path) if isinstance(found, Recognised) else found


def _distinct(whole: list[Recognised], folder: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    """Return recordings that lie in one folder, each by a file of its own."""
    files = list(_files(folder))
    return [(one.format.name, next((file for file in files if _is_of(file, one)), one.path)) for one in whole]


def _is_of(file: pathlib.Path, one: Recognised) -> bool:
    named = file.suffix.lower() in one.format.suffixes or file.name.lower() in one.format.files
    return named and file.is_relative_to(one.path) and one.format.begins_well(_head(file))


def _recordings(folder: pathlib.Path) -> Iterator[Recognised | tuple[str, pathlib.Path]]:
    """Yield what lies in a folder: recordings that are folders, and (whose, path) of those that are one file."""
    for file in _files(folder):
        suffix, name = file.suffix.lower(), file.name.lower()
        for one in FORMATS:
            if (suffix in one.suffixes or name in one.files) and one.begins_well(_head(file)) and _beside(file, one):
                if one.is_folder:
                    yield Recognised(one, _root(file, one, folder))
                elif not _secondary(file):
                    yield one.name, file
                break
        else:
            if suffix in ONE_FILE:
                yield ONE_FILE[suffix], file


def _beside(file: pathlib.Path, one: Format) -> bool:
    return not one.beside or any((file.parent / name).is_file() for name in one.beside)


def _secondary(file: pathlib.Path) -> bool:
    """Return whether a file is read with another that is the one to give: Blackrock's signals beside its spikes."""
    if re.fullmatch(r"\.ns[1-6]", file.suffix.lower()):
        return any(file.with_suffix(suffix).is_file() for suffix in (".nev", ".NEV"))
    return file.suffix.lower() == ".xml" and not any(file.parent.glob(f"{file.stem}.res.*"))


def _root(file: pathlib.Path, one: Format, given: pathlib.Path) -> pathlib.Path:
    """Return the folder of the recording that a file belongs to, not above the one that was given."""
    root = file.parent
    for _ in range(one.above):
        if root == given:
            return root
        root = root.parent
    while root != given and PART_OF_SESSION.match(root.name):
        root = root.parent
    return root


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    looked = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            looked += 1
            if looked > MOST_FILES:
                raise BadInput(f"{folder} holds over {MOST_FILES:,} files; give the folder of one recording")
            yield pathlib.Path(where, name)


def begins_as(path: pathlib.Path) -> str:
    """Return a hint where a file of another suffix, or of none, begins as one that is read: formats go by suffix."""
    if not path.is_file():
        return ""
    head = _head(path)
    found = [suffix for start, suffix in BEGINNINGS.items() if head.startswith(start)]
    for one in FORMATS:
        telling = dataclasses.replace(one, begins=tuple(start for start in one.begins if start not in ANYBODYS))
        if telling.begins and telling.begins_well(head):
            found += one.suffixes[:1]
    found = [suffix for suffix in found if not path.name.lower().endswith(suffix)]
    return f". It begins as a {found[0]} file does: give it that ending" if found else ""


def _head(path: pathlib.Path, size: int = HEAD_BYTES) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from None
