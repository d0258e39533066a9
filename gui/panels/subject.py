"""The subject's view: target, cursor, trail, hold ring, score. Painted by hand: 60 frames a second cost little."""

from __future__ import annotations

import math

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.messages import PLANE, TrialState
from gui import theme
from gui.panels.base import Panel
from gui.panels.subject_scenes import Bars, Room, scene_of
from gui.subject_options import OPERATOR, SubjectOptions

TRAIL_ROWS = 72  # 1.2 s at 60 Hz
TRAIL_PIECE = 6  # points of one brightness
WORDS = {
    TrialState.REACH: "REACH",
    TrialState.HOLD: "HOLD",
    TrialState.SUCCESS: "REACHED",
    TrialState.TIMEOUT: "TIME OUT",
    TrialState.PAUSE: "PAUSED",
}


class SubjectView(QtWidgets.QWidget):
    """Paints the workspace of the newest step.

    Parameters
    ----------
    store : Store
    options : SubjectOptions
        What is shown beside target and cursor, and how large.
    """

    def __init__(self, store, options: SubjectOptions = OPERATOR):
        super().__init__()
        self.store, self.options = store, options
        self.resting, self.pixels_per_cm = False, 38.0
        self.setMinimumSize(80, 80)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.frames = 0
        self._backdrop_state: tuple = ()
        self._scene_axes, self._scene_of_axes = PLANE.axes, scene_of(PLANE.axes)
        self._backdrop_picture = QtGui.QPixmap()

    def paintEvent(self, event):
        """Paint the workspace."""
        painter = QtGui.QPainter(self)
        self._scale_to_workspace()
        painter.drawPixmap(0, 0, self._backdrop())
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        if self.resting:
            self._rest(painter)
        elif self.store.step is not None:
            out, scene = self.store.step["output"], self._scene()
            if scene:
                scene.paint(self, painter, out, self.store.trial_state, self._recent_path())
            else:
                self._target(painter, out)
                if self.options.trail:
                    self._trail(painter)
                self._cursor(painter, out)
            self._words(painter, out)
        self._patch(painter)
        painter.end()
        self.frames += 1

    def _scene(self) -> Bars | Room | None:
        """Return what paints a brain state that is no plane; None for a plane."""
        axes = self.store.space.axes
        if axes != self._scene_axes:
            self._scene_axes, self._scene_of_axes = axes, scene_of(axes)
        return self._scene_of_axes

    def _scale_to_workspace(self) -> None:
        limit = self.store.config.get("task", {}).get("workspace_m", 0.2)
        distance = self.store.config.get("task", {}).get("distance_m", limit / 1.3)
        self.reach_m = min(limit, 1.3 * distance)
        self.unit = min(self.width(), self.height()) / 100.0
        self.scale = 0.5 * min(self.width(), self.height() - 12 * self.unit) / (1.04 * self.reach_m)
        if self.options.magnification:
            self.scale = 100.0 * self.options.magnification * self.pixels_per_cm
        self.middle = QtCore.QPointF(self.width() / 2, self.height() / 2 + 1.5 * self.unit)

    def _at(self, x_m: float, y_m: float) -> QtCore.QPointF:
        return QtCore.QPointF(self.middle.x() + x_m * self.scale, self.middle.y() - y_m * self.scale)

    def _backdrop(self) -> QtGui.QPixmap:
        """Return what stays: the workspace and all places where a target may be; painted when one of them changes."""
        task, ratio = self.store.config.get("task", {}), self.devicePixelRatioF()
        targets = self._possible_targets(task)
        size, axes = (self.width(), self.height(), ratio, self.scale), self.store.space.axes
        state = (*size, tuple(targets), theme.current(), axes, self.options)
        if state != self._backdrop_state:
            self._backdrop_state = state
            self._backdrop_picture = QtGui.QPixmap(round(self.width() * ratio), round(self.height() * ratio))
            self._backdrop_picture.setDevicePixelRatio(ratio)
            painter = QtGui.QPainter(self._backdrop_picture)
            painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), theme.colour("window"))
            if scene := self._scene():
                scene.backdrop(self, painter)
            elif self.options.places:
                self._workspace(painter)
            painter.setPen(QtGui.QPen(theme.colour("line"), 1.5))
            painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
            for x_m, y_m, radius_m in targets:
                painter.drawEllipse(self._at(x_m, y_m), radius_m * self.scale, radius_m * self.scale)
            painter.end()
        return self._backdrop_picture

    def _workspace(self, painter: QtGui.QPainter) -> None:
        corner = self._at(-self.reach_m, self.reach_m)
        size = 2 * self.reach_m * self.scale
        painter.setPen(QtGui.QPen(theme.colour("line"), 1))
        painter.setBrush(theme.colour("panel"))
        painter.drawRoundedRect(QtCore.QRectF(corner.x(), corner.y(), size, size), 6, 6)

    def _possible_targets(self, task: dict) -> list[tuple[float, float, float]]:
        """Return position and radius, m, of every target of a centre-out task; nothing for other tasks."""
        kind = self.store.live.get("task.kind") or task.get("kind", "")
        known = self.store.step is not None and "centre-out" in kind
        if not known or self._scene() or not self.options.places:
            return []
        angles = [2 * math.pi * number / task["targets"] for number in range(task["targets"])]
        distance_m, radius_m = task["distance_m"], task["target_radius_m"]
        return [(distance_m * math.cos(angle), distance_m * math.sin(angle), radius_m) for angle in angles]

    def _target(self, painter: QtGui.QPainter, out) -> None:
        x_m, y_m, radius_m = (float(value) for value in out["target"])
        state, centre, radius = self.store.trial_state, self._at(x_m, y_m), radius_m * self.scale
        role = {TrialState.SUCCESS: "good", TrialState.TIMEOUT: "muted"}.get(state, "second")
        filled = state in (TrialState.HOLD, TrialState.SUCCESS)
        painter.setBrush(theme.colour(role, 0.85 if filled else 0.35))
        painter.setPen(QtGui.QPen(theme.colour(role), max(0.5 * self.unit, 2)))
        painter.drawEllipse(centre, radius, radius)
        self._hold_ring(painter, centre, radius, float(out["hold_fraction"]))
        if state in (TrialState.SUCCESS, TrialState.TIMEOUT) and self.options.signs:
            painter.setFont(theme.font(0.9 * radius, bold=True))
            painter.setPen(theme.colour("window"))
            box = QtCore.QRectF(centre.x() - radius, centre.y() - radius, 2 * radius, 2 * radius)
            painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, "✓" if state == TrialState.SUCCESS else "✕")

    def _hold_ring(self, painter: QtGui.QPainter, centre: QtCore.QPointF, radius: float, fraction: float) -> None:
        """Draw an arc that closes while the hold is being done."""
        if not fraction > 0.0:
            return
        ring = 1.35 * radius
        box = QtCore.QRectF(centre.x() - ring, centre.y() - ring, 2 * ring, 2 * ring)
        arc = QtGui.QPen(theme.colour("text"), max(0.9 * self.unit, 3))
        arc.setCapStyle(QtCore.Qt.PenCapStyle.RoundCap)
        painter.setPen(arc)
        painter.drawArc(box, 90 * 16, -round(min(fraction, 1.0) * 360 * 16))

    def _trail(self, painter: QtGui.QPainter) -> None:
        """Draw the last second as pieces that fade; a piece is one line, so that its joints do not show."""
        rows = self._recent_path()
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        x = (self.middle.x() + self.scale * rows[:, 0]).tolist()
        y = (self.middle.y() - self.scale * rows[:, 1]).tolist()
        points = [QtCore.QPointF(*point) for point in zip(x, y, strict=True)]
        pen = QtGui.QPen()
        pen.setWidthF(max(0.7 * self.unit, 2))
        pen.setCapStyle(QtCore.Qt.PenCapStyle.FlatCap)
        pen.setJoinStyle(QtCore.Qt.PenJoinStyle.RoundJoin)
        for start in range(0, len(points) - 1, TRAIL_PIECE):
            pen.setColor(theme.colour("first", 0.8 * ((start + TRAIL_PIECE) / TRAIL_ROWS) ** 1.5))
            painter.setPen(pen)
            painter.drawPolyline(QtGui.QPolygonF(points[start : start + TRAIL_PIECE + 1]))

    def _recent_path(self) -> np.ndarray:
        """Return the cursor (position, velocity) of the last second, where it is known."""
        rows = self.store.steps.newest(TRAIL_ROWS)["cursor"]
        return rows[np.isfinite(rows).all(axis=1)]

    def _cursor(self, painter: QtGui.QPainter, out) -> None:
        x_m, y_m = float(out["cursor"][0]), float(out["cursor"][1])
        if not math.isfinite(x_m + y_m):
            return
        radius = max(1.5 * self.unit, 5)
        painter.setPen(QtGui.QPen(theme.colour("first"), 0.35 * radius))
        painter.setBrush(theme.colour("cursor"))
        painter.drawEllipse(self._at(x_m, y_m), radius, radius)

    def _rest(self, painter: QtGui.QPainter) -> None:
        """Paint a plain point to rest the eyes on: nothing runs."""
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("line"))
        painter.drawEllipse(self._at(0.0, 0.0), self.unit, self.unit)

    def _patch(self, painter: QtGui.QPainter) -> None:
        """Paint the photodiode's patch: white while a target is shown, black else."""
        where, side = self.options.patch, self.options.patch_cm * self.pixels_per_cm
        if where == "none":
            return
        shown = not self.resting and self.store.trial_state in (TrialState.REACH, TrialState.HOLD)
        x = 0.0 if "left" in where else self.width() - side
        y = 0.0 if "top" in where else self.height() - side
        painter.fillRect(QtCore.QRectF(x, y, side, side), QtGui.QColor("#ffffff" if shown else "#000000"))

    def _words(self, painter: QtGui.QPainter, out) -> None:
        store, margin, size = self.store, 1.6 * self.unit, max(3.4 * self.unit, 11)
        successes, timeouts = store.score
        box = QtCore.QRectF(margin, 0.4 * margin, self.width() - 2 * margin, 7 * self.unit)
        top = QtCore.Qt.AlignmentFlag.AlignVCenter
        painter.setFont(theme.font(0.75 * size, bold=True))
        if self.options.state:
            word = "HELD" if store.held else WORDS.get(store.trial_state, "STATE UNKNOWN")
            painter.setPen(theme.colour("text"))
            painter.drawText(box, top | QtCore.Qt.AlignmentFlag.AlignHCenter, word)
        if not self.options.score:
            return
        painter.setPen(theme.colour("good"))
        painter.drawText(box, top | QtCore.Qt.AlignmentFlag.AlignLeft, f"✓ {successes}")
        left = painter.fontMetrics().horizontalAdvance(f"✓ {successes}   ")
        painter.setPen(theme.colour("bad" if timeouts else "muted"))
        painter.drawText(box.adjusted(left, 0, 0, 0), top | QtCore.Qt.AlignmentFlag.AlignLeft, f"✕ {timeouts}")
        assist = float(out["assist"])
        painter.setPen(theme.colour("fourth" if assist > 0 else "muted"))
        painter.drawText(box, top | QtCore.Qt.AlignmentFlag.AlignRight, f"assist {100 * assist:.0f} %")


class SubjectPanel(Panel):
    """The subject's view as a panel."""

    title = "Subject"
    about = (
        "What the subject sees. The orange disc is the target, the white dot the cursor with its last 1.2 s "
        "(with three axes what is nearer is larger and shadows fall on the floor; with one or many each has a bar). "
        "The ring around the target closes while the hold is being done; ✓ is a target reached, ✕ one that timed out. "
        "Assist is how much of the cursor's velocity is pulled toward the target instead of decoded."
    )
    refresh_hz = 30.0

    def __init__(self, context):
        super().__init__(context)
        self.view = SubjectView(self.store)
        self.column.addWidget(self.view)

    def refresh(self) -> None:
        """Repaint."""
        self.view.update()

    def table(self):
        """Return the cursor's and the target's path of the last minute."""
        rows = self.store.steps.view
        columns = {"time_s": rows["t_s"]}
        for name in ("cursor", "target"):
            for axis, label in enumerate(self.store.space.axes):
                columns[f"{name}_{label}_m"] = rows[name][:, axis]
        return columns
