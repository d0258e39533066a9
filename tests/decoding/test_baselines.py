"""The static baselines against independent implementations."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding import baselines
from bmi_runtime.decoding.offline_session import displacement
from bmi_runtime.sources.datafile import recording_from_arrays


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    velocity = np.zeros((500, 2))
    for index in range(1, 500):
        velocity[index] = 0.8 * velocity[index - 1] + rng.normal(size=2)
    position = np.cumsum(velocity - velocity.mean(axis=0), axis=0) * 0.05
    ahead = np.vstack([velocity[2:], np.zeros((2, 2))])
    counts = rng.poisson(np.exp(0.3 * ahead @ rng.normal(size=(2, 6))))
    return recording_from_arrays("made", counts, 0.05, velocity, position)


def test_history_stops_at_a_restart():
    counts = np.arange(1.0, 9.0)[:, None]
    restart = np.zeros(8, bool)
    restart[[0, 5]] = True
    history = baselines.count_history(counts, restart, 3)
    np.testing.assert_array_equal(history[2], [3, 2, 1])
    np.testing.assert_array_equal(history[5], [6, 0, 0])
    np.testing.assert_array_equal(history[6], [7, 6, 0])


def test_ridge_is_scikit_learns(data):
    train = 400
    states = baselines.ridge_states(data, train)
    features = baselines.count_history(data.counts, data.restart)
    scale = features[:train].var(axis=0).mean() * train
    fits = [Ridge(alpha=p * scale).fit(features[:train], data.kinematics[:train]) for p in baselines.PENALTIES]
    errors = [np.abs(fit.predict(features) - states).max() for fit in fits]
    assert min(errors) < 1e-8


def test_kalman_is_the_textbook_filter(data):
    train = 400
    states = baselines.kalman_states(data, train)
    errors = []
    for lead in baselines.LEADS_BINS:
        paired = np.vstack([np.tile(np.nan, (lead, data.n_units)), data.counts[: data.n_bins - lead]])
        errors.append(np.abs(textbook(data.kinematics, paired, train, lead) - states[train:]).max())
    assert min(errors) < 1e-4  # but for what makes the noise covariance invertible
    assert int(np.argmin(errors)) in (1, 2)


def textbook(kinematics, counts, train, lead):
    state_mean, count_mean = kinematics[lead:train].mean(axis=0), counts[lead:train].mean(axis=0)
    x, y = kinematics - state_mean, counts - count_mean
    a = np.linalg.lstsq(x[: train - 1], x[1:train], rcond=None)[0].T
    w = (x[1:train] - x[: train - 1] @ a.T).T @ (x[1:train] - x[: train - 1] @ a.T) / (train - 1)
    c = np.linalg.lstsq(x[lead:train], y[lead:train], rcond=None)[0].T
    residual = y[lead:train] - x[lead:train] @ c.T
    q = residual.T @ residual / (train - lead)
    mean, covariance, out = x[train - 1], np.zeros((4, 4)), []
    for index in range(train, len(x)):
        mean, covariance = a @ mean, a @ covariance @ a.T + w
        gain = covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + q)
        mean = mean + gain @ (y[index] - c @ mean)
        covariance = covariance - gain @ c @ covariance
        out.append(mean + state_mean)
    return np.array(out)


def test_silent_and_duplicate_units_change_little(data):
    spoiled = np.hstack([data.counts, data.counts[:, :1], np.zeros((data.n_bins, 1))])
    more = recording_from_arrays("made", spoiled, 0.05, data.velocity, data.position)
    states, plain = baselines.kalman_states(more, 400)[400:], baselines.kalman_states(data, 400)[400:]
    assert np.isfinite(states).all()
    assert min(r2(plain[:, 2:], states[:, 2:])) > 0.97


def test_displacement_starts_again_at_every_trial():
    starts = np.zeros(6, bool)
    starts[[0, 4]] = True
    moved = displacement(np.ones((6, 2)), starts, 0.5, 2)
    np.testing.assert_allclose(moved[:, 0], [0.0, 0.5, 0.0, 0.5, 0.0, 0.5])


@pytest.mark.parametrize(("bins", "inputs"), [(300, 40), (60, 90)])
def test_ridge_weights_solve_the_normal_equations_whether_bins_or_inputs_are_fewer(bins, inputs):
    rng = np.random.default_rng(3)
    features, target = rng.poisson(1.0, (bins, inputs)).astype(float), rng.standard_normal((bins, 2))
    centred = features - features.mean(axis=0)
    for penalty, weights in baselines.ridge_path(features, target, [1e-3, 1.0]):
        scale = penalty * (centred**2).sum() / inputs
        left = centred.T @ centred @ weights[:-1] + scale * weights[:-1]
        np.testing.assert_allclose(left, centred.T @ (target - target.mean(axis=0)), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(
            baselines.with_intercept(features).mean(axis=0) @ weights, target.mean(axis=0), atol=1e-12
        )
