"""Forward: what a learning rate will do to every unit, by the closed forms and by the exact recursion, side by side."""

import functools
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.along_pilot import beyond_linear
from bmi_runtime.calibration.beyond_linear import Departure
from bmi_runtime.calibration.closed_form import (
    Information,
    SteadyState,
    check_threshold,
    convergence_bins,
    information,
    initial_in_modes,
    steady_state,
)
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import alike_bins, exact_convergence_bins, exact_steady_state
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.validity import validity


@dataclass(frozen=True)
class Prediction:
    """What a learning rate does: per unit, and whether the closed form can be trusted.

    Attributes
    ----------
    design : Design
    threshold : float
        The share of the initial mean error at which an estimate counts as converged.
    initial_covariance : float or None
        Initial variance of every weight; None for the filter's own steady covariance.
    closed, uncorrected : SteadyState
        The averaged closed form for the design's kind of counts, and without the correction for 0/1 counts.
    convergence_bins : ndarray, (units, regressors)
        Of every mode, closed form.
    exact_covariance : ndarray, (units, regressors, regressors), or None
        Error covariance of the time-varying recursion, averaged over the design's states.
    exact_convergence_bins : ndarray, (units, regressors), or None
    validity : dict
        See :func:`bmi_runtime.calibration.validity.validity`.
    measured_covariance : ndarray, (units, regressors, regressors), or None
        Error covariance with a pilot's own scores (:mod:`bmi_runtime.calibration.measured`).
    scatter_covariance : ndarray, (units, regressors, regressors), or None
        The same without what the changes of drifting units add: what a wish is solved with.
    departure : Departure or None
        What the recursion leaves out (:mod:`bmi_runtime.calibration.beyond_linear`).
    """

    design: Design
    threshold: float
    initial_covariance: float | None
    closed: SteadyState
    uncorrected: SteadyState
    convergence_bins: np.ndarray
    exact_covariance: np.ndarray | None
    exact_convergence_bins: np.ndarray | None
    validity: dict
    measured_covariance: np.ndarray | None = None
    scatter_covariance: np.ndarray | None = None
    departure: Departure | None = None

    @property
    def linear_covariance(self) -> np.ndarray:
        """The error covariance of the linearised filter: measured with a pilot, else exact, else the closed form."""
        if self.measured_covariance is not None:
            return self.measured_covariance
        return self.closed.error_covariance if self.exact_covariance is None else self.exact_covariance

    @functools.cached_property
    def simulated_scatter(self) -> np.ndarray:
        """The linearised filter's error covariance, widened by what it leaves out; only where that was found."""
        assert self.departure
        return self.departure.scatter(self.linear_covariance, self.closed.rate)

    @property
    def best_covariance(self) -> np.ndarray:
        """The mean square error to go by: the linearised filter's, with what that leaves out."""
        linear = self.linear_covariance
        return linear if self.departure is None else self.departure.mean_square(linear, self.closed.rate)

    @property
    def largest_error(self) -> np.ndarray:
        """Each unit's error variance in its worst direction, by :attr:`best_covariance`, (units,)."""
        return np.linalg.eigvalsh(self.best_covariance)[:, -1]

    def unit(self, index: int) -> dict:
        """Return all that is known of one unit, under the keys that ``bmi calibrate --json`` promises."""
        closed, bin_s = self.closed, self.design.bin_s
        exact_bins = None if self.exact_convergence_bins is None else self.exact_convergence_bins[index]
        initial = (
            closed.filter_covariance[index]
            if self.initial_covariance is None
            else self.initial_covariance * np.eye(closed.gain.shape[1])
        )
        measured = {}
        if self.measured_covariance is not None:
            found = self.measured_covariance[index]
            ratio = np.diagonal(found) / np.diagonal(closed.error_covariance[index])
            measured = {"error_covariance_measured": found, "measured_over_closed_form": ratio}
        if self.scatter_covariance is not None:
            measured["error_covariance_scatter"] = self.scatter_covariance[index]
        if self.departure is not None:
            bias = self.departure.bias_at(closed.rate)[index]
            measured |= {"error_covariance_simulated": self.simulated_scatter[index], "bias_simulated": bias}
        return {
            "unit": self.design.names[index],
            "learning_rate": closed.rate[index],
            "error_covariance": closed.error_covariance[index],
            "error_covariance_uncorrected": self.uncorrected.error_covariance[index],
            "error_covariance_exact": None if self.exact_covariance is None else self.exact_covariance[index],
            **measured,
            "filter_covariance": closed.filter_covariance[index],
            "initial_covariance": initial,
            "convergence_time_s": self.convergence_bins[index].max() * bin_s,
            "convergence_time_exact_s": None if exact_bins is None else exact_bins.max() * bin_s,
            "information": closed.information.mean[index],
            "per_mode": [self._mode(index, mode) for mode in range(closed.gain.shape[1])],
        }

    def _mode(self, index: int, mode: int) -> dict:
        closed, bin_s = self.closed, self.design.bin_s
        exact = None if self.exact_convergence_bins is None else self.exact_convergence_bins[index, mode] * bin_s
        return {
            "direction": closed.information.directions[index, :, mode],
            "information": closed.information.eigenvalues[index, mode],
            "gain": closed.gain[index, mode],
            "filter_variance": closed.filter_variance[index, mode],
            "error_variance": closed.error_in_modes[index, mode, mode],
            "convergence_time_s": self.convergence_bins[index, mode] * bin_s,
            "convergence_time_exact_s": exact,
        }


def predict(
    design: Design,
    rate: float | np.ndarray,
    threshold: float = 0.05,
    initial_covariance: float | None = None,
    exact: bool = True,
    info: Information | None = None,
    scores: MeasuredScores | None = None,
) -> Prediction:
    """Predict the steady-state error covariance and the convergence time of every unit at a learning rate.

    Parameters
    ----------
    design : Design
    rate : float or ndarray, (units,)
        The learning rate, per bin (s of the Gaussian, r of the Poisson likelihood).
    threshold : float
        Share of the initial mean error at which an estimate counts as converged.
    initial_covariance : float, optional
        Variance of every weight at the start; the filter's own steady covariance by default.
    exact : bool
        Whether to run the exact recursion as well (0.1 us per bin and unit).
    info : Information, optional
        The design's, if it is already known.
    scores : MeasuredScores, optional
        A pilot's, for the measured error covariance.

    Raises
    ------
    BadInput
        If a number is out of its range, or a unit's information is singular.
    """
    check_threshold(threshold)
    info = information(design) if info is None else info
    closed = steady_state(info, rate)
    plain = Information(info.mean, info.mean, info.eigenvalues, info.directions)
    bins = convergence_bins(closed, threshold, initial_in_modes(info, initial_covariance))
    covariance, exact_bins = None, None
    if exact:
        every = 1 if scores is None else alike_bins(design, closed)
        periodic = exact_steady_state(design, closed, every)
        covariance = periodic.error_covariance
        exact_bins = exact_convergence_bins(design, periodic, closed, bins, threshold, initial_covariance, every)
    beyond = beyond_linear(scores, design, info, rate) if exact else None
    trust = validity(design, closed, covariance)
    measured = scatter = None
    if scores is not None:
        measured = scatter = scores.error_covariance(closed)
        if scores.drifting.any():
            scatter = scores.error_covariance(closed, scatter=True)
    return Prediction(
        design, threshold, initial_covariance, closed, steady_state(plain, rate), bins, covariance, exact_bins, trust,
        measured, scatter, beyond,
    )  # fmt: skip
