"""Results of the offline modules in the window: numbers as in the file, a click on a pair, files that do not fit."""

import json
import pathlib
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from pyqtgraph.Qt import QtCore

from bmi_runtime.constants import Z_95
from bmi_runtime.errors import BadInput
from gui import panels, theme
from gui.analysis_window import AnalysisWindow
from gui.console import Console
from gui.files import read
from gui.link import Link
from gui.panels.base import Context
from gui.panels.file_panel import file_panels, panel_for
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from results import ARRAYS, LAGS, causal_arrays, density_arrays, glm_arrays, states_arrays
from running import KEPT

LEFT = QtCore.Qt.MouseButton.LeftButton


@pytest.fixture
def files(tmp_path):
    for name, make in ARRAYS.items():
        np.savez(tmp_path / f"{name}.npz", **make())
    return tmp_path


def shown(qtbot, name):
    panel = panels.panel_class(panels.REGISTRY[name])(Context(Store()))
    KEPT.append(panel)
    panel.resize(900, 420)
    panel.show()
    panel.show_arrays(ARRAYS[name](), f"{name}.npz")
    qtbot.wait(20)
    return panel


def click_cell(qtbot, matrix, target, source):
    where = matrix.getPlotItem().vb.mapViewToScene(QtCore.QPointF(source + 0.5, target + 0.5))
    qtbot.mouseClick(matrix.viewport(), LEFT, pos=matrix.mapFromScene(where))


def test_every_kind_of_file_finds_its_panel(files):
    assert set(file_panels()) == set(ARRAYS)
    for name in ARRAYS:
        assert panel_for(read(files / f"{name}.npz"), name) == name


def test_a_click_on_a_pair_shows_its_filter_and_band(qtbot, qapp):
    theme.use("dark", qapp)
    panel = shown(qtbot, "couplings")
    arrays = glm_arrays()
    assert panel.pair == (3, 1)  # the strongest between two units
    click_cell(qtbot, panel.matrix, 0, 4)
    qtbot.waitUntil(lambda: panel.pair == (0, 4))
    lag_ms, kernel = panel.curve.getData()
    np.testing.assert_allclose(lag_ms, 2.0 * np.arange(1, LAGS + 1))
    np.testing.assert_array_equal(kernel, arrays["coupling"][0, 4])
    np.testing.assert_allclose(panel.band.high.getData()[1] - kernel, Z_95 * 0.05)
    assert f"summed {arrays['coupling'][0, 4].sum():+.3g}" in panel.picker.words.text()
    assert "2 of 20 pairs" in panel.words.text()
    panel.choose(2, 2)
    assert "1 lags without a single spike" in panel.picker.words.text()
    assert panel.matrix.image.levels[1] == pytest.approx(-arrays["coupling"][0, 4].sum())  # not a history


def test_the_causal_graph_draws_the_effects_that_stand(qtbot, qapp):
    theme.use("dark", qapp)
    panel = shown(qtbot, "causal")
    assert {(t, s) for t, s, _ in panel.graph.arrows} == {(1, 0), (2, 1), (5, 3)}
    signs = {(t, s): np.sign(strength) for t, s, strength in panel.graph.arrows}
    assert signs[1, 0] == 1 and signs[5, 3] == -1
    agreement = np.corrcoef(causal_arrays()["connectivity"].ravel(), causal_arrays()["estimate"].T.ravel())[0, 1]
    assert f"{agreement:.4f}" in panel.words.text()
    panel.picker.target.setCurrentIndex(5)
    panel.picker.source.setCurrentIndex(3)
    panel.picker.source.activated.emit(3)
    assert panel.pair == (5, 3) and "true connection -0.6" in panel.picker.words.text()


def test_fixed_points_lie_on_the_curve_and_say_whether_they_are_stable(qtbot, qapp):
    theme.use("dark", qapp)
    panel = shown(qtbot, "steady_states")
    assert "stable" in panel.legend.text() and "unstable" in panel.legend.text()
    assert "8 neurons, 2 steady states. not unique" in panel.words.text()
    np.testing.assert_allclose(panel.dots[1].getData()[1], panel.dots[1].getData()[0] + 55)
    assert panel.ranks[1].getData()[1].tolist() == sorted(states_arrays()["state_rate_hz"][1])


def test_the_slider_shows_the_density_of_its_moment(qtbot, qapp):
    theme.use("dark", qapp)
    panel = shown(qtbot, "density")
    panel.slider.setValue(20)
    np.testing.assert_array_equal(panel.slice_line.getData()[1], density_arrays()["density"][20])
    assert panel.markers[1].value() == pytest.approx(2.0) and "N = 4" in panel.label.text()
    assert panel.slice_plot.getAxis("left").autoSIPrefixScale == 1.0  # a density of 0.5 is not shown as 500


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("couplings", {"coupling": np.zeros((3, 4, 5))}, "(units, units, lags)"),
        ("couplings", {"unit_names": np.array(["a"])}, "unit_names has shape (1,)"),
        ("causal", {"estimate": np.zeros(3)}, "(sources, targets)"),
        ("causal", {"low": np.zeros((2, 2))}, "low has shape (2, 2)"),
        ("steady_states", {"state_stable": np.zeros(7)}, "state_stable has shape (7,)"),
        ("density", {"density": np.zeros((31, 80))}, "somewhere positive"),
        ("density", {"rate": np.zeros(4)}, "rate has shape (4,)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_a_sentence_and_the_picture_stays(qtbot, tmp_path, name, change, words):
    panel = shown(qtbot, name)
    np.savez(tmp_path / "bad.npz", **(ARRAYS[name]() | change))
    assert not panel.open_file(tmp_path / "bad.npz")
    assert panel.words.text().startswith("✕") and words in panel.words.text()
    assert panel.path == f"{name}.npz"


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    for path, words in ((tmp_path / "text.npz", "plain arrays"), (tmp_path / "gone.npz", "there is no file")):
        with pytest.raises(BadInput, match=words):
            read(path)
    np.savez(tmp_path / "other.npz", spikes=np.zeros(3))
    with pytest.raises(BadInput, match=r"no view shows .* it holds spikes"):
        panel_for(read(tmp_path / "other.npz"), "other.npz")


def test_the_console_opens_a_file_in_the_panel_that_it_is_for(qtbot, qapp, files):
    theme.use("dark", qapp)
    console = Console(Link(Store(), None), remember=False, live=False)
    KEPT.append(console)
    console.show()
    qtbot.wait(50)
    assert not console.docks["density"].isVisible()
    console.run("open_analysis", str(files / "density.npz"))
    dock = console.docks["density"]
    qtbot.waitUntil(lambda: dock.isVisible() and dock.seen)
    assert not dock.isFloating() and dock.panel.built and not console.docks["causal"].panel.built
    console.refresh()
    assert dock.overlay.isHidden()  # it needs no runtime
    console.run("open_analysis", str(files / "nothing.npz"))
    assert "there is no file" in console.statusBar().currentMessage()
    console.run("palette")
    qtbot.keyClicks(console.dialog_actions.open.line, "panel causal")
    assert console.dialog_actions.open.list.topLevelItemCount() == 1
    qtbot.keyClick(console.dialog_actions.open.line, QtCore.Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: console.docks["causal"].isVisible())
    console.close()


def test_the_window_of_a_plot_command_has_the_consoles_keys_and_themes(qtbot, qapp):
    theme.use("dark", qapp)
    window = AnalysisWindow("causal")
    KEPT.append(window)
    window.panel.show_arrays(causal_arrays(), "tutorial")
    window.show()
    window.activateWindow()
    window.setFocus()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.keyClick(window, QtCore.Qt.Key.Key_T, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert theme.current() is theme.LIGHT
    qtbot.keyClick(window, QtCore.Qt.Key.Key_F1, QtCore.Qt.KeyboardModifier.ShiftModifier)
    assert "false-discovery rate" in window.explanation.text.toPlainText()
    window.explanation.close()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    theme.use("dark", qapp)
    qtbot.keyClick(window, QtCore.Qt.Key.Key_Q, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert not window.isVisible()


@pytest.fixture
def opened(monkeypatch):
    """Let the plot commands open their windows without waiting for them to be closed."""
    windows = []
    monkeypatch.setattr("gui.analysis_window.show", lambda *given: windows.append(given))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    return windows


@pytest.mark.parametrize(
    ("command", "panel"),
    [
        ("glm plot {couplings} --gui", "couplings"),
        ("perturb plot {causal} --gui", "causal"),
        ("perturb tutorial --gui", "causal"),
        ("networks plot {steady_states} --gui", "steady_states"),
        ("fokker-planck plot run {density} --gui", "density"),
    ],
)
def test_plot_commands_open_the_view(opened, files, command, panel):
    result = run(command.format(**{name: files / f"{name}.npz" for name in ARRAYS}) + " --json")
    assert json.loads(result.output.splitlines()[-1])["window"] == panel
    name, arrays, _ = opened[0]
    assert name == panel and all(needed in arrays for needed in file_panels()[panel].needs)


def test_a_network_is_solved_before_it_is_shown(opened, tmp_path):
    network, states = tmp_path / "network.npz", tmp_path / "states.npz"
    run(f"networks make {network} --size 20 --strength-uv-per-hz 8 --external-mv=-54")
    run(f"networks plot {network} --gui")
    run(f"networks solve {network} --out {states}")
    arrays, kept = opened[0][1], read(states)
    np.testing.assert_array_equal(arrays["state_rate_hz"], kept["state_rate_hz"])
    rate = np.interp(kept["state_input_mv"][0], kept["curve_input_mv"], kept["curve_rate_hz"])
    np.testing.assert_allclose(rate, kept["state_rate_hz"][0], rtol=1e-2)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("glm plot {gone} --gui", "there is no file"),
        ("networks plot --gui", "--gui needs NETWORK.npz"),
        ("perturb plot", "--folder FOLDER"),
        ("fokker-planck plot bifurcation --gui", "--gui shows a kept run"),
    ],
)
def test_plot_commands_refuse_in_a_sentence(opened, tmp_path, command, words):
    with pytest.raises(BadInput, match=words):
        run(command.format(gone=tmp_path / "gone.npz"))
    assert not opened


def test_without_a_display_the_picture_is_named_instead(monkeypatch, files):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="--screenshot"):
        run(f"glm plot {files / 'couplings.npz'} --gui")


def run(line):
    import importlib

    name, *rest = line.split()
    module = importlib.import_module(f"bmi_runtime.cli.{name.replace('-', '_')}")
    command = getattr(module, name.replace("-", "_"))
    return CliRunner().invoke(command, [str(pathlib.Path(part)) if part.startswith("/") else part for part in rest],
                              catch_exceptions=False)  # fmt: skip
