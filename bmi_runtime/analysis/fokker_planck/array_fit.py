"""From an array to the density: the population's parameters by maximum likelihood, with intervals.

Every unit is taken as one neuron of the population, and what it hears as the recorded activity of all of them,
delayed: the probability of its next spike in every bin follows from the density of its potential since its last one
(:mod:`bmi_runtime.kernels.population_fit`). The sum over units and bins is the likelihood of the whole recording, not
of summaries: the shape of the intervals carries the noise and the membrane time constant, their dependence on what the
population did just before carries the connectivity and the delay. Scores of stretches of the recording are martingale
differences, so their outer products estimate the information: steps and standard errors come from them (Berndt, Hall,
Hall & Hausman 1974). The potential's unit is the distance from reset to threshold, V_R = 1 and V_F = 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats

from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.array_ascent import (
    HIGHEST,
    LOGARITHMIC,
    best_start,
    climb,
    inside_range,
    moved,
    nudges,
    stretch_scores,
)
from bmi_runtime.analysis.fokker_planck.array_likelihood import LOWEST, Likelihood, Recorded
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError

NAMES = ("b", "a0", "a1", "tau_s", "eps", "delay_s")


@dataclasses.dataclass
class ArrayFit:
    """The fitted population.

    Attributes
    ----------
    values, errors : dict of float
        By name: b, a0, a1, tau_s (membrane), eps (in membrane time constants), delay_s; errors are NaN where a value
        was given, stands at the end of its range, or no maximum was found.
    low, high : dict of float
        Confidence intervals (NaN where errors are).
    at_end : tuple of str
        Fitted parameters that stand at an end of their range: the likelihood asks for more, or for less.
    log_likelihood, poisson_log_likelihood : float
        Of the fit, and of units at constant rates (after their first spike).
    rate_hz, predicted_rate_hz : float
        Recorded, and of the fitted population's lowest steady state (NaN if it has none).
    critical_b : float or None
        Connectivity at which steady states end at this noise (None if they never do).
    distance, distance_error : float
        ``critical_b - b`` and its standard error (NaN without one).
    rescaled_p : float
        Kolmogorov-Smirnov test of all rescaled intervals together.
    """

    values: dict[str, float]
    errors: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    log_likelihood: float
    poisson_log_likelihood: float
    rate_hz: float
    predicted_rate_hz: float
    critical_b: float | None
    distance: float
    distance_error: float
    rescaled_p: float
    units: int
    spikes: int
    converged: bool
    at_end: tuple[str, ...]

    @property
    def distance_in_errors(self) -> float:
        """The distance to synchrony in standard errors."""
        return self.distance / self.distance_error if self.distance_error > 0 else float("nan")


def fit_array(
    data: Recorded,
    fixed: dict[str, float] | None = None,
    refractory_s: float = 0.0,
    current: float = 0.0,
    confidence: float = 0.95,
    advance: Callable[[], None] = lambda: None,
) -> ArrayFit:
    """Return the population that fits an array best.

    Parameters
    ----------
    data : Recorded
    fixed : dict, optional
        Parameters that are given and not fitted.
    refractory_s : float
        Mean time in the refractory state.
    current : float
        Constant drive I.
    confidence : float
        Of the intervals.

    Raises
    ------
    BadInput
        For an unknown or impossible parameter.
    """
    fixed = dict(fixed or {})
    for name, value in fixed.items():
        if name not in NAMES:
            raise BadInput(f"there is no parameter '{name}'; choose from {', '.join(NAMES)}")
        if not LOWEST[name] <= value <= HIGHEST[name]:
            raise BadInput(f"{name} is {value:g}; it must lie between {LOWEST[name]:g} and {HIGHEST[name]:g}")
    if not 0 < confidence < 1:
        raise BadInput(f"the confidence is {confidence:g}: it must lie between 0 and 1")
    likelihood = Likelihood(data, refractory_s, current)
    free = [name for name in NAMES if name not in fixed]
    if not free:
        raise BadInput("all parameters are given: there is nothing to fit")
    values = best_start(likelihood, fixed)
    advance()
    values, converged = climb(likelihood, values, free, advance)
    return _described(likelihood, values, free, converged, confidence)


def _described(likelihood, values, free, converged, confidence) -> ArrayFit:
    """Return the fit with its intervals, its distance to synchrony and how well it does."""
    scores = stretch_scores(likelihood, values, free)
    gradient = scores.sum(axis=0)
    inside = inside_range(likelihood, values, free, gradient)
    at_end = tuple(name for k, name in enumerate(free) if k not in inside)
    covariance = np.full((len(free), len(free)), np.nan)
    if inside.size and converged:  # elsewhere than at a maximum curvature says nothing about errors
        covariance[np.ix_(inside, inside)] = np.linalg.pinv((scores.T @ scores)[np.ix_(inside, inside)])
    spread = dict(zip(free, np.sqrt(np.diag(covariance))))
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    errors, low, high = {}, {}, {}
    for name in NAMES:
        size = spread.get(name, float("nan"))
        value = values[name]
        factor = value if name in LOGARITHMIC else 1.0
        errors[name] = factor * size
        low[name] = value * np.exp(-z * size) if name in LOGARITHMIC else value - z * size
        high[name] = value * np.exp(z * size) if name in LOGARITHMIC else value + z * size
    critical, distance, error = _synchrony(values, free, covariance, likelihood)
    data = likelihood.data
    hazards = np.empty(data.counts.shape)
    total = float(likelihood(values, hazards).sum())
    return ArrayFit(
        values, errors, low, high, total, _poisson(data, hazards), data.rate_hz, _predicted(values, likelihood),
        critical, distance, error, _rescaled(data, hazards), data.counts.shape[1], int(data.counts.sum()), converged,
        at_end,
    )  # fmt: skip


def _model(values: dict[str, float], likelihood: Likelihood, sharp: bool = False) -> Model:
    """Return the fitted population in units of its membrane time constant."""
    tau = values["tau_s"]
    eps = 0.0 if sharp else values["eps"]
    return Model(
        values["b"], values["a0"], values["a1"], current=likelihood.current, refractory=likelihood.refractory_s / tau,
        threshold_eps=eps,
    )  # fmt: skip


def _critical(values: dict[str, float], likelihood: Likelihood) -> float | None:
    try:
        return steady.critical_b(_model(values, likelihood))
    except BmiError:
        return None


def _predicted(values: dict[str, float], likelihood: Likelihood) -> float:
    """Return the rate (Hz) of the lowest steady state of the fitted population, NaN if there is none."""
    try:
        states = steady.steady_states(_model(values, likelihood))
    except BmiError:
        return float("nan")
    return states[0].rate / values["tau_s"] if states else float("nan")


def _synchrony(values, free, covariance, likelihood) -> tuple[float | None, float, float]:
    """Return the critical connectivity, the distance to it and its standard error (by the delta method)."""
    critical = _critical(values, likelihood)
    if critical is None:
        return None, float("nan"), float("nan")
    slope = np.zeros(len(free))
    for k, size in enumerate(nudges(likelihood, free)):
        if free[k] in ("b", "delay_s") or np.isnan(covariance[k, k]):
            continue
        step = np.zeros(len(free))
        step[k] = size
        up, down = (_critical(moved(likelihood, values, free, sign * step), likelihood) for sign in (1, -1))
        if up is not None and down is not None:
            slope[k] = (up - down) / (2 * size)
    if "b" in free:
        slope[free.index("b")] = -1.0
    known = ~np.isnan(np.diag(covariance))
    if not known.any():
        return critical, critical - values["b"], float("nan")
    variance = slope[known] @ covariance[np.ix_(known, known)] @ slope[known]
    return critical, critical - values["b"], float(np.sqrt(variance))


def _poisson(data: Recorded, hazards: np.ndarray) -> float:
    """Return the log-likelihood of units at constant rates over the same bins."""
    inside = np.isfinite(hazards)
    bins = inside.sum(axis=0)
    spikes = (data.counts * inside).sum(axis=0)
    share = np.clip(spikes / np.maximum(bins, 1), 1e-12, 1 - 1e-12)
    return float((spikes * np.log(share) + (bins - spikes) * np.log1p(-share)).sum())


def _rescaled(data: Recorded, hazards: np.ndarray, seed: int = 0) -> float:
    """Return the p-value that rescaled intervals are exponential; spikes are put at random inside their bin's hazard
    (Haslinger, Pipa & Brown 2010).
    """
    rng = np.random.default_rng(seed)
    found = []
    for unit in range(data.counts.shape[1]):
        hazard = np.where(np.isfinite(hazards[:, unit]), hazards[:, unit], 0.0)
        total = np.cumsum(hazard)
        spikes = np.flatnonzero(data.counts[:, unit])
        q = 1 - np.exp(-hazard[spikes[1:]])
        inner = -np.log1p(-rng.random(len(q)) * q)
        before = total[spikes[1:]] - hazard[spikes[1:]] - total[spikes[:-1]]
        found.append(1 - np.exp(-(before + inner)))
    return float(stats.kstest(np.concatenate(found), "uniform").pvalue)
