"""Live: is every unit where the calibration said it would be?"""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from bmi_runtime.calibration.exact_recursion import unpack
from bmi_runtime.constants import Z_95
from bmi_runtime.errors import BadInput

BLOCK_S = 1.5  # of the delayed statistics: scores that repeat themselves within it have not drifted
REFERENCE_WINDOWS = 10.0  # of the windows that the usual mean squared innovation is averaged over
DISPERSION = {"poisson": 2.0, "gaussian": 1.4}
"""Squared innovations over the prediction that are off: eight real spiking units in ten have 0.66 to 1.35; the noise of
a feature is what the filter was told or found."""
REGULAR = {"poisson": 5.0, "gaussian": 1.4}
"""Prediction over squared innovations that is off: busy units that fire more regularly than Poisson ones have 2 to 3
(refractory time), which is how they are and makes their weights err less."""
MOVED = 30.0  # squared distance of the gains from their usual value, in units of their usual scatter, that is a change
SUSPECT, SUSPECT_SHARE = 9.0, 0.2  # squared distance beyond which the usual hardly follows (one in ninety by chance)
USUAL_S, USUAL_MEMORIES = 200.0, 10.0  # over which the usual is averaged: the longer of both
SMOOTH_S = 20.0  # gains of filters that forget faster are averaged, so that one memory's scatter does not hide a change
DRIFT_Z = 3.5  # of J over blocks, of which a window holds twenty: more than twice what the rate assumes, as well
MOST_LOSS = 0.6  # of the filter's memory over the delay: a filter that forgets faster cannot tell drift from scores


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

        changed = monitor.update(regressors, counts, valid, innovation, covariance, noise_variance)
        if changed + monitor.watch(weights):
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
        from bmi_runtime.kernels import correlated, monitoring, monitoring_any, monitoring_plane

        if min(window_s, short_window_s) <= bin_s:
            raise BadInput(f"the monitor's windows must be longer than a bin of {bin_s:g} s")
        self._kernel, self._any_kernel, self._late_kernel = monitoring, monitoring_any, correlated
        self._plane_kernel = monitoring_plane
        self.limits = limits or Limits()
        self._bin_s = bin_s
        self._gaussian = likelihood == "gaussian"
        single = likelihood == "poisson" and counts == "bernoulli"
        self._keep = float(np.exp(-bin_s / window_s))
        self._settings = np.array([
            self._gaussian, single, self._keep, np.exp(-bin_s / short_window_s), *self.limits.in_order()
        ])  # fmt: skip
        self._state = np.zeros((units, monitoring.N_STATE))
        self._rows, pairs = np.zeros((0, units)), regressors * (regressors + 1) // 2
        # that kernel adds in the order that recordings of two axes were made with, so that they replay to the bit
        self._written_out = regressors == monitoring.REGRESSORS
        if not self._written_out:
            self._rows = np.zeros((monitoring_any.matrices_size(regressors), units))
            self._work = np.zeros(monitoring_any.work_shape(regressors))
            self._gains = np.zeros((regressors, units))
        self._diagonal = [a * (a + 3) // 2 for a in range(regressors)]
        self.error_cov = self._state[:, :pairs].T if self._written_out else self._rows[:pairs]
        self.statistics = self._state.T
        self.status = np.zeros(units, dtype=np.int64)
        self.covered = np.zeros((2, units))
        self.count = 0
        self._every = max(1, round(judge_every_s / bin_s))
        self._reported = self.status.copy()
        self._ones = np.ones(units)
        self._block = max(1, round(BLOCK_S / bin_s))
        self._traces = 3 * regressors
        self._usual, self._recent = np.zeros((2 * regressors + 2, units)), np.zeros((regressors, units))
        self._late = np.zeros((units, self._traces + correlated.N_LATE))
        self._own = np.array([
            self._block, np.exp(-bin_s / (REFERENCE_WINDOWS * window_s)), window_s / (self._block * bin_s),
            DISPERSION[likelihood], MOST_LOSS, DRIFT_Z, REGULAR[likelihood],
        ])  # fmt: skip

    def reset(self, covariance: np.ndarray) -> None:
        """Start again from the covariance of the weights' error, (pairs, units): the filter's initial covariance."""
        self.count = 0
        for array in self._arrays().values():
            array[...] = 0
        self.error_cov[...] = covariance

    def update(self, regressors, counts, valid, innovation, covariance, noise_variance=None) -> int:
        """Take one bin; return how many units' conditions changed.

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
        judge, boundary = self.count % self._every == 0, self.count % self._block == 0
        late = (self._settings, self._own, boundary, judge, self._state, self._late, self.status)
        if self._written_out:
            return self._plane_kernel.monitor_plane(regressors, counts, valid, innovation, covariance, noise, *late)
        rows = regressors if regressors.ndim == 2 else regressors[:, None]
        seen, gains = (rows, counts, valid, innovation), self._gains
        mine = (self._settings, self._rows, self._state, gains, self._work)
        self._any_kernel.monitor_step_any(*seen, covariance, noise, *mine)
        return self._late_kernel.correlated_step(*seen, gains, noise, *late)

    def watch(self, weights: np.ndarray) -> int:
        """Compare every unit's gains with what they usually are; return how many units moved away or came back.

        To be called in every bin, after :meth:`update`; works once a block. Weights of a filter whose memory is shorter
        than `SMOOTH_S` are averaged over the rest of that time; of what scatters with memory T, an average over A
        keeps the variance T / (T + A) (derived). The usual is a leaky mean over `USUAL_S` or `USUAL_MEMORIES` of the
        filter, the scatter around it the larger of what was seen and what is predicted, so that neither correlated nor
        overdispersed scores look like a change (a squared distance of `MOVED` is one).

        Parameters
        ----------
        weights : ndarray, (regressors, units)
        """
        if self.count % self._block:
            return 0
        d, late = len(weights), self._late[:, self._traces :].T
        mean, scatter, seen, moved = self._usual[:d], self._usual[d : 2 * d], self._usual[-2], self._usual[-1]
        loss = np.maximum(late[self._late_kernel.LOSS], 1e-12)
        usual_blocks = np.maximum(USUAL_S / (self._block * self._bin_s), USUAL_MEMORIES / (loss * self._block))
        ready = self.statistics[self._kernel.SEEN] >= self.limits.memories
        memory_blocks = 1.0 / (loss * self._block)
        averaged = np.maximum(SMOOTH_S / (self._block * self._bin_s) - memory_blocks, 0.0)
        smoothed = np.where(ready & (seen > 0), 1.0 / (1.0 + averaged), 1.0)
        self._recent += smoothed * (weights - self._recent)
        mean[:] = np.where(ready & (seen == 0), weights, mean)
        seen += ready
        share = np.where(ready, np.maximum(1.0 / usual_blocks, 1.0 / np.maximum(seen, 1.0)), 0.0)
        away = self._recent - mean
        spread = np.maximum(scatter, memory_blocks / (memory_blocks + averaged) * self.error_cov[self._diagonal])
        distance = (away[1:] ** 2 / np.maximum(spread[1:], 1e-300)).sum(axis=0)
        limit = MOVED * np.where(moved > 0, self.limits.ease, 1.0)
        now = (seen > usual_blocks) & (distance > limit)
        changed = int((now != (moved > 0)).sum())
        share = np.where(distance > SUSPECT, SUSPECT_SHARE, 1.0) * share  # a change must not hide itself
        mean += share * away
        scatter += share * (away**2 - scatter)
        moved[:] = now
        return changed

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
        status = self.conditions
        for unit in np.flatnonzero(status != self._reported):
            for bit, kind in enumerate(self.KINDS):
                now, before = status[unit] >> bit & 1, self._reported[unit] >> bit & 1
                if now != before:
                    events.append(Event(bin_number, int(unit), kind, bool(now), self._detail(int(unit), bit)))
        self._reported[:] = status
        return events

    @property
    def conditions(self) -> np.ndarray:
        """The conditions of every unit now, (units,): rate off 1, tuning drifting 2, unit lost 4."""
        moved = np.where(self._usual[-1] > 0, self._kernel.DRIFTING, 0)
        return self.status | moved

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
        late, names = self._late[:, self._traces :].T, self._late_kernel
        with np.errstate(divide="ignore", invalid="ignore"):
            last = s[k.SILENCE] / s[k.SHORT] if self._gaussian else np.where(s[k.SPREAD] > 0, s[k.SILENCE], np.nan)
            return {
                "innovation_ratio": s[k.SQUARES] / s[k.PREDICTED],
                "innovation_z": (s[k.SQUARES] - s[k.PREDICTED])
                / np.sqrt(np.maximum(s[k.SPREAD], late[names.Q_SPREAD])),
                "drift_ratio": np.where(late[names.J_QUIET] > 0, late[names.J_SUM] / late[names.J_QUIET], np.nan),
                "drift_z": (late[names.J_SUM] - late[names.J_QUIET]) / np.sqrt(late[names.J_SPREAD]),
                "silence": last,
                "coverage": self.covered[0] / self.covered[1],
                "error_sd": self.error_sd().max(axis=0),
                "status": self.conditions,
            }

    def delayed_drift(self) -> np.ndarray:
        """Return the sums of J, of J where the truth moves as the rate assumes, and of J's spread, (3, units).

        Of steps that follow others of more than `BLOCK_S` ago, so that scores which repeat are not drift;
        NaN for units that are not judged, are lost, or whose filter forgets too fast to tell.
        """
        late, names = self._late[:, self._traces :].T, self._late_kernel
        told = 1.5 * self._block * late[names.LOSS] < MOST_LOSS
        told &= (late[names.J_QUIET] > 0) & (self.status & self._kernel.LOST == 0)
        return np.where(told, late[[names.J_SUM, names.J_QUIET, names.J_SPREAD]], np.nan)

    def state(self) -> dict[str, Any]:
        """Return copies of all that the next bin depends on."""
        return {"count": self.count} | {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a :meth:`state` back, in place."""
        self.count = state["count"]
        for name, array in self._arrays().items():
            array[...] = state.get(name, 0)  # recordings from before the delayed statistics have none
        if "recent" not in state:
            self._recent[...] = self._usual[: len(self._recent)]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"units": self._state, "status": self.status, "covered": self.covered, "reported": self._reported}
        arrays |= {"late": self._late, "usual": self._usual, "recent": self._recent}
        return arrays if self._written_out else arrays | {"matrices": self._rows.T}

    def _detail(self, unit: int, bit: int) -> str:
        summary = self.summary()
        if bit == 0:
            ratio, z = summary["innovation_ratio"][unit], summary["innovation_z"][unit]
            return f"mean squared innovation {ratio:.2f} of what was predicted ({z:+.1f} standard errors)"
        if bit == 1 and self._usual[-1, unit] > 0:
            return "tuning has left what it was in the minutes before, by far more than its scatter"
        if bit == 1:
            return f"weights move {summary['drift_ratio'][unit]:.1f} times faster than the learning rate assumes"
        if self._gaussian:
            return f"recent mean squared innovation {summary['silence'][unit]:.3f} of what was predicted"
        return f"{summary['silence'][unit]:.0f} spikes expected since the last one"
