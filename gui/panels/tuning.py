"""Tuning curves of the selected units, with what is not known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bmi_runtime.constants import Z_95
from gui import axis_ranges, plots
from gui.panels.base import Panel
from gui.panels.raster import SELECTED_ROLES
from gui.steady_state_error import dense

SPEED_DM_S = 1.0  # at which tuning is drawn
DIRECTIONS_DEG = np.linspace(-180.0, 180.0, 73)


def directions_of(n_regressors: int, n_axes: int, kinds: Sequence[str]) -> np.ndarray:
    """Return the regressors of movements in the first two axes at 10 cm/s, from the centre, (regressors, directions).

    Parameters
    ----------
    n_regressors, n_axes : int
    kinds : sequence of str
        What rates depend on (``encoding.regressors``); they stand in the order velocity, position, speed, history.
    """
    made, at = np.zeros((n_regressors, len(DIRECTIONS_DEG))), 1
    made[0], angle = 1.0, np.deg2rad(DIRECTIONS_DEG)
    if "velocity" in kinds:
        made[at], at = SPEED_DM_S * np.cos(angle), at + n_axes
        if n_axes > 1:
            made[2] = SPEED_DM_S * np.sin(angle)
    at += n_axes * ("position" in kinds)
    if "speed" in kinds:
        made[at] = SPEED_DM_S
    return made


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
        self.plot.setXRange(-200, 200, padding=0)  # room for the outer numbers
        self.plot.getAxis("bottom").setTicks([[(angle, f"{angle}") for angle in range(-180, 181, 90)]])
        self.column.addWidget(self.plot, 1)
        self.bands = [plots.Band(self.plot, role, 0.22) for role in SELECTED_ROLES]
        self.curves = [self.plot.curve() for _ in SELECTED_ROLES]
        self.truths = [self.plot.curve() for _ in SELECTED_ROLES]
        self._span: tuple[float, float] | None = None
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
        self.plot.name_axis("left", "feature" if store.continuous else "rate (Hz)")
        shown = []
        for slot in range(len(self.curves)):
            curves = self._of_unit(units[slot]) if slot < len(units) else None
            if curves is None:
                self._hide(slot)
            else:
                self._show(slot, *curves)
                shown += curves
        if shown:
            low, high = axis_ranges.extremes(*shown)
            self._span = axis_ranges.round_range(low if store.continuous else 0.0, high, self._span)
            self.plot.show_ranges(y=self._span)
        self._say(units)

    def _of_unit(self, unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Return a unit's curve, both ends of its band and the true curve (empty where unknown); None if not finite."""
        store = self.store
        kinds = store.config.get("encoding", {}).get("regressors", ("velocity",))
        directions = directions_of(len(store.weights), store.space.n_axes, kinds)
        predictor = store.weights[:, unit] @ directions
        sd = np.sqrt(np.maximum(self._variance(unit, directions), 0.0))
        middle, low, high = (self._rate(predictor + z * sd) for z in (0.0, -Z_95, Z_95))
        if not np.isfinite(middle).all():
            return None
        truth = store.truth[:, unit] if store.truth is not None else np.full(len(directions), np.nan)
        return middle, low, high, self._rate(truth @ directions) if np.isfinite(truth).all() else np.zeros(0)

    def _show(self, slot: int, middle, low, high, truth) -> None:
        self.bands[slot].show(DIRECTIONS_DEG, low, high)
        self.curves[slot].setData(DIRECTIONS_DEG, middle)
        self.truths[slot].setData(DIRECTIONS_DEG[: len(truth)], truth)
        for item in (self.bands[slot], self.curves[slot], self.truths[slot]):
            item.setVisible(True)

    def _hide(self, slot: int) -> None:
        for item in (self.bands[slot], self.curves[slot], self.truths[slot]):
            item.setVisible(False)

    def _variance(self, unit: int, directions: np.ndarray) -> np.ndarray:
        """Return the variance of the linear predictor, u' S u, for each direction."""
        full = dense(self.store.covariance[:, unit], directions.shape[0])
        return np.einsum("id,ij,jd->d", directions, full, directions)

    def _rate(self, predictor: np.ndarray) -> np.ndarray:
        return predictor if self.store.continuous else np.exp(np.minimum(predictor, 12.0))

    def _say(self, units) -> None:
        if self.store.weights is None:
            self.words.setText("")
            self.plot.wait_for(self.waits_for("the runtime's first model"))
            return
        self.plot.wait_for("")
        entries = []
        for role, unit in zip(SELECTED_ROLES, units):
            gains = self.store.weights[1 : 1 + self.store.space.n_axes, unit]
            angle = f" {np.degrees(np.arctan2(gains[1], gains[0])):.0f}°," if len(gains) > 1 else ""
            about = f"<b>unit {unit}</b>{angle} depth {np.linalg.norm(gains):.2f}"
            entries.append((role, "▬", about))
        if self.store.truth is not None:
            entries.append(("text", "– –", "true"))
        self.words.setText(plots.key(entries))

    def table(self):
        """Return the curves shown."""
        columns = {"direction_deg": DIRECTIONS_DEG}
        for unit, curve in zip(self.context.selection.within(self.store.n_units), self.curves):
            data = curve.getData()[1]
            if data is not None and curve.isVisible():
                columns[f"unit_{unit}"] = data
        return columns
