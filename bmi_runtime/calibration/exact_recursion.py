"""The exact covariances: the filter's own recursion along the actual regressors, brought to its periodic steady state.

The averaged closed forms treat each bin as the average bin. Here nothing is averaged: the covariances run along the
design's states, which are taken to repeat. Their periodic steady state is found by Newton's method on the map over one
period, whose derivative is exact: dS(end) = T dS(start) T' with T the mean error's transition over the period
(derived; the classical property of the Riccati equation). Two to five passes do what simple iteration takes thousands
of bins for.
"""

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import SteadyState, diagonal, rotate
from bmi_runtime.calibration.design import Design
from bmi_runtime.errors import BmiError

BLOCK_UNITS = 64  # units worked on together: their covariances stay in the first-level cache
MOST_PASSES = 60  # over the period, before a steady state is given up
MOST_BINS = 5_000_000  # a crossing is searched this far, seconds of work; beyond it the closed form holds anyway
FORGOTTEN = 1e-12  # of a mean error, left after a period: where it starts no longer matters at its end
COARSE_S, COARSE_GAIN, LEAST_COARSE_BINS = 0.02, 2e-3, 20_000  # of a pilot; see `alike_bins`
TOLERANCE = 1e-9  # relative change of the filter's covariance over a period at which it counts as periodic


@dataclass(frozen=True)
class ExactSteadyState:
    """The periodic steady state of every unit's filter along the design's states.

    Attributes
    ----------
    error_covariance : ndarray, (units, regressors, regressors)
        Covariance of the estimate around a constant truth, after each bin, averaged over the period.
    filter_covariance : ndarray, (units, regressors, regressors)
        The filter's own covariance at the end of the period.
    transition : ndarray, (units, regressors, regressors)
        What is left of a mean error after one period.
    passes : int
        How often the period was run.
    """

    error_covariance: np.ndarray
    filter_covariance: np.ndarray
    transition: np.ndarray
    passes: int


def pack(matrices: np.ndarray) -> np.ndarray:
    """Return symmetric matrices (units, d, d) as (pairs, units), the layout of the kernels."""
    rows, columns = np.tril_indices(matrices.shape[1])
    return np.ascontiguousarray(matrices[:, rows, columns].T)


def unpack(packed: np.ndarray) -> np.ndarray:
    """Return (pairs, units) as symmetric matrices (units, d, d)."""
    d = int((np.sqrt(8 * len(packed) + 1) - 1) / 2 + 0.5)
    rows, columns = np.tril_indices(d)
    matrices = np.empty((packed.shape[1], d, d))
    matrices[:, rows, columns] = packed.T
    matrices[:, columns, rows] = packed.T
    return matrices


class Recursion:
    """One design and one rate per unit, as the kernels want them.

    Parameters
    ----------
    design : Design
    rate : ndarray, (units,)
    every : int
        Take one bin of so many for all of them (:func:`alike_bins`).
    """

    def __init__(self, design: Design, rate: np.ndarray, every: int = 1):
        from bmi_runtime.kernels.calibration import NO_OWN

        self.regressors = np.ascontiguousarray(design.regressors[::every])
        self.own = NO_OWN if design.own is None else np.ascontiguousarray(design.own[::every])
        self.every = every
        self.d = design.weights.shape[1]
        self.units = design.units
        self.rate = every * np.ascontiguousarray(rate, dtype=np.float64)
        self.still = np.zeros(self.units)
        gaussian = design.likelihood == "gaussian"
        weights = np.zeros((self.units, self.d)) if gaussian else design.weights
        self.gains = np.ascontiguousarray(weights.T)
        self.scale = every / design.noise if gaussian else np.full(self.units, every * design.bin_s)
        self.single = float(not gaussian and design.counts == "bernoulli") / every
        self.scratch = np.zeros((4 * self.d + 6, BLOCK_UNITS))

    def run(self, filter_cov: np.ndarray, error_cov: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run one period from given covariances; return S, E, T at its end and the mean of E, all (units, d, d)."""
        from bmi_runtime.kernels.calibration import covariance_pass

        s, e = pack(filter_cov), pack(error_cov)
        total = np.zeros_like(e)
        transition = np.repeat(np.eye(self.d).reshape(-1, 1), self.units, axis=1)
        covariance_pass(
            self.regressors, self.own, self.gains, self.scale, self.single, self.rate, self.still, s, e, transition,
            total, self.scratch,
        )  # fmt: skip
        left = transition.T.reshape(self.units, self.d, self.d)
        return unpack(s), unpack(e), left, unpack(total) / len(self.regressors)

    def crossings(self, filter_cov: np.ndarray, errors: np.ndarray, threshold: float, limit: int) -> np.ndarray:
        """Return the bins in which mean errors (units, starts, d) reach a threshold, (units, starts); NaN if never."""
        from bmi_runtime.kernels.calibration import crossing_pass

        units, starts, d = errors.shape
        mean_error = errors.reshape(units, starts * d).T.copy(order="C")  # run in place: never the caller's own
        first, packed = np.empty((starts, units)), pack(filter_cov)
        crossing_pass(
            self.regressors, self.own, self.gains, self.scale, self.single, self.rate, packed, mean_error, threshold**2,
            first, limit // self.every, self.scratch,
        )  # fmt: skip
        return np.where(first < 0, np.nan, self.every * first).T


def alike_bins(design: Design, state: SteadyState) -> int:
    """Return of how many bins the recursion may take one for all of them, for a pilot of many short bins.

    Those within `COARSE_S`, in which a movement hardly changes, as long as the filter forgets less than `COARSE_GAIN`
    over them; one where units depend on their own past, which changes from bin to bin.
    """
    if design.own is not None:
        return 1
    within = min(COARSE_S / design.bin_s * (1.0 + 1e-9), COARSE_GAIN / float(state.gain.max()))
    return max(int(min(within, len(design.states) / LEAST_COARSE_BINS)), 1)


def solve_lyapunov(transition: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Solve X = T X T' + C for every unit by doubling; spectral radius of T below one."""
    x, t = constant.copy(), transition.copy()
    for _ in range(64):
        step = t @ x @ np.swapaxes(t, 1, 2)
        x += step
        if np.abs(step).max() <= 1e-15 * np.abs(x).max():
            break
        t = t @ t
    return x


def exact_steady_state(design: Design, guess: SteadyState, every: int = 1) -> ExactSteadyState:
    """Bring the exact recursion to its periodic steady state, from the closed form as the first guess.

    Parameters
    ----------
    design : Design
    guess : SteadyState
        The averaged closed form; its rates are the rates.
    every : int
        See :func:`alike_bins`.

    Raises
    ------
    BmiError
        If Newton's method does not settle (it has no reason not to: the map is monotone and concave).
    """
    recursion = Recursion(design, guess.rate, every)
    start = guess.filter_covariance
    nothing = np.zeros_like(start)
    passes = 1
    while True:
        end, noise, left, _ = recursion.run(start, nothing)
        change = np.abs(end - start).max(axis=(1, 2)) / np.abs(end).max(axis=(1, 2))
        if change.max() < TOLERANCE or np.abs(left).max() < FORGOTTEN:
            break
        start = start + solve_lyapunov(left, end - start)
        start = _kept_positive(start, end)
        passes += 1
        if passes > MOST_PASSES:
            raise BmiError(
                "the exact recursion did not reach its periodic steady state; the regressors may be nearly singular"
            )
    error = solve_lyapunov(left, noise)
    end, _, left, mean = recursion.run(end, error)
    return ExactSteadyState(mean, end, left, passes + 1)


def _kept_positive(proposed: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Return `proposed` where it is positive definite, else one plain iteration instead of a Newton step."""
    good = np.linalg.eigvalsh(proposed)[:, :1, None] > 0
    return np.where(good, proposed, fallback)


def exact_convergence_bins(
    design: Design,
    exact: ExactSteadyState,
    closed: SteadyState,
    bins: np.ndarray,
    threshold: float,
    initial: float | None,
    every: int = 1,
) -> np.ndarray:
    """Return the bins in which each mode's mean error reaches a threshold on the actual states, (units, regressors).

    The mean error starts along one mode of the averaged information, at the first bin of the design's states, with the
    filter's covariance at the exact steady one (or at `initial` times the identity); the crossing is that of its
    length.

    Parameters
    ----------
    bins : ndarray, (units, regressors)
        The closed form's times; the search ends at twenty times the longest, plus ten periods, and at MOST_BINS (NaN
        there: rates that slow are where the closed form is exact).
    """
    recursion = Recursion(design, closed.rate, every)
    start = exact.filter_covariance
    if initial is not None:
        start = rotate(diagonal(np.full_like(closed.gain, initial)), closed.information.directions)
    limit = int(min(20 * bins.max() + 10 * len(design.states), MOST_BINS))
    return recursion.crossings(start, np.swapaxes(closed.information.directions, 1, 2).copy(), threshold, limit)
