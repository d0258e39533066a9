"""A session whose outside world is a recording: what the subject saw and meant is given, only decoding is asked again.

A subject that sees another cursor intends something else, so another setting replayed with a cursor and a task of its
own teaches the adapter what nobody intended. Here the cursor, the target, the states of trials, the assist and the
intention of every bin are the recorded ones; the units' counts are too. What is left to differ is the decoder and what
the adapter learns: exactly what a recording can answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.config import Config, refuse_unknown
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import TrialState
from bmi_runtime.session.core import Session

ASKS_INTENTION = ("adapter.intention", "adapter.intention_frequency_hz")
"""Settings that ask for another teacher: inferred again, from the cursor and the target that were recorded."""


class ShownTask:
    """The task as the subject saw it: target, trial, state and score are those of the recording.

    Parameters
    ----------
    task : ReachTask
        Of the session, for what is not in a record.
    """

    def __init__(self, task: Any):
        self._task = task
        self._read()

    def _read(self) -> None:
        task = self._task
        self.target, self.trial_state, self.hold_fraction = task.target, task.trial_state, task.hold_fraction
        self.trial, self.successes, self.timeouts = task.trial, task.successes, task.timeouts
        self._ended = False

    def show(self, output: np.void) -> None:
        """Take the state of the bin whose recorded output is given."""
        successes, timeouts = int(output["successes"]), int(output["timeouts"])
        self._ended = successes > self.successes or timeouts > self.timeouts
        self.target = tuple(output["target"].tolist())
        self.trial_state, self.hold_fraction = TrialState(output["trial_state"]), float(output["hold_fraction"])
        self.trial, self.successes, self.timeouts = int(output["trial"]), successes, timeouts

    def advance(self, *_cursor: float) -> dict[str, Any] | None:
        """Return the event of a trial that ended in this bin of the recording, or None."""
        if not self._ended:
            return None
        self._ended = False
        return {"name": "trial", "trial": self.trial}

    def begin(self) -> None:
        """Do nothing: a block that begins gives up its trial in the recording already."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state in which the recording's task began; what followed is in the records."""
        return self._task.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Begin where a task was when its snapshot was taken."""
        self._task.restore(snapshot)
        self._read()


class OpenLoopSession(Session):
    """The session's own step around the recorded cursor, task, assist and intention.

    Parameters
    ----------
    config : Config
    model : EncodingModel
    infers : bool
        Whether the intention is inferred again, by ``adapter.intention``, from what was recorded as shown; otherwise
        the recorded intention teaches.
    """

    def __init__(self, config: Config, model: EncodingModel, infers: bool = False):
        super().__init__(config, model)
        self._shown_task = ShownTask(self.task)
        self.goal.task = self._shown_task  # type: ignore[assignment]  # it never begins a trial of its own
        self.goal.recorded = True  # the targets are those of the recording
        self._shown: Any = None
        if not infers:
            self.intend = lambda given: tuple(self._shown["intended"].tolist())

    def show(self, output: np.void) -> None:
        """Give the recorded output of the bin that comes next."""
        self._shown = output

    def _assist_now(self) -> float:
        return float(self._shown["assist"])

    def _place_cursor(self, *_decoded: Any) -> None:
        """Put the cursor where it was seen, whatever was decoded."""
        self.cursor[:] = self._shown["cursor"].tolist()
        self.decoder.set_position(*self.cursor[: self.space.n_axes])
        self._shown_task.show(self._shown)


KNOWABLE = (  # what decodes and what learns: the recording holds everything else that these need
    "adapter.",
    "decoder.",
    "encoding.",
    "safety.",
    "realtime.miss_policy",
    "session.left_out",
)
ANOTHER_WORLD = (
    "population.",
    "subject.",
    "source.",
    "stimulation.",
    "session.seed",
    "session.units",
    "session.features",
    "session.feature_bin_s",
    "state.",
    "session.likelihood",
)
NO_PART = (  # what leaves, how it is written down, and when
    "recording.", "telemetry.", "realtime.", "metadata.", "output.", "guard.", "session.duration_s",
    "session.unit_names",
)  # fmt: skip
CLICKS = "state.click_threshold"
ON_THE_SCREEN = ("decoder.gain",)
SET_AT_ONCE = ("decoder.frozen",)
"""Live parameters that are no keys of the configuration: set by command where the other setting begins."""


def refuse_unknowable(overrides, path: str) -> None:
    """Refuse settings whose effect no recording can tell, with the way that can.

    Raises
    ------
    BadInput
        Naming the setting and why.
    """
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key not in SET_AT_ONCE:
            refuse_unknown(key)
        if key.startswith(KNOWABLE) and key not in ON_THE_SCREEN:
            continue
        if key.startswith(NO_PART):
            raise BadInput(f"{key} has no part in what is decoded, so there is nothing to ask of {path}")
        if key.startswith("session.bin_s"):
            raise BadInput(f"{path} holds counts of whole bins, so no replay can ask for another session.bin_s")
        if key.startswith(CLICKS):
            raise BadInput(
                f"{key} decides which clicks select a target, and the subject answered to those that {path} holds; the "
                "decoded velocities that are compared do not depend on it, and no rehearsal has clicks: run another "
                "session for it"
            )
        if key.startswith(ANOTHER_WORLD):
            raise BadInput(
                f"{key} is about the world whose spikes {path} holds, and those are recorded: run another session "
                "for it"
            )
        raise BadInput(
            f"what {key} would have done cannot be known from a recording: the subject answered to the targets and "
            f"the cursor that it saw; 'bmi rehearse {path}' simulates sessions with the units and the subject fitted "
            "to it"
        )
