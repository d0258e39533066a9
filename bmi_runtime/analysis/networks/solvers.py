"""One steady state from one start: Anderson-accelerated iteration, Newton's method, Jacobian-free Newton-Krylov."""

import dataclasses
import warnings

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgWarning, lu_factor, lu_solve

from bmi_runtime.analysis.networks import compressed
from bmi_runtime.analysis.networks.krylov import gmres
from bmi_runtime.analysis.networks.network import LARGE, RateNetwork
from bmi_runtime.analysis.networks.rate_table import RateTable
from bmi_runtime.errors import BadInput

DENSE_LIMIT = 3000  # up to this size a factorisation costs less than the products of a hard Krylov solve
METHODS = ("auto", "iteration", "anderson", "newton", "krylov", "transient")


@dataclasses.dataclass
class Attempt:
    """Where one start led: the inputs reached (mV), the residual (mV), and the products with W that it took."""

    input_mv: np.ndarray
    residual: float
    iterations: int
    converged: bool
    method: str


def tolerance_at(network: RateNetwork, input_mv: np.ndarray, tolerance_mv: float) -> float:
    """Return `tolerance_mv`, or the rounding error of the inputs when that is larger (but not beyond 1e-6 mV: inputs
    that grow without end are not a solution).
    """
    rounding = 64 * np.finfo(float).eps * float(np.abs(input_mv).max(initial=1.0))
    return max(tolerance_mv, min(rounding, 1e-6))


def iterate(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 2000) -> Attempt:
    """Iterate ``E <- E_0 + W r(E)`` (the poster's equation 1) until the residual passes, at most `limit` times."""
    return _iterated(network, start_mv, tolerance_mv, network.neuron.rate_hz, lambda history: len(history) < limit)[0]


def _iterated(network, start_mv, tolerance_mv, rates, go_on) -> tuple[Attempt, list[float]]:
    """Iterate with the rates of `rates` while ``go_on(residuals so far)``; the last residual is that of exact rates."""
    inputs = np.array(start_mv, dtype=float)
    history: list[float] = []
    while True:
        mapped = network.external_mv + network.product(rates(inputs))
        residual = float(np.abs(mapped - inputs).max())
        if residual <= tolerance_at(network, inputs, tolerance_mv) and isinstance(rates, RateTable):
            rates = network.neuron.rate_hz
            continue
        history.append(residual)
        if residual <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, residual, len(history), True, "iteration"), history
        if not (np.isfinite(residual) and go_on(history)):
            return Attempt(inputs, residual, len(history), False, "iteration"), history
        inputs = mapped


def anderson(
    network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 60, memory: int = 6
) -> Attempt:
    """Accelerate the iteration by Anderson mixing (Walker & Ni 2011, type II); give up when it stops shrinking.

    Each step combines the last `memory` images so that the combined residual is least. No Jacobian, one product
    with W a step.
    """
    inputs = np.array(start_mv, dtype=float)
    gaps = np.empty((memory, network.size))
    images = np.empty((memory, network.size))
    best = (np.inf, inputs, 0)
    last_gap = last_image = None
    history: list[float] = []
    for count in range(1, limit + 1):
        image = network.mapped(inputs)
        gap = image - inputs
        residual = float(np.abs(gap).max())
        if residual < best[0]:
            best = (residual, inputs, count)
        if residual <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, residual, count, True, "anderson")
        history.append(residual)
        if not np.isfinite(residual) or count - best[2] > 12 or _too_slow(history, network, tolerance_mv):
            break
        inputs = image
        if last_gap is not None:
            row = (count - 2) % memory
            gaps[row], images[row] = gap - last_gap, image - last_image
            held = min(count - 1, memory)
            inputs = image - _mixing(gaps[:held], gap) @ images[:held]
        last_gap, last_image = gap, image
    return Attempt(best[1], best[0], count, False, "anderson")


def _too_slow(history: list[float], network: RateNetwork, tolerance_mv: float) -> bool:
    """Whether the residuals promise no end within the products that factorising would cost (where that is possible)."""
    if network.size > DENSE_LIMIT or len(history) < 16:
        return False
    return steps_to_go(history, tolerance_mv, 8) > factorisation_products(network)


def steps_to_go(history: list[float], tolerance_mv: float, window: int) -> float:
    """Return how many more steps the last `window` residuals promise (infinite when they do not shrink)."""
    if history[-1] <= tolerance_mv:
        return 0.0
    shrinkage = np.log(history[-1] / history[-1 - window]) / window
    return float(np.log(tolerance_mv / history[-1]) / shrinkage) if shrinkage < 0 else np.inf


def factorisation_products(network: RateNetwork) -> float:
    """Return roughly how many products with W cost as much as two LU factorisations (n / 45 dense ones each,
    measured).
    """
    density = network.operator.nnz / network.size**2 if sparse.issparse(network.operator) else 0.5
    return max(20.0, network.size / 22 * 0.5 / max(density, 1 / network.size))


def refine(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10) -> Attempt:
    """Solve a large dense network by products with compressed weights, corrected by exact residuals."""
    inputs, residual, products, converged = compressed.refined(network, start_mv, tolerance_mv)
    return Attempt(inputs, residual, products, converged, "refined")


def try_out(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float) -> Attempt:
    """Iterate while that promises an end within the products that factorising would cost (25, for small networks)."""
    most = factorisation_products(network) if network.size >= LARGE else 25.0

    def go_on(history):
        if len(history) < 9:
            return True
        return steps_to_go(history, tolerance_mv, 5) <= most and len(history) < (2000 if network.size >= LARGE else 50)

    rates = RateTable(network.neuron) if network.size >= LARGE else network.neuron.rate_hz
    return _iterated(network, start_mv, tolerance_mv, rates, go_on)[0]


def _mixing(gaps: np.ndarray, gap: np.ndarray) -> np.ndarray:
    gram = gaps @ gaps.T
    gram[np.diag_indices_from(gram)] *= 1 + 1e-14
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    return np.linalg.lstsq(gram / np.outer(scale, scale), gaps @ gap / scale, rcond=1e-14)[0] / scale


def newton(
    network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 60, krylov: bool | None = None
) -> Attempt:
    """Solve ``F(E) = E - E_0 - W r(E) = 0`` by Newton's method with a halving line search.

    The step solves ``(I - W diag(r')) d = -F``: by LU factors up to 3000 neurons, otherwise (or with
    ``krylov=True``) by GMRES, which needs products with W only; its tolerance follows Eisenstat & Walker (1996).
    """
    inputs = np.array(start_mv, dtype=float)
    krylov = network.size > DENSE_LIMIT if krylov is None else krylov
    rates, slopes = network.neuron.rate_and_slope(inputs)
    gap = inputs - network.external_mv - network.product(rates)
    products, forcing, name = 1, 0.1, "krylov" if krylov else "newton"
    factors = None
    for _ in range(limit):
        size = float(np.abs(gap).max())
        if size <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, size, products, True, name)
        if krylov:
            step, used = _krylov_step(network, slopes, gap, forcing)
        else:
            factors = _factors(network, slopes) if factors is None else factors
            step, used = _solved(factors, gap), 1
        moved = _line_search(network, inputs, step, gap) if step is not None and np.isfinite(step).all() else None
        products += used
        if moved is None:
            break
        previous = np.linalg.norm(gap)
        inputs, slopes, gap, halvings = moved
        products += halvings + 1
        if halvings or np.linalg.norm(gap) > 0.1 * previous:
            factors = None  # otherwise the old factors still serve: solving again is cheap, factorising is not
        forcing = float(np.clip(0.5 * (np.linalg.norm(gap) / previous) ** 1.6, 1e-4, 0.1))
    return Attempt(inputs, float(np.abs(gap).max()), products, False, name)


def transient(
    network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 200, first_step: float = 0.5
) -> Attempt:
    """Follow ``dE/dt = -E + E_0 + W r(E)`` implicitly with growing steps (pseudo-transient continuation; Kelley &
    Keyes 1998).

    Where Newton's line search is caught in a hollow of the residual (the ghost of a fold), the flow still leads to
    a state that is stable in time. The step grows as the residual shrinks, and the end is Newton's.
    """
    inputs = np.array(start_mv, dtype=float)
    step_length, products, before = first_step, 0, None
    for _ in range(limit):
        rates, slopes = network.neuron.rate_and_slope(inputs)
        gap = inputs - network.external_mv - network.product(rates)
        products += 1
        size = float(np.abs(gap).max())
        if size <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, size, products, True, "transient")
        norm = float(np.linalg.norm(gap))
        step_length = first_step if before is None else min(max(step_length * before / norm, 0.05), 1e12)
        before = norm
        if network.size > DENSE_LIMIT:
            step, used = _krylov_step(network, slopes, gap, 0.01, 1 + 1 / step_length)
        else:
            step, used = _solved(_factors(network, slopes, 1 + 1 / step_length), gap), 1
        products += used
        if step is None or not np.isfinite(step).all():
            break
        inputs = inputs + step
    return Attempt(inputs, size, products, False, "transient")


def _line_search(network, inputs, step, gap):
    """Halve the step until the residual shrinks; returns (inputs, slopes, residual, halvings), or None when it
    never does.
    """
    before = np.linalg.norm(gap)
    for halvings in range(25):
        share = 0.5**halvings
        trial = inputs + share * step
        rates, slopes = network.neuron.rate_and_slope(trial)
        after = trial - network.external_mv - network.product(rates)
        if np.linalg.norm(after) <= (1 - 1e-4 * share) * before:
            return trial, slopes, after, halvings
    return None


def _factors(network: RateNetwork, slopes: np.ndarray, diagonal: float = 1.0):
    """Return the LU factors of ``diagonal I - W diag(r')``."""
    jacobian = network.dense() * -slopes
    jacobian[np.diag_indices_from(jacobian)] += diagonal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # exactly singular factors are recognised in _solved
        return lu_factor(jacobian, overwrite_a=True, check_finite=False)


def _solved(factors, gap: np.ndarray) -> np.ndarray | None:
    """Return the step against `gap`, or None when the factors are singular."""
    if (np.diagonal(factors[0]) == 0).any():
        return None
    return lu_solve(factors, -gap, check_finite=False)


def _krylov_step(network: RateNetwork, slopes: np.ndarray, gap: np.ndarray, forcing: float, diagonal: float = 1.0):
    return gmres(lambda d: diagonal * d - network.product(slopes * d), -gap, forcing)


def solve_from(
    network: RateNetwork, start_mv: np.ndarray, method: str = "auto", tolerance_mv: float = 1e-10
) -> Attempt:
    """Seek one steady state from `start_mv` (n,); ``auto`` iterates while that is quick.

    Otherwise it goes on with what promises the earliest end: iteration, Anderson mixing, Newton, the implicit flow.

    Raises
    ------
    BadInput
        When there is no such method.
    """
    if method not in METHODS:
        raise BadInput(f"there is no method '{method}'; choose from {', '.join(METHODS)}")
    if method == "iteration":
        return iterate(network, start_mv, tolerance_mv)
    if method in ("newton", "krylov"):
        return newton(network, start_mv, tolerance_mv, krylov=method == "krylov")
    if method == "transient":
        return transient(network, start_mv, tolerance_mv)
    if method == "anderson":
        return anderson(network, start_mv, tolerance_mv)
    large_dense = network.size >= LARGE and not sparse.issparse(network.operator)
    first, *others = (refine, newton, transient) if large_dense else (try_out, anderson, newton, transient)
    last = first(network, start_mv, tolerance_mv)
    for solver in others:
        if last.converged:
            break
        products = last.iterations
        last = solver(network, start_mv if solver is transient else last.input_mv, tolerance_mv)
        last.iterations += products
    return last
