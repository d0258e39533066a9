"""The calculated rate of a read-out against simulation: coloured features and residuals, drifts, late teachers."""

import numpy as np
import pytest
import scipy.signal

from bmi_runtime.calibration.readout import (
    Drift,
    ReadoutPilot,
    best_rate,
    expected_error,
    fit_drift,
    rate_for_convergence,
    rate_for_excess,
    steady,
)
from bmi_runtime.decoding.adaptive_readout import (
    AdaptiveReadout,
    Directions,
    ReadoutPlan,
    replayed_error,
    steady_covariance,
)
from bmi_runtime.kernels import readout as kernels

BIN_S = 0.05
POWER = np.array([1.0, 3.0, 1.0, 0.5, 0.2])


def coloured(rng, bins, columns, keep):
    noise = rng.standard_normal((bins, columns)) * np.sqrt(1.0 - keep**2)
    return scipy.signal.lfilter([1.0], [1.0, -keep], noise, axis=0)


def simulated(rng, bins, residual_keep, walk=0.0, start=0.0, noise=0.5):
    """Return features (a constant first), residual of the trained read-out, and their directions."""
    features = np.hstack([np.ones((bins, 1)), coloured(rng, bins, 4, 0.9) * np.sqrt(POWER[1:])])
    steps = rng.standard_normal((bins, 5, 2)) * np.sqrt(walk)
    steps[0] = rng.choice([-1.0, 1.0], (5, 2)) * np.sqrt(start)
    weights = np.cumsum(steps, axis=0)
    left = coloured(rng, bins, 2, residual_keep) * np.sqrt(noise)
    return features, np.einsum("tp,tpd->td", features, weights) + left, left


DIRECTIONS = Directions(np.zeros(4), np.eye(4), POWER)


@pytest.mark.parametrize("rate", [1e-8, 1e-7, 1e-6])
def test_the_excess_error_over_two_decades_with_coloured_residuals(rate):
    rng = np.random.default_rng(1)
    features, residual, _ = simulated(rng, 100_000, 0.8)
    pilot = ReadoutPilot.measured(features, residual, BIN_S)
    predicted = steady(pilot, rate)
    warm = min(int(5.0 / predicted.gain.min()), 60_000)
    found = []
    for seed in range(4):
        features, residual, left = simulated(np.random.default_rng(10 + seed), 100_000, 0.8)
        start = steady_covariance(POWER, pilot.noise, rate)
        given = (features, residual, np.ones(100_000, bool), warm, 20, rate, pilot.noise)
        error = kernels.taught_error(*given, np.zeros((5, 2)), start, np.zeros(5), np.zeros(2))
        found.append(error - (left[warm:] ** 2).mean())
    assert np.mean(found) == pytest.approx(predicted.excess, rel=0.3 if rate < 1e-7 else 0.15)
    assert predicted.excess > 2.5 * predicted.excess_white


def test_white_residuals_need_no_correction():
    features, residual, _ = simulated(np.random.default_rng(0), 50_000, 0.0)
    state = steady(ReadoutPilot.measured(features, residual, BIN_S), 1e-6)
    assert state.excess == pytest.approx(state.excess_white, rel=0.1)


def test_backward_is_forward_turned():
    features, residual, _ = simulated(np.random.default_rng(0), 5000, 0.8)
    pilot = ReadoutPilot.measured(features, residual, BIN_S)
    assert steady(pilot, rate_for_excess(pilot, 1e-3)).excess == pytest.approx(1e-3, rel=1e-6)
    assert steady(pilot, rate_for_convergence(pilot, 400)).convergence_bins() == pytest.approx(400, rel=1e-6)
    with pytest.raises(ValueError, match="no rate"):
        rate_for_excess(pilot, 1e9)


def test_the_mean_error_converges_as_predicted():
    rng = np.random.default_rng(4)
    features, _, _ = simulated(rng, 40_000, 0.0)
    residual = features @ np.ones((5, 2))
    pilot = ReadoutPilot(np.sort(POWER), 0.5, np.zeros(10), BIN_S, 1000)
    predicted = steady(pilot, 1e-5).convergence_bins()
    adapted = AdaptiveReadout(DIRECTIONS, 0.5, 2, 1e-5)
    bins = 0
    while np.abs(adapted.weights[4] - 1.0).max() > 0.05:
        adapted.teach(features[bins], residual[bins])
        bins += 1
    assert bins == pytest.approx(predicted, rel=0.2)


@pytest.mark.parametrize(("walk", "start"), [(0.0, 0.01), (3e-7, 0.0), (1e-6, 0.005), (0.0, 0.0)])
def test_the_calculated_rate_is_near_the_best_of_a_sweep(walk, start):
    """Predicted and found error along the whole sweep, and the rate that is chosen, many subjects together."""
    bins, delay, rates = 6000, 20, 10.0 ** np.arange(-9.0, -3.9, 0.5)
    errors = np.zeros(1 + len(rates))
    pilot = None
    for seed in range(24):
        features, residual, _ = simulated(np.random.default_rng(seed), bins, 0.8, walk, start)
        pilot = pilot or ReadoutPilot.measured(*simulated(np.random.default_rng(99), 20_000, 0.8)[:2], BIN_S)
        errors += [replayed_error(DIRECTIONS, pilot, features, residual, rate, delay) for rate in (0.0, *rates)]
    change = (errors[1:] - errors[0]) / 24
    drift = fit_drift(pilot, rates[:8], change[:8], bins, delay)
    chosen = best_rate(pilot, drift, bins, delay)
    true = Drift(start, walk)
    predicted = [
        expected_error(pilot, true, r, bins, delay) - expected_error(pilot, true, 0.0, bins, delay) for r in rates
    ]
    scale = np.abs(change).max()
    np.testing.assert_allclose(predicted[:9], change[:9], atol=0.12 * scale)
    at_chosen = np.interp(np.log(max(chosen, 1e-12)), np.log(rates), change) if chosen else 0.0
    assert at_chosen <= min(change.min(), 0.0) + 0.02 * scale


def test_a_plan_hardly_moves_where_nothing_drifts_and_survives_a_file():
    rng = np.random.default_rng(2)
    states = coloured(rng, 4000, 4, 0.9).astype(np.float32)
    directions = Directions.of(states, 4)
    plan = ReadoutPlan.measured(directions, states, coloured(rng, 4000, 2, 0.8), BIN_S, 16_000)
    again = ReadoutPlan.from_parameters(plan.parameters())
    assert again.rate(1000, 20) == plan.rate(1000, 20) <= 1e-7
    assert directions.power[1:].mean() == pytest.approx(1.0)


def test_what_is_taught_reaches_the_read_out_and_a_snapshot_restores_it():
    rng = np.random.default_rng(3)
    adapted = AdaptiveReadout(DIRECTIONS, 0.5, 2, 1e-4)
    kept = adapted.snapshot()
    adapted.teach(np.r_[1.0, rng.standard_normal(4)], np.array([np.nan, 0.0]))
    assert not adapted.weights.any()
    adapted.teach(np.r_[1.0, rng.standard_normal(4)], np.ones(2))
    outputs = np.zeros(2)
    adapted.correct(np.zeros(4, np.float32), outputs)
    np.testing.assert_allclose(outputs, adapted.weights[0])
    assert (outputs > 0).all()
    adapted.restore(kept)
    assert not adapted.weights.any()
