"""How long labels that follow from the decoder's own errors hold up, against decoders run until they turned."""

import numpy as np
import pytest

from bmi_runtime.calibration.label_feedback import LabelLoop
from bmi_runtime.errors import BadInput
from tests.calibration.lives import mean_life

LOOPS = [LabelLoop(20, 0.05, 1.0, 10), LabelLoop(60, 0.1, 2.0, 5), LabelLoop(100, 0.01, 1.0, 20)]


def lived(loop, rate, most_bins, seed):
    """Return after how many bins a decoder that teaches itself has turned round, and whether it has."""
    rng, k = np.random.default_rng(seed), loop.gain(rate)[1]
    gains = rng.standard_normal(loop.units)
    gains *= np.sqrt(loop.gain_variance * loop.units / (gains @ gains))
    weights = gains.copy()
    for run in range(most_bins // loop.run_bins):
        goal = rng.choice([-1.0, 1.0])
        seen = gains * goal + np.sqrt(loop.noise_variance) * rng.standard_normal((loop.run_bins, loop.units))
        label = 1.0 if weights @ seen.mean(axis=0) >= 0.0 else -1.0
        for row in seen:
            weights += k * label * (row - label * weights)
        if weights @ gains < 0.0:
            return (run + 1) * loop.run_bins, True
    return most_bins, False


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS, ids=str)
def test_the_largest_rate_is_right_within_a_factor_of_one_and_a_half(loop):
    session = 10_000
    rate = loop.largest_rate(session)
    assert mean_life(lived, loop, rate / 1.5, 4 * session, 16) > session
    assert mean_life(lived, loop, rate * 1.5, 4 * session, 16) < session


def test_lives_at_a_fast_rate_are_as_predicted():
    loop = LOOPS[1]
    rate = loop.largest_rate(1000)
    assert 0.5 < mean_life(lived, loop, rate, 20_000, 24) / 1000 < 2.5
    assert loop.lifetime_bins(rate) == pytest.approx(1000, rel=0.1)


def test_faster_rates_worse_units_and_shorter_runs_of_evidence_live_shorter():
    loop = LOOPS[0]
    lives = [loop.lifetime_bins(rate) for rate in (1e-3, 2e-3, 4e-3, 8e-3)]
    assert lives == sorted(lives, reverse=True) and lives[0] > 10 * lives[-1]
    assert LabelLoop(10, 0.05, 1.0, 10).largest_rate(1e4) < loop.largest_rate(1e4)
    assert loop.wrong(1e-3) < loop.wrong(1e-2) < 0.1
    assert loop.largest_rate(1e30) == 0.0 or loop.lifetime_bins(1e-12) >= 1e30
    with pytest.raises(BadInput, match="above zero"):
        loop.lifetime_bins(0.0)
    with pytest.raises(BadInput, match="variances above zero"):
        LabelLoop(3, 0.0, 1.0, 5)
