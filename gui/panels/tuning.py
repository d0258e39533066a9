"""Tuning curves of the selected units, with what is not known of them."""

from __future__ import annotations

import numpy as np

from gui import plots, theme
from gui.bounds import dense
from gui.panels.base import Panel
from gui.panels.raster import SELECTED_ROLES

SPEED_DM_S = 1.0
DIRECTIONS_DEG = np.linspace(-180.0, 180.0, 121)


class TuningPanel(Panel):
    """Rate against direction at 10 cm/s: estimate, 95 % band, and the true curve when the units are simulated."""

    title = "Tuning"
    about = (
        "How the selected units' rate depends on the intended direction at a speed of 10 cm/s, as the encoding model "
        "has it now. The band holds 95 % of what the adaptive filter thinks possible. The dashed line is the true "
        "curve, known only for simulated units. Select units by clicking into the raster."
    )
    refresh_hz = 4.0  # as often as the model arrives

    def __init__(self, context):
        super().__init__(context)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.plot = plots.Plot("rate (Hz)", "intended direction (degrees)")
        self.plot.setMouseEnabled(False, False)
        self.plot.setXRange(-180, 180, padding=0)
        self.plot.getAxis("bottom").setTicks([[(angle, f"{angle}") for angle in range(-180, 181, 90)]])
        self.column.addWidget(self.plot, 1)
        self.bands = [plots.Band(self.plot, role, 0.22) for role in SELECTED_ROLES]
        self.curves = [self.plot.plot() for _ in SELECTED_ROLES]
        self.truths = [self.plot.plot() for _ in SELECTED_ROLES]
        self.restyle()
        context.selection.changed.connect(self.refresh)

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        for role, band, curve, truth in zip(SELECTED_ROLES, self.bands, self.curves, self.truths):
            band.restyle()
            plots.restyled(curve, role, 2.2)
            plots.restyled(truth, "text", 1.4, dashed=True, alpha=0.9)

    def refresh(self) -> None:
        """Draw the curves of the selected units."""
        store = self.store
        units = self.context.selection.within(store.n_units) if store.weights is not None else ()
        self.plot.left = "feature" if store.continuous else "rate (Hz)"
        self.plot.getAxis("left").setLabel(self.plot.left, color=theme.current().muted)
        angle = np.deg2rad(DIRECTIONS_DEG)
        directions = np.stack([np.ones_like(angle), SPEED_DM_S * np.cos(angle), SPEED_DM_S * np.sin(angle)])
        for slot in range(len(self.curves)):
            if slot < len(units):
                self._show(slot, units[slot], directions)
            else:
                self._hide(slot)
        self._say(units)

    def _show(self, slot: int, unit: int, directions: np.ndarray) -> None:
        store = self.store
        predictor = store.weights[:, unit] @ directions
        sd = np.sqrt(np.maximum(self._variance(unit, directions), 0.0))
        low, middle, high = (self._rate(predictor + z * sd) for z in (-1.96, 0.0, 1.96))
        if not np.isfinite(middle).all():
            self._hide(slot)
            return
        self.bands[slot].show(DIRECTIONS_DEG, low, high)
        self.curves[slot].setData(DIRECTIONS_DEG, middle)
        truth = store.truth[:, unit] if store.truth is not None else None
        if truth is not None and np.isfinite(truth).all():
            self.truths[slot].setData(DIRECTIONS_DEG, self._rate(truth @ directions))
        else:
            self.truths[slot].setData([], [])

    def _hide(self, slot: int) -> None:
        empty = np.zeros(0)
        self.bands[slot].show(empty, empty, empty)
        self.curves[slot].setData([], [])
        self.truths[slot].setData([], [])

    def _variance(self, unit: int, directions: np.ndarray) -> np.ndarray:
        """Return the variance of the linear predictor, u' S u, for each direction."""
        full = dense(self.store.covariance[:, unit], directions.shape[0])
        return np.einsum("id,ij,jd->d", directions, full, directions)

    def _rate(self, predictor: np.ndarray) -> np.ndarray:
        return predictor if self.store.continuous else np.exp(np.minimum(predictor, 12.0))

    def _say(self, units) -> None:
        if self.store.weights is None:
            self.words.setText("no model has arrived yet")
            return
        entries = []
        for role, unit in zip(SELECTED_ROLES, units):
            wx, wy = self.store.weights[1:3, unit]
            about = f"<b>unit {unit}</b> {np.degrees(np.arctan2(wy, wx)):.0f}°, depth {np.hypot(wx, wy):.2f}"
            entries.append((role, "▬", about))
        if self.store.truth is not None:
            entries.append(("text", "– –", "true"))
        self.words.setText(plots.key(entries))

    def table(self):
        """Return the curves shown."""
        columns = {"direction_deg": DIRECTIONS_DEG}
        for unit, curve in zip(self.context.selection.within(self.store.n_units), self.curves):
            data = curve.getData()[1]
            if data is not None:
                columns[f"unit_{unit}"] = data
        return columns
