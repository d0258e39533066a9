"""Penalties, cross-validation, criteria, predictive power, low rank and processes."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.lowrank import fit_low_rank
from bmi_runtime.analysis.glm.parallel import unit_groups
from bmi_runtime.analysis.glm.proximal import group_strengths, subgradient
from bmi_runtime.analysis.glm.selection import (
    cross_validate,
    folds_of,
    information_criteria,
    predictive_power,
)
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.glm_proximal import shrink_group

BASIS = "raised-cosine:4"


@pytest.fixture(scope="module")
def coupled():
    """Unit 0 excites unit 1; nothing else is coupled."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.2, (6000, 5))
    counts[1:, 1] += rng.poisson(0.4 * counts[:-1, 0])
    return counts, rng.normal(size=(6000, 2))


def penalised_loss(counts, covariates, model, weights, unit, group, lasso):
    """The objective of one unit from its definition, on a dense matrix."""
    functions = model.basis_.shape[1]
    rows = [(counts[t - 12 : t][::-1].T @ model.basis_).ravel() for t in range(12, len(counts))]
    scaled = (covariates[12:] - covariates[12:].mean(0)) / covariates[12:].std(0)
    matrix = np.c_[np.ones(len(rows)), np.array(rows), scaled]
    predictor = matrix @ weights
    loss = (np.exp(predictor) - counts[12:, unit] * predictor).mean()
    norms = np.linalg.norm(weights[1 : 1 + 5 * functions].reshape(5, functions), axis=1)
    return loss + group * np.sqrt(functions) * np.delete(norms, unit).sum() + lasso * np.abs(weights[1:]).sum()


@pytest.mark.parametrize(("group", "lasso"), [(2e-3, 0.0), (0.0, 1e-3)])
def test_sparse_fits_minimise_their_objective(coupled, group, lasso):
    counts, covariates = coupled
    model = PoissonGLM(12, BASIS, group_lasso=group, lasso=lasso).fit(counts, covariates)
    assert model.converged_.all() and model.gradient_max_.max() < 1e-7
    rng = np.random.default_rng(1)
    for unit in (0, 1):
        at = penalised_loss(counts, covariates, model, model.weights_[:, unit], unit, group, lasso)
        for size in (1e-3, 1e-2, 0.1):
            shift = size * rng.normal(size=len(model.weights_))
            there = penalised_loss(counts, covariates, model, model.weights_[:, unit] + shift, unit, group, lasso)
            assert there > at
        shrunk = model.weights_[:, unit] * np.r_[1, np.full(len(shift) - 1, 0.99)]
        assert penalised_loss(counts, covariates, model, shrunk, unit, group, lasso) > at


def test_group_lasso_keeps_the_true_pair_and_drops_whole_couplings(coupled):
    counts, _ = coupled
    model = PoissonGLM(12, BASIS, group_lasso=1.2e-2).fit(counts)
    used = np.abs(model.basis_weights_).max(axis=2) > 0
    assert used[1, 0] and used.diagonal().all()
    assert used.sum() <= 8
    both = (model.basis_weights_ != 0).all(axis=2) | (model.basis_weights_ == 0).all(axis=2)
    assert both.all()


def test_a_huge_group_lasso_is_the_own_history_model(coupled):
    counts, covariates = coupled
    sparse = PoissonGLM(12, BASIS, group_lasso=10.0).fit(counts, covariates)
    own = PoissonGLM(12, BASIS, coupling="own").fit(counts, covariates)
    assert np.abs(sparse.weights_ - own.weights_).max() < 1e-5


def test_a_vanishing_lasso_is_maximum_likelihood(coupled):
    counts, covariates = coupled
    sparse = PoissonGLM(12, BASIS, lasso=1e-13).fit(counts, covariates)
    assert np.abs(sparse.weights_ - PoissonGLM(12, BASIS).fit(counts, covariates).weights_).max() < 1e-5


def test_elastic_net_shrinks_more_than_either(coupled):
    counts, _ = coupled
    sizes = [
        np.abs(PoissonGLM(12, BASIS, lasso=lasso, ridge=ridge).fit(counts).basis_weights_).sum()
        for lasso, ridge in ((1e-3, 0.0), (0.0, 1e-2), (1e-3, 1e-2))
    ]
    assert sizes[2] < min(sizes[:2])


def test_group_shrinkage_solves_its_own_small_problem():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4))
    matrix, linear = root @ root.T + np.eye(4), rng.normal(size=4)
    values, vectors = np.linalg.eigh(matrix)
    out, work = np.zeros(4), np.zeros(4)
    for strength in (0.0, 0.3, 0.9 * np.linalg.norm(linear)):
        shrink_group(values, vectors, linear, strength, work, out)
        slope = matrix @ out + linear + strength * out / np.linalg.norm(out)
        assert np.abs(slope).max() < 1e-9
    shrink_group(values, vectors, linear, 1.01 * np.linalg.norm(linear), work, out)
    assert not out.any()


def test_subgradient_is_zero_inside_the_penalty(coupled):
    counts, _ = coupled
    objective = PoissonGLM(12, BASIS)._prepare(counts, None, None).objective
    starts, strengths = group_strengths(objective, 0.0, 0.5)
    gradient = np.full((objective.design.parameters, 5), 0.3)
    smallest = subgradient(np.zeros_like(gradient), gradient, starts, strengths)
    assert smallest[5, 0] == 0.0  # another unit's group: |0.3 * 2| < 0.5 * 2
    assert smallest[1, 0] == 0.3  # own history is not penalised


def test_cross_validation_equals_fits_on_the_other_folds(coupled):
    """One fold by hand: a dense fit on the bins outside the block, scored inside it."""
    from sklearn.linear_model import PoissonRegressor

    counts, _ = coupled
    found = cross_validate(PoissonGLM(12, BASIS), counts, parameter="ridge", values=(0.01,), folds=2)
    basis = PoissonGLM(12, BASIS)._basis()
    matrix = np.array([(counts[t - 12 : t][::-1].T @ basis).ravel() for t in range(12, 6000)])
    gain, spikes = 0.0, 0
    for begin, end in folds_of(12, 6000, 2):
        held = np.zeros(len(matrix), bool)
        held[begin - 12 : end - 12] = True
        target = counts[12:, 1]
        peer = PoissonRegressor(alpha=0.01, solver="newton-cholesky", tol=1e-12).fit(matrix[~held], target[~held])
        rate, mean = peer.predict(matrix[held]), target[~held].mean()
        gain += (target[held] * np.log(rate / mean) - rate + mean).sum()
        spikes += target[held].sum()
    assert found.bits_per_spike[0, 1] == pytest.approx(gain / spikes / np.log(2), abs=1e-7)


def test_cross_validation_prefers_penalties_where_there_is_nothing_to_learn(coupled):
    counts, _ = coupled
    found = cross_validate(PoissonGLM(12, BASIS), counts, parameter="group_lasso", values=(1e-5, 1e-2), folds=3)
    assert found.best == 1e-2
    assert (found.bits_per_spike[1, [0, 2, 3, 4]] > found.bits_per_spike[0, [0, 2, 3, 4]]).all()
    with pytest.raises(BadInput, match="no penalty 'gamma'"):
        cross_validate(PoissonGLM(12, BASIS), counts, parameter="gamma")


def test_information_criteria_prefer_the_true_coupling(coupled):
    counts, _ = coupled
    coupling = np.eye(5, dtype=bool)
    own = information_criteria(PoissonGLM(12, BASIS, coupling=coupling.copy()).fit(counts))
    coupling[1, 0] = True
    true = information_criteria(PoissonGLM(12, BASIS, coupling=coupling).fit(counts))
    assert true["bic"][1] < own["bic"][1] and true["bic"][0] == pytest.approx(own["bic"][0])
    full = PoissonGLM(12, BASIS).fit(counts)
    assert true["bic"].sum() < information_criteria(full)["bic"].sum()
    expected = 2 * 21 - 2 * full.log_likelihood_[0]
    assert information_criteria(full)["aic"][0] == pytest.approx(expected)


def test_predictive_power_is_twice_the_area_minus_one():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    rate = rng.gamma(1.0, 0.2, 4000)
    counts = rng.poisson(rate)
    found = predictive_power(counts, rate)
    assert found.power == pytest.approx(2 * roc_auc_score(counts > 0, rate) - 1, abs=1e-12)
    assert found.power > 3 * found.chance_95
    assert abs(found.chance_mean) < 0.02
    chance = [predictive_power(rng.permutation(counts), rate, shifts=50, seed=k) for k in range(40)]
    assert np.mean([each.power > each.chance_95 for each in chance]) < 0.2


def test_low_rank_is_exact_for_low_rank_coupling_and_never_better_than_full(coupled):
    counts, _ = coupled
    full = PoissonGLM(12, BASIS).fit(counts)
    fits = [fit_low_rank(PoissonGLM(12, BASIS), counts, rank=rank) for rank in (1, 2, 4)]
    gains = [fit.model.log_likelihood_.sum() for fit in fits]
    assert gains[0] < gains[1] < gains[2] <= full.log_likelihood_.sum() + 1e-6
    assert all(fit.gradient_max < 1e-5 for fit in fits)
    first = fits[0]
    coupling = np.einsum("rsf,ur->usf", first.filters, first.loadings)
    off = ~np.eye(5, dtype=bool)
    assert np.abs((coupling - first.model.basis_weights_)[off]).max() < 1e-12
    with pytest.raises(BadInput, match="rank is 5"):
        fit_low_rank(PoissonGLM(12, BASIS), counts, rank=5)


def test_processes_give_the_same_answer(coupled):
    counts, covariates = coupled
    alone = PoissonGLM(12, BASIS, method="newton").fit(counts, covariates)
    shared = PoissonGLM(12, BASIS, method="newton", jobs=2).fit(counts, covariates)
    assert np.abs(alone.weights_ - shared.weights_).max() < 1e-10
    assert [list(group) for group in unit_groups(5, 2)] == [[0, 1, 2], [3, 4]]
