"""Wilson-Cowan rate networks that learn: ``N' = -N + sigma(w N + s)`` with either Hebbian rule of the lecture.

``decay``: ``w' = speed (k N N^T - w)``. ``product``: ``w'_ij = speed f(N_i) f(N_j)``, which increases a weight where
both are active (f above 0) or both are not, decreases it where one is, and has no equilibrium of its own.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from bmi_runtime.errors import BadInput

RULES = ("decay", "product")
Function = Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the default activation ``1 / (1 + exp(-4 (x - 1)))``, between 0 and 1."""
    return 1 / (1 + np.exp(-4 * (x - 1)))


def active(rate: np.ndarray) -> np.ndarray:
    """Return the default f of the product rule: ``N - 1/2``, negative for a silent unit."""
    return rate - 0.5


@dataclasses.dataclass
class Trained:
    """Times (s,), rates (s, n), weights at the end (n, n), and how fast they still change there (largest |w'| / speed;
    0 at an equilibrium of the rule).
    """

    times: np.ndarray
    rates: np.ndarray
    weights: np.ndarray
    residual: float


def train(
    gain: np.ndarray,
    signal: np.ndarray,
    duration: float,
    speed: float = 0.1,
    rates=None,
    weights=None,
    *,
    rule: str = "decay",
    sigma: Function = sigmoid,
    f: Function = active,
) -> Trained:
    """Integrate rates and weights under a constant signal.

    Parameters
    ----------
    gain : float64 array (n, n)
        k_ij of the decay rule; with the product rule it multiplies ``f(N_i) f(N_j)``.
    signal : float64 array (n,)
        s_i.
    duration, speed : float
        Duration, and the slowness of the weights.
    rates, weights : arrays (n,), (n, n), optional
        Start; zero by default.
    rule : {"decay", "product"}
    sigma, f : callables
        Activation of the rates; f of the product rule.

    Raises
    ------
    BadInput
        When the rule is unknown, or the gain is not a square matrix of the size of the signal.
    """
    n = signal.size
    if gain.shape != (n, n):
        raise BadInput(f"the rule has shape {gain.shape} but the signal {n} units: give a square matrix of that size")
    if rule not in RULES:
        raise BadInput(f"there is no rule '{rule}': choose {' or '.join(RULES)}")
    start = np.r_[np.zeros(n) if rates is None else rates, (np.zeros((n, n)) if weights is None else weights).ravel()]

    def change(rate, weight):
        if rule == "decay":
            return gain * np.outer(rate, rate) - weight
        return gain * np.outer(f(rate), f(rate))

    def slope(_, y):
        rate, weight = y[:n], y[n:].reshape(n, n)
        return np.r_[-rate + sigma(weight @ rate + signal), speed * change(rate, weight).ravel()]

    run = solve_ivp(slope, (0.0, duration), start, method="LSODA", rtol=1e-9, atol=1e-11)
    rate, weight = run.y[:n, -1], run.y[n:, -1].reshape(n, n)
    return Trained(run.t, run.y[:n].T, weight, float(np.abs(change(rate, weight)).max()))


def recall(weights: np.ndarray, signal: np.ndarray, sigma: Function = sigmoid) -> np.ndarray:
    """Return the steady rates (n,) that a network with fixed weights reaches from rest under a signal."""
    run = solve_ivp(
        lambda _, rate: -rate + sigma(weights @ rate + signal),
        (0, 200),
        np.zeros(signal.size),
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
    )
    return run.y[:, -1]
