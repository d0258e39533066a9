"""A panel of another package that does not come back: the console would stand still for as long."""

from __future__ import annotations

import signal
from types import FrameType

from pyqtgraph.Qt import QtCore

from gui.panel_faults import PanelFaults, whose

TICK_MS = 250
HUNG_AFTER_S = 3.0  # without an answer to events; after half of it somebody is suspected, at its end taken off


class PanelHangs(BaseException):
    """Raised in a panel that does not come back; no ``except Exception`` of the panel keeps it."""


class HangWatch(QtCore.QObject):
    """Interrupts a panel of another package that keeps Qt from its events, so that it is taken off as one that failed.

    The timer of the process is wound up again and again while events are answered. When it rings, Python asks
    :meth:`_rung` in the middle of what runs: in the panel's own code, or in its wait. A panel that hangs in compiled
    code is not reached.

    Parameters
    ----------
    faults : PanelFaults
    """

    def __init__(self, faults: PanelFaults):
        super().__init__()
        self.faults, self.suspected = faults, ""
        self.timer = QtCore.QTimer(self)
        self.timer.timeout.connect(self._answers)

    def start(self) -> None:
        """Begin to watch, where the system has such a timer."""
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._rung)
            self._answers()
            self.timer.start(TICK_MS)

    def stop(self) -> None:
        """Watch no more."""
        self.timer.stop()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _answers(self) -> None:
        self.suspected = ""
        signal.setitimer(signal.ITIMER_REAL, HUNG_AFTER_S / 2)

    def _rung(self, _signal: int, frame: FrameType | None) -> None:
        """Suspect the panel whose code runs; interrupt it the second time in a row (the first may follow a pause)."""
        signal.setitimer(signal.ITIMER_REAL, HUNG_AFTER_S / 2)
        name = whose(_outwards(frame), self.faults.docks.values())
        suspected, self.suspected = self.suspected, name
        if name and name == suspected:
            raise PanelHangs(f"it did not come back for {HUNG_AFTER_S:g} s")


def _outwards(frame: FrameType | None) -> list[FrameType]:
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames
