"""The trade-off as curves, for a view: everything from closed forms, so that a drag is answered at once. No Qt here."""

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import (
    Information,
    convergence_bins,
    information,
    initial_in_modes,
    remaining_share,
    steady_state,
)
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_steady_state
from bmi_runtime.calibration.inverse import rate_for_convergence, rate_for_error
from bmi_runtime.calibration.schedules import floor_schedule, predict_schedule
from bmi_runtime.calibration.validity import TRUSTED, sweep_bins
from bmi_runtime.errors import BadInput


@dataclass(frozen=True)
class Point:
    """What one rate does to the chosen units: worst error sd, longest convergence, whether to trust it."""

    rate: float
    error_sd: float
    convergence_s: float
    worst_unit: str
    sweep_over_memory: float
    trustworthy: bool


class Curves:
    """The trade-off of one design, over all units or one of them.

    Parameters
    ----------
    design : Design
    threshold : float
        Of the convergence time.
    initial_covariance : float, optional
        The filter's own steady one by default.
    points : int
        Rates on each curve.
    """

    def __init__(
        self, design: Design, threshold: float = 0.05, initial_covariance: float | None = None, points: int = 81
    ):
        self.design, self.threshold, self.initial_covariance = design, threshold, initial_covariance
        self.info = information(design)
        self._sweep = sweep_bins(design.states)
        middle = self._middle_rate()
        self.rates = middle * np.logspace(-4, 4, points)
        self.unit: int | None = None

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What the units are called."""
        return self.design.names

    @property
    def bin_s(self) -> float:
        """Width of a bin, s."""
        return self.design.bin_s

    def choose(self, unit: int | None) -> None:
        """Look at one unit, or at the worst of all (None)."""
        self.unit = unit

    def at(self, rate: float) -> Point:
        """Return what a rate does."""
        info = self._chosen()
        state = steady_state(info, rate)
        errors = state.largest_error
        times = convergence_bins(state, self.threshold, initial_in_modes(info, self.initial_covariance)).max(axis=1)
        worst = int(np.argmax(errors)) if self.unit is None else self.unit
        ratio = self._sweep * float(state.gain.max())
        return Point(
            float(rate), float(np.sqrt(errors.max())), float(times.max()) * self.bin_s, self.design.names[worst], ratio,
            ratio <= TRUSTED,
        )  # fmt: skip

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rates, worst error standard deviations and longest convergence times (s)."""
        points = [self.at(rate) for rate in self.rates]
        return self.rates, np.array([p.error_sd for p in points]), np.array([p.convergence_s for p in points])

    def exact_errors(self, points: int = 9) -> tuple[np.ndarray, np.ndarray]:
        """Return a few rates with the error standard deviation of the exact recursion, for the worst or chosen unit."""
        unit = int(np.argmin(self.info.eigenvalues[:, 0])) if self.unit is None else self.unit
        noise = None if self.design.noise_variance is None else self.design.noise[[unit]]
        alone = self.design.replaced(weights=self.design.weights[[unit]], noise_variance=noise, names=())
        info = information(alone)
        rates = self.rates[:: max(1, len(self.rates) // (points - 1))]
        errors = [
            np.linalg.eigvalsh(exact_steady_state(alone, steady_state(info, rate)).error_covariance[0])[-1]
            for rate in rates
        ]
        return rates, np.sqrt(errors)

    def allowed(self, max_error_sd: float | None, max_convergence_s: float | None) -> tuple[float, float]:
        """Return the slowest and the fastest rate that keep two bounds; the first exceeds the second if none does."""
        info, design = self._chosen(), self._chosen_design()
        low, high = 0.0, np.inf
        try:
            if max_error_sd is not None:
                high = rate_for_error(design, info, max_error_sd**2).learning_rate
        except BadInput:
            pass  # so loose that every rate keeps it
        try:
            if max_convergence_s is not None:
                low = rate_for_convergence(
                    design, info, max_convergence_s, self.threshold, self.initial_covariance
                ).learning_rate
        except BadInput:
            low = np.inf if max_convergence_s is not None and max_convergence_s < self.bin_s else 0.0
        return low, high

    def profile(self, rate: float, points: int = 200) -> dict[str, np.ndarray]:
        """Return the predicted adaptation of the worst or chosen unit's slowest weight from a start that is off by 1.

        Returns
        -------
        dict
            ``time_s``; ``mean``, the mean error; ``sd``, its standard deviation at each time (from zero at the start);
            ``schedule_sd``, the root mean square error under the best schedule with this rate as its floor, from an
            initial variance of 1.
        """
        info = self._chosen()
        unit = int(np.argmin(info.eigenvalues[:, 0]))
        one = Information(info.mean[[unit]], info.score[[unit]], info.eigenvalues[[unit]], info.directions[[unit]])
        state = steady_state(one, rate)
        start = initial_in_modes(one, self.initial_covariance)
        bins = max(4, int(2.5 * convergence_bins(state, self.threshold, start).max()))
        at = np.unique(np.linspace(0, bins, points).astype(int))
        mean = remaining_share(state, at, start)[0, 0]
        variance = state.error_in_modes[0, 0, 0] * (1.0 - remaining_share(state, at)[0, 0] ** 2)
        return {
            "time_s": at * self.bin_s,
            "mean": mean,
            "sd": np.sqrt(variance),
            "schedule_sd": self._schedule(one, rate, at),
        }

    def _schedule(self, one: Information, rate: float, at: np.ndarray) -> np.ndarray:
        """Return the root mean square error under the best schedule, in at most 500 steps."""
        bins = int(at[-1])
        coarse = max(1, bins // 500)
        scaled = Information(one.mean * coarse, one.score * coarse, one.eigenvalues * coarse, one.directions)
        steps = -(-bins // coarse)
        schedule = floor_schedule(scaled, rate * coarse, 1.0, steps)
        error = predict_schedule(scaled, schedule, 1.0)[:, 0, 0]
        return np.sqrt(np.interp(at, np.arange(steps + 1) * coarse, error))

    def _chosen(self) -> Information:
        if self.unit is None:
            return self.info
        one = slice(self.unit, self.unit + 1)
        return Information(
            self.info.mean[one], self.info.score[one], self.info.eigenvalues[one], self.info.directions[one]
        )

    def _chosen_design(self) -> Design:
        if self.unit is None:
            return self.design
        noise = None if self.design.noise_variance is None else self.design.noise[[self.unit]]
        names = (self.design.names[self.unit],)
        return self.design.replaced(weights=self.design.weights[[self.unit]], noise_variance=noise, names=names)

    def _middle_rate(self) -> float:
        """Return a rate whose memory is about five sweeps of the task, rounded to a power of ten."""
        typical = float(np.median(self.info.eigenvalues))
        return 10.0 ** round(np.log10(1.0 / (typical * (5.0 * self._sweep) ** 2)))
