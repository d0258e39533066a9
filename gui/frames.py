"""Which panels are drawn in which frame, so that no frame is long."""

from __future__ import annotations

from collections.abc import Iterable

from gui.dock import Dock

FAST_HZ = 25.0  # panels at least this fast are in every frame; of the others few at a time


class Frames:
    """Draws the panels that are seen when they are due.

    Attributes
    ----------
    count : int
        Frames that showed something new.
    drawn_revision : int
        Of the store, when the last frame was drawn.
    """

    def __init__(self):
        self.count, self.drawn_revision = 0, -1

    def draw(self, docks: Iterable[Dock], revision: int, now_s: float, all_panels: bool) -> None:
        """Refresh what is due (or everything that is seen), for a store of this revision."""
        new = revision != self.drawn_revision
        self.count += new
        for dock in _due(docks, now_s, new, all_panels):
            dock.ask(lambda dock=dock: _refresh(dock, now_s), None)
        self.drawn_revision = revision


def _refresh(dock: Dock, now_s: float) -> None:
    panel = dock.panel
    panel.next_s = max(panel.next_s + 1.0 / panel.refresh_hz, now_s - 0.5 / panel.refresh_hz)
    panel.refresh()


def _due(docks: Iterable[Dock], now_s: float, new: bool, all_panels: bool) -> list[Dock]:
    """Return the docks to refresh in this frame: the fast ones, and of the others those that waited longest."""
    seen = [dock for dock in docks if dock.is_shown()]
    if all_panels:
        return seen
    fast = [dock for dock in seen if _is_fast(dock) and (new or now_s >= dock.panel.next_s + 1.0)]
    slow = [dock for dock in seen if not _is_fast(dock) and now_s >= dock.panel.next_s]
    slow.sort(key=lambda dock: dock.panel.next_s)
    return fast + slow[: 1 + len(slow) // 4]


def _is_fast(dock: Dock) -> bool:
    return dock.panel.refresh_hz >= FAST_HZ
