"""``bmi perturb`` from the command line."""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.perturbation.tutorial import run_tutorial
from bmi_runtime.cli.perturb import perturb
from bmi_runtime.errors import BadInput


def ran(*arguments):
    result = CliRunner().invoke(perturb, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_simulate_fit_and_plan_from_a_pilot(tmp_path):
    data, fit = tmp_path / "data.npz", tmp_path / "fit.npz"
    simulated = ran("simulate", "--neurons", 20, "--steps", 20000, "--seed", 1, "--out", data)
    found = ran("fit", data, "--out", fit)
    assert found["samples"] == simulated["samples"] == 10000
    assert found["correlation_with_truth"] > 0.9
    assert found["discoveries"] == pytest.approx(simulated["connections"], rel=0.35)
    with np.load(fit) as file, np.load(data) as given:
        np.testing.assert_array_equal(file["connectivity"], given["connectivity"])  # true against estimated, elsewhere
    drawn = ran("plot", fit, "--folder", tmp_path)["files"]
    assert (tmp_path / "fit_effects.png").read_bytes()[:4] == b"\x89PNG" and len(drawn) == 1
    planned = ran("plan", "--pilot", fit, "--correlation", 0.9, "--trial-s", 0.1)
    assert planned["hours"] == pytest.approx(planned["samples"] * 0.1 / 3600)


def test_a_folder_of_mapped_arrays_gives_the_same_fit(tmp_path):
    data = tmp_path / "data.npz"
    ran("simulate", "--neurons", 12, "--steps", 12000, "--out", data)
    folder = tmp_path / "mapped"
    folder.mkdir()
    with np.load(data) as file:
        for name in file.files:
            np.save(folder / f"{name}.npy", file[name])
    assert ran("fit", folder) == ran("fit", data)


def test_treatments_bring_the_instrumental_estimate(tmp_path):
    rng = np.random.default_rng(0)
    assignments = rng.integers(0, 2, (500, 2))
    treatments = rng.poisson(1, (500, 2)) + assignments * [1, 0]
    np.savez(tmp_path / "d.npz", assignments=assignments, treatments=treatments, outcomes=treatments @ [[1, 0], [0, 1]])
    found = ran("fit", tmp_path / "d.npz", "--out", tmp_path / "f.npz")
    assert found["weak_instruments"] == [1]
    with np.load(tmp_path / "f.npz") as file:
        assert file["wald_estimate"][0, 0] == pytest.approx(1)


def test_targets_that_never_change_are_named_and_get_no_verdict(tmp_path):
    rng = np.random.default_rng(0)
    outcomes = rng.normal(size=(60, 3))
    outcomes[:, 1] = 4.0
    np.savez(tmp_path / "d.npz", assignments=rng.integers(0, 2, (60, 2)), outcomes=outcomes)
    found = ran("fit", tmp_path / "d.npz")
    assert found["constant_targets"] == [1]
    assert found["discoveries"] < 4


def test_compare_schedule_and_figures(tmp_path):
    compared = ran("compare", "--neurons", 10, "--steps", "400,4000", "--hidden", "0", "--plot", tmp_path / "c.png")
    assert compared["comparisons"][0]["perturbing all"][1] > compared["comparisons"][0]["perturbing all"][0]
    drawn = ran("schedule", "--units", "0-2,7", "--trials", 20, "--plot", tmp_path / "s.png")
    assert drawn["units"] == [0, 1, 2, 7]
    ran("plan", "--neurons", 30, "--plot", tmp_path / "p.png")
    files = ran("plot", "--folder", tmp_path)["files"]
    for path in (*files, tmp_path / "c.png", tmp_path / "s.png", tmp_path / "p.png"):
        with open(path, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "absent.npz"], "no file"),
        (["fit", "text.npz"], "not an .npz"),
        (["fit", "short.npz"], "lacks outcomes"),
        (["plan", "--pilot", "short.npz"], "not a fit"),
        (["plan", "--correlation", "0.99999999"], "out of reach"),
        (["compare", "--steps", "many"], "numbers separated by commas"),
        (["schedule", "--units", "a-b"], "must look like"),
        (["plot", "--folder", "nowhere"], "no folder"),
        (["fit", "constant.npz"], "ever changes"),
        (["simulate", "--out", "nowhere/x.npz"], "no folder"),
        (["tutorial", "--neurons", "0"], "a system of 0 neurons: give at least one"),
        (["simulate", "--out", "x.npz", "--hidden", "nan"], "strength of the hidden input"),
        (["compare", "--neurons", "10", "--steps", "-5"], "too few to compare"),
        (["fit", "lone.npy"], "single array without a name"),
        (["fit", "gap.npz"], "first in row 7"),
        (["plot"], "existing folder"),
        (["plot", "short.npz", "--folder", "."], "not a fit"),
        (["tutorial", "--steps", "4"], "correlation with a constant is undefined"),
        (["plan", "--trial-s", "nan"], "--trial-s is nan"),
        (["schedule", "--units", "0-99999999999"], "the largest unit number is 99,999"),
        (["schedule", "--units", "5-2"], "ascend"),
        (["schedule", "--units", "0-3", "--interval-s", "inf"], "positive and finite"),
        (["schedule", "--units", "0", "--out", "."], "is a folder"),
        (["fit", "treated.npz"], "treatments in treated.npz must be numbers"),
        (["fit", "named.npz"], "connectivity in named.npz must be numbers"),
        (["fit", "unknown.npz"], "connectivity in unknown.npz holds 2 values that are not finite"),
        (["fit", "nobody.npz"], "assignments in nobody.npz has no columns"),
        (["fit", "huge.npz"], "squares overflow"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "constant.npz", assignments=np.arange(20)[:, None] % 2, outcomes=np.ones((20, 3)))
    np.save(tmp_path / "lone.npy", np.zeros((3, 2)))
    gap = np.where(np.arange(20)[:, None] == 7, np.nan, 1.0)
    np.savez(tmp_path / "gap.npz", assignments=np.arange(20)[:, None] % 2, outcomes=gap)
    np.savez(tmp_path / "short.npz", assignments=np.ones((3, 2)))
    good = {"assignments": np.arange(20)[:, None] % 2, "outcomes": np.arange(40.0).reshape(20, 2) % 7}
    np.savez(tmp_path / "treated.npz", **good, treatments=np.full((20, 1), "1"))
    np.savez(tmp_path / "named.npz", **good, connectivity=np.full((2, 1), "a"))
    np.savez(tmp_path / "unknown.npz", **good, connectivity=np.full((2, 1), np.nan))
    np.savez(tmp_path / "nobody.npz", **(good | {"assignments": np.zeros((20, 0))}))
    np.savez(tmp_path / "huge.npz", **(good | {"outcomes": good["outcomes"] * 1e300}))
    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(perturb, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--out", "x.npz", "--seed", "-1"],
        ["fit", "x.npz", "--permutations", "-3"],
        ["plan", "--trial-s", "0"],
    ],
)
def test_impossible_options_are_refused_by_name(arguments):
    result = CliRunner().invoke(perturb, arguments)
    assert result.exit_code == 2 and f"'{arguments[-2]}'" in result.output


def test_the_file_named_in_the_answer_is_the_one_written(tmp_path):
    made = ran("schedule", "--units", "0-2", "--out", tmp_path / "plan")
    assert made["out"] == str(tmp_path / "plan.npz") and (tmp_path / "plan.npz").is_file()


def test_a_fit_of_a_few_neurons_is_drawn(tmp_path):
    assigned = np.random.default_rng(0).integers(0, 2, (200, 4))
    outcomes = np.random.default_rng(1).normal(size=(200, 3)) + assigned[:, :3]
    np.savez(tmp_path / "few.npz", assignments=assigned, outcomes=outcomes)
    ran("fit", tmp_path / "few.npz", "--out", tmp_path / "fit.npz")
    (drawn,) = ran("plot", tmp_path / "fit.npz", "--folder", tmp_path)["files"]
    assert pathlib.Path(drawn).read_bytes()[:4] == b"\x89PNG"


def test_a_neuron_without_outputs_leaves_the_other_answers():
    done = run_tutorial(selected_neuron=0)
    assert done.single_correlation is None
    assert done.all_correlation == run_tutorial().all_correlation
