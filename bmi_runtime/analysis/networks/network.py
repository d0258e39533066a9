"""A rate network: weights, external input, one kind of neuron; and how it is read from a file."""

import dataclasses
import functools
from typing import Any

import numpy as np
from scipy import sparse

from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.npz import read_npz
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import network_products as kernels
from bmi_runtime.outputs import npz_path, write_npz

LARGE = 200  # from this size on a dense product costs more than the rates do
LARGEST_MV = 1e100  # beyond, squares (norms, products with rates) could overflow
NEURON_KEYS = tuple(field.name for field in dataclasses.fields(LIFNeuron))


@dataclasses.dataclass(frozen=True)
class RateNetwork:
    """Neurons whose mean inputs obey ``E_i = E_0i + sum_j W_ij r(E_j)`` at a steady state.

    Parameters
    ----------
    weights : (n, n) ndarray or sparse matrix
        W in mV per Hz; row = target, column = source.
    external_mv : float or (n,) ndarray
        E_0, the mean input without the network (leak included: ``E_0 = E_L + mu``).
    neuron : LIFNeuron
        The neurons, all alike.
    assumed : dict
        The neuron's parameters that the file it was read from does not give, with the values taken instead.

    Attributes
    ----------
    largest : (n,) ndarray or None
        The largest absolute weight into every neuron (None when the weights are sparse).

    Raises
    ------
    BadInput
        When the weights are not square and finite, or the external input does not fit them.
    """

    weights: Any
    external_mv: Any
    neuron: LIFNeuron = dataclasses.field(default_factory=LIFNeuron)
    assumed: dict[str, float] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    largest: Any = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        weights, largest = _checked(self.weights)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "largest", largest)
        object.__setattr__(self, "external_mv", _checked_external(self.external_mv, weights.shape[0]))

    @property
    def size(self) -> int:
        """The number of neurons."""
        return self.weights.shape[0]

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are stored sparse."""
        return sparse.issparse(self.weights)

    def dense(self) -> np.ndarray:
        """Return the weights as a full (n, n) array (not a copy when they are one)."""
        return self.weights.toarray() if self.is_sparse else self.weights

    def scaled(self, strength: float) -> "RateNetwork":
        """Return the same network with every weight multiplied by `strength`."""
        return RateNetwork(self.weights * strength, self.external_mv, self.neuron)

    @functools.cached_property
    def operator(self) -> Any:
        """The weights in the form that multiplies fastest: sparse when at most a quarter of a larger matrix is not
        0.
        """
        if self.is_sparse or self.size < LARGE:
            return self.weights
        if (
            np.count_nonzero(self.weights[:: max(1, self.size // 50)])
            > 0.3 * self.weights[:: max(1, self.size // 50)].size
        ):
            return self.weights
        room = self.size**2 // 4
        columns, values = np.empty(room, dtype=np.int32), np.empty(room)
        starts = np.empty(self.size + 1, dtype=np.int32)
        count = kernels.row_entries(self.weights, columns, values, starts)
        if count < 0:
            return self.weights
        values.resize(count, refcheck=False)  # in place: a slice would be copied
        columns.resize(count, refcheck=False)
        return sparse.csr_array((values, columns, starts), shape=self.weights.shape)

    def product(self, rates_hz: np.ndarray) -> np.ndarray:
        """Return ``W r``, the input of every neuron from the others (mV)."""
        operator = self.operator
        if self.size < LARGE or sparse.issparse(operator):
            return operator @ rates_hz
        out = np.empty(self.size)
        kernels.product(operator, rates_hz, out)
        return out

    def mapped(self, input_mv: np.ndarray) -> np.ndarray:
        """Return ``E_0 + W r(E)``, the right-hand side of the steady-state equation (mV)."""
        return self.external_mv + self.product(self.neuron.rate_hz(input_mv))


def largest_in_rows(matrix: np.ndarray) -> np.ndarray:
    """Return the largest absolute value (n,) of every row of `matrix` (n, m); not finite where a value is not."""
    largest = np.empty(matrix.shape[0])
    kernels.largest_in_rows(matrix.view(np.int64), largest)
    return largest


def checked_weights(weights) -> np.ndarray | sparse.csr_array:
    """Return square, finite float weights (dense, or CSR when given sparse), or raise BadInput."""
    return _checked(weights)[0]


def _checked(weights) -> tuple[np.ndarray | sparse.csr_array, np.ndarray | None]:
    """Return the checked weights and, when they are dense, the largest absolute value of every row."""
    if sparse.issparse(weights):
        matrix = sparse.csr_array(weights, dtype=float)
        values = matrix.data
    else:
        matrix = values = np.ascontiguousarray(_numbers(weights, "weights"))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BadInput(f"weights must be square (row = target, column = source), not of shape {matrix.shape}")
    if matrix.shape[0] == 0:
        raise BadInput("weights is empty: a network needs at least one neuron")
    largest = None if sparse.issparse(matrix) else largest_in_rows(matrix)
    top = float(np.abs(values).max(initial=0.0) if largest is None else largest.max())
    if not np.isfinite(top):
        _refuse(matrix, np.flatnonzero(~np.isfinite(values)))
    if top * matrix.shape[0] > LARGEST_MV:
        raise BadInput(f"weights reach {top:.3g}, so large that their squares overflow; check their unit (mV per Hz)")
    return matrix, largest


def _refuse(matrix, bad: np.ndarray) -> None:
    """Raise BadInput for the values at the places `bad` that are not finite."""
    if sparse.issparse(matrix):
        coo = matrix.tocoo()
        row, column = coo.row[bad[0]], coo.col[bad[0]]
    else:
        row, column = np.unravel_index(bad[0], matrix.shape)
    raise BadInput(f"weights holds {bad.size} values that are not finite, first at row {row}, column {column}")


def _numbers(values, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{name} must hold real numbers, not {array.dtype}")
    return array.astype(float, copy=False)


def _checked_external(external_mv, size: int) -> np.ndarray:
    external = np.atleast_1d(_numbers(external_mv, "external_mv"))
    if external.shape not in ((1,), (size,)):
        raise BadInput(f"external_mv has shape {external.shape}; give one number or one per neuron ({size})")
    if not np.isfinite(external).all():
        raise BadInput(f"external_mv holds {int((~np.isfinite(external)).sum())} values that are not finite")
    if (top := float(np.abs(external).max())) > LARGEST_MV:
        raise BadInput(f"external_mv reaches {top:.3g}, so large that its square overflows; check its unit (mV)")
    return np.ascontiguousarray(np.broadcast_to(external, (size,)))


def load_network(path) -> RateNetwork:
    """Read a network from an ``.npz`` file.

    The file holds ``weights`` (n x n, mV per Hz, row = target), or its CSR parts ``weights_data``,
    ``weights_indices`` and ``weights_indptr``; ``external_mv``; and any of the neuron's parameters (defaults of
    :class:`LIFNeuron` otherwise, named in ``assumed``).

    Raises
    ------
    BadInput
        When the file cannot be read, lacks something, or holds a network that cannot be.
    """
    data: dict[str, Any] = read_npz(path)
    if "external_mv" not in data:
        raise BadInput(
            f"{path} lacks external_mv (mV, one number or one per neuron); it holds {', '.join(sorted(data))}"
        )
    neuron = LIFNeuron(**{key: data[key] for key in NEURON_KEYS if key in data})
    assumed = {key: getattr(neuron, key) for key in NEURON_KEYS if key not in data}
    return RateNetwork(_weights_of(data, path), data["external_mv"], neuron, assumed)


def _weights_of(data: dict, path):
    if "weights" in data:
        return data["weights"]
    parts = [f"weights_{name}" for name in ("data", "indices", "indptr")]
    if not all(part in data for part in parts):
        raise BadInput(f"{path} lacks weights (n x n, mV per Hz) and the sparse form {', '.join(parts)}")
    values, indices, indptr = (data[part] for part in parts)
    _numbers(values, parts[0])
    for part in parts[1:]:
        if data[part].dtype.kind not in "iu":
            raise BadInput(f"{part} must hold whole numbers, not {data[part].dtype}")
    try:
        matrix = sparse.csr_array((values, indices, indptr), shape=(indptr.size - 1, indptr.size - 1))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise BadInput(f"the sparse weights of {path} are inconsistent: {error}") from None
    return matrix


def save_network(path, network: RateNetwork) -> None:
    """Write `network` to an ``.npz`` file that :func:`load_network` reads."""
    content = {key: getattr(network.neuron, key) for key in NEURON_KEYS}
    if network.is_sparse:
        matrix = network.weights
        content |= {f"weights_{name}": getattr(matrix, name) for name in ("data", "indices", "indptr")}
    else:
        content["weights"] = network.weights
    write_npz(npz_path(path), compressed=True, external_mv=network.external_mv, **content)
