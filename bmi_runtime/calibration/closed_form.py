"""The averaged closed forms: learning rate to steady-state error covariance and convergence time, and back.

The model [the paper]: y = u'w + z (Gaussian, variance Z) or log rate = u'w (Poisson), u = (1, state); an adaptive
filter whose prior is a random walk of the weights with covariance ``rate`` times the identity per bin.

The formulas below are derived here (docs/calibration.md gives the steps and how each was checked). They are not quoted
from Hsieh & Shanechi (2018, PLoS Comput Biol 14(5): e1006168), whose question, mode of use and figures they serve.

With M the information about the weights that one bin brings on average, M = U diag(m) U', each eigendirection of M is
a mode:

    p = 2 (rate/m) / (rate + sqrt(rate^2 + 4 rate/m))        the filter's own variance, after a bin
    k = rate / (rate + p)                                    the share of the mean error that a bin removes
    E_ij = p_i p_j N_ij / (1 - (1 - k_i)(1 - k_j))           the error covariance, truth constant

where N is the covariance per bin of the score: M itself for Gaussian features and Poisson counts (then E_i = p_i / (2
- k_i), half the filter's own covariance at small gain), and less where a bin holds at most one spike (Bernoulli).
"""

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.design import Design, UnusableUnits
from bmi_runtime.errors import BadInput

SINGULAR = 1e-7  # smallest over largest eigenvalue of a unit's information, in units of the regressors' size
BLOCK_BINS = 64  # bins worked on together when information is averaged, so that they stay in the cache


@dataclass(frozen=True)
class Information:
    """What one bin teaches about each unit's weights, on average over the design's states.

    Attributes
    ----------
    mean : ndarray, (units, regressors, regressors)
        M, the mean information per bin.
    score : ndarray, (units, regressors, regressors)
        N, the covariance of the score per bin; equal to M unless counts are Bernoulli.
    eigenvalues : ndarray, (units, regressors)
        m, ascending: the first mode is the slowest and the least certain.
    directions : ndarray, (units, regressors, regressors)
        U, one mode per column.
    """

    mean: np.ndarray
    score: np.ndarray
    eigenvalues: np.ndarray
    directions: np.ndarray

    @property
    def score_in_modes(self) -> np.ndarray:
        """U' N U, (units, regressors, regressors)."""
        return np.swapaxes(self.directions, 1, 2) @ self.score @ self.directions


@dataclass(frozen=True)
class SteadyState:
    """The steady state of every unit's filter at one learning rate per unit; arrays lead with the units.

    Attributes
    ----------
    rate : ndarray, (units,)
    filter_variance, gain : ndarray, (units, regressors)
        p and k of every mode.
    error_in_modes : ndarray, (units, regressors, regressors)
        E in the basis of the modes.
    information : Information
    """

    rate: np.ndarray
    filter_variance: np.ndarray
    gain: np.ndarray
    error_in_modes: np.ndarray
    information: Information

    @property
    def kept(self) -> np.ndarray:
        """1 - k without cancellation, the share of each mode's mean error that a bin leaves, (units, regressors)."""
        return self.filter_variance / (self.rate[:, None] + self.filter_variance)

    @property
    def error_covariance(self) -> np.ndarray:
        """E, the covariance of the estimate around a constant truth, (units, regressors, regressors)."""
        return rotate(self.error_in_modes, self.information.directions)

    @property
    def filter_covariance(self) -> np.ndarray:
        """S, the covariance that the filter itself believes in, (units, regressors, regressors)."""
        return rotate(diagonal(self.filter_variance), self.information.directions)

    @property
    def largest_error(self) -> np.ndarray:
        """The error variance of each unit in its worst direction, (units,)."""
        return np.linalg.eigvalsh(self.error_in_modes)[:, -1]


def rotate(in_modes: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return U X U' for every unit."""
    return directions @ in_modes @ np.swapaxes(directions, 1, 2)


def diagonal(values: np.ndarray) -> np.ndarray:
    """Return one diagonal matrix per unit, (units, regressors, regressors)."""
    return values[:, :, None] * np.eye(values.shape[1])


def information(design: Design, bernoulli: bool | None = None) -> Information:
    """Average the information that a bin brings about each unit's weights over the design's states.

    Gaussian: M = E[u u'] / Z. Poisson: M = E[u u' lambda(u) bin_s], and N = E[u u' w (1 - w)], w = lambda(u) bin_s,
    where bins hold at most one spike. Derived; the second is the variance of a Bernoulli count.

    Parameters
    ----------
    design : Design
    bernoulli : bool, optional
        Whether to apply the correction for 0/1 counts; what the design says by default.

    Raises
    ------
    BadInput
        If a unit's information is singular: its rate is so low in some directions that they cannot be learned.
    """
    if bernoulli is None:
        bernoulli = design.likelihood == "poisson" and design.counts == "bernoulli"
    known: dict[bool, Information] = design.__dict__.setdefault("known", {})
    if bernoulli not in known:
        known[bernoulli] = _averaged(design, bernoulli)
    return known[bernoulli]


def _averaged(design: Design, bernoulli: bool) -> Information:
    if design.likelihood == "gaussian":
        squares = [regressors.T @ regressors / len(regressors) for _, regressors in design.alike()]
        mean = np.stack(squares) / design.noise[:, None, None]
        score = mean
    else:
        parts = [_poisson_information(design, *part) for part in design.alike()]
        mean, score = (np.concatenate(matrices) for matrices in zip(*parts, strict=True))
        score = score if bernoulli else mean
    eigenvalues, directions = np.linalg.eigh(mean)
    _check_conditioned(design, mean)
    return Information(mean, score, eigenvalues, directions)


def _poisson_information(design: Design, units: slice, regressors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return M and the Bernoulli N of units that have their regressors in common, averaged block by block."""
    d = regressors.shape[1]
    rows, columns = np.tril_indices(d)
    weights, log_bin = design.weights[units].T, np.log(design.bin_s)
    sums = np.zeros((2, weights.shape[1], len(rows)))
    for start in range(0, len(regressors), BLOCK_BINS):
        block = slice(start, start + BLOCK_BINS)
        products = regressors[block][:, rows] * regressors[block][:, columns]
        expected = np.exp(regressors[block] @ weights + log_bin)
        sums[0] += expected.T @ products
        expected *= expected
        sums[1] += expected.T @ products
    full = np.zeros((2, weights.shape[1], d, d))
    full[:, :, rows, columns] = sums / len(regressors)
    full[:, :, columns, rows] = sums / len(regressors)
    return full[0], full[0] - full[1]


def _check_conditioned(design: Design, mean: np.ndarray) -> None:
    sizes = np.stack([np.sqrt((regressors**2).mean(axis=0)) for _, regressors in design.alike()])
    values = np.linalg.eigvalsh(mean / (sizes[:, :, None] * sizes[:, None, :]))
    spread = values[:, 0] / values[:, -1]
    unit = int(np.argmin(spread))
    if spread[unit] < SINGULAR:
        raise UnusableUnits(
            f"unit {design.names[unit]} fires in so few of the states that one direction of its weights cannot be "
            f"learned (its information matrix is singular to {spread[unit]:.1g}); leave it out or vary the task",
            tuple(design.names[i] for i in np.flatnonzero(spread < SINGULAR)),
        )


def steady_state(info: Information, rate: float | np.ndarray) -> SteadyState:
    """Return the steady state of every unit at a learning rate (a scalar, or one per unit); formulas above.

    Raises
    ------
    BadInput
        If a rate is not a positive number.
    """
    rates = np.broadcast_to(np.asarray(rate, dtype=np.float64), info.eigenvalues.shape[:1]).copy()
    if not np.all(np.isfinite(rates) & (rates > 0)):
        raise BadInput(
            f"a learning rate of {rates[~(np.isfinite(rates) & (rates > 0))][0]:g} cannot be; it must be above zero"
        )
    ratio = rates[:, None] / info.eigenvalues
    p = 2.0 * ratio / (rates[:, None] + np.sqrt(rates[:, None] ** 2 + 4.0 * ratio))
    k = rates[:, None] / (rates[:, None] + p)
    removed = k[:, :, None] + k[:, None, :] - k[:, :, None] * k[:, None, :]
    error = p[:, :, None] * p[:, None, :] * info.score_in_modes / removed
    return SteadyState(rates, p, k, error, info)


def convergence_bins(state: SteadyState, threshold: float = 0.05, initial: np.ndarray | None = None) -> np.ndarray:
    """Return how many bins each mode's mean error takes to fall to `threshold` of its start, (units, regressors).

    In the averaged model the inverse of the remaining share, q, obeys a linear recursion,
    (a, q) <- (a + rate q, q + m (a + rate q)), a_0 the initial variance and q_0 = 1, whose matrix has the eigenvalues
    1/(1 - k) and 1 - k. So q_t = alpha x^t + (1 - alpha) x^-t with x = 1/(1 - k), and the time is the solution of a
    quadratic in x^t: exact for every rate and initial covariance, as a real number of bins (derived; with the steady
    covariance as the initial one alpha = 1 and the time is ln(threshold) / ln(1 - k)).

    Parameters
    ----------
    state : SteadyState
    threshold : float
        Between 0 and 1.
    initial : ndarray, (units, regressors), optional
        Initial variance of every mode; the filter's own steady variance by default.
    """
    check_threshold(threshold)
    start = state.filter_variance if initial is None else initial
    alpha = _growing_part(state, start)
    root = np.sqrt(np.maximum(1.0 / threshold**2 - 4.0 * alpha * (1.0 - alpha), 0.0))
    excess = (1.0 / threshold + (1.0 / threshold**2 - 4.0 * alpha) / (root + 2.0 * alpha)) / (2.0 * alpha)
    return np.log1p(excess) / _growth(state)


def _growth(state: SteadyState) -> np.ndarray:
    """Return ln x = -ln(1 - k) of every mode."""
    return np.log1p(state.rate[:, None] / state.filter_variance)


def _growing_part(state: SteadyState, start: np.ndarray) -> np.ndarray:
    """Return alpha, from q_1 = 1 + m (a_0 + rate) = alpha x + (1 - alpha) / x, without cancellation."""
    k = state.gain
    first = state.information.eigenvalues * (start + state.rate[:, None])
    return (first + k) * state.kept / (k * (2.0 - k))


def remaining_share(state: SteadyState, bins: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """Return the share of each mode's initial mean error that is left after some bins, (units, regressors, times)."""
    alpha = _growing_part(state, state.filter_variance if initial is None else initial)[:, :, None]
    power = np.exp(np.minimum(_growth(state)[:, :, None] * np.asarray(bins, dtype=np.float64), 600.0))
    return 1.0 / (alpha * power + (1.0 - alpha) / power)


def initial_in_modes(info: Information, initial_covariance: float | None) -> np.ndarray | None:
    """Return the variance of every mode that an initial covariance (a scalar times the identity) gives, or None.

    Raises
    ------
    BadInput
        When the variance is negative or not finite.
    """
    if initial_covariance is None:
        return None
    if not (np.isfinite(initial_covariance) and initial_covariance >= 0):
        raise BadInput(f"an initial covariance of {initial_covariance:g} cannot be; give a variance of zero or more")
    return np.full_like(info.eigenvalues, initial_covariance)


def check_threshold(threshold: float) -> None:
    """Raise BadInput unless the threshold of the convergence time lies between 0 and 1."""
    if not (np.isfinite(threshold) and 0 < threshold < 1):
        raise BadInput(f"a threshold of {threshold:g} cannot be; give the share of the initial error, between 0 and 1")
