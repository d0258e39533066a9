"""What a session learns: the encoding model is adapted in every bin that may teach it, and watched over afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History
from bmi_runtime.kernels import soundness
from bmi_runtime.session.adaptation_control import AdaptationController
from bmi_runtime.session.features import FeatureBlock
from bmi_runtime.session.inputs import Inputs

Labels = list[tuple[list[float], float]]


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
        self.adapter = Adapter(model, config.adapter.learning_rate)
        self.control = AdaptationController(config, self.adapter)
        self.features = FeatureBlock(config, model.features) if model.features else None
        self.history: History | None = None
        if model.regressors.n_history:
            self.history = History(model.regressors, model.n_units, config.bin_s)
            self.adapter.history = self.history.traces
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
        counts, valid = inputs.counts, inputs.valid
        velocity = intended if math.isfinite(sum(intended)) else _at_rest_where_missing(intended)
        if position:
            position = _at_rest_where_missing(position)
        self._unsettled = len(labels) < 2  # predicted against achieved is for bins whose label is known
        if self._unsettled:
            likelihood = self.adapter.learn(counts, valid, velocity, position, click)
        else:
            likelihood = self.adapter.update_weighted(counts, valid, labels, position)
        return likelihood + self.features.learn(True, velocity, position) if self.features else likelihood

    def pass_by(self, intended: Sequence[float], position: Sequence[float]) -> None:
        """Let a bin go by that teaches nothing."""
        if self.features:
            self.features.learn(False, intended, position)

    def settle(self, inputs: Inputs, bin_number: int) -> list[dict[str, Any]]:
        """Hold predicted against achieved in the bin that was adapted to; return the events."""
        events: list[dict[str, Any]] = []
        if self._unsettled:
            self._unsettled = False
            events = self.control.update(inputs.counts, inputs.valid, bin_number)
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
        return int(lost)

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
