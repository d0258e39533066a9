"""What the recursion leaves out of the errors of weights: against the filter written out, and against its limits."""

import dataclasses

import numpy as np
import pytest

from bmi_runtime.calibration import beyond_linear
from bmi_runtime.calibration.along_pilot import bias_along
from bmi_runtime.calibration.beyond_linear import departure
from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_steady_state, pack, unpack
from bmi_runtime.calibration.forward import predict
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.solve import EXACT, Wish, solve
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.kernels.encoding_mc import learn_from_own_spikes


@pytest.fixture
def few_bins(monkeypatch):
    """Simulate a sixth of the bins, for what does not depend on their number."""
    monkeypatch.setattr(beyond_linear, "UNIT_BINS", beyond_linear.UNIT_BINS // 6)


BIN_S, HISTORY_S = 0.005, (0.02, 0.1)
KINDS = Regressors(2, ("velocity", "history"), HISTORY_S)


def states_of(bins, seed=4):
    """Return a velocity that wanders, dm/s."""
    noise, states = np.random.default_rng(seed).standard_normal((bins, 2)), np.zeros((bins, 2))
    for t in range(1, bins):
        states[t] = 0.97 * states[t - 1] + 0.25 * noise[t]
    return states


def weights_of(past):
    """Return units of 20 Hz with all of these weights of the shorter and the longer past."""
    angle = np.linspace(0.0, 2.0 * np.pi, len(past), endpoint=False)
    common = np.column_stack([np.full(len(past), np.log(20.0)), 0.7 * np.cos(angle), 0.7 * np.sin(angle)])
    return np.hstack([common, np.array(past, dtype=float)])


def drawn(states, weights, seed, single=False):
    """Return counts of the units, bin by bin as written down, and the past before each bin."""
    rng, history = np.random.default_rng(seed), History(KINDS, len(weights), BIN_S)
    counts, own = np.zeros((len(states), len(weights))), np.zeros((len(states), 2, len(weights)))
    for t, state in enumerate(states):
        own[t] = history.traces
        expected = BIN_S * np.exp(weights[:, 0] + weights[:, 1:3] @ state + (weights[:, 3:].T * own[t]).sum(axis=0))
        for unit, mean in enumerate(expected):
            if single:
                counts[t, unit] = rng.random() < mean
                continue
            left, product = np.exp(-mean), rng.random()
            while product > left:
                product *= rng.random()
                counts[t, unit] += 1
        history.take(counts[t])
    return counts, own


def design_of(weights, bins=6000, counts="poisson"):
    states = states_of(bins)
    own = drawn(states, weights, 9)[1]
    return Design(states, weights, BIN_S, "poisson", counts=counts, own=own, history_s=HISTORY_S)


@pytest.mark.parametrize("single", [False, True])
def test_the_kernel_is_the_live_filter_on_spikes_drawn_one_by_one(single):
    weights, states, rate, burn = weights_of([(-0.6, 0.05), (0.1, -0.2), (0.0, 0.0)]), states_of(400), 3e-5, 150
    counts, own = drawn(np.vstack([states, states])[:700], weights, 6, single)
    start = np.tile(0.02 * np.eye(5), (3, 1, 1))
    model = EncodingModel(weights.T.copy(), pack(start), "poisson", BIN_S, None, regressors=KINDS)
    adapter, errors = Adapter(model, rate), []
    for t in range(700):
        adapter.history[:] = own[t]
        adapter.update(counts[t], np.ones(3), *(states[t % 400] / 10.0))
        errors.append(model.weights.T - weights)
    errors = np.array(errors[burn:])

    learned, covariance = weights.T.copy(), pack(start)
    moments, spikes = np.zeros((5 + 15, 3)), np.zeros(3)
    keep, regressors = np.exp(-BIN_S / np.array(HISTORY_S)), np.column_stack([np.ones(400), states])
    learn_from_own_spikes(
        np.random.default_rng(6), regressors, BIN_S, 1.0 if single else 1e9, keep, weights.T.copy(), learned,
        covariance, np.full(3, rate), burn, 700, moments, spikes,
    )  # fmt: skip
    np.testing.assert_array_equal(spikes, counts[burn:].sum(axis=0))
    np.testing.assert_allclose(learned, model.weights, rtol=1e-9)
    np.testing.assert_allclose(moments[:5].T, errors.sum(axis=0), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(unpack(moments[5:]), np.einsum("tua,tub->uab", errors, errors), rtol=1e-7, atol=1e-10)


def test_without_a_past_there_is_nothing_to_add():
    states = states_of(2000)
    design = Design(states, weights_of([(0, 0)] * 3)[:, :3], BIN_S, "poisson", counts="poisson")
    assert departure(design, information(design), 1e-5) is None
    assert predict(design, 1e-5).departure is None


def test_a_past_of_weight_zero_still_biases_and_a_slow_filter_is_as_the_recursion_says(few_bins):
    """The regressors follow the noise whatever their true weight: an autoregression's bias, toward less of it."""
    design = design_of(weights_of([(0.0, 0.0)] * 8))
    info = information(design)
    quick = departure(design, info, 1e-4)
    assert quick.rate >= 1e-4
    assert (np.nanmean(quick.bias[:, 3:], axis=0) < 0.0).all()
    covariance = steady_state(info, 1e-9).error_covariance
    np.testing.assert_allclose(quick.scatter(covariance, 1e-9), covariance, rtol=0.01)


def test_what_is_added_is_what_other_spikes_of_the_same_units_show():
    """Thirty-two units alike, run by the live filter over spikes of another seed, at a quick rate."""
    weights, rate = np.repeat(weights_of([(-0.5, 0.05)]), 32, axis=0), 3e-4
    design = design_of(weights, 6000)
    info = information(design)
    beyond, exact = departure(design, info, rate), exact_steady_state(design, steady_state(info, rate))
    states = np.vstack([design.states] * 5)
    counts, own = drawn(states, weights, 77)
    model = EncodingModel(weights.T.copy(), pack(exact.filter_covariance), "poisson", BIN_S, None, regressors=KINDS)
    adapter, errors = Adapter(model, rate), []
    for t, state in enumerate(states.tolist()):
        adapter.history[:] = own[t]
        adapter.update(counts[t], np.ones(32), *(x / 10.0 for x in state))
        if t > 6000:
            errors.append(model.weights.T - weights)
    errors = np.array(errors)
    bias = errors.mean(axis=(0, 1))
    achieved = ((errors - bias) ** 2).mean(axis=(0, 1))
    linear = np.diagonal(exact.error_covariance.mean(axis=0))
    predicted = np.diagonal(beyond.scatter(exact.error_covariance, rate).mean(axis=0))
    assert abs(np.log(linear[:3] / achieved[:3])).max() > 0.12  # the recursion alone is not enough
    np.testing.assert_allclose(predicted, achieved, rtol=0.08)
    np.testing.assert_allclose(beyond.bias_at(rate).mean(axis=0)[3:], bias[3:], rtol=0.1, atol=0.015)


def test_along_a_pilot_the_bias_is_that_of_simulation():
    """Eight units alike over two hundred seconds, whose weights the pilot's own fit has to find first."""
    weights, states = np.repeat(weights_of([(-0.5, 0.05)]), 8, axis=0), states_of(40_000)
    counts, own = drawn(states, weights, 21)
    pilot = Pilot(counts, states, BIN_S, "poisson", kinds=KINDS, own=own)
    scores, rate = MeasuredScores(fit_pilot(pilot)), 1e-4
    along, simulated = bias_along(scores, rate), departure(scores.design, scores.info, rate)
    found, expected = (beyond.bias_at(rate).mean(axis=0) for beyond in (along, simulated))
    assert expected[4] < -0.05  # the longer past, the worse known
    np.testing.assert_allclose(found, expected, atol=0.02, rtol=0.2)
    covariance = scores.error_covariance(steady_state(scores.info, rate))
    np.testing.assert_array_equal(along.scatter(covariance, rate), covariance)  # the scores have it already
    assert bias_along(MeasuredScores(fit_pilot(Pilot(counts, states, BIN_S, "poisson"))), rate) is None


def test_a_unit_that_runs_away_on_its_own_spikes_is_named_and_the_others_are_not_lost(few_bins):
    weights = weights_of([(-0.5, 0.05)] * 4)
    design = design_of(weights)
    wild = design.weights.copy()
    wild[2, 3:] = 4.0, 2.0
    own = design.own.copy()
    own[:, :, 2] = 0.0  # the pilot never showed it
    design = dataclasses.replace(design, weights=wild, own=own)
    beyond = departure(design, information(design_of(weights)), 1e-4)
    assert np.isnan(beyond.bias[2]).all()
    assert np.isfinite(np.delete(beyond.bias, 2, axis=0)).all()
    assert np.isfinite(beyond.mean_square(np.tile(np.eye(5), (4, 1, 1)), 1e-4)).all()


def test_a_wish_is_kept_with_the_bias_in_it(few_bins):
    design = design_of(weights_of([(-0.5, 0.05)] * 6))
    info = information(design)
    answer, method = solve(design, info, Wish(max_error=0.1))
    assert method == EXACT
    found = predict(design, answer.learning_rate)
    alone = np.linalg.eigvalsh(found.exact_covariance)[:, -1]
    assert alone.max() < 0.99 * found.largest_error.max()
    assert found.largest_error.max() == pytest.approx(0.1, rel=0.03)
    assert {"error_covariance_simulated", "bias_simulated"} <= set(found.unit(0))


def test_a_wish_for_a_quick_filter_is_kept_with_its_bend_in_it():
    """States that go everywhere at once: only that the filter is unsure of its rates speaks against the closed form."""
    states = np.random.default_rng(3).standard_normal((2000, 2))
    design = Design(states, weights_of([(0, 0)] * 6)[:, :3], BIN_S, "poisson", counts="poisson")
    answer, method = solve(design, information(design), Wish(max_error=0.12))
    assert method == EXACT
    found = predict(design, answer.learning_rate)
    assert found.departure is not None
    assert found.largest_error.max() == pytest.approx(0.12, rel=0.03)
