"""How well the decoder does: against the intention, and trial by trial."""

from __future__ import annotations

import numpy as np
import pyqtgraph

from gui import axis_ranges, big_numbers, marks, plots, theme
from gui.panels.base import Panel
from gui.running_error import running_errors, window_rows

LAST_TRIALS = 20  # trials, over which the numbers are taken
WHOLE = np.array([0.0, 1.0])  # ends of the pieces of an upright line, of its height
DASHES = np.linspace(0.0, 1.0, 14)  # pieces of our own: a pen with dashes takes a tenth of a millisecond for each line
STEP_S = 5.0  # of the time axis
MOST_POINTS = 240  # on a curve; running means over seconds look the same, and wide lines of many points paint slowly


class DecoderErrorPanel(Panel):
    """Running velocity error and angular error of the last minute, time to target of every trial."""

    title = "Decoder error"
    about = (
        "Top: root mean square difference between decoded and intended velocity over the last 2 s, and the angle "
        "between them (while the intended speed is above 2 cm/s); both have a gap where the cursor was held, frozen "
        "or without a target; dashed lines are changes, holds, markers and safety states; vertical lines are the "
        "ends of trials, solid for reached and dotted for timed out. Bottom: time to target of every trial; a disc "
        "is a target reached, a cross one timed out. The numbers are over the last 20 trials. Path efficiency is the "
        "straight line over the path travelled; in pursuit the share of time on the target is the measure; the bit "
        "rate is log2(1 + distance / width) per second, timeouts counting no bits but their time."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.figures = big_numbers.Figures(
            ("success", "time to target", "on target", "path efficiency", "bit rate", "velocity error", "angle")
        )
        self.column.addWidget(self.figures)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.plot = plots.Plot("error (cm/s)", "session time (s)")
        self.plot.setMouseEnabled(False, False)
        self.angle_plot = plots.Plot("angle (°)", "")
        self.angle_plot.setMouseEnabled(False, False)
        self.angle_plot.follow_x(self.plot)
        self.angle_plot.getAxis("bottom").setStyle(showValues=False)
        self.trials_plot = plots.Plot("to target (s)", "trial")
        self.trials_plot.setMouseEnabled(True, False)
        for plot, stretch in ((self.angle_plot, 3), (self.plot, 4), (self.trials_plot, 4)):
            self.column.addWidget(plot, stretch)
        self.error = self.plot.curve(connect="finite")
        self.angle = self.angle_plot.curve(connect="finite")
        self.reached = pyqtgraph.ScatterPlotItem(symbol="o", size=6, pen=None)
        self.missed = pyqtgraph.ScatterPlotItem(symbol="x", size=9)
        self.good_ends, self.bad_ends = (self.plot.curve(connect="pairs") for _ in range(2))
        for item in (self.reached, self.missed):
            self.trials_plot.addItem(item)
        self.marks = [marks.MarkLines(self.angle_plot), marks.MarkLines(self.plot, words=False)]
        self._tops, self._drawn_trials, self._drawn_ends = [1.0, 1.0], None, None
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        plots.restyled(self.error, "first", 1.8)
        plots.restyled(self.angle, "fourth", 1.8)
        plots.restyled(self.good_ends, "good", 1, alpha=0.55)
        plots.restyled(self.bad_ends, "bad", 2)
        self.reached.setBrush(theme.colour("good"))
        self.missed.setPen(theme.pen("bad", 2))
        for lines in self.marks:
            lines.restyle()
        self.words.setText(
            plots.key(
                (
                    ("fourth", "▬", "angle (°)"),
                    ("first", "▬", "error (cm/s)"),
                    ("good", "│ ●", "reached"),
                    ("bad", "┆ ✕", "timed out"),
                    ("second", "┆", "change"),
                    ("text", "┆", "marker"),
                )
            )
        )

    def refresh(self) -> None:
        """Draw the last minute and all trials."""
        rows, trials = self.store.steps.view, self.store.trials.view
        error, angle = running_errors(rows, window_rows(rows))
        self._curves(rows["t_s"], 100.0 * error, angle)
        self.plot.wait_for("" if len(rows) else self.waits_for("the first data"))
        self.angle_plot.show_numbers(len(rows) > 0, ("left",))
        self.trials_plot.wait_for("" if len(trials) else self.waits_for("the first trial to end"))
        newest = (len(trials), float(trials["t_s"][-1]) if len(trials) else 0.0)
        if newest != self._drawn_trials or not newest[0]:
            self._drawn_trials = newest
            self._trials(trials)
        self._ends(rows, trials)
        for lines in self.marks:
            lines.refresh(self.store)
        self._numbers(self._of_this_task(trials)[-LAST_TRIALS:], error, angle)

    def _of_this_task(self, trials: np.ndarray) -> np.ndarray:
        """Return the trials of the task that runs: those of another one are another measure."""
        blocks = self.store.blocks
        if not blocks or not len(trials):
            return trials
        same = np.array([block.task == blocks[-1].task for block in blocks])
        return trials[same[np.minimum(trials["block"], len(blocks) - 1)]]

    def _curves(self, times: np.ndarray, error_cm_s: np.ndarray, angle: np.ndarray) -> None:
        every = max(len(times) // MOST_POINTS, 1)
        drawn = slice((len(times) - 1) % every, None, every)
        self.error.setData(times[drawn], error_cm_s[drawn])
        self.angle.setData(times[drawn], angle[drawn])
        if not len(times):
            return
        low, high = (STEP_S * edge for edge in (np.floor(times[0] / STEP_S), np.floor(times[-1] / STEP_S) + 1))
        self._tops = [
            axis_ranges.round_range(0.0, max(axis_ranges.extremes(values[drawn])[1], 1e-3), (0.0, top))[1]
            for values, top in zip((error_cm_s, angle), self._tops, strict=True)
        ]
        for plot, top in zip((self.plot, self.angle_plot), self._tops, strict=True):
            plot.show_ranges((low, high), (0.0, top))

    def _trials(self, trials: np.ndarray) -> None:
        good, numbers = trials["success"] != 0, trials["trial"].astype(float)
        self.reached.setData(numbers[good], trials["time_s"][good])
        self.missed.setData(numbers[~good], trials["time_s"][~good])
        if len(trials):
            last = axis_ranges.round_range(float(numbers[0]), max(float(numbers[-1]), float(numbers[0]) + 4.0))[1]
            across = numbers[0] - 0.01 * (last - numbers[0]) - 0.5, last
            self.trials_plot.show_ranges(
                across, axis_ranges.round_range(0.0, 1.25 * axis_ranges.extremes(trials["time_s"])[1])
            )

    def _ends(self, rows: np.ndarray, trials: np.ndarray) -> None:
        """Draw a line at the end of every trial of the last minute."""
        shown = trials[trials["t_s"] >= rows["t_s"][0]] if len(rows) else trials[:0]
        wanted = (len(shown), *(shown["t_s"][[0, -1]] if len(shown) else ()), self._tops[0])
        if wanted == self._drawn_ends:
            return
        self._drawn_ends = wanted
        for item, good, pieces in ((self.good_ends, True, WHOLE), (self.bad_ends, False, DASHES)):
            times = shown["t_s"][(shown["success"] != 0) == good]
            item.setData(np.repeat(times, len(pieces)), np.tile(self._tops[0] * pieces, len(times)))

    def _numbers(self, last: np.ndarray, error: np.ndarray, angle: np.ndarray) -> None:
        show = self.figures.show_value
        if len(last):
            rate = float(np.mean(last["success"] != 0))
            role, sign = ("good", "✓") if rate >= 0.9 else ("warn", "!") if rate >= 0.5 else ("bad", "✕")
            show("success", f"{sign} {100 * rate:.0f} %", role)
            good = last["success"] != 0
            inside = last["inside_s"] / np.maximum(last["time_s"], 1e-9)
            pursuit = bool(np.isfinite(inside).any())  # its target moves: no time to it, no straight line, no bits
            show("on target", _percent(inside) if pursuit else "–")
            reached = good.any() and not pursuit
            show("time to target", f"{np.median(last['time_s'][good]):.2f} s" if reached else "–")
            show("path efficiency", "–" if pursuit else _percent(last["efficiency"]))
            known = last[np.isfinite(last["bits"])]  # of the first trial that a late window sees the start is not known
            bits = float(known["bits"].sum() / max(known["time_s"].sum(), 1e-9))
            show("bit rate", f"{bits:.2f} bit/s" if len(known) and not pursuit else "–")
        else:
            for name in ("success", "time to target", "on target", "path efficiency", "bit rate"):
                show(name, "–")
        show("velocity error", f"{100 * error[-1]:.1f} cm/s" if len(error) and np.isfinite(error[-1]) else "–")
        show("angle", f"{angle[-1]:.0f}°" if len(angle) and np.isfinite(angle[-1]) else "–")

    def table(self):
        """Return every trial."""
        trials = self.store.trials.view
        return {name: trials[name] for name in ("trial", "t_s", "success", "time_s", "efficiency", "bits")}


def _percent(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{100 * known.mean():.0f} %" if len(known) else "–"
