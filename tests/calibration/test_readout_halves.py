"""What a read-out's rate costs, by two halves of a recording, against what is expected of the scores."""

import numpy as np
import pytest
import scipy.signal

from bmi_runtime.calibration.readout_halves import cost_of
from bmi_runtime.decoding.adaptive_readout import Directions, ReadoutPlan

BIN_S = 0.05


def coloured(rng, shape, keep):
    white = np.sqrt(1.0 - keep**2) * rng.standard_normal(shape)
    return scipy.signal.lfilter([1.0], [1.0, -keep], white, axis=0)


def recorded(seed, bins=6000, walk=0.0):
    """Return features, and a residual that is smooth, larger where the features are, and whose best weights walk."""
    rng = np.random.default_rng(seed)
    features = np.hstack([np.ones((bins, 1)), coloured(rng, (bins, 4), 0.9)])
    size = 0.4 + 0.6 * np.abs(features[:, 1:2])
    weights = np.cumsum(np.sqrt(walk) * rng.standard_normal((bins, 5, 2)), axis=0)
    return features, size * coloured(rng, (bins, 2), 0.7) + np.einsum("tp,tpo->to", features, weights)


@pytest.mark.parametrize(("rate", "low", "high"), [(1e-6, 0.85, 1.15), (1e-5, 0.85, 1.15), (1e-4, 0.65, 1.0)])
def test_the_halves_cost_what_the_scores_say_and_more_than_white_ones(rate, low, high):
    """Where the filter moves within the features' correlation time, less: the form is one of small gains."""
    costs = [cost_of(*recorded(seed), rate, BIN_S) for seed in range(3)]
    names = ("measured", "expected", "white")
    measured, expected, white = (np.mean([getattr(cost, name) for cost in costs]) for name in names)
    assert low * expected < measured < high * expected and expected > 2.0 * white


def test_drift_that_both_halves_follow_is_not_counted():
    still, moving = (
        np.mean([cost_of(*recorded(s, walk=w), 1e-4, BIN_S).measured for s in range(3)]) for w in (0, 1e-5)
    )
    assert moving == pytest.approx(still, rel=0.25)


def test_bins_that_are_not_known_teach_nothing_and_a_plan_keeps_the_stretch():
    features, residual = recorded(0, 3000)
    residual[100:140] = np.nan
    found = cost_of(features, residual, 1e-5, BIN_S)
    assert np.isfinite(found.measured) and found.measured == pytest.approx(found.expected, rel=0.4)
    states = features[:, 1:].astype(np.float32)
    plan = ReadoutPlan.measured(Directions.of(states, 4), states, residual, BIN_S, 12_000)
    again = ReadoutPlan.from_parameters(plan.parameters())
    np.testing.assert_array_equal(again.residual, residual.astype(np.float32))
    np.testing.assert_array_equal(again.features, plan.features)
    old = {
        name: value for name, value in plan.parameters().items() if name.split("_")[1] not in ("features", "strength")
    }
    assert ReadoutPlan.from_parameters(old).features is None
