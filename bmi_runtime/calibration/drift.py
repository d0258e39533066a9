"""A truth that moves: the error at a rate, the best rate, and the speed of the drift estimated from the innovations."""

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import Information, rotate, steady_state
from bmi_runtime.errors import BadInput


def drifting_error_in_modes(info: Information, rate: float | np.ndarray, drift: float | np.ndarray) -> np.ndarray:
    """Return the steady error covariance around a random-walking truth, in the basis of the modes.

    E = (I - S M) (E + Q) (I - S M)' + S N S, so E_ij = ((1 - k_i)(1 - k_j) Q_ij + p_i p_j N_ij) / (1 - (1 - k_i)(1 -
    k_j)) in the averaged model (derived). With Q equal to the rate times the identity this is the filter's own
    covariance.

    Parameters
    ----------
    info : Information
    rate : float or ndarray, (units,)
    drift : float or ndarray, (regressors, regressors)
        Covariance of the truth's step per bin; a scalar means that times the identity.

    Raises
    ------
    BadInput
        If the drift is negative or not finite.
    """
    d = info.eigenvalues.shape[1]
    q = np.asarray(drift, dtype=np.float64)
    q = q * np.eye(d) if q.ndim == 0 else q
    if q.shape != (d, d) or not np.isfinite(q).all() or np.linalg.eigvalsh(q).min() < 0:
        raise BadInput(f"a drift of {drift} cannot be; give a variance per bin of zero or more")
    state = steady_state(info, rate)
    kept = state.kept
    both = kept[:, :, None] * kept[:, None, :]
    k = state.gain
    removed = k[:, :, None] + k[:, None, :] - k[:, :, None] * k[:, None, :]
    directions = info.directions
    in_modes = np.swapaxes(directions, 1, 2) @ q @ directions
    return both * in_modes / removed + state.error_in_modes


def drifting_error(info: Information, rate: float | np.ndarray, drift: float | np.ndarray) -> np.ndarray:
    """Return :func:`drifting_error_in_modes` in the basis of the weights, (units, regressors, regressors)."""
    return rotate(drifting_error_in_modes(info, rate, drift), info.directions)


def best_rate(info: Information, drift: float | np.ndarray) -> float:
    """Return the shared rate with the smallest steady error, summed over weights and units, for a given drift.

    With Gaussian features or Poisson counts and an isotropic drift this is the drift itself (the filter is then the
    optimal one); with 0/1 counts or a drift that differs between weights it is found numerically.

    Raises
    ------
    BadInput
        If the drift is not positive (for a truth that stands still use a schedule: the best rate goes to zero).
    """
    from scipy.optimize import minimize_scalar

    q = np.asarray(drift, dtype=np.float64)
    size = float(q if q.ndim == 0 else np.trace(q) / len(q))
    if not (np.isfinite(size) and size > 0):
        raise BadInput(f"a drift of {size:g} has no best rate: where the truth stands still, use a schedule")

    def cost(log_rate: float) -> float:
        return float(np.log(np.trace(drifting_error_in_modes(info, np.exp(log_rate), drift), axis1=1, axis2=2).sum()))

    centre = np.log(size)
    found = minimize_scalar(cost, bounds=(centre - 9, centre + 9), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


@dataclass(frozen=True)
class DriftEstimate:
    """The truth's random-walk variance per bin, with its standard error; both relative ones divide by the rate."""

    drift: float
    standard_error: float
    ratio: float
    ratio_error: float


def estimate_drift(statistics: np.ndarray, rate: float, units: np.ndarray | None = None) -> DriftEstimate:
    """Estimate the speed of the drift that units share from a monitor's statistics.

    A step of the filter that is followed by further steps the same way shows that it moves too slowly, one that is
    taken back that it moves too fast. The statistic J = x u'a (:mod:`bmi_runtime.kernels.monitoring`) has a mean that
    is linear in the drift q: J_0 (1 - q / rate). The standard error takes bins as independent, which holds up to a
    drift of about the rate; at three times the rate it is too small by about 1.6 (simulated). So q = rate (sum of J -
    J_0) / (sum of -J_0), over bins and units (derived).

    Parameters
    ----------
    statistics : ndarray, (N_STATISTICS, units)
        Of :class:`bmi_runtime.calibration.monitor.Monitor`.
    rate : float
        The learning rate that the units ran at.
    units : ndarray, optional
        Which units to pool; all that are judged and not lost by default.

    Raises
    ------
    BadInput
        If no unit has been judged yet.
    """
    from bmi_runtime.kernels import monitoring as k

    chosen = statistics if units is None else statistics[:, units]
    chosen = chosen[:, chosen[k.EXPECTED] > 0]
    if not chosen.shape[1]:
        raise BadInput("no unit has run long enough to tell how fast its tuning drifts")
    expected = chosen[k.EXPECTED].sum()
    ratio = chosen[k.EXCESS].sum() / expected
    error = np.sqrt(chosen[k.EXCESS_SPREAD].sum()) / expected
    return DriftEstimate(rate * ratio, rate * error, ratio, error)


def estimate_delayed_drift(delayed: np.ndarray, rate: float) -> DriftEstimate:
    """Estimate the drift from steps that follow others of more than a block ago (scores need not be white).

    Parameters
    ----------
    delayed : ndarray, (3, units)
        Of `Monitor.delayed_drift`.
    rate : float

    Raises
    ------
    BadInput
        If no unit's filter remembers long enough to tell.
    """
    total, quiet, spread = delayed[:, np.isfinite(delayed[0])]
    if not quiet.size:
        raise BadInput("no unit has run long enough, or remembers long enough, to tell how fast its tuning drifts")
    ratio, error = total.sum() / quiet.sum(), np.sqrt(spread.sum()) / quiet.sum()
    return DriftEstimate(rate * ratio, rate * error, ratio, error)


class Recalibrator:
    """Follow the drift with the learning rate, within bounds, at most by a factor per step: off unless it is made.

    The session calls, in every bin, after the monitor::

        proposed = recalibrator.update(bin_number, monitor.statistics, rate, monitor.delayed_drift())
        if proposed is not None: ...                      # a command to set the rate at the next bin, recorded as such

    Parameters
    ----------
    smallest, largest : float
        Bounds of the rate.
    bin_s, every_s : float
        How often a new rate is considered; the monitor's window or longer, so that estimates are fresh.
    factor : float
        The most that one step may multiply or divide the rate by.
    certainty : float
        Standard errors by which the estimate must differ from the present rate for a step to be taken.
    """

    def __init__(
        self,
        smallest: float,
        largest: float,
        bin_s: float,
        every_s: float = 30.0,
        factor: float = 2.0,
        certainty: float = 2.0,
    ):
        if not (0 < smallest < largest < np.inf and factor > 1):
            raise BadInput(
                f"rates from {smallest:g} to {largest:g} by factors of {factor:g} leave no room; bounds must rise"
            )
        self.smallest, self.largest, self.factor, self.certainty = smallest, largest, factor, certainty
        self.every = max(1, round(every_s / bin_s))
        self.last: DriftEstimate | None = None

    def due(self, bin_number: int) -> bool:
        """Return whether a new rate is considered in this bin."""
        return bin_number > 0 and bin_number % self.every == 0

    def update(
        self, bin_number: int, statistics: np.ndarray, rate: float, delayed: np.ndarray | None = None
    ) -> float | None:
        """Return the rate to go to, or None to stay.

        Parameters
        ----------
        bin_number : int
        statistics : ndarray
            Of the monitor.
        rate : float
        delayed : ndarray, (3, units), optional
            Of `Monitor.delayed_drift`: scores are not taken as white then. Where most filters that are judged forget
            too fast to tell drift from scores, the rate goes down to where they can.
        """
        if not self.due(bin_number):
            return None
        try:
            from bmi_runtime.kernels.monitoring import EXPECTED

            self.last = estimate_drift(statistics, rate)
            if delayed is not None:
                judged, told = statistics[EXPECTED] > 0, np.isfinite(delayed[0])
                if 2 * (told & judged).sum() < judged.sum():
                    lower = max(rate / self.factor, self.smallest)
                    return None if lower == rate else lower
                self.last = estimate_delayed_drift(delayed, rate)
        except BadInput:
            return None
        if abs(self.last.ratio - 1.0) < self.certainty * self.last.ratio_error:
            return None
        wanted = rate * min(max(self.last.ratio, 1.0 / self.factor), self.factor)
        wanted = min(max(wanted, self.smallest), self.largest)
        return None if wanted == rate else wanted
