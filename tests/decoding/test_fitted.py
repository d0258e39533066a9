"""Decoders that people compare, each against an independent implementation."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, PoissonRegressor, Ridge

from bmi_runtime import registry
from bmi_runtime.decoding import baselines, fitting, tables
from bmi_runtime.decoding.adaptive_decoders import PointProcessDecoder, poisson_tuning
from bmi_runtime.decoding.batch_decoder import Training, decode_all, paired_rows
from bmi_runtime.decoding.falcon import FalconDecoder
from bmi_runtime.decoding.kalman import KalmanDecoder, SteadyKalmanDecoder, VelocityKalmanDecoder
from bmi_runtime.decoding.optimal_linear import OptimalLinearEstimator, PopulationVector, boxcar
from bmi_runtime.decoding.refit_kalman import RefitKalmanDecoder
from bmi_runtime.decoding.wiener import RidgeDecoder, WienerCascadeDecoder, WienerDecoder
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import rotated_to_target


def made(bins=700, units=10, seed=11):
    rng = np.random.default_rng(seed)
    velocity = np.zeros((bins, 2))
    for index in range(1, bins):
        velocity[index] = 0.85 * velocity[index - 1] + 0.5 * rng.normal(size=2)
    position = np.cumsum(velocity, axis=0) * 0.05
    counts = rng.poisson(np.exp(0.5 + 0.5 * velocity @ rng.normal(size=(2, units)))).astype(float)
    starts = np.zeros(bins, bool)
    starts[0] = True
    return Training(counts, np.hstack([position, velocity]), starts, starts.copy(), 0.05)


@pytest.fixture(scope="module")
def halves():
    data = made()
    return data.part(slice(0, 500)), data.part(slice(500, None))


def textbook(train, test, columns, lead=0):
    """Dense Kalman filter with the gain form of Welch and Bishop, started as the decoder is."""
    model = baselines.fit_kalman(
        train.counts, train.kinematics[:, columns], train.trial_start, paired_rows(train.restart, lead)
    )
    a, w, c, q = model.transition, model.transition_covariance, model.observation, model.observation_covariance
    mean, covariance, out = model.start_mean, model.start_covariance, []
    for index in range(len(test.counts)):
        if index:
            mean, covariance = a @ mean, a @ covariance @ a.T + w
        y = test.counts[index - lead] - model.count_mean if index >= lead else np.zeros(len(c))
        gain = covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + q)
        mean, covariance = mean + gain @ (y - c @ mean), covariance - gain @ c @ covariance
        out.append(mean + model.mean)
    return np.array(out), gain


@pytest.mark.parametrize(("kind", "columns"), [(KalmanDecoder, [0, 1, 2, 3]), (VelocityKalmanDecoder, [2, 3])])
@pytest.mark.parametrize("lead", [0, 2])
def test_kalman_is_the_textbook_filter(halves, kind, columns, lead):
    train, test = halves
    states = decode_all(kind.with_lead(train, lead), test)
    np.testing.assert_allclose(states[:, columns], textbook(train, test, columns, lead)[0], atol=1e-8)
    assert np.isnan(states[:, [c for c in range(4) if c not in columns]]).all()


def test_steady_kalman_has_the_gain_that_the_full_filter_settles_at(halves):
    train, test = halves
    decoder = SteadyKalmanDecoder.with_lead(train, 0)
    model = decoder.model
    a, w, c, q = model.transition, model.transition_covariance, model.observation, model.observation_covariance
    covariance = np.zeros((4, 4))
    for _ in range(1024):
        covariance = a @ covariance @ a.T + w
        gain = covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + q)
        covariance = covariance - gain @ c @ covariance
    np.testing.assert_allclose(decoder.gain, gain, rtol=1e-6, atol=1e-9)
    states, mean = decode_all(decoder, test), model.start_mean
    for index, counts in enumerate(test.counts):
        mean = a @ mean if index else mean
        mean = mean + gain @ (counts - model.count_mean - c @ mean)
        np.testing.assert_allclose(states[index], mean + model.mean, atol=1e-6)


def test_kalman_starts_anew_after_a_trial_and_not_the_delayed_counts(halves):
    train, test = halves
    decoder = KalmanDecoder.with_lead(train, 1)
    decode_all(decoder, test.part(slice(0, 50)))
    decoder.on_done()
    first = decoder.predict(test.counts[50])
    fresh = KalmanDecoder.with_lead(train, 0)
    np.testing.assert_allclose(fresh.model.start_mean, decoder.model.start_mean, atol=0.1)
    other = KalmanDecoder(decoder.model, 0, decoder.columns, decoder.units)
    np.testing.assert_allclose(other.predict(test.counts[49]), first, atol=1e-10)


def test_wiener_and_ridge_are_scikit_learns(halves):
    train, test = halves
    features, held_out = (baselines.count_history(d.counts, d.restart) for d in halves)
    least = LinearRegression().fit(features, train.kinematics)
    np.testing.assert_allclose(decode_all(WienerDecoder.fit(train), test), least.predict(held_out), atol=1e-5)
    scale = features.var(axis=0).mean() * len(features)
    ridges = [Ridge(alpha=p * scale).fit(features, train.kinematics).predict(held_out) for p in baselines.PENALTIES]
    states = decode_all(RidgeDecoder.fit(train), test)
    assert min(np.abs(states - other).max() for other in ridges) < 1e-8


def test_cascade_is_a_polynomial_of_the_linear_output(halves):
    train, test = halves
    cascade = WienerCascadeDecoder.fit(train)
    linear, bent = decode_all(RidgeDecoder.fit(train), test), decode_all(cascade, test)
    low, high = cascade.range_
    for axis in range(4):
        powers = np.clip(linear[:, axis], low[axis], high[axis])[:, None] ** np.arange(3, -1, -1)
        np.testing.assert_allclose(bent[:, axis], powers @ cascade.polynomials[axis], atol=1e-9)
    squared = Training(train.counts, train.kinematics**2 * np.sign(train.kinematics), *_marks(train))
    fitted = WienerCascadeDecoder.fit(squared)
    error = [
        ((decode_all(d, squared)[:, 2:] - squared.kinematics[:, 2:]) ** 2).mean()
        for d in (fitted, RidgeDecoder.fit(squared))
    ]
    assert error[0] < error[1]


def _marks(data):
    return data.trial_start, data.restart, data.bin_s


def test_boxcar_stops_at_a_restart():
    restart = np.array([True, False, False, True, False])
    means = boxcar(np.array([[1.0], [2.0], [6.0], [5.0], [7.0]]), restart, 2)
    np.testing.assert_allclose(means[:, 0], [1.0, 1.5, 4.0, 5.0, 6.0])


def test_optimal_linear_estimator_is_generalised_least_squares(halves):
    train, test = halves
    estimator = OptimalLinearEstimator.with_window(train, 3)
    means = boxcar(train.counts, train.restart, 3)
    tuning = LinearRegression().fit(train.kinematics[:, 2:], means)
    noise = np.cov((means - tuning.predict(train.kinematics[:, 2:])).T, bias=True)
    noise += np.eye(10) * 1e-3 * np.trace(noise) / 10
    whiten = np.linalg.inv(np.linalg.cholesky(noise))
    held_out = boxcar(test.counts, test.restart, 3) - tuning.intercept_
    expected = np.linalg.lstsq(whiten @ tuning.coef_, whiten @ held_out.T, rcond=None)[0].T
    np.testing.assert_allclose(decode_all(estimator, test)[:, 2:], expected, atol=1e-6)


def test_population_vector_sums_preferred_directions(halves):
    train, test = halves
    decoder = PopulationVector.with_window(train, 1)
    tuning = LinearRegression().fit(train.kinematics[:, 2:], train.counts)
    depth = np.linalg.norm(tuning.coef_, axis=1)
    expected = np.zeros((len(test.counts), 2))
    for unit in range(10):
        drive = (test.counts[:, unit] - tuning.intercept_[unit]) / depth[unit]
        expected += drive[:, None] * tuning.coef_[unit] / depth[unit]
    decoded = decode_all(decoder, test)[:, 2:]
    ratio = (decoded * expected).sum() / (expected**2).sum()
    np.testing.assert_allclose(decoded, ratio * expected, atol=1e-9)
    assert ratio > 0


def test_poisson_tuning_is_scikit_learns(halves):
    train, _ = halves
    weights = poisson_tuning(train.counts, train.kinematics[:, 2:])
    for unit in range(3):
        other = PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=1000).fit(
            train.kinematics[:, 2:], train.counts[:, unit]
        )
        np.testing.assert_allclose(weights[:, unit], [other.intercept_, *other.coef_], atol=1e-3)


def test_point_process_does_not_depend_on_the_unit_of_velocity(halves):
    train, test = halves
    scaled = Training(train.counts, 250.0 * train.kinematics, *_marks(train))
    states = decode_all(PointProcessDecoder.with_lead(train, 0), test)
    np.testing.assert_allclose(decode_all(PointProcessDecoder.with_lead(scaled, 0), test), 250.0 * states, rtol=1e-7)
    assert np.corrcoef(states[:, 2], test.kinematics[:, 2])[0, 1] > 0.8


def test_refit_is_a_joint_filter_with_a_certain_position(halves):
    train, test = halves
    decoder = RefitKalmanDecoder.fit(train)
    a, w = np.eye(4), np.zeros((4, 4))
    a[:2, 2:], a[2:, 2:], w[2:, 2:] = 0.05 * np.eye(2), decoder.transition, decoder.transition_covariance
    both = baselines.fit_kalman(train.counts, train.kinematics, train.trial_start, np.arange(500))
    velocity_mean, mean, covariance = both.mean[2:], np.zeros(4), np.zeros((4, 4))
    mean[2:] = -velocity_mean
    decoder.reset()
    for index in range(60):
        cursor = test.kinematics[index, :2]
        mean[:2] = cursor  # the cursor is where it is seen
        decoder.set_position(*cursor)
        mean = a @ mean
        mean[:2] += 0.05 * velocity_mean
        covariance = a @ covariance @ a.T + w
        covariance[:2], covariance[:, :2] = 0.0, 0.0
        centred = test.counts[index] - both.count_mean - both.observation[:, :2] @ (mean[:2] - both.mean[:2])
        c = both.observation[:, 2:]
        gain = covariance[2:, 2:] @ c.T @ np.linalg.inv(c @ covariance[2:, 2:] @ c.T + both.observation_covariance)
        mean[2:] += gain @ (centred - c @ mean[2:])
        covariance[2:, 2:] -= gain @ c @ covariance[2:, 2:]
        np.testing.assert_allclose(decoder.predict(test.counts[index])[2:], mean[2:] + velocity_mean, atol=1e-8)


def test_intentions_are_rotated_and_still_in_the_target():
    kinematics = np.array([[0.0, 0.0, 3.0, 4.0], [1.0, 1.0, 2.0, 0.0]])
    turned = rotated_to_target(kinematics, np.array([[0.0, 2.0], [1.0, 1.1]]), np.array([False, True]))
    np.testing.assert_allclose(turned, [[0.0, 0.0, 0.0, 5.0], [1.0, 1.0, 0.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize("name", [n for n in tables.FITTED if n != "history"])
def test_every_row_of_the_table_decodes_and_starts_again(halves, name):
    train, test = halves
    silent = np.hstack([train.counts, np.zeros((500, 1)), train.counts[:, :1]])
    again = np.hstack([test.counts, np.ones((200, 1)), test.counts[:, :1]])
    decoder = fitting.fit_decoder(name, Training(silent, train.kinematics, *_marks(train)))
    data = Training(again, test.kinematics, *_marks(test))
    first = decode_all(decoder, data)
    np.testing.assert_array_equal(first, decode_all(decoder, data))
    error = ((first - test.kinematics)[:, 2:] ** 2).sum() / ((test.kinematics[:, 2:]) ** 2).sum()
    assert error < 0.8


def test_seams_of_a_part_are_starts():
    part = made(bins=60).part(np.r_[0:10, 30:40])
    assert np.flatnonzero(part.restart).tolist() == [0, 10]
    assert np.flatnonzero(part.trial_start).tolist() == [0, 10]


class Good:
    def predict(self, counts):
        return counts[:, :2]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda counts: 1 / 0, "raised in predict: ZeroDivisionError"),
        (lambda counts: np.zeros((1, 3)), r"answers float64 of shape \(1, 3\)"),
        (lambda counts: np.array([["a", "b"]]), "answers <U1"),
        (lambda counts: np.array([[np.nan, 1.0]]), "not finite"),
    ],
)
def test_a_plugin_that_goes_wrong_is_named(answer, words):
    plugin = Good()
    plugin.predict = answer
    with pytest.raises(BadInput, match=f"'theirs'.*{words}"):
        FalconDecoder(plugin, "theirs").predict(np.ones(3))


def test_a_plugin_decodes_and_one_without_predict_is_refused():
    states = FalconDecoder(Good(), "theirs").predict(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(states, [np.nan, np.nan, 1.0, 2.0])
    with pytest.raises(BadInput, match="has no predict"):
        FalconDecoder(object(), "theirs")
    with pytest.raises(BadInput, match="did you mean 'kalman'"):
        fitting.fit_decoder("kalmann", None)


def test_plugins_come_by_entry_point(halves, monkeypatch):
    import importlib.metadata as metadata

    point = metadata.EntryPoint("theirs", f"{__name__}:Good", tables.ENTRY_POINTS)
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: Good)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    states = decode_all(fitting.fit_decoder("theirs", halves[0]), halves[1])
    np.testing.assert_array_equal(states[:, 2:], halves[1].counts[:, :2])
