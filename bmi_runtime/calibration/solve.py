"""Backward where the closed form is not enough: the wish solved with a pilot's scores, or with the exact recursion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bmi_runtime.calibration.along_pilot import beyond_linear
from bmi_runtime.calibration.beyond_linear import departs, largest_error
from bmi_runtime.calibration.closed_form import Information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_convergence_bins, exact_steady_state
from bmi_runtime.calibration.inverse import Answer, answer_wish, convergence_bins, initial_in_modes
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.validity import TRUSTED, sweep_bins
from bmi_runtime.errors import BadInput

CLOSED, EXACT, MEASURED = "closed form", "exact recursion", "measured scores"
METHODS = (CLOSED, EXACT, MEASURED)
MOST_STEPS = 40  # of bisection
TOLERANCE = 1e-6  # of the logarithm of what was wished for
FARTHEST = 30.0  # of the logarithm of the rate from the closed form's


@dataclass(frozen=True)
class Wish:
    """What is asked for: bounds on the error variance and on the time to converge, either or both.

    Attributes
    ----------
    max_error, max_convergence_s : float or None
    threshold : float
        Converged when the mean error is down to this share of its start.
    initial_covariance : float or None
    """

    max_error: float | None = None
    max_convergence_s: float | None = None
    threshold: float = 0.05
    initial_covariance: float | None = None


def solve(
    design: Design, info: Information, wish: Wish, scores: MeasuredScores | None = None, method: str | None = None
) -> tuple[Answer, str]:
    """Return the rate that meets a wish, and how it was found.

    With a pilot's scores the error is the measured one, of units that drift without what their changes add. Without,
    the closed form is used where it holds, and the exact recursion where the filter would forget within a sweep of the
    task, is unsure of its log rates, or the units depend on their own past.

    Parameters
    ----------
    design, info, wish
    scores : MeasuredScores, optional
    method : {"closed form", "exact recursion", "measured scores"}, optional
        By default as above.

    Raises
    ------
    BadInput
        If no rate meets the wish.
    """
    closed = _closed(design, info, wish, scores is not None)
    if method is None:
        doubtful = sweep_bins(design.states) * steady_state(info, closed.learning_rate).gain.max() > TRUSTED
        doubtful = doubtful or design.own is not None or departs(design, info, closed.learning_rate)
        method = MEASURED if scores is not None else EXACT if doubtful else CLOSED
    if method == CLOSED:
        return answer_wish(design, info, wish.max_error, wish.max_convergence_s, *_rest(wish)), method

    beyond = beyond_linear(scores, design, info, closed.learning_rate) if wish.max_error is not None else None

    def errors(rate: float) -> np.ndarray:
        state = steady_state(info, rate)
        if method == MEASURED and scores is not None:
            return scores.largest_scatter(state, beyond)
        return largest_error(exact_steady_state(design, state).error_covariance, rate, beyond)

    def times(rate: float) -> np.ndarray:
        state = steady_state(info, rate)
        bins = convergence_bins(state, wish.threshold, initial_in_modes(info, wish.initial_covariance))
        if method == EXACT:
            exact = exact_steady_state(design, state)
            found = exact_convergence_bins(design, exact, state, bins, *_rest(wish))
            bins = np.where(np.isnan(found), bins, found)
        return bins.max(axis=1) * design.bin_s

    found = _bounded(design, wish, closed, errors, times)
    if beyond is not None:  # found at the closed form's rate; now at the answer's
        beyond = beyond_linear(scores, design, info, found.learning_rate)
        found = _bounded(design, wish, found, errors, times)
    return found, method


def _rest(wish: Wish):
    return wish.threshold, wish.initial_covariance


def _closed(design: Design, info: Information, wish: Wish, measured: bool) -> Answer:
    """Return the closed form's answer to start from: of the error bound alone where both are given."""
    if wish.max_error is None:
        return answer_wish(design, info, None, wish.max_convergence_s, *_rest(wish))
    try:
        return answer_wish(design, info, wish.max_error, None, *_rest(wish))
    except BadInput:
        if not measured or not wish.max_error > 0:
            raise
        guess = float(1.0 / info.eigenvalues.max())  # every rate keeps the closed form's bound, not so the pilot's
        return Answer(guess, np.full(design.units, guess), 0, f"error variance at most {wish.max_error:g}")


def _bounded(design: Design, wish: Wish, closed: Answer, errors, times) -> Answer:
    """Return the rate that keeps one bound, or the faster of those that keep both."""
    if wish.max_error is None:
        return _shared(closed, times, wish.max_convergence_s or 0.0, rising=False)
    found = _shared(closed, errors, wish.max_error, rising=True)
    if wish.max_convergence_s is None:
        return found
    slow_s = float(times(found.learning_rate).max())
    both = f"{found.wish} and mean error down to {wish.threshold:g} within {wish.max_convergence_s:g} s"
    if slow_s <= wish.max_convergence_s * (1 + TOLERANCE):
        return replace(found, wish=both)
    info_rate = _shared(found, times, wish.max_convergence_s, rising=False)
    worst = errors(info_rate.learning_rate)
    raise BadInput(
        f"no rate does both: error variance {wish.max_error:g} takes {slow_s:.3g} s (unit "
        f"{design.names[found.binding_unit]} binds), and {wish.max_convergence_s:g} s costs an error variance of "
        f"{worst.max():.3g} (unit {design.names[int(np.argmax(worst))]}); loosen one bound, or use a schedule"
    )


def _shared(closed: Answer, of_units: Callable[[float], np.ndarray], wanted: float, rising: bool) -> Answer:
    """Find the rate at which the worst unit just keeps a bound, by secant steps in log-log kept in a bracket.

    What each unit could have alone is read from the rates tried, along straight lines in the logarithms.
    """
    tried: list[tuple[float, np.ndarray]] = []

    def excess(log_rate: float) -> float:
        tried.append((log_rate, np.log(of_units(float(np.exp(log_rate))))))
        value = float(tried[-1][1].max() - np.log(wanted))
        return value if rising else -value

    x = float(np.log(closed.learning_rate))
    low, high = ends = x - FARTHEST, x + FARTHEST
    value, slope = excess(x), 0.5
    for _ in range(MOST_STEPS):
        if abs(value) < TOLERANCE:
            break
        low, high = (x, high) if value < 0 else (low, x)
        step = x - value / slope
        following = step if low < step < high else 0.5 * (low + high)
        before, x = (x, value), following
        value = excess(x)
        rise = (value - before[1]) / (x - before[0]) if x != before[0] else 0.5
        slope = rise if rise > 0.05 else 0.5
        if high - low < TOLERANCE:
            break
    if abs(value) > 1e-3 and low > ends[0] and high < ends[1]:
        # errors step where scores are added up in blocks of a bin more: the last rate before the step keeps the bound
        while high - low > TOLERANCE:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
        x = low if rising else high
        excess(x)
    elif abs(value) > 1e-3:
        raise BadInput(
            f"no rate gives what was asked for ({closed.wish}): the nearest, {np.exp(x):.3g} per bin, misses it by a "
            f"factor of {np.exp(abs(value)):.3g}"
        )
    worst = int(np.argmax(tried[-1][1]))
    alone = _alone(tried, np.log(wanted), rising)
    alone[worst] = np.exp(x)
    return Answer(float(np.exp(x)), alone, worst, closed.wish)


def _alone(tried: list[tuple[float, np.ndarray]], wanted: float, rising: bool) -> np.ndarray:
    """Return the rate of every unit that crosses the bound, from the rates tried; slopes of a half beyond them."""
    order = sorted(tried, key=lambda entry: entry[0])
    rates, values = np.array([entry[0] for entry in order]), np.array([entry[1] for entry in order])
    slope = 0.5 if rising else -0.5
    out = np.empty(values.shape[1])
    for unit, of_unit in enumerate(values.T):
        rates_wide = np.concatenate([[rates[0] - 60.0], rates, [rates[-1] + 60.0]])
        wide = np.concatenate([[of_unit[0] - 60.0 * slope], of_unit, [of_unit[-1] + 60.0 * slope]])
        climbing = np.maximum.accumulate(wide if rising else -wide)
        out[unit] = np.interp(wanted if rising else -wanted, climbing, rates_wide)
    return np.exp(out)
