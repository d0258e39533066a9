"""The calibration of the learning rate from what this session shows: drag previews, release proposes, Apply sends.

The one panel that computes: the curves come from `bmi_runtime.calibration`, imported when they are first asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.errors import BadInput
from gui import plots, theme
from gui.panels.base import Panel

DM_PER_M = 10.0
LEAST_S, MOST_S = 8.0, 20.0
RATE = "adapter.learning_rate"


class CalibrationPanel(Panel):
    """Both trade-off curves of this session's units and movements, with a rate and limits to drag."""

    title = "Calibration"
    about = (
        "What each learning rate would do with this session's units and movements: the steady error on the left, the "
        "time to converge on the right, both against the rate. Drag the vertical line: the numbers and the lower "
        "picture preview. Release it: the rate is proposed. Apply sends it to the session. Drag the dashed horizontal "
        "lines to the error and the time that you can accept: the green stretch is where both hold. The curves are "
        "calculated from the encoding model and the intended velocities of the last 20 s; Recalculate takes the newest."
    )
    refresh_hz = 2.0

    def __init__(self, context):
        super().__init__(context)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 5, 8, 3)
        row.setSpacing(6)
        self.recalculate = QtWidgets.QPushButton("Recalculate")
        self.recalculate.setToolTip("Take the newest model and movements")
        self.recalculate.clicked.connect(self.calculate)
        self.words = plots.caption("")
        row.addWidget(self.recalculate)
        row.addWidget(self.words, 1)
        self.column.addLayout(row)
        self.view: Any = None
        self.proposed: float | None = None
        self._filler = QtWidgets.QWidget()
        self.column.addWidget(self._filler, 1)

    def refresh(self) -> None:
        """Calculate once enough has been seen; say what is missing before."""
        if self.view is not None:
            self.view.accept_button.setEnabled(self.store.mode in ("live", "simulated"))
            return
        seen_s = self._seen_s()
        self.recalculate.setEnabled(seen_s >= LEAST_S and self.store.weights is not None)
        if self.recalculate.isEnabled():
            self.calculate()
        else:
            self.words.setText(f"needs {LEAST_S:g} s of movement, has {seen_s:.0f} s")

    def _seen_s(self) -> float:
        rows = self.store.steps.view
        return float(rows["t_s"][-1] - rows["t_s"][0]) if len(rows) > 1 else 0.0

    def design(self) -> dict[str, Any]:
        """Return what the calibration needs of this session, as `bmi calibrate` takes it.

        Telemetry shows every few bins only; each velocity stands for the bins up to the next, so that times are right.
        """
        store = self.store
        rows = store.steps.view
        rows = rows[rows["t_s"] > rows["t_s"][-1] - MOST_S]
        bins = np.maximum(np.round(np.diff(rows["t_s"]) / store.bin_s).astype(int), 1)
        states = np.repeat(DM_PER_M * rows["intended"][:-1], bins, axis=0)
        states = states[np.isfinite(states).all(axis=1)]
        design = {"states": states, "weights": store.weights.T.copy(), "bin_s": store.bin_s}
        if store.continuous:
            return design | {"likelihood": "gaussian", "noise_variance": np.array(store.noise_variance)}
        return design | {"likelihood": "poisson", "counts": "poisson"}

    def calculate(self) -> None:
        """Calculate the curves anew and show them."""
        from bmi_runtime.calibration.curves import Curves
        from bmi_runtime.calibration.design import Design
        from gui.calibration_view import CalibrationView

        try:
            curves = Curves(Design(**self.design()))
        except BadInput as error:
            self.words.setText(f"✕ {error}")
            return
        kept = None if self.view is None else self.view.bounds()
        self._drop_view()
        rate = self.store.live.get(RATE) or float(curves.rates[len(curves.rates) // 2])
        self.view = CalibrationView(curves, rate=rate, accept_text="Apply", **_bounds(kept))
        self.view.rate_accepted.connect(self.apply)
        self.view.rate_changed.connect(lambda _: self.restyle())
        self.view.units.currentIndexChanged.connect(lambda _: self.restyle())
        for line in _movable_lines(self.view):
            if line.angle != 90:
                continue
            line.sigPositionChangeFinished.connect(self.propose)
        self._filler.hide()
        self.column.addWidget(self.view, 1)
        self.words.setText(f"from the model at {self.store.elapsed_s:.0f} s and the movements before it")
        self.restyle()

    def _drop_view(self) -> None:
        if self.view is not None:
            self.view.hide()
            for plot in self.view.findChildren(pyqtgraph.PlotWidget):
                plot.close()  # lets go of its scene, so that nothing paints what is about to go
            self.view.deleteLater()
            self.view = None

    def propose(self) -> None:
        """Propose the rate on which the line was released."""
        self.proposed = self.view.rate
        self.context.run("propose", RATE, self.proposed)
        self.words.setText(f"proposed {self.proposed:.3g} per bin; Apply sends it")

    def apply(self, rate: float) -> None:
        """Send the rate to the session."""
        self.context.send({"set": RATE, "value": float(rate)}, self._answered)

    def _answered(self, answer: dict[str, Any]) -> None:
        if answer.get("ok"):
            self.store.live[RATE] = answer["new"]
            self.words.setText(f"✓ {answer['old']:g} → {answer['new']:.4g} at bin {answer['bin']}")
        else:
            self.words.setText(f"✕ {answer.get('error', 'refused')}")

    def restyle(self) -> None:
        """Give the docked view the colours of the current theme."""
        if self.view is None:
            return
        palette = theme.current()
        for plot in self.view.findChildren(pyqtgraph.PlotWidget):
            plot.setBackground(palette.panel)
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(theme.pen("line", 1))
                axis.setTextPen(theme.pen("muted", 1))
                axis.setTickFont(theme.font(8))
                axis.label.setFont(theme.font(8.5))
            for item in plot.listDataItems():
                _recolour(item)
            legend = plot.getPlotItem().legend
            for _, label in legend.items if legend is not None else ():
                label.setText(label.text, color=palette.text)
        for plot in (self.view.error_plot, self.view.time_plot):
            for side in ("left", "bottom"):
                plot.getAxis(side).setTicks([DECADES])
        for line in _movable_lines(self.view):
            line.setPen(theme.pen("second" if line.angle == 90 else "bad", 2.5, dashed=line.angle == 0))

    def table(self):
        """Return both curves."""
        if self.view is None:
            return {}
        rates, errors, times = self.view.curves.curve()
        return {"learning_rate": rates, "error_sd": errors, "convergence_s": times}


def _bounds(kept) -> dict[str, float]:
    return {} if kept is None else {"max_error_sd": kept[0], "max_convergence_s": kept[1]}


def _movable_lines(view) -> list[pyqtgraph.InfiniteLine]:
    """Return the lines of a view that can be dragged: upright ones are the rate, level ones the limits."""
    items = [item for plot in view.findChildren(pyqtgraph.PlotWidget) for item in plot.items()]
    return [item for item in items if isinstance(item, pyqtgraph.InfiniteLine) and item.movable]


DECADES = [(power, f"1e{power}" if abs(power) > 3 else f"{10.0**power:g}") for power in range(-14, 9)]
COUNTERPARTS = {"#000000": "text", "#0072b2": "first", "#009e73": "good", "#d55e00": "bad", "#808080": "muted"}


def _recolour(item) -> None:
    """Give a curve that was drawn for a white page its counterpart in the current theme."""
    pen = pyqtgraph.mkPen(item.opts["pen"])
    role = COUNTERPARTS.get(pen.color().name())
    if item.opts["pen"] is not None and role and pen.style() != QtCore.Qt.PenStyle.NoPen:
        pen = QtGui.QPen(pen)
        pen.setColor(theme.colour(role))
        item.setPen(pen)
