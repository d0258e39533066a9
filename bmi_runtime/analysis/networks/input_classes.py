"""The inputs of a network's neurons sorted by size of jump, and the responses of all neurons to them.

Networks have few different weights, or weights that can be shared out between neighbours of a few sizes: then the input
of a neuron is a few Poisson rates, and its responses are functions of as few numbers, made once on Chebyshev points and
interpolated when neurons are many and alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from bmi_runtime.analysis.networks.first_passage import FirstPassage, extrapolated_rate
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.errors import BadInput, BmiError

DISTINCT = 3  # up to as many different weights are kept as they are
NODES = 4  # sizes per sign between which all others are shared out
POINTS = 10  # of interpolation per class
DENSE = 1500
PROBES = 2
EXACT, PROBED = 1e-6, 1e-3  # residuals; random vectors leave more than a thousandth
STATIC = np.zeros(0)  # no frequencies


@dataclasses.dataclass
class InputClasses:
    """The weights as ``W = sum_q jump_q A_q`` (times tau), A_q sparse (n, n) of numbers of connections of size q.

    Attributes
    ----------
    neuron : LIFNeuron
    external_mv : (n,) ndarray
    jumps_mv : (q,) ndarray
        Signed size of the voltage jump of each class.
    connections : list of sparse array
        A_q.
    squared : sparse array
        Squares of the weights, (mV per Hz)^2.
    """

    neuron: LIFNeuron
    external_mv: np.ndarray
    jumps_mv: np.ndarray
    connections: list[sparse.csr_array]
    squared: sparse.csr_array

    @classmethod
    def of(cls, network: RateNetwork) -> InputClasses:
        """Return the classes of a network.

        Raises
        ------
        BadInput
            When no neuron is connected, or a connection is larger than the distance from reset to threshold allows.
        """
        weights = sparse.csr_array(network.weights)
        weights.eliminate_zeros()
        if not weights.nnz:
            raise BadInput("the network has no connections, so it has no noise of its own")
        jumps = weights.data / (network.neuron.tau_ms / 1e3)
        sizes = np.unique(np.round(jumps, 9))
        if len(sizes) > DISTINCT:
            signs = [jumps[jumps * sign > 0] for sign in (1, -1)]
            sizes = np.concatenate(
                [np.unique(np.linspace(part.min(), part.max(), NODES)) for part in signs if part.size]
            )
        parts = [np.zeros_like(jumps) for _ in sizes]
        _share_out(jumps, np.sort(sizes), parts)
        shape = weights.shape
        made = [sparse.csr_array((part, weights.indices, weights.indptr), shape=shape, copy=True) for part in parts]
        for matrix in made:
            matrix.eliminate_zeros()  # in place: hence the copies
        squared = sparse.csr_array((weights.data**2, weights.indices, weights.indptr), shape=shape)
        return cls(network.neuron, network.external_mv, np.sort(sizes), made, squared)

    @property
    def size(self) -> int:
        """The number of neurons."""
        return len(self.external_mv)

    def inputs(self, rates: np.ndarray) -> np.ndarray:
        """Return the rates (n, q) in Hz at which jumps of each class arrive."""
        return np.stack([matrix @ rates for matrix in self.connections], axis=1)

    def matrix(self, gains: np.ndarray) -> np.ndarray:
        """Return G (n, n) full: the response of every neuron to spikes of every other, from its `gains` (n, q)."""
        return sum(matrix.multiply(gains[:, q, None]).toarray() for q, matrix in enumerate(self.connections))

    def passed_on(self, gains: np.ndarray, x: np.ndarray, transposed: bool = False) -> np.ndarray:
        """Return ``G x`` (or with G transposed) for x (n,), which may be complex, without forming G."""
        out = np.zeros(self.size, np.result_type(gains, x))
        for q, matrix in enumerate(self.connections):
            if transposed:
                out += _product(matrix.T, gains[:, q] * x)
            else:
                out += gains[:, q] * _product(matrix, x)
        return out

    def solved(self, gains: np.ndarray, right: np.ndarray, transposed: bool = False) -> np.ndarray:
        """Return ``(I - G)^-1 right`` (or with G transposed)."""
        if self.size <= DENSE:
            whole = np.eye(self.size) - self.matrix(gains)
            return np.linalg.solve(whole.T if transposed else whole, right)
        return _krylov(lambda x: self.passed_on(gains, x, transposed), right, EXACT)

    def private(self, gains: np.ndarray, spectrum: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return the part (n,) of every train's `spectrum` that Poisson input at the `rates` does not explain."""
        explained = np.zeros(self.size)
        for q, matrix in enumerate(self.connections):
            explained += np.abs(gains[:, q]) ** 2 * (matrix.multiply(matrix) @ rates)
        return np.maximum(spectrum - explained, 0.02 * spectrum)

    def input_spectrum(self, gains: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the spectrum (n,) of every neuron's input, (mV per Hz)^2 Hz: the diagonal of ``W C W'``.

        `gains` (n, q) complex are the responses at one frequency, `train` (n,) the spectra of the trains. Large
        networks: probes with random signs stand for the diagonal, which is then smoothed over neurons by taking its
        ratio to Poisson input as common to all.
        """
        tau_s = self.neuron.tau_ms / 1e3
        if self.size <= DENSE:
            through = np.linalg.inv(np.eye(self.size) - self.matrix(gains))
            weights = tau_s * sum(jump * matrix.toarray() for jump, matrix in zip(self.jumps_mv, self.connections))
            return (np.abs(weights @ through) ** 2) @ train
        power = np.zeros(self.size)
        weights = np.broadcast_to(tau_s * self.jumps_mv, gains.shape)
        for _ in range(PROBES):
            signs = rng.choice([-1.0, 1.0], self.size)
            right = (np.sqrt(train) * signs).astype(complex)
            through = _krylov(lambda x: self.passed_on(gains, x), right, PROBED)
            power += np.abs(self.passed_on(weights, through)) ** 2 / PROBES
        poisson = self.squared @ train
        return poisson * power.sum() / poisson.sum()


def _share_out(jumps: np.ndarray, sizes: np.ndarray, parts: list[np.ndarray]) -> None:
    """Write into each of `parts` the share of every jump that goes to that size; the mean jump is kept."""
    right = np.clip(np.searchsorted(sizes, jumps), 0, len(sizes) - 1)
    left = np.maximum(right - 1, 0)
    same = (sizes[left] > 0) == (sizes[right] > 0)
    left = np.where(same & (jumps < sizes[right]), left, right)
    gap = sizes[right] - sizes[left]
    upper = np.where(gap > 0, (jumps - sizes[left]) / np.where(gap > 0, gap, 1.0), 1.0)
    for q in range(len(sizes)):
        parts[q] += np.where(right == q, upper, 0.0) + np.where((left == q) & (left != right), 1 - upper, 0.0)


def _product(matrix, x: np.ndarray) -> np.ndarray:
    """Return a real sparse matrix times x (n,): a complex x as two real columns, so that no complex matrix is made."""
    if not np.iscomplexobj(x):
        return matrix @ x
    return np.ascontiguousarray(matrix @ np.ascontiguousarray(x).view(float).reshape(-1, 2)).view(complex).ravel()


def _krylov(product, right: np.ndarray, accuracy: float) -> np.ndarray:
    """Return ``(I - G)^-1 right`` by GMRES, to a relative residual."""
    operator = sparse_linalg.LinearOperator((right.size,) * 2, matvec=lambda x: x - product(x), dtype=right.dtype)
    found, failed = sparse_linalg.gmres(operator, right, rtol=accuracy, restart=40, maxiter=20)
    if failed:
        raise BmiError("the linear response of the network does not converge: its state is close to unstable")
    return found


@dataclasses.dataclass
class Responses:
    """What all neurons do at their inputs: arrays (n,), gains (n, q); at frequencies a leading axis."""

    rates_hz: np.ndarray
    cv2: np.ndarray
    gains: np.ndarray
    at_gains: np.ndarray
    at_spectrum: np.ndarray
    at_second: np.ndarray


def responses(
    classes: InputClasses, rates: np.ndarray, frequencies_hz: np.ndarray = STATIC, second_order: bool = False
) -> Responses:
    """Return the responses of all neurons to inputs at the `rates` (n,) of the network's neurons."""
    inputs = classes.inputs(rates)
    alike = np.ptp(classes.external_mv) == 0 and inputs.shape[1] <= 2
    if alike and classes.size > POINTS ** inputs.shape[1]:
        table = _interpolated(classes, inputs, frequencies_hz, second_order)
    else:
        rows = zip(classes.external_mv, inputs)
        table = np.array([_one(classes, e, row, frequencies_hz, second_order) for e, row in rows])
    return _unpacked(table, inputs.shape[1], len(frequencies_hz))


def _one(classes: InputClasses, external_mv: float, inputs: np.ndarray, frequencies_hz, second_order) -> np.ndarray:
    """Return all numbers of one neuron in a row (complex)."""
    found = FirstPassage(classes.neuron, external_mv, classes.jumps_mv, np.maximum(inputs, 0.0))
    row: list[complex] = [extrapolated_rate(found), found.cv2, *(found.gain(jump) for jump in classes.jumps_mv)]
    for frequency in frequencies_hz:
        at = found.at(2 * np.pi * frequency)
        row += [at.gain(jump) for jump in classes.jumps_mv]
        row += [at.spectrum(), at.second_order() if second_order else 0.0]
    return np.array(row, complex)


def _unpacked(table: np.ndarray, q: int, frequencies: int) -> Responses:
    blocks = table[:, 2 + q :].reshape(len(table), frequencies, q + 2)
    first = table[:, : 2 + q].real
    spectrum, second = (blocks[:, :, q + k].real.T for k in (0, 1))
    gains = blocks[:, :, :q].transpose(1, 0, 2)
    return Responses(first[:, 0], first[:, 1], first[:, 2:], gains, np.maximum(spectrum, 0.0), second)


def _interpolated(classes: InputClasses, inputs: np.ndarray, frequencies_hz, second_order) -> np.ndarray:
    """Return the rows of all neurons from a tensor of Chebyshev points over the range of their inputs."""
    nodes = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    half = np.maximum(0.5 * (high - low), 1e-9 * (1 + high))
    axes = [low[q] + half[q] * (1 + nodes) for q in range(inputs.shape[1])]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, inputs.shape[1])
    external = float(classes.external_mv[0])
    rows = np.array([_one(classes, external, row, frequencies_hz, second_order) for row in grid])
    shaped = rows.reshape(*(POINTS,) * inputs.shape[1], -1)
    order = np.arange(POINTS)
    transform = 2.0 / POINTS * np.cos(np.pi * np.outer(order, order + 0.5) / POINTS)
    transform[0] *= 0.5
    out = np.empty((len(inputs), rows.shape[1]), complex)
    for begin in range(0, len(inputs), 4096):
        part = inputs[begin : begin + 4096]
        angle = np.arccos(np.clip((part - low) / half - 1, -1, 1))
        bases = [np.cos(angle[:, q, None] * order) @ transform for q in range(part.shape[1])]
        whole = bases[0] if len(bases) == 1 else (bases[0][:, :, None] * bases[1][:, None, :]).reshape(len(part), -1)
        out[begin : begin + len(part)] = whole @ shaped.reshape(-1, rows.shape[1])
    return out
