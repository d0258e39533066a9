"""The paths of the last minute's trials, by target."""

from __future__ import annotations

import numpy as np
import pyqtgraph

from gui import plots, theme
from gui.panels.base import Panel
from gui.panels.psth import direction_colour
from gui.trial_aligned import DIRECTIONS, octant

MOST_PATHS = 24  # the newest


class TrajectoriesPanel(Panel):
    """Cursor paths in the first two axes, coloured by direction; dashed where the trial timed out."""

    title = "Trajectories"
    about = (
        "Where the cursor went in the trials of the last minute, in the first two axes, coloured by the direction "
        "from its start to the target; dashed where the target was not reached. Straight bundles say that the "
        "decoder points the right way; bundles that bend alike say that it is turned."
    )
    refresh_hz = 1.0

    def __init__(self, context):
        super().__init__(context)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.plot = plots.Plot("y (cm)", "x (cm)")
        self.plot.setAspectLocked(True)
        self.column.addWidget(self.plot, 1)
        self.paths = [self.plot.curve(connect="finite") for _ in range(MOST_PATHS)]
        self.targets = pyqtgraph.ScatterPlotItem(symbol="o", size=12, brush=None)
        self.plot.addItem(self.targets)
        self._seen: tuple = ()
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        self.targets.setPen(theme.pen("muted", 1.5))
        self._seen = ()

    def refresh(self) -> None:
        """Draw when a trial has ended."""
        state = (self.store.trials.total, len(self.store.trials), self.store.recording)
        if state == self._seen:
            return
        self._seen = state
        found = trial_paths(self.store.steps.view, self.store.trials.view, self.store.space.n_axes)[-MOST_PATHS:]
        for index, path in enumerate(self.paths):
            path.setVisible(index < len(found))
            if index < len(found):
                points, target, success = found[index]
                pen = pyqtgraph.mkPen(direction_colour(octant(points[0], target)), width=1.6)
                if not success:
                    pen.setDashPattern([4, 3])
                path.setPen(pen)
                path.setData(100 * points[:, 0], 100 * points[:, 1])
        if not found:
            self.words.setText(self.waits_for("the first trial to end"))
            return
        targets = np.array([target for _, target, _ in found])
        self.targets.setData(100 * targets[:, 0], 100 * targets[:, 1])
        reach = 1.15 * 100 * max(np.abs(targets).max(), max(np.nanmax(np.abs(points)) for points, _, _ in found))
        self.plot.show_ranges((-reach, reach), (-reach, reach))
        key = " ".join(f'<span style="color:{direction_colour(d).name()}">▬{DIRECTIONS[d]}</span>' for d in range(8))
        self.words.setText(f"{len(found)} trials&nbsp; {key}")

    def table(self):
        """Return cursor and trial number of the last minute."""
        rows = self.store.steps.view
        return {"trial": rows["trial"], "t_s": rows["t_s"]} | {
            name: rows["cursor"][:, index] for index, name in enumerate(self.store.space.axes)
        }


def trial_paths(rows: np.ndarray, trials: np.ndarray, n_axes: int) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """Return path (points, 2), target (2,) and success of every trial that lies whole within the rows."""
    found = []
    for trial in trials[trials["t_s"] - trials["time_s"] >= (rows["t_s"][0] if len(rows) else np.inf)]:
        inside = (rows["t_s"] > trial["t_s"] - trial["time_s"]) & (rows["t_s"] <= trial["t_s"])
        points, target = np.zeros((int(inside.sum()), 2)), np.zeros(2)
        if len(points) < 2:
            continue
        across = min(n_axes, 2)
        points[:, :across] = rows["cursor"][inside][:, :across]
        target[:across] = trial["target"][:across]
        found.append((points, target, bool(trial["success"])))
    return found
