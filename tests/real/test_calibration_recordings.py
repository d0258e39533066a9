"""The calibration holds on real neurons: scatter of the live filter's weights along recordings over its prediction."""

from dataclasses import replace

import numpy as np
import pytest

from bmi_runtime.calibration.recordings import compare, standardised

FILES = ("m1_stevenson_2011.mat", "wu_midterm_train.mat")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_predicted_scatter_is_achieved(recordings, name, likelihood):
    pilot = standardised(recordings / "reach" / name, likelihood)
    for found in compare(name, pilot):
        ratio = found.ratio("measured")
        middle = (0.85, 1.15) if found.rate in (1e-5, 1e-4) else (0.75, 1.3)
        assert middle[0] < np.median(ratio) < middle[1]
        assert np.mean((ratio > 0.6) & (ratio < 1.6)) >= 0.9
        if found.rate > 1e-6:
            assert 0.92 < found.inside < 0.97
        assert np.median(found.ratio("closed")) > 1.3


def test_three_minutes_predict_the_rest(recordings):
    """From the first three minutes of a session of thirteen, tested on the other ten."""
    whole = standardised(recordings / "reach" / FILES[0])
    cut = round(180 / whole.bin_s)
    pilot = replace(whole, counts=whole.counts[:cut], states=whole.states[:cut], usable=None)
    test = replace(whole, counts=whole.counts[cut:], states=whole.states[cut:], usable=None)
    for found in compare("first three minutes", pilot, test):
        assert 0.75 < np.median(found.ratio("measured")) < 1.3


def test_velocities_in_centimetres_are_refused(recordings, tmp_path):
    from bmi_runtime.calibration.pilot_files import load_pilot
    from bmi_runtime.errors import BadInput
    from bmi_runtime.sources.datafile import load_recording

    recording = load_recording(recordings / "reach" / FILES[0])
    np.savez(tmp_path / "cm.npz", counts=recording.counts, bin_s=recording.bin_s, velocity=100 * recording.velocity)
    with pytest.raises(BadInput, match="--velocity-scale"):
        load_pilot(tmp_path / "cm.npz")
    found = load_pilot(tmp_path / "cm.npz", velocity_scale=0.1)
    np.testing.assert_allclose(found.states, 10 * recording.velocity)
