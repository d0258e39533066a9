"""Continuous features beside spiking units: what came, and what is learned of it at its own rate and bin width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.artifacts import ArtifactGate
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import soundness
from bmi_runtime.session.adaptation_control import AdaptationController

NONE_LEFT_OUT = np.zeros(0, np.int64)  # `session.left_out` names units


class FeatureBlock:
    """The block of features of a mixed session.

    Features come every ``session.feature_bin_s`` and describe the time since they last came, so the filter is taught
    with the mean intention of that time. A feature that is not a number is missing; a bin in which all are, or in which
    they are an artifact, is one in which none came.

    Parameters
    ----------
    config : Config
    model : EncodingModel
        Of the features; adapted in place.
    """

    def __init__(self, config: Config, model: EncodingModel):
        n = config.session.features
        if model.n_units != n or model.likelihood != "gaussian":
            raise BadInput(
                f"the encoding model has {model.n_units} {model.likelihood} features, the configuration asks for {n} "
                "gaussian ones (session.features)"
            )
        self.model = model
        adapter = config.adapter.model_copy(update={"learning_rate": config.adapter.feature_learning_rate})
        own_bins = config.session.model_copy(update={"bin_s": config.session.feature_bin_s})
        own = config.model_copy(update={"adapter": adapter, "session": own_bins})
        self.adapter = Adapter(model, adapter.learning_rate)
        self.adaptation = AdaptationController(own, self.adapter)
        self.values, self.valid, self.came = np.zeros(n), np.ones(n), False
        self._largest, self._first_unit = config.safety.max_feature, config.session.units
        self._learned = False
        self._sums, self._bins = [0.0] * (2 * config.space.n_axes), 0
        self.artifacts = ArtifactGate(n, config.session.feature_bin_s, config.safety, features=True)

    def take(self, given: np.ndarray, events: list[dict[str, Any]]) -> bool:
        """Take the features (features,) of a bin; return whether any came."""
        into = (self.values, self.valid, NONE_LEFT_OUT)
        refused = soundness.take_features(given, self._largest, *into, *self.artifacts.arguments)
        if refused < 0:
            events.append({"name": "artifact", "features": int(self.artifacts.lately[0])})
            self.came = False
            return False
        self.came = refused < given.size
        wrong = refused - np.count_nonzero(given != given) if refused else 0  # NaN is not itself: it is missing
        if wrong:
            events.append({"name": "refused-features", "features": wrong})
        return self.came

    def learn(self, adapting: bool, velocity_m_s: Sequence[float], position_m: Sequence[float]) -> float:
        """Take the intention of a bin; learn when features came. Returns their log likelihood, 0 without."""
        if adapting:
            for at, value in enumerate((*velocity_m_s, *position_m)):
                self._sums[at] += value
            self._bins += 1
        if not self.came:
            return 0.0
        likelihood = 0.0
        if adapting:
            means, n = [total / self._bins for total in self._sums], len(velocity_m_s)
            likelihood = self.adapter.update(self.values, self.valid, *means[:n], position_m=means[n:])
            self._learned = math.isfinite(likelihood)
        self._sums, self._bins = [0.0] * len(self._sums), 0
        return likelihood

    def settle(self, bin_number: int) -> list[dict[str, Any]]:
        """Hold predicted against achieved; in events, features are numbered on from the spiking units."""
        if not self._learned:
            return []
        self._learned = False
        events = self.adaptation.update(self.values, self.valid, bin_number)
        return [event | {"unit": event["unit"] + self._first_unit} if "unit" in event else event for event in events]

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on, but the model."""
        return {"oversight": self.adaptation.snapshot(), "sums": list(self._sums), "bins": self._bins} | (
            {"artifacts": self.artifacts.snapshot()} if self.artifacts.on else {}
        )

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.adaptation.restore(snapshot["oversight"])
        self._sums, self._bins = list(snapshot["sums"]), snapshot["bins"]
        self.artifacts.restore(snapshot.get("artifacts", {}))
