import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput


def call(*arguments):
    done = CliRunner().invoke(fokker_planck, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_learn_reaches_its_equilibrium_and_tells_inputs_apart(tmp_path):
    path = tmp_path / "learned.npz"
    answer = call(
        "learn", "--duration", "80", "--weights", "40", "--cells", "40", "--new-input=-2:0,-1:1,0:1", "--out", str(path)
    )  # fmt: skip
    assert answer["distance"] < 0.12 and answer["mass_error"] < 1e-12 and answer["min_density"] >= 0
    assert answer["mean_rate_final"] == pytest.approx(answer["mean_rate"], rel=0.02)
    assert answer["contrast"] >= answer["contrast_bound"] > 0
    assert answer["spread_learned"] < 0.01 < 0.2 < answer["spread_new"]
    with np.load(path) as kept:
        width = kept["w"][1] - kept["w"][0]
        np.testing.assert_allclose(kept["connectivity"].sum(axis=1) * width, 1, atol=1e-12)


def test_polarise_below_and_above_the_critical_mass():
    below = call("polarise", "--mass", "0.5", "--duration", "60", "--cells", "200", "--tolerance", "1e-4")
    assert below["status"] == "finished" and below["blow_up_time"] is None
    assert below["scaled_edge"] == pytest.approx(below["profile_edge"], rel=0.01)
    above = call("polarise", "--mass", "1.5", "--duration", "5", "--cells", "200", "--tolerance", "1e-4")
    assert above["status"] == "blow_up" and above["critical_mass"] == 1.0
    assert abs(above["blow_up_time"] - 0.612) < above["blow_up_time_error"] + 1e-3
    literal = call("polarise", "--mass", "1.5", "--duration", "1", "--memory", "1", "--cells", "200")
    assert literal["status"] == "finished" and literal["critical_mass"] is None


def test_elapsed_answers_steady_rates_roots_and_oscillation():
    beating = call("elapsed", "--coupling", "1", "--duration", "20", "--delay", "0.5")
    assert len(beating["steady_rates"]) == 3 and beating["instantaneous_roots"] is None
    assert beating["oscillation"]["period"] == pytest.approx(0.5, abs=0.02)
    still = call("elapsed", "--coupling", "1", "--duration", "10")
    assert still["instantaneous_roots"] == 3 and still["oscillation"] is None
    assert min(abs(still["rate_final"] - rate) for rate in still["steady_rates"]) < 1e-3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--coupling", "1", "--duration", "12.345", "--delay", "0.55"),  # the step divides neither
        ("--coupling", "1.1", "--duration", "10.3", "--filter", "1.7"),
        ("--coupling", "0.6", "--duration", "10", "--delay", "1.3"),
    ],
)
def test_elapsed_errors_hold_against_a_step_a_sixteenth_as_long(arguments):
    coarse, fine = (call("elapsed", *arguments, "--step", step) for step in ("0.04", "0.0025"))
    assert abs(coarse["rate_final"] - fine["rate_final"]) <= coarse["rate_final_error"]
    for name in ("period", "peak", "trough", "mean") if fine["oscillation"] else ():
        told = coarse["oscillation"]
        assert abs(told[name] - fine["oscillation"][name]) <= told[f"{name}_error"], name


def test_hopf_answers_its_points():
    (point,) = call("hopf", "--rates", "1.6:1.9:2")["hopf_points"]
    assert point["b"] == pytest.approx(2.5589, abs=1e-3) and point["period"] == pytest.approx(1.2166, abs=1e-3)


def test_study_from_the_busy_state_finds_the_oscillation():
    arguments = ("--b", "2.7", "--refractory", "0.2", "--threshold-eps", "0.02", "--initial", "busy")
    rows = call("study", *arguments, "--duration", "40")["rows"]
    (run,) = [row for row in rows if row["kind"] == "oscillation"]
    assert run["trough"] < run["rate"] < run["peak"] and run["period"] == pytest.approx(1.3466, abs=5e-3)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["learn", "--duration", "1", "--rule", "8"], "inhibitory"),
        (["learn", "--duration", "1", "--input", "a:b"], "--input"),
        (["learn", "--duration", "1", "--input", "0:1,-1:1"], "increase"),
        (["learn", "--duration", "1", "--lowest-weight", "2"], "negative"),
        (["learn", "--duration", "1", "--lowest-weight=-0.5"], "lower it"),
        (["learn", "--duration", "0"], "duration"),
        (["learn", "--duration", "1", "--weights", "3"], "too few"),
        (["polarise", "--duration", "1", "--mass", "-1"], "mass"),
        (["polarise", "--duration", "nan", "--mass", "1"], "duration"),
        (["polarise", "--duration", "1", "--mass", "1", "--memory", "-1"], "memory"),
        (["polarise", "--duration", "1", "--mass", "1", "--initial", "box"], "exponential"),
        (["polarise", "--duration", "1", "--mass", "1", "--cells", "4"], "cells"),
        (["elapsed", "--duration", "1", "--coupling", "-1"], "coupling"),
        (["elapsed", "--duration", "1", "--coupling", "1", "--step", "2"], "step"),
        (["elapsed", "--duration", "1", "--coupling", "1", "--rule", "middle"], "nearest"),
        (["elapsed", "--duration", "1", "--coupling", "1", "--delay", "0.001"], "cannot resolve the delay"),
        (["elapsed", "--duration", "1", "--coupling", "1", "--delay", "1", "--filter", "1"], "not both"),
        (["hopf", "--rates", "x"], "--rates"),
        (["study", "--jobs", "0"], "--jobs"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, word):
    with pytest.raises(BadInput, match=word):
        CliRunner().invoke(fokker_planck, arguments, catch_exceptions=False)
