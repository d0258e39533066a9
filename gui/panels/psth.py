"""Rates of a unit around the go signal or the end of a trial, by direction, and its spikes trial by trial."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtGui, QtWidgets

from gui import axis_ranges, plots, theme
from gui.panels.base import Panel
from gui.trial_aligned import ALIGNMENTS, BIN_S, DIRECTIONS, bins_of


def direction_colour(direction: int) -> QtGui.QColor:
    """Return the colour of a direction: around the circle, the arrow beside it says the same."""
    light = 165 if theme.current() is theme.DARK else 90
    return QtGui.QColor.fromHsl(round(45 * direction) % 360, 190, light)


class AlignmentBox(QtWidgets.QComboBox):
    """What the time is counted from."""

    def __init__(self, changed):
        super().__init__()
        self.addItems([f"from {name}" for name in ALIGNMENTS])
        self.currentIndexChanged.connect(lambda _: changed())

    def name(self) -> str:
        """Return the alignment chosen."""
        return list(ALIGNMENTS)[self.currentIndex()]


class AlignedPanel(Panel):
    """A panel of trials on top of which one chooses what they are aligned to."""

    def __init__(self, context):
        super().__init__(context)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 4, 8, 0)
        self.align = AlignmentBox(self._draw)
        self.words = plots.caption()
        row.addWidget(self.align)
        row.addWidget(self.words, 1)
        self.column.addLayout(row)

    def _draw(self) -> None:
        """Draw what the alignment that was chosen shows."""
        raise NotImplementedError


class PsthPanel(AlignedPanel):
    """Peristimulus time histogram by direction, and the raster of trials under it."""

    title = "PSTH"
    about = (
        "The selected unit around the go signal or the end of a trial. Top: mean rate for each direction of "
        "movement, in bins of 50 ms, over the newest 96 trials. Bottom: its spikes trial by trial, sorted by "
        "direction. Select units by clicking into the raster or the array."
    )
    refresh_hz = 1.0

    def __init__(self, context):
        super().__init__(context)
        self.plot = plots.Plot("rate (Hz)", "")
        self.trials = plots.Plot("trial (sorted)", "time (s)")
        for plot, stretch in ((self.plot, 3), (self.trials, 2)):
            plot.setMouseEnabled(False, False)
            self.column.addWidget(plot, stretch)
        self.curves = [self.plot.curve(connect="finite") for _ in DIRECTIONS]
        self.image = pyqtgraph.ImageItem()
        self.trials.addItem(self.image)
        self._seen: tuple = ()
        self.restyle()
        context.selection.changed.connect(self._draw)

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        for direction, curve in enumerate(self.curves):
            curve.setPen(pyqtgraph.mkPen(direction_colour(direction), width=1.8))
        stops = [QtGui.QColor(theme.current().panel), QtGui.QColor(theme.current().first)]
        table = np.array([[c.red(), c.green(), c.blue()] for c in stops], float)
        self.image.setLookupTable(np.linspace(table[0], table[1], 64).astype(np.uint8))

    def refresh(self) -> None:
        """Draw when a trial was added."""
        state = (self.store.aligned.total, self.store.n_units)
        if state != self._seen:
            self._seen = state
            self._draw()

    def _draw(self) -> None:
        aligned, units = self.store.aligned, self.context.selection.within(self.store.n_units)
        if not aligned.total or not units:
            self.words.setText(self.waits_for("the first trial to end"))
            return
        name, unit = self.align.name(), units[0]
        times, rates = bins_of(name), aligned.rates(name)[:, :, unit]
        for direction, curve in enumerate(self.curves):
            curve.setData(times, rates[direction])
        self.plot.show_ranges((times[0], times[-1]), axis_ranges.round_range(0.0, axis_ranges.extremes(rates)[1]))
        counts, directions = aligned.trials_of(name, unit)
        self.image.setImage(np.minimum(counts, 4.0).T, levels=(0, 4), autoLevels=False)
        self.image.setRect(times[0] - BIN_S / 2, 0, BIN_S * len(times), len(counts))
        self.trials.show_ranges((times[0], times[-1]), (0.0, float(len(counts))))
        present = [d for d in range(8) if (directions == d).any()]
        key = " ".join(f'<span style="color:{direction_colour(d).name()}">▬{DIRECTIONS[d]}</span>' for d in present)
        self.words.setText(f"<b>unit {unit}</b>, {aligned.size} trials&nbsp; {key}")

    def table(self):
        """Return the rates by direction."""
        units = self.context.selection.within(self.store.n_units)
        if not self.store.aligned.total or not units:
            return {}
        name = self.align.name()
        rates = self.store.aligned.rates(name)[:, :, units[0]]
        return {"time_s": bins_of(name)} | {f"rate_hz_{45 * d}_deg": rates[d] for d in range(8)}


class NeuralStatePanel(AlignedPanel):
    """The mean state of all units along a trial, in the two largest components."""

    title = "Neural state"
    about = (
        "The mean rates of all units from the go signal on (or up to the end of a trial), for each direction of "
        "movement, in the two components that hold most of their variance. Each line is a direction; the disc is "
        "where it begins. A decoder can distinguish directions that lie apart."
    )
    refresh_hz = 0.5

    def __init__(self, context):
        super().__init__(context)
        self.plot = plots.Plot("second component (√Hz)", "first component (√Hz)")
        self.column.addWidget(self.plot, 1)
        self.paths = [self.plot.curve(connect="finite") for _ in DIRECTIONS]
        self.starts = pyqtgraph.ScatterPlotItem(size=9, pen=None)
        self.plot.addItem(self.starts)
        self._seen = -1
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        for direction, path in enumerate(self.paths):
            path.setPen(pyqtgraph.mkPen(direction_colour(direction), width=2))
        self._seen = -1

    def refresh(self) -> None:
        """Draw when a trial was added."""
        if self.store.aligned.total != self._seen:
            self._seen = self.store.aligned.total
            self._draw()

    def _draw(self) -> None:
        found = self.store.aligned.components(self.align.name()) if self.store.aligned.total else None
        if found is None:
            self.words.setText(self.waits_for("trials in some directions"))
            return
        paths, shares = found
        for path, points in zip(self.paths, paths, strict=True):
            path.setData(points[:, 0], points[:, 1])
        spots = []
        for direction, points in enumerate(paths):
            known = np.flatnonzero(np.isfinite(points[:, 0]))
            if len(known):
                spots.append({"pos": points[known[0]], "brush": direction_colour(direction)})
        self.starts.setData(spots=spots)
        self.plot.show_ranges(*(axis_ranges.round_range(*axis_ranges.extremes(paths[:, :, part])) for part in (0, 1)))
        key = " ".join(f'<span style="color:{direction_colour(d).name()}">▬{DIRECTIONS[d]}</span>' for d in range(8))
        self.words.setText(f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} % of the variance&nbsp; {key}")
