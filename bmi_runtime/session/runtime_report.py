"""What the runtime tells its supervisor through a pipe that it never waits on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import Any

from bmi_runtime.session.heartbeat import Heartbeat, Place


class Report:
    """The runtime's end of the pipe to its supervisor: one JSON object a line; what does not fit is dropped.

    Parameters
    ----------
    pipe : int
    heartbeat : Heartbeat, optional
        Where the supervisor looks whether it moves.
    """

    def __init__(self, pipe: int, heartbeat: Heartbeat | None = None):
        self.pipe, self.heartbeat = pipe, heartbeat
        os.set_blocking(pipe, False)

    def send(self, **message: Any) -> None:
        """Send one message; never waits."""
        with contextlib.suppress(OSError):  # the pipe is full, or the supervisor is gone
            os.write(self.pipe, json.dumps(message).encode() + b"\n")

    def send_last(self, **message: Any) -> None:
        """Send one message that must arrive; the loop is over, so this may wait."""
        os.set_blocking(self.pipe, True)
        with contextlib.suppress(OSError):
            os.write(self.pipe, json.dumps(message).encode() + b"\n")


@dataclasses.dataclass
class RuntimeStatus:
    """What the supervisor knows of the runtime: from its reports."""

    ready: bool = False
    recording: str | None = None
    snapshot_offset: int | None = None
    bins: int = 0
    result: dict[str, Any] | None = None
    stopped_by_operator: bool = False
    failure: dict[str, Any] | None = None
    hung_in: Place | None = None
