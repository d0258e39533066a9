"""Further steady states from the same starts: those that are known are made to repel (deflation).

Newton's method is applied to ``M(E) F(E)`` with ``M(E) = product over known states k of (1 + n sigma^2 / |E - k|^2)``,
which has the other zeros of F and no longer these. Its step is Newton's step for F times one number, so it costs
nothing more (Farrell, Birkisson & Funke 2015, section 3.2).
"""

import numpy as np
from numpy.linalg import LinAlgError

from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import Attempt, tolerance_at

LARGEST = 600  # neurons up to which it is worth its linear systems
LONGEST = 40.0  # longest step of any neuron, in sigma


def deflated_newton(
    network: RateNetwork, start_mv: np.ndarray, known_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 60
) -> Attempt:
    """Seek a steady state other than those of `known_mv` (states, n) from `start_mv` (n,), by full deflated steps."""
    inputs, weights = np.array(start_mv, dtype=float), network.dense()
    for count in range(1, limit + 1):
        rates, slopes = network.neuron.rate_and_slope(inputs)
        gap = inputs - network.external_mv - weights @ rates
        size = float(np.abs(gap).max())
        if size <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, size, count, True, "deflation")
        jacobian = -weights * slopes
        jacobian[np.diag_indices_from(jacobian)] += 1
        try:
            step = np.linalg.solve(jacobian, -gap)
        except LinAlgError:
            break
        step = step * _stretch(network, inputs - known_mv, step)
        longest = float(np.abs(step).max())
        if not np.isfinite(longest):
            break
        inputs = inputs + step * min(1.0, LONGEST * network.neuron.sigma_mv / longest)
    return Attempt(inputs, size, count, False, "deflation")


def _stretch(network: RateNetwork, away_mv: np.ndarray, step_mv: np.ndarray) -> float:
    """Return ``1 / (1 - grad(log M) step)``; `away_mv` (states, n) leads from the known states to where we are."""
    scale = network.size * network.neuron.sigma_mv**2
    squared = np.maximum((away_mv**2).sum(axis=1), 1e-300)
    slope = -2.0 * (away_mv @ step_mv) * scale / (squared * (squared + scale))
    with np.errstate(divide="ignore"):
        return float(1.0 / (1.0 - slope.sum()))


def further(
    network: RateNetwork, found_mv: list[np.ndarray], starts_mv: list[np.ndarray], tolerance_mv: float
) -> list[Attempt]:
    """Return steady states beyond `found_mv`, from next to each of them and from `starts_mv`, each start used up."""
    rng = np.random.default_rng(0)
    known, attempts = list(found_mv), []
    pushed = [state + network.neuron.sigma_mv * rng.standard_normal(network.size) for state in found_mv]
    for start in pushed + starts_mv:
        while True:
            attempt = deflated_newton(network, start, np.reshape(known, (-1, network.size)), tolerance_mv)
            if not attempt.converged or any(np.abs(attempt.input_mv - state).max() < 1e-5 for state in known):
                break
            known.append(attempt.input_mv)
            attempts.append(attempt)
    return attempts
