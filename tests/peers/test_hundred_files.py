"""`bmi inspect` on a hundred files of more than twenty formats: the spikes that are in them, or a refusal that helps.

Files of acquisition systems are written here after their published layouts (`tests/sources/acquisition_files.py`) and
held against neo's own count; those of libraries are written by the libraries in an environment of their own. With
``BMI_FILES`` every file below that folder is inspected, too: none may end in anything but an answer or one sentence.
"""

import collections
import json
import os
import pathlib
import subprocess
import warnings

import numpy as np
import pytest

from bmi_runtime.cli import inspect_data
from bmi_runtime.cli.inspect import _inspector
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.neo_file import is_ours
from bmi_runtime.sources.recognised import recognised

neo = pytest.importorskip("neo", reason="neo is not installed (pip install bmi-runtime[nwb])")
from tests.sources import acquisition_files as made  # noqa: E402
from tests.sources import test_acquisition_files as more  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
LONGEST_SENTENCE = 900
SUFFIXES = (".nev", ".plx", ".nwb", ".mat", ".npz", ".h5", ".rhd", ".smrx", ".pl2", ".nvt", ".edf", ".csv", ".xyz")
NEO_SAYS_OTHERWISE = ("Open Ephys binary", "Open Ephys", "Neuralynx")
"""It reads no spikes of the first, takes samples for seconds in the second, has the third's units once a wire."""


def inspected(path):
    """Return the facts that `bmi inspect` tells of a file, or the sentence with which it refuses."""
    try:
        facts, _ = getattr(inspect_data, _inspector(path).partition(":")[2])(path)
    except BadInput as refusal:
        return str(refusal)
    return facts


def of_neo(path):
    """Return how many spikes and signals neo finds in a file; None of what neo does not read."""
    try:
        found = recognised(path)
    except BadInput:
        return None
    if is_ours(found):
        return None
    kind = getattr(neo.rawio, found.format.reader)
    whole = found.path if found.path.is_dir() else found.path.parents[found.format.above]
    if kind.rawmode == "one-dir":
        options = {"dirname": str(next(whole.glob("*.tsq"), whole))}
        if found.format.reader == "NeuralynxRawIO" and found.path.is_file():
            options = {"dirname": str(whole), "include_filenames": [found.path.name]}
    else:
        options = {"filename": str(found.path)}
    reader = kind(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.parse_header()
    units = len(reader.header["spike_channels"])
    segments = range(reader.segment_count(0))
    spikes = sum(int(reader.spike_count(0, segment, unit)) for segment in segments for unit in range(units))
    return spikes, len(reader.header["signal_channels"])


def written(folder):
    """Yield (format, path, spikes of each unit or None where there are none) of files as acquisition systems write."""

    def within(name):
        (folder / name).mkdir()
        return folder / name

    for n, stop_s in enumerate((1.0, 2.5, 4.0, 8.0)):
        trains = made.blackrock(where := within(f"blackrock{n}"), ((0.0, stop_s), (stop_s + 9.0, stop_s + 12.0)))
        yield "Blackrock", where / "rig.nev", trains
        yield "Blackrock signals", where / "rig.ns2", None
        yield "NeuroExplorer", where / "a.nex", made.neuro_explorer(where / "a.nex", stop_s)
        yield "Spike2", where / "a.smr", made.spike2(where / "a.smr", stop_s)
        yield "Open Ephys", within(f"legacy{n}"), made.open_ephys_legacy(folder / f"legacy{n}", stop_s)
        yield "TDT", within(f"tdt{n}"), made.tdt(folder / f"tdt{n}", stop_s)
        yield "Alpha Omega", within(f"ao{n}"), made.alpha_omega(folder / f"ao{n}", stop_s, 100.0 * n)
        version = ("0.4.4.1", "0.5.5", "0.6.4", "0.6.7")[n]
        trains = made.open_ephys_binary(where := within(f"binary{n}"), stop_s, version=version)
        yield "Open Ephys binary", where, trains
        trains = made.phy(folder / f"phy{n}", ((-1,), (-1, 1), (1, -1), (-1,))[n])
        yield "phy", folder / f"phy{n}", [trains[0], trains[1], trains[3]]
        trains = made.neuroscope(where := within(f"neuroscope{n}"), (20_000, 24_000, 30_000, 32_000)[n])
        yield "Neuroscope", where / "session.xml", trains
        yield "SpikeInterface", folder / f"sif{n}", made.spikeinterface(folder / f"sif{n}", 10_000 * (n + 1))
        where = within(f"raw{n}")
        made.intan(where / "a.rhd", stop_s / 4, channels=4 * n + 1)
        made.intan_stimulation(where / "a.rhs", stop_s / 4, channels=n + 1)
        made.spikegadgets(where / "a.rec", stop_s / 4)
        yield "Intan", where / "a.rhd", None
        yield "Intan stimulation", where / "a.rhs", None
        yield "SpikeGadgets", where / "a.rec", None
        yield "SpikeGLX", more.spike_glx(within(f"glx{n}"), n + 1), None
    where = within("plexon")
    more.plexon(where / "a.plx")
    yield "Plexon", where / "a.plx", [np.zeros(number) for number in (100, 33, 33)]
    where = within("neuralynx")
    yield "Neuralynx", where, [np.zeros(number) for number in more.neuralynx(where)]


def test_a_hundred_files(tmp_path, peer):
    formats = collections.Counter()
    for kind, path, trains in written(tmp_path):
        facts, theirs = inspected(path), of_neo(path)
        assert isinstance(facts, dict), f"{path}: {facts}"
        formats[kind] += 1
        if trains is not None:
            assert facts["spikes"] == sum(map(len, trains)), path
            assert facts["units"] == len(trains), path
        if theirs is not None and kind not in NEO_SAYS_OTHERWISE:
            assert (facts["spikes"], len(facts["signals"])) == theirs, path
    of_libraries(tmp_path, peer("readers"), formats)
    made_here(tmp_path, formats)
    assert sum(formats.values()) >= 100 and len(formats) >= 20, formats


def of_libraries(tmp_path, python, formats):
    """Inspect what neo, SpikeInterface, pynapple and pynwb write, beside what they say they wrote."""
    folder = tmp_path / "others"
    folder.mkdir()
    program = pathlib.Path(__file__).with_name("files_of_others.py")
    done = subprocess.run([python, program, folder], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, wanted in json.loads(done.stdout.strip().splitlines()[-1]).items():
        path, facts = folder / name, inspected(folder / name)
        formats[f"{''.join(filter(str.isalpha, path.stem))} {path.suffix or 'folder'}"] += 1
        if isinstance(facts, str):
            expected = wanted if isinstance(wanted, str) else "pip install nixio"
            assert expected.lower() in facts.lower(), facts
            assert len(facts) < LONGEST_SENTENCE
        else:
            assert facts["units"] == len(wanted) and facts["spikes"] == sum(wanted), name


def made_here(tmp_path, formats):
    """Inspect empty and damaged files, and such of a suffix that nothing reads: each one sentence."""
    for suffix in SUFFIXES:
        for name, content in (("empty", b""), ("damaged", b"\x00\x17garbage" * 40)):
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(content)
            told = inspected(path)
            assert isinstance(told, str) and path.name in told and len(told) < LONGEST_SENTENCE, (path, told)
            formats["damaged"] += 1


@pytest.mark.skipif("BMI_FILES" not in os.environ, reason="BMI_FILES names no folder of files of others")
def test_files_of_others_are_answered_or_refused():
    looked = 0
    for path in sorted(pathlib.Path(os.environ["BMI_FILES"]).rglob("*")):
        if path.is_file() and _inspector(path).endswith(("spikes", "bins")):
            looked += 1
            told = inspected(path)
            assert isinstance(told, dict) or len(told) < LONGEST_SENTENCE, (path, told)
    assert looked
