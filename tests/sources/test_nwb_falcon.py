"""NWB files in the layouts of the FALCON benchmark, and series of one column that a mapping joins."""

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
from pynwb.behavior import BehavioralTimeSeries  # noqa: E402

from tests.sources.test_nwb_styles import Style, facts_of, path_m, velocity_m_s  # noqa: E402

STEP_S, STOP_S = 0.02, 40.0
TIMES_S = np.arange(0.0, STOP_S, STEP_S)
CENTRES = 0.05 * (np.arange(800) + 0.5) - 0.5 * STEP_S


def series(name, data, **more):
    return pynwb.TimeSeries(name=name, data=data, **({"unit": "AU", "timestamps": TIMES_S} | more))


def test_the_layout_of_m2_with_fingers_in_a_container_and_a_mask(tmp_path):
    style, velocity, mask = Style().units(), velocity_m_s(TIMES_S), TIMES_S < 30.0
    fingers = [series(name, velocity[:, axis]) for axis, name in enumerate(("index", "mrs"))]
    style.nwb.add_acquisition(BehavioralTimeSeries(name="finger_vel", time_series=fingers))
    style.nwb.add_acquisition(series("eval_mask", mask, unit="bool"))
    recording = load_recording(style.write(tmp_path))
    assert recording.origins == {"velocity": "finger_vel (index, mrs)"}
    known = np.isfinite(recording.velocity).all(axis=1)
    assert known.tolist() == (CENTRES < 30.0).tolist()
    np.testing.assert_allclose(recording.velocity[known], velocity_m_s(CENTRES)[known], atol=2e-3)
    assert recording.velocity_unit == "AU"


def test_the_layout_of_h1_whose_rate_is_a_step_and_whose_offset_is_a_start(tmp_path):
    style = Style().units()
    seven = np.column_stack([velocity_m_s(TIMES_S), np.zeros((len(TIMES_S), 5))])
    many = np.tile(seven, (4, 1))  # long enough that 0.02 Hz can be no rate
    more = {"rate": STEP_S, "offset": 2.0, "unit": "arbitrary", "timestamps": None}
    style.nwb.add_acquisition(series("OpenLoopKinematicsVelocity", many, **more))
    file = style.write(tmp_path)
    odd = " ".join(facts_of(file)["odd"])
    assert "0.02 is taken for the seconds from sample to sample" in odd
    assert "it has 7 columns; the first 2 are taken" in odd
    recording = load_recording(file)
    np.testing.assert_allclose(recording.velocity[:700], velocity_m_s(CENTRES)[:700], atol=2e-3)


def test_a_short_file_of_h1_has_its_step_too(tmp_path):
    """Five thousand samples at 0.02 Hz were taken for three days of spikes, and 17 GB."""
    style = Style().units()
    more = {"rate": STEP_S, "offset": 2.0, "unit": "arbitrary", "timestamps": None}
    many = np.column_stack([velocity_m_s(TIMES_S), np.zeros((len(TIMES_S), 5))])
    style.nwb.add_acquisition(series("OpenLoopKinematicsVelocity", many, **more))
    file = style.write(tmp_path)
    text = 'name = "h1"\n[bin]\nwidth_s = 0.02\n[velocity]\nvariable = "OpenLoopKinematicsVelocity"\ncolumns = [{}]\n'
    file.with_name("made.nwb.toml").write_text((text + 'unit = "file"\n').format("0, 1, 2, 3, 4, 5, 6"))
    recording = load_recording(file)
    assert recording.velocity.shape[0] == pytest.approx(STOP_S / STEP_S, abs=3)
    np.testing.assert_allclose(recording.velocity[:900], velocity_m_s(TIMES_S)[:900], atol=2e-3)


def test_more_bins_than_fit_are_refused_before_they_are_made(tmp_path, monkeypatch):
    from bmi_runtime.sources import binned_file

    style = Style().units()
    style.nwb.add_acquisition(series("hand_position", path_m(TIMES_S), unit="m"))
    file = style.write(tmp_path)
    monkeypatch.setattr(binned_file, "memory_bytes", lambda: 1e5)
    with pytest.raises(BadInput, match=r"800 bins of 50 ms and 6 units need 0 GB, more than this machine has"):
        load_recording(file)


def test_series_of_one_column_are_joined_by_a_mapping_each_at_its_own_times(tmp_path):
    style, slow = Style().units(), TIMES_S[::2] + 0.003
    style.nwb.add_acquisition(series("lever", path_m(TIMES_S)[:, 0]))
    style.nwb.add_acquisition(series("wheel", path_m(slow)[:, 1:], timestamps=slow))
    file = style.write(tmp_path)
    text = 'name = "x"\n[bin]\nwidth_s = 0.05\n[position]\nvariables = ["lever", "{}"]\nunit = "m"\n'
    file.with_name("made.nwb.toml").write_text(text.format("wheel"))
    recording = load_recording(file)
    assert recording.origins == {"position": "lever and wheel"}
    known = np.isfinite(recording.position).all(axis=1)
    assert known.sum() > 790
    centres = 0.003 + 0.05 * (np.arange(recording.n_bins) + 0.5)
    np.testing.assert_allclose(recording.position[known], path_m(centres)[known], atol=3e-3)
    file.with_name("made.nwb.toml").write_text(text.format("pedal"))
    with pytest.raises(BadInput, match=r"no series 'pedal', which the mapping names; it has .*lever.*wheel"):
        load_recording(file)


def test_a_clock_that_goes_back_is_refused_and_said(tmp_path):
    style, times_s = Style().units(), TIMES_S.copy()
    times_s[1000:] -= 15.0
    style.nwb.add_acquisition(series("hand_position", path_m(TIMES_S), timestamps=times_s, unit="m"))
    with pytest.raises(BadInput, match=r"goes back from 19.980 to 5.000 s \(a reset of the clock\)"):
        load_recording(style.write(tmp_path))


def test_clocks_since_1970_lose_nothing(tmp_path):
    epoch = 1.7e9
    style = Style().units([train + epoch for train in _trains()])
    style.nwb.add_acquisition(series("hand_position", path_m(TIMES_S), timestamps=TIMES_S + epoch, unit="m"))
    recording = load_recording(style.write(tmp_path))
    plain = Style().units(_trains())
    plain.nwb.add_acquisition(series("hand_position", path_m(TIMES_S), unit="m"))
    (tmp_path / "plain").mkdir()
    beside = load_recording(plain.write(tmp_path / "plain"))
    np.testing.assert_allclose(recording.position, beside.position, atol=1e-9)
    assert np.abs(recording.counts - beside.counts).sum() <= 4  # a spike on an edge, a quarter of a microsecond off


def _trains():
    rng = np.random.default_rng(4)
    return [np.sort(rng.uniform(0, STOP_S, 500)) for _ in range(5)]
