"""Rates and covariances of a network whose noise is its own: mean, variance and spectrum of every input, in a state.

Three things separate the rate theory ``E = E_0 + W r(E)`` from the spikes of the same network, and all follow here
from the state itself: spikes arrive as finite jumps of ``W / tau`` (kept, not replaced by a diffusion:
:mod:`.first_passage`); their trains are more regular than Poisson's and correlated through the network, so the input's
spectrum is

    P(w) = W C(w) W',      C(w) = (I - G(w))^-1 D(w) (I - G(w))^-*,

with ``G_ij`` the response of neuron i to modulated spikes of j (linear response: Lindner, Doiron & Longtin 2005;
Trousdale, Hu, Shea-Brown & Josic 2012), and D what is left of the spectrum S of a train under Poisson input when that
input's own part is taken out, ``D_i = S_i - sum_j |G_ij|^2 r_j``: the noise comes from the network, and would be
counted twice. The difference of P from Poisson input moves the mean rate in second order (ours). C at low frequency is
the covariance of spike counts in long windows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.networks.input_classes import InputClasses, Responses, responses
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.errors import BadInput, BmiError

DENSE = 1500  # up to this size covariances are full matrices
PROBES = 4  # random vectors that stand for the diagonal of a large covariance
FREQUENCIES_HZ = np.concatenate([[0.05], np.geomspace(1.0, 100.0, 11)])
TOLERANCE_HZ = 1e-6
SETTLED = 1e-3  # change of the correction, of the mean rate
REGULAR_CV2 = 0.1  # a neuron that fires like a clock follows no expansion in the spectrum of its input
LARGEST_JUMP = 100.0  # from reset to threshold: the grid below would be as many times as long
LARGEST_SHIFT = 0.5  # of the rate: beyond, second order is not enough


@dataclasses.dataclass
class SelfConsistent:
    """A state of the network with its own noise.

    Attributes
    ----------
    rates_hz : (n,) ndarray
    shot_rates_hz : (n,) ndarray
        With Poisson spikes of the same rates as input: what the spectrum is a correction of.
    cv2 : (n,) ndarray
        Squared coefficient of variation of the intervals (of the neuron under Poisson input).
    covariance_hz : (n, n) ndarray or None
        Covariance of spike counts in long windows, per second; None in large networks.
    mean_covariance_hz, mean_fano : float
        Over pairs, and the sum of variances over that of rates.
    orders_hz : dict or None
        Mean covariance over pairs by motif: single connections, chains of two, common input of two, all paths.
    residual_hz : float
    corrected : bool
        False where the correction by the spectrum was too large to be believed.
    largest_jump : float
        Of the voltage upwards by one spike, in distances from reset to threshold.
    """

    rates_hz: np.ndarray
    shot_rates_hz: np.ndarray
    cv2: np.ndarray
    covariance_hz: np.ndarray | None
    mean_covariance_hz: float
    mean_fano: float
    orders_hz: dict[str, float] | None
    residual_hz: float
    corrected: bool
    largest_jump: float


def solve_self_consistent(
    network: RateNetwork,
    start_hz: np.ndarray,
    delay_s: float = 1.5e-3,
    rounds: int = 10,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> SelfConsistent:
    """Return the state with its own noise that the iteration reaches from `start_hz`.

    Parameters
    ----------
    network : RateNetwork
    start_hz : (n,) ndarray
        Rates to start from, such as those of a state of the rate theory.
    delay_s : float
        Of every connection.
    rounds : int
        How often, at most, the spectrum is recomputed.
    seed : int
        Of the probes in a large network.

    Raises
    ------
    BmiError
        When the state cannot be reached, or is unstable; BadInput for a network of one neuron.
    """
    if network.size < 2:
        raise BadInput("covariances are of pairs: a network of one neuron has none")
    classes = InputClasses.of(network)
    jumps = classes.jumps_mv / (network.neuron.v_threshold_mv - network.neuron.v_reset_mv)
    if np.abs(jumps).max() > LARGEST_JUMP:
        raise BadInput(
            f"one spike moves the voltage by {np.abs(jumps).max():.3g} times the distance from reset to threshold: "
            f"at most {LARGEST_JUMP:g} is followed (are the weights in mV per Hz?)"
        )
    largest = float(max(jumps.max(), 0.0))
    rng = np.random.default_rng(seed)
    shift = np.zeros(network.size)
    rates = np.maximum(start_hz, 1e-3)
    corrected = True
    for _ in range(rounds):
        rates, found, residual = _rates(classes, rates, shift)
        wanted = _shift(classes, found, rates, delay_s, rng)
        advance()
        corrected = bool(np.abs(wanted).sum() < LARGEST_SHIFT * found.rates_hz.sum())
        if not corrected:
            shift = np.zeros(network.size)
            break
        settled = np.abs(wanted - shift).mean() < SETTLED * rates.mean()
        shift = wanted
        if settled:
            break
    rates, found, residual = _rates(classes, rates, shift)
    slow = responses(classes, rates, FREQUENCIES_HZ[:1])
    covariance, mean, fano = _covariance(classes, slow, rates, rng)
    orders = None if covariance is None else _orders(classes, slow, rates) | {"all": mean}
    return SelfConsistent(
        rates, found.rates_hz, found.cv2, covariance, mean, fano, orders, residual, corrected, largest
    )  # fmt: skip


def _rates(classes: InputClasses, rates: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, Responses, float]:
    """Return rates with ``r = r_shot(inputs of r) + shift``, by Newton's method with shortened steps."""
    last, step = np.inf, np.zeros_like(rates)
    found = responses(classes, rates)
    for _ in range(60):
        gap = np.maximum(found.rates_hz + shift, 0.0) - rates
        size = float(np.abs(gap).max())
        if size < TOLERANCE_HZ:
            return rates, found, size
        if size > last:  # back half of the step that made it worse
            step = 0.5 * step
            rates = np.maximum(rates - step, 0.0)
        else:
            last = size
            step = classes.solved(found.gains, gap)
            rates = np.maximum(rates + step, 0.0)
        found = responses(classes, rates)
    gap = np.maximum(found.rates_hz + shift, 0.0) - rates
    if np.abs(gap).max() > 1e-2 * max(1.0, rates.mean()):
        raise BmiError(f"no state with its own noise was reached (rates still move by {np.abs(gap).max():.2g} Hz)")
    return rates, found, float(np.abs(gap).max())


def _shift(classes: InputClasses, found: Responses, rates: np.ndarray, delay_s: float, rng) -> np.ndarray:
    """Return how far (n,) the spectrum of the input moves every rate from that under Poisson input (Hz)."""
    whole = responses(classes, rates, FREQUENCIES_HZ, second_order=True)
    poisson = classes.squared @ rates
    moved = np.empty((len(FREQUENCIES_HZ), classes.size))
    for k, frequency in enumerate(FREQUENCIES_HZ):
        gains = whole.at_gains[k] * np.exp(-2j * np.pi * frequency * delay_s)
        spectrum = classes.input_spectrum(gains, classes.private(gains, whole.at_spectrum[k], rates), rng)
        moved[k] = whole.at_second[k] * (spectrum - poisson)
    shift = 2 * np.trapezoid(moved, FREQUENCIES_HZ, axis=0)
    shift = np.where(found.cv2 < REGULAR_CV2, 0.0, shift)
    return np.maximum(shift, -0.9 * found.rates_hz)


def _covariance(classes: InputClasses, slow: Responses, rates: np.ndarray, rng: np.random.Generator):
    """Return the count covariance per second (None if large), its mean over pairs and the mean Fano factor."""
    gains = slow.at_gains[0].real
    train = classes.private(gains, slow.at_spectrum[0], rates)
    n = classes.size
    if n <= DENSE:
        through = np.linalg.inv(np.eye(n) - classes.matrix(gains))
        covariance = through * train @ through.T
        total, diagonal = covariance.sum(), np.diag(covariance)
        return covariance, float((total - diagonal.sum()) / (n * (n - 1))), float(diagonal.sum() / rates.sum())
    from_all = classes.solved(gains, np.ones(n), transposed=True)
    total = float(train @ from_all**2)
    probes = [classes.solved(gains, np.sqrt(train) * rng.choice([-1.0, 1.0], n)) ** 2 for _ in range(PROBES)]
    diagonal = np.mean(probes, axis=0)
    mean = (total - diagonal.sum()) / (n * (n - 1))
    return None, float(mean), float(diagonal.sum() / rates.sum())


def _orders(classes: InputClasses, slow: Responses, rates: np.ndarray) -> dict[str, float]:
    """Return the mean covariance over pairs that motifs of two neurons and of three carry, each by itself (Hz).

    ``C = sum_ab G^a D G'^b``: first order are connections, second order chains (a or b is 2) and common input (both 1);
    their frequencies are the chain and divergent statistics of the graph (Hu, Trousdale, Josic & Shea-Brown 2013).
    """
    gains = slow.at_gains[0].real
    train, matrix, n = classes.private(gains, slow.at_spectrum[0], rates), classes.matrix(gains), classes.size

    def over_pairs(part: np.ndarray) -> float:
        return float((part.sum() - np.trace(part)) / (n * (n - 1)))

    return {
        "connections": 2 * over_pairs(matrix * train),
        "chains": 2 * over_pairs(matrix @ (matrix * train)),
        "common_input": over_pairs((matrix * train) @ matrix.T),
    }
