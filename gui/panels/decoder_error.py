"""How well the decoder does: against the intention, and trial by trial."""

from __future__ import annotations

import numpy as np
import pyqtgraph

from gui import plots, theme
from gui.panels.base import Panel

LAST_TRIALS = 20
RUNNING_S = 2.0
SLOW_M_S = 0.02  # below this intended speed a direction means nothing
MOST_POINTS = 400  # on a curve; running means over seconds look the same, and wide lines of many points paint slowly


class DecoderErrorPanel(Panel):
    """Running velocity error and angular error of the last minute, time to target of every trial."""

    title = "Decoder error"
    about = (
        "Top: root mean square difference between decoded and intended velocity over the last 2 s, and the angle "
        "between them (while the intended speed is above 2 cm/s); vertical lines are the ends of trials, solid for "
        "reached and dotted for timed out. Bottom: time to target of every trial; a disc is a target reached, a cross "
        "one timed out. The numbers are over the last 20 trials. Path efficiency is the straight line over the path "
        "travelled; the bit rate is log2(1 + distance / width) per second, timeouts counting no bits but their time."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.figures = plots.Figures(
            ("success", "time to target", "path efficiency", "bit rate", "velocity error", "angle")
        )
        self.column.addWidget(self.figures)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.plot = plots.Plot("error (cm/s)", "session time (s)")
        self.plot.setMouseEnabled(False, False)
        self.angle_plot = plots.Plot("angle (°)", "")
        self.angle_plot.setMouseEnabled(False, False)
        self.angle_plot.setXLink(self.plot)
        self.angle_plot.getAxis("bottom").setStyle(showValues=False)
        self.trials_plot = plots.Plot("to target (s)", "trial")
        self.trials_plot.setMouseEnabled(True, False)
        for plot, stretch in ((self.angle_plot, 3), (self.plot, 4), (self.trials_plot, 4)):
            self.column.addWidget(plot, stretch)
        self.error = self.plot.plot(connect="finite")
        self.angle = self.angle_plot.plot(connect="finite")
        self.reached = pyqtgraph.ScatterPlotItem(symbol="o", size=6, pen=None)
        self.missed = pyqtgraph.ScatterPlotItem(symbol="x", size=9)
        self.good_ends, self.bad_ends = (self.plot.plot(connect="pairs") for _ in range(2))
        for item in (self.reached, self.missed):
            self.trials_plot.addItem(item)
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        plots.restyled(self.error, "first", 1.8)
        plots.restyled(self.angle, "fourth", 1.8)
        plots.restyled(self.good_ends, "good", 1, alpha=0.55)
        plots.restyled(self.bad_ends, "bad", 2, dashed=True)
        self.reached.setBrush(theme.colour("good"))
        self.missed.setPen(theme.pen("bad", 2))
        self.words.setText(
            plots.key(
                (
                    ("fourth", "▬", "angle"),
                    ("first", "▬", "velocity error"),
                    ("good", "│ ●", "target reached"),
                    ("bad", "┆ ✕", "timed out"),
                )
            )
        )

    def refresh(self) -> None:
        """Draw the last minute and all trials."""
        rows, trials = self.store.steps.view, self.store.trials.view
        error, angle = running_errors(rows, self._window_rows(rows))
        drawn = slice(len(rows) % every, None, every) if (every := len(rows) // MOST_POINTS) > 1 else slice(None)
        self.error.setData(rows["t_s"][drawn], 100.0 * error[drawn])
        self.angle.setData(rows["t_s"][drawn], angle[drawn])
        self._ends(rows, trials, error)
        good = trials["success"] != 0
        self.reached.setData(trials["trial"][good].astype(float), trials["time_s"][good])
        self.missed.setData(trials["trial"][~good].astype(float), trials["time_s"][~good])
        self._numbers(trials[-LAST_TRIALS:], error, angle)

    def _window_rows(self, rows: np.ndarray) -> int:
        if len(rows) < 2:
            return 1
        return max(round(RUNNING_S / max(float(np.median(np.diff(rows["t_s"]))), 1e-3)), 1)

    def _ends(self, rows: np.ndarray, trials: np.ndarray, error: np.ndarray) -> None:
        if not len(rows):
            for item in (self.good_ends, self.bad_ends):
                item.setData([], [])
            return
        shown = trials[trials["t_s"] >= rows["t_s"][0]]
        top = 100.0 * float(np.nanmax(error)) if np.isfinite(error).any() else 1.0
        for item, good in ((self.good_ends, True), (self.bad_ends, False)):
            times = shown["t_s"][(shown["success"] != 0) == good]
            item.setData(np.repeat(times, 2), np.tile([0.0, top], len(times)))

    def _numbers(self, last: np.ndarray, error: np.ndarray, angle: np.ndarray) -> None:
        show = self.figures.show_value
        if len(last):
            rate = float(np.mean(last["success"] != 0))
            role, sign = ("good", "✓") if rate >= 0.9 else ("warn", "!") if rate >= 0.5 else ("bad", "✕")
            show("success", f"{sign} {100 * rate:.0f} %", role)
            good = last["success"] != 0
            show("time to target", f"{np.median(last['time_s'][good]):.2f} s" if good.any() else "–")
            show("path efficiency", _percent(last["efficiency"]))
            bits = float(np.nansum(last["bits"]) / max(last["time_s"].sum(), 1e-9))
            show("bit rate", f"{bits:.2f} bit/s" if np.isfinite(last["bits"]).all() else "–")
        else:
            for name in ("success", "time to target", "path efficiency", "bit rate"):
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


def running_errors(rows: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the running root mean square velocity error (m/s) and mean angle (degrees) between decoded and intended.

    Parameters
    ----------
    rows : ndarray of STEP_ROW
    window : int
        Rows to average over.
    """
    if not len(rows):
        return np.zeros(0), np.zeros(0)
    decoded, intended = rows["decoded"][:, 2:], rows["intended"]
    squared = np.sum((decoded - intended) ** 2, axis=1)
    speeds = np.hypot(*intended.T) * np.hypot(*decoded.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.sum(decoded * intended, axis=1) / speeds
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    angle[~(np.hypot(*intended.T) > SLOW_M_S)] = np.nan
    return np.sqrt(_running_mean(squared, window)), _running_mean(angle, window)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the last `window` values at each point, values that are not finite left out."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(len(values)) + 1 - window, 0)
    here = np.arange(1, len(values) + 1)
    count = counts[here] - counts[first]
    return np.where(count > 0, (sums[here] - sums[first]) / np.maximum(count, 1), np.nan)
