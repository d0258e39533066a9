"""The subject's view of brain states that are not a plane."""

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui

from bmi_runtime.messages import StateSpace, step_dtype
from gui.panels.subject import SubjectView
from gui.panels.subject_scenes import Bars, Room, scene_of
from gui.store import Store

AXES = ("x", "y", "z", "pitch", "yaw", "roll", "grasp")


def store_of(n_axes, cursor, target, hold=0.0):
    store = Store()
    axes = list(AXES[:n_axes])
    task = {"workspace_m": 0.2, "distance_m": 0.1, "target_radius_m": 0.02, "kind": "centre-out", "targets": 8}
    store.hello({"config": {"session": {"units": 4}, "state": {"axes": axes}, "task": task}, "bin": 0}, 0.0)
    record = np.zeros(1, step_dtype(4, False, StateSpace(tuple(axes))))
    out = record["output"][0]
    out["cursor"][:n_axes], out["target"][:n_axes], out["target"][n_axes] = cursor, target, 0.02
    out["hold_fraction"] = hold
    store.receive("step", {"seq": 1, "bin": 0, "step": record.tobytes(), "counts": np.zeros(4), "bins": 1}, 0.0)
    assert not store.problems
    return store


def painted(qtbot, store):
    view = SubjectView(store)
    qtbot.addWidget(view)
    view.resize(400, 400)
    image = QtGui.QImage(400, 400, QtGui.QImage.Format.Format_RGB32)
    view.render(image)
    pixels = image.constBits()
    pixels.setsize(image.sizeInBytes())
    return view, np.frombuffer(pixels, np.uint8).reshape(400, 400, 4).copy()


@pytest.mark.parametrize("n_axes", [1, 2, 3, 4, 7])
def test_every_axis_of_the_cursor_is_to_be_seen(qtbot, n_axes):
    rest = np.zeros(n_axes)
    _, still = painted(qtbot, store_of(n_axes, rest, rest + 0.08))
    for axis in range(n_axes):
        moved = rest.copy()
        moved[axis] = 0.05
        _, image = painted(qtbot, store_of(n_axes, moved, rest + 0.08))
        assert (image != still).any(), AXES[axis]


def test_what_is_nearer_is_larger_and_a_place_in_the_middle_is_in_the_middle(qtbot):
    view, _ = painted(qtbot, store_of(3, [0, 0, 0], [0, 0, 0]))
    room = Room()
    point, size = room.at(view, (0.0, 0.0, 0.0))
    assert (point.x(), point.y(), size) == (view.middle.x(), view.middle.y(), 1.0)
    assert room.at(view, (0, 0, 0.1))[1] > 1.0 > room.at(view, (0, 0, -0.1))[1]
    assert room.at(view, (0.1, 0, 0.1))[0].x() > room.at(view, (0.1, 0, 0.0))[0].x()


def test_a_bar_for_each_axis_but_for_planes_and_rooms():
    assert scene_of(("x", "y")) is None and isinstance(scene_of(("x", "y", "z")), Room)
    assert isinstance(scene_of(("x",)), Bars) and scene_of(AXES).names == AXES


@pytest.mark.parametrize("n_axes", [1, 3, 5])
def test_a_position_that_is_no_number_is_left_out(qtbot, n_axes):
    view, _ = painted(qtbot, store_of(n_axes, np.full(n_axes, np.nan), np.zeros(n_axes), hold=0.5))
    assert view.frames >= 1 and isinstance(view.middle, QtCore.QPointF)
