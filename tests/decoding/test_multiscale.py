"""The live decoder over any number of axes, blocks and regressors against a dense textbook filter, and its limits."""

import numpy as np
import pytest

from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import Regressors

BIN_S, UNITS, FEATURES = 0.005, 20, 9
AXES = [1, 2, 3, 7]


def model_of(rng, n, likelihood, kinds):
    d = kinds.size
    weights = rng.normal(0.0, 0.3, (d, n))
    weights[0] += np.log(15.0) if likelihood == "poisson" else 0.5
    root = rng.normal(0.0, 0.1, (n, d, d))
    full = root @ np.swapaxes(root, 1, 2) + 0.003 * np.eye(d)
    rows, columns = np.tril_indices(d)
    noise = rng.uniform(0.5, 2.0, n)
    return EncodingModel(weights, full[:, rows, columns].T, likelihood, BIN_S, noise, kinds)


def mixed(rng, axes, names=("velocity",), history_s=()):
    model = model_of(rng, UNITS, "poisson", Regressors(axes, names, history_s))
    own = tuple(name for name in names if name != "history")
    model.features = model_of(rng, FEATURES, "gaussian", Regressors(axes, own))
    return model


def regressors_at(kinds, state, own):
    """The regressors of one unit and their Jacobian by the state, by finite differences."""
    n = kinds.n_axes

    def at(x):
        out = np.zeros(kinds.n_common)
        kinds.fill(out, 10.0 * x[n:], 10.0 * x[:n])
        return np.r_[out, own]

    step = 1e-6
    columns = [(at(state + step * e) - at(state - step * e)) / (2 * step) for e in np.eye(2 * n)]
    return at(state), np.stack(columns, axis=1)


def evidence(model, values, state, traces):
    """Score and information by the state, unit by unit, with dense matrices."""
    full = model.dense_covariance()
    score, information = np.zeros(state.size), np.zeros((state.size, state.size))
    for i in range(model.n_units):
        own = traces[:, i] if model.regressors.n_history else np.zeros(0)
        u, jacobian = regressors_at(model.regressors, state, own)
        gradient = jacobian.T @ model.weights[:, i]
        spread = u @ full[i] @ u
        if model.likelihood == "poisson":
            expected = np.exp(u @ model.weights[:, i]) * BIN_S
            weight, error = expected / (1 + expected * spread), (values[i] - expected) / (1 + expected * spread)
        else:
            weight = 1.0 / (model.noise_variance[i] + spread)
            error = (values[i] - u @ model.weights[:, i]) * weight
        score += gradient * error
        information += weight * np.outer(gradient, gradient)
    return score, information


def textbook(decoder, mean, dense, blocks):
    """Predict and condition with inverses; blocks are (model, values, traces)."""
    n = decoder.n_axes
    transition = np.block([[np.eye(n), BIN_S * np.eye(n)], [np.zeros((n, n)), decoder.keep * np.eye(n)]])
    mean, dense = transition @ mean, transition @ dense @ transition.T
    dense[n:, n:] += decoder.noise * np.eye(n)
    parts = [evidence(model, values, mean, traces) for model, values, traces in blocks]
    score, information = sum(part[0] for part in parts), sum(part[1] for part in parts)
    dense = dense @ np.linalg.inv(np.eye(2 * n) + information @ dense)
    return mean + dense @ score, dense


CASES = [
    (("velocity",), ()),
    (("velocity", "position"), ()),
    (("velocity", "speed", "history"), (0.01, 0.1)),
    (("history", "position"), (0.02,)),
    (("velocity", "position", "speed", "history"), (0.01,)),
]


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(("names", "history_s"), CASES)
def test_every_block_counts_when_it_comes(axes, names, history_s):
    rng = np.random.default_rng(axes)
    model = mixed(rng, axes, names, history_s)
    traces = rng.uniform(0.0, 1.0, (model.regressors.n_history, UNITS))
    decoder = VelocityFilter(model, history=traces)
    decoder.state[axes:] = 0.05  # not at rest, where the speed has no direction
    mean, dense = decoder.state.copy(), decoder.covariance.copy()
    for bin_index in range(25):
        counts = rng.poisson(0.1, UNITS).astype(float)
        blocks = [(model, counts, traces)]
        features = rng.normal(0.5, 1.0, FEATURES) if bin_index % 10 == 9 else None
        if features is None:
            decoder.predict(counts)
        else:
            decoder.predict(counts, None, features, np.ones(FEATURES))
            blocks.append((model.features, features, None))
        mean, dense = textbook(decoder, mean, dense, blocks)
        assert np.allclose(decoder.state, mean, rtol=1e-6, atol=1e-9)
        assert np.allclose(decoder.covariance, dense, rtol=1e-6, atol=1e-10)
        traces[:] = 0.8 * (traces + counts)


@pytest.mark.parametrize("axes", AXES)
def test_without_features_it_is_the_point_process_filter(axes):
    rng = np.random.default_rng(7)
    model = mixed(rng, axes)
    alone = VelocityFilter(EncodingModel(model.weights, model.covariance, "poisson", BIN_S))
    both = VelocityFilter(model)
    for _ in range(50):
        counts = rng.poisson(0.1, UNITS).astype(float)
        assert np.array_equal(both.predict(counts), alone.predict(counts))
    assert np.array_equal(both.covariance, alone.covariance)


@pytest.mark.parametrize("axes", AXES)
def test_without_spikes_it_is_the_kalman_filter(axes):
    rng = np.random.default_rng(8)
    model = mixed(rng, axes)
    features = model.features
    alone = VelocityFilter(
        EncodingModel(features.weights, features.covariance, "gaussian", BIN_S, features.noise_variance)
    )
    both, nothing = VelocityFilter(model), np.zeros(UNITS)
    for _ in range(50):
        values = rng.normal(0.5, 1.0, FEATURES)
        both.predict(nothing, nothing, values, np.ones(FEATURES))
        assert np.allclose(both.state, alone.predict(values), rtol=1e-12, atol=1e-15)
    assert np.allclose(both.covariance, alone.covariance, rtol=1e-12, atol=1e-18)


def test_a_missing_feature_says_nothing():
    rng = np.random.default_rng(9)
    model = mixed(rng, 2)
    first, second = VelocityFilter(model), VelocityFilter(model)
    counts, values, valid = np.zeros(UNITS), rng.normal(size=FEATURES), np.ones(FEATURES)
    valid[3] = 0.0
    other = values.copy()
    other[3] = 1e3
    assert np.array_equal(first.predict(counts, None, values, valid).copy(), second.predict(counts, None, other, valid))


def test_the_plane_and_the_elimination_agree():
    from bmi_runtime.kernels import state_filter

    rng = np.random.default_rng(10)
    root = rng.normal(size=(4, 4))
    covariance, score = root @ root.T, rng.normal(size=2)
    information = np.array([[3.0, 0.4], [0.4, 2.0]])
    states = [np.zeros(4), np.zeros(4)]
    spreads = [covariance.copy(), covariance.copy()]
    state_filter.update_state(states[0], spreads[0], score, information, 10.0, np.zeros((6, 5)))
    wide_score, wide = np.r_[0.0, 0.0, score], np.zeros((4, 4))  # the same evidence, told of the whole state
    wide[2:, 2:] = information
    state_filter.update_state(states[1], spreads[1], wide_score, wide, 10.0, np.zeros((8, 9)))
    assert np.allclose(states[0], states[1], rtol=1e-10)
    assert np.allclose(spreads[0], spreads[1], rtol=1e-9, atol=1e-12)
