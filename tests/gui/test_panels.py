"""Every panel on a session made of formulas: its picture, what it says, what a click does."""

import itertools
import pathlib
import sys

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui

from bmi_runtime.constants import Z_95
from gui import panels, theme
from gui.panels.base import Context
from gui.panels.decoder_error import running_errors
from gui.screenshot import store_from
from gui.session_bar import SessionBar

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden
import synthetic
from running import KEPT

GOLDEN = pathlib.Path(__file__).parent / "golden"
PICTURED = [name for name in panels.REGISTRY if name != "recordings"]  # its times are those of the machine's time zone
SIZE = golden.SIZE
FAR = 48  # of 255; anti-aliasing of another version of Qt stays below it
MOST_FAR = 0.02  # share of pixels


@pytest.fixture
def context(qapp):
    theme.use("dark", qapp)
    return Context(store_from(synthetic.hello()))


def make(qtbot, context, name):
    panel = panels.panel_class(panels.REGISTRY[name])(context)
    KEPT.append(panel)
    panel.resize(*SIZE)
    panel.show()
    panel.refresh()
    return panel


def pixels(path):
    image = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format.Format_RGB32)
    data = golden.raw(image)
    return np.frombuffer(data, np.uint8).reshape(image.height(), image.width(), 4)[:, :, :3].astype(int)


@pytest.mark.parametrize("name", PICTURED)
def test_pictures_are_identical_each_time_and_like_the_golden_ones(name, qapp, tmp_path):
    """To the bit on one machine; across machines but for anti-aliasing (`python tests/gui/golden.py` draws them)."""
    for file in ("a.png", "b.png"):
        golden.draw(tmp_path / file, name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn, wanted = pixels(tmp_path / "a.png"), pixels(GOLDEN / f"{name}.png")
    assert drawn.shape == wanted.shape
    assert np.mean(np.abs(drawn - wanted).max(axis=2) > FAR) < MOST_FAR


OTHERS = [(theme, size) for theme in golden.THEMES for size in golden.SIZES if (theme, size) != ("dark", "")]


def alike(drawn, wanted):
    """Whether two pictures are the same but for anti-aliasing."""
    drawn, wanted = pixels(drawn), pixels(wanted)
    return drawn.shape == wanted.shape and np.mean(np.abs(drawn - wanted).max(axis=2) > FAR) < MOST_FAR


@pytest.mark.parametrize("name", PICTURED)
def test_the_other_theme_and_size_are_like_their_golden_pictures(name, qapp, tmp_path):
    for theme_name, size in OTHERS:
        file = golden.file_name(name, theme_name, size)
        golden.draw(tmp_path / file, name, theme_name, size)
        assert alike(tmp_path / file, GOLDEN / file), file
    theme.use("dark", qapp)


@pytest.mark.parametrize("layout", ["run", "calibrate", "inspect"])
def test_layouts_are_like_their_golden_pictures(layout, qapp, tmp_path):
    for theme_name in golden.THEMES:
        for size in golden.LAYOUT_SIZES:
            file = golden.file_name(f"layout_{layout}", theme_name, size)
            golden.draw_layout(tmp_path / file, layout, theme_name, size)
            assert alike(tmp_path / file, GOLDEN / file), file
    theme.use("dark", qapp)


def test_no_panel_minds_an_empty_store(qtbot, qapp):
    from gui.store import Store

    theme.use("dark", qapp)
    for name in panels.REGISTRY:
        panel = make(qtbot, Context(Store()), name)
        panel.restyle()
        assert isinstance(dict(panel.table()), dict)


def test_a_click_into_the_raster_selects_the_unit_everywhere(qtbot, context):
    raster, tuning = make(qtbot, context, "raster"), make(qtbot, context, "tuning")
    row = 30
    where = raster.plot.getPlotItem().vb.mapViewToScene(QtCore.QPointF(-3.0, row + 0.5))
    point = raster.plot.mapFromScene(where)
    qtbot.mouseClick(raster.plot.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=point)
    qtbot.waitUntil(lambda: context.selection.units == (int(raster.order[row]),))
    assert f"unit {raster.order[row]}" in tuning.words.text()


def test_the_raster_is_sorted_by_preferred_direction(qtbot, context):
    raster = make(qtbot, context, "raster")
    directions = context.store.preferred_directions()[raster.order]
    assert (np.diff(directions) >= 0).all()
    raster.sort.setCurrentText("number")
    assert raster.order.tolist() == list(range(synthetic.UNITS))


def test_the_tuning_curve_is_that_of_the_model(qtbot, context):
    tuning = make(qtbot, context, "tuning")
    x, y = tuning.curves[0].getData()
    angle, weights = np.deg2rad(x), context.store.weights[:, 0]
    np.testing.assert_allclose(y, np.exp(weights[0] + weights[1] * np.cos(angle) + weights[2] * np.sin(angle)))
    sd = np.sqrt(np.array([1, np.cos(angle[0]) ** 2, np.sin(angle[0]) ** 2]) @ context.store.covariance[[0, 2, 5], 0])
    assert tuning.bands[0].high.getData()[1][0] == pytest.approx(y[0] * np.exp(Z_95 * sd))


def test_traces_say_how_many_parameters_are_inside_the_prediction(qtbot, context):
    traces = make(qtbot, context, "traces")
    error = np.abs(context.store.weights - synthetic.truth())
    inside = np.mean(error <= 1.96 * context.store.predicted_sd)
    assert traces.coverage() == pytest.approx(inside)
    assert f"{100 * inside:.0f} % of all parameters" in traces.words.text().replace("&nbsp;", " ")


def test_errors_are_running_means_against_brute_force(context):
    rows = context.store.steps.view
    error, angle = running_errors(rows, 40)
    last = rows[-40:]
    difference = last["decoded"][:, 2:] - last["intended"]
    assert error[-1] == pytest.approx(np.sqrt(np.mean(np.sum(difference**2, axis=1))))
    fast = last[np.hypot(*last["intended"].T) > 0.02]
    a, b = (np.arctan2(v[:, 1], v[:, 0]) for v in (fast["decoded"][:, 2:], fast["intended"]))
    assert angle[-1] == pytest.approx(np.degrees(np.abs(np.angle(np.exp(1j * (a - b))))).mean())


def test_success_is_said_in_numbers_and_signs(qtbot, context):
    error = make(qtbot, context, "error")
    assert error.figures.values["success"].text() == "! 83 %"
    latency = make(qtbot, context, "latency")
    assert latency.figures.values["misses"].text() == "! 2 (0.083 %)"
    context.store.health["deadline_misses"] = 0
    latency.refresh()
    assert latency.figures.values["misses"].text() == "✓ none"
    context.store.health["latency_us"] = {"p50": 40.0, "p99": 90.0, "p99_9": 130.0, "max": 9000.0}
    latency.refresh()  # longer than a bin, and no deadline was missed: none were held
    assert latency.figures.values["misses"].text() == "not paced"


def test_a_narrow_log_keeps_its_filters_apart(qtbot, context):
    events = make(qtbot, context, "events")
    for width, words in ((640, ["☑ ◎ trials", "☑ → changes"]), (360, ["☑ ◎", "☑ →"])):
        events.resize(width, 300)
        assert [events.kinds[kind].text() for kind in ("trial", "command")] == words
        qtbot.wait(10)
        ends = [button.geometry() for button in events.kinds.values()] + [events.search.geometry()]
        assert all(left.right() < right.left() for left, right in itertools.pairwise(ends))
    qtbot.mouseClick(events.kinds["trial"], QtCore.Qt.MouseButton.LeftButton)
    assert events.kinds["trial"].text() == "☐ ◎"


def test_a_low_latency_panel_keeps_the_names_of_the_stages_apart(qtbot, context):
    latency = make(qtbot, context, "latency")
    latency.resize(480, 150)
    qtbot.wait(10)
    assert not latency.histogram.isVisible()
    axis = latency.stages.getAxis("left")
    assert axis.height() / 6 > 7
    latency.resize(480, 400)
    qtbot.wait(10)
    assert latency.histogram.isVisible()


def test_a_recording_that_was_cut_off_says_so_in_the_bar(qtbot, context):
    bar = SessionBar(lambda name: None)
    qtbot.addWidget(bar)
    store = context.store
    store.mode, store.replay = "replay", {"paused": True, "speed": 1.0, "complete": True}
    for complete, said in ((True, "↺ recorded"), (False, "! cut off")):
        store.replay["complete"] = complete
        bar.refresh(store, 0.0, lambda name: True)
        assert bar.record.text() == said


def test_filters_and_search_narrow_the_log(qtbot, context):
    events = make(qtbot, context, "events")
    everything = len(events.model.rows)
    qtbot.mouseClick(events.kinds["trial"], QtCore.Qt.MouseButton.LeftButton)
    assert [row.kind for row in events.model.rows] == ["note", "command"] and everything == 14
    qtbot.keyClicks(events.search, "learning")
    assert [row.kind for row in events.model.rows] == ["command"]


def test_numbers_can_be_exported(qtbot, context, tmp_path):
    panel = make(qtbot, context, "error")
    panel.export_numbers(tmp_path / "error.csv")
    lines = (tmp_path / "error.csv").read_text().splitlines()
    assert lines[0].startswith("trial,t_s,success") and len(lines) == 13


def test_dragging_the_rate_proposes_it_and_apply_sends_it(qtbot, context):
    sent, ran = [], []
    context.send = lambda command, answered=None: sent.append(command)
    context.run = lambda name, *arguments: ran.append((name, *arguments))
    panel = make(qtbot, context, "calibration")
    panel.resize(900, 700)
    qtbot.wait(50)
    view, plot = panel.view, panel.view.error_plot
    box = plot.getPlotItem().vb
    before = view.rate
    start, end = (
        plot.mapFromScene(box.mapViewToScene(QtCore.QPointF(np.log10(rate), -1.6))) for rate in (before, 10 * before)
    )
    button = QtCore.Qt.MouseButton.LeftButton
    move(qtbot, plot.viewport(), start, QtCore.Qt.MouseButton.NoButton)
    qtbot.mousePress(plot.viewport(), button, pos=start)
    for part in np.linspace(0, 1, 8):
        move(qtbot, plot.viewport(), start + (end - start) * part, button)
    qtbot.mouseRelease(plot.viewport(), button, pos=end)
    assert view.rate == pytest.approx(10 * before, rel=0.1)
    assert ran == [("propose", "adapter.learning_rate", view.rate)] and sent == []
    qtbot.mouseClick(view.accept_button, button)
    assert sent == [{"set": "adapter.learning_rate", "value": view.rate}]


def test_recalculating_again_and_again_keeps_the_limits(qtbot, context):
    panel = make(qtbot, context, "calibration")
    panel.view.set_bounds(0.05, 30.0)
    for _ in range(4):
        qtbot.mouseClick(panel.recalculate, QtCore.Qt.MouseButton.LeftButton)
        qtbot.wait(20)
        assert panel.view.bounds() == pytest.approx((0.05, 30.0))


def move(qtbot, viewport, point, buttons):
    """Move the mouse with buttons held (QTest cannot); slower than the plots' own limit of 100 moves a second."""
    kind, none = QtCore.QEvent.Type.MouseMove, QtCore.Qt.KeyboardModifier.NoModifier
    where, no_button = QtCore.QPointF(point), QtCore.Qt.MouseButton.NoButton
    event = QtGui.QMouseEvent(kind, where, QtCore.QPointF(viewport.mapToGlobal(point)), no_button, buttons, none)
    QtCore.QCoreApplication.sendEvent(viewport, event)
    qtbot.wait(20)


def test_no_button_of_the_live_parameters_is_cut_off_on_a_small_screen(qtbot, context):
    names = ["a", "a-choice-with-a-very-long-name-of-somebody-elses-decoder"]
    why = "only filters for counts are offered, as the units of this session are spikes and not features at all"
    context.store.live_parameters["decoder.kind"] = {**synthetic.row("choice", "a"), "choices": names, "why": why}
    panel = make(qtbot, context, "controls")
    panel.resize(380, 300)

    def rightmost():
        buttons = [row.apply_button for row in panel.rows.values()]
        return max(button.mapTo(panel, button.rect().topRight()).x() for button in buttons)

    qtbot.waitUntil(lambda: rightmost() < panel.width(), timeout=3000)


def test_a_narrow_event_log_gives_its_room_to_the_sentence(qtbot, context):
    panel = make(qtbot, context, "events")
    assert not panel.view.isColumnHidden(4)
    panel.resize(300, 320)
    qtbot.waitUntil(lambda: panel.view.isColumnHidden(4) and panel.view.columnWidth(3) > 120, timeout=3000)
