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
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels.population_fit import block_log_likelihoods

NAMES = ("b", "a0", "a1", "tau_s", "eps", "delay_s")
LOGARITHMIC = ("a0", "tau_s", "eps")
LOWEST = {"b": -50.0, "a0": 0.01, "a1": 0.0, "tau_s": 5e-4, "eps": 0.02, "delay_s": 0.0}
HIGHEST = {"b": 50.0, "a0": 20.0, "a1": 20.0, "tau_s": 1.0, "eps": 5.0, "delay_s": 0.1}
BLOCKS = 200
CELL = 1 / 12.5  # of the potential: V_R is the middle of a cell, V_F the edge of one
REACH_SD, DECAYS = 4.0, 5.0  # how far the cells go: in standard deviations, and in lengths of decay above V_F
MOST = 400  # cells below and above V_F
ITERATIONS = 25
ENOUGH_SPIKES = 200


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Spikes of an array: ``counts`` (bins, units) of 0 or 1, bins of ``bin_s``."""

    counts: np.ndarray
    bin_s: float

    @property
    def rate_hz(self) -> float:
        """The mean rate of a unit."""
        return float(self.counts.mean() / self.bin_s)


def recorded(counts: np.ndarray, bin_s: float) -> Recorded:
    """Return the units of `counts` (bins, units) that fire, at most once a bin.

    Raises
    ------
    BadInput
        When there are too few spikes, or so many in one bin that bins are too wide.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.size == 0:
        raise BadInput(f"counts must be bins x units, not of shape {counts.shape}")
    if not 0 < bin_s < 0.02:
        raise BadInput(f"bins are {bin_s:g} s wide; the membrane needs bins of a few milliseconds at most")
    active = counts.sum(axis=0) >= 5
    counts = counts[:, active]
    spikes = int(counts.sum())
    if spikes < ENOUGH_SPIKES:
        raise BadInput(f"{spikes} spikes of {counts.shape[1]} units are too few to fit; at least {ENOUGH_SPIKES}")
    doubled = float((counts > 1).sum() / max(1, (counts > 0).sum()))
    if doubled > 0.02:
        raise BadInput(f"{doubled:.0%} of the bins with spikes hold several of one unit: use narrower bins")
    return Recorded(np.ascontiguousarray(counts > 0).astype(np.uint8), float(bin_s))


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


class Likelihood:
    """The log-likelihood of a recording in :data:`BLOCKS` stretches, as a function of named parameters."""

    def __init__(self, data: Recorded, refractory_s: float = 0.0, current: float = 0.0):
        self.data, self.refractory_s, self.current = data, refractory_s, current
        self.lowest = LOWEST | {"delay_s": data.bin_s}  # a spike is heard in the next bin, or later
        self._mean = data.counts.mean(axis=1)
        self._none = np.zeros((0, data.counts.shape[1]))

    def activity(self, delay_s: float) -> np.ndarray:
        """Return the spikes per unit (bins,) that arrive `delay_s` later, and never before the next bin."""
        shift = max(delay_s / self.data.bin_s, 1.0)
        whole, rest = int(shift), shift - int(shift)
        out = np.zeros_like(self._mean)
        out[whole:] += (1 - rest) * self._mean[: len(out) - whole]
        out[whole + 1 :] += rest * self._mean[: len(out) - whole - 1]
        return out

    def cells(self, values: dict[str, float]) -> np.ndarray:
        """Return the cells of the potential (k,): as wide as noise and drive need: a wall that is felt biases a0."""
        rate = self.data.rate_hz * values["tau_s"]
        noise, drift = values["a0"] + values["a1"] * rate, self.current + values["b"] * rate
        reach = REACH_SD * np.sqrt(noise)
        above = max(drift - 2.0, 0.0) + min(reach, DECAYS * np.sqrt(noise * values["eps"]))
        below = max(1.0, 2.0 - drift) + reach
        low, high = (min(int(np.ceil(length / CELL)), MOST) for length in (below, above))
        return 2.0 + CELL * (np.arange(-low, high) + 0.5)

    def __call__(self, values: dict[str, float], hazards: np.ndarray | None = None) -> np.ndarray:
        """Return the log-likelihood of every stretch (blocks,); `hazards` (bins, units) is written if given."""
        tau = values["tau_s"]
        parameters = np.array(
            [self.current, values["b"], values["a0"], values["a1"], values["eps"], self.refractory_s / tau]
        )
        blocks = np.zeros(BLOCKS)
        room = self._none if hazards is None else hazards
        step, activity = self.data.bin_s / tau, self.activity(values["delay_s"])
        v = self.cells(values)
        reset = int(np.argmin(np.abs(v - 1.0)))
        block_log_likelihoods(self.data.counts, activity, step, v, CELL, reset, parameters, blocks, room)
        return blocks


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
    values = _start(likelihood, fixed)
    advance()
    values, converged = _climb(likelihood, values, free, advance)
    return _described(likelihood, values, free, converged, confidence)


def _start(likelihood: Likelihood, fixed: dict[str, float]) -> dict[str, float]:
    """Return the best of a few starts: membranes of 5 to 30 ms, weakly connected, with the noise of the rate."""
    bin_s = likelihood.data.bin_s
    values = {"b": 0.0, "a0": 1.0, "a1": 0.0, "tau_s": 0.02, "eps": 0.1, "delay_s": bin_s} | fixed
    for tau_s in [fixed["tau_s"]] if "tau_s" in fixed else [0.005, 0.012, 0.03]:
        noise = float(np.clip(_noise_for(likelihood, tau_s), 2 * LOWEST["a0"], 0.5 * HIGHEST["a0"]))
        values = _better(likelihood, values, values | {"tau_s": tau_s, "a0": noise} | fixed)
    for delay in bin_s * np.array([1.5, 3, 6, 12, 24]):  # the likelihood of the delay has several maxima
        for b in (-1.0, 1.0):
            values = _better(likelihood, values, values | {"b": b, "delay_s": float(delay)} | fixed)
    return values


def _better(likelihood: Likelihood, one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return other if likelihood(other).sum() > likelihood(one).sum() else one


def _noise_for(likelihood: Likelihood, tau_s: float) -> float:
    """Return the noise a0 at which unconnected neurons fire at the recorded rate (sharp threshold)."""
    wanted = likelihood.data.rate_hz * tau_s
    grid = np.geomspace(0.02, 10, 40)
    rates = [steady.unconnected_rate(Model(0.0, float(a0), current=likelihood.current)) for a0 in grid]
    return float(np.interp(wanted, rates, grid))


def _moved(likelihood: Likelihood, values: dict[str, float], free: list[str], step: np.ndarray) -> dict[str, float]:
    """Return values after a step in the coordinates of the fit (logarithms where they are positive), kept in range."""
    out = dict(values)
    for name, change in zip(free, step):
        new = out[name] * np.exp(np.clip(change, -2, 2)) if name in LOGARITHMIC else out[name] + change
        out[name] = float(np.clip(new, likelihood.lowest[name], HIGHEST[name]))
    return out


def _nudges(likelihood: Likelihood, free: list[str]) -> np.ndarray:
    """Return the steps (k,) of numerical derivatives."""
    sizes = {"b": 0.02, "a1": 0.01, "delay_s": 0.2 * likelihood.data.bin_s}
    return np.array([sizes.get(name, 0.01) for name in free])


def _scores(likelihood: Likelihood, values: dict[str, float], free: list[str]) -> np.ndarray:
    """Return the derivative of every stretch's log-likelihood by the free parameters, (blocks, k)."""
    columns = []
    for k, size in enumerate(_nudges(likelihood, free)):
        step = np.zeros(len(free))
        step[k] = size
        up, down = _moved(likelihood, values, free, step), _moved(likelihood, values, free, -step)
        name = free[k]
        gone = np.log(up[name] / down[name]) if name in LOGARITHMIC else up[name] - down[name]
        columns.append((likelihood(up) - likelihood(down)) / gone)
    return np.stack(columns, axis=1)


def _climb(likelihood: Likelihood, values: dict[str, float], free: list[str], advance):
    """Return the maximum and whether it was reached."""
    height = float(likelihood(values).sum())
    damping = 1e-3
    for _ in range(ITERATIONS):
        scores = _scores(likelihood, values, free)
        gradient, information = scores.sum(axis=0), scores.T @ scores
        inside = _inside(likelihood, values, free, gradient)
        step = np.zeros(len(free))
        part = information[np.ix_(inside, inside)]
        advance()
        for _ in range(8):
            step[inside] = np.linalg.solve(part + damping * np.diag(np.diag(part) + 1e-6), gradient[inside])
            tried = _moved(likelihood, values, free, step)
            reached = float(likelihood(tried).sum())
            if reached > height - 1e-9:
                damping = max(damping / 5, 1e-6)
                break
            damping *= 6
        else:
            return values, bool(gradient[inside] @ np.linalg.pinv(part) @ gradient[inside] < 0.05)
        gained, height, values = reached - height, reached, tried
        if gained < 1e-3:
            return values, True
    return values, False


def _inside(likelihood: Likelihood, values: dict[str, float], free: list[str], gradient: np.ndarray) -> np.ndarray:
    """Return which free parameters (indices) are not pressed against an end of their range."""
    kept = []
    for k, name in enumerate(free):
        low = values[name] <= likelihood.lowest[name] * (1 + 1e-9) + 1e-12 and gradient[k] < 0
        high = values[name] >= HIGHEST[name] * (1 - 1e-9) and gradient[k] > 0
        if not (low or high):
            kept.append(k)
    return np.array(kept, int)


def _described(likelihood, values, free, converged, confidence) -> ArrayFit:
    """Return the fit with its intervals, its distance to synchrony and how well it does."""
    scores = _scores(likelihood, values, free)
    gradient = scores.sum(axis=0)
    inside = _inside(likelihood, values, free, gradient)
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
    for k, size in enumerate(_nudges(likelihood, free)):
        if free[k] in ("b", "delay_s") or np.isnan(covariance[k, k]):
            continue
        step = np.zeros(len(free))
        step[k] = size
        up, down = (_critical(_moved(likelihood, values, free, sign * step), likelihood) for sign in (1, -1))
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
