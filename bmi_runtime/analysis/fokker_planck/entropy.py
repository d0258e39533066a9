"""Relative entropy, its dissipation, and the exponential rate of desynchronisation."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.fokker_planck import spectral, steady
from bmi_runtime.analysis.fokker_planck.convex import NAMED, Convex
from bmi_runtime.analysis.fokker_planck.evolve import Solution
from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Decay:
    """Decay to the steady state for b = 0.

    Attributes
    ----------
    times : float64 array (s,)
    entropy : float64 array (s,)
        ``int P H(p / P)`` with a convex H, ``(x - 1)^2`` unless another is given.
    dissipation : float64 array (s,)
        Its rate of decrease, the sum of the diffusive part ``a int P H''(p/P) ((p/P)')^2`` and of the jump part.
    measured_rate, measured_rate_error, spectral_gap : float
        Exponential rate of the square root of the entropy over the second half of the run, by how much it still
        changes between the two halves of that (both NaN if the entropy is gone by then), and minus the leading
        eigenvalue.
    """

    times: np.ndarray
    entropy: np.ndarray
    dissipation: np.ndarray
    measured_rate: float
    measured_rate_error: float
    spectral_gap: float


def decay(solution: Solution, convex: Convex = NAMED["square"]) -> Decay:
    """Return the entropy of a run with b = 0, a1 = 0, a constant current and a sharp threshold without refractory
    state.

    The jump part is ``N_inf [H(u_F) - H(u_R) - (u_F - u_R) H'(u_R)]`` with ``u_F = N / N_inf`` (the limit of p/P at
    V_F) and ``u_R = p/P`` at V_R (Caceres, Carrillo and Perthame 2011).

    Raises
    ------
    BadInput
        When part of the initial density lies where the steady state has none.
    """
    model, grid = solution.model, solution.grid
    rest_rate = steady.steady_states(model)[0].rate
    rest = steady.density(model, rest_rate, grid.v)
    mass = rest * grid.width
    safe = mass > 1e-12
    if (outside := float((solution.density[0] * grid.width)[~safe].sum())) > 1e-9:
        raise BadInput(
            f"{outside:.2g} of the initial density lies where the steady state has nobody (less than 1e-12 a cell): "
            "their relative entropy is beyond numbers; give a narrower density, or more noise"
        )
    ratio = solution.density / np.where(rest > 0, rest, 1.0)
    entropy = convex.value(ratio)[:, safe] @ mass[safe]
    rate = np.interp(solution.times, solution.rate_times, solution.rate)
    gap = grid.edges[1]
    at_end = np.column_stack([ratio[:, 1:], rate / rest_rate])
    middle = steady.density(model, rest_rate, grid.edges[0])
    used = safe & (middle > 0)
    bent = (convex.slope(at_end) - convex.slope(ratio)) * (at_end - ratio)
    diffusive = model.a0 * bent[:, used] @ (middle / gap)[used]
    ends, resets = rate / rest_rate, ratio[:, grid.reset]
    jump = rest_rate * (convex.value(ends) - convex.value(resets) - (ends - resets) * convex.slope(resets))
    measured, error = _rate(solution.times, entropy)
    gap_value = -float(spectral.spectrum(model, rest_rate, 1)[0].real)
    return Decay(solution.times, entropy, diffusive + jump, measured, error, gap_value)


def _rate(times: np.ndarray, entropy: np.ndarray) -> tuple[float, float]:
    """Return the exponential rate of the root of the entropy over the second half, and by how much it changes there."""
    late = np.flatnonzero((times >= 0.5 * times[-1]) & (entropy > 1e-22))
    if len(late) < 8:
        return float("nan"), float("nan")
    slopes = [
        -float(np.polyfit(times[part], 0.5 * np.log(entropy[part]), 1)[0]) for part in (late, *np.array_split(late, 2))
    ]
    return slopes[0], abs(slopes[2] - slopes[1])
