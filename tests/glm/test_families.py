"""Families beside Poisson, leads per covariate, history per block, dispersion: against the explicit design, minimised
by scipy, and against known truths.
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import optimize
from scipy.special import expit, gammaln

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.dispersion import dispersion, fano_factors
from bmi_runtime.analysis.glm.families import FAMILIES, WholeCounts
from bmi_runtime.analysis.glm.family_model import FamilyGLM
from bmi_runtime.analysis.glm.files import load_fit
from bmi_runtime.cli.glm import glm
from bmi_runtime.cli.glm_options import parse_leads
from bmi_runtime.errors import BadInput

LEADS = ((0, 1, 2), (1, 2))  # the last equation of the lecture: x from 0 on, y from 1 on
REACH = np.where(np.eye(3, dtype=bool), 3, 1)


@pytest.fixture(scope="module")
def data():
    """Three units with an excess of variance of 0.5, and two covariates."""
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.normal(size=(2500, 2)), axis=0)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    mu = np.exp(-1.2 + 0.5 * x[:, :1] * [1, 0.3, -0.4] + 0.2 * x[:, 1:])
    counts = rng.negative_binomial(2.0, 1 / (1 + mu / 2.0))
    return {"x": x, "counts": counts, "bernoulli": np.minimum(counts, 1), "gaussian": mu + rng.normal(size=mu.shape)}


def responses(data, family):
    return data.get(family, data["counts"])


def explicit(y, x, unit):
    """The design written out: intercept, three own bins, one bin of the others, covariates at their own leads."""
    bins = np.arange(3, len(y) - 2)
    columns = [np.ones(len(bins))]
    columns += [y[bins - 1 - lag, source] for source in range(3) for lag in range(3 if source == unit else 1)]
    columns += [x[bins + lead, c] for c in range(2) for lead in LEADS[c]]
    return np.column_stack(columns), y[bins, unit]


def negative_log_likelihood(family, eta, y, shape):
    if family == "poisson":
        return np.sum(np.exp(eta) - y * eta + gammaln(y + 1))
    if family == "bernoulli":
        return -np.sum(y * np.log(expit(eta)) + (1 - y) * np.log(expit(-eta)))
    if family == "gaussian":
        return 0.5 * np.sum((y - eta) ** 2) / shape + 0.5 * y.size * np.log(2 * np.pi * shape)
    size, mu = 1 / shape, np.exp(eta)
    return -np.sum(
        gammaln(y + size)
        - gammaln(size)
        - gammaln(y + 1)
        + size * np.log(size / (size + mu))
        + y * np.log(mu / (size + mu))
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fit_is_that_of_the_design_written_out(data, family):
    y = responses(data, family)
    model = FamilyGLM(family, 3, leads=LEADS, reach=REACH).fit(y, data["x"])
    assert model.converged_.all()
    for unit in range(3):
        design, seen = explicit(y, data["x"], unit)
        shaped = family in ("negative-binomial", "gaussian")

        def loss(w, design=design, seen=seen, shaped=shaped):
            shape = np.exp(w[-1]) if shaped else 0.0
            return negative_log_likelihood(family, design @ w[: design.shape[1]], seen, shape)

        start = np.zeros(design.shape[1] + shaped)
        found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-4, "maxiter": 2000})
        own = [model.basis_weights_[unit, s, lag] for s in range(3) for lag in range(3 if s == unit else 1)]
        moved = [model.covariate_weights_[unit, c, lead] for c in range(2) for lead in LEADS[c]]
        np.testing.assert_allclose([model.intercept_[unit], *own, *moved], found.x[: design.shape[1]], atol=2e-4)
        assert model.log_likelihood_[unit] == pytest.approx(-found.fun, abs=1e-4)
        if shaped:
            free = design.shape[1] if family == "gaussian" else 0
            unbiased = seen.size / (seen.size - free)
            assert model.shape_[unit] == pytest.approx(np.exp(found.x[-1]) * unbiased, rel=1e-3)
        errors = model.standard_errors_[unit]
        assert np.isfinite(errors).sum() == design.shape[1]
        if family == "gaussian":
            exact = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * model.shape_[unit])
            np.testing.assert_allclose(np.sort(errors[np.isfinite(errors)]), np.sort(exact), rtol=1e-6)


def test_the_large_solver_and_the_exact_one_agree_on_poisson(data):
    settings = {"history_bins": 3, "leads": LEADS, "reach": REACH}
    large = PoissonGLM(**settings).fit(data["counts"], data["x"])
    exact = FamilyGLM("poisson", **settings).fit(data["counts"], data["x"])
    np.testing.assert_allclose(large.basis_weights_, exact.basis_weights_, atol=1e-7)
    np.testing.assert_allclose(large.covariate_weights_, exact.covariate_weights_, atol=1e-7)
    np.testing.assert_allclose(large.log_likelihood_ - large.log_factorial_, exact.log_likelihood_, atol=1e-6)
    assert (large.basis_weights_[0, 1, 1:] == 0).all() and (large.covariate_weights_[:, 1, 0] == 0).all()


def test_dispersion_tells_poisson_from_negative_binomial():
    rng = np.random.default_rng(5)
    mean = np.exp(rng.normal(-1.0, 0.5, size=(20000, 200)))
    true = dispersion(rng.poisson(mean), mean)
    assert np.abs(true.z).max() < 4.5 and 0.02 < np.mean(true.p_value < 0.05) < 0.1
    excess = dispersion(rng.negative_binomial(2.0, 1 / (1 + mean / 2.0)), mean)
    assert (excess.z > 5).all() and np.median(excess.excess) == pytest.approx(0.5, rel=0.1)
    assert np.median(true.ratio) == pytest.approx(1.0, abs=0.02)


def test_fano_factor_of_poisson_and_of_regular_spikes():
    rng = np.random.default_rng(6)
    counts = rng.poisson(0.05, size=(60000, 200))
    found = fano_factors(counts, 0.01, 0.5)
    inside = (found.factor > found.low) & (found.factor < found.high)
    assert 0.9 < inside.mean() < 0.99
    regular = np.zeros((60000, 1))
    regular[::20] = 1
    assert fano_factors(regular, 0.01, 0.5).factor[0] < 0.2
    with pytest.raises(BadInput, match="windows"):
        fano_factors(counts[:100], 0.01, 0.5)


def test_leads_of_each_covariate():
    assert parse_leads("0:2;1,2") == ((0, 1, 2), (1, 2)) and parse_leads("-1:1") == (-1, 0, 1)
    with pytest.raises(BadInput, match="3 covariates and there are 2"):
        PoissonGLM(2, leads=((0,), (1,), (2,))).fit(
            np.ones((50, 1), int), np.random.default_rng(0).normal(size=(50, 2))
        )


def test_commands(data, tmp_path):
    def call(*arguments):
        done = CliRunner().invoke(glm, [*arguments, "--json"], catch_exceptions=False)
        return json.loads(done.stdout.strip().splitlines()[-1])

    path, out = tmp_path / "data.npz", tmp_path / "fit.npz"
    np.savez(path, counts=data["counts"], bin_s=0.02, covariates=data["x"], areas=np.array(["M1", "M1", "PMv"]))
    common = ["--history-bins", "3", "--leads", "0:2;1:2", "--reach", "own=3,other=1,M1-PMv=2"]
    found = call("fit", str(path), *common, "--family", "negative-binomial", "--out", str(out))
    assert found["family"] == "negative-binomial" and 0.2 < np.median(found["shape"]) < 1.0
    kept = load_fit(str(out))
    assert (kept.basis_weights_[0, 2, 1] != 0) and (kept.basis_weights_[2, 0, 1] == 0)
    expected = kept.predict(data["counts"], data["x"])
    assert np.nanmean(expected) == pytest.approx(data["counts"].mean(), rel=0.05)
    call("plot", str(out), "--kinds", "areas", "--prefix", str(tmp_path / "p_"))
    assert (tmp_path / "p_areas.png").stat().st_size > 5000
    tested = call("test", str(path), *common, "--test-fraction", "0.5")
    assert min(tested["dispersion_excess"]) > 0 and max(tested["dispersion_z"]) > 3
    assert len(tested["fano_factor"]) == len(tested["fano_windows_s"])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--family", "gamma"], "poisson, bernoulli"),
        (["--family", "bernoulli", "--history-bins", "2"], "at most one"),
        (["--family", "gaussian", "--lasso", "0.1"], "poisson family only"),
        (["--reach", "M2-M1=1"], "no block 'M2-M1'"),
        (["--reach", "own=99"], "0 to 20 bins"),
    ],
)
def test_bad_input_gets_one_sentence(data, tmp_path, arguments, word):
    path = tmp_path / "data.npz"
    np.savez(path, counts=data["counts"], bin_s=0.02)
    with pytest.raises(BadInput, match=word):
        CliRunner().invoke(glm, ["fit", str(path), *arguments], catch_exceptions=False)


@pytest.mark.parametrize("most", [4, 200_001])
def test_sums_over_counts_are_those_of_gamma_functions(most):
    """Tabulated one by one where counts are small, by gamma functions where they are huge."""
    y = np.r_[np.random.default_rng(0).integers(0, 5, 200), most].astype(float)
    whole = WholeCounts(y)
    for shape in (1e-2, 0.4, 7.0):
        each = gammaln(y + 1 / shape) - gammaln(1 / shape) + y * np.log(shape)
        assert whole.rising(shape) == pytest.approx(each.sum(), rel=1e-10)
    assert whole.rising(1e-9) == pytest.approx(0.5e-9 * (y * (y - 1)).sum(), rel=1e-3)  # where gamma functions cancel
    assert whole.log_factorials() == pytest.approx(gammaln(y + 1).sum(), rel=1e-12)
