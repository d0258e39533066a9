"""Distributions of a response given its linear predictor: loss, slope and curvature, and what the data must be."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from scipy.special import expit, gammaln, xlogy

from bmi_runtime.errors import BadInput


class Family(ABC):
    """One distribution with its canonical or usual link.

    Attributes
    ----------
    name, link : str
    counts : bool
        Whether the response is a count of spikes (whole, zero or more).
    shaped : bool
        Whether every unit has a shape parameter that is estimated beside its coefficients.
    """

    name: str
    link: str
    counts = True
    shaped = False

    @abstractmethod
    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return the expected response."""

    @abstractmethod
    def loss(self, eta: np.ndarray, y: np.ndarray, shape: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the negative log-likelihood without terms in `y` alone, its slope and its curvature against `eta`."""

    @abstractmethod
    def log_likelihood(self, eta: np.ndarray, y: np.ndarray, shape: float) -> float:
        """Return the log-likelihood of a unit, all constants included."""

    @abstractmethod
    def saturated(self, y: np.ndarray, shape: float) -> float:
        """Return the log-likelihood of a model with one parameter a bin."""

    @abstractmethod
    def intercept(self, mean: np.ndarray) -> np.ndarray:
        """Return the predictor of a constant response."""

    def check(self, values: np.ndarray, names: list[str]) -> None:
        """Refuse responses that the family cannot have; the first unit that has them is named."""
        del values, names

    def shape_of(self, eta: np.ndarray, y: np.ndarray, free: int) -> float:
        """Return the shape that fits best at a given predictor (0 where the family has none)."""
        del eta, y, free
        return 0.0


class Poisson(Family):
    """Counts with variance equal to their mean, log link."""

    name, link = "poisson", "exponential"

    def mean(self, eta):
        """Return ``exp(eta)``."""
        return np.exp(np.minimum(eta, 700.0))

    def loss(self, eta, y, shape):
        """Return the loss ``mu - y eta`` and its two derivatives."""
        mu = self.mean(eta)
        return mu - y * eta, mu - y, mu

    def log_likelihood(self, eta, y, shape):
        """Return the log-likelihood."""
        return float(np.sum(y * eta - self.mean(eta) - gammaln(y + 1)))

    def saturated(self, y, shape):
        """Return the log-likelihood at ``mu = y``."""
        return float(np.sum(xlogy(y, y) - y - gammaln(y + 1)))

    def intercept(self, mean):
        """Return ``log mean``."""
        return np.log(mean)


class Bernoulli(Family):
    """At most one spike a bin, logit link."""

    name, link = "bernoulli", "logit"

    def mean(self, eta):
        """Return ``1 / (1 + exp(-eta))``."""
        return expit(eta)

    def loss(self, eta, y, shape):
        """Return the loss ``log(1 + exp(eta)) - y eta`` and its two derivatives."""
        mu = expit(eta)
        return np.logaddexp(0.0, eta) - y * eta, mu - y, mu * (1 - mu)

    def log_likelihood(self, eta, y, shape):
        """Return the log-likelihood."""
        return float(np.sum(y * eta - np.logaddexp(0.0, eta)))

    def saturated(self, y, shape):
        """Return 0: every bin is certain."""
        return 0.0

    def intercept(self, mean):
        """Return the log odds."""
        return np.log(mean / (1 - mean))

    def check(self, values, names):
        """Refuse bins with more than one spike, and a unit that fires in every bin."""
        for unit, name in enumerate(names):
            if values[:, unit].max(initial=0) > 1:
                raise BadInput(
                    f"{name} has {values[:, unit].max():g} spikes in bin {int(values[:, unit].argmax())}: the "
                    "bernoulli family is for bins of at most one; use narrower bins, or poisson"
                )
            if values[:, unit].min(initial=1) > 0:
                raise BadInput(f"{name} fires in every bin: no chance below one fits it")


class WholeCounts:
    """Sums over bins of functions of the count alone, from how many bins have more than k spikes, k = 0, 1, ...

    Parameters
    ----------
    y : ndarray, (bins,)
    """

    def __init__(self, y: np.ndarray):
        found, inverse = np.unique(y, return_inverse=True) if y.max(initial=0) > MOST_COUNTED else (None, None)
        self._values = np.arange(int(y.max(initial=0)) + 1.0) if found is None else found
        self._bins = np.bincount(y.astype(np.intp) if inverse is None else inverse, minlength=len(self._values))
        self._each = found is None

    def log_factorials(self) -> float:
        """Return the sum of ``log y!``."""
        return float(self._bins @ gammaln(self._values + 1.0))

    def rising(self, shape: float) -> float:
        """Return the sum of ``log Gamma(y + 1 / a) - log Gamma(1 / a) + y log a = sum_(k < y) log(1 + k a)``, a the
        shape: the second form loses no digits to large gamma functions.
        """
        if not self._each:
            size = 1.0 / shape
            return float(self._bins @ (gammaln(self._values + size) - gammaln(size) + self._values * math.log(shape)))
        above = self._bins.sum() - np.cumsum(self._bins)[:-1]
        return float(above @ np.log1p(shape * self._values[:-1]))


MOST_COUNTED = 100_000
"""Counts in a bin up to which they are tabulated one by one."""


class NegativeBinomial(Family):
    """Counts with variance ``mu + shape mu^2``, log link; shape 0 is Poisson."""

    name, link, shaped = "negative-binomial", "exponential", True

    def mean(self, eta):
        """Return ``exp(eta)``."""
        return np.exp(np.minimum(eta, 700.0))

    def loss(self, eta, y, shape):
        """Return the loss ``(y + 1 / a) log(1 + a mu) - y eta`` and its two derivatives, a the shape."""
        mu = self.mean(eta)
        if shape <= 0:
            return mu - y * eta, mu - y, mu
        grown = 1.0 + shape * mu
        return (y + 1 / shape) * np.log1p(shape * mu) - y * eta, (mu - y) / grown, mu * (1 + shape * y) / grown**2

    def log_likelihood(self, eta, y, shape):
        """Return the log-likelihood."""
        if shape <= 1e-12:
            return Poisson().log_likelihood(eta, y, 0.0)
        mu, whole = self.mean(eta), WholeCounts(y)
        spread = float(np.sum(y * eta - (y + 1.0 / shape) * np.log1p(shape * mu)))
        return spread + whole.rising(shape) - whole.log_factorials()

    def saturated(self, y, shape):
        """Return the log-likelihood at ``mu = y``."""
        with np.errstate(divide="ignore"):
            eta = np.where(y > 0, np.log(np.maximum(y, 1e-300)), -700.0)
        return self.log_likelihood(eta, y, shape)

    def intercept(self, mean):
        """Return ``log mean``."""
        return np.log(mean)

    def shape_of(self, eta, y, free):
        """Return the shape of largest likelihood, 0 where the counts are not overdispersed."""
        from scipy.optimize import minimize_scalar

        mu = self.mean(eta)
        if float(np.sum((y - mu) ** 2 - y)) <= 0:  # the slope of the likelihood at shape 0
            return 0.0
        whole = WholeCounts(y)

        def loss(log_shape):  # without what does not depend on the shape
            shape = math.exp(log_shape)
            return float(np.sum((y + 1.0 / shape) * np.log1p(shape * mu))) - whole.rising(shape)

        best = minimize_scalar(
            loss,
            bounds=(-14.0, 7.0),
            method="bounded",
            options={"xatol": 1e-10},
        )
        return math.exp(best.x)


class Gaussian(Family):
    """Continuous features with a constant variance, identity link; the shape is that variance."""

    name, link, counts, shaped = "gaussian", "identity", False, True

    def mean(self, eta):
        """Return the predictor itself."""
        return eta

    def loss(self, eta, y, shape):
        """Return half the squared residual and its two derivatives."""
        return 0.5 * (y - eta) ** 2, eta - y, np.ones_like(eta)

    def log_likelihood(self, eta, y, shape):
        """Return the log-likelihood at the variance of the maximum."""
        variance = float(np.mean((y - eta) ** 2))
        return -0.5 * y.size * (math.log(2 * math.pi * max(variance, 1e-300)) + 1.0)

    def saturated(self, y, shape):
        """Return infinity: without a residual the density has no bound."""
        return math.inf

    def intercept(self, mean):
        """Return the mean."""
        return np.asarray(mean, float)

    def shape_of(self, eta, y, free):
        """Return the unbiased variance of the residual."""
        return float(np.sum((y - eta) ** 2) / max(y.size - free, 1))


FAMILIES: dict[str, Family] = {
    family.name: family for family in (Poisson(), Bernoulli(), NegativeBinomial(), Gaussian())
}


def family_of(name: str) -> Family:
    """Return a family by its name.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    if name not in FAMILIES:
        raise BadInput(f"there is no family '{name}'; choose from {', '.join(FAMILIES)}")
    return FAMILIES[name]
