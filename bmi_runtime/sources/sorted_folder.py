"""What sorters leave behind: folders of phy, Kilosort, SpikeInterface, the .res and .clu of Neuroscope and Klusters.

All hold sample numbers and a cluster for each spike. Clusters that were marked as noise are not units.
"""

from __future__ import annotations

import csv
import json
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from bmi_runtime.errors import BadInput, first_line
from bmi_runtime.sources.spike_file import SpikeFile

LABELS = ("cluster_group.tsv", "cluster_groups.csv", "cluster_info.tsv", "cluster_KSLabel.tsv")
LABEL_COLUMNS = ("group", "KSLabel", "quality")
NOISE = "noise"
SPIKEINTERFACE = "numpysorting_info.json"
ARTEFACTS, UNSORTED = 0, 1  # clusters of Klusters that are not neurons


def read_phy(path: pathlib.Path) -> SpikeFile:
    """Read a folder that Kilosort or phy wrote: ``spike_times.npy``, ``spike_clusters.npy``, ``params.py``.

    Raises
    ------
    BadInput
        When one of them is missing or they do not fit each other.
    """
    folder = path if path.is_dir() else path.parent
    samples = _array(folder, "spike_times.npy").astype(float)
    name = next((n for n in ("spike_clusters.npy", "spike_templates.npy") if (folder / n).is_file()), None)
    if name is None:
        raise BadInput(f"{folder}: neither spike_clusters.npy nor spike_templates.npy is beside spike_times.npy")
    clusters = _array(folder, name).astype(np.int64)
    if len(clusters) != len(samples):
        raise BadInput(f"{folder}: {name} has {len(clusters)} spikes, spike_times.npy {len(samples)}")
    rate_hz = _sample_rate(folder)
    labels = _labels(folder)
    kept, trains = _trains(samples / rate_hz, clusters)
    noise = [unit for unit in kept if labels.get(unit) == NOISE]
    wanted = [(unit, train) for unit, train in zip(kept, trains, strict=True) if labels.get(unit) != NOISE]
    names = [f"{unit} ({labels[unit]})" if unit in labels else str(unit) for unit, _ in wanted]
    notes = {"sample rate": f"{rate_hz:g} Hz (params.py)"}
    if noise:
        notes["left out"] = f"{len(noise)} clusters that were marked as noise"
    span = (0.0, float(samples.max(initial=0.0)) / rate_hz)
    return SpikeFile("phy", [train for _, train in wanted], names, [span], notes=notes)


def read_spikeinterface(path: pathlib.Path) -> SpikeFile:
    """Read a sorting that SpikeInterface saved as a folder: ``spikes.npy`` and ``numpysorting_info.json``.

    Raises
    ------
    BadInput
        When they do not fit each other, or it has several segments, whose times say nothing of each other.
    """
    folder = path if path.is_dir() else path.parent
    try:
        about = json.loads((folder / SPIKEINTERFACE).read_text())
        rate_hz, names = float(about["sampling_frequency"]), [str(name) for name in about["unit_ids"]]
        segments = int(about["num_segments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder}: {SPIKEINTERFACE} is not what SpikeInterface writes ({first_line(error)})") from None
    if segments != 1:
        raise BadInput(
            f"{folder}: {segments} segments, whose times begin at 0 each; save one of them (sorting.select_segments)"
        )
    try:
        spikes = np.load(folder / "spikes.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{folder / 'spikes.npy'}: not a readable array ({first_line(error)})") from None
    fields = spikes.dtype.names or ()
    if not {"sample_index", "unit_index"} <= set(fields) or rate_hz <= 0:
        raise BadInput(
            f"{folder}: spikes.npy has no sample_index and unit_index, or the sampling rate is {rate_hz:g} Hz"
        )
    if len(spikes) and not 0 <= spikes["unit_index"].min() <= spikes["unit_index"].max() < len(names):
        raise BadInput(f"{folder}: spikes.npy has units that {SPIKEINTERFACE} does not name")
    times_s = spikes["sample_index"] / rate_hz
    trains = [times_s[spikes["unit_index"] == unit] for unit in range(len(names))]
    span = (0.0, float(times_s.max(initial=0.0)))
    return SpikeFile("SpikeInterface", trains, names, [span], notes={"sample rate": f"{rate_hz:g} Hz"})


def read_neuroscope(path: pathlib.Path) -> SpikeFile:
    """Read the sorted spikes beside a Neuroscope ``.xml``: ``.res.N`` (sample numbers) and ``.clu.N`` of each group.

    Raises
    ------
    BadInput
        When there are none, or the ``.xml`` has no sampling rate.
    """
    try:
        found = ElementTree.parse(path).getroot().find(".//acquisitionSystem/samplingRate")
        rate_hz = float(found.text or "") if found is not None else 0.0
    except (ElementTree.ParseError, ValueError) as error:
        raise BadInput(f"{path.name}: not a readable .xml of Neuroscope ({first_line(error)})") from None
    if rate_hz <= 0:
        raise BadInput(f"{path.name}: no acquisitionSystem/samplingRate in it, so it is not an .xml of Neuroscope")
    trains: list[np.ndarray] = []
    names: list[str] = []
    left_out = 0
    for res in sorted(path.parent.glob(f"{path.stem}.res.*"), key=lambda file: (len(file.suffix), file.suffix)):
        clu = res.with_name(f"{path.stem}.clu{res.suffix}")
        if not clu.is_file():
            raise BadInput(f"{res.name}: {clu.name} is not beside it, so no spike has a unit")
        samples, clusters = _integers(res), _integers(clu)[1:]  # the first line is the number of clusters
        if len(samples) != len(clusters):
            raise BadInput(f"{res.name} has {len(samples)} spikes, {clu.name} {len(clusters)}")
        for unit, train in zip(*_trains(samples / rate_hz, clusters), strict=True):
            if unit in (ARTEFACTS, UNSORTED):
                left_out += len(train)
                continue
            names.append(f"{res.suffix[1:]}.{unit}")
            trains.append(train)
    if not trains:
        raise BadInput(f"{path.name}: no sorted spikes ({path.stem}.res.1 and .clu.1) are beside it; sort it first")
    notes = {"sample rate": f"{rate_hz:g} Hz"}
    if left_out:
        notes["left out"] = f"{left_out:,} spikes of clusters 0 (artefacts) and 1 (unsorted)"
    span = (0.0, max(float(train.max()) for train in trains))
    return SpikeFile("Neuroscope", trains, names, [span], notes=notes)


def _trains(times_s: np.ndarray, clusters: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """Return the numbers of the clusters and the spike times of each, in the order of the file."""
    order = np.argsort(clusters, kind="stable")
    units, first = np.unique(clusters[order], return_index=True)
    return units.tolist(), np.split(times_s[order], first[1:])


def _array(folder: pathlib.Path, name: str) -> np.ndarray:
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{folder / name}: not a readable array of numbers ({first_line(error)})") from None
    if array.dtype.kind not in "iuf" or array.size != max(array.shape, default=0):
        raise BadInput(f"{folder / name}: one number a spike is expected; it is {array.dtype} of shape {array.shape}")
    return array.ravel()


def _integers(path: pathlib.Path) -> np.ndarray:
    try:
        return np.loadtxt(path, dtype=np.int64, ndmin=1)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path.name}: not a list of whole numbers ({first_line(error)})") from None


def _sample_rate(folder: pathlib.Path) -> float:
    file = folder / "params.py"
    found = None
    if file.is_file():  # read as text: a program of someone else's is not run
        found = re.search(r"^\s*sample_rate\s*=\s*([0-9.eE+]+)", file.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise BadInput(f"{folder}: params.py with 'sample_rate = ...' (Hz) is not there, so spike times are not known")
    return float(found[1])


def _labels(folder: pathlib.Path) -> dict[int, str]:
    """Return what a person, or else the sorter, says of each cluster; nothing of those that are not judged."""
    labels: dict[int, str] = {}
    for name in reversed(LABELS):  # a later table, of a person, goes over the sorter's
        file = folder / name
        if not file.is_file():
            continue
        with open(file, newline="", encoding="utf-8", errors="replace") as opened:
            for row in csv.DictReader(opened, delimiter="," if "," in file.read_text(errors="replace") else "\t"):
                number = row.get("cluster_id", row.get("id")) or ""
                label = next((row[column] for column in LABEL_COLUMNS if row.get(column)), None)
                if label and number.strip().isdigit():
                    labels[int(number)] = label.strip().lower()
    return labels
