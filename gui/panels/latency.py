"""How long a bin takes, stage by stage, against its deadline."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtGui

from bmi_runtime.messages import STAGES, latency_ns
from gui import axis_ranges, big_numbers, plots, theme
from gui.panels.base import Panel

EDGES_US = np.geomspace(1.0, 100_000.0, 81)
LOG_EDGES = np.log10(EDGES_US)
LOW = 240  # pixels of height that both plots need
NAME_SIZES = (8, 7, 6, 5)  # of the stages' names, points, where the rows are lower and lower


class LatencyPanel(Panel):
    """Stage bars and a histogram of whole bins, both logarithmic in time."""

    title = "Latency"
    about = (
        "Latency is the time from a bin's deadline (or its data's arrival) to its command: being late, decoding, "
        "task and adaptation; recording and messages come after the command. The figures are over all bins of the "
        "session, as in the terminal, in bmi inspect and in the list of recordings. The histogram is of the same "
        "latency and the bars are of the single stages, both over the bins that reached this window in the last "
        "minute: a bar runs from the fastest to the slowest, its thick part from the median to the 99th percentile. "
        "The dashed line is the deadline, one bin width; a bin that takes longer is a miss."
    )
    refresh_hz = 3.0

    def __init__(self, context):
        super().__init__(context)
        self.figures = big_numbers.Figures(("median", "p99", "p99.9", "max", "misses"))
        self.column.addWidget(self.figures)
        self.histogram = plots.Plot("bins", "")
        self.stages = plots.Plot("", "time (µs)")
        for plot in (self.histogram, self.stages):
            plot.setMouseEnabled(False, False)
            plot.setLogMode(x=False, y=False)
            plot.getAxis("bottom").setTicks([[(p, f"{10**p:g}") for p in range(0, 6)]])
            plot.setXRange(0, 5, padding=0)
        self.histogram.getAxis("bottom").setStyle(showValues=False)
        self.stages.getAxis("left").setTicks([[(-row, name) for row, name in enumerate(STAGES)]])
        self.stages.setYRange(-len(STAGES) + 0.4, 0.6, padding=0)
        self.column.addWidget(self.histogram, 2)
        self.column.addWidget(self.stages, 4)
        self.bars = self.histogram.curve(x=LOG_EDGES, y=np.zeros(len(EDGES_US) - 1), stepMode="center", fillLevel=0)
        self.ranges, self.cores = (self.stages.curve(connect="pairs") for _ in range(2))
        self.medians = pyqtgraph.ScatterPlotItem(symbol="o", size=8, pen=None)
        self.stages.addItem(self.medians)
        self.deadlines = [pyqtgraph.InfiniteLine(angle=90) for _ in range(2)]
        self.deadline_word = pyqtgraph.TextItem(anchor=(1, 0))
        self.histogram.addItem(self.deadline_word)
        self._top, self._deadline, self._name_size = 1.0, (0.0, 0.0), NAME_SIZES[0]
        for plot, line in zip((self.histogram, self.stages), self.deadlines):
            plot.addItem(line)
        self.restyle()

    def resizeEvent(self, event):
        """Leave the room of a low panel to the stages, whose names would stand on each other."""
        super().resizeEvent(event)
        self.histogram.setVisible(self.height() >= LOW)
        self._fit_names()

    def _fit_names(self) -> None:
        """Write the stages' names as small as their rows are low."""
        self.column.activate()
        self.stages.getPlotItem().layout.activate()
        row = self.stages.getViewBox().height() / (len(STAGES) + 0.2)
        lines = (QtGui.QFontMetrics(theme.font(size)).ascent() for size in NAME_SIZES)
        size = next((size for size, line in zip(NAME_SIZES, lines) if line <= row), NAME_SIZES[-1])
        if size != self._name_size:
            self._name_size = size
            self.stages.getAxis("left").setTickFont(theme.font(size))

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        self.stages.getAxis("left").setGrid(False)
        self.stages.getAxis("left").setTickFont(theme.font(self._name_size))
        self.bars.setPen(theme.pen("first", 1))
        self.bars.setBrush(theme.colour("first", 0.35))
        plots.restyled(self.ranges, "first", 1.5)
        plots.restyled(self.cores, "first", 7, alpha=0.7)
        self.medians.setBrush(theme.colour("text"))
        self.deadline_word.setColor(theme.colour("bad"))
        self.deadline_word.setFont(theme.font(8.5))
        for line in self.deadlines:
            line.setPen(theme.pen("bad", 1.5, dashed=True))

    def refresh(self) -> None:
        """Draw what arrived in the last minute."""
        rows = self.store.steps.view
        deadline = float(np.log10(self.store.bin_s * 1e6))
        self._numbers()
        self.stages.wait_for("" if len(rows) else self.waits_for("the first bins"))
        self.histogram.show_numbers(bool(len(rows)), ("left",))
        if not len(rows):
            self._mark_deadline(deadline, 1.15 * self._top)
            return
        stage_us = rows["stage_us"]
        counts, _ = np.histogram(latency_ns(stage_us, rows["lateness_us"]), EDGES_US)
        self.bars.setData(LOG_EDGES, counts)
        self._top = axis_ranges.round_range(0.0, max(int(counts.max()), 1), (0.0, self._top))[1]
        self.histogram.show_ranges(y=(0.0, 1.15 * self._top))
        self._mark_deadline(deadline, 1.15 * self._top)
        self._stages(np.maximum(stage_us, 1.0))

    def _mark_deadline(self, deadline: float, top: float) -> None:
        wanted = (deadline, top)
        if wanted == self._deadline:
            return
        self._deadline = wanted
        for line in self.deadlines:
            line.setPos(deadline)
        self.deadline_word.setText(f"deadline {self.store.bin_s * 1e3:g} ms")
        self.deadline_word.setPos(deadline, top)

    def _stages(self, stage_us: np.ndarray) -> None:
        low, p50, p99, high = np.log10(np.percentile(stage_us, (0, 50, 99, 100), axis=0))
        y = -np.arange(len(STAGES), dtype=float)
        self.ranges.setData(np.stack([low, high], 1).ravel(), np.repeat(y, 2))
        self.cores.setData(np.stack([p50, p99], 1).ravel(), np.repeat(y, 2))
        self.medians.setData(p50, y)

    def _numbers(self) -> None:
        latency = self.store.health.get("latency_us") or {}
        for name, key in (("median", "p50"), ("p99", "p99"), ("p99.9", "p99_9"), ("max", "max")):
            self.figures.show_value(name, in_words(latency.get(key)))
        misses, bins = self.store.health.get("deadline_misses"), self.store.health.get("bins") or self.store.bin
        if misses is None:
            self.figures.show_value("misses", "–")
            return
        if misses == 0 and (latency.get("max") or 0.0) > self.store.bin_s * 1e6:  # no deadlines were held
            self.figures.show_value("misses", "not paced")
            return
        role, sign = ("good", "✓") if misses == 0 else ("warn", "!")
        self.figures.show_value(
            "misses", f"{sign} {misses} ({100 * misses / max(bins, 1):.2g} %)" if misses else f"{sign} none", role
        )

    def table(self):
        """Return the stages of the bins of the last minute."""
        rows = self.store.steps.view
        columns = {"time_s": rows["t_s"], "lateness_us": rows["lateness_us"]}
        return columns | {f"{name}_us": rows["stage_us"][:, index] for index, name in enumerate(STAGES)}


def in_words(microseconds: float | None) -> str:
    """Return a duration in a readable unit."""
    if microseconds is None:
        return "–"
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"
