"""The filters of the step beside dense matrices written out: 1 to 7 axes, any number of units, some of them missing."""

import numpy as np
import pytest
from scipy import stats

from bmi_runtime.kernels import artifacts, encoding_filter, evidence, soundness
from bmi_runtime.kernels.unit_blocks import BLOCK, NO_HISTORY
from tests.kernels.textbook import poisson_step

BIN_S = 0.02
SIZES = [0, 1, 7, BLOCK + 1]
AXES = [1, 2, 3, 7]


class Units:
    """Random units: what the kernels take, and the same as one dense matrix a unit."""

    def __init__(self, seed: int, units: int, axes: int, histories: int = 0):
        rng = np.random.default_rng(seed)
        d = 1 + axes + histories
        self.weights = rng.normal(0.0, 0.3, (d, units))
        self.weights[0] += np.log(15.0)
        root = rng.normal(0.0, 0.2, (units, d, d))
        self.dense = root @ np.swapaxes(root, 1, 2) + 0.01 * np.eye(d)
        self.covariance = np.ascontiguousarray(self.dense[:, *np.tril_indices(d)].T)
        self.common = np.concatenate([[1.0], rng.normal(0.0, 0.5, axes)])
        self.own = rng.poisson(0.5, (histories, units)).astype(float) if histories else NO_HISTORY
        self.counts = rng.poisson(0.5, units).astype(float)
        self.valid = (np.arange(units) % 3 != 1).astype(float)  # every third is missing
        self.counts[self.valid == 0.0] = 0.0
        self.noise = rng.uniform(0.5, 2.0, units)
        self.rate = rng.uniform(0.0, 1e-3, units)
        self.features = rng.normal(2.0, 1.0, units) * self.valid
        self.innovation, self.variance = np.empty(units), np.empty(units)
        self.scratch = np.empty((d + 5, BLOCK))

    def regressors(self, unit: int) -> np.ndarray:
        return np.concatenate([self.common, self.own[:, unit] if self.own.size else []])


def packed(dense: np.ndarray) -> np.ndarray:
    return dense[:, *np.tril_indices(dense.shape[1])].T


@pytest.mark.parametrize("histories", [0, 2])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("units", SIZES)
def test_poisson_weights_are_updated_as_by_inverses(units, axes, histories):
    world = Units(axes + 10 * histories, units, axes, histories)
    before = world.weights.copy()
    total = encoding_filter.adapt_poisson_own(
        world.weights, world.covariance, world.counts, world.valid, world.common, world.own, world.rate, BIN_S,
        world.innovation, world.variance, world.scratch,
    )  # fmt: skip
    expected_total = 0.0
    weights, dense = before.copy(), world.dense.copy()
    for i in range(units):
        u = world.regressors(i)
        dense[i] += world.rate[i] * np.eye(len(u))
        if not world.valid[i]:
            assert world.innovation[i] == 0.0
            continue
        w, spread = np.exp(u @ before[:, i]) * BIN_S, u @ dense[i] @ u
        assert world.innovation[i] == pytest.approx(world.counts[i] - w, rel=1e-12)
        assert world.variance[i] == pytest.approx(w + w**2 * spread, rel=1e-12)
        expected_total += world.counts[i] * np.log(w) - w
        weights[:, i], dense[i] = poisson_step(before[:, i], world.dense[i], world.counts[i], u, world.rate[i], BIN_S)
    assert total == pytest.approx(expected_total, rel=1e-12)
    np.testing.assert_allclose(world.weights, weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(world.covariance, packed(dense), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("units", SIZES)
def test_gaussian_weights_are_updated_as_by_the_kalman_filter(units, axes):
    world = Units(30 + axes, units, axes)
    weights, dense = world.weights.copy(), world.dense.copy()
    total = encoding_filter.adapt_gaussian(
        world.weights, world.covariance, world.features, world.valid, world.common, world.rate, world.noise,
        world.innovation, world.variance, world.scratch,
    )  # fmt: skip
    expected_total = 0.0
    for i in range(units):
        u = world.common
        dense[i] += world.rate[i] * np.eye(len(u))
        spread = world.noise[i] + u @ dense[i] @ u
        assert world.variance[i] == pytest.approx(spread, rel=1e-12)
        if not world.valid[i]:
            continue
        expected_total += stats.norm.logpdf(world.features[i], u @ weights[:, i], np.sqrt(spread))
        gain = dense[i] @ u / spread
        weights[:, i] += gain * (world.features[i] - u @ weights[:, i])
        dense[i] -= np.outer(gain, gain) * spread
    assert total == pytest.approx(expected_total, rel=1e-10)
    np.testing.assert_allclose(world.weights, weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(world.covariance, packed(dense), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("trust", [0.0, 0.4])
@pytest.mark.parametrize("histories", [0, 2])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("units", SIZES[1:])
def test_what_counts_say_of_the_state_is_summed_over_units(units, axes, histories, trust):
    world = Units(50 + axes, units, axes, histories)
    score, information = np.empty(axes), np.empty((axes, axes))
    largest = evidence.poisson_evidence_own(
        world.weights, world.covariance, world.counts, world.valid, world.common, world.own, BIN_S, trust,
        score, information, world.scratch,
    )  # fmt: skip
    wanted, matrix, drives = np.zeros(axes), np.zeros((axes, axes)), []
    for i in range(units):
        u, gains = world.regressors(i), world.weights[1 : 1 + axes, i]
        drives.append(u @ world.weights[:, i] + np.log(BIN_S))
        w = np.exp(drives[-1])
        believed = world.valid[i] / (1.0 + trust * w * (u @ world.dense[i] @ u))
        wanted += gains * (world.counts[i] - w) * believed
        matrix += np.outer(gains, gains) * w * believed
    assert largest == pytest.approx(max(drives), rel=1e-12)
    np.testing.assert_allclose(score, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(information, matrix, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("axes", AXES)
def test_what_features_say_of_the_state_is_summed_over_units(axes):
    world = Units(70 + axes, BLOCK + 1, axes)
    score, information = np.empty(axes), np.empty((axes, axes))
    largest = evidence.gaussian_evidence(
        world.weights, world.covariance, world.features, world.valid, world.common, world.noise, 0.7,
        score, information, world.scratch,
    )  # fmt: skip
    gains, u = world.weights[1:], world.common
    precision = world.valid / (world.noise + 0.7 * np.einsum("a,iab,b->i", u, world.dense, u))
    left = world.features - u @ world.weights
    assert largest == pytest.approx(np.sqrt((left**2 * precision).max()), rel=1e-12)
    np.testing.assert_allclose(score, gains @ (left * precision), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(information, (gains * precision) @ gains.T, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("axes", "states"), [(1, 1), (3, 2), (7, 14)])
def test_evidence_is_carried_to_the_state_by_the_chain_rule(axes, states):
    rng = np.random.default_rng(axes)
    root, jacobian, score = rng.normal(size=(axes, axes)), rng.normal(size=(axes, states)), rng.normal(size=axes)
    information = root @ root.T
    state_score, state_information = np.empty(states), np.empty((states, states))
    evidence.project_evidence(score, information, jacobian, state_score, state_information, np.empty((axes, states)))
    np.testing.assert_allclose(state_score, jacobian.T @ score, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(state_information, jacobian.T @ information @ jacobian, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("histories", [0, 2])
@pytest.mark.parametrize("axes", AXES)
def test_alternatives_of_a_bin_are_scored_by_their_poisson_probability(axes, histories):
    world, rng = Units(90 + axes, BLOCK + 1, axes, histories), np.random.default_rng(7)
    alternatives, out = np.c_[np.ones(3), rng.normal(0.0, 0.5, (3, axes))], np.empty(3)
    evidence.poisson_likelihoods(
        world.weights, world.counts, world.valid, alternatives, world.own, BIN_S, out, np.empty((2, BLOCK))
    )
    seen = world.valid > 0.0
    for k, common in enumerate(alternatives):
        drive = common @ world.weights[: 1 + axes]
        if histories:
            drive = drive + (world.own * world.weights[1 + axes :]).sum(axis=0)
        probability = stats.poisson.logpmf(world.counts[seen], np.exp(drive[seen]) * BIN_S).sum()
        without_factorials = probability + sum(np.log(np.arange(1, n + 1)).sum() for n in world.counts[seen])
        assert out[k] == pytest.approx(without_factorials, rel=1e-10)


@pytest.mark.parametrize("axes", AXES)
def test_a_unit_that_starts_again_knows_its_baseline_alone(axes):
    world = Units(1, 3, axes)
    weights, dense = world.weights.copy(), world.dense.copy()
    soundness.restart_units(world.weights, world.covariance, np.array([0, 2]), 1.25, 4.0)
    for unit in (0, 2):
        weights[:, unit] = [1.25] + [0.0] * axes
        dense[unit] = 4.0 * np.eye(1 + axes)
    np.testing.assert_array_equal(world.weights, weights)
    np.testing.assert_array_equal(world.covariance, packed(dense))


def judged(counts, valid, fresh, sd, factor, share, first, most):
    """Return which bins are artifacts: of the units that are there and known, all but the busiest far above usual."""
    means, seen = [0.0] * counts.shape[1], [0] * counts.shape[1]
    found, dispersion, learned, row = [], 0.0, 0, 0
    for t in range(len(counts)):
        if not fresh[t]:
            found.append(False)
            continue
        known = [i for i in range(counts.shape[1]) if valid[t, i] and seen[i] >= first]
        expected = sum(means[i] for i in known)
        total = sum(counts[t, i] for i in known) - max((counts[t, i] for i in known), default=0.0)
        spread = np.sqrt(max(dispersion, 1.0) * max(expected, 1.0))
        high = total > factor * expected and total > expected + sd * spread
        if high and row < most:
            row += 1
            found.append(True)
            continue
        if high:  # it stays: that is how it is now
            means, seen, dispersion, learned = [0.0] * len(means), [0] * len(means), 0.0, 0
        elif expected > 0.0:
            square = (total - expected) ** 2 / max(expected, 1.0)
            dispersion += max(share, 1.0 / (learned + 1)) * (square - dispersion)
            learned += 1
        row = 0
        for i in range(len(means)):
            if valid[t, i]:
                means[i] += max(share, 1.0 / (seen[i] + 1)) * (counts[t, i] - means[i])
                seen[i] += 1
        found.append(False)
    return found


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("bins", [0, 1, 400])
def test_artifacts_are_bins_far_above_what_is_usual_of_the_units_that_are_there(bins, missing):
    rng = np.random.default_rng(3)
    counts, fresh = rng.poisson(0.5, (bins, 20)).astype(float), rng.random(bins) > 0.05
    valid = (rng.random((bins, 20)) >= missing).astype(float)
    counts[100:103] += 6.0  # a short one
    counts[250:330] += 4.0  # and a rate that stays
    counts[180:181, 3] += 200.0  # one unit as never before is none
    found = np.empty(bins, dtype=bool)
    artifacts.find_artifacts(counts, valid, fresh, np.array([10.0, 3.0, 0.02, 50.0, 8.0]), found)
    wanted = judged(counts, valid, fresh, 10.0, 3.0, 0.02, 50, 8)
    assert found.tolist() == wanted
    assert bins < 400 or (sum(wanted[100:103]) >= 2 and not wanted[180] and sum(wanted[250:330]) == 8)
