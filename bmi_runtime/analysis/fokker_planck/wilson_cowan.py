"""Wilson-Cowan rate networks with a Hebbian rule: ``N' = -N + sigma(w N + s)``, ``w' = speed (k N N^T - w)``."""

import dataclasses

import numpy as np
from scipy.integrate import solve_ivp

from bmi_runtime.errors import BadInput


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the default activation ``1 / (1 + exp(-4 (x - 1)))``, between 0 and 1."""
    return 1 / (1 + np.exp(-4 * (x - 1)))


@dataclasses.dataclass
class Trained:
    """Times (s,), rates (s, n), weights at the end (n, n), and how far they are from the equilibrium
    ``w = k N N^T``.
    """

    times: np.ndarray
    rates: np.ndarray
    weights: np.ndarray
    residual: float


def train(
    gain: np.ndarray, signal: np.ndarray, duration: float, speed: float = 0.1, rates=None, weights=None
) -> Trained:
    """Integrate rates and weights under a constant signal.

    Parameters
    ----------
    gain : float64 array (n, n)
        k_ij of the rule.
    signal : float64 array (n,)
        s_i.
    duration, speed : float
        Duration, and the slowness of the weights.
    rates, weights : arrays (n,), (n, n), optional
        Start; zero by default.
    """
    n = signal.size
    if gain.shape != (n, n):
        raise BadInput(f"the rule has shape {gain.shape} but the signal {n} units: give a square matrix of that size")
    start = np.r_[np.zeros(n) if rates is None else rates, (np.zeros((n, n)) if weights is None else weights).ravel()]

    def slope(_, y):
        rate, weight = y[:n], y[n:].reshape(n, n)
        return np.r_[-rate + sigmoid(weight @ rate + signal), speed * (gain * np.outer(rate, rate) - weight).ravel()]

    run = solve_ivp(slope, (0.0, duration), start, method="LSODA", rtol=1e-9, atol=1e-11)
    rate, weight = run.y[:n, -1], run.y[n:, -1].reshape(n, n)
    return Trained(run.t, run.y[:n].T, weight, float(np.abs(weight - gain * np.outer(rate, rate)).max()))


def recall(weights: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Return the steady rates (n,) that a network with fixed weights reaches from rest under a signal."""
    run = solve_ivp(
        lambda _, rate: -rate + sigmoid(weights @ rate + signal),
        (0, 200),
        np.zeros(signal.size),
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
    )
    return run.y[:, -1]
