"""The maximum of an array's likelihood, by scoring from the best of a few starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.array_likelihood import LOWEST, Likelihood
from bmi_runtime.analysis.fokker_planck.model import Model

LOGARITHMIC = ("a0", "tau_s", "eps")
HIGHEST = {"b": 50.0, "a0": 20.0, "a1": 20.0, "tau_s": 1.0, "eps": 5.0, "delay_s": 0.1}
ITERATIONS = 25


def best_start(likelihood: Likelihood, fixed: dict[str, float]) -> dict[str, float]:
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


def moved(likelihood: Likelihood, values: dict[str, float], free: list[str], step: np.ndarray) -> dict[str, float]:
    """Return values after a step in the coordinates of the fit (logarithms where they are positive), kept in range."""
    out = dict(values)
    for name, change in zip(free, step):
        new = out[name] * np.exp(np.clip(change, -2, 2)) if name in LOGARITHMIC else out[name] + change
        out[name] = float(np.clip(new, likelihood.lowest[name], HIGHEST[name]))
    return out


def nudges(likelihood: Likelihood, free: list[str]) -> np.ndarray:
    """Return the steps (k,) of numerical derivatives."""
    sizes = {"b": 0.02, "a1": 0.01, "delay_s": 0.2 * likelihood.data.bin_s}
    return np.array([sizes.get(name, 0.01) for name in free])


def stretch_scores(likelihood: Likelihood, values: dict[str, float], free: list[str]) -> np.ndarray:
    """Return the derivative of every stretch's log-likelihood by the free parameters, (blocks, k)."""
    columns = []
    for k, size in enumerate(nudges(likelihood, free)):
        step = np.zeros(len(free))
        step[k] = size
        up, down = moved(likelihood, values, free, step), moved(likelihood, values, free, -step)
        name = free[k]
        gone = np.log(up[name] / down[name]) if name in LOGARITHMIC else up[name] - down[name]
        columns.append((likelihood(up) - likelihood(down)) / gone)
    return np.stack(columns, axis=1)


def climb(
    likelihood: Likelihood, values: dict[str, float], free: list[str], advance: Callable[[], None]
) -> tuple[dict[str, float], bool]:
    """Return the maximum and whether it was reached."""
    height = float(likelihood(values).sum())
    damping = 1e-3
    for _ in range(ITERATIONS):
        scores = stretch_scores(likelihood, values, free)
        gradient, information = scores.sum(axis=0), scores.T @ scores
        inside = inside_range(likelihood, values, free, gradient)
        step = np.zeros(len(free))
        part = information[np.ix_(inside, inside)]
        advance()
        for _ in range(8):
            step[inside] = np.linalg.solve(part + damping * np.diag(np.diag(part) + 1e-6), gradient[inside])
            tried = moved(likelihood, values, free, step)
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


def inside_range(likelihood: Likelihood, values: dict[str, float], free: list[str], gradient: np.ndarray) -> np.ndarray:
    """Return which free parameters (indices) are not pressed against an end of their range."""
    kept = []
    for k, name in enumerate(free):
        low = values[name] <= likelihood.lowest[name] * (1 + 1e-9) + 1e-12 and gradient[k] < 0
        high = values[name] >= HIGHEST[name] * (1 - 1e-9) and gradient[k] > 0
        if not (low or high):
            kept.append(k)
    return np.array(kept, int)
