"""What real files did and written ones had not: MClust's beside Neuralynx's, cut SpikeGLX, marks, archives."""

import json

import numpy as np
import pytest

from bmi_runtime.cli.inspect_data import inspect_spikes
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.file_wholeness import cut_short
from bmi_runtime.sources.recognised import Format, begins_as, recognised
from bmi_runtime.sources.spike_file import read_spikes

HEADER = b"%%BEGINHEADER\n% Program: matlab\n% Time of spiking stored in timestamps (tenths of msecs)\n%%ENDHEADER\n"
TRAINS = ([43728814, 43728909, 43732893], [43730000, 89765022])


def mclust(folder, suffix=".t", kind=">u4", header=HEADER):
    folder.mkdir(exist_ok=True)
    for number, ticks in enumerate(TRAINS):
        (folder / f"day-TT01_{number}{suffix}").write_bytes(header + np.array(ticks, kind).tobytes())


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".t", ">u4"), ("._t", ">u4"), (".t32", ">u4"), (".t64", ">u8"), (".t", ">u8")]
)
def test_sorted_spikes_of_mclust(tmp_path, suffix, kind):
    mclust(tmp_path / "day", suffix, kind, HEADER.replace(b"\n", b"\r\n") if suffix == ".t32" else HEADER)
    for given in (tmp_path, tmp_path / "day", tmp_path / "day" / f"day-TT01_0{suffix}"):
        found = read_spikes(given)
        for train_s, ticks in zip(found.trains_s, TRAINS, strict=True):
            np.testing.assert_allclose(train_s, np.array(ticks) * 1e-4, rtol=1e-12)
        assert found.segments_s == [(pytest.approx(4372.8814), pytest.approx(8976.5022))]
    assert found.notes.get("of these") == ("2 in ._t files" if suffix == "._t" else None)


def test_mclust_that_was_cut_or_has_no_header(tmp_path):
    mclust(tmp_path)
    file = tmp_path / "day-TT01_1.t"
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    with pytest.raises(BadInput, match="ends 1 bytes into a time of 4: it was cut short"):
        read_spikes(tmp_path)
    file.write_bytes(whole[:30])
    with pytest.raises(BadInput, match="no whole header of MClust"):
        read_spikes(tmp_path)


def test_two_recordings_in_one_folder_are_asked_about_by_a_file_of_each(tmp_path):
    mclust(tmp_path)
    (tmp_path / "Events.nev").write_bytes(b"######## Neuralynx Data File Header\r\n".ljust(16384, b"\0"))
    with pytest.raises(BadInput, match=r"2 recordings; .*Neuralynx: .*Events.nev.*MClust: .*TT01_0.t"):
        recognised(tmp_path)
    assert recognised(tmp_path / "day-TT01_0.t").format.name == "MClust"


def test_a_spikeglx_file_that_is_shorter_than_its_meta_says(tmp_path):
    (tmp_path / "run_g0_t0.nidq.bin").write_bytes(bytes(8000))
    meta = tmp_path / "run_g0_t0.nidq.meta"
    for said, wanted in (("8000", False), ("12000", True), ("7998", False), ("", False), ("many", False)):
        meta.write_text(f"typeThis=nidq\nfileSizeBytes={said}\n")
        for given in (tmp_path, meta, meta.with_suffix(".bin")):
            odd = cut_short(given)
            assert odd == ["run_g0_t0.nidq.bin has 8,000 of the 12,000 bytes that its .meta says: cut short"] * wanted


def test_an_index_of_open_ephys_without_its_samples_says_what_is_missing(tmp_path):
    stream = {"folder_name": "Probe-A/", "sample_rate": 30000, "num_channels": 1, "channels": [{"channel_name": "CH1"}]}
    index = tmp_path / "experiment1" / "recording1" / "structure.oebin"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"GUI version": "0.6.7", "continuous": [stream], "events": [], "spikes": []}))
    with pytest.raises(BadInput, match=r"continuous/Probe-A/continuous.dat is missing, and 1 more"):
        read_spikes(index)


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("lab.xdf", b"XDF:\x01\x02<?xml version='1.0'?>", "load it with pyxdf"),
        ("cap.snirf", b"\x89HDF\r\n\x1a\n", "near-infrared"),
        ("all.zip", b"PK\x03\x04", "unpack it"),
    ],
)
def test_files_that_begin_as_others_do_are_not_called_those(tmp_path, name, start, words):
    (tmp_path / name).write_bytes(start.ljust(400, b" "))
    with pytest.raises(BadInput, match=words) as refused:
        read_spikes(tmp_path / name)
    assert "give it that ending" not in str(refused.value)


def test_a_beginning_that_many_formats_share_is_no_hint(tmp_path):
    (tmp_path / "notes.foo").write_bytes(b"<?xml version='1.0'?><anything/>")
    assert begins_as(tmp_path / "notes.foo") == ""


def test_a_mark_before_a_text_is_not_its_beginning():
    brain_vision = Format("BrainVision", "BrainVisionRawIO", (".vhdr",), (b"Brain Vision",))
    assert brain_vision.begins_well(b"\xef\xbb\xbfBrain Vision Data Exchange")


def test_many_stretches_are_counted_and_no_spikes_are_odd(tmp_path, monkeypatch):
    from bmi_runtime.sources import spike_file

    made = spike_file.SpikeFile("x", [], [], [(3.0 * n, 3.0 * n + 2.0) for n in range(30)])
    monkeypatch.setattr(spike_file, "read_spikes", lambda file, tick_s=None: made)
    facts, view = inspect_spikes(tmp_path)
    assert facts["odd"][0].startswith("it holds no spikes") and len(facts["segments_s"]) == 30
    cells = str([cell for column in view.renderables[1].columns for cell in column.cells])
    assert "30 stretches in all, the last to 89.000 s" in cells and "84.000 to 86.000" not in cells
