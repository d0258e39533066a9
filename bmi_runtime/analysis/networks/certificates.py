"""What can be said about uniqueness and stability: contraction constants, an enclosing box, the spectrum at a
solution.
"""

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from bmi_runtime.analysis.networks.network import RateNetwork

DENSE_SPECTRUM = 600  # up to this size all eigenvalues are computed


def weight_norms(weights) -> dict[str, float]:
    """Return the 1- (largest column sum), 2- (largest singular value) and infinity- (largest row sum) norm of
    `weights`.
    """
    magnitude = abs(weights)
    columns = np.asarray(magnitude.sum(axis=0)).ravel()
    rows = np.asarray(magnitude.sum(axis=1)).ravel()
    return {"1": float(columns.max()), "2": largest_singular_value(weights), "inf": float(rows.max())}


def largest_singular_value(weights) -> float:
    """Return the 2-norm: by a full decomposition up to 600 neurons, beyond that by Lanczos steps (from below, to
    1e-6).
    """
    size = weights.shape[0]
    if size <= DENSE_SPECTRUM:
        dense = weights.toarray() if sparse.issparse(weights) else weights
        return float(np.linalg.norm(dense, 2))
    transposed = weights.T.tocsr() if sparse.issparse(weights) else weights.T
    operator = sparse_linalg.LinearOperator((size, size), matvec=lambda x: transposed @ (weights @ x), dtype=float)
    start = np.random.default_rng(0).standard_normal(size)
    value = sparse_linalg.eigsh(operator, k=1, which="LA", tol=1e-6, v0=start, return_eigenvectors=False)[0]
    return float(np.sqrt(max(value, 0.0)))


def contraction_constants(network: RateNetwork) -> dict[str, float]:
    """Return ``max r' * |W|`` in the 1, 2 and infinity norms.

    Below 1 in any one of them, ``E -> E_0 + W r(E)`` is a contraction: one steady state, reached from everywhere
    (Banach). A value of 1 or more in every norm proves nothing.
    """
    steepest = network.neuron.steepest[1]
    return {name: steepest * norm for name, norm in weight_norms(network.weights).items()}


@dataclasses.dataclass
class Box:
    """Bounds (mV) between which every steady state must lie, and the widest gap that is left."""

    low_mv: np.ndarray
    high_mv: np.ndarray
    width_mv: float
    iterations: int


def enclosing_box(network: RateNetwork, limit: int = 1000, enough_mv: float = 1e-9) -> Box:
    """Shrink a box that holds every steady state until it stands still.

    The rate rises with input, so with ``W = W+ - W-`` (both non-negative) any steady state between `low` and `high`
    also lies between ``E_0 + W+ r(low) - W- r(high)`` and ``E_0 + W+ r(high) - W- r(low)``. A box of no width
    proves uniqueness (to rounding) where the norms cannot: a purely excitatory network has one steady state exactly
    when its lowest and highest coincide. Ours, from the standard theory of mixed-monotone maps.
    """
    weights, size = network.weights, network.size
    if sparse.issparse(weights):
        positive, negative = weights.maximum(0).tocsr(), (-weights).maximum(0).tocsr()
    else:
        positive, negative = np.maximum(weights, 0), np.maximum(-weights, 0)
    high_rate = rate_ceiling(network, positive)
    if not np.isfinite(high_rate).all():
        return Box(np.full(size, -np.inf), np.full(size, np.inf), np.inf, 0)
    low_rate = np.zeros(size)
    width, count, last = np.inf, 0, (0.0, 0.0)
    while count < limit:
        count += 1
        low = network.external_mv + positive @ low_rate - negative @ high_rate
        high = network.external_mv + positive @ high_rate - negative @ low_rate
        width = float((high - low).max())
        moved = np.inf if count == 1 else float(max((low - last[0]).max(), (last[1] - high).max()))
        if width <= enough_mv or moved <= enough_mv:
            break
        last = low, high
        low_rate, high_rate = network.neuron.rate_hz(low), network.neuron.rate_hz(high)
    return Box(low, high, width, count)


def rate_ceiling(network: RateNetwork, positive) -> np.ndarray:
    """Return rates (n,) in Hz that no steady state exceeds, given the `positive` part of the weights.

    That is saturation, or, without refractory time, ``r(E) <= a + b max(E - v_reset, 0)`` with b the slope far above
    threshold, carried through the network: a finite bound as long as its excitation could not sustain itself without
    end (spectral radius of ``b W+`` below 1), infinite otherwise. Ours.
    """
    neuron, size = network.neuron, network.size
    if neuron.refractory_ms > 0:
        return np.full(size, neuron.saturation_hz)
    steep = 1e3 / (neuron.tau_ms * (neuron.v_threshold_mv - neuron.v_reset_mv))
    above = np.concatenate([neuron.sigma_mv * np.linspace(-8, 8, 4001), np.geomspace(1, 1e4, 1001) * neuron.sigma_mv])
    inputs = neuron.v_threshold_mv + above
    above_line = neuron.rate_hz(inputs) - steep * np.maximum(inputs - neuron.v_reset_mv, 0)
    offset = 1.01 * max(float(above_line.max()), 0.0) + 1e-3
    start = np.maximum(network.external_mv + offset * np.asarray(positive.sum(axis=1)).ravel() - neuron.v_reset_mv, 0.0)
    excess = start
    for _ in range(1000):
        excess = start + steep * (positive @ excess)
        bound = 1.01 * excess + 1.0
        if (
            start + steep * (positive @ bound) <= (1 - 1e-6) * bound
        ).all():  # so the radius is below 1, and this a bound
            return offset + steep * bound
        if excess.max() > 1e12:
            break
    return np.full(size, np.inf)


def contraction_in_box(network: RateNetwork, box: Box) -> dict[str, float]:
    """Return the norms of ``|W| diag(max r' inside the box)``: contraction constants over the states that are
    possible at all.
    """
    slopes = steepest_between(network, box)
    scaled = network.weights @ sparse.diags_array(slopes) if network.is_sparse else network.weights * slopes
    return weight_norms(scaled)


def steepest_between(network: RateNetwork, box: Box) -> np.ndarray:
    """Return each neuron's largest slope dr/dE (Hz per mV) between its bounds; the slope has one maximum."""
    where, value = network.neuron.steepest
    slopes = np.full(network.size, value)
    outside = (box.high_mv < where) | (box.low_mv > where)
    nearest = np.where(box.high_mv < where, box.high_mv, box.low_mv)
    if outside.any():
        slopes[outside] = network.neuron.rate_and_slope(nearest[outside])[1]
    return slopes


@dataclasses.dataclass
class Spectrum:
    """The linearised network ``W diag(r')`` at a steady state.

    ``radius`` below 1 makes the iteration return after a small push; ``leading_real`` below 1 does so for ``T dE/dt
    = -E + E_0 + W r(E)``. Not-a-number says that the eigenvalue iteration did not converge. ``index``, where all
    eigenvalues are known, is the sign of ``det(I - W diag(r'))`` (None too close to 0 to tell).
    """

    radius: float
    leading_real: float
    index: int | None = None


def spectrum_at(network: RateNetwork, input_mv: np.ndarray) -> Spectrum:
    """Return the spectral radius and the largest real part of the eigenvalues of ``W diag(r'(E))``."""
    slopes = network.neuron.rate_and_slope(input_mv)[1]
    if network.size <= DENSE_SPECTRUM:
        values = np.linalg.eigvals(network.dense() * slopes)
        above = int(((values.imag == 0) & (values.real > 1)).sum())  # complex ones come in pairs: no sign
        index = (-1) ** above if np.abs(values - 1).min() > 1e-6 else None
        return Spectrum(float(np.abs(values).max()), float(values.real.max()), index)
    operator = sparse_linalg.LinearOperator(
        network.weights.shape, matvec=lambda x: network.operator @ (slopes * x.ravel()), dtype=float
    )
    radius = _extreme(operator, "LM", np.abs)
    leading = _extreme(operator, "LR", np.real)
    return Spectrum(radius, leading)


def _extreme(operator, which: str, part) -> float:
    start = np.random.default_rng(0).standard_normal(operator.shape[0])
    try:
        values = sparse_linalg.eigs(
            operator, k=1, which=which, ncv=48, tol=1e-5, maxiter=60, v0=start, return_eigenvectors=False
        )
    except sparse_linalg.ArpackNoConvergence as failure:
        values = failure.eigenvalues
    return float(part(values).max()) if len(values) else float("nan")
