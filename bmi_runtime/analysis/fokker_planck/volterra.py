"""N(t) from an integral equation on the free heat kernel: a check that shares nothing with the finite volumes.

For a = a0 and a sharp threshold, ``y = e^t (v - c(t))`` and ``s = a (e^{2t} - 1) / 2`` turn the equation into the
heat equation below a moving boundary ``Y(s)``, with ``c' = -c + I + b N`` (Carrillo, Gonzalez, Gualdani and Schonbek
2013). The flux through the boundary then solves a Volterra equation of the second kind, discretised here by the
trapezoidal rule in a variable that removes the square root.
"""

import math

import numpy as np

from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


def rate(model: Model, initial, duration: float, steps: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return times and N(t), both (steps + 1,), for constant current and noise, a sharp threshold, no delay, no
    refractory state.

    With ``F = -u_y`` at the boundary (``N = a e^{2t} F``, ``F ds = N dt``) the jump relation of the heat kernel G gives
    ``N(t) = 2 a e^{2t} [ -int u0 G_y(Y - y, s) dy + int N(t') (G_y(Y - Y', s - s') - G_y(Y - Y_R', s - s')) dt' ]``,
    Y_R the image of V_R (derived here). The first kernel has an inverse square root at t' = t, which product
    integration takes exactly; N is implicit; second order in the step.

    Parameters
    ----------
    model : Model
    initial : callable
        Initial density with ``spread()``; it must be small at V_F.
    duration : float
    steps : int

    Raises
    ------
    BadInput
        If the model or the data are outside what the integral equation covers.
    """
    if model.a1 or model.refractory or model.threshold_eps or model.delay:
        raise BadInput(
            "the integral equation is for constant noise, a sharp threshold, no delay and no refractory state"
        )
    low, high = initial.spread()
    if float(np.asarray(initial(np.array([model.v_threshold])))[0]) > 1e-3:
        raise BadInput("the integral equation needs data that vanish at V_F: narrow the Gaussian or move it down")
    current, a = model.constant_current(), model.a0
    t = np.linspace(0.0, duration, steps + 1)
    grow, s = np.exp(t), a * np.expm1(2 * t) / 2
    y0 = 0.5 * (low + high) + 0.5 * (high - low) * _NODES
    u0 = np.asarray(initial(y0)) * _WEIGHTS * 0.5 * (high - low)
    n, moved = np.zeros(steps + 1), np.zeros(steps + 1)
    singular = _inverse_root_weights(steps) * math.sqrt(t[1])
    for k in range(1, steps + 1):
        ages, root = s[k] - s[:k], np.sqrt(t[k] - t[:k])
        wall, reset = grow[:k] * model.v_threshold - moved[:k], grow[:k] * model.v_reset - moved[:k]
        weights = singular[0, k - np.arange(k)] + np.where(np.arange(k) > 0, singular[1, k - np.arange(k) + 1], 0.0)
        guess = n[k - 1]
        for _ in range(60):
            push = grow[k - 1] * (current + model.b * n[k - 1]) + grow[k] * (current + model.b * guess)
            moved[k] = moved[k - 1] + 0.5 * t[1] * push
            here = grow[k] * model.v_threshold - moved[k]
            smooth = n[:k] * _slope(here - reset, ages)
            memory = float(weights @ (n[:k] * _slope(here - wall, ages) * root)) - t[1] * float(
                smooth.sum() - 0.5 * smooth[0]
            )
            limit = (
                -guess
                * (model.v_threshold - current - model.b * guess)
                / (2 * a * grow[k] ** 2 * math.sqrt(4 * math.pi * a))
            )
            total = memory + singular[1, 1] * limit - float(u0 @ _slope(here - y0, s[k]))
            value = 2 * a * grow[k] ** 2 * total
            if abs(value - guess) < 1e-13 * (1 + abs(value)):
                break
            guess = value
        n[k] = value
    return t, n


def _slope(distance, age):
    """Return the derivative of the heat kernel."""
    return -distance / (2 * age) * np.exp(-distance * distance / (4 * age)) / np.sqrt(4 * math.pi * age)


def _inverse_root_weights(steps):
    """Return the weights (2, steps + 2) of ``int x^{-1/2} (linear)`` over [m - 1, m] for its far and its near end."""
    m = np.arange(1, steps + 2, dtype=float)
    first = 2 / 3 * (m**1.5 - (m - 1) ** 1.5)
    zeroth = 2 * (np.sqrt(m) - np.sqrt(m - 1))
    far, near = first - (m - 1) * zeroth, m * zeroth - first
    return np.concatenate([np.zeros((2, 1)), [far, near]], axis=1)
