"""Kernels beside sums over everything, dense linear algebra, and a search on a grid."""

import numpy as np
import pytest

from bmi_runtime.kernels import coupled_rates, fokker_planck_weights, scores
from bmi_runtime.kernels.pilot_reading import evidence_along


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("block", [1, 3])
def test_lagged_products_are_the_double_sum_over_all_pairs_of_blocks(rng, block):
    units, bins, d = 3, 41, 2
    regressors, innovation = rng.normal(size=(bins, d)), rng.normal(size=(units, bins))
    directions, kept = rng.normal(size=(units, d, d)), rng.uniform(0.8, 0.99, (units, d))
    out = np.empty((units, d, d))
    sums = np.empty((units, -(-bins // block), d))
    scores.summed_scores(regressors, innovation, block, sums)
    scores.lagged_products(sums, directions, kept, block, bins, np.empty(d), np.empty(d), out)
    for i in range(units):
        single = (regressors @ directions[i]) * innovation[i][:, None]
        s = np.array([single[start : start + block].sum(axis=0) for start in range(0, bins, block)])
        wanted = s.T @ s
        for t in range(len(s)):
            for lag in range(1, t + 1):
                fading = kept[i] ** (block * lag)
                wanted += np.outer(s[t], fading * s[t - lag]) + np.outer(fading * s[t - lag], s[t])
        np.testing.assert_allclose(out[i], wanted / bins, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_a_small_system_is_solved_with_its_determinant_whatever_its_pivots(rng, n):
    for _ in range(20):
        matrix, right = rng.normal(size=(n, n)), rng.normal(size=n)
        matrix[0, 0] = 0.0 if n > 1 else matrix[0, 0]
        x = right.copy()
        determinant = coupled_rates.solve_small(matrix.copy(), x)
        np.testing.assert_allclose(x, np.linalg.solve(matrix, right), rtol=1e-8, atol=1e-10)
        assert determinant == pytest.approx(np.linalg.det(matrix), rel=1e-9)
    assert coupled_rates.solve_small(np.zeros((n, n)), np.ones(n)) == 0.0


def test_the_flux_of_weights_is_the_largest_that_a_cell_can_send_or_take(rng):
    """Godunov's demand and supply of a concave flux, against a search on a fine grid."""
    for _ in range(40):
        total, rate, w = rng.uniform(0.1, 2.0), rng.uniform(0.0, 3.0), rng.uniform(-2.0, 2.0)
        strength = -rng.uniform(0.1, 2.0)

        def flux(c, strength=strength, rate=rate, total=total, w=w):
            return strength * (rate / total) * c * c - w * c

        sent = fokker_planck_weights.weight_flux(total, rate, strength, w, True)
        taken = fokker_planck_weights.weight_flux(total, rate, strength, w, False)
        assert sent == pytest.approx(max(flux(c) for c in np.linspace(0.0, total, 4001)), abs=1e-6)
        assert rate < 1e-3 or taken == pytest.approx(
            max(flux(c) for c in np.linspace(total, total + 4.0 * total / rate + 8.0, 40001)), abs=1e-3
        )


@pytest.mark.parametrize("poisson", [True, False])
def test_a_pilot_is_read_as_the_scores_formula_says_when_nothing_adapts(rng, poisson):
    units, bins, axes, bin_s = 6, 5, 2, 0.02
    weights = np.vstack([rng.normal(2.0, 0.3, units), rng.normal(0.0, 0.5, (axes, units))])
    covariance = np.zeros((6, units))  # sure of its weights: neither trust nor adaptation has anything to do
    counts = rng.poisson(1.0, (bins, units)).astype(float)
    regressors = np.c_[np.ones(bins), rng.normal(size=(bins, axes))]
    noise = rng.uniform(0.5, 2.0, units)
    reading, predicted, trace = np.empty((bins, axes)), np.empty((bins, axes)), np.empty((bins, axes, axes))
    before = weights.copy()
    evidence_along(weights, covariance, counts, regressors, np.zeros((bins, 0, 1)), np.zeros(units), noise, bin_s,
                   poisson, 1.0, reading, predicted, trace)  # fmt: skip
    np.testing.assert_allclose(weights, before, rtol=0, atol=1e-12)
    gains, drive = before[1:], regressors @ before
    expected = bin_s * np.exp(drive) if poisson else drive
    scale = np.ones(units) if poisson else 1.0 / noise
    np.testing.assert_allclose(reading, (counts * scale) @ gains.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(predicted, (expected * scale) @ gains.T, rtol=1e-9, atol=1e-12)
    for t in range(bins):
        weight = expected[t] if poisson else scale
        np.testing.assert_allclose(trace[t], (gains * weight) @ gains.T, rtol=1e-9, atol=1e-12)
