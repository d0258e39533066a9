"""When the averaged closed form can be trusted: the task's time to visit every direction against the memory."""

import numpy as np

from bmi_runtime.calibration.closed_form import SteadyState
from bmi_runtime.calibration.design import Design

SHARE = 0.5  # of the average information that the least visited direction must get within a sweep
QUANTILE = 0.9  # of the windows that must reach it (a long random sample has rare gaps)
TRUSTED, DOUBTFUL = 1.0, 3.0  # sweep time over memory: within 3-5 % up to the first, 14-19 % at the second (measured)


def sweep_bins(states: np.ndarray) -> int:
    """Return how many bins the task takes to visit every direction of (baseline, gains).

    The smallest window such that, in nine windows of ten, the least visited direction gets at least half of the
    information it gets on average (our definition). The states are taken to repeat.

    Parameters
    ----------
    states : ndarray, (bins, dims)
    """
    regressors = np.column_stack([np.ones(len(states)), states])
    bins = len(regressors)
    values, vectors = np.linalg.eigh(regressors.T @ regressors / bins)
    white = regressors @ (vectors / np.sqrt(values))
    products = white[:, :, None] * white[:, None, :]
    sums = np.concatenate([np.zeros((1, *products.shape[1:])), np.cumsum(np.concatenate([products, products]), axis=0)])
    starts = np.unique(np.linspace(0, bins - 1, min(bins, 512)).astype(int))

    def share(window):
        return np.quantile(np.linalg.eigvalsh((sums[starts + window] - sums[starts]) / window)[:, 0], 1 - QUANTILE)

    low, high = 1, bins
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if share(middle) >= SHARE else (middle, high)
    return high


def validity(design: Design, closed: SteadyState, exact_covariance: np.ndarray | None) -> dict:
    """Return how far the averaged closed form can be trusted at these rates.

    Returns
    -------
    dict
        ``sweep_time_s``; ``memory_s`` (the shortest memory of any mode of any unit, 1 over its gain per bin);
        ``ratio`` of the two; ``trustworthy`` (ratio at most 1); ``closed_form_departure`` (the largest relative
        difference between the variances of the closed form and of the exact recursion, None if that was not run);
        ``verdict`` as text.
    """
    sweep = sweep_bins(design.states)
    memory = 1.0 / closed.gain.max()
    ratio = sweep / memory
    departure = None
    if exact_covariance is not None:
        averaged = np.diagonal(closed.error_covariance, axis1=1, axis2=2)
        departure = float(np.abs(averaged / np.diagonal(exact_covariance, axis1=1, axis2=2) - 1).max())
    return {
        "sweep_time_s": sweep * design.bin_s,
        "memory_s": memory * design.bin_s,
        "ratio": ratio,
        "trustworthy": bool(ratio <= TRUSTED),
        "closed_form_departure": departure,
        "verdict": _verdict(ratio),
    }


def _verdict(ratio: float) -> str:
    if ratio <= TRUSTED:
        return "the closed form holds: the filter remembers longer than the task takes to visit every direction"
    if ratio <= DOUBTFUL:
        return (
            "the closed form is doubtful (about 5-20 %): the filter forgets within a sweep of the task; use the "
            "exact values"
        )
    return (
        "the closed form does not hold: the filter forgets long before the task has visited every direction; use the "
        "exact values"
    )


LARGEST_LOG_SD = 0.7  # of a log-linear weight's error, beyond which the linearised filter is not the filter any more


def objection(prediction, method: str) -> str:
    """Return why a rate lies outside what its calculation holds for, nothing where it does not.

    Parameters
    ----------
    prediction : Prediction
    method : str
        "given", "closed form", "exact recursion" or "measured scores".
    """
    trust = prediction.validity
    if method in ("given", "closed form") and not trust["trustworthy"]:
        return f"the rate {prediction.closed.rate[0]:.3g} lies outside its validity: {trust['verdict']}"
    sd = float(prediction.largest_error.max() ** 0.5)
    if prediction.design.likelihood == "poisson" and sd > LARGEST_LOG_SD:
        worst = prediction.design.names[int(prediction.largest_error.argmax())]
        return (
            f"the rate {prediction.closed.rate[0]:.3g} lies outside its validity: unit {worst}'s log rate would err by "
            f"an sd of {sd:.2g}, and the calculation is linearised"
        )
    return ""
