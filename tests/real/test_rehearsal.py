"""A rehearsed world is as kind to decoders as the real units that it was fitted to, and no kinder."""

import numpy as np
import pytest

from bmi_runtime.rehearsal import quality
from bmi_runtime.rehearsal.fit import fit_world
from bmi_runtime.rehearsal.pilot import read_pilot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", ["wu_midterm_train.mat", "m1_stevenson_2011.mat"])
def test_decoders_score_on_rehearsed_units_as_on_the_real_ones(recordings, name, monkeypatch):
    monkeypatch.setattr(quality, "DECODERS", {"ridge": 5, "kalman": 5})  # the third takes minutes and says the same
    pilot = read_pilot(recordings / "reach" / name)
    world = fit_world(pilot)
    found = [quality.agreement(world, pilot, seed) for seed in (1, 2)]
    scores = {}
    print(world.notes, found)
    for decoder in quality.DECODERS:
        real = found[0]["decoders"][decoder]["real"]
        simulated = np.mean([one["decoders"][decoder]["simulated"] for one in found])
        assert simulated == pytest.approx(real, abs=0.05), decoder
        scores[decoder] = real, simulated
    for which in (0, 1):
        assert scores["ridge"][which] > scores["kalman"][which], "decoders in the same order"
    first = found[0]
    assert first["rate"]["correlation"] > 0.99 and first["variability"]["correlation"] > 0.8
    assert first["variability"]["simulated"] == pytest.approx(first["variability"]["real"], rel=0.15)
    assert first["correlations"]["correlation"] > 0.85
    assert first["intervals"]["correlation"] > 0.8
