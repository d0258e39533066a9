"""The f-I curve over the range of inputs of the moment, as one polynomial: what many neurons alike make cheap."""

import functools

import numpy as np

from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.kernels import network_products as kernels

DEGREE = 64
ACCURACY = 1e-14  # good to rounding
MARGIN = 0.1  # by how much of itself the range is widened


@functools.cache
def _transform() -> tuple[np.ndarray, np.ndarray]:
    """Return the Chebyshev points (m,) and the matrix (m, m) that makes coefficients of values there."""
    angles = np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1)
    matrix = 2.0 / (DEGREE + 1) * np.cos(np.outer(np.arange(DEGREE + 1), angles))
    matrix[0] *= 0.5
    return np.cos(angles), matrix


class RateTable:
    """Rates r(E) of many like neurons by a polynomial of degree 64 (at most) over the range of their inputs.

    The polynomial is made again when the inputs leave its range; where it would not be good to rounding (a range too
    wide for the degree) the rates are computed one by one. Its error, about ten times `accuracy` of the largest rate,
    is for whoever calls to check: a solution found with it is confirmed with ``neuron.rate_hz``.

    Parameters
    ----------
    neuron : LIFNeuron
    accuracy : float
        The last coefficients must be smaller than this part of the largest one.
    """

    def __init__(self, neuron: LIFNeuron, accuracy: float = ACCURACY):
        self.neuron, self.accuracy = neuron, accuracy
        self._middle, self._half = 0.0, -1.0
        self._coefficients: np.ndarray | None = None
        self._work = np.empty((2, 0))

    def __call__(self, input_mv: np.ndarray) -> np.ndarray:
        """Return r(E) in Hz at the inputs (n,) in mV."""
        low, high = float(input_mv.min()), float(input_mv.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            return self.neuron.rate_hz(input_mv)
        if low < self._middle - self._half or high > self._middle + self._half:
            self._make(low, high)
        if self._coefficients is None:
            return self.neuron.rate_hz(input_mv)
        if self._work.shape[1] != input_mv.size:
            self._work = np.empty((2, input_mv.size))
        out = np.empty(input_mv.size)
        kernels.chebyshev_sum(self._coefficients, self._middle, self._half, input_mv, *self._work, out)
        return out

    def _make(self, low: float, high: float) -> None:
        points, matrix = _transform()
        self._middle = 0.5 * (low + high)
        self._half = (0.5 + MARGIN) * (high - low) + 1e-6 * (1 + abs(self._middle))
        coefficients = matrix @ self.neuron.rate_hz(self._middle + self._half * points)
        good = np.abs(coefficients[-6:]).max() <= self.accuracy * np.abs(coefficients).max()
        worth = np.flatnonzero(np.abs(coefficients) > 1e-3 * self.accuracy * np.abs(coefficients).max())
        self._coefficients = coefficients[: worth.max(initial=0) + 1] if good else None  # all 0 where no neuron fires
