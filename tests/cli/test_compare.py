"""`bmi compare` from the command line: tables, figures, and one sentence for what makes no sense."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.metrics import summary
from bmi_runtime.cli import compare_closed_loop
from bmi_runtime.cli.compare import compare
from bmi_runtime.config import load
from bmi_runtime.errors import BadInput


def run(*arguments):
    result = CliRunner().invoke(compare, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(9)
    velocity = np.zeros((800, 2))
    for index in range(1, 800):
        velocity[index] = 0.9 * velocity[index - 1] + 0.4 * rng.normal(size=2)
    counts = rng.poisson(np.exp(0.3 + 0.5 * velocity @ rng.normal(size=(2, 6))))
    path = tmp_path_factory.mktemp("compare") / "made.npz"
    np.savez(path, counts=counts, bin_s=0.05, velocity=velocity)
    return path


def test_recordings_are_compared_with_a_figure(data, tmp_path):
    figure = tmp_path / "figure.png"
    out = run(data, "--decoders", "ridge, population-vector", "--folds", 3, "--figure", figure, "--json")
    rows = json.loads(out.splitlines()[-1])["tables"]["made.npz"]
    assert [row["decoder"] for row in rows] == ["ridge", "population-vector"]
    assert rows[0]["r2"] == pytest.approx(np.mean(rows[0]["r2_velocity"]))
    assert rows[0]["interval"][0] < rows[0]["r2"] < rows[0]["interval"][1]
    assert figure.read_bytes()[:4] == b"\x89PNG"
    text = run(data, "--decoders", "ridge", "--folds", 3)
    assert f"{rows[0]['r2']:.3f}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give recordings to compare on, or --closed-loop"),
        (["DATA", "--closed-loop"], "and not both"),
        (["DATA", "--decoders", "kalmen"], "there is no decoder 'kalmen'; did you mean 'kalman'"),
        (["DATA", "--decoders", "ridge,ridge"], "'ridge' is named twice"),
        (["DATA", "--decoders", "refit-kalman"], "learns from where the targets are; compare it with --closed-loop"),
        (["DATA", "--decoders", " ,"], "--decoders names none"),
        (["DATA", "--folds", "1"], "1 folds cannot"),
        (["DATA", "--figure", "a.xyz"], "give it the suffix .png, .pdf or .svg"),
        (["DATA", "--decoders", "ridge", "--write", "nowhere/a.npz"], "there is no folder nowhere"),
        (["--closed-loop", "--calibration", "nan"], "20 s to learn"),
        (["absent.npz"], "there is no file absent.npz"),
        (["--closed-loop", "--decoders", "adaptiv"], "did you mean 'adaptive'"),
        (["--closed-loop", "--calibration", "1"], "20 s to learn"),
        (["--closed-loop", "--half-life", "-3"], "half life of -3 s makes no sense"),
        (["DATA", "--decoders", "ridge", "--folds", "2", "--figure", "nowhere/a.png"], "cannot be written"),
    ],
)
def test_what_makes_no_sense_gets_one_sentence(data, arguments, words):
    with pytest.raises(BadInput, match=words) as caught:
        run(*[data if argument == "DATA" else argument for argument in arguments])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"counts": lambda counts: np.zeros_like(counts)},
            "no unit that fold 1 of 3 learns from ever changes its count",
        ),
        ({"velocity": lambda velocity: 0 * velocity}, "never changes in x"),
        (
            {"velocity": lambda v: np.where(np.arange(800)[:, None] < 770, np.nan, v)},
            "0 of the first four fifths of the bins that fold 1",
        ),
    ],
)
def test_data_that_nothing_can_be_learned_from(data, tmp_path, change, words):
    arrays = dict(np.load(data))
    np.savez(tmp_path / "bad.npz", **arrays | {name: edit(arrays[name]) for name, edit in change.items()})
    with pytest.raises(BadInput, match=words):
        run(tmp_path / "bad.npz", "--decoders", "ridge,kalman", "--folds", 3)


def test_files_of_one_name_are_both_in_the_answer(data, tmp_path):
    shutil.copy(data, tmp_path / data.name)
    tables = json.loads(run(data, tmp_path / data.name, "--decoders", "wiener", "--folds", 2, "--json"))["tables"]
    assert list(tables) == [data.name, str(tmp_path / data.name)]


def test_closed_loop_pairs_subjects(tmp_path):
    figure = tmp_path / "figure.png"
    settings = ("--calibration", 30, "--test", 15, "--seeds", 2, "--set", "session.units=40", "--figure", figure)
    names = ["kalman-velocity", "refit-kalman", "adaptive", "adaptive-history", "rml", "smoothbatch"]
    out = run("--closed-loop", "--decoders", ",".join(names), *settings, "--json")
    result = json.loads(out.splitlines()[-1])
    rows = {row["decoder"]: row for row in result["table"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["mean"]["success_rate"] > 0.8
        assert 0.3 < row["mean"]["path_efficiency"] <= 1.0
    both = [[run["bit_rate_bits_s"] for run in rows[name]["runs"]] for name in ("refit-kalman", "kalman-velocity")]
    assert rows["refit-kalman"]["difference"]["bit_rate_bits_s"][0] == pytest.approx(np.mean(np.subtract(*both)))
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_trials_of_a_subject_are_those_of_its_task():
    config = load(None, ["session.bin_s=0.02", "session.units=40", "encoding.initial=truth", "task.timeout_s=2"])
    subject = compare_closed_loop.Subject(config)
    seen, trials = subject.run(20.0)
    inside = np.hypot(*(seen.kinematics[:, :2] - seen.targets[:, :2]).T) <= seen.targets[:, 2]
    assert sum(trial.success for trial in trials) == subject.session.task.successes
    assert len(trials) == subject.session.task.successes + subject.session.task.timeouts
    assert inside.any()
    for trial in trials:
        assert trial.duration_s <= 2.0 + 1e-9
        assert np.linalg.norm(np.subtract(trial.path_m[-1], trial.target_m)) <= trial.radius_m or not trial.success
    assert summary(trials, 8)["success_rate"] > 0.8
