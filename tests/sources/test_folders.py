"""Folders of acquisition systems and sorters: told by what is in them, asked about when several recordings are."""

import sys

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.recognised import recognised
from bmi_runtime.sources.spike_file import read_spikes

neo = pytest.importorskip("neo", reason="neo is not installed (pip install bmi-runtime[nwb])")
from tests.sources import acquisition_files as made  # noqa: E402


def check_trains(found, trains, rate_hz=made.RATE_HZ):
    assert len(found.trains_s) == len(trains)
    for read, train in zip(found.trains_s, trains, strict=True):
        np.testing.assert_allclose(read, np.sort(train), atol=0.5 / rate_hz + 1e-9)


@pytest.mark.parametrize("version", ["0.4.4.1", "0.5.5", "0.6.4", "0.6.7"])
def test_spikes_that_open_ephys_saved_are_units(tmp_path, version):
    trains = made.open_ephys_binary(tmp_path / "day", version=version)
    for given in (tmp_path / "day", tmp_path / "day" / "Record Node 101", next(tmp_path.rglob("recording1"))):
        found = read_spikes(given)
        check_trains(found, trains)
        np.testing.assert_allclose(found.segments_s, [(20.0, 24.0)], atol=2e-3)
    assert found.names[0].endswith("electrode 0 unit 1")


def test_events_on_another_clock_do_not_lengthen_the_recording(tmp_path):
    made.open_ephys_binary(tmp_path, events_at_s=[3600.0, 3601.0, 7200.0])
    found = read_spikes(tmp_path)
    np.testing.assert_allclose(found.segments_s, [(20.0, 24.0)], atol=2e-3)
    assert any("3 of 3 events of Tracking lie outside" in sentence for sentence in found.odd)


def test_two_hand_channels_of_two_rates_are_each_read_at_their_own(tmp_path):
    made.open_ephys_binary(tmp_path)
    (tmp_path / "map.toml").write_text(
        'name = "x"\n[bin]\nwidth_s = 0.05\n[position]\nchannels = ["HandX", "HandY"]\nunit = "m"\nscale = 1e-4\n'
    )
    recording = load_recording(tmp_path, mapping=tmp_path / "map.toml")
    centres = 20.0 + 0.05 * (np.arange(recording.n_bins) + 0.5)
    assert recording.n_bins == 80
    np.testing.assert_allclose(recording.position, made.hand_m(centres), atol=3e-4)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
def test_phy_and_kilosort(tmp_path, shape):
    trains = made.phy(tmp_path / "ks4", shape)
    for given in (tmp_path, tmp_path / "ks4", tmp_path / "ks4" / "spike_times.npy"):
        found = read_spikes(given)
        check_trains(found, [trains[0], trains[1], trains[3]])
    assert found.names == ["10 (good)", "11 (mua)", "13 (good)"]
    assert found.notes["left out"] == "1 clusters that were marked as noise"
    (tmp_path / "ks4" / "params.py").unlink()
    with pytest.raises(BadInput, match=r"params.py with 'sample_rate = ...' .* is not there"):
        read_spikes(tmp_path)


def test_spikeinterface(tmp_path):
    trains = made.spikeinterface(tmp_path / "sorting")
    for given in (tmp_path, tmp_path / "sorting", tmp_path / "sorting" / "numpysorting_info.json"):
        found = read_spikes(given)
        check_trains(found, trains)
        assert found.names == ["a", "b", "c", "d"]
    made.spikeinterface(tmp_path / "two", segments=2)
    with pytest.raises(BadInput, match="2 segments, whose times begin at 0 each"):
        read_spikes(tmp_path / "two")
    made.spikeinterface(tmp_path / "odd", names=("a", "b"))
    with pytest.raises(BadInput, match=r"units that numpysorting_info\.json does not name"):
        read_spikes(tmp_path / "odd")


def test_neuroscope(tmp_path):
    trains = made.neuroscope(tmp_path)
    found = read_spikes(tmp_path / "session.xml")
    check_trains(found, trains, 20_000)
    assert found.names == ["1.2", "2.2", "2.3"]
    (tmp_path / "session.clu.2").unlink()
    with pytest.raises(BadInput, match=r"session.clu.2 is not beside it"):
        read_spikes(tmp_path / "session.xml")


def test_several_recordings_in_a_folder_are_asked_about(tmp_path):
    for day in ("monday", "tuesday"):
        made.open_ephys_binary(tmp_path / day)
    with pytest.raises(BadInput, match=r"folder with 2 recordings; give what you mean .*monday.*tuesday"):
        recognised(tmp_path)
    assert recognised(tmp_path / "monday").path == tmp_path / "monday"


def test_record_nodes_and_probes_of_one_session_are_one_recording(tmp_path):
    made.open_ephys_binary(tmp_path / "day")
    (tmp_path / "day" / "Record Node 101").rename(tmp_path / "day" / "Record Node 102")
    made.open_ephys_binary(tmp_path / "day")
    assert recognised(tmp_path).path == tmp_path / "day"
    run = tmp_path / "np" / "run_g0"
    for probe in (0, 1):
        (run / f"run_g0_imec{probe}").mkdir(parents=True)
        (run / f"run_g0_imec{probe}" / f"run_g0_t0.imec{probe}.ap.meta").write_text("nSavedChans=4\n")
    assert recognised(tmp_path / "np").path == run


def test_a_folder_with_files_that_are_recordings_names_them(tmp_path):
    made.blackrock(tmp_path)
    with pytest.raises(BadInput, match=r"folder with one; give what you mean \(Blackrock: .*rig.nev\)"):
        recognised(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="without a recording that is known"):
        recognised(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pl2", b"x", "export it to .plx or NWB"),
        ("a.pkl", b"x", "pickle can run any program"),
        ("a.csv", b"x", "is read by 'bmi decode', 'bmi compare' and 'bmi inspect', through a mapping"),
        ("a.rhd", b"not intan", "does not begin as a Intan file does"),
        ("a.plx", b"", "the file is empty"),
        ("a.xyz", b"x", "no format of the suffix '.xyz' is read"),
    ],
)
def test_what_is_not_read_says_what_to_do(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_spikes(tmp_path / name)


def test_a_tdt_block(tmp_path):
    trains = made.tdt(tmp_path)
    for given in (tmp_path, tmp_path / "Block-1", tmp_path / "Block-1" / "tank_Block-1.tsq"):
        found = read_spikes(given)
        check_trains(found, trains)
        np.testing.assert_allclose(found.segments_s, [(0.0, 4.0)], atol=1e-6)
    (tmp_path / "map.toml").write_text(
        'name = "x"\n[bin]\nwidth_s = 0.05\n[position]\nchannels = ["Hand 1", "Hand 2"]\nunit = "m"\nscale = 1e-6\n'
    )
    recording = load_recording(tmp_path, mapping=tmp_path / "map.toml")
    centres = 0.05 * (np.arange(recording.n_bins) + 0.5) - 0.5 / made.SLOW_HZ
    np.testing.assert_allclose(recording.position, made.hand_m(centres), atol=1e-3)


def test_raw_recordings_of_intan_and_spikegadgets(tmp_path):
    samples = made.intan(tmp_path / "a.rhd")
    found = read_spikes(tmp_path / "a.rhd")
    np.testing.assert_allclose(found.segments_s, [(0.0, samples / 20_000)])
    assert found.signals[0] == "A-000: 20000 Hz, uV"
    assert found.trains_s == []
    made.spikegadgets(tmp_path / "b.rec")
    found = read_spikes(tmp_path / "b.rec")
    np.testing.assert_allclose(found.segments_s, [(0.0, 1.0)])
    assert len(found.signals) == 32
    with pytest.raises(BadInput, match="there are no spikes in it"):
        load_recording(tmp_path / "a.rhd")


def test_intan_with_stimulation(tmp_path):
    samples = made.intan_stimulation(tmp_path / "a.rhs")
    found = read_spikes(tmp_path / "a.rhs")
    np.testing.assert_allclose(found.segments_s, [(0.0, samples / 30_000)])
    assert found.signals[0] == "A-000: 30000 Hz, uV" and "ANALOG-IN-1: 30000 Hz, V" in found.signals
    assert found.trains_s == []
    with pytest.raises(BadInput, match="no spikes in it"):
        load_recording(tmp_path / "a.rhs")


def test_an_electrode_of_alpha_omega_that_did_not_fire_in_one_of_the_files(tmp_path):
    """Neo looks it up in vain there, and what it raised refused the whole folder."""
    one, other = made.alpha_omega(tmp_path, start_s=1000.0, name="LT1D1.217F0001.mpx")
    alone, _ = made.alpha_omega(tmp_path, start_s=1010.0, silent=(2,), name="LT1D2.254F0001.mpx")
    found = read_spikes(tmp_path)
    check_trains(found, [np.concatenate([one, alone]), other])
    assert len(found.segments_s) == 2


def test_alpha_omega(tmp_path):
    """The clock runs at 22,321.43 Hz; the whole number that neo takes is 20 ms off after a quarter of an hour."""
    trains = made.alpha_omega(tmp_path / "day", start_s=1000.0)
    for given in (tmp_path / "day", tmp_path / "day" / "F240605-0001.mpx"):
        found = read_spikes(given)
        check_trains(found, trains)
        np.testing.assert_allclose(found.segments_s, [(1000.0, 1004.0)])
        assert found.events == {"TTL 01": 40}
        assert "every unit that was sorted on it" in found.notes["units"]


def in_capitals(folder):
    for file in folder.rglob("*.*"):
        file.rename(file.with_name(file.name.upper()))


def test_suffixes_in_capitals(tmp_path):
    (tmp_path / "a").mkdir()
    trains = made.blackrock(tmp_path / "a")
    made.tdt(tmp_path / "b")
    electrodes = made.alpha_omega(tmp_path / "c")
    (tmp_path / "d").mkdir()
    made.intan_stimulation(tmp_path / "d" / "x.rhs")
    made.intan(tmp_path / "d" / "y.rhd")
    for name in ("a", "b/Block-1", "c", "d"):
        in_capitals(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    found = read_spikes(tmp_path / "a" / "RIG.NEV")
    assert found.spikes == [len(train) for train in trains] and any("HandX" in signal for signal in found.signals)
    check_trains(read_spikes(tmp_path / "b"), made.trains_s(0.0, 4.0, units=3, seed=3))
    check_trains(read_spikes(tmp_path / "c"), electrodes, 22_321)
    assert read_spikes(tmp_path / "d" / "X.RHS").signals and read_spikes(tmp_path / "d" / "Y.RHD").signals
    assert sorted(tmp_path.rglob("*")) == before


def test_a_nev_that_was_cut_short_says_so(tmp_path):
    made.blackrock(tmp_path)
    assert read_spikes(tmp_path / "rig.nev").odd == []
    whole = (tmp_path / "rig.nev").read_bytes()
    (tmp_path / "rig.nev").write_bytes(whole[: len(whole) - 11])
    assert any("it was cut short" in sentence for sentence in read_spikes(tmp_path / "rig.nev").odd)


def test_nix(tmp_path):
    pytest.importorskip("nixio", reason="nixio is not installed (pip install nixio)")
    import quantities as pq

    trains = made.trains_s(0.0, 4.0, seed=9)
    block = neo.Block(segments=[neo.Segment()])
    block.segments[0].spiketrains.extend(neo.SpikeTrain(train * pq.s, t_stop=4.0 * pq.s) for train in trains)
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as file:
        file.write_block(block)
    check_trains(read_spikes(tmp_path / "a.nix"), trains)


def test_nix_without_its_library_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nixio", None)
    (tmp_path / "a.nix").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(BadInput, match="nixio"):
        read_spikes(tmp_path / "a.nix")


ZARR_3 = '{"zarr_format": 3, "node_type": "group", "attributes": {"neurodata_type": "NWBFile"}}'
SORTING = '{"zarr_class_info": {"class": "spikeinterface.core.zarrextractors.ZarrSortingExtractor"}}'


@pytest.mark.parametrize(
    ("name", "files", "told"),
    [
        ("a.nwb.zarr", {".zgroup": "{}", ".zattrs": '{"neurodata_type": "NWBFile"}'}, "export it to .nwb (HDF5)"),
        ("a.nwb", {"zarr.json": ZARR_3}, "export it to .nwb (HDF5)"),
        ("sorting.zarr", {".zgroup": "{}", ".zattrs": SORTING}, "save it with format='numpy_folder'"),
        ("raw.zarr", {".zgroup": "{}", ".zattrs": SORTING.replace("Sorting", "Recording")}, "without spikes"),
        ("analyzer.zarr", {".zgroup": "{}", ".zattrs": '{"spikeinterface_info": {}}'}, "format='binary_folder'"),
        ("counts.zarr", {".zarray": "{}"}, "save counts, bin_s, velocity and position as .npz"),
        ("raw", {"binary.json": "{}", "traces_cached_seg0.raw": ""}, "without spikes"),
        ("a.npz", {}, "is a folder without a recording that is known"),
        ("a.gdf", {"notes.txt": "x"}, "is a folder without a recording that is known"),
    ],
)
def test_folders_that_are_not_read_say_what_to_do(tmp_path, name, files, told):
    (folder := tmp_path / name).mkdir()
    for file, content in files.items():
        (folder / file).write_text(content)
    for read in (read_spikes, load_recording):
        with pytest.raises(BadInput) as refusal:
            read(folder)
        assert told in str(refusal.value) and name in str(refusal.value)
