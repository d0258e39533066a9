"""Backward: the learning rate that meets a wanted error or a wanted convergence time, and the unit that binds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import (
    Information,
    convergence_bins,
    initial_in_modes,
    steady_state,
)
from bmi_runtime.calibration.design import Design
from bmi_runtime.errors import BadInput

SMALLEST_RATE, LARGEST_RATE = 1e-24, 1e24  # between which a rate is searched for


@dataclass(frozen=True)
class Answer:
    """A learning rate and why it is that one.

    Attributes
    ----------
    learning_rate : float
        The rate that all units share.
    per_unit : ndarray, (units,)
        The rate that each unit could have alone; infinite (error wish) or zero (convergence wish) where any rate will
        do.
    binding_unit : int
        The unit that decides.
    wish : str
        What was asked for, as text.
    """

    learning_rate: float
    per_unit: np.ndarray
    binding_unit: int
    wish: str


def rate_for_error(design: Design, info: Information, error_variance: float) -> Answer:
    """Return the fastest rate at which no unit's error variance exceeds a bound in any direction.

    With Poisson-variance counts or Gaussian features the worst direction is the mode of the smallest information m, and
    rate = 4 m E^2 / (1 - m^2 E^2) (derived, exact for the averaged model). With Bernoulli counts the same equation is
    solved numerically for the corrected covariance. The units share the smallest of their rates.

    Parameters
    ----------
    error_variance : float
        Bound on the variance of a weight's error in the worst direction, squared units of the weights.

    Raises
    ------
    BadInput
        If the bound is not positive, or so loose that every rate keeps it.
    """
    _check_positive(error_variance, "an error bound", "a variance")
    smallest = info.eigenvalues[:, 0]
    if np.array_equal(info.mean, info.score):
        slack = smallest * error_variance
        rates = np.where(slack < 1, 4 * slack * error_variance / np.where(slack < 1, 1 - slack**2, 1.0), np.inf)
    else:
        rates = _solve(lambda rate: steady_state(info, rate).largest_error, error_variance, info, rising=True)
    unit = int(np.argmin(rates))
    if rates[unit] < SMALLEST_RATE:
        raise BadInput(
            f"an error variance of {error_variance:g} needs a rate below {SMALLEST_RATE:g}; ask for a larger one"
        )
    if not np.isfinite(rates[unit]):
        limit = float(steady_state(info, LARGEST_RATE).largest_error.max())
        raise BadInput(
            f"every rate keeps the error variance below {error_variance:g}: even when each bin is believed in full "
            f"it is {limit:.3g}, in unit {design.names[unit]}; ask for less than that, or for a convergence time"
        )
    return Answer(float(rates[unit]), rates, unit, f"error variance at most {error_variance:g}")


def rate_for_convergence(
    design: Design,
    info: Information,
    time_s: float,
    threshold: float = 0.05,
    initial_covariance: float | None = None,
) -> Answer:
    """Return the rate of least error at which every unit's mean error falls to `threshold` of its start in time.

    From the steady covariance, k = 1 - threshold^(1/bins) and rate = k^2 / (m (1 - k)) with m the smallest eigenvalue
    (derived, exact for the averaged model); from another initial covariance the equation is solved numerically. The
    units share the largest of their rates.

    Raises
    ------
    BadInput
        If the time is shorter than a bin, or so long that a rate of zero meets it.
    """
    _check_positive(time_s, "a convergence time", "a time in seconds")
    bins = time_s / design.bin_s
    if bins < 1:
        raise BadInput(
            f"no rate converges in {time_s:g} s: an estimate changes once a bin of {design.bin_s:g} s; ask for at "
            "least that"
        )
    if initial_covariance is None:
        k = -np.expm1(np.log(threshold) / bins)
        rates = k**2 / (info.eigenvalues[:, 0] * (1 - k))
    else:
        start = initial_in_modes(info, initial_covariance)
        rates = _solve(
            lambda rate: convergence_bins(steady_state(info, rate), threshold, start).max(axis=1),
            bins,
            info,
            rising=False,
        )
    unit = int(np.argmax(rates))
    if rates[unit] <= 0:
        raise BadInput(
            f"no rate is needed to converge in {time_s:g} s: with an initial covariance of {initial_covariance:g} the "
            "filter does it with a rate of zero; ask for a shorter time, or use the optimal schedule"
        )
    return Answer(float(rates[unit]), rates, unit, f"mean error down to {threshold:g} within {time_s:g} s")


def answer_wish(
    design: Design,
    info: Information,
    max_error: float | None,
    max_convergence_s: float | None,
    threshold: float = 0.05,
    initial_covariance: float | None = None,
) -> Answer:
    """Return the rate that meets a bound on the error, on the convergence time, or both.

    With both, the fastest rate that keeps the error bound is returned, provided that it converges in time.

    Raises
    ------
    BadInput
        If no rate meets the wish; for both bounds the sentence says what each alone makes possible.
    """
    if max_error is None and max_convergence_s is None:
        raise BadInput("give a bound on the error, on the convergence time, or both")
    if max_error is None:
        return rate_for_convergence(design, info, max_convergence_s or 0.0, threshold, initial_covariance)
    error = rate_for_error(design, info, max_error)
    if max_convergence_s is None:
        return error
    convergence = rate_for_convergence(design, info, max_convergence_s, threshold, initial_covariance)
    if convergence.learning_rate <= error.learning_rate:
        return Answer(error.learning_rate, error.per_unit, error.binding_unit, f"{error.wish} and {convergence.wish}")
    start = initial_in_modes(info, initial_covariance)
    slow, fast = steady_state(info, error.learning_rate), steady_state(info, convergence.learning_rate)
    slow_s = convergence_bins(slow, threshold, start).max() * design.bin_s
    raise BadInput(
        f"no rate does both: error variance {max_error:g} takes {slow_s:.3g} s (unit "
        f"{design.names[error.binding_unit]} binds), and {max_convergence_s:g} s costs an error variance of "
        f"{fast.largest_error.max():.3g} (unit {design.names[convergence.binding_unit]} binds); "
        "loosen one bound, or use a schedule"
    )


def _solve(function: Callable[[np.ndarray], np.ndarray], wanted: float, info: Information, rising: bool) -> np.ndarray:
    """Solve function(rate) = wanted for every unit by secant steps in log-log kept inside a bracket.

    Returns infinity where no rate is large enough to reach `wanted`, and zero where every rate is already past it.
    """
    units = len(info.eigenvalues)
    low, high = np.full(units, np.log(SMALLEST_RATE)), np.full(units, np.log(LARGEST_RATE))
    sign = 1.0 if rising else -1.0

    def excess(log_rate):
        return sign * (np.log(function(np.exp(log_rate))) - np.log(wanted))

    never, always = excess(high) < 0, excess(low) > 0
    guess = np.clip(np.log(4 * info.eigenvalues[:, 0]) + 2 * np.log(wanted) * sign, low + 1, high - 1)
    previous, value = guess + 0.1, excess(guess)
    previous_value = excess(previous)
    for _ in range(200):
        low, high = np.where(value < 0, np.maximum(low, guess), low), np.where(value > 0, np.minimum(high, guess), high)
        done = (np.abs(value) < 1e-13) | (high - low < 1e-13) | never | always
        if np.all(done):
            break
        slope = (value - previous_value) / np.where(guess == previous, 1.0, guess - previous)
        step = guess - value / np.where(slope > 1e-3, slope, 0.5)
        inside = (step > low) & (step < high)
        previous, previous_value = guess, value
        guess = np.where(done, guess, np.where(inside, step, 0.5 * (low + high)))
        value = excess(guess)
    return np.where(never, np.inf, np.where(always, 0.0, np.exp(guess)))


def _check_positive(value: float, what: str, kind: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise BadInput(f"{what} of {value:g} cannot be; give {kind} above zero")
