"""The subject's view of brain states that are not a plane: a bar for each axis, or a room with depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui

from bmi_runtime.messages import TrialState
from gui import theme

DEPTH = 0.35  # how much larger (smaller) a thing at the front (back) wall is
ALIGN = QtCore.Qt.AlignmentFlag


class Canvas(Protocol):
    """What a scene needs of the view that it is painted in."""

    reach_m: float
    unit: float
    scale: float
    middle: QtCore.QPointF

    def width(self) -> int:
        """Pixels."""

    def height(self) -> int:
        """Pixels."""


def target_look(state: TrialState | None, unit: float) -> tuple[QtGui.QColor, QtGui.QPen]:
    """Return fill and line of a target in this state of the trial."""
    role = {TrialState.SUCCESS: "good", TrialState.TIMEOUT: "muted"}.get(state, "second")
    filled = state in (TrialState.HOLD, TrialState.SUCCESS)
    return theme.colour(role, 0.85 if filled else 0.35), QtGui.QPen(theme.colour(role), max(0.5 * unit, 2))


class Bars:
    """One horizontal bar for each axis: the target's width on it, the cursor as a mark, the hold as it fills."""

    def __init__(self, names: Sequence[str]):
        self.names = names

    def backdrop(self, view: Canvas, painter: QtGui.QPainter) -> None:
        """Paint the tracks and the names of the axes."""
        painter.setFont(theme.font(max(2.6 * view.unit, 9)))
        for axis, name in enumerate(self.names):
            track = self._track(view, axis)
            painter.setPen(QtGui.QPen(theme.colour("line"), 1))
            painter.setBrush(theme.colour("panel"))
            painter.drawRoundedRect(track, 4, 4)
            painter.drawLine(QtCore.QPointF(track.center().x(), track.top()), track.center())
            if len(self.names) > 1:
                painter.setPen(theme.colour("muted"))
                box = QtCore.QRectF(0, track.top(), track.left() - view.unit, track.height())
                painter.drawText(box, ALIGN.AlignVCenter | ALIGN.AlignRight, name)

    def paint(self, view: Canvas, painter: QtGui.QPainter, out: np.void, state, _trail: np.ndarray) -> None:
        """Paint target and cursor."""
        n = len(self.names)
        cursor, target, radius_m = out["cursor"][:n], out["target"][:n], float(out["target"][n])
        fill, line = target_look(state, view.unit)
        for axis in range(n):
            track = self._track(view, axis)
            left, right = (self._x(view, float(target[axis]) + side) for side in (-radius_m, radius_m))
            box = QtCore.QRectF(left, track.top(), right - left, track.height())
            painter.setPen(line)
            painter.setBrush(fill)
            painter.drawRect(box)
            held = min(max(float(out["hold_fraction"]), 0.0), 1.0)
            if held:
                painter.fillRect(
                    QtCore.QRectF(left, track.bottom() - 4, held * (right - left), 4), theme.colour("text")
                )
            if math.isfinite(float(cursor[axis])):
                x, half = self._x(view, float(cursor[axis])), max(0.6 * view.unit, 2.5)
                mark = QtCore.QRectF(x - half, track.top() - half, 2 * half, track.height() + 2 * half)
                painter.setPen(QtGui.QPen(theme.colour("first"), 1))
                painter.setBrush(theme.colour("cursor"))
                painter.drawRoundedRect(mark, half, half)

    def _x(self, view: Canvas, position_m: float) -> float:
        track = self._track(view, 0)
        return track.center().x() + 0.5 * track.width() * max(min(position_m / view.reach_m, 1.0), -1.0)

    def _track(self, view: Canvas, axis: int) -> QtCore.QRectF:
        n, top = len(self.names), 9 * view.unit
        pitch = (view.height() - top - 2 * view.unit) / n
        thick = min(0.5 * pitch, 14 * view.unit)
        left = 0.16 * view.width() if n > 1 else 0.05 * view.width()
        middle = top + (axis + 0.5) * pitch
        return QtCore.QRectF(left, middle - 0.5 * thick, 0.95 * view.width() - left, thick)


class Room:
    """Three axes: x to the right, y up, z toward the subject. What is nearer is larger; shadows fall on the floor."""

    def backdrop(self, view: Canvas, painter: QtGui.QPainter) -> None:
        """Paint the front and the back wall and the edges between them."""
        r = view.reach_m
        corners = [(x, y) for x, y in ((-r, -r), (r, -r), (r, r), (-r, r))]
        painter.setPen(QtGui.QPen(theme.colour("line"), 1))
        painter.setBrush(theme.colour("panel"))
        for z in (r, -r):
            painter.drawPolygon(QtGui.QPolygonF([self.at(view, (x, y, z))[0] for x, y in corners]))
        for x, y in corners:
            painter.drawLine(self.at(view, (x, y, r))[0], self.at(view, (x, y, -r))[0])

    def paint(self, view: Canvas, painter: QtGui.QPainter, out: np.void, state, trail: np.ndarray) -> None:
        """Paint shadows, trail, then target and cursor, the farther one first."""
        cursor, target, radius_m = out["cursor"][:3].tolist(), out["target"][:3].tolist(), float(out["target"][3])
        known = all(math.isfinite(value) for value in cursor)
        cursor_m = max(1.5 * view.unit, 5) / view.scale
        for place, size in ((target, radius_m), (cursor, cursor_m)) if known else ((target, radius_m),):
            self._shadow(view, painter, place, size)
        self._trail(view, painter, trail)
        if not known or cursor[2] >= target[2]:
            self._target(view, painter, target, radius_m, state, float(out["hold_fraction"]))
        if known:
            point, larger = self.at(view, cursor)
            painter.setPen(QtGui.QPen(theme.colour("first"), 0.35 * cursor_m * view.scale))
            painter.setBrush(theme.colour("cursor"))
            painter.drawEllipse(point, larger * cursor_m * view.scale, larger * cursor_m * view.scale)
            if cursor[2] < target[2]:
                self._target(view, painter, target, radius_m, state, float(out["hold_fraction"]))

    def at(self, view: Canvas, place: Sequence[float]) -> tuple[QtCore.QPointF, float]:
        """Return where a place (x, y, z, in m) is on the screen, and how much larger things are there."""
        larger = 1.0 / (1.0 - DEPTH * max(min(place[2] / view.reach_m, 1.0), -1.0))
        scale = view.scale * larger * (1.0 - DEPTH)  # the front wall fills the view
        return QtCore.QPointF(view.middle.x() + place[0] * scale, view.middle.y() - place[1] * scale), larger

    def _shadow(self, view: Canvas, painter: QtGui.QPainter, place: Sequence[float], radius_m: float) -> None:
        point, larger = self.at(view, (place[0], -view.reach_m, place[2]))
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("muted", 0.35))
        wide = larger * radius_m * view.scale
        painter.drawEllipse(point, wide, 0.3 * wide)
        painter.setPen(QtGui.QPen(theme.colour("muted", 0.35), 1))
        painter.drawLine(point, self.at(view, place)[0])

    def _trail(self, view: Canvas, painter: QtGui.QPainter, trail: np.ndarray) -> None:
        points = [self.at(view, row)[0] for row in trail[:, :3].tolist()]
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        painter.setPen(QtGui.QPen(theme.colour("first", 0.5), max(0.5 * view.unit, 1.5)))
        painter.drawPolyline(QtGui.QPolygonF(points))

    def _target(self, view: Canvas, painter: QtGui.QPainter, place, radius_m: float, state, held: float) -> None:
        point, larger = self.at(view, place)
        radius = larger * radius_m * view.scale
        fill, line = target_look(state, view.unit)
        painter.setPen(line)
        painter.setBrush(fill)
        painter.drawEllipse(point, radius, radius)
        if held > 0.0:
            ring = 1.35 * radius
            painter.setPen(QtGui.QPen(theme.colour("text"), max(0.9 * view.unit, 3)))
            box = QtCore.QRectF(point.x() - ring, point.y() - ring, 2 * ring, 2 * ring)
            painter.drawArc(box, 90 * 16, -round(min(held, 1.0) * 360 * 16))


def scene_of(axes: Sequence[str]) -> Bars | Room | None:
    """Return what paints a brain state of these axes; None for a plane, which the view paints itself."""
    return {2: None, 3: Room()}.get(len(axes), Bars(axes))
