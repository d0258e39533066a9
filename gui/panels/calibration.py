"""The calibration of the learning rate from what this session shows: drag previews, release proposes, Apply sends.

The one panel that computes, because a drag must be answered within a frame and the curves depend on what this window
has seen: it asks `bmi_runtime.calibration`, pure functions of arrays, imported when they are first needed. This is the
one exception from "the window imports messages and the client alone", and the import contract names it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pyqtgraph.Qt import QtWidgets

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.errors import BadInput
from gui import plots
from gui.panels.base import Panel

LEAST_S, MOST_S = 8.0, 20.0  # of movement that a calibration is made from
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
            self.words.setText(f"needs {LEAST_S:g} s of movement, has {math.floor(10 * seen_s) / 10:.1f} s")

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
        """Calculate the curves again and show them."""
        from bmi_runtime.calibration.design import Design
        from bmi_runtime.calibration.trade_off_curves import Curves

        try:
            curves = Curves(Design(**self.design()))
        except BadInput as error:
            self.words.setText(f"✕ {error}")
            return
        if self.view is None:
            self._show(curves)
        else:
            self.view.set_curves(curves)
        self.words.setText(f"from the model at {self.store.elapsed_s:.0f} s and the movements before it")

    def _show(self, curves) -> None:
        from gui.calibration_view import CalibrationView

        rate = self.store.live.get(RATE) or float(curves.rates[len(curves.rates) // 2])
        self.view = CalibrationView(curves, rate=rate, accept_text="Apply")
        self.view.rate_accepted.connect(self.apply)
        self.view.rate_released.connect(self.propose)
        self._filler.hide()
        self.column.addWidget(self.view, 1)

    def propose(self, rate: float) -> None:
        """Propose the rate on which the line was released."""
        self.proposed = rate
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
        """Take the colours of the current theme."""
        super().restyle()
        if self.view is not None:
            self.view.restyle()

    def table(self):
        """Return both curves."""
        if self.view is None:
            return {}
        rates, errors, times = self.view.curves.curve()
        return {"learning_rate": rates, "error_sd": errors, "convergence_s": times}
