"""What a running session says of itself to whoever watches: configuration, model, health."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bmi_runtime.messages import STAGES
from bmi_runtime.recording.writer import RecordingWriter
from bmi_runtime.security import refused_clients
from bmi_runtime.session.core import Session
from bmi_runtime.session.live_parameters import current_values, live_parameters
from bmi_runtime.session.resume import Resumption
from bmi_runtime.session.tally import Tally
from bmi_runtime.session.telemetry import Control, Telemetry
from bmi_runtime.sources.base import HasTruth, ReportsHealth


class Status:
    """The messages about a session that are not its steps.

    Parameters
    ----------
    session : Session
    source : Source
    tally : Tally
    recorder : RecordingWriter or None
    telemetry : Telemetry or None
    control : Control or None
    resumed : Resumption or None
        Where the session comes from.
    """

    def __init__(
        self,
        session: Session,
        source: Any,
        tally: Tally,
        recorder: RecordingWriter | None,
        telemetry: Telemetry | None,
        control: Control | None,
        resumed: Resumption | None,
    ):
        self.session, self.source, self.tally = session, source, tally
        self.recorder, self.telemetry, self.control, self.resumed = recorder, telemetry, control, resumed
        self._lasting: dict[str, Any] = {}

    def hello(self) -> dict[str, Any]:
        """Return what a viewer that joins late needs: the configuration, the model, the state of the session."""
        recent = self.telemetry.recent() if self.telemetry else []
        return self.greeting() | {"model": self.model(), "recent": recent}

    def greeting(self) -> dict[str, Any]:
        """Return what even a viewer that may not ask must know; what does not change is put together once."""
        session = self.session
        if not self._lasting:
            self._lasting = self._unchanging()
        for key, value in current_values(session).items():
            self._lasting["live_parameters"][key]["value"] = value
        if self.telemetry:
            self._lasting["run"] = self.telemetry.run
        return {**self._lasting, "bin": session.bins, "elapsed_s": session.bins * session.config.bin_s}

    def _unchanging(self) -> dict[str, Any]:
        return {
            "config": self.session.config.model_dump(),
            "recording": str(self.recorder.path.absolute()) if self.recorder else None,
            "simulated": isinstance(self.source, HasTruth),
            "live_parameters": live_parameters(self.session),
            "resumed_from": os.path.abspath(self.resumed.parent["path"]) if self.resumed else None,
        }

    def model(self) -> dict[str, Any]:
        """Return weights and covariances, the predicted error, and the truth where the source knows it."""
        message = self.session.model.state()
        message["predicted_sd"] = self.session.adaptation.monitor.error_sd()
        if (truth := self._truth()) is not None:
            message["truth"] = truth
        return message

    def _truth(self) -> np.ndarray | None:
        """Return the true weights, where the source knows them and they are those of this model."""
        truth = self.source.truth() if isinstance(self.source, HasTruth) else None
        return truth if truth is not None and np.shape(truth) == self.session.model.weights.shape else None

    def health(self) -> dict[str, Any]:
        """Return latencies, misses, and what the recording and the control socket refused."""
        tally, control = self.tally, self.control
        return {
            "bins": self.session.bins,
            "adaptation": self.session.adaptation.report(self._truth()),
            "latency_us": tally.latency.summary(),
            "stages_us": {name: tally.stages[number].summary() for number, name in enumerate(STAGES)},
            "deadline_misses": tally.deadline_misses,
            "recording_failed": tally.recording_failed,
            "messages_lost": self._messages_lost(),
            "refused_commands": control.refused if control else 0,
            "refused_clients": refused_clients(),
            "source": self._source_health(),
        }

    def result(self) -> dict[str, Any]:
        """Return the figures of the run."""
        return self.tally.result(self.session) | {
            "recording": str(self.recorder.path) if self.recorder else None,
            "messages_lost": self._messages_lost(),
            "source": self._source_health(),
        }

    def _messages_lost(self) -> int:
        return self.recorder.messages_lost if self.recorder else 0

    def _source_health(self) -> dict[str, Any]:
        return self.source.health() if isinstance(self.source, ReportsHealth) else {}
