"""What a session learns: the encoding model is adapted in every bin that may teach it, and watched over afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History
from bmi_runtime.kernels import soundness
from bmi_runtime.session.adaptation_control import AdaptationController
from bmi_runtime.session.features import FeatureBlock
from bmi_runtime.session.inputs import Inputs

Labels = list[tuple[list[float], float]]
LOST_SHARE = 0.1  # of a bin, as one at rest, where hardly a label is known: a goal lasts twenty bins and more
DWELLING_SHARE = 0.5  # of one that dwells on a goal: the next goal may be meant already


class LateBins:
    """The last bins, for labels that are known only later.

    Parameters
    ----------
    n_units : int
    dtype : numpy.dtype
        Of the counts that are kept.
    """

    def __init__(self, n_units: int, dtype: np.dtype):
        self.n_units, self.dtype, self.bins, self.seen = n_units, dtype, 0, 0

    def _begin(self, bins: int, axes: int) -> None:
        self.bins, self.seen = bins, 0
        self.counts = np.zeros((bins, self.n_units), self.dtype)
        self.valid = np.zeros((bins, self.n_units), bool)
        self.positions, self.allowed = np.zeros((bins, axes)), np.zeros(bins, bool)

    def keep(self, inputs: Inputs, position: Sequence[float], allowed: bool, lag_bins: int) -> None:
        """Keep a bin in place of the oldest one."""
        if self.bins != lag_bins + 1:
            self._begin(lag_bins + 1, len(position))
        at = self.seen % self.bins
        self.counts[at], self.valid[at], self.allowed[at] = inputs.counts, inputs.valid, allowed
        self.positions[at] = [x if x - x == 0.0 else 0.0 for x in position]
        self.seen += 1

    def oldest(self) -> tuple[np.ndarray, np.ndarray, list[float]] | None:
        """Return counts, validity and position of the oldest bin, where it may teach."""
        at = self.seen % self.bins
        if self.seen < self.bins or not self.allowed[at]:
            return None
        return self.counts[at].astype(float), self.valid[at].astype(float), self.positions[at].tolist()

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        names = ("counts", "valid", "positions", "allowed")
        return {"seen": self.seen, **{name: getattr(self, name).copy() for name in names}}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._begin(*np.shape(snapshot["positions"]))
        self.seen = int(snapshot["seen"])
        for name in ("counts", "valid", "positions", "allowed"):
            getattr(self, name)[...] = snapshot[name]


def _at_rest_where_missing(values: Sequence[float]) -> list[float]:
    return [v if v - v == 0.0 else 0.0 for v in values]  # v - v: 0 for finite numbers alone


class Learning:
    """The adapter, what watches over it, and the features that are learned beside the units.

    Parameters
    ----------
    config : Config
    model : EncodingModel
        Adapted in place.

    Attributes
    ----------
    adapter : Adapter
    control : AdaptationController
    features : FeatureBlock or None
    history : History or None
        What the units themselves fired lately, where their rates depend on it.
    """

    def __init__(self, config: Config, model: EncodingModel):
        self.model, self._initial_sd = model, config.encoding.initial_sd
        self.adapter = Adapter(model, config.adapter.learning_rate, config.adapter.large_steps)
        self.control = AdaptationController(config, self.adapter)
        self.features = FeatureBlock(config, model.features) if model.features else None
        self.history: History | None = None
        if model.regressors.n_history:
            self.history = History(model.regressors, model.n_units, config.bin_s)
            self.adapter.history = self.history.traces
        self.late = LateBins(model.n_units, np.dtype("f4" if model.likelihood == "poisson" else "f8"))
        self._taught = (np.zeros(0), np.zeros(0))  # counts and their validity that were learned from last
        self._unsettled = False  # whether the newest bin was adapted to and is still to be watched over

    def adapt(
        self, inputs: Inputs, intended: Sequence[float], position: Sequence[float], labels: Labels, click: float
    ) -> float:
        """Learn from a bin; return its log likelihood before the update. An axis that is missing is at rest.

        Parameters
        ----------
        inputs : Inputs
        intended, position : sequence of float
            Velocity (m/s) and position (m) that the units are taken to encode.
        labels : list
            Candidate velocities with their probabilities; used where there are several.
        click : float
            Probability that a click was intended.
        """
        self._taught = counts, valid = inputs.counts, inputs.valid
        velocity = intended if math.isfinite(sum(intended)) else _at_rest_where_missing(intended)
        if position:
            position = _at_rest_where_missing(position)
        self._unsettled = len(labels) < 2  # predicted against achieved is for bins whose label is known
        if self._unsettled:
            likelihood = self.adapter.learn(counts, valid, velocity, position, click)
        else:
            likelihood = self.adapter.update_weighted(counts, valid, labels, position)
        return likelihood + self.features.learn(True, velocity, position) if self.features else likelihood

    def adapt_late(
        self,
        inputs: Inputs,
        position: Sequence[float],
        allowed: bool,
        lag_bins: int,
        labels: Labels,
        lost: bool,
        dwelling: list[float] | None = None,
    ) -> float:
        """Keep a bin, and learn from the one of `lag_bins` ago; return its log likelihood, NaN without a label.

        A bin at rest tells of baselines: while the cursor dwells on a goal, and, where hardly a label is known any
        more (`lost`), as the intended velocity of many goals averages to rest. Units that are not those of yesterday
        push the cursor aside, and where it does not go where it is meant to, no goal can be inferred.

        Parameters
        ----------
        inputs : Inputs
        position : sequence of float
        allowed : bool
            Whether the bin that has come may ever teach.
        lag_bins : int
        labels : list
            Of the earlier bin; empty where they are not known.
        lost : bool
            Whether that is so of nearly all bins.
        dwelling : list of float or None
            The aim (m/s) where it is not the goal that is not known, but whether it is meant still.
        """
        self.late.keep(inputs, position, allowed, lag_bins)
        bin_before = self.late.oldest()
        if bin_before is None:
            return math.nan
        counts, valid, place = bin_before
        if not labels:
            if lost:
                rest = [0.0] * self.model.regressors.n_axes
                self.adapter.update_share(counts, valid, (rest, LOST_SHARE), place)
            elif dwelling is not None:  # gains learn hardly of it, and their covariance shall not grow
                self.adapter.update_share(counts, valid, (dwelling, DWELLING_SHARE), place, walks=False)
            return math.nan
        self._taught, self._unsettled = (counts, valid), len(labels) < 2
        return self.adapter.update_weighted(counts, valid, labels, place)

    def pass_by(self, intended: Sequence[float], position: Sequence[float]) -> float:
        """Let a bin go by that teaches nothing; its log likelihood is not known (NaN)."""
        if self.features:
            self.features.learn(False, intended, position)
        return math.nan

    def settle(self, inputs: Inputs, bin_number: int) -> list[dict[str, Any]]:
        """Hold predicted against achieved in the bin that was adapted to; return the events."""
        events: list[dict[str, Any]] = []
        if self._unsettled:
            self._unsettled = False
            events = self.control.update(*self._taught, bin_number)
            if self.features:
                events = events + self.features.settle(bin_number)
        if self.history:
            self.history.take(inputs.counts)
        return events

    def repair(self) -> int:
        """Start units again whose weights or covariance are lost, and return how many: one must not end a session."""
        variance = self._initial_sd * self._initial_sd
        lost = soundness.repair(self.model.weights, self.model.covariance, variance)
        if self.features:
            lost += soundness.repair(self.features.model.weights, self.features.model.covariance, variance)
        self.control.repair(variance)
        return int(lost)

    def take_restarted(self, units: np.ndarray) -> None:
        """Note that these units (int64) of the model started again: filters beside it are not to bring them back."""
        self.control.take_restarted(units)

    def checksum(self) -> int:
        """Return a checksum of all weights, which a replay must meet in every bin."""
        own = soundness.checksum(self.model.weights)
        return own ^ soundness.checksum(self.features.model.weights) if self.features else own

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {
            "model": self.model.state(),
            "oversight": self.control.snapshot(),
            **({"features": self.features.snapshot()} if self.features else {}),
            **({"history": self.history.traces.copy()} if self.history else {}),
            **({"late": self.late.snapshot()} if self.late.bins else {}),
        }

    def restore_model(self, snapshot: dict[str, Any]) -> None:
        """Restore the model of a session's snapshot: first of all, as decoders read it."""
        self.model.restore(snapshot["model"])

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore everything but the model."""
        self.control.restore(snapshot["oversight"])
        if self.features:
            self.features.restore(snapshot["features"])
        if self.history:
            self.history.traces[...] = snapshot["history"]
        if "late" in snapshot:
            self.late.restore(snapshot["late"])
