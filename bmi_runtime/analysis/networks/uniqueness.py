"""Is a steady state the only one? What is proven, what further searches find, and a plain statement of both."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks import arclength, branch_and_bound, certificates, deflation
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import Attempt, newton

CLOSE_MV = 1e-6  # how far rounding may put a state outside the bounds proven for it
MANY = 100  # neurons up to which all searches are made; beyond, fewer


@dataclasses.dataclass
class Certificates:
    """Contraction constants over all inputs and inside the enclosing box, and the box (see :mod:`certificates`)."""

    contraction: dict[str, float]
    inside: dict[str, float]
    box: certificates.Box
    saturating: bool = True

    def proof(self) -> tuple[bool, str] | None:
        """Return (True, a plain statement) when a norm or the box proves uniqueness."""
        safe = 1 - 1e-5  # the 2-norm of a large matrix is computed from below, to 1e-6
        for values, where in ((self.contraction, ""), (self.inside, " over the states that are possible")):
            holding = [f"{name}-norm {value:.3g}" for name, value in values.items() if value < safe]
            failing = [f"{name}-norm {value:.3g}" for name, value in values.items() if value >= safe]
            if holding:
                but = f" (not in the {', '.join(failing)})" if failing else ""
                return True, f"unique: the map is a contraction{where} in the {', '.join(holding)}{but}"
        if self.box.width_mv <= CLOSE_MV:
            return True, "unique: no norm gives a contraction, but the bounds on every neuron's input meet"
        return None

    def balanced(self, indices: list, unknown: bool) -> bool:
        """Whether the indices of the states found add up to 1 (`unknown` where one of them is not known).

        Those of all states do when rates saturate: it is the degree of ``E - E_0 - W r(E)``, which scaling W down to 0
        does not change. Another sum proves that some are missing.
        """
        if not self.saturating:
            return True
        return unknown if None in indices else sum(indices) == 1

    def without_proof(self, indices: list, starts: int, complete: bool) -> tuple[bool | None, str]:
        """Return (unique, a plain statement) where no norm and no box proves anything.

        `indices` are those of the states found; `complete` says that dividing the box left no room for others.
        """
        found = len(indices)
        if complete and found == 1:
            return True, "unique: no norm gives a contraction, but dividing the box of possible inputs left it alone"
        if complete:
            return False, f"not unique: {found} fixed points, and no others (the box of possible inputs was divided)"
        if found and not self.balanced(indices, True):
            were = "1 fixed point was" if found == 1 else f"{found} distinct fixed points were"
            total = f"the indices add up to {sum(indices)} instead of 1"
            return False, f"not unique: {were} found, and others exist ({total})"
        if found > 1:
            return False, f"not unique: {found} distinct fixed points were found, others are not ruled out"
        least = min(self.contraction, key=lambda name: self.contraction[name])
        what = "1 fixed point found" if found else "no fixed point found"
        rest = "others are not ruled out" if found else "which does not rule them out"
        return None, (
            f"no certificate holds (smallest contraction constant {self.contraction[least]:.3g}, in the {least}-norm; "
            f"bounds {self.box.width_mv:.3g} mV apart): {what} from {starts} starts, {rest}"
        )


def certify(network: RateNetwork) -> Certificates:
    """Return the certificates of `network`."""
    box = certificates.enclosing_box(network)
    inside = certificates.contraction_in_box(network, box)
    return Certificates(
        certificates.contraction_constants(network), inside, box, bool(np.isfinite(network.neuron.saturation_hz))
    )


def sought(
    network: RateNetwork, box: certificates.Box, points: list, starts_mv: list[np.ndarray], tolerance_mv: float
) -> tuple[list[Attempt], bool]:
    """Return further steady states, and whether those found by dividing `box` are all there are.

    `points` are the states known so far (with ``input_mv``), `starts_mv` the starts that led to them.
    """
    attempts: list[Attempt] = []
    if network.size <= branch_and_bound.LARGEST:
        attempts, complete = divided(network, box, tolerance_mv)
        if complete:
            return attempts, True
    if network.size > deflation.LARGEST:
        return attempts, False
    if network.size <= MANY or not points:
        attempts.append(arclength.grown(network, tolerance_mv))
    known = [point.input_mv for point in points] + [attempt.input_mv for attempt in attempts if attempt.converged]
    again = starts_mv if network.size <= MANY else starts_mv[:4]
    return attempts + deflation.further(network, known, again, tolerance_mv), False


def divided(network: RateNetwork, box: certificates.Box, tolerance_mv: float) -> tuple[list[Attempt], bool]:
    """Return the steady states that dividing `box` finds, and whether these are all."""
    found = branch_and_bound.divide(network, box)
    attempts, complete = [], found.complete
    for near, within in zip(found.near_mv, found.within_mv):
        attempt = newton(network, near, tolerance_mv)
        attempt.method = "division"
        attempts.append(attempt)
        there = np.abs(attempt.input_mv - near) <= within + CLOSE_MV
        complete &= attempt.converged and bool(there.all())
    return attempts, complete
