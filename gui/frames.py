"""Which panels are drawn in which frame, so that no frame is long."""

from __future__ import annotations

from collections.abc import Iterable

from bmi_runtime.errors import described, is_fault_of_part
from gui.dock import Dock
from gui.panels.base import Panel, give_up

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
        for panel in _due(docks, now_s, new, all_panels):
            panel.next_s = max(panel.next_s + 1.0 / panel.refresh_hz, now_s - 0.5 / panel.refresh_hz)
            self._refresh(panel)
        self.drawn_revision = revision

    @staticmethod
    def _refresh(panel: Panel) -> None:
        """Refresh a panel; one of another package that fails is not asked again, and says why in its place."""
        try:
            panel.refresh()
        except BaseException as error:
            if type(panel).__module__.partition(".")[0] == "gui" or not is_fault_of_part(error):
                raise
            give_up(panel, f"this panel ({type(panel).__module__}) has failed and is shown no more: {described(error)}")


def _due(docks: Iterable[Dock], now_s: float, new: bool, all_panels: bool) -> list[Panel]:
    """Return the panels to refresh in this frame: the fast ones, and of the others those that waited longest."""
    seen = [dock.panel for dock in docks if dock.seen and dock.panel.isVisible() and not dock.panel.failure]
    if all_panels:
        return seen
    fast = [panel for panel in seen if panel.refresh_hz >= FAST_HZ and (new or now_s >= panel.next_s + 1.0)]
    slow = [panel for panel in seen if panel.refresh_hz < FAST_HZ and now_s >= panel.next_s]
    slow.sort(key=lambda panel: panel.next_s)
    return fast + slow[: 1 + len(slow) // 4]
