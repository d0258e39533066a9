"""`bmi inspect` on recordings of acquisition systems and laboratories: what is in them, what is odd."""

import json
import warnings

import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.mapping import load_mapping, pieces, shipped_mappings
from bmi_runtime.sources.oddities import joins, of_bins, of_spikes, time_breaks
from bmi_runtime.sources.spike_file import SpikeFile


def facts_of(path, *more):
    result = CliRunner().invoke(inspect, [str(path), "--json", *more])
    if isinstance(result.exception, BadInput):
        raise result.exception
    assert result.exception is None, result.exception
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "units", "spikes", "words"),
    [
        ("acquisition/A8604-211122.nwb", 3, 21_354, []),
        ("acquisition/l101210-001.nev", 218, 14_210, []),
        ("acquisition/pause_correct.nev", 195, 11_183, ["a pause of 27.009 s"]),
        ("spike_trains/Demas2003_6WK_CTRL_ME3_1B.h5", 38, 418_810, []),
        ("spike_trains/winny131_23.gdf", 2, 20_044, ["... 127 silences of all units"]),  # between 128 trials
        ("spike_trains/jenny201_345_preprocessed.gdf", 3, 19_249, ["... 127 silences of all units"]),
    ],
)
def test_spikes_of_every_recording(recordings, name, units, spikes, words):
    facts = facts_of(recordings / name)
    assert (facts["units"], facts["spikes"]) == (units, spikes)
    for word in words:
        assert any(word in sentence for sentence in facts["odd"])
    assert any("no unit fires" in sentence for sentence in facts["odd"]) == ("silences" in " ".join(words))


@pytest.mark.parametrize(
    ("name", "bins", "units", "bin_s", "unit"),
    [
        ("reach/m1_stevenson_2011.mat", 15_536, 171, 0.05, "m/s"),
        ("reach/wu_midterm_train.mat", 3100, 42, 0.07, "the file's unit"),
        ("closed_loop/hennig2018_20131218.mat", 4788 + 7446, 87, 0.045, "m/s"),
        ("closed_loop/golub2018_bci_learning_exampleData.mat", 552, 86, 0.045, "m/s"),
    ],
)
def test_bins_of_every_recording(recordings, name, bins, units, bin_s, unit):
    facts = facts_of(recordings / name)
    assert (facts["bins"], facts["units"], facts["bin_s"], facts["velocity_unit"]) == (bins, units, bin_s, unit)


def test_nested_pieces_are_joined_in_si_units(recordings):
    path = recordings / "closed_loop" / "hennig2018_20131218.mat"
    raw = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["D"].blocks
    recording = load_recording(path)
    np.testing.assert_array_equal(recording.counts, np.vstack([block.spikes for block in raw]))
    np.testing.assert_allclose(recording.velocity, 1e-3 * np.vstack([block.velNext for block in raw]), rtol=1e-12)
    assert np.flatnonzero(recording.restart).tolist() == [0, 4788]


def spike_file(trains, segments=((0.0, 100.0),)):
    return SpikeFile("made", trains, [f"u{i}" for i in range(len(trains))], list(segments))


def test_oddities_of_spikes_are_found_and_nothing_else_is():
    rng = np.random.default_rng(3)
    trains = [np.cumsum(0.002 + rng.exponential(0.05, 1500)) for _ in range(5)]
    assert of_spikes(spike_file(trains)) == []
    copy = trains[0][::2] + 2e-5
    paused = [np.concatenate([t[t < 20.0], t[t >= 20.0] + 3.0]) for t in [*trains, copy, np.zeros(0)]]
    odd = " | ".join(of_spikes(spike_file([*paused, trains[1][::-1]], [(0.0, 200.0)])))
    assert "units fire together within 0.1 ms in 100%" in odd
    assert "1 unit without a spike: u6" in odd
    assert "whose spike times go back" in odd
    assert ": u0, u5" in odd
    assert odd.index(": u7") > odd.index("go back")
    alone = " | ".join(of_spikes(spike_file(paused[:5], [(0.0, 200.0)])))
    assert "no unit fires for 3." in alone
    trials = [t[(t % 5.0) < 3.0] for t in trains]
    assert "... 15 silences of all units" in " | ".join(of_spikes(spike_file(trials, [(0.0, 200.0)])))
    reset = " | ".join(of_spikes(spike_file(trains, [(0.0, 50.0), (1.0, 100.0)])))
    assert "a reset of the clock of 49.000 s" in reset


def made_recording(**changes):
    from bmi_runtime.sources.datafile import recording_from_arrays

    rng = np.random.default_rng(4)
    velocity = np.sin(np.arange(400)[:, None] / [15.0, 22.0]) + 0.01 * rng.normal(size=(400, 2))
    arrays = {"counts": rng.poisson(2.0, (400, 6)), "velocity": velocity}
    arrays["position"] = np.cumsum(velocity, axis=0) * 0.05
    return recording_from_arrays("made", bin_s=0.05, **(arrays | changes(arrays) if changes else arrays))


def test_oddities_of_bins_are_found_and_nothing_else_is():
    from bmi_runtime.sources.datafile import recording_from_arrays

    good = made_recording()
    assert of_bins(good) == time_breaks(0.05 * np.arange(400)) == []
    counts, position = good.counts.copy(), good.position.copy()
    counts[:, 2], counts[:, 4] = 0, counts[:, 1]
    position[200:] += 3.0
    time_s = 0.05 * np.arange(400.0)
    time_s[100:] += 2.0
    time_s[300:] -= 9.0
    spoiled = recording_from_arrays("made", counts, 0.05, good.velocity, position)
    odd = " | ".join(of_bins(spoiled) + time_breaks(time_s))
    assert "1 unit that never changes its count: 2" in odd
    assert "units 1 and 4 have the same count in every bin" in odd
    assert "a pause of 2.050 s before bin 100" in odd
    assert "time goes back at bin 300" in odd
    assert joins(spoiled).tolist() == [200]


def test_wrong_formats_get_one_sentence(tmp_path):
    for suffix in (".nwb", ".nev", ".ns2", ".mat", ".npz", ".gdf", ".h5"):
        path = tmp_path / f"wrong{suffix}"
        path.write_bytes(b"this is a letter, not a recording\n" * 20)
        with pytest.raises(BadInput, match=rf"wrong\{suffix}") as caught:
            facts_of(path)
        assert "\n" not in str(caught.value)


def nwb_file(path, units=True, velocity=False):
    import datetime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO, NWBFile, TimeSeries

        content = NWBFile("made", "made", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        times = np.arange(0, 20.0, 0.01)
        if units:
            for unit in range(3):
                content.add_unit(spike_times=np.arange(0.1 * unit + 0.005, 19.9, 0.1 * (unit + 1)))
        if velocity:
            table = 100.0 * np.column_stack([np.sin(times), np.cos(times), 0 * times])
            module = content.create_processing_module("behavior", "made")
            module.add(TimeSeries("hand_velocity", data=table, unit="cm/s", rate=100.0, starting_time=0.0))
        with NWBHDF5IO(str(path), "w") as handle:
            handle.write(content)
    return path


def test_nwb_without_units_is_refused_and_one_with_behaviour_is_binned(tmp_path):
    with pytest.raises(BadInput, match="has no units"):
        facts_of(nwb_file(tmp_path / "empty.nwb", units=False))
    with pytest.raises(BadInput, match="no velocity or position"):
        load_recording(nwb_file(tmp_path / "spikes.nwb"))
    recording = load_recording(nwb_file(tmp_path / "all.nwb", velocity=True))
    assert recording.bin_s == 0.05
    assert recording.counts[:10].sum(axis=0).tolist() == [5, 2, 1]
    centre = 0.05 * np.arange(recording.n_bins) + 0.02
    np.testing.assert_allclose(recording.velocity[:, 0], np.sin(centre), atol=1e-3)


MAPPING = """
name = "mine"
[counts]
variable = "n"
[bin]
width_s = 0.05
[velocity]
variable = "v"
unit = "{velocity}"
[position]
variable = "p"
unit = "{position}"
"""


@pytest.mark.parametrize(
    ("velocity", "position", "words"),
    [
        ("m/s", "m", None),
        ("cm/s", "cm", None),
        ("cms", "m", "not a unit for it; did you mean 'cm/s'"),
        ("m", "m", "gives velocity in 'm', which is not a unit for it"),
        ("m/s", "cm", "100 times the change of the position"),
        ("cm/s", "m", "0.01 times the change of the position"),
    ],
)
def test_units_of_a_mapping(tmp_path, velocity, position, words):
    made = made_recording()
    scipy.io.savemat(tmp_path / "a.mat", {"n": made.counts, "v": made.velocity, "p": made.position})
    (tmp_path / "map.toml").write_text(MAPPING.format(velocity=velocity, position=position))
    if words is None:
        scale = 0.01 if velocity == "cm/s" else 1.0
        recording = load_recording(tmp_path / "a.mat", mapping=tmp_path / "map.toml")
        np.testing.assert_allclose(recording.kinematics, scale * made.kinematics)
        return
    with pytest.raises(BadInput, match=words):
        facts_of(tmp_path / "a.mat", "--mapping", str(tmp_path / "map.toml"))


def test_mappings_that_do_not_fit_say_where(tmp_path):
    made = made_recording()
    scipy.io.savemat(tmp_path / "a.mat", {"n": made.counts, "v": 1e3 * made.velocity})
    text = MAPPING.format(velocity="m/s", position="m")
    for change, words in (
        (('variable = "p"', 'variable = "q.r"'), "the mapping names 'q.r'"),
        (("[bin]", "[bins]"), "bin: field required"),
        (("width_s", "width_ms"), "bin.width_s: field required"),
        (('[position]\nvariable = "p"\nunit = "m"\n', ""), "as fast as 1.0.e\\+03 m/s"),
    ):
        (tmp_path / "map.toml").write_text(text.replace(*change))
        with pytest.raises(BadInput, match=words):
            load_recording(tmp_path / "a.mat", mapping=tmp_path / "map.toml")
    with pytest.raises(BadInput, match="cannot be read"):
        load_mapping(tmp_path / "absent.toml")


def test_paths_and_shipped_mappings():
    assert [piece.tolist() for piece in pieces({"a": np.arange(3)}, "a[*]")] == [0, 1, 2]
    with pytest.raises(KeyError):
        pieces({"a": np.arange(3)}, "a.b")
    assert len({mapping.name for mapping in shipped_mappings()}) == 6
