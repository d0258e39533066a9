"""Live: is every unit where the calibration said it would be?"""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from bmi_runtime.calibration.exact import unpack
from bmi_runtime.errors import BadInput

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Limits:
    """When a condition is raised; it ends when its statistics are back below ``ease`` of the limits.

    The z limits are high because every unit is tested in every bin of a session of hours.

    Attributes
    ----------
    memories : float
        How many times its memory a filter must have run before its unit is judged.
    innovation_z, innovation_excess : float
        `rate off`: the mean squared innovation differs from its prediction by so many standard errors and this share.
    drift_z, drift_ratio : float
        `tuning drifting`: the weights move this many times faster than the learning rate assumes (as a variance per
        bin), and so many standard errors beyond it.
    silence : float
        `unit lost`: so many spikes expected since the last one (the model gives the silence a chance of exp(-silence)).
    flat : float
        `unit lost` for features: the recent mean squared innovation is below this share of its prediction.
    ease : float
    worth : float
        How many independent squared innovations (or expected spikes) the leaky sums must be worth, roughly twice this.
    """

    memories: float = 5.0
    innovation_z: float = 6.0
    innovation_excess: float = 0.2
    drift_z: float = 5.0
    drift_ratio: float = 2.0
    silence: float = 25.0
    flat: float = 0.1
    ease: float = 0.6
    worth: float = 100.0

    def in_order(self) -> tuple[float, ...]:
        """Return the limits in the order of the kernel's settings."""
        return astuple(self)


@dataclass(frozen=True)
class Event:
    """A condition of one unit that began or ended in a bin."""

    bin: int
    unit: int
    kind: str
    began: bool
    detail: str


class Monitor:
    """Predicted against achieved, per unit, updated in place once a bin by one kernel call.

    The session calls, in every bin, after the adapter::

        if monitor.update(regressors, counts, valid, innovation, covariance, noise_variance):
            events = monitor.take_events(bin_number)

    with the adapter's regressors (1, velocity in dm/s), the bin's counts and validity, the adapter's innovation, and
    the model's covariance *after* the update. ``summary()`` is for telemetry (every tenth of a second or so),
    ``state()`` and ``restore()`` for snapshots, ``reset(covariance)`` for a new start. Nothing here feeds back into
    the filter.

    Parameters
    ----------
    units, regressors : int
    likelihood : {"gaussian", "poisson"}
    bin_s : float
    counts : {"bernoulli", "poisson"}
        Whether a bin holds at most one spike.
    window_s : float
        Time constant of the leaky averages.
    short_window_s : float
        Of the average that notices a flat feature.
    judge_every_s : float
        How often conditions are judged; sums are kept in every bin.
    limits : Limits

    Notes
    -----
    The error covariance that the monitor tracks is that of a truth that stands still, from the covariance given to
    :meth:`reset` on; at a fixed rate it settles at the calibration's exact value. See
    :mod:`bmi_runtime.kernels.monitoring` for the equations.
    """

    KINDS = ("rate off", "tuning drifting", "unit lost")

    def __init__(
        self,
        units: int,
        regressors: int,
        likelihood: str,
        bin_s: float,
        counts: str = "poisson",
        window_s: float = 30.0,
        short_window_s: float = 2.0,
        judge_every_s: float = 0.1,
        limits: Limits | None = None,
    ):
        from bmi_runtime.kernels import monitoring

        if min(window_s, short_window_s) <= bin_s:
            raise BadInput(f"the monitor's windows must be longer than a bin of {bin_s:g} s")
        self._kernel = monitoring
        self.limits = limits or Limits()
        self._gaussian = likelihood == "gaussian"
        single = likelihood == "poisson" and counts == "bernoulli"
        self._keep = float(np.exp(-bin_s / window_s))
        self._settings = np.array([
            self._gaussian, single, self._keep, np.exp(-bin_s / short_window_s), *self.limits.in_order()
        ])  # fmt: skip
        self._state = np.zeros((units, monitoring.N_STATE))
        self._matrices, pairs = np.zeros((units, 0)), regressors * (regressors + 1) // 2
        self._written_out = regressors == monitoring.REGRESSORS  # the plane's three have a kernel of their own
        if not self._written_out:
            self._matrices = np.zeros((units, monitoring.matrices_size(regressors)))
            self._work = np.zeros((6, regressors))
        self._diagonal = [a * (a + 3) // 2 for a in range(regressors)]
        self.error_cov = (self._state if self._written_out else self._matrices)[:, :pairs].T
        self.statistics = self._state.T
        self.status = np.zeros(units, dtype=np.int64)
        self.covered = np.zeros((2, units))
        self.count = 0
        self._every = max(1, round(judge_every_s / bin_s))
        self._reported = self.status.copy()
        self._ones = np.ones(units)

    def reset(self, covariance: np.ndarray) -> None:
        """Start anew from the covariance of the weights' error, (pairs, units): the filter's initial covariance."""
        self.count = 0
        for array in self._arrays().values():
            array[...] = 0
        self.error_cov[...] = covariance

    def update(self, regressors, counts, valid, innovation, covariance, noise_variance=None) -> int:
        """Take in one bin; return how many units' conditions changed.

        Parameters
        ----------
        regressors : ndarray, (regressors,), or (regressors, units) where they are a unit's own
        counts, valid, innovation : ndarray, (units,)
        covariance : ndarray, (pairs, units)
            The filter's, after its update.
        noise_variance : ndarray, (units,), optional
            As the filter used it; needed for Gaussian features.
        """
        self.count += 1
        noise = self._ones if noise_variance is None else noise_variance
        judge = self.count % self._every == 0
        if not self._written_out:
            rows = regressors if regressors.ndim == 2 else regressors[:, None]
            return self._kernel.monitor_step_any(
                rows, counts, valid, innovation, covariance, noise, self._settings, judge, self._matrices, self._state,
                self.status, self._work,
            )  # fmt: skip
        return self._kernel.monitor_step(
            regressors, counts, valid, innovation, covariance, noise, self._settings, judge, self._state, self.status
        )

    def compare(self, weights: np.ndarray, truth: np.ndarray) -> None:
        """Count whether each weight is within its predicted 95 % bounds, where the truth is known (a simulation).

        Parameters
        ----------
        weights, truth : ndarray, (regressors, units)
        """
        inside = np.abs(weights - truth) <= Z_95 * self.error_sd()
        judged = self.statistics[self._kernel.SEEN] >= self.limits.memories
        self.covered[0] = self._keep * self.covered[0] + judged * inside.mean(axis=0)
        self.covered[1] = self._keep * self.covered[1] + judged

    def error_sd(self) -> np.ndarray:
        """Return the predicted standard deviation of every weight's error, (regressors, units)."""
        return np.sqrt(np.maximum(self.error_cov[self._diagonal], 0.0))

    def error_covariance(self) -> np.ndarray:
        """Return the predicted error covariance of every unit, (units, regressors, regressors)."""
        return unpack(self.error_cov)

    def take_events(self, bin_number: int) -> list[Event]:
        """Return what began and ended since the last call, in the order of the units."""
        events = []
        for unit in np.flatnonzero(self.status != self._reported):
            for bit, kind in enumerate(self.KINDS):
                now, before = self.status[unit] >> bit & 1, self._reported[unit] >> bit & 1
                if now != before:
                    events.append(Event(bin_number, int(unit), kind, bool(now), self._detail(int(unit), bit)))
        self._reported[:] = self.status
        return events

    def summary(self) -> dict[str, np.ndarray]:
        """Return the statistics of every unit, NaN before a unit is judged.

        Returns
        -------
        dict of ndarray, (units,)
            ``innovation_ratio``, mean squared innovation over its prediction (1 is right), and ``innovation_z``;
            ``drift_ratio``, the weights' random-walk speed over the learning rate (0 for a truth that stands still, 1
            where the rate is the best one), and ``drift_z`` (standard errors above 1); ``silence``, expected spikes
            since the last one (for features: recent mean squared innovation over its prediction); ``coverage`` of the
            95 % bounds, where the truth is known; ``error_sd``, predicted, of the worst weight; ``status`` bits (rate
            off 1, drifting 2, lost 4).
        """
        s, k = self.statistics, self._kernel
        with np.errstate(divide="ignore", invalid="ignore"):
            last = s[k.SILENCE] / s[k.SHORT] if self._gaussian else np.where(s[k.SPREAD] > 0, s[k.SILENCE], np.nan)
            return {
                "innovation_ratio": s[k.SQUARES] / s[k.PREDICTED],
                "innovation_z": (s[k.SQUARES] - s[k.PREDICTED]) / np.sqrt(s[k.SPREAD]),
                "drift_ratio": np.where(s[k.EXPECTED] > 0, s[k.EXCESS] / s[k.EXPECTED], np.nan),
                "drift_z": (s[k.EXCESS] - s[k.EXPECTED]) / np.sqrt(s[k.EXCESS_SPREAD]),
                "silence": last,
                "coverage": self.covered[0] / self.covered[1],
                "error_sd": self.error_sd().max(axis=0),
                "status": self.status.copy(),
            }

    def state(self) -> dict[str, Any]:
        """Return copies of all that the next bin depends on."""
        return {"count": self.count} | {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a :meth:`state` back, in place."""
        self.count = state["count"]
        for name, array in self._arrays().items():
            array[...] = state[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"units": self._state, "status": self.status, "covered": self.covered, "reported": self._reported}
        return arrays if self._written_out else arrays | {"matrices": self._matrices}

    def _detail(self, unit: int, bit: int) -> str:
        summary = self.summary()
        if bit == 0:
            ratio, z = summary["innovation_ratio"][unit], summary["innovation_z"][unit]
            return f"mean squared innovation {ratio:.2f} of what was predicted ({z:+.1f} standard errors)"
        if bit == 1:
            return f"weights move {summary['drift_ratio'][unit]:.1f} times faster than the learning rate assumes"
        if self._gaussian:
            return f"recent mean squared innovation {summary['silence'][unit]:.3f} of what was predicted"
        return f"{summary['silence'][unit]:.0f} spikes expected since the last one"
