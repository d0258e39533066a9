"""What can be had without perturbing: lagged correlation and simultaneous regression, and the instrument between them.

Both observational estimates need every common input to be among the recorded neurons. Without a hidden one they fail
mostly by variance; with one they are biased, and more data makes the bias certain. The instrumental estimates need
only the random assignment.
"""

import dataclasses

import numpy as np
from scipy import stats

from bmi_runtime.errors import BadInput


def _lagged(activity) -> tuple[np.ndarray, np.ndarray]:
    activity = np.asarray(activity, dtype=float)
    if activity.ndim != 2 or len(activity) < activity.shape[1] + 3:
        raise BadInput(f"activity has shape {activity.shape}; it must be (steps, neurons) with more steps than neurons")
    if not np.isfinite(activity).all():
        raise BadInput("activity holds values that are not finite")
    constant = np.flatnonzero(np.ptp(activity, axis=0) == 0)
    if constant.size:
        raise BadInput(f"neuron {constant[0]} never changes, so it has no correlation with anything; leave it out")
    return activity[:-1], activity[1:]


def lagged_correlation(activity) -> np.ndarray:
    """Return the correlation (sources, targets) of each neuron with every neuron one step later; `activity` is
    (steps, n).
    """
    past, present = _lagged(activity)
    n = past.shape[1]
    return np.corrcoef(past, present, rowvar=False)[:n, n:]


def lagged_regression(activity, link: str = "identity") -> tuple[np.ndarray, np.ndarray]:
    """Regress every neuron on all neurons one step before.

    Parameters
    ----------
    activity : (steps, n) ndarray
        Activity.
    link : {'identity', 'logit', 'log'}
        Transformation of the outcome: ``logit`` undoes a sigmoid, ``log`` takes log(count + 1/2).

    Returns
    -------
    tuple of ndarray
        Coefficients and standard errors, (sources, targets).

    Raises
    ------
    BadInput
        When the neurons' activities are linearly dependent.
    """
    past, present = _lagged(activity)
    outcome = _linked(present, link)
    table = np.column_stack([np.ones(len(past)), past])
    coefficients, _, rank, _ = np.linalg.lstsq(table, outcome, rcond=None)
    if rank < table.shape[1]:
        raise BadInput(
            "the neurons' activities are linearly dependent, so their effects cannot be told apart; leave some out"
        )
    residuals = outcome - table @ coefficients
    variance = (residuals**2).sum(axis=0) / (len(table) - table.shape[1])
    spread = np.diag(np.linalg.inv(table.T @ table))
    return coefficients[1:], np.sqrt(np.outer(spread, variance))[1:]


def _linked(present: np.ndarray, link: str) -> np.ndarray:
    if link == "identity":
        return present
    if link == "log":
        return np.log(present + 0.5)
    if link == "logit":
        if (present <= 0).any() or (present >= 1).any():
            raise BadInput(
                "a logit needs activity strictly between 0 and 1; use the identity link for clamped or spiking data"
            )
        return np.log(present) - np.log1p(-present)
    raise BadInput(f"there is no link '{link}'; choose identity, logit or log")


@dataclasses.dataclass
class WaldEstimate:
    """The instrumental-variable estimate of the effect per unit of treatment.

    ``first_stage_f`` (sources,) measures how strongly the assignment moves the treatment; below 10 the estimate is
    ``weak``: biased towards the observational one, its interval too narrow. Other arrays are (sources, targets).
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    first_stage: np.ndarray
    first_stage_f: np.ndarray

    @property
    def weak(self) -> np.ndarray:
        """Whether each source's instrument is weak (first-stage F below 10; Staiger & Stock 1997)."""
        return self.first_stage_f < 10


def wald(assignments, treatments, outcomes, confidence: float = 0.95) -> WaldEstimate:
    """Estimate effects from stimulation that *adds* spikes, with the random assignment as instrument.

    The ratio ``(E[Y|Z=1] - E[Y|Z=0]) / (E[X|Z=1] - E[X|Z=0])`` is the effect on Y per spike of X, averaged over the
    spikes that the stimulation added (the compliers of Imbens & Angrist 1994). That is not the contrast
    ``do(X=1) - do(X=0)`` of a clamp: the unit keeps its own spikes, so with a curved link the added ones act on a
    different background. It holds when stimulation touches the targets through X alone; the error is by the delta
    method.

    Parameters
    ----------
    assignments : (trials, sources) array
        1 stimulated, 0 sham, -1 not part of the trial.
    treatments : (trials, sources) array
        What each source did in the trial (its spike count, stimulated ones included).
    outcomes : (trials, targets) array
        What each target did after it.
    confidence : float
        Of the intervals.

    Raises
    ------
    BadInput
        When shapes do not fit, a source lacks stimulated or sham trials, or stimulation did not change a source at all.
    """
    z, x, y = np.asarray(assignments), np.asarray(treatments, dtype=float), np.asarray(outcomes, dtype=float)
    if z.ndim != 2 or z.shape != x.shape or y.ndim != 2 or len(y) != len(z):
        raise BadInput(
            f"assignments {z.shape} and treatments {x.shape} must be (trials, sources), "
            f"outcomes {y.shape} (trials, targets)"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise BadInput("treatments or outcomes hold values that are not finite")
    rows = [_wald_one(z[:, source], x[:, source], y, source) for source in range(z.shape[1])]
    estimate, error = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    half = stats.norm.ppf(0.5 + confidence / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stats.norm.sf(np.abs(estimate) / error)
    first, strength = (np.array([row[k] for row in rows]) for k in (2, 3))
    return WaldEstimate(estimate, error, estimate - half, estimate + half, p_values, first, strength)


def _wald_one(z: np.ndarray, x: np.ndarray, y: np.ndarray, source: int):
    on, off = z == 1, z == 0
    if on.sum() < 2 or off.sum() < 2:
        raise BadInput(
            f"source {source} has {on.sum()} stimulated and {off.sum()} sham trials; at least 2 of each are needed"
        )
    first = x[on].mean() - x[off].mean()
    if first == 0:
        raise BadInput(f"stimulation did not change source {source}, so its effect per spike is undefined")
    estimate = (y[on].mean(axis=0) - y[off].mean(axis=0)) / first
    residual = y - x[:, None] * estimate  # constant terms drop out of variances
    error = np.sqrt(residual[on].var(axis=0, ddof=1) / on.sum() + residual[off].var(axis=0, ddof=1) / off.sum())
    spread = x[on].var(ddof=1) / on.sum() + x[off].var(ddof=1) / off.sum()
    strength = first**2 / spread if spread > 0 else np.inf
    return estimate, error / abs(first), first, strength
