"""One steady state from one start: Anderson-accelerated iteration, Newton's method, Jacobian-free Newton-Krylov."""

import dataclasses
import warnings

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgWarning, lu_factor, lu_solve

from bmi_runtime.analysis.networks.network import RateNetwork
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


class MixedProducts:
    """Products ``W r`` for an iteration that settles: in 32 bits around a base at which the product is exact.

    ``W r = W r_base + W (r - r_base)``: as r settles the second term shrinks, and its 32-bit error with it. Half the
    memory traffic, which is what a dense product costs. Ours.
    """

    def __init__(self, network: RateNetwork):
        self._weights = network.weights
        self._low = network.weights.astype(np.float32)
        self._base: tuple[np.ndarray, np.ndarray] | None = None
        self.error_mv = 0.0

    def exact(self, rates: np.ndarray) -> np.ndarray:
        """Return the product in 64 bits, and take `rates` as the base."""
        product = self._weights @ rates
        self._base = rates, product
        self.error_mv = 0.0
        return product

    def near(self, rates: np.ndarray) -> np.ndarray:
        """Return the product around the base; ``error_mv`` is what 32 bits may have cost."""
        if self._base is None:
            return self.exact(rates)
        moved = self._low @ (rates - self._base[0]).astype(np.float32)
        self.error_mv = 1e-5 * float(np.abs(moved).max())
        return self._base[1] + moved


def settle(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float = 1e-10, limit: int = 2000) -> Attempt:
    """Iterate like :func:`iterate`, dense products in 32 bits until the last digits; the residual is checked in 64."""
    if sparse.issparse(network.operator):
        return iterate(network, start_mv, tolerance_mv, limit)
    products = MixedProducts(network)
    inputs = np.array(start_mv, dtype=float)
    residual, count = np.inf, 0
    while count < limit:
        count += 1
        rates = network.neuron.rate_hz(inputs)
        mapped = network.external_mv + products.near(rates)
        residual = float(np.abs(mapped - inputs).max())
        wanted = tolerance_at(network, inputs, tolerance_mv)
        if products.error_mv > 0 and residual < max(3 * products.error_mv, wanted):
            mapped = network.external_mv + products.exact(rates)
            residual = float(np.abs(mapped - inputs).max())
        if residual <= wanted and products.error_mv == 0:
            return Attempt(inputs, residual, count, True, "iteration")
        if not np.isfinite(residual):
            break
        inputs = mapped
    return Attempt(inputs, residual, count, False, "iteration")


def try_out(network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float) -> tuple[Attempt, float]:
    """Iterate a little; returns where that led and how many more steps it promises (going on while those are few)."""
    inputs = np.array(start_mv, dtype=float)
    history: list[float] = []
    left = np.inf
    while len(history) < 50:
        mapped = network.mapped(inputs)
        history.append(float(np.abs(mapped - inputs).max()))
        if history[-1] <= tolerance_at(network, inputs, tolerance_mv):
            return Attempt(inputs, history[-1], len(history), True, "iteration"), 0.0
        inputs = mapped
        if len(history) >= 9:
            left = steps_to_go(history, tolerance_mv, 5)
            if left > 25:
                break
    return Attempt(inputs, history[-1], len(history), False, "iteration"), left


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
    gap = inputs - network.external_mv - network.operator @ rates
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
        gap = inputs - network.external_mv - network.operator @ rates
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
        after = trial - network.external_mv - network.operator @ rates
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
    return gmres(lambda d: diagonal * d - network.operator @ (slopes * d), -gap, forcing)


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
    """Seek one steady state from `start_mv` (n,); ``auto`` iterates while that is quick.

    Otherwise it goes on with what promises the earliest end: iteration, Anderson mixing, Newton, the implicit flow.
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
    last, left = try_out(network, start_mv, tolerance_mv)
    cheap = settle if network.size >= 200 and left <= factorisation_products(network) else anderson
    for solver in (cheap, newton, transient):
        if last.converged:
            break
        products = last.iterations
        last = solver(network, start_mv if solver is transient else last.input_mv, tolerance_mv)
        last.iterations += products
    return last
