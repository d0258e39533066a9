"""The parts that panels are drawn with: they show what they should, and leave alone what has not changed."""

import itertools
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.messages import StateSpace
from gui import axis_ranges, big_numbers, panels, plots, theme
from gui.panels.base import Context
from gui.panels.events import EventsPanel
from gui.panels.raster import RasterPanel
from gui.panels.replay import ReplayPanel
from gui.ring_buffer import Ring
from gui.screenshot import store_from
from gui.scrolling_image import ScrollingImage
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden
import synthetic
from running import KEPT

GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


@pytest.fixture(autouse=True)
def dark(qapp):
    theme.use("dark", qapp)


def painted(image, columns, rows):
    """Return the brightness that an image of columns and rows paints, one pixel each, oldest column first."""
    image.place(1.0, columns, rows)
    target = QtGui.QImage(columns, rows, QtGui.QImage.Format.Format_RGB32)
    target.fill(0)
    painter = QtGui.QPainter(target)
    painter.translate(columns, rows)
    painter.scale(1, -1)  # as a plot does: y grows upwards
    image.paint(painter)
    painter.end()
    pixels = np.frombuffer(golden.raw(target), np.uint8).reshape(rows, columns, 4)
    return pixels[::-1, :, 0].T


@pytest.mark.parametrize("pieces", [[7], [3, 4], [1] * 25, [9, 0, 13], [40, 5]])
def test_a_rolling_image_shows_the_newest_columns_however_they_came(qapp, pieces):
    rng = np.random.default_rng(len(pieces))
    image, ring = ScrollingImage(10), Ring(10, np.uint8, (6,))
    image.set_colours(GREYS)
    image.replace(np.zeros((0, 6), np.uint8))
    for count in pieces:
        columns = rng.integers(0, 256, (count, 6), dtype=np.uint8)
        image.append(columns)
        for column in columns:
            ring.append(column)
    for wanted in (len(ring), min(len(ring), 4)):
        np.testing.assert_array_equal(painted(image, wanted, 6), ring.newest(wanted))
    image.replace(ring.view)
    np.testing.assert_array_equal(painted(image, len(ring), 6), ring.view)


def test_the_raster_that_grew_is_the_one_drawn_anew(qtbot):
    context = Context(store_from(synthetic.hello(4.0)))
    grown = _raster(context)
    start = context.store.bin // synthetic.EVERY
    for index in range(start + 1, start + 300):
        context.store.receive("step", {"seq": index, "bin": index * 3, **synthetic.step(index)}, 0.0)
        if index % 3 == 0:
            grown.refresh()
    grown.refresh()
    anew = _raster(context)
    columns = min(len(context.store.raster), 200)
    np.testing.assert_array_equal(
        painted(grown.image, columns, synthetic.UNITS), painted(anew.image, columns, synthetic.UNITS)
    )
    brightest = np.minimum(63.75 * context.store.raster.newest(columns)[:, anew.order], 255).astype(np.uint8)
    shown = theme_brightness(anew)
    np.testing.assert_array_equal(painted(anew.image, columns, synthetic.UNITS), shown[brightest])


def theme_brightness(raster):
    """Return the blue part of each brightness's colour."""
    return (raster.image.colours & 255).astype(np.uint8)


def test_units_share_a_line_where_lines_are_fewer_and_none_is_lost(qtbot):
    context = Context(store_from(synthetic.hello(4.0)))
    raster = _raster(context, height=60)
    each = raster._units_per_row()
    assert each > 1 and raster.image.rows == math.ceil(synthetic.UNITS / each)
    bright = np.minimum(63.75 * context.store.raster.view[:, raster.order], 255).astype(np.uint8)
    wanted = np.stack(
        [bright[:, start : start + each].max(axis=1) for start in range(0, synthetic.UNITS, each)], axis=1
    )
    columns = min(len(wanted), 100)
    np.testing.assert_array_equal(
        painted(raster.image, columns, raster.image.rows), theme_brightness(raster)[wanted[-columns:]]
    )


def _raster(context, height=360):
    panel = panels.panel_class(panels.REGISTRY["raster"])(context)
    KEPT.append(panel)
    panel.resize(640, height)
    panel.show()
    panel.refresh()
    return panel


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.4), (-2.0, 5.0), (1e-7, 3e-7), (1234.0, 1234.5)])
def test_round_ranges_hold_what_is_shown_and_stay_until_they_must_not(low, high):
    start, end = axis_ranges.round_range(low, high)
    assert start <= low <= high <= end and (low != 0.0 or start == 0.0)
    assert axis_ranges.round_range(low, high - 0.1 * (high - low), (start, end)) == (start, end)
    wider = axis_ranges.round_range(low, high + 2 * (end - start), (start, end))
    assert wider[1] >= high + 2 * (end - start)
    narrow = axis_ranges.round_range(low, low + 0.1 * (end - start), (start, end))
    assert narrow[1] - narrow[0] < end - start


def test_a_constant_has_room_on_both_sides():
    for value in (4.0, -0.3):
        start, end = axis_ranges.round_range(value, value)
        assert start < value < end


def test_ranges_without_a_finite_value_stay_as_they_were():
    assert axis_ranges.round_range(*axis_ranges.extremes(np.array([np.nan, np.inf]))) == (0.0, 1.0)
    assert axis_ranges.round_range(math.nan, 2.0, (3.0, 4.0)) == (3.0, 4.0)
    assert axis_ranges.extremes(np.array([np.nan, 2.0]), np.zeros(0), np.array([-1.0])) == (-1.0, 2.0)


class LayoutRequests(QtCore.QObject):
    """Counts how often a widget is asked to lay out its children anew."""

    def __init__(self, widget):
        super().__init__()
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, _, event):
        self.count += event.type() == QtCore.QEvent.Type.LayoutRequest
        return False


def test_a_steady_label_keeps_its_room(qtbot):
    window = QtWidgets.QWidget()
    KEPT.append(window)
    label = big_numbers.FixedWidthLabel()
    QtWidgets.QHBoxLayout(window).addWidget(label)
    label.show_text("bin 10000")
    window.show()
    qtbot.wait(20)
    requests = LayoutRequests(window)
    for index in range(50):
        label.show_text(f"bin {index}")
        qtbot.wait(1)
    assert requests.count == 0 and label.text() == "bin 49"
    label.show_text("bin 100000 and much more")
    qtbot.wait(20)
    assert requests.count > 0
    assert label.width() >= label.fontMetrics().size(0, label.text()).width()


def test_a_plot_follows_until_it_is_dragged_and_again_after_a_double_click(qtbot):
    plot = plots.Plot("a", "b")
    KEPT.append(plot)
    plot.setMouseEnabled(True, False)
    plot.resize(400, 300)
    plot.show()
    plot.show_ranges((0.0, 10.0), (0.0, 1.0))
    assert plot.viewRange() == [[0.0, 10.0], [0.0, 1.0]]
    where = plot.viewport().rect().center()
    wheel = QtGui.QWheelEvent(
        QtCore.QPointF(where),
        QtCore.QPointF(plot.viewport().mapToGlobal(where)),
        QtCore.QPoint(),
        QtCore.QPoint(0, 240),
        QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.KeyboardModifier.NoModifier,
        QtCore.Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QtWidgets.QApplication.sendEvent(plot.viewport(), wheel)
    zoomed = plot.viewRange()[0]
    assert zoomed[1] - zoomed[0] < 10.0
    plot.show_ranges((0.0, 20.0), (0.0, 2.0))
    assert plot.viewRange() == [zoomed, [0.0, 2.0]]
    qtbot.mouseDClick(plot.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=where)
    plot.show_ranges((0.0, 20.0), (0.0, 2.0))
    assert plot.viewRange() == [[0.0, 20.0], [0.0, 2.0]]


def test_an_axis_is_named_once(qtbot):
    plot = plots.Plot("rate (Hz)", "")
    KEPT.append(plot)
    plot.show()
    qtbot.wait(20)
    axis, calls = plot.getAxis("left"), []
    plain = axis.setLabel
    axis.setLabel = lambda *given, **style: (calls.append(given), plain(*given, **style))
    for _ in range(5):
        plot.name_axis("left", "rate (Hz)")
    plot.name_axis("left", "feature")
    assert calls == [("feature",)] and plot.left == "feature"


@pytest.mark.parametrize("width", [700, 457, 371])
def test_big_numbers_side_by_side_stay_apart_in_a_narrow_panel(qtbot, width):
    figures = big_numbers.Figures(
        ("success", "time to target", "path efficiency", "bit rate", "velocity error", "angle")
    )
    qtbot.addWidget(figures)
    figures.resize(width, 60)
    figures.show()
    texts = ("✓ 100 %", "0.85 s", "99 %", "2.28 bit/s", "4.2 cm/s", "23°")
    for caption, text in zip(figures.values, texts, strict=True):
        figures.show_value(caption, text)
    qtbot.wait(20)
    labels = list(figures.values.values())
    for left, right in itertools.pairwise(labels):
        assert left.geometry().right() < right.geometry().left()
    assert labels[-1].geometry().right() <= width


def test_the_name_of_a_low_plot_loses_its_unit_and_then_itself(qtbot, qapp):
    plot = plots.Plot("error (cm/s)", "time (s)")
    qtbot.addWidget(plot)
    shown = []
    for height in (300, 100, 60, 300):
        plot.resize(300, height)
        plot.show()
        qtbot.wait(10)
        shown.append(plot.getAxis("left").labelText)
    assert shown == ["error (cm/s)", "error", "", "error (cm/s)"]
    plot.name_axis("left", "angle (°)")
    assert plot.getAxis("left").labelText == "angle (°)" and plot.left == "angle (°)"


def test_an_empty_plot_says_what_it_waits_for_and_shows_no_numbers_that_mean_nothing(qtbot, qapp):
    plot = plots.Plot("error (cm/s)", "time (s)")
    qtbot.addWidget(plot)
    plot.wait_for("waiting for the first data")
    assert not any(plot.getAxis(side).style["showValues"] for side in ("left", "bottom"))
    plot.wait_for("")
    assert all(plot.getAxis(side).style["showValues"] for side in ("left", "bottom"))


def in_a_cell(qtbot, kind, width, height):
    """Return a panel in a cell of a small screen, which gives it no more than this."""
    cell = QtWidgets.QWidget()
    panel = kind(Context(Store()))
    panel.setParent(cell)
    KEPT.append(cell)
    cell.resize(width, height)
    panel.setGeometry(0, 0, width, height)
    cell.show()
    qtbot.wait(30)
    return panel


@pytest.mark.parametrize("width", [262, 300, 420])
def test_no_field_of_a_narrow_event_log_is_cut(qtbot, qapp, width):
    panel = in_a_cell(qtbot, EventsPanel, width, 240)
    assert panel.search.geometry().right() < width and panel.search.width() >= panel.search.minimumWidth()
    assert panel.serious.geometry().right() < width


def test_fields_of_a_low_replay_panel_keep_their_height_and_are_scrolled_to(qtbot, qapp):
    panel = in_a_cell(qtbot, ReplayPanel, 340, 175)
    assert all(side.key.height() >= side.key.minimumSizeHint().height() for side in panel.sides)
    assert panel.findChild(QtWidgets.QScrollArea).verticalScrollBar().maximum() > 0
    assert panel.ask_button.geometry().right() < 340


def test_an_application_that_nobody_holds_stays():
    script = (
        "from gui.application import application; from pyqtgraph.Qt import QtWidgets\n"
        "application(); label = QtWidgets.QLabel('here')\n"
        "assert QtWidgets.QApplication.instance() is not None\n"
        "application(); assert label.text() == 'here'\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("height", [14, 25, 40, 60, 90, 150, 400])
@pytest.mark.parametrize("span", [(0.0, 1.0), (0.0, 20.0), (-3.0, 4.5), (0.0, 180.0), (1e-7, 3e-6), (1001.2, 1001.9)])
def test_the_numbers_of_a_left_axis_do_not_stand_on_each_other(qapp, height, span):
    plot = plots.Plot("error (cm/s)", "")
    KEPT.append(plot)
    axis = plot.getAxis("left")
    step, places = axis.tickValues(*span, height)[0]
    pixels = (np.asarray(places) - span[0]) * height / (span[1] - span[0])
    ascent = QtGui.QFontMetrics(axis.style["tickFont"]).ascent()
    assert step > 0 and (np.diff(pixels) >= 0.99 * ascent).all()
    whole = (pixels >= 0.5 * ascent) & (pixels <= height - 0.5 * ascent)  # others are cut, and not drawn
    assert whole.any() or height < 1.5 * ascent, "where there is room there is a number"


def test_a_step_is_round_and_not_smaller_than_wanted():
    for least in (0.7, 1.0, 1.2, 2.0, 4.9, 5.0, 7.0, 10.0, 3e-7):
        step = axis_ranges.round_step(least)
        assert step >= least * (1 - 1e-9) and step <= 2.5 * least and float(f"{step:.0e}") == pytest.approx(step)


def test_both_plots_of_a_what_if_are_in_view_with_what_was_asked(qapp):
    theme.use("dark", qapp)
    panel = ReplayPanel(Context(store_from(synthetic.hello())))
    KEPT.append(panel)
    panel.resize(640, 480)
    panel.show()
    panel.refresh()
    times = np.linspace(0.0, 60.0, 200)
    found = {"time_s": times, "error_m_s": np.full((2, 200), 0.04), "velocity_m_s": np.zeros((2, 200, 2))}
    found |= {"apart_m_s": np.zeros(200), "settings": [[], ["adapter.learning_rate=1e-4"]]}
    paired = {"errors_m_s": [0.04, 0.05], "interval_m_s": [0.0, 0.01], "difference_m_s": 0.005, "where": "everywhere"}
    panel._answered({"ok": True, "what_if": found | {"paired": paired}})
    for _ in range(10):
        qapp.processEvents()
    seen = panel.rect()
    for part in (panel.go, panel.ask_button, panel.answer, panel.both, panel.difference):
        assert seen.contains(QtCore.QRect(part.mapTo(panel, QtCore.QPoint(0, 0)), part.size())), part


@pytest.mark.parametrize(("axes", "units"), [(("x",), ()), (("x", "y", "z"), ()), (("reach", "wrist"), ("m", "rad"))])
def test_a_what_if_offers_the_axes_of_the_recording_that_is_open(qapp, axes, units):
    theme.use("dark", qapp)
    store = store_from(synthetic.hello())
    panel = ReplayPanel(Context(store))
    KEPT.append(panel)
    store.space = StateSpace(axes, units=units)
    panel.refresh()
    offered = [panel.quantity.itemText(row) for row in range(panel.quantity.count())]
    assert offered == ["velocity error", *(f"decoded v{axis}" for axis in axes)]
    velocity = np.zeros((2, 3, len(axes)))
    velocity[1, :, -1] = 0.25
    found = {"time_s": np.arange(3.0), "error_m_s": np.full((2, 3), 0.04), "velocity_m_s": velocity}
    found |= {"apart_m_s": np.full(3, 0.25), "settings": [[], ["adapter.learning_rate=1e-4"]]}
    paired = {"errors_m_s": [0.04, 0.05], "interval_m_s": None, "difference_m_s": 0.01, "where": None}
    panel._answered({"ok": True, "what_if": found | {"paired": paired}})
    panel.quantity.setCurrentIndex(len(axes))
    shown = panel.apart.getData()[1]
    np.testing.assert_allclose(shown, 0.25 if units else 25.0)
    assert panel.both.getAxis("left").labelText == ("rad/s" if units else "cm/s")
    assert len(panel.table()) == 2 + 2 * (1 + len(axes))


def test_an_empty_picture_says_what_it_waits_for_and_in_a_replay_that_it_is_to_be_played(qapp):
    theme.use("dark", qapp)
    store = Store()
    panel = RasterPanel(Context(store))
    KEPT.append(panel)
    panel.refresh()
    assert panel.words.text() == "waiting for the first spikes"
    store.mode = "replay"
    panel.refresh()
    assert panel.words.text() == "at the beginning of the recording: Play (F5)"
