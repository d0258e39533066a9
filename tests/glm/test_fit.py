"""Fits against exact Newton, numerical gradients, scikit-learn and statsmodels."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.likelihood import LINKS
from bmi_runtime.analysis.glm.solver import solve, start_weights
from bmi_runtime.errors import BadInput


def small_problem(seed=0, bins=3000, units=4, covariates=2):
    rng = np.random.default_rng(seed)
    return rng.poisson(0.2, (bins, units)), rng.normal(2.0, 3.0, (bins, covariates))


def brute_force_design(counts, covariates, basis, leads):
    """The design matrix row by row from its definition, for the bins with a whole history and all leads."""
    lags = len(basis)
    first, last = max(lags, -min(leads)), len(counts) - max(0, *leads)
    rows = []
    for t in range(first, last):
        past = counts[t - lags : t][::-1]  # row m - 1 is the bin m before
        rows.append(np.r_[(past.T @ basis).ravel(), [covariates[t + d, c] for c in (0, 1) for d in leads]])
    return np.array(rows), slice(first, last)


@pytest.fixture(scope="module")
def problem():
    return small_problem()


def parameters(model, unit):
    weights = (model.intercept_[unit], model.basis_weights_[unit].ravel(), model.covariate_weights_[unit].ravel())
    return np.r_[weights]


@pytest.mark.parametrize("leads", [(0,), (-3, 0, 2)])
def test_fit_equals_scikit_learn_and_statsmodels(problem, leads):
    import statsmodels.api as sm
    from sklearn.linear_model import PoissonRegressor

    counts, covariates = problem
    model = PoissonGLM(12, "raised-cosine:4", leads=leads).fit(counts, covariates)
    matrix, rows = brute_force_design(counts, covariates, model.basis_, leads)
    for unit in (0, 3):
        peer = PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-12, max_iter=50).fit(
            matrix, counts[rows, unit]
        )
        assert np.abs(parameters(model, unit) - np.r_[peer.intercept_, peer.coef_]).max() < 1e-8
        assert model.deviance_explained_[unit] == pytest.approx(peer.score(matrix, counts[rows, unit]), abs=1e-10)
        full = sm.GLM(counts[rows, unit], sm.add_constant(matrix), family=sm.families.Poisson()).fit(tol=1e-13)
        assert np.allclose(model.standard_errors_[unit], full.bse, rtol=1e-6)
        assert model.log_likelihood_[unit] - model.log_factorial_[unit] == pytest.approx(full.llf, abs=1e-7)


def test_ridge_is_the_alpha_of_scikit_learn(problem):
    from sklearn.linear_model import PoissonRegressor

    counts, covariates = problem
    model = PoissonGLM(12, "raised-cosine:4").fit(counts)
    ridged = PoissonGLM(12, "raised-cosine:4", ridge=0.05).fit(counts)
    matrix, rows = brute_force_design(counts, covariates, model.basis_, (0,))
    peer = PoissonRegressor(alpha=0.05, solver="newton-cholesky", tol=1e-12).fit(matrix[:, :16], counts[rows, 1])
    assert np.abs(parameters(ridged, 1)[1:] - peer.coef_).max() < 1e-8
    assert np.abs(ridged.basis_weights_).max() < np.abs(model.basis_weights_).max()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("penalty", [{}, {"ridge": 1e-3}, {"smooth": 1e-3}])
def test_shared_curvature_reaches_the_exact_newton_optimum(problem, link, penalty):
    counts, covariates = problem
    models = [
        PoissonGLM(20, "raised-cosine:5", link=link, method=method, **penalty).fit(counts, covariates)
        for method in ("newton", "shared")
    ]
    for unit in range(counts.shape[1]):
        assert np.abs(parameters(models[0], unit) - parameters(models[1], unit)).max() < 1e-6
    assert max(model.gradient_max_.max() for model in models) < 1e-8
    assert all(model.converged_.all() for model in models)


@pytest.mark.parametrize("link", LINKS)
def test_gradient_and_hessian_equal_numerical_differences(problem, link):
    counts, covariates = problem
    model = PoissonGLM(10, "b-spline:4", link=link, ridge=1e-3, smooth=1e-3)
    objective = model._prepare(counts, covariates, None).objective
    weights = start_weights(objective) + 0.1 * np.random.default_rng(1).normal(size=objective.free.shape)
    units, step = np.arange(objective.units), 1e-6
    gradient, hessians = objective.evaluate(weights, units)[1], objective.hessians(weights, units)
    for row in range(0, len(weights), 3):
        shift = np.zeros_like(weights)
        shift[row] = step
        above, below = objective.evaluate(weights + shift, units), objective.evaluate(weights - shift, units)
        assert np.abs((above[0] - below[0]) / (2 * step) - gradient[row]).max() < 1e-8
        assert np.abs((above[1] - below[1]) / (2 * step) - hessians[:, row].T).max() < 1e-7


def test_thinned_warm_up_ends_at_the_same_optimum():
    counts, covariates = small_problem(3, bins=24_000, units=3)
    whole = PoissonGLM(20, "raised-cosine:5", method="shared", standard_errors="none").fit(counts, covariates)
    exact = PoissonGLM(20, "raised-cosine:5", method="newton", standard_errors="none").fit(counts, covariates)
    assert np.abs(whole.weights_ - exact.weights_).max() < 1e-6


def test_threads_do_not_change_the_optimum(problem):
    counts, _covariates = problem
    one = PoissonGLM(20, "raised-cosine:5", method="shared").fit(np.tile(counts, (3, 1)))
    two = PoissonGLM(20, "raised-cosine:5", method="shared", threads=2).fit(np.tile(counts, (3, 1)))
    assert np.abs(one.weights_ - two.weights_).max() < 1e-6


def test_bins_with_several_spikes_and_a_memory_map(problem, tmp_path):
    rng = np.random.default_rng(4)
    counts = rng.poisson(2.5, (2000, 3))
    np.save(tmp_path / "counts.npy", counts)
    stored = np.load(tmp_path / "counts.npy", mmap_mode="r")
    assert np.array_equal(PoissonGLM(4).fit(counts).weights_, PoissonGLM(4).fit(stored).weights_)


def test_predict_score_and_likelihood_agree_with_the_fit(problem):
    counts, covariates = problem
    model = PoissonGLM(6, "b-spline:4").fit(counts, covariates)
    rate = model.predict(counts, covariates)
    assert np.isnan(rate[:6]).all() and np.isfinite(rate[6:]).all()
    expected = (counts[6:] * np.log(rate[6:]) - rate[6:]).sum(axis=0)
    assert model.log_likelihood_ == pytest.approx(expected, abs=1e-8)
    assert model.log_likelihood(counts, covariates) == pytest.approx(expected, abs=1e-8)
    assert model.score(counts, covariates) == pytest.approx(model.bits_per_spike_.mean(), abs=1e-10)
    assert rate[6:].mean(axis=0) == pytest.approx(counts[6:].mean(axis=0), rel=1e-9)  # the intercept's score equation


def test_own_history_is_the_fit_of_each_unit_alone(problem):
    counts, _ = problem
    together = PoissonGLM(8, "raised-cosine:3", coupling="own").fit(counts)
    for unit in (0, 2):
        alone = PoissonGLM(8, "raised-cosine:3").fit(counts[:, [unit]])
        assert np.abs(together.basis_weights_[unit, unit] - alone.basis_weights_[0, 0]).max() < 1e-8
        others = np.delete(together.basis_weights_[unit], unit, axis=0)
        assert not others.any()


def test_parameters_are_scikit_learns_verbs():
    model = PoissonGLM(7, ridge=0.1)
    assert model.get_params()["history_bins"] == 7
    assert model.set_params(ridge=0.2).ridge == 0.2
    assert "ridge=0.2" in repr(model)
    with pytest.raises(BadInput, match="there is no parameter 'rigde'"):
        model.set_params(rigde=1)


def test_ctrl_c_returns_the_best_so_far(problem):
    counts, covariates = problem
    calls = []

    def stop_at_third(fraction):
        calls.append(fraction)
        if len(calls) == 3:
            raise KeyboardInterrupt

    model = PoissonGLM(20, "raised-cosine:5", method="shared").fit(counts, covariates, report=stop_at_third)
    full = PoissonGLM(20, "raised-cosine:5").fit(counts, covariates)
    assert model.interrupted_ and not model.converged_.all()
    assert (model.log_likelihood_ > model.null_log_likelihood_).all()
    assert (model.log_likelihood_ <= full.log_likelihood_ + 1e-9).all()
    assert any("had not converged" in note for note in model.notes_)


def test_solver_stops_at_the_start_when_nothing_is_free(problem):
    counts, _ = problem
    objective = PoissonGLM(2)._prepare(counts, None, None).objective
    objective.free[:] = False
    start = start_weights(objective)
    assert np.array_equal(solve(objective, start).weights, start)


def test_groups_of_units_give_the_fit_of_all_together(monkeypatch):
    """Groups keep memory flat in large arrays; here they are made small."""
    from bmi_runtime.analysis.glm import design, parallel

    rng = np.random.default_rng(5)
    counts = rng.poisson(0.05, (30_000, 14))
    counts[1:, 1] += rng.poisson(0.5 * counts[:-1, 0])
    settings = {"history_bins": 10, "basis": "raised-cosine:3", "ridge": 1e-5, "standard_errors": "none"}
    whole = PoissonGLM(**settings, method="shared").fit(counts)
    monkeypatch.setattr(parallel, "PAIRS_BYTES", 1.0)
    monkeypatch.setattr(parallel, "LEAST_TOGETHER", 5)
    monkeypatch.setattr(design, "GROUP_BYTES", 8.0 * 14 * 19 * 3)
    parts = PoissonGLM(**settings, method="shared").fit(counts)
    assert whole.converged_.all() and parts.converged_.all()
    np.testing.assert_allclose(parts.weights_, whole.weights_, atol=1e-6)
    np.testing.assert_allclose(parts.gap_nats_, whole.gap_nats_, atol=1e-5)
