"""One steady state from one start: Anderson-accelerated iteration, Newton's method, Jacobian-free Newton-Krylov."""

import dataclasses

import numpy as np
from scipy.linalg import LinAlgError, lu_factor, lu_solve

from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.errors import BadInput

DENSE_LIMIT = 400  # up to this size one factorisation costs less than the products of a Krylov solve
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
    """Return `tolerance_mv`, or the rounding error of the inputs when that is larger."""
    return max(tolerance_mv, 64 * np.finfo(float).eps * float(np.abs(input_mv).max(initial=1.0)))


def iterate(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 2000) -> Attempt:
    """Iterate ``E <- E_0 + W r(E)`` (the poster's equation 1) until the residual passes, at most `limit` times."""
    inputs = np.array(start_mv, dtype=float)
    for count in range(1, limit + 1):
        mapped = network.mapped(inputs)
        residual = float(np.abs(mapped - inputs).max())
        if residual <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, residual, count, True, "iteration")
        inputs = mapped
    return Attempt(inputs, residual, limit, False, "iteration")


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
    for count in range(1, limit + 1):
        image = network.mapped(inputs)
        gap = image - inputs
        residual = float(np.abs(gap).max())
        if residual < best[0]:
            best = (residual, inputs, count)
        if residual <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, residual, count, True, "anderson")
        if not np.isfinite(residual) or count - best[2] > 12:
            break
        inputs = image
        if last_gap is not None:
            row = (count - 2) % memory
            gaps[row], images[row] = gap - last_gap, image - last_image
            held = min(count - 1, memory)
            inputs = image - _mixing(gaps[:held], gap) @ images[:held]
        last_gap, last_image = gap, image
    return Attempt(best[1], best[0], count, False, "anderson")


def _mixing(gaps: np.ndarray, gap: np.ndarray) -> np.ndarray:
    gram = gaps @ gaps.T
    gram[np.diag_indices_from(gram)] *= 1 + 1e-14
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    return np.linalg.lstsq(gram / np.outer(scale, scale), gaps @ gap / scale, rcond=1e-14)[0] / scale


def newton(
    network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 60, krylov: bool | None = None
) -> Attempt:
    """Solve ``F(E) = E - E_0 - W r(E) = 0`` by Newton's method with a halving line search.

    The step solves ``(I - W diag(r')) d = -F``: by LU factors up to 400 neurons, otherwise (or with
    ``krylov=True``) by GMRES, which needs products with W only; its tolerance follows Eisenstat & Walker (1996).
    """
    inputs = np.array(start_mv, dtype=float)
    krylov = network.size > DENSE_LIMIT if krylov is None else krylov
    rates, slopes = network.neuron.rate_and_slope(inputs)
    gap = inputs - network.external_mv - network.weights @ rates
    products, forcing, name = 1, 0.1, "krylov" if krylov else "newton"
    for _ in range(limit):
        size = float(np.abs(gap).max())
        if size <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, size, products, True, name)
        step, used = _krylov_step(network, slopes, gap, forcing) if krylov else (_dense_step(network, slopes, gap), 1)
        moved = _line_search(network, inputs, step, gap) if step is not None and np.isfinite(step).all() else None
        products += used
        if moved is None:
            break
        previous = np.linalg.norm(gap)
        inputs, slopes, gap, halvings = moved
        products += halvings + 1
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
        gap = inputs - network.external_mv - network.weights @ rates
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
            step, used = _dense_step(network, slopes, gap, 1 + 1 / step_length), 1
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
        after = trial - network.external_mv - network.weights @ rates
        if np.linalg.norm(after) <= (1 - 1e-4 * share) * before:
            return trial, slopes, after, halvings
    return None


def _dense_step(network: RateNetwork, slopes: np.ndarray, gap: np.ndarray, diagonal: float = 1.0) -> np.ndarray | None:
    weights = network.weights.toarray() if network.is_sparse else network.weights
    jacobian = -weights * slopes
    jacobian[np.diag_indices_from(jacobian)] += diagonal
    try:
        return lu_solve(lu_factor(jacobian, check_finite=False), -gap, check_finite=False)
    except (LinAlgError, ValueError):
        return None


def _krylov_step(network: RateNetwork, slopes: np.ndarray, gap: np.ndarray, forcing: float, diagonal: float = 1.0):
    return gmres(lambda d: diagonal * d - network.weights @ (slopes * d), -gap, forcing)


def gmres(apply, right: np.ndarray, relative: float, limit: int = 80) -> tuple[np.ndarray, int]:
    """Solve ``apply(x) = right`` to the relative residual `relative` by GMRES (Saad & Schultz 1986), without
    restarts.

    Returns
    -------
    tuple
        The solution and the number of products.
    """
    size = float(np.linalg.norm(right))
    if size == 0:
        return np.zeros_like(right), 0
    basis = np.empty((limit, right.size))
    basis[0] = right / size
    hessenberg = np.zeros((limit + 1, limit))
    target = np.zeros(limit + 1)
    target[0] = size
    for k in range(limit):
        vector = apply(basis[k])
        stacked = basis[: k + 1]
        for _ in range(2):  # the second pass restores orthogonality lost to rounding
            overlap = stacked @ vector
            vector = vector - overlap @ stacked
            hessenberg[: k + 1, k] += overlap
        hessenberg[k + 1, k] = np.linalg.norm(vector)
        weights = np.linalg.lstsq(hessenberg[: k + 2, : k + 1], target[: k + 2], rcond=None)[0]
        left = np.linalg.norm(hessenberg[: k + 2, : k + 1] @ weights - target[: k + 2])
        if left <= relative * size or hessenberg[k + 1, k] < 1e-14 * size or k == limit - 1:
            return weights @ stacked, k + 1
        basis[k + 1] = vector / hessenberg[k + 1, k]
    raise AssertionError("unreachable")


def solve_from(
    network: RateNetwork, start_mv: np.ndarray, method: str = "auto", tolerance_mv: float = 1e-10
) -> Attempt:
    """Seek one steady state from `start_mv` (n,); ``auto`` tries Anderson mixing, Newton, the flow."""
    if method not in METHODS:
        raise BadInput(f"there is no method '{method}'; choose from {', '.join(METHODS)}")
    if method == "iteration":
        return iterate(network, start_mv, tolerance_mv)
    if method in ("newton", "krylov"):
        return newton(network, start_mv, tolerance_mv, krylov=method == "krylov")
    if method == "transient":
        return transient(network, start_mv, tolerance_mv)
    last = anderson(network, start_mv, tolerance_mv)
    if last.converged or method == "anderson":
        return last
    for solver, start in ((newton, last.input_mv), (transient, start_mv)):
        products = last.iterations
        last = solver(network, start, tolerance_mv)
        last.iterations += products
        if last.converged:
            break
    return last
