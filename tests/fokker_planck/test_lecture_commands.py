"""Commands that show statements of the course: neurons, entropy for any convex function, learning, rate networks."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import compared, wilson_cowan
from bmi_runtime.analysis.fokker_planck.convex import convex_function
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput


def call(*arguments):
    done = CliRunner().invoke(fokker_planck, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("name", ["square", "x-log-x", "power:3", "hellinger", "absolute", "0:1,0.5:0.2,1:0,3:3"])
def test_convex_functions_are_convex_with_the_slope_that_they_say(name):
    convex = convex_function(name)
    x = np.linspace(0.05, 4.0, 400)
    values = convex.value(x)
    assert convex.value(np.array([1.0]))[0] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(values, 2) >= -1e-10).all()
    secant = np.diff(values) / np.diff(x)
    assert (convex.slope(x[:-1]) <= secant + 1e-9).all() and (convex.slope(x[1:]) >= secant - 1e-9).all()


@pytest.mark.parametrize("name", ["x-log-x", "power:1.5", "0:1,1:0,3:2"])
def test_the_entropy_decreases_by_its_dissipation_whatever_the_convex_function(name):
    result, _ = compared.entropy(Model(), Gaussian(0.0, 0.25), 4.0, convex_function(name))
    assert result["decreases"] and result["balance"] < 0.02
    if name != "0:1,1:0,3:2":
        assert result["measured_rate"] == pytest.approx(result["spectral_gap"], rel=0.02)


def test_product_rule_parts_active_from_silent_units():
    trained = wilson_cowan.train(np.ones((3, 3)), np.array([1.5, 1.5, 0.0]), 20.0, rule="product")
    assert trained.weights[0, 1] > 0 > trained.weights[0, 2] and trained.weights[2, 2] > 0
    expected = 0.1 * np.trapezoid((trained.rates[:, 0] - 0.5) * (trained.rates[:, 2] - 0.5), trained.times)
    assert trained.weights[0, 2] == pytest.approx(expected, rel=2e-2)


def test_commands_and_their_pictures(tmp_path):
    def drawn(name, *arguments):
        path = tmp_path / f"{name}.png"
        found = call(*arguments, "--picture", str(path))
        assert path.stat().st_size > 5000
        return found

    neurons = drawn("particles", "particles", "--b", "0.5", "--duration", "1", "--count", "1000", "--step", "2e-3")
    assert neurons["rate_deviation"] < 1.6 and neurons["distance"] < 3 * neurons["distance_expected"]
    assert drawn("entropy", "entropy", "--convex", "x-log-x", "--duration", "2")["decreases"]
    assert drawn("represent", "represent", "--output=-2:0.1,0:0.5")["largest_error"] < 1e-9
    assert drawn("discriminate", "discriminate", "--new-input=-2:0,-1:1,0:1")["holds"]
    recalled = drawn("wilson", "wilson-cowan", "--signal", "1.2,1.2,0", "--recall-signal", "1,0.3,0.3")
    assert recalled["recalled"][1] > 5 * recalled["recalled_unlearned"][1]
    drawn("elapsed", "elapsed", "--coupling", "1", "--duration", "3")
    drawn("polarise", "polarise", "--mass", "0.5", "--duration", "0.5")
    drawn("study", "study", "--b", "0:1:2", "--refractory", "0,0.2")
    drawn("learn", "learn", "--duration", "2", "--weights", "30", "--cells", "40")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["entropy", "--convex", "sinus"], "x-log-x"),
        (["entropy", "--a0", "0.02", "--initial", "gaussian:0,1"], "beyond numbers"),
        (["entropy", "--duration", "1e-300"], "too short"),
        (["entropy", "--convex", "0:0,1:1,2:1"], "not convex"),
        (["entropy", "--convex", "power:0.5"], "above 1"),
        (["wilson-cowan", "--signal", "1,x"], "numbers with commas"),
        (["wilson-cowan", "--signal", "1,1", "--rule", "hebb"], "decay or product"),
        (["wilson-cowan", "--signal", "1,1", "--gain", "1,1;1"], "equally many"),
        (["wilson-cowan", "--signal", "1,1", "--sigmoid", "tanh:x"], "tanh:4,1"),
        (["represent", "--output=-2:1,0:-1"], "cannot be negative"),
        (["discriminate", "--new-input", "2", "--connectivity=-1"], "cannot be negative"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, word):
    with pytest.raises(BadInput, match=word):
        CliRunner().invoke(fokker_planck, arguments, catch_exceptions=False)


def test_a_rate_at_the_end_of_its_range_is_found():
    found = call("elapsed", "--coupling", "8.00278", "--duration", "0.173444", "--step", "0.0335819",
                 "--initial", "exponential:12.8867")  # fmt: skip
    assert found["rate_final"] == pytest.approx(1.0, abs=1e-9)


def test_neurons_that_hardly_fire_are_refused_with_a_reason():
    with pytest.raises(BadInput, match="do not fire"):
        call("discriminate", "--input=-8", "--new-input=-0.78", "--rule=-37.3", "--a0=0.06")
    with pytest.raises(BadInput, match="narrower than a cell"):
        call("discriminate", "--input=0.124867", "--new-input=-0.782369", "--rule=-37.3374", "--a0=0.0600437")


@pytest.mark.parametrize(("arguments", "words"), [
    (["plot", "decay", "--out", "decay.npz"], "must end in one of"),
    (["entropy", "--picture", "nowhere/e.png"], "no folder nowhere"),
    (["run", "--b", "1", "--duration", "1", "--out", "nowhere/run.npz"], "no folder nowhere"),
])  # fmt: skip
def test_where_nothing_can_be_written_is_said_before_any_work(arguments, words):
    done = CliRunner().invoke(fokker_planck, arguments)
    assert done.exit_code == 2 and words in done.output
