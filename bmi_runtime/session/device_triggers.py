"""Events of the acquisition system (a TTL line, a marker) that begin or end trials, or begin the next block.

What an event sets off is a command, as the operator could have given it: recorded with the bin at which it takes
effect, so that a replay does the same without the device.
"""

from __future__ import annotations

from typing import Any

from bmi_runtime.session.core import Session
from bmi_runtime.tasks.base import ReachTask, begins_with

TRIALS = (("begin_on", "begin"), ("end_on", "end"))


class DeviceTriggers:
    """Turns events of the device into commands, as ``task.options`` says.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session):
        self.session = session
        self._waiting: list[dict[str, Any]] = []

    def see(self, event: dict[str, Any]) -> None:
        """Note an event; what it sets off is done before the next bin."""
        task, blocks = self.session.task, self.session.blocks
        if event["name"] != "device-event" or not isinstance(task, ReachTask):
            return
        options = task.options
        for option, what in TRIALS:
            if begins_with(getattr(options, option, ""), event):
                self._waiting.append({"set": "task.trial", "value": what})
        if blocks and begins_with(getattr(options, "block_on", ""), event) and blocks.number < len(blocks.sections):
            self._waiting.append({"set": "session.block", "value": blocks.number + 1})

    def take(self) -> list[dict[str, Any]]:
        """Return the commands since the last call."""
        waiting, self._waiting = self._waiting, []
        return waiting
