"""A replayed session at a bin of its recording, that can go anywhere."""

from __future__ import annotations

from typing import Any

from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.core import Session
from bmi_runtime.session.replay import Replay, session_from


class Position:
    """A replayed session at a bin of its recording, that can go anywhere.

    Parameters
    ----------
    recording : Recording
    overrides : sequence of str
    """

    def __init__(self, recording: Recording, overrides=()):
        self.replay = Replay(recording, overrides)
        self.overrides = tuple(overrides)
        self.snapshots = [snapshot for _, snapshot in recording.messages("snapshot")]
        self.first_difference: int | None = None

    @property
    def bin(self) -> int:
        """Bins done."""
        return self.replay.position

    @property
    def session(self) -> Session:
        """The session as it is after these bins."""
        return self.replay.session

    def advance(self, bins: int) -> None:
        """Step this many bins on, or to the end."""
        replay = self.replay
        for _ in range(min(bins, len(replay.steps) - replay.position)):
            if not replay.next() and self.first_difference is None:
                self.first_difference = replay.position - 1

    def go_to(self, bin_index: int) -> None:
        """Go to a bin: on from here or from the nearest snapshot before it, whichever is nearer."""
        bin_index = min(max(bin_index, 0), len(self.replay.steps))
        near = max((s for s in self.snapshots if self._place(s) <= bin_index), key=self._place)
        if self.overrides:  # another setting: snapshots of the recording do not hold its state
            near = self.snapshots[0]
        if not self._place(near) <= self.bin <= bin_index:
            self._restore(near)
        self.advance(bin_index - self.bin)

    def _place(self, snapshot: dict[str, Any]) -> int:
        """Return where in this recording a snapshot was taken: a resumed session goes on counting its parent's bins."""
        return int(snapshot["bins"]) - int(self.snapshots[0]["bins"])

    def _restore(self, snapshot: dict[str, Any]) -> None:
        session = session_from(self.replay.recording, self.overrides)
        if not self.overrides:
            session.restore(snapshot)
        session.events.clear()
        self.replay.session, self.replay.position = session, self._place(snapshot)
