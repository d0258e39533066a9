"""The filters against dense textbook filters in float64, and their promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import decoding_filter, filters, soundness, unit_blocks
from tests.kernels.textbook import poisson_step

BIN_S = 0.01


def test_the_filters_have_one_name_for_those_who_drive_them_by_hand():
    assert filters.checksum is soundness.checksum
    assert filters.decode_poisson is decoding_filter.decode_poisson
    assert all(callable(getattr(filters, name)) for name in filters.__all__)


def textbook_gaussian(weights, covariance, y, u, rate, noise):
    """Kalman filter on the weights, one unit, written with the gain."""
    prior = covariance + rate * np.eye(len(u))
    gain = prior @ u / (u @ prior @ u + noise)
    return weights + gain * (y - u @ weights), (np.eye(len(u)) - np.outer(gain, u)) @ prior


def random_model(rng, n_units, likelihood):
    weights = rng.normal(0.0, 0.4, (3, n_units))
    weights[0] += np.log(10.0)
    root = rng.normal(0.0, 0.2, (n_units, 3, 3))
    full = root @ np.swapaxes(root, 1, 2) + 0.01 * np.eye(3)
    rows, columns = np.tril_indices(3)
    noise = rng.uniform(0.5, 2.0, n_units)
    return EncodingModel(weights, full[:, rows, columns].T, likelihood, BIN_S, noise), full


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    n_units=st.sampled_from([1, 3, 63, 64, 65, 130]),
    rate=st.sampled_from([0.0, 1e-7, 1e-3]),
    likelihood=st.sampled_from(["poisson", "gaussian"]),
)
def test_adaptation_is_the_textbook_filter(seed, n_units, rate, likelihood):
    rng = np.random.default_rng(seed)
    model, full = random_model(rng, n_units, likelihood)
    expected_weights = model.weights.T.copy()
    adapter = Adapter(model, rate)
    for _ in range(5):
        velocity = rng.normal(0.0, 0.1, 2)
        u = np.array([1.0, *(10.0 * velocity)])
        counts = rng.poisson(0.3, n_units).astype(float)  # more than one spike in a bin is data
        adapter.update(counts, np.ones(n_units), *velocity)
        for i in range(n_units):
            if likelihood == "poisson":
                step = poisson_step(expected_weights[i], full[i], counts[i], u, rate, BIN_S)
            else:
                step = textbook_gaussian(expected_weights[i], full[i], counts[i], u, rate, model.noise_variance[i])
            expected_weights[i], full[i] = step
    assert np.allclose(model.weights.T, expected_weights, rtol=1e-10, atol=1e-12)
    assert np.allclose(model.dense_covariance(), full, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_a_missing_unit_learns_nothing_and_grows_uncertain(likelihood):
    rng = np.random.default_rng(3)
    model, full = random_model(rng, 4, likelihood)
    before = model.weights.copy()
    valid = np.array([1.0, 0.0, 1.0, 1.0])
    Adapter(model, 1e-3).update(np.array([2.0, 0.0, 0.0, 1.0]), valid, 0.1, -0.05)
    assert np.array_equal(model.weights[:, 1], before[:, 1])
    assert not np.allclose(model.weights[:, 0], before[:, 0])
    assert np.allclose(model.dense_covariance()[1], full[1] + 1e-3 * np.eye(3), rtol=1e-12)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_decoding_is_the_textbook_filter(likelihood, trust):
    rng = np.random.default_rng(5)
    model, full = random_model(rng, 70, likelihood)
    state, covariance = np.zeros(4), np.diag([0.0, 0.0, 0.02, 0.02])
    mean, dense = state.copy(), covariance.copy()
    keep, noise = 0.98, 1e-3
    transition = np.array([[1, 0, BIN_S, 0], [0, 1, 0, BIN_S], [0, 0, keep, 0], [0, 0, 0, keep]])
    workspace, scratch = np.zeros(decoding_filter.WORKSPACE), np.empty((8, unit_blocks.BLOCK))
    for _ in range(20):
        counts = rng.poisson(0.3, 70).astype(float)
        shared = (state, covariance, model.weights, model.covariance, counts, np.ones(70))
        prior = (trust, keep, noise, 10.0, workspace, scratch)
        if likelihood == "poisson":
            decoding_filter.decode_poisson(*shared, unit_blocks.NO_HISTORY, BIN_S, *prior)
        else:
            decoding_filter.decode_gaussian(*shared, BIN_S, model.noise_variance, *prior)
        mean, dense = transition @ mean, transition @ dense @ transition.T + np.diag([0, 0, noise, noise])
        u = np.array([1.0, 10 * mean[2], 10 * mean[3]])
        gains = np.vstack([np.zeros((2, 70)), 10.0 * model.weights[1:]])  # by x, y, vx, vy in SI
        spread = trust * np.einsum("a,iab,b->i", u, full, u)
        if likelihood == "poisson":
            expected = np.exp(u @ model.weights) * BIN_S
            weight, error = expected / (1 + expected * spread), (counts - expected) / (1 + expected * spread)
        else:
            weight = 1.0 / (model.noise_variance + spread)
            error = (counts - u @ model.weights) * weight
        dense = dense @ np.linalg.inv(np.eye(4) + (gains * weight) @ gains.T @ dense)
        mean = mean + dense @ gains @ error
        assert np.allclose(state, mean, rtol=1e-9, atol=1e-12)
        assert np.allclose(covariance, dense, rtol=1e-8, atol=1e-14)


def test_refused_counts_are_marked_missing():
    out, valid = np.empty(5), np.empty(5)
    counts = np.array([1.0, np.nan, -np.inf, 61.0, 60.0])
    assert soundness.clean_counts(counts, 60.0, out, valid) == 3
    assert out.tolist() == [1.0, 0.0, 0.0, 0.0, 60.0]
    assert valid.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]


def test_the_checksum_sees_one_bit_and_the_order():
    values = np.random.default_rng(1).normal(size=(3, 50))
    whole = soundness.checksum(values)
    other = values.copy()
    other[1, 7] = np.nextafter(other[1, 7], 1.0)
    assert soundness.checksum(other) != whole
    assert soundness.checksum(values[::-1].copy()) != whole
    assert soundness.checksum(values.copy()) == whole


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("rate", [1e-12, 1e-7, 1e-3])
def test_covariances_stay_positive_definite(likelihood, rate):
    """Two thousand bins of 64 units here; `make test-slow` does 10^8."""
    smallest = smallest_eigenvalue_after(2_000, likelihood, rate)
    assert smallest > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_covariances_stay_positive_definite_over_a_hundred_million_updates(likelihood):
    assert smallest_eigenvalue_after(1_600_000, likelihood, 1e-7) > 0.0


def smallest_eigenvalue_after(bins, likelihood, rate):
    rng = np.random.default_rng(7)
    model, _ = random_model(rng, 64, likelihood)
    adapter, valid = Adapter(model, rate), np.ones(64)
    velocities = rng.normal(0.0, 0.15, (997, 2))  # up to 0.5 m/s: regressors of several dm/s
    counts = rng.poisson(0.3, (991, 64)).astype(float)
    for k in range(bins):
        adapter.update(counts[k % 991], valid, *velocities[k % 997])
    assert np.isfinite(model.weights).all()
    return np.linalg.eigvalsh(model.dense_covariance()).min()


def test_a_poisson_baseline_of_zero_is_refused():
    with pytest.raises(BadInput, match="unit 1 starts with a baseline of 0 Hz"):
        EncodingModel.untrained(np.array([5.0, 0.0]), "poisson", 0.005, 0.5)
