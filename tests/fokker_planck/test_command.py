import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import study
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput, BmiError


def call(*arguments):
    done = CliRunner().invoke(fokker_planck, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_steady_answers_two_states():
    answer = call("steady", "--b", "1.5")
    assert [state["stable"] for state in answer["steady_states"]] == [True, False]
    assert answer["critical_b"] == pytest.approx(2.1009677604557)


@pytest.mark.parametrize("text", ["0:inf:3", "nan,1", "0:1", "0:1:2:3", "1:2:x"])
def test_ranges_that_have_no_end_are_refused(text):
    with pytest.raises(BadInput, match="START:STOP:COUNT"):
        call("study", f"--b={text}")


@pytest.mark.parametrize("command", ["border", "continue --b=1 --duration=1", "polarise --mass=1 --duration=1"])
def test_two_grids_are_refused_where_the_coarser_resolves_nothing(command):
    for cells in (0, 1, 39):
        with pytest.raises(BadInput, match="at least 40"):
            call(*command.split(), f"--cells={cells}")


def test_pairs_that_end_between_two_rates_make_no_hopf_point():
    """Between the two rates the leading pair of one branch ends and another begins, on the other side of zero."""
    options = ["--refractory=0.444584", "--threshold-eps=0.0135508", "--rates=0.3:3.00794:3"]
    assert call("hopf", *options, "--a0=0.682534", "--a1=0.111831")["hopf_points"] == []


def test_run_keeps_its_density(tmp_path):
    path = tmp_path / "run.npz"
    answer = call("run", "--b", "0.5", "--duration", "1", "--snapshots", "11", "--out", str(path))
    kept = np.load(path)
    assert answer["status"] == "finished" and kept["density"].shape[0] == 11
    np.testing.assert_allclose(kept["density"] @ kept["width"], 1, atol=1e-12)
    call("plot", "run", str(path), "--out", str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").stat().st_size > 5000


def test_run_past_a_blow_up_names_the_last_trustworthy_time():
    answer = call("run", "--b", "3", "--duration", "5")
    assert answer["status"] == "blow_up"
    assert answer["trusted_until"] < answer["blow_up_time"] == pytest.approx(2.07808, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "--b", "1", "--duration", "1", "--v-reset", "3"], "V_R"),
        (["run", "--b", "1", "--duration", "1", "--a0", "-1"], "diffusion"),
        (["run", "--b", "1", "--duration", "1", "--initial", "gaussian:3,0.1"], "beyond V_F"),
        (["run", "--b", "1", "--duration", "1", "--initial", "box:1"], "gaussian"),
        (["run", "--b", "1", "--duration", "1", "--delay", "0.1", "--step", "0.5"], "delay"),
        (["run", "--b", "1", "--duration", "1", "--cells", "5"], "cells"),
        (["run", "--b", "3", "--duration", "5", "--cells", "40"], "too coarse for the boundary layer"),
        (["run", "--b", "1", "--duration", "-1"], "duration"),
        (["run", "--b", "1", "--duration", "1", "--current", "x"], "current"),
        (["steady", "--b", "1", "--current", "0:0,1:1"], "constant"),
        (["study", "--b", "1:2"], "--b"),
        (["plot", "bifurcaton", "--out", "x.png"], "bifurcation"),
        (["plot", "run"], "--out"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, word):
    with pytest.raises(BadInput, match=word):
        CliRunner().invoke(fokker_planck, arguments, catch_exceptions=False)


def test_study_is_the_same_in_parallel():
    pytest.importorskip("joblib")
    alone, shared = (study.study(Model(), [0.5, 1.5], [0.0, 0.1], jobs=jobs) for jobs in (1, 2))
    assert alone == shared and len(alone) == 1 + 2 + 1 + 1


def test_window_follows_its_slider(tmp_path):
    pg = pytest.importorskip("pyqtgraph")
    pg.mkQApp()
    from bmi_runtime.analysis.fokker_planck import report
    from gui.analysis_window import AnalysisWindow

    path = tmp_path / "run.npz"
    call("run", "--b", "0.5", "--duration", "1", "--snapshots", "11", "--out", str(path))
    kept, window = report.load(str(path)), AnalysisWindow("density")
    assert window.panel.open_file(path)
    window.panel.slider.setValue(10)
    assert "t = 1 " in window.panel.label.text()
    np.testing.assert_array_equal(window.panel.slice_line.getData()[1], kept["density"][10])
    window.close()


def test_every_number_of_a_run_has_an_error_that_holds():
    coarse, fine = (call("run", "--b", "0.5", "--duration", "3", "--cells", cells) for cells in ("100", "1600"))
    assert 0 < coarse["rate_final_error"] < 1e-2 * coarse["rate_final"]
    assert abs(coarse["rate_final"] - fine["rate_final"]) <= coarse["rate_final_error"]


def test_a_delayed_activity_stays_a_fraction_of_the_neurons_and_its_errors_hold():
    arguments = ("elapsed", "--coupling", "1", "--duration", "10", "--delay", "0.5")
    coarse, fine = call(*arguments)["oscillation"], call(*arguments, "--step", "0.00125")["oscillation"]
    assert coarse["peak"] <= 1.0  # N is at most the mass over the least time between two spikes, which is one here
    for name in ("period", "peak", "trough", "mean"):
        assert abs(coarse[name] - fine[name]) <= 1.5 * coarse[f"{name}_error"], name


def test_polarisation_has_errors_that_hold():
    arguments = ("polarise", "--mass", "0.5", "--duration", "2")
    coarse, fine = call(*arguments, "--cells", "100"), call(*arguments, "--cells", "800")
    assert abs(coarse["edge_final"] - fine["edge_final"]) <= coarse["edge_final_error"]


def test_a_strong_drive_past_a_random_threshold_gets_a_wider_domain():
    answer = call("run", "--b", "12", "--threshold-eps", "0.1", "--duration", "3")
    assert answer["status"] == "finished" and answer["mass_error"] < 1e-12
    with pytest.raises(BadInput, match="--threshold-eps"):
        CliRunner().invoke(
            fokker_planck, ["run", "--b", "1", "--duration", "1", "--upper-end", "5"], catch_exceptions=False
        )


def test_a_rate_that_runs_away_at_once_is_said():
    with pytest.raises(BmiError, match="runs away within the first steps"):
        CliRunner().invoke(
            fokker_planck, ["run", "--b", "0.5", "--v-reset", "1.99", "--duration", "2"], catch_exceptions=False
        )
