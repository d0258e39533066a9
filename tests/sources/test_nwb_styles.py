"""NWB files as laboratories write them: what `bmi inspect` says of each, and what is decoded from it."""

import datetime
import json
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import h5py
    from hdmf.common import VectorData, VectorIndex
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.behavior import Position, SpatialSeries
    from pynwb.misc import Units

RATE_HZ, STOP_S = 100.0, 40.0
TIMES_S = np.arange(0.0, STOP_S, 1 / RATE_HZ)
BIN_S = 0.05


def path_m(times_s):
    """Where the hand is, m."""
    return np.column_stack([0.1 * np.sin(times_s), 0.08 * np.cos(0.7 * times_s)])


def velocity_m_s(times_s):
    return np.column_stack([0.1 * np.cos(times_s), -0.056 * np.sin(0.7 * times_s)])


def spikes(units=6, stop_s=STOP_S, seed=1):
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(0, stop_s, 400 + 50 * unit)) for unit in range(units)]
    return [train[np.diff(train, prepend=-1.0) > 0.002] for train in trains]


class Style:
    """One file under construction."""

    def __init__(self):
        self.nwb = NWBFile("made", "made", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        self.behavior = self.nwb.create_processing_module("behavior", "made")

    def units(self, trains=None, **columns):
        for index, train in enumerate(spikes() if trains is None else trains):
            more = {name: values[index] for name, values in columns.items()}
            self.nwb.add_unit(spike_times=train, **more)
        return self

    def position(self, *series):
        self.behavior.add(Position(name="Position", spatial_series=list(series)))
        return self

    def write(self, folder):
        file = folder / "made.nwb"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with NWBHDF5IO(str(file), "w") as handle:
                handle.write(self.nwb)
        return file


def spatial(name="hand", data=None, **more):
    if "rate" not in more and "timestamps" not in more:
        more |= {"rate": RATE_HZ, "starting_time": 0.0}
    more = {"unit": "meters", "reference_frame": "centre of the screen", **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SpatialSeries(name=name, data=path_m(TIMES_S) if data is None else data, **more)


def facts_of(path):
    result = CliRunner().invoke(inspect, [str(path), "--json"])
    if result.exception is not None:
        raise result.exception
    CliRunner().invoke(inspect, [str(path)], catch_exceptions=False)  # the view for a person
    return json.loads(result.stdout.splitlines()[-1])


def centres(recording):
    return BIN_S * (np.arange(recording.n_bins) + 0.5) - 0.5 / RATE_HZ


@pytest.fixture
def style():
    return Style()


def test_nothing_is_odd_in_a_plain_file(style, tmp_path):
    file = style.units().position(spatial()).write(tmp_path)
    facts = facts_of(file)
    assert (facts["format"], facts["units"], facts["odd"]) == ("NWB", 6, [])
    assert facts["spikes"] == sum(map(len, spikes()))
    recording = load_recording(file)
    assert (recording.position_unit, recording.velocity_unit, recording.n_bins) == ("m", "m/s", 800)
    assert recording.origins == {"position": "behavior/Position/hand"}
    np.testing.assert_allclose(recording.position, path_m(centres(recording)), atol=1e-4)
    edges = BIN_S * np.arange(801)
    expected = np.column_stack([np.histogram(train, edges)[0] for train in spikes()])
    np.testing.assert_array_equal(recording.counts, expected)


@pytest.mark.parametrize(
    ("scale", "more"),
    [
        (100.0, {"unit": "cm"}),
        (100.0, {"unit": "meters", "conversion": 0.01}),
        (1000.0, {"unit": "millimeters"}),
        (1.0, {"unit": "m", "timestamps": TIMES_S}),
        (1.0, {"unit": "m", "offset": 0.0, "timestamps": TIMES_S + 1e-9}),
    ],
)
def test_units_and_clocks_of_a_position(style, tmp_path, scale, more):
    recording = load_recording(style.units().position(spatial(data=scale * path_m(TIMES_S), **more)).write(tmp_path))
    assert recording.position_unit == "m"
    np.testing.assert_allclose(recording.position, path_m(centres(recording)), atol=1e-4)


def test_a_late_start_of_the_behaviour(style, tmp_path):
    late = spatial(data=path_m(TIMES_S[1000:]), rate=RATE_HZ, starting_time=10.0)
    file = style.units().position(late).write(tmp_path)
    assert any("covers 10.000 to 39.990 s, the spikes 0." in sentence for sentence in facts_of(file)["odd"])
    recording = load_recording(file)
    assert recording.n_bins == 600
    expected = np.column_stack([np.histogram(t, 10 + BIN_S * np.arange(601))[0] for t in spikes()])
    np.testing.assert_array_equal(recording.counts, expected)
    np.testing.assert_allclose(recording.position, path_m(10.0 + centres(recording)), atol=1e-4)


def test_the_hand_comes_before_cursor_and_eye(style, tmp_path):
    style.units().position(spatial("eye", -path_m(TIMES_S)), spatial("cursor", 2 * path_m(TIMES_S)), spatial("hand"))
    style.behavior.add(
        TimeSeries(name="cursor_vel", data=2 * velocity_m_s(TIMES_S), unit="m/s", rate=RATE_HZ, starting_time=0.0)
    )
    style.behavior.add(
        TimeSeries(name="hand_vel", data=velocity_m_s(TIMES_S), unit="m/s", rate=RATE_HZ, starting_time=0.0)
    )
    file = style.write(tmp_path)
    assert facts_of(file)["odd"] == []
    recording = load_recording(file)
    assert recording.origins == {
        "velocity": "behavior/hand_vel",
        "position": "behavior/Position/hand",
    }
    np.testing.assert_allclose(recording.velocity, velocity_m_s(centres(recording)), atol=1e-4)


MAPPING = """
name = "mine"
[bin]
width_s = 0.1
[position]
variable = "behavior/Position/cursor"
columns = [1, 0]
unit = "{unit}"
scale = {scale}
"""


@pytest.mark.parametrize(
    ("unit", "scale", "words"),
    [
        ("m", 0.5, None),
        ("cm", 50.0, None),
        ("file", 0.5, None),
        ("m", 500.0, "changes as fast as .* the unit in the mapping is wrong"),
        ("inch", 1.0, "gives position in 'inch', which is not a unit for it"),
        ("m", 0.0, "a scale of 0 leaves nothing"),
    ],
)
def test_a_mapping_chooses_another_series(style, tmp_path, unit, scale, words):
    file = style.units().position(spatial("hand"), spatial("cursor", 2 * path_m(TIMES_S))).write(tmp_path)
    (tmp_path / "map.toml").write_text(MAPPING.format(unit=unit, scale=scale))
    if words:
        with pytest.raises(BadInput, match=words):
            load_recording(file, mapping=tmp_path / "map.toml")
        return
    recording = load_recording(file, mapping=tmp_path / "map.toml")
    assert (recording.bin_s, recording.n_bins) == (0.1, 400)
    at = 0.1 * (np.arange(400) + 0.5) - 0.5 / RATE_HZ
    np.testing.assert_allclose(recording.position, path_m(at)[:, ::-1], atol=2e-4)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('variable = "behavior/Position/elbow"', "there is no series 'behavior/Position/elbow'"),
        ('variable = "behavior/Position/cursor"\ncolumns = [0, 2]', "has 2 columns, the mapping names"),
        ('channels = ["a", "b"]', "names a series .variable., not channels"),
        ("unit = 'm'", "either a variable"),
    ],
)
def test_a_mapping_that_does_not_fit(style, tmp_path, line, words):
    file = style.units().position(spatial("cursor")).write(tmp_path)
    (tmp_path / "map.toml").write_text(f'name = "x"\n[bin]\nwidth_s = 0.05\n[position]\n{line}\n')
    with pytest.raises(BadInput, match=words) as caught:
        load_recording(file, mapping=tmp_path / "map.toml")
    assert "\n" not in str(caught.value)


def test_x_and_y_as_two_series(style, tmp_path):
    style.units()
    for column, name in enumerate(("hand_x", "hand_y")):
        style.behavior.add(
            TimeSeries(name=name, data=path_m(TIMES_S)[:, column], unit="m", rate=RATE_HZ, starting_time=0.0)
        )
    recording = load_recording(style.write(tmp_path))
    assert recording.origins["position"] == "behavior/hand_x and behavior/hand_y"
    np.testing.assert_allclose(recording.position, path_m(centres(recording)), atol=1e-4)


def test_gaps_of_the_position_are_not_recorded(style, tmp_path):
    data = path_m(TIMES_S)
    data[1000:1200] = np.nan
    file = style.units().position(spatial(data=data)).write(tmp_path)
    (said,) = facts_of(file)["odd"]
    assert "200 of 4000 samples are not recorded (5.0%), up to 2 s together" in said
    recording = load_recording(file)
    lost = ~np.isfinite(recording.position).all(axis=1)
    assert np.flatnonzero(lost).tolist() == list(range(200, 240))
    np.testing.assert_allclose(recording.position[~lost], path_m(centres(recording))[~lost], atol=1e-4)


def test_a_slow_tracker_is_interpolated(style, tmp_path):
    at = np.arange(0.0, STOP_S, 0.125)
    file = style.units().position(spatial(data=path_m(at), rate=8.0, starting_time=0.0)).write(tmp_path)
    recording = load_recording(file)
    known = np.isfinite(recording.position).all(axis=1)
    assert known[:-3].all()
    truth = path_m(BIN_S * (np.arange(recording.n_bins) + 0.5))
    assert np.abs(recording.position - truth)[known].max() < 0.006  # a bin that holds a sample is that sample


def test_a_pause_that_the_file_says(style, tmp_path):
    watched = np.array([[0.0, 15.0], [25.0, 40.0]])
    trains = [train[(train < 15) | (train > 25)] for train in spikes()]
    file = style.units(trains, obs_intervals=[watched] * 6).position(spatial()).write(tmp_path)
    facts = facts_of(file)
    assert facts["segments_s"] == [[0.0, 15.0], [25.0, 40.0]]
    assert facts["recorded_s"] == 30.0
    assert facts["odd"] == ["a pause of 10.000 s: recorded until 15.000 s, then from 25.000 s"]
    recording = load_recording(file)
    assert np.flatnonzero(recording.restart).tolist() == [0, 300]
    assert np.flatnonzero(recording.trial_start).tolist() == [0, 300]
    assert recording.n_bins == 600
    np.testing.assert_allclose(recording.position[300:], path_m(25 + centres(recording)[:300]), atol=1e-4)


def test_a_pause_that_nobody_says(style, tmp_path):
    keep = (TIMES_S < 15) | (TIMES_S >= 25)
    trains = [train[(train < 15) | (train > 25)] for train in spikes()]
    paused = spatial(data=path_m(TIMES_S)[keep], timestamps=TIMES_S[keep])
    file = style.units(trains).position(paused).write(tmp_path)
    odd = " | ".join(facts_of(file)["odd"])
    assert "no unit fires for 10." in odd
    assert "hand: a pause of 10.010 s after 14.990 s" in odd
    recording = load_recording(file)
    assert np.flatnonzero(recording.restart).tolist() == [0, 300]
    assert np.isfinite(recording.position).all()


def test_units_observed_at_different_times(style, tmp_path):
    watched = [np.array([[0.0, 20.0]])] * 3 + [np.array([[10.0, 40.0]])] * 3
    facts = facts_of(style.units(obs_intervals=watched).write(tmp_path))
    assert facts["segments_s"] == [[0.0, 40.0]]
    assert any("observed for different stretches" in sentence for sentence in facts["odd"])


def test_silent_empty_and_duplicate_units(style, tmp_path):
    trains = spikes()
    trains[2], trains[4] = np.zeros(0), trains[1]
    facts = facts_of(style.units(trains).write(tmp_path))
    odd = " | ".join(facts["odd"])
    assert "1 unit without a spike: 2" in odd
    assert "2 units fire together" in odd and ": 1, 4" in odd
    assert facts["rates_hz"]["2"] == 0.0
    (tmp_path / "few").mkdir()
    few = facts_of(Style().units([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.5, 9.0]]).write(tmp_path / "few"))
    assert any("2 units fire together" in sentence for sentence in few["odd"])


def test_a_clock_that_is_reset(style, tmp_path):
    times = np.concatenate([TIMES_S[:2000], TIMES_S[:2000]])
    trains = [np.concatenate([train[train < 20], train[train >= 20] - 20]) for train in spikes()]
    file = style.units(trains).position(spatial(timestamps=times)).write(tmp_path)
    odd = " | ".join(facts_of(file)["odd"])
    assert "6 units whose spike times go back (a reset of the clock, or unsorted)" in odd
    assert "time goes back once (a reset of the clock?), first from 19.990 to 0.000 s" in odd


def test_joins_in_the_position(style, tmp_path):
    data = path_m(TIMES_S)
    for join in (800, 1600, 2400):
        data[join:] += 0.05
    (said,) = facts_of(style.units().position(spatial(data=data)).write(tmp_path))["odd"]
    assert "the position jumps 3 times, by up to 0.0" in said
    assert "first at 8.000 s: joins of trials, or a lost marker?" in said


def test_reaches_with_rests_are_no_joins(style, tmp_path):
    """Minimum-jerk reaches of half a second, a second of rest: fast, still, and without a jump."""
    phase = np.clip((TIMES_S % 1.5) / 0.5, 0, 1)
    there = 10 * phase**3 - 15 * phase**4 + 6 * phase**5
    way = np.where((TIMES_S // 1.5) % 2 == 0, there, 1 - there)
    data = np.column_stack([0.1 * way, -0.07 * way])
    assert facts_of(style.units().position(spatial(data=data)).write(tmp_path))["odd"] == []


def test_units_that_cannot_be_right(style, tmp_path):
    style.units().position(spatial(data=1e3 * path_m(TIMES_S)), spatial("pen", unit="pixels"))
    style.behavior.add(
        TimeSeries(name="hand_vel", data=velocity_m_s(TIMES_S), unit="m/s", rate=RATE_HZ, starting_time=0.0)
    )
    odd = " | ".join(facts_of(style.write(tmp_path))["odd"])
    assert "moves as fast as" in odd and "is the unit wrong?" in odd
    assert "0.001 times the change of behavior/Position/hand (meters): one of the two units is wrong" in odd
    assert "'pixels' is not a known unit of length" in odd


def test_trials_with_columns_of_their_own(style, tmp_path):
    nwb = style.units().nwb
    nwb.add_trial_column("target", "x and y, cm")
    nwb.add_trial_column("result", "success or not")
    for trial in range(12):
        start = 3.0 * trial if trial != 7 else np.nan
        stop = start + (2.5 if trial != 4 else -1.0)
        nwb.add_trial(start_time=start, stop_time=stop, target=[8.0, -8.0], result="success")
    facts = facts_of(style.write(tmp_path))
    assert facts["events"]["trials"] == 12
    assert facts["notes"]["trials"] == "target, result"
    odd = " | ".join(facts["odd"])
    assert "1 of 12 trials have no start or stop time, the first is row 7" in odd
    assert "1 of 12 trials end before they begin, the first is row 4" in odd


def test_times_that_are_marked_invalid_are_left_out(style, tmp_path):
    style.units().position(spatial()).nwb.add_invalid_time_interval(start_time=10.0, stop_time=12.0)
    file = style.write(tmp_path)
    assert any("1 stretches, 2.000 s together, are marked invalid" in sentence for sentence in facts_of(file)["odd"])
    recording = load_recording(file)
    assert recording.n_bins == 760
    assert np.flatnonzero(recording.restart).tolist() == [0, 200]


def test_units_with_electrodes_waveforms_and_labels(style, tmp_path):
    nwb = style.nwb
    group = nwb.create_electrode_group("utah", "array", "M1", nwb.create_device("array"))
    for electrode in range(6):
        nwb.add_electrode(location="M1", group=group, id=electrode)
    nwb.add_unit_column("quality", "good or mua")
    for unit, train in enumerate(spikes()):
        nwb.add_unit(spike_times=train, electrodes=[unit], waveform_mean=np.ones(48), quality="good", id=100 + unit)
    facts = facts_of(style.write(tmp_path))
    assert list(facts["rates_hz"]) == [str(100 + unit) for unit in range(6)]
    assert set(facts["notes"]["columns of units"].split(", ")) == {"electrodes", "waveform_mean", "quality"}
    assert facts["odd"] == []


def counts_file(style, **more):
    rng = np.random.default_rng(3)
    counts = rng.poisson(1.5, (800, 5))
    clock = more or {"rate": 20.0, "starting_time": 0.0}
    module = style.nwb.create_processing_module("ecephys", "binned")
    module.add(TimeSeries(name="binned_spikes", data=counts, unit="count", **clock))
    return counts


def test_binned_counts_in_place_of_units(style, tmp_path):
    counts = counts_file(style)
    at = 0.05 * np.arange(800)
    style.behavior.add(TimeSeries(name="hand_vel", data=velocity_m_s(at), unit="m/s", rate=20.0, starting_time=0.0))
    style.position(spatial())
    file = style.write(tmp_path)
    facts = facts_of(file)
    assert facts["format"] == "NWB, binned counts (ecephys/binned_spikes)"
    assert (facts["units"], facts["spikes"], facts["recorded_s"], facts["odd"]) == (5, counts.sum(), 40.0, [])
    recording = load_recording(file)
    np.testing.assert_array_equal(recording.counts, counts)
    np.testing.assert_array_equal(recording.velocity, velocity_m_s(at))  # a row beside a row
    np.testing.assert_allclose(recording.position, path_m(centres(recording)), atol=1e-4)  # averaged over the bin


def test_a_mapping_takes_counts_in_place_of_units(style, tmp_path):
    counts = counts_file(style.units())
    file = style.position(spatial()).write(tmp_path)
    (tmp_path / "made.nwb.toml").write_text(
        'name = "x"\n[bin]\nwidth_s = 0.05\n[counts]\nvariable = "ecephys/binned_spikes"\n'
        '[position]\nvariable = "behavior/Position/hand"\n'
    )
    recording = load_recording(file)
    np.testing.assert_array_equal(recording.counts, counts)
    assert recording.position_unit == "m"


def test_binned_counts_with_a_pause_and_a_silent_unit(style, tmp_path):
    at = 0.05 * np.arange(800) + np.where(np.arange(800) >= 300, 7.0, 0.0)
    counts_file(style, timestamps=at)
    style.nwb.processing["ecephys"]["binned_spikes"].data[:, 3] = 0
    style.behavior.add(TimeSeries(name="hand_vel", data=velocity_m_s(at), unit="m/s", timestamps=at))
    file = style.write(tmp_path)
    odd = " | ".join(facts_of(file)["odd"])
    assert "1 unit that never changes its count: 3" in odd
    assert "a pause of 7.050 s before bin 300" in odd
    assert np.flatnonzero(load_recording(file).restart).tolist() == [0, 300]


def test_voltages_are_no_counts(style, tmp_path):
    from pynwb.ecephys import ElectricalSeries

    nwb = style.nwb
    group = nwb.create_electrode_group("utah", "array", "M1", nwb.create_device("array"))
    for _ in range(2):
        nwb.add_electrode(location="M1", group=group)
    region = nwb.create_electrode_table_region([0, 1], "all")
    nwb.add_acquisition(ElectricalSeries(name="spike_band", data=np.zeros((100, 2)), electrodes=region, rate=100.0))
    with pytest.raises(BadInput, match="no units and no series of counts"):
        facts_of(style.write(tmp_path))


def test_units_without_spike_times(style, tmp_path):
    style.nwb.add_unit_column("quality", "good or mua")
    style.nwb.add_unit(quality="good")
    with pytest.raises(BadInput, match="the units table of this NWB file has no spike_times"):
        facts_of(style.write(tmp_path))


def test_spike_times_that_are_no_numbers(style, tmp_path):
    trains = spikes()
    trains[0] = np.concatenate([trains[0], [np.nan, np.nan]])
    facts = facts_of(style.units(trains).write(tmp_path))
    assert facts["odd"][0] == "2 spike times are not finite numbers; they are left out"
    assert facts["spikes"] == sum(map(len, spikes()))


def test_times_that_are_not_as_many_as_the_samples(style, tmp_path):
    file = style.units().position(spatial(timestamps=TIMES_S)).write(tmp_path)
    with h5py.File(file, "r+") as raw:
        hand = raw["processing/behavior/Position/hand"]
        about = dict(hand["timestamps"].attrs)
        del hand["timestamps"]
        hand["timestamps"] = TIMES_S[:-5]
        hand["timestamps"].attrs.update(about)
    assert any("4000 samples have 3995 times" in sentence for sentence in facts_of(file)["odd"])
    with pytest.raises(BadInput, match="behavior/Position/hand has 4000 samples and 3995 times"):
        load_recording(file)


def test_behaviour_among_the_acquisition(style, tmp_path):
    style.units().nwb.add_acquisition(
        TimeSeries(name="cursorPos", data=path_m(TIMES_S), unit="m", rate=RATE_HZ, starting_time=0.0)
    )
    recording = load_recording(style.write(tmp_path))
    assert recording.origins == {"position": "cursorPos"}


def test_a_movement_along_a_line_has_one_axis(style, tmp_path):
    file = style.units().position(spatial(data=path_m(TIMES_S)[:, 0])).write(tmp_path)
    assert facts_of(file)["units"] == 6
    recording = load_recording(file)
    assert recording.position.shape[1] == recording.velocity.shape[1] == 1
    np.testing.assert_allclose(recording.position, path_m(centres(recording))[:, :1], atol=1e-4)


@pytest.mark.parametrize("others", [("decoded",), ("target",), ("decoded", "target")])
def test_a_cursor_and_what_was_decoded_of_one_axis_are_no_plane(style, tmp_path, others):
    """They were taken for x and y of a position: of our own export of a session of one axis, too."""
    line = path_m(TIMES_S)[:, 0]
    series = [spatial(name="cursor", data=line), *(spatial(name=name, data=-line) for name in others)]
    style.units().behavior.add(Position(spatial_series=series))
    recording = load_recording(style.write(tmp_path))
    assert recording.origins == {"position": "behavior/Position/cursor"} and recording.odd == ()
    np.testing.assert_allclose(recording.position, path_m(centres(recording))[:, :1], atol=1e-4)


def test_of_two_movements_along_a_line_the_one_that_is_not_taken_is_named(style, tmp_path):
    """Their names say nothing of x and y: one alone was decoded, without a word."""
    for name, line in zip(("position_across", "position_along"), path_m(TIMES_S).T, strict=True):
        style.behavior.add(TimeSeries(name=name, data=line, unit="m", rate=RATE_HZ, starting_time=0.0))
    recording = load_recording(style.units().write(tmp_path))
    (taken,) = recording.origins.values()
    (left,) = {"behavior/position_across", "behavior/position_along"} - {taken}
    assert f"{taken} is taken for the position; as likely by their names are {left}" in " ".join(recording.odd)


def test_spikes_and_behaviour_of_different_times(style, tmp_path):
    file = style.units([train + 1000 for train in spikes()], obs_intervals=[np.array([[1000.0, 1040.0]])] * 6)
    with pytest.raises(
        BadInput, match=r"share no time \(spikes from 1000.000 to 1040.000 s, position from 0.000 to 40.000 s\)"
    ):
        load_recording(file.position(spatial()).write(tmp_path))


def test_a_units_table_written_in_one_piece(style, tmp_path):
    """Spike times as one array with an index, ids that are not consecutive, as converters write them."""
    trains = spikes()
    times = VectorData(name="spike_times", description="s", data=np.concatenate(trains))
    index = VectorIndex(name="spike_times_index", data=np.cumsum([len(train) for train in trains]), target=times)
    style.nwb.units = Units(name="units", description="made", columns=[times, index], id=[3, 5, 8, 9, 11, 20])
    facts = facts_of(style.write(tmp_path))
    assert list(facts["rates_hz"]) == ["3", "5", "8", "9", "11", "20"]
    assert facts["spikes"] == sum(map(len, trains))


def test_of_two_hands_the_one_that_is_taken_is_said(style, tmp_path):
    other = spatial(name="left_hand", data=0.3 * path_m(TIMES_S))
    recording = load_recording(
        style.units().position(other, spatial(name="right_hand", data=path_m(TIMES_S))).write(tmp_path)
    )
    assert recording.origins == {"position": "behavior/Position/left_hand"}
    assert any("as likely by their names are behavior/Position/right_hand" in text for text in recording.odd)


def test_samples_in_columns_are_refused_and_said(style, tmp_path):
    turned = TimeSeries(name="hand_pos", data=path_m(TIMES_S).T, unit="m", rate=RATE_HZ)
    style.units().behavior.add(turned)
    file = style.write(tmp_path)
    with pytest.raises(BadInput, match="hand_pos is 2 x 4000: its samples lie in columns"):
        load_recording(file)
    assert any("samples lie in columns" in text for text in facts_of(file)["odd"])


def test_inches(style, tmp_path):
    inches = spatial(name="hand", data=path_m(TIMES_S) / 0.0254, unit="inches")
    recording = load_recording(style.units().position(inches).write(tmp_path))
    np.testing.assert_allclose(recording.position[10], path_m(np.array([0.52]))[0], atol=2e-3)
    assert recording.position_unit == "m"
