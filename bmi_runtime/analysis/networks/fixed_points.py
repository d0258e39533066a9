"""The steady states of a rate network: many starts, the distinct solutions, and what is known of their number."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks import certificates
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import Attempt, newton, solve_from
from bmi_runtime.errors import BadInput

SAME_MV = 1e-6  # two solutions closer than this in every neuron are one


@dataclasses.dataclass
class FixedPoint:
    """One steady state.

    ``input_mv`` and ``rates_hz`` are (n,); ``residual`` is ``max |E - E_0 - W r(E)|`` in mV; ``iterations`` counts
    products with W; ``stable`` speaks of the iteration ``E <- E_0 + W r(E)``, ``stable_in_time`` of ``T dE/dt = -E
    + E_0 + W r(E)``; ``starts`` of how many starts it was reached.
    """

    input_mv: np.ndarray
    rates_hz: np.ndarray
    residual: float
    iterations: int
    method: str
    spectral_radius: float
    leading_real: float
    starts: int = 1

    @property
    def stable(self) -> bool | None:
        """Whether the iteration returns after a small push (None when the spectral radius is not known)."""
        return None if np.isnan(self.spectral_radius) else bool(self.spectral_radius < 1)

    @property
    def stable_in_time(self) -> bool | None:
        """Whether the rate dynamics in continuous time return after a small push."""
        return None if np.isnan(self.leading_real) else bool(self.leading_real < 1)

    def as_dict(self) -> dict:
        """Return the fields and both kinds of stability, as plain entries for JSON."""
        return dataclasses.asdict(self) | {"stable": self.stable, "stable_in_time": self.stable_in_time}


@dataclasses.dataclass
class Solution:
    """Every distinct steady state found, and the certificate (or its absence) of uniqueness.

    ``unique`` is True when proved, False when two were found, None when only one was found and nothing proves that
    it is alone.
    """

    fixed_points: list[FixedPoint]
    contraction: dict[str, float]
    contraction_in_box: dict[str, float]
    box_width_mv: float
    unique: bool | None
    statement: str
    starts: int
    starts_converged: int

    def as_dict(self) -> dict:
        """Return the solution as plain entries for JSON."""
        return {**vars(self), "fixed_points": [point.as_dict() for point in self.fixed_points]}


def starting_inputs(network: RateNetwork, starts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return `starts` inputs (n,) in mV: the silent network, the saturated one, then random ones.

    The random starts are images of random rates, alternately one common level (log-uniform up to saturation) and
    one level per neuron, so that they lie where solutions can be.
    """
    top = min(network.neuron.saturation_hz, 1e3)
    result = [network.external_mv.copy()]
    if starts > 1:
        result.append(network.external_mv + network.weights @ np.full(network.size, top))
    for k in range(2, starts):
        level = np.exp(rng.uniform(np.log(1e-3 * top), np.log(top)))
        rates = np.full(network.size, level) if k % 2 == 0 else level * rng.random(network.size) * 2
        result.append(network.external_mv + network.weights @ np.minimum(rates, top))
    return result


def solve(
    network: RateNetwork,
    starts: int = 24,
    method: str = "auto",
    seed: int = 0,
    tolerance_mv: float = 1e-10,
    certify: bool = True,
) -> Solution:
    """Find steady states of `network` from many starts and say what is known of their number.

    Parameters
    ----------
    network : RateNetwork
        The network.
    starts : int
        How many starting points; the first is the silent network, the second the saturated one.
    method : {'auto', 'iteration', 'anderson', 'newton', 'krylov'}
        How to solve from each; ``auto`` uses accelerated iteration, then Newton, and from every third start Newton
        alone, which also finds states that repel the iteration.
    seed : int
        Seed of the random starts.
    tolerance_mv : float
        Wanted residual.
    certify : bool
        Compute the contraction constants and the enclosing box.

    Raises
    ------
    BadInput
        When `starts` is not positive or the method is unknown.
    """
    if starts < 1:
        raise BadInput(f"starts is {starts}: give at least one start")
    rng = np.random.default_rng(seed)
    attempts = []
    for k, start in enumerate(starting_inputs(network, starts, rng)):
        if method == "auto" and k % 3 == 2:
            attempts.append(newton(network, start, tolerance_mv))
        else:
            attempts.append(solve_from(network, start, method, tolerance_mv))
    points = distinct(network, attempts)
    return _concluded(network, points, attempts, certify)


def distinct(network: RateNetwork, attempts: list[Attempt]) -> list[FixedPoint]:
    """Return the distinct solutions among the attempts that converged, lowest mean rate first."""
    points: list[FixedPoint] = []
    for attempt in attempts:
        if not attempt.converged:
            continue
        for point in points:
            if np.abs(point.input_mv - attempt.input_mv).max() < SAME_MV * max(1, np.abs(point.input_mv).max() / 100):
                point.starts += 1
                break
        else:
            points.append(fixed_point(network, attempt))
    return sorted(points, key=lambda point: float(point.rates_hz.mean()))


def fixed_point(network: RateNetwork, attempt: Attempt) -> FixedPoint:
    """Return the steady state that `attempt` reached, with its rates and its spectrum."""
    spectrum = certificates.spectrum_at(network, attempt.input_mv)
    rates = network.neuron.rate_hz(attempt.input_mv)
    return FixedPoint(
        attempt.input_mv,
        rates,
        attempt.residual,
        attempt.iterations,
        attempt.method,
        spectrum.radius,
        spectrum.leading_real,
    )


def _concluded(network, points, attempts, certify: bool) -> Solution:
    converged = sum(attempt.converged for attempt in attempts)
    if not certify:
        unique = False if len(points) > 1 else None
        return Solution(points, {}, {}, float("nan"), unique, "no certificate was sought", len(attempts), converged)
    contraction = certificates.contraction_constants(network)
    box = certificates.enclosing_box(network)
    inside = certificates.contraction_in_box(network, box)
    unique, statement = conclusion(contraction, inside, box.width_mv, len(points), len(attempts))
    return Solution(points, contraction, inside, box.width_mv, unique, statement, len(attempts), converged)


def conclusion(contraction: dict, inside: dict, width_mv: float, found: int, starts: int) -> tuple[bool | None, str]:
    """Return (unique, a plain statement) from the certificates and the number of distinct solutions."""
    safe = 1 - 1e-5  # the 2-norm of a large matrix is computed from below, to 1e-6
    for values, where in ((contraction, ""), (inside, " over the states that are possible")):
        holding = [f"{name}-norm {value:.3g}" for name, value in values.items() if value < safe]
        failing = [f"{name}-norm {value:.3g}" for name, value in values.items() if value >= safe]
        if holding:
            but = f" (not in the {', '.join(failing)})" if failing else ""
            return True, f"unique: the map is a contraction{where} in the {', '.join(holding)}{but}"
    if width_mv <= 1e-6:
        return True, "unique: no norm gives a contraction, but the bounds on every neuron's input meet"
    if found > 1:
        return False, f"not unique: {found} distinct fixed points were found"
    least = min(contraction, key=lambda name: contraction[name])
    some = {0: "no fixed point", 1: "1 fixed point"}[found]
    return None, (
        f"no certificate holds (smallest contraction constant {contraction[least]:.3g}, in the {least}-norm; bounds "
        f"{width_mv:.3g} mV apart): {some} found from {starts} starts, others are not ruled out"
    )
