"""Steady states of large dense networks: products with weights of 8 bits do the work, exact ones check and correct.

A product with a large dense matrix costs what reading it costs. With entries of 8 bits instead of 64 that is an eighth,
and the error of a percent does not matter where the product only steers: every correction is measured by an exact
residual, so the answer is exact (iterative refinement; the arrangement is ours).
"""

import numpy as np

from bmi_runtime.analysis.networks.krylov import gmres
from bmi_runtime.analysis.networks.network import RateNetwork, largest_in_rows
from bmi_runtime.analysis.networks.rate_table import RateTable
from bmi_runtime.kernels import network_products as kernels

INNER = 0.02  # a correction is solved to this part of the residual: about the error of the weights
COARSE = 1e-5  # accuracy of the rates in the approach, far below that of the weights
APPROACH = 40  # most steps of the approach
PLAIN = 40  # most plain products of a correction, before GMRES is tried


class CompressedWeights:
    """Weights of 8 bits (a unit per target) and products with them.

    Parameters
    ----------
    weights : (n, n) float64 array
    largest : (n,) float64 array, optional
        The largest absolute value of every row, where it is known already.
    """

    def __init__(self, weights: np.ndarray, largest: np.ndarray | None = None):
        n = weights.shape[0]
        self.codes, self.units = np.empty((n, n), np.int8), np.empty(n)
        kernels.compress(weights, largest_in_rows(weights) if largest is None else largest, self.codes, self.units)
        self._short, self._work = np.empty(n, np.int16), np.empty((2, n))

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return the product with `x` (n,), wrong by about a percent."""
        out = np.empty(x.size)
        kernels.compressed_product(self.codes, self.units, x, self._short, out)
        return out

    def correction(self, slopes: np.ndarray, gap: np.ndarray, relative: float = INNER) -> tuple[np.ndarray | None, int]:
        """Return a solution of ``x = gap + W (slopes x)`` to a few percent, or None, and the products it took."""
        x, (scaled, image) = np.empty(gap.size), self._work
        used = kernels.compressed_solve(
            self.codes, self.units, slopes, gap, relative, PLAIN, scaled, self._short, x, image
        )
        if used > 0:
            return x, used
        x, more = gmres(lambda d: d - self.product(slopes * d), gap, relative)
        return (x if np.isfinite(x).all() else None), more - used


def approach(network: RateNetwork, weights: CompressedWeights, start_mv: np.ndarray) -> tuple[np.ndarray, int]:
    """Iterate ``E <- E_0 + W r(E)`` with the compressed weights until a correction can take over; returns the steps
    too.

    That is when the change has shrunk to a twentieth of the largest so far, or shrinks no more.
    """
    rates, inputs = RateTable(network.neuron, COARSE), np.array(start_mv, dtype=float)
    largest, best, since = 0.0, np.inf, 0
    for count in range(1, APPROACH + 1):
        mapped = network.external_mv + weights.product(rates(inputs))
        change = float(np.abs(mapped - inputs).max())
        inputs, largest = mapped, max(largest, change)
        since = 0 if change < 0.9 * best else since + 1
        best = min(best, change)
        if change <= 0.05 * largest or since > 8:
            return inputs, count
    return inputs, APPROACH


def refined(
    network: RateNetwork, start_mv: np.ndarray, tolerance_mv: float, limit: int = 40
) -> tuple[np.ndarray, float, int, bool]:
    """Approach, then correct by exact residuals; return (inputs, residual, products, converged).

    Each correction is a step of Newton's method whose linear system is solved with the compressed weights. It gives up
    when the residual does not halve.
    """
    weights = CompressedWeights(network.weights, network.largest)
    inputs, products = approach(network, weights, start_mv)
    best, best_size = inputs, np.inf
    for _ in range(limit):
        rates, slopes = network.neuron.rate_and_slope(inputs)
        gap = network.external_mv + network.product(rates) - inputs
        products += 1
        size = float(np.abs(gap).max())
        halved = size <= 0.5 * best_size
        if size < best_size:
            best, best_size = inputs, size
        floor = 64 * np.finfo(float).eps * float(np.abs(inputs).max(initial=1.0))
        if size <= max(tolerance_mv, floor):
            return inputs, size, products, True
        if not halved:
            break
        enough = min(max(INNER, 0.2 * tolerance_mv / size), 0.5)  # the last correction has less to do
        step, used = weights.correction(slopes, gap, enough)
        products += used
        if step is None:
            break
        inputs = inputs + step
    return best, best_size, products, False
