"""The steady states of a rate network: many starts, the distinct solutions, and what is known of their number."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks import certificates, uniqueness
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import Attempt, newton, solve_from
from bmi_runtime.errors import BadInput

FURTHER = ("division", "deflation", "growth")  # methods of the searches that follow the starts
SAME_MV = 1e-6  # two solutions closer than this in every neuron are one


@dataclasses.dataclass
class FixedPoint:
    """One steady state.

    ``input_mv`` and ``rates_hz`` are (n,); ``residual`` is ``max |E - E_0 - W r(E)|`` in mV; ``iterations`` counts
    products with W; ``stable`` speaks of the iteration ``E <- E_0 + W r(E)``, ``stable_in_time`` of ``T dE/dt = -E
    + E_0 + W r(E)``; ``starts`` of how many starts it was reached (0: found by the searches
    that follow); ``index`` of the sign of ``det(I - W diag(r'))``, where all eigenvalues are known.
    """

    input_mv: np.ndarray
    rates_hz: np.ndarray
    residual: float
    iterations: int
    method: str
    spectral_radius: float
    leading_real: float
    starts: int = 1
    index: int | None = None

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
    it is alone. ``complete`` says that there are no others, proved too.
    """

    fixed_points: list[FixedPoint]
    contraction: dict[str, float]
    contraction_in_box: dict[str, float]
    box_width_mv: float
    unique: bool | None
    complete: bool
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

    Where no norm proves uniqueness, more is sought: up to 40 neurons the box of possible inputs is divided, which finds
    all states, stable or not, wherever it comes to an end; otherwise, up to 600 neurons, from the same starts with the
    states that are known made to repel.

    Parameters
    ----------
    network : RateNetwork
        The network.
    starts : int
        How many starting points; the first is the silent network, the second the saturated one.
    method : {'auto', 'iteration', 'anderson', 'newton', 'krylov', 'transient'}
        How to solve from each; ``auto`` uses accelerated iteration, then Newton, and from every third start Newton
        alone, which also finds states that repel the iteration. With any other no more is sought.
    seed : int
        Seed of the random starts.
    tolerance_mv : float
        Wanted residual.
    certify : bool
        Compute the contraction constants and the enclosing box, and seek more where they prove nothing.

    Raises
    ------
    BadInput
        When `starts` or `tolerance_mv` is not positive, or the method is unknown.
    """
    if starts < 1:
        raise BadInput(f"starts is {starts}: give at least one start")
    if not (np.isfinite(tolerance_mv) and tolerance_mv > 0):
        raise BadInput(f"tolerance_mv is {tolerance_mv:g}: the wanted residual must be a positive number")
    attempts, places = [], starting_inputs(network, starts, np.random.default_rng(seed))
    for k, start in enumerate(places):
        if method == "auto" and k % 3 == 2:
            attempts.append(newton(network, start, tolerance_mv))
        else:
            attempts.append(solve_from(network, start, method, tolerance_mv))
    points = distinct(network, attempts)
    converged = sum(attempt.converged for attempt in attempts)
    if not certify:
        unique = False if len(points) > 1 else None
        return Solution(points, {}, {}, float("nan"), unique, False, "no certificate was sought", starts, converged)
    known = uniqueness.certify(network)
    proof = known.proof()
    complete = proof is not None and len(points) > 0
    if not complete and method == "auto":
        more, complete = uniqueness.sought(network, known.box, points, places, tolerance_mv)
        reached, points = len(points), distinct(network, attempts + more)
        complete &= len(more) >= len(points) >= max(reached, 1)
        complete &= known.balanced(
            [point.index for point in points], False
        )  # at a fold two may have been taken for one
    unique, statement = proof or known.without_proof([point.index for point in points], starts, complete)
    return Solution(
        points, known.contraction, known.inside, known.box.width_mv, unique, complete, statement, starts, converged
    )


def distinct(network: RateNetwork, attempts: list[Attempt]) -> list[FixedPoint]:
    """Return the distinct solutions among the attempts that converged, lowest mean rate first."""
    points: list[FixedPoint] = []
    for attempt in attempts:
        if not attempt.converged:
            continue
        for point in points:
            if _same(network, point, attempt):
                point.starts += attempt.method not in FURTHER
                break
        else:
            points.append(fixed_point(network, attempt))
    return sorted(points, key=lambda point: float(point.rates_hz.mean()))


def _same(network: RateNetwork, point: FixedPoint, attempt: Attempt) -> bool:
    """Whether `attempt` reached `point`: they are close, or so close to a fold that all between them solves as well."""
    apart, size = np.abs(point.input_mv - attempt.input_mv).max(), max(1.0, np.abs(point.input_mv).max() / 100)
    if apart < SAME_MV * size or apart > 1e3 * SAME_MV * size:
        return bool(apart < SAME_MV * size)
    between = 0.5 * (point.input_mv + attempt.input_mv)
    return bool(np.abs(network.mapped(between) - between).max() <= max(1e-10, point.residual, attempt.residual))


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
        int(attempt.method not in FURTHER),
        spectrum.index,
    )
