"""The cubic behind the history decoder: fitted as weighted least squares, used only where it has proved itself."""

import numpy as np
import pytest

from bmi_runtime.decoding.cubic_correction import FEWEST_BINS, FORGETTING, RIDGE, CubicCorrection


def learned(truth_of, bins=1500, every=100, seed=2):
    rng = np.random.default_rng(seed)
    bending = CubicCorrection(2)
    decoded = rng.normal(size=(bins, 2)) * [1.0, 30.0] + [0.0, 5.0]
    truth = truth_of(decoded, rng)
    for index in range(bins):
        bending.learn(decoded[index], truth[index])
        if index % every == every - 1:
            bending.publish()
    return bending, decoded, truth


def test_the_cubic_is_weighted_least_squares():
    bending, decoded, truth = learned(lambda x, rng: x + 0.01 * x**3 + rng.normal(size=x.shape))
    count = len(decoded)
    weight = ((np.arange(count) + 1.0) / count) ** FORGETTING
    weight[:FEWEST_BINS] = weight[FEWEST_BINS - 1] * _first_weights()
    for dim in range(2):
        scaled = (decoded[:, dim] - bending.centre[dim]) / bending.scale[dim]
        powers = scaled[:, None] ** np.arange(4)
        gram = powers.T @ (weight[:, None] * powers)
        expected = np.linalg.solve(gram + RIDGE * np.trace(gram) * np.eye(4), powers.T @ (weight * truth[:, dim]))
        np.testing.assert_allclose(bending.coefficients[dim], expected, rtol=1e-8, atol=1e-8)


def _first_weights():
    """The first bins are added together, each as the newest of them would be."""
    kept = (1.0 - 1.0 / FEWEST_BINS) ** FORGETTING
    return kept ** np.arange(FEWEST_BINS)[::-1]


def test_it_is_used_where_the_relation_is_bent_and_nowhere_else():
    bending, decoded, truth = learned(
        lambda x, rng: np.column_stack([np.tanh(x[:, 0]), x[:, 1] + rng.normal(size=len(x))])
    )
    assert bending.used.tolist() == [True, False]
    bent = np.array([bending.apply(one) for one in decoded])
    np.testing.assert_array_equal(bent[:, 1], decoded[:, 1])
    assert ((bent - truth)[:, 0] ** 2).mean() < 0.1 * ((decoded - truth)[:, 0] ** 2).mean()


def test_it_stays_within_what_it_has_seen():
    bending, decoded, _ = learned(lambda x, rng: x + 0.3 * np.sign(x) * x**2)
    far = bending.apply(np.array([1e3, 1e5]))
    np.testing.assert_array_equal(far, bending.apply(decoded.max(axis=0)))


def test_few_bins_change_nothing():
    bending = CubicCorrection(2)
    for number in range(FEWEST_BINS - 1):
        bending.learn(np.full(2, float(number)), np.zeros(2))
    bending.publish()
    assert bending.apply(np.array([3.0, 4.0])).tolist() == [3.0, 4.0]


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_decoder_that_never_moves_is_no_trouble(value):
    bending = CubicCorrection(2)
    for _ in range(600):
        bending.learn(np.full(2, value), np.full(2, value))
        bending.publish()
    np.testing.assert_allclose(bending.apply(np.full(2, value)), value, atol=1e-3)
