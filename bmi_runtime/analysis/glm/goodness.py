"""Goodness of fit by time rescaling, for counts in bins.

Under the true model, the integrated rate between successive spikes is exponential with mean one (Brown et al. 2002).
With bins the spike's place inside its bin is unknown; placing it at an edge makes true models fail (Haslinger, Pipa &
Brown 2010). Here the spikes of a bin with expected count ``rate`` are put at uniform places of the bin's rescaled
length: for counts that are Poisson within the bin the rescaled spikes are then exactly a Poisson process of rate one,
however many spikes a bin holds. For data that can hold at most one spike per bin, ``within="bernoulli"`` uses the
correction of that paper: ``-log(1 - u (1 - exp(-rate)))``, `u` uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.constants import Z_95
from bmi_runtime.errors import BadInput


@dataclass
class Rescaling:
    """Rescaled intervals of one unit and what they say.

    Attributes
    ----------
    quantiles : ndarray
        ``1 - exp(-interval)``, uniform on (0, 1) under the model, in order of time.
    statistic : float
        Largest distance between their distribution and the uniform one (Kolmogorov-Smirnov).
    bound : float
        95 % bound, ``1.358 / sqrt(n)``.
    p_value : float
    autocorrelation : ndarray, shape (lags,)
        Of the intervals made Gaussian, at lags 1, 2, ...; within ``autocorrelation_bound`` 95 % of the time.
    autocorrelation_bound : float
    """

    quantiles: np.ndarray
    statistic: float
    bound: float
    p_value: float
    autocorrelation: np.ndarray
    autocorrelation_bound: float

    @property
    def passes(self) -> bool:
        """Return whether the KS statistic lies within its 95 % bound."""
        return bool(self.statistic <= self.bound)


def rescaled_intervals(counts: np.ndarray, rate: np.ndarray, rng: np.random.Generator, within: str = "poisson"):
    """Return the rescaled intervals between the spikes of one unit.

    Parameters
    ----------
    counts : ndarray, shape (bins,)
    rate : ndarray, shape (bins,)
        Expected counts per bin.
    within : {"poisson", "bernoulli"}
        How spikes are placed inside their bin.

    Raises
    ------
    BadInput
        When `within` is unknown, or Bernoulli with more than one spike in a bin.
    """
    through = np.cumsum(rate)
    spikes = np.repeat(np.arange(len(counts)), np.asarray(counts, int))
    uniform = rng.random(len(spikes))
    if within == "poisson":
        times = np.sort(through[spikes] - rate[spikes] * uniform)
        return np.diff(times, prepend=0.0)
    if within == "bernoulli":
        if np.max(counts, initial=0) > 1:
            raise BadInput("within='bernoulli' is for bins of at most one spike; use within='poisson'")
        inside = -np.log1p(uniform * np.expm1(-rate[spikes]))
        # No second spike can follow in the same bin, so each interval starts at the end of the last spike's bin.
        starts = np.r_[0.0, through[spikes[:-1]]] if len(spikes) else np.zeros(0)
        return through[spikes] - rate[spikes] - starts + inside
    raise BadInput(f"within is '{within}'; choose poisson or bernoulli")


def rescale(counts: np.ndarray, rate: np.ndarray, seed: int = 0, within: str = "poisson", lags: int = 20) -> Rescaling:
    """Return the time-rescaling test of one unit (see the module's text), with a fixed seed for the places in bins."""
    from scipy.stats import kstwo, norm

    intervals = rescaled_intervals(counts, rate, np.random.default_rng(seed), within)
    n = len(intervals)
    if n < 2:
        return Rescaling(np.zeros(0), np.nan, np.nan, np.nan, np.zeros(0), np.nan)
    quantiles = -np.expm1(-intervals)
    ordered = np.sort(quantiles)
    steps = np.arange(n + 1) / n
    statistic = float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))
    gaussian = norm.ppf(np.clip(quantiles, 1e-12, 1 - 1e-12))
    gaussian = gaussian - gaussian.mean()
    lags = min(lags, n - 1)
    variance = (gaussian**2).sum()
    correlation = np.array([(gaussian[lag:] * gaussian[:-lag]).sum() for lag in range(1, lags + 1)]) / variance
    p_value = float(kstwo.sf(statistic, n))
    return Rescaling(quantiles, statistic, 1.358 / np.sqrt(n), p_value, correlation, Z_95 / np.sqrt(n))


def rescale_all(model, counts, covariates=None, seed: int = 0, within: str = "poisson") -> list[Rescaling]:
    """Return the time-rescaling test of every unit of a fitted model on `counts` (preferably held out)."""
    from bmi_runtime.analysis.glm.likelihood import rates

    design = model._new_design(counts, covariates)
    rate = np.concatenate([rates(part, model.link) for _, _, part in model._predictors(design)])
    seen = design.events.dense(design.first, design.last)
    return [rescale(seen[:, unit], rate[:, unit], seed + unit, within) for unit in range(rate.shape[1])]
