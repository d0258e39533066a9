"""Acquisition files with the hand on analog channels: inspected, then binned through a mapping."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording

neo = pytest.importorskip("neo", reason="neo is not installed (pip install bmi-runtime[nwb])")
from tests.sources import acquisition_files as made  # noqa: E402

MAPPING = """
name = "the hand on two analog inputs"
[bin]
width_s = 0.05
[position]
channels = {channels}
unit = "cm"
scale = {scale}
"""


def facts_of(path):
    result = CliRunner().invoke(inspect, [str(path), "--json"])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout.splitlines()[-1])


def mapped(path, channels, scale, folder):
    file = folder / "map.toml"
    file.write_text(MAPPING.format(channels=json.dumps(channels), scale=scale))
    return load_recording(path, mapping=file)


def check_hand(recording, start_s=0.0, sample_s=1 / made.SLOW_HZ):
    centres = start_s + 0.05 * (np.arange(recording.n_bins) + 0.5) - 0.5 * sample_s
    np.testing.assert_allclose(recording.position, made.hand_m(centres), atol=2e-4)
    assert (recording.position_unit, recording.velocity_unit) == ("m", "m/s")


def check_counts(recording, trains, start_s=0.0):
    edges = start_s + 0.05 * np.arange(recording.n_bins + 1)
    expected = np.column_stack([np.histogram(train, edges)[0] for train in trains])
    assert np.abs(recording.counts - expected).sum() <= 2  # a spike on an edge, rounded to a tick
    assert recording.counts.sum() == expected.sum()


def test_blackrock_with_the_hand_on_analog_channels(tmp_path):
    trains = made.blackrock(tmp_path)
    facts = facts_of(tmp_path / "rig.nev")
    assert (facts["format"], facts["units"], facts["spikes"]) == ("Blackrock (neo)", 4, sum(map(len, trains)))
    assert facts["signals"] == ["HandX: 1000 Hz, mV", "HandY: 1000 Hz, mV", "Eye: 1000 Hz, mV"]
    assert facts["recorded_s"] == pytest.approx(4.0, abs=1e-3)
    for name in ("rig.nev", "rig.ns2"):
        recording = mapped(tmp_path / name, ["HandX", "HandY"], 0.01, tmp_path)
        check_hand(recording)
        check_counts(recording, trains)
    assert recording.origins == {"position": "HandX and HandY"}
    by_number = mapped(tmp_path / "rig.nev", ["129", "130"], 0.01, tmp_path)
    np.testing.assert_array_equal(by_number.position, recording.position)


def test_a_pause_of_blackrock_starts_anew(tmp_path):
    trains = made.blackrock(tmp_path, ((0.0, 4.0), (9.0, 12.0)))
    facts = facts_of(tmp_path / "rig.nev")
    assert facts["odd"] == ["a pause of 5.000 s: recorded until 4.000 s, then from 9.000 s"]
    assert facts["recorded_s"] == pytest.approx(7.0, abs=1e-3)
    recording = mapped(tmp_path / "rig.nev", ["HandX", "HandY"], 0.01, tmp_path)
    assert recording.n_bins == 140
    assert np.flatnonzero(recording.restart).tolist() == [0, 80]
    assert recording.counts.sum() == sum(map(len, trains))
    centres = 0.05 * (np.arange(140) + 0.5) - 0.0005 + np.where(np.arange(140) >= 80, 5.0, 0.0)
    np.testing.assert_allclose(recording.position, made.hand_m(centres), atol=2e-4)


def test_neuro_explorer(tmp_path):
    trains = made.neuro_explorer(tmp_path / "made.nex")
    facts = facts_of(tmp_path / "made.nex")
    assert (facts["format"], facts["units"]) == ("NeuroExplorer (neo)", 4)
    assert [round(rate * 4) for rate in facts["rates_hz"].values()] == [len(train) for train in trains]
    assert facts["events"] == {"go": 3, "trials": 2}
    recording = mapped(tmp_path / "made.nex", ["hand_x", "hand_y"], 0.01, tmp_path)
    check_hand(recording)
    check_counts(recording, trains)


def test_spike2(tmp_path):
    trains = made.spike2(tmp_path / "made.smr")
    facts = facts_of(tmp_path / "made.smr")
    assert (facts["format"], facts["units"], facts["spikes"]) == ("Spike2 (neo)", 4, sum(map(len, trains)))
    assert facts["events"] == {"Go": 2}
    recording = mapped(tmp_path / "made.smr", ["HandX", "HandY"], 10.0, tmp_path)
    check_hand(recording)
    check_counts(recording, trains)


def test_open_ephys_of_the_older_format(tmp_path):
    (tmp_path / "rec").mkdir()
    trains = made.open_ephys_legacy(tmp_path / "rec")
    for path in (tmp_path, tmp_path / "rec", tmp_path / "rec" / "SE0.spikes", tmp_path / "rec" / "100_ADC1.continuous"):
        facts = facts_of(path)
        assert (facts["format"], facts["units"]) == ("OpenEphys (neo)", 4)
        assert [round(rate * facts["recorded_s"]) for rate in facts["rates_hz"].values()] == [len(t) for t in trains]
        assert (facts["events"], facts["odd"]) == ({"all_channels": 6}, [])
    recording = mapped(tmp_path / "rec", ["ADC1", "ADC2"], 10.0, tmp_path)
    check_hand(recording, sample_s=1 / made.RATE_HZ)
    check_counts(recording, trains)


def test_blocks_that_open_ephys_lost_are_said(tmp_path):
    made.open_ephys_legacy(tmp_path, lost_block=40)
    (said,) = facts_of(tmp_path)["odd"]
    assert said == "0.034 s of samples are missing in 1 places, the first after 3.331 s (lost by the acquisition)"


def test_an_electrode_without_a_spike_is_named(tmp_path):
    made.open_ephys_legacy(tmp_path)
    silent = tmp_path / "SE7.spikes"
    silent.write_bytes((tmp_path / "SE0.spikes").read_bytes()[:1024])
    with pytest.raises(BadInput, match=r"SE7.spikes without a spike keep neo from reading; move them elsewhere"):
        facts_of(tmp_path)


@pytest.mark.parametrize(
    ("channels", "scale", "words"),
    [
        (None, 1.0, r"nothing in it says which channels are the hand; .* channels = \[\"HandX\", \"HandY\"\]"),
        (["HandX", "HandZ"], 0.01, "no channel of the name 'HandZ', which the mapping names; it has HandX, HandY, Eye"),
        (["HandX", "HandY"], 100.0, "changes as fast as .* m/s; the unit in the mapping is wrong"),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_sentence(tmp_path, channels, scale, words):
    made.blackrock(tmp_path)
    with pytest.raises(BadInput, match=words) as caught:
        if channels is None:
            load_recording(tmp_path / "rig.nev")
        mapped(tmp_path / "rig.nev", channels, scale, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["rig.nev", "rig.ns2", "made.nex", "made.smr", "SE0.spikes", "100_ADC1.continuous"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_truncated_files_are_one_sentence_or_what_is_left(tmp_path, name, share):
    made.blackrock(tmp_path)
    made.neuro_explorer(tmp_path / "made.nex")
    made.spike2(tmp_path / "made.smr")
    made.open_ephys_legacy(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    try:
        facts = facts_of(file)
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert share > 0.0 and facts["spikes"] <= 4 * 400
