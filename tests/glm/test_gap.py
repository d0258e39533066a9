"""The certified gap of a penalised fit bounds the true one, however early the fit stopped."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.gap import certified_gap


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    drawn = rng.poisson(0.1, (6_000, 4))
    drawn[1:, 1] += rng.poisson(0.4 * drawn[:-1, 0])
    return drawn


@pytest.mark.parametrize("ridge", [1e-4, 1e-2])
def test_the_gap_is_never_below_the_truth(counts, ridge):
    best = PoissonGLM(8, "raised-cosine:3", ridge=ridge, standard_errors="none", tolerance=1e-12).fit(counts)
    objective, units = best.objective_, np.arange(4)
    lowest = objective.evaluate(best.weights_, units)[0]
    rng = np.random.default_rng(1)
    for size in (1e-4, 1e-2, 0.3):
        weights = best.weights_ + size * rng.normal(size=best.weights_.shape)
        values, gradient = objective.evaluate(weights, units)
        bound, gap = certified_gap(objective, weights, gradient), values - lowest
        assert (gap > 0).all() and (bound >= gap).all()


def test_a_finished_fit_says_how_close_it_is_and_only_where_that_is_proved(counts):
    fit = PoissonGLM(8, "raised-cosine:3", ridge=1e-3, standard_errors="none").fit(counts)
    assert (fit.gap_nats_ >= 0).all() and fit.gap_nats_.max() < 1e-3
    assert np.isnan(PoissonGLM(8, "raised-cosine:3", standard_errors="none").fit(counts).gap_nats_).all()
    sparse = PoissonGLM(8, "raised-cosine:3", ridge=1e-3, lasso=1e-3, standard_errors="none").fit(counts)
    assert np.isnan(sparse.gap_nats_).all()
