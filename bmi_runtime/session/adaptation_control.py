"""What watches over the adapter: the schedule of its rate, predicted against achieved, and the tracking of drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.calibration.drift import Recalibrator
from bmi_runtime.calibration.monitor import Monitor
from bmi_runtime.calibration.noise import NoiseVariance
from bmi_runtime.calibration.rate_search import LADDERS, RateSearch
from bmi_runtime.calibration.schedules import FloorSchedule
from bmi_runtime.config import Config
from bmi_runtime.encoding.adapter import Adapter

SMALLEST_RATE = 1e-9  # drift tracking never goes below this: a filter that cannot move cannot notice drift


class AdaptationController:
    """Schedule, monitor and drift tracking around one adapter; the session calls it once per adapted bin.

    Parameters
    ----------
    config : Config
    adapter : Adapter
        Its rate is set by the schedule and by drift tracking; the monitor only reads.
    """

    def __init__(self, config: Config, adapter: Adapter):
        model, section = adapter.model, config.adapter
        self.adapter, self.learning_rate = adapter, section.learning_rate
        self.monitor = Monitor(model.n_units, model.n_regressors, model.likelihood, config.bin_s)
        self.monitor.reset(model.covariance)
        self.schedule: FloorSchedule | None = None
        if section.schedule == "floor" and section.learning_rate > 0.0:
            self.schedule = FloorSchedule(section.learning_rate, model.n_units, model.likelihood, config.bin_s)
        self.recalibrator: Recalibrator | None = None
        if section.drift_tracking:
            self.recalibrator = Recalibrator(SMALLEST_RATE, section.drift_max_learning_rate, config.bin_s)
        self._white = section.drift_scores == "white"
        self.search: RateSearch | None = None
        if section.rate_search:
            ladder = LADDERS[section.search_ladder]
            self.search = RateSearch(model, section.learning_rate, *section.search_range, section.search_lag_s, ladder)
        self._restarts = section.search_restarts
        self.noise: NoiseVariance | None = None
        if section.estimate_noise and model.likelihood == "gaussian":
            self.noise = NoiseVariance(model.noise_variance, model.covariance)
        self._noise = model.noise_variance if model.likelihood == "gaussian" else None
        self.set_learning_rate(section.learning_rate)

    @property
    def steers(self) -> bool:
        """Whether what it sees changes what the adapter does; otherwise it only watches."""
        return bool(self.schedule or self.recalibrator or self.search or self.noise)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of all units; with a schedule, the floor that it ends at."""
        self.learning_rate = learning_rate
        if self.schedule and learning_rate > 0.0:
            self.schedule.floor[:] = learning_rate
            self.adapter.set_learning_rate(self.schedule.rate)
        else:
            self.adapter.set_learning_rate(learning_rate)

    def update(self, counts: np.ndarray, valid: np.ndarray, bin_number: int) -> list[dict[str, Any]]:
        """Watch the bin that the adapter has just learned from, and steer what comes next; return the events."""
        adapter = self.adapter
        seen = (adapter.regressors_of_units, counts, valid, adapter.innovation, adapter.model.covariance, self._noise)
        events: list[dict[str, Any]] = []
        if self.schedule:
            self.schedule.update(*seen)
            adapter.set_learning_rate(self.schedule.rate)
        if self.monitor.update(*seen) + self.monitor.watch(adapter.model.weights):
            events = [_as_event(event) for event in self.monitor.take_events(bin_number)]
        if self.noise:
            model = adapter.model
            self.noise.update(adapter.regressors, valid, adapter.innovation, model.covariance, model.noise_variance)
            model.noise_variance[:] = self.noise.estimate  # used from the next bin on
        if self.recalibrator:
            events += self._follow_drift(bin_number)
        if self.search:
            events += self._search(self.search, counts, valid)
        return events

    def _search(self, search: RateSearch, counts: np.ndarray, valid: np.ndarray) -> list[dict[str, Any]]:
        """Let the filters at other rates learn as well; take over rate and state of the one that predicts better."""
        old = self.learning_rate
        proposed = search.update(self.adapter, counts, valid, old)
        units = search.hand_over() if old > 0.0 else 0
        if proposed is None and not units:
            return []
        new = old if proposed is None else proposed
        self.set_learning_rate(new)
        if units:
            self.monitor.reset(self.adapter.model.covariance)  # what it predicted was of the weights before
        why = "filters at other rates predict better" if proposed else "a filter at another rate had learned better"
        return [{"name": "learning-rate", "old": old, "new": new, "why": why, "weights_of_units": units}]

    def take_restarted(self, units: np.ndarray) -> None:
        """Start units again in the filters at other rates, too: one of them would give the adapter its loss back."""
        if self.search and self._restarts:
            self.search.take_restarted(units)

    def repair(self, initial_variance: float) -> None:
        """Start units again whose numbers a filter at another rate has lost: its score would never be one again."""
        if self.search and self._restarts:
            self.search.repair(initial_variance)

    def _follow_drift(self, bin_number: int) -> list[dict[str, Any]]:
        assert self.recalibrator
        old = self.learning_rate
        if old <= 0.0 or not self.recalibrator.due(bin_number):
            return []
        delayed = None if self._white else self.monitor.delayed_drift()
        proposed = self.recalibrator.update(bin_number, self.monitor.statistics, old, delayed)
        if proposed is None:
            return []
        self.set_learning_rate(proposed)
        return [{"name": "learning-rate", "old": old, "new": proposed, "why": "tuning drifts at another speed"}]

    def report(self, truth: np.ndarray | None = None) -> dict[str, Any]:
        """Return predicted against achieved over all units, for telemetry and the recording.

        Parameters
        ----------
        truth : ndarray, (regressors, units), optional
            The true weights, where they are known; counted toward the coverage of the predicted 95 % bounds.

        Returns
        -------
        dict
            ``innovation_ratio`` and ``drift_ratio`` (medians over units; see `Monitor.summary`), ``coverage``
            (mean; None where the truth is not known), and how many units are ``rate_off``, ``drifting``, ``lost``.
        """
        if truth is not None:
            self.monitor.compare(self.adapter.model.weights, truth)
        summary = self.monitor.summary()
        status = summary["status"]
        report: dict[str, Any] = {name: _middle(summary[name]) for name in ("innovation_ratio", "drift_ratio")}
        report["coverage"] = _middle(summary["coverage"], np.mean)
        for bit, name in enumerate(("rate_off", "drifting", "lost")):
            report[name] = int((status >> bit & 1).sum())
        return report

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        schedule = self.schedule.state() if self.schedule else None
        noise = self.noise.state() if self.noise else None
        search = {"search": self.search.snapshot()} if self.search else {}
        return {
            "rate": self.learning_rate,
            "monitor": self.monitor.state(),
            "schedule": schedule,
            "noise": noise,
            **search,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.monitor.restore(snapshot["monitor"])
        if self.schedule and snapshot["schedule"]:
            self.schedule.restore(snapshot["schedule"])
        if self.noise and snapshot["noise"]:
            self.noise.restore(snapshot["noise"])
        if self.search and snapshot.get("search"):
            self.search.restore(snapshot["search"])
        self.set_learning_rate(snapshot["rate"])


def _as_event(event: Any) -> dict[str, Any]:
    began = "began" if event.began else "ended"
    return {"name": event.kind.replace(" ", "-"), "unit": event.unit, "change": began, "detail": event.detail}


def _middle(values: np.ndarray, of: Any = np.median) -> float | None:
    known = values[np.isfinite(values)]
    return float(of(known)) if known.size else None
