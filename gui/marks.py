"""What happened, drawn on the curves that it explains: changes of parameters, holds, markers, safety states."""

from __future__ import annotations

import numpy as np
import pyqtgraph

from gui import plots, theme
from gui.store import Store

ROLES = {"change": "second", "hold": "fourth", "marker": "text", "safety": "bad"}
LEAST_HEIGHT = 70  # pixels that a word standing upright needs
MOST_WORDS = 10  # of the newest that are seen
DASHES = np.linspace(0.0, 1.0, 14)


class MarkLines:
    """Upright lines over one plot, each with its word; redrawn only when they or the plot's ranges change.

    Parameters
    ----------
    plot : plots.Plot
    words : bool
        Whether the lines are named here (one of several plots above each other is enough).
    """

    def __init__(self, plot: plots.Plot, words: bool = True):
        self.plot = plot
        self.lines = {kind: plot.curve(connect="pairs") for kind in ROLES}
        self.words = [pyqtgraph.TextItem(angle=90, anchor=(1.0, 1.0)) for _ in range(MOST_WORDS if words else 0)]
        for word in self.words:
            word.hide()
            plot.addItem(word, ignoreBounds=True)
        self._drawn: tuple = ()
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        self._drawn = ()
        for kind, line in self.lines.items():
            plots.restyled(line, ROLES[kind], 1.4, alpha=0.8)
        for word in self.words:
            word.setFont(theme.font(7))

    def refresh(self, store: Store) -> None:
        """Draw the marks within the range that the plot shows."""
        (left, right), (low, high) = self.plot.getViewBox().viewRange()
        state = (len(store.marks), store.marks[-1] if store.marks else None, left, right, low, high, self.plot.height())
        if state == self._drawn:
            return
        self._drawn = state
        seen = [mark for mark in store.marks if left <= mark.t_s <= right]
        for kind, line in self.lines.items():
            times = np.array([mark.t_s for mark in seen if mark.kind == kind])
            heights = low + (high - low) * DASHES
            line.setData(np.repeat(times, len(DASHES)), np.tile(heights, len(times)))
        room = self.plot.getViewBox().height() >= LEAST_HEIGHT
        newest = seen[-len(self.words) :] if self.words and room else []
        for index, word in enumerate(self.words):
            word.setVisible(index < len(newest))
            if index < len(newest):
                word.setText(newest[index].text[:28], color=theme.colour(ROLES[newest[index].kind]))
                word.setPos(newest[index].t_s, high)


def key() -> str:
    """Return the legend of the lines."""
    words = {"change": "change", "hold": "hold", "marker": "marker", "safety": "safety"}
    return plots.key([(role, "┆", words[kind]) for kind, role in ROLES.items()])
