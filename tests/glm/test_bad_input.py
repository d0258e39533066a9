"""Every odd input is refused in one sentence, or named together with what was done about it."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.files import load_fit, save_fit
from bmi_runtime.errors import BadInput


def counts_of(bins=2000, units=3, seed=0, rate=0.3):
    return np.random.default_rng(seed).poisson(rate, (bins, units))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: np.where(np.arange(2000)[:, None] == 7, np.nan, c.astype(float)), "unit 0 at bin 7 is not a number"),
        (lambda c: c - (np.arange(2000)[:, None] == 9), r"at bin 9 is negative \(-1\)"),
        (lambda c: c + 0.5, "is not whole"),
        (lambda c: c[:, 0], r"counts must be \(bins, units\)"),
        (lambda c: c[:3], "no bin is left to fit; shorten the history"),
        (lambda c: c[:20], "15 bins cannot determine 16 coefficients"),
    ],
)
def test_unusable_counts_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        PoissonGLM(5).fit(change(counts_of()))


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (np.full((2000, 2), np.nan), "covariate 0 is not a finite number at bin 0"),
        (np.zeros((1999, 2)), r"covariates must be \(2000 bins, k\)"),
    ],
)
def test_unusable_covariates_are_refused(covariates, message):
    with pytest.raises(BadInput, match=message):
        PoissonGLM(5).fit(counts_of(), covariates)


def test_a_silent_unit_is_named_and_the_others_are_fitted_as_if_it_were_absent():
    counts = counts_of()
    counts[:, 1] = 0
    model = PoissonGLM(5).fit(counts)
    without = PoissonGLM(5).fit(counts[:, [0, 2]])
    assert any("unit 1 has no spike" in note for note in model.notes_)
    assert any("unit 1 never fires" in note for note in model.notes_)
    assert model.intercept_[1] == -np.inf and np.isnan(model.bits_per_spike_[1])
    assert model.intercept_[[0, 2]] == pytest.approx(without.intercept_, abs=1e-8)
    assert not model.predict(counts)[5:, 1].any()


def test_identical_units_are_named_and_one_of_them_is_held_at_zero():
    counts = counts_of()
    counts[:, 2] = counts[:, 0]
    model = PoissonGLM(5).fit(counts, unit_names=["a", "b", "c"])
    assert any("identical to those of" in note and "a" in note and "c" in note for note in model.notes_)
    assert model.converged_.all() and np.abs(model.coupling_).max() < 2
    apart = PoissonGLM(5).fit(counts[:, :2])
    assert model.log_likelihood_[:2] == pytest.approx(apart.log_likelihood_, abs=1e-7)


def test_constant_and_collinear_covariates_are_named():
    counts, rng = counts_of(), np.random.default_rng(1)
    walk = rng.normal(size=2000)
    model = PoissonGLM(3).fit(counts, np.c_[np.full(2000, 7.0), walk, 2 * walk + 1])
    assert any("covariate 0 is constant" in note for note in model.notes_)
    assert sum("other columns determine it" in note for note in model.notes_) == 1
    assert model.covariate_weights_[:, 0].any() == False  # noqa: E712
    lone = PoissonGLM(3).fit(counts, walk)
    assert model.log_likelihood_ == pytest.approx(lone.log_likelihood_, abs=1e-7)


def test_saturated_counts_are_named():
    counts = np.minimum(counts_of(rate=1.5), 1)
    notes = PoissonGLM(3).fit(counts).notes_
    assert sum("look saturated" in note for note in notes) == 3
    assert not any("saturated" in note for note in PoissonGLM(3).fit(counts_of(rate=0.3)).notes_)


def test_perfect_separation_is_named_and_is_the_limit_of_the_likelihood():
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.2, (8000, 2))
    for t in range(1, 8000):  # unit 0 never fires at lag 1 after itself
        if counts[t - 1, 0]:
            counts[t, 0] = 0
    model = PoissonGLM(3).fit(counts)
    (entry,) = model.separated_
    assert (entry["target"], entry["source"], entry["lags"]) == (0, 0, [1])
    assert "never fires at these lags after unit 0" in entry["meaning"] and entry["expected_spikes"] > 100
    assert model.coupling_[0, 0, 0] == -np.inf and np.isfinite(model.coupling_[0, 0, 1:]).all()
    assert model.converged_.all() and model.gradient_max_.max() < 1e-8
    limits = [PoissonGLM(3, ridge=ridge).fit(counts).log_likelihood_[0] for ridge in (1e-5, 1e-7, 1e-9)]
    assert limits[0] < limits[1] < limits[2] < model.log_likelihood_[0]
    assert model.log_likelihood_[0] - limits[2] < 0.01
    assert not model.predict(counts)[3:][counts[2:-1, 0] > 0, 0].any()


def test_separation_by_a_covariate_is_named():
    rng = np.random.default_rng(3)
    counts = rng.poisson(0.3, (3000, 2))
    flag = np.zeros(3000)
    flag[500:800] = 1.0
    counts[500:800, 1] = 0
    model = PoissonGLM(2).fit(counts, flag)
    (entry,) = model.separated_
    assert (entry["target"], entry["covariate"]) == (1, 0)
    assert model.covariate_weights_[1, 0, 0] == -np.inf
    kept = np.r_[0:500, 802:3000]  # the other coefficients are those of a fit without the flagged bins
    assert np.isfinite(model.covariate_weights_[0]).all() and len(kept) > 0
    excluded = PoissonGLM(2).fit(counts, excluded=(500, 800))
    assert model.coupling_[1] == pytest.approx(excluded.coupling_[1], abs=1e-7)


def test_declared_refractory_lags_equal_the_separated_fit():
    rng = np.random.default_rng(4)
    counts = np.minimum(rng.poisson(0.3, (6000, 1)), 1)
    for t in range(1, 6000):
        if counts[max(0, t - 2) : t, 0].any():
            counts[t] = 0
    declared = PoissonGLM(6, refractory_bins=2).fit(counts)
    found = PoissonGLM(6).fit(counts)
    assert not declared.separated_ and len(found.separated_) == 1
    assert declared.log_likelihood_ == pytest.approx(found.log_likelihood_, abs=1e-7)
    assert np.isneginf(declared.coupling_[0, 0, :2]).all()
    assert np.diff(np.flatnonzero(declared.simulate(3000, seed=1)[:, 0])).min() == 3
    with pytest.raises(BadInput, match="fires again within its refractory period of 4 bins"):
        PoissonGLM(6, refractory_bins=4).fit(counts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"link": "cloglog"}, "there is no link 'cloglog'"),
        ({"ridge": -1.0}, "ridge is -1.0; it must be a number, and not negative"),
        ({"coupling": "some"}, "there is no coupling 'some'"),
        ({"lasso": 1.0, "group_lasso": 1.0}, "cannot be combined"),
        ({"standard_errors": "robust"}, "choose auto, exact, sampled or none"),
        ({"refractory_bins": 9}, "the history has only 3 bins"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        PoissonGLM(3, **options).fit(counts_of())


def test_other_data_must_fit_the_model():
    model = PoissonGLM(3).fit(counts_of())
    with pytest.raises(BadInput, match="fitted to 3 units, these counts have 2"):
        model.predict(counts_of(units=2))
    with pytest.raises(BadInput, match="covariates exactly when"):
        model.predict(counts_of(), np.zeros((2000, 1)))


def test_no_history_at_all_is_the_constant_rate(tmp_path):
    """Zero history bins leave a baseline; the fit can be kept and read again."""
    counts = np.random.default_rng(8).poisson([0.2, 0.5], (500, 2))
    model = PoissonGLM(0).fit(counts)
    np.testing.assert_allclose(model.intercept_, np.log(counts.mean(axis=0)), atol=1e-8)
    save_fit(tmp_path / "fit.npz", model)
    np.testing.assert_allclose(load_fit(tmp_path / "fit.npz").predict(counts), model.predict(counts))
