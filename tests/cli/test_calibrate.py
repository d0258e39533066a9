"""`bmi calibrate` from the command line: keys, agreement with the formulas, one sentence for bad input."""

import json
import tomllib

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.calibrate import calibrate
from bmi_runtime.errors import BadInput


@pytest.fixture
def files(tmp_path):
    """Return a folder with a Gaussian and a Poisson design."""
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 20 * np.pi, 2000)
    states = np.c_[np.cos(angle), np.sin(angle)] * (1.2 + np.sin(0.31 * angle))[:, None]
    gains = rng.normal(size=(3, 2))
    np.savez(
        tmp_path / "g.npz", states=states[:400], weights=np.c_[np.ones(3), gains], noise_variance=[1, 2, 3], bin_s=0.05
    )
    np.savez(tmp_path / "p.npz", states=states[:400], weights=np.c_[np.log([5.0, 10, 20]), 0.4 * gains], bin_s=0.005)
    return tmp_path


def run(*arguments):
    """Return the JSON answer of the command, run in this process."""
    result = CliRunner().invoke(
        calibrate, [*map(str, arguments), "--json"], catch_exceptions=False, standalone_mode=False
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_forward_gaussian(files):
    answer = run(files / "g.npz", "--likelihood", "gaussian", "--learning-rate", 1e-5)
    assert answer["learning_rate"] == 1e-5
    assert answer["threshold"] == 0.05
    assert answer["bin_s"] == 0.05
    unit = answer["units"][1]
    states = np.load(files / "g.npz")["states"]
    u = np.column_stack([np.ones(400), states])
    m, v = np.linalg.eigh(u.T @ u / 400 / 2.0)
    p = (-1e-5 + np.sqrt(1e-10 + 4e-5 / m)) / 2
    k = 1e-5 / (1e-5 + p)
    np.testing.assert_allclose(unit["error_covariance"], v @ np.diag(p / (2 - k)) @ v.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(unit["filter_covariance"], v @ np.diag(p) @ v.T, rtol=1e-6, atol=1e-9)
    assert unit["convergence_time_s"] == pytest.approx(max(np.log(0.05) / np.log(1 - k)) * 0.05, rel=1e-6)
    assert len(unit["per_mode"]) == 3
    assert np.array(unit["error_covariance_exact"]).shape == (3, 3)
    np.testing.assert_allclose(unit["initial_covariance"], unit["filter_covariance"])


def test_backward_and_forward_agree(files):
    back = run(files / "p.npz", "--likelihood", "poisson", "--max-error", 0.01)
    largest = [np.linalg.eigvalsh(unit["error_covariance"])[-1] for unit in back["units"]]
    assert max(largest) == pytest.approx(0.01, rel=1e-9)
    assert back["binding_unit"] == str(np.argmax(largest))
    time = run(files / "p.npz", "--likelihood", "poisson", "--counts", "poisson", "--max-convergence-time", 60)
    assert max(unit["convergence_time_s"] for unit in time["units"]) == pytest.approx(60, rel=1e-9)


def test_text_names_rate_and_binding_unit(files):
    arguments = [str(files / "g.npz"), "--likelihood", "gaussian", "--max-error", "0.01"]
    text = CliRunner().invoke(calibrate, arguments, catch_exceptions=False, standalone_mode=False).stdout
    assert text.startswith("learning rate ")
    assert "unit 2 binds" in text
    assert "validity:" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--likelihood", "gaussian"], "give either --learning-rate"),
        (["--likelihood", "gaussian", "--learning-rate", "1e-3", "--max-error", "1"], "give either --learning-rate"),
        (["--learning-rate", "1e-3"], "--likelihood gaussian or"),
        (["--likelihood", "gaussian", "--learning-rate", "nan"], "learning rate of nan"),
        (["--likelihood", "gaussian", "--learning-rate", "-1"], "above zero"),
        (["--likelihood", "gaussian", "--learning-rate", "1e-3", "--threshold", "2"], "threshold of 2"),
        (["--likelihood", "gaussian", "--learning-rate", "1e-3", "--initial-covariance", "-2"], "initial covariance"),
        (["--likelihood", "gaussian", "--max-error", "1e9"], "every rate keeps"),
    ],
)
def test_bad_usage(files, arguments, message):
    with pytest.raises(BadInput, match=message):
        run(files / "g.npz", *arguments)


CONFIGURATION = """# my session
[session]
units = 3  # as many as there are
bin_s = 0.05

[adapter]
# the rate
learning_rate = 1e-6  # per bin
enabled = true

[task]
kind = "centre-out"
"""


def test_write_keeps_the_rest_of_the_file(files):
    path = files / "session.toml"
    path.write_text(CONFIGURATION)
    for bound in (0.01, 0.02):
        answer = run(files / "g.npz", "--likelihood", "gaussian", "--max-error", bound, "--write", path)
        lines = path.read_text().splitlines()
        assert tomllib.loads(path.read_text())["adapter"]["learning_rate"] == answer["learning_rate"]
        comment = [line for line in lines if line.startswith("# calculated by bmi calibrate")]
        assert len(comment) == 1
        assert f"from g.npz (gaussian, 3 units), error variance at most {bound:g}; unit 2 binds" in comment[0]
        rest = [line for line in lines if "learning_rate" not in line and line not in comment]
        assert rest == [line for line in CONFIGURATION.splitlines() if "learning_rate" not in line]
        assert "# per bin" in next(line for line in lines if line.startswith("learning_rate"))


def test_write_refuses_other_bins(files):
    path = files / "session.toml"
    path.write_text(CONFIGURATION.replace("0.05", "0.02"))
    with pytest.raises(BadInput, match=r"bins of 0.02 s, the learning rate is for bins of 0.05 s"):
        run(files / "g.npz", "--likelihood", "gaussian", "--max-error", 0.01, "--write", path)
    assert path.read_text() == CONFIGURATION.replace("0.05", "0.02")


def test_drift(files):
    answer = run(files / "g.npz", "--likelihood", "gaussian", "--learning-rate", 1e-4, "--drift", 1e-4)
    assert answer["best_learning_rate"] == pytest.approx(1e-4, rel=1e-3)
    units = [unit["filter_covariance"] for unit in answer["units"]]
    np.testing.assert_allclose(answer["error_covariance_drifting"], units, rtol=1e-9, atol=1e-12)


def test_picture_of_the_window(files, qapp):
    path = files / "view.png"
    arguments = [str(files / "g.npz"), "--likelihood", "gaussian", "--max-error", "0.01", "--picture", str(path)]
    CliRunner().invoke(calibrate, arguments, catch_exceptions=False, standalone_mode=False)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_from_a_pilot(files):
    rng = np.random.default_rng(3)
    states = np.tile(np.load(files / "g.npz")["states"], (3, 1))
    counts = rng.poisson(np.exp(0.5 + 0.4 * states @ rng.normal(size=(2, 3))) * 0.3)
    np.savez(files / "pilot.npz", counts=counts, bin_s=0.05, velocity=states / 10)
    answer = run("--from", files / "pilot.npz", "--max-error", 0.01)
    low, high = answer["pilot"]["intervals"]["learning_rate"]
    assert low < answer["learning_rate"] < high
    assert answer["pilot"]["units"] == 3
    assert answer["counts"] == "poisson"
    fewer = run("--from", files / "pilot.npz", "--max-error", 0.01, "--leave-out", "1")
    assert [unit["unit"] for unit in fewer["units"]] == ["0", "2"]
