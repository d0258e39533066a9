"""Choosing a model: blocked cross-validation, information criteria, predictive power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.prepare import every_lead, likelihood_bins
from bmi_runtime.errors import BadInput

PENALTIES = ("ridge", "smooth", "lasso", "group_lasso")


def information_criteria(model) -> dict[str, np.ndarray]:
    """Return ``aic`` and ``bic`` of every unit of an unpenalised fit, without ``ln count!`` (it cancels).

    ``aic = 2 k - 2 log L`` and ``bic = k log n - 2 log L`` with ``k`` coefficients and ``n`` bins.
    """
    degrees = model.n_parameters_
    double = 2 * model.log_likelihood_
    return {"aic": 2 * degrees - double, "bic": np.log(model.design_.rows) * degrees - double}


@dataclass
class CrossValidation:
    """Held-out likelihoods along a path of penalties.

    Attributes
    ----------
    parameter : str
    values : ndarray, shape (steps,)
    bits_per_spike : ndarray, shape (steps, units)
        Held out, over all folds, against a constant rate learned on each training part.
    best : float
        Value with the highest mean over units.
    best_per_unit : ndarray, shape (units,)
    """

    parameter: str
    values: np.ndarray
    bits_per_spike: np.ndarray
    best: float
    best_per_unit: np.ndarray


def folds_of(first: int, last: int, folds: int) -> list[tuple[int, int]]:
    """Return contiguous stretches of bins; shuffled bins would leak a spike's history into the test."""
    edges = np.linspace(first, last, folds + 1).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist()))


def cross_validate(
    template,
    counts,
    covariates=None,
    *,
    parameter: str = "ridge",
    values=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    folds: int = 5,
    jobs: int = 1,
    report=None,
) -> CrossValidation:
    """Fit a path of penalties on all but one contiguous block of bins at a time, and score that block.

    Parameters
    ----------
    template : PoissonGLM
        Its other settings are used.
    parameter : {"ridge", "smooth", "lasso", "group_lasso"}
    values : sequence of float
        The path.
    folds : int
        Blocks.
    jobs : int
        Processes that share folds (joblib; inside ``joblib.parallel_config("dask")``, a cluster).
    report : callable, optional
        Called with the fraction done.

    Raises
    ------
    BadInput
        When there is no such penalty, or fewer than 2 folds.
    """
    if parameter not in PENALTIES:
        raise BadInput(f"there is no penalty '{parameter}' to choose; take one of {', '.join(PENALTIES)}")
    if folds < 2:
        raise BadInput(f"cross-validation needs at least 2 folds, not {folds}")
    events = counts if isinstance(counts, Events) else from_counts(counts)
    leads = every_lead(template.leads)[0] if covariates is not None else ()
    first, last = likelihood_bins(events.bins, template.history_bins, leads)
    work = [
        (template, events, covariates, parameter, float(value), fold)
        for value in values
        for fold in folds_of(first, last, folds)
    ]
    gains, spikes = zip(*_run(work, jobs, report))
    shape = (len(values), folds, events.units)
    with np.errstate(invalid="ignore", divide="ignore"):
        bits = np.reshape(gains, shape).sum(axis=1) / (np.reshape(spikes, shape).sum(axis=1) * np.log(2))
    steps = np.asarray(values, float)
    average = np.nanmean(bits, axis=1)
    per_unit = steps[np.argmax(np.where(np.isnan(bits), -np.inf, bits), axis=0)]
    return CrossValidation(parameter, steps, bits, float(steps[average.argmax()]), per_unit)


def _run(work, jobs: int, report):
    if jobs != 1:
        import joblib

        return joblib.Parallel(n_jobs=jobs)(joblib.delayed(_score_fold)(*item) for item in work)
    done = []
    for item in work:
        done.append(_score_fold(*item))
        if report is not None:
            report(len(done) / len(work))
    return done


def _score_fold(template, events, covariates, parameter, value, fold) -> tuple[np.ndarray, np.ndarray]:
    """Return the held-out gain in log-likelihood over a constant rate, and the held-out spikes, of every unit."""
    settings = template.get_params() | {parameter: value, "standard_errors": "none"}
    model = type(template)(**settings).fit(events, covariates, excluded=fold)
    spikes = events.totals(*fold)
    mean = model.mean_count_
    with np.errstate(divide="ignore", invalid="ignore"):
        null = np.where(spikes > 0, spikes * np.log(mean), 0.0) - mean * (fold[1] - fold[0])
        return model.log_likelihood(events, covariates, within=fold) - null, spikes


@dataclass
class PredictivePower:
    """Truccolo's predictive power ``2 (AUC - 0.5)`` of one unit.

    Attributes
    ----------
    power : float
        0 for chance, 1 when every bin with a spike was given a higher rate than every bin without.
    chance_mean, chance_95 : float
        Mean and 95th percentile over circular shifts of the spikes against the rates.
    """

    power: float
    chance_mean: float
    chance_95: float


def predictive_power(counts: np.ndarray, rate: np.ndarray, shifts: int = 100, seed: int = 0) -> PredictivePower:
    """Return how well a rate predicts in which bins there are spikes (Truccolo, Hochberg & Donoghue 2010).

    The chance level keeps the autocorrelation of both: the spikes are shifted circularly by random amounts of at
    least a tenth of the recording.

    Parameters
    ----------
    counts, rate : ndarray, shape (bins,)
    """
    from scipy.stats import rankdata

    rank = rankdata(rate)
    where = np.flatnonzero(counts)
    positive, bins = len(where), len(counts)
    if positive in (0, bins):
        return PredictivePower(np.nan, np.nan, np.nan)

    def power(places):
        area = (rank[places].sum() - positive * (positive + 1) / 2) / (positive * (bins - positive))
        return 2 * (area - 0.5)

    rng = np.random.default_rng(seed)
    amounts = rng.integers(bins // 10 + 1, bins - bins // 10, shifts)
    chance = np.array([power((where + amount) % bins) for amount in amounts])
    return PredictivePower(float(power(where)), float(chance.mean()), float(np.quantile(chance, 0.95)))
