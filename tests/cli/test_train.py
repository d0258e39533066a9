"""``bmi train``: its answer, its file, and what it refuses."""

import json

import numpy as np
import pytest

from bmi_runtime.cli import train
from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.sources.from_arrays import recording_from_arrays


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    velocity = np.cumsum(rng.standard_normal((700, 2)), axis=0)
    velocity -= np.cumsum(velocity, axis=0) / np.arange(1, 701)[:, None]
    counts = rng.poisson(np.exp(0.3 * velocity @ rng.standard_normal((2, 12)) / velocity.std() + 0.5))
    np.savez(tmp_path / "day.npz", counts=counts, velocity=velocity, bin_s=0.05)
    np.savez(tmp_path / "other.npz", counts=counts[:, :5], velocity=velocity, bin_s=0.05)
    return tmp_path / "day.npz"


def test_two_days_are_trained_on_and_the_file_is_a_decoder(recording, tmp_path, bmi):
    run = bmi("train", recording, recording, "--out", tmp_path / "net.npz", "--members", 1, "--epochs", 2, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert {"r2_validation", "seconds", "parameters", "file"} <= result.keys()
    assert result["bins"] == 1400 and len(result["r2_validation"]) == 2
    decoder = load_fitted(tmp_path / "net.npz").suited(12, 0.05)
    assert decoder.size == result["parameters"]
    assert bmi("train", recording, "--out", tmp_path / "net.npz").returncode == 2


def test_a_day_on_which_an_axis_rests_is_learned_from_beside_one_on_which_it_moves(recording, tmp_path, bmi):
    with np.load(recording) as day:
        counts, velocity = day["counts"], day["velocity"]
    np.savez(tmp_path / "still.npz", counts=counts, velocity=velocity * [1.0, 0.0], bin_s=0.05)
    np.savez(tmp_path / "lost.npz", counts=counts, velocity=velocity * [1.0, np.nan], bin_s=0.05)
    brief = ("--members", 1, "--epochs", 2, "--json")
    run = bmi("train", recording, tmp_path / "still.npz", "--out", tmp_path / "both.npz", *brief)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["bins"] == 1400 and len(result["r2_validation"]) == 2 and result["odd"] == []
    assert result["r2_validation"][1] is None, "y rests in the whole last fifth"
    run = bmi("train", recording, tmp_path / "lost.npz", "--out", tmp_path / "no.npz", *brief)
    assert run.returncode == 2 and "lost.npz has no value in y" in run.stderr


def test_an_axis_that_rests_in_a_session_is_said_and_decoded_as_at_rest(recording, monkeypatch):
    with np.load(recording) as day:
        counts, velocity = day["counts"], day["velocity"] * [1.0, 0.0]
    session = recording_from_arrays("a.mcap", counts, 0.05, velocity, targets=np.zeros((700, 3)))
    monkeypatch.setattr("bmi_runtime.sources.datafile.load_recording", lambda *_, **__: session)
    training, _, _, odd = train._training(["a.mcap"], {"velocity": None, "mapping": None}, False)
    assert odd == ["y rests in all bins: it is decoded as at rest"] and training.n_axes == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["other.npz"], "has 5 units"),
        (["--members", "0"], "--members is 0; give 1 to 16"),
        (["--epochs", "nan"], "--epochs is nan"),
        (["--seed", "-1"], "--seed is -1"),
        (["--velocity", "cursor"], "--velocity is for sessions of the runtime"),
        (["absent.npz"], "there is no file"),
    ],
)
def test_what_cannot_be_trained_on_gets_one_sentence(recording, tmp_path, arguments, words, bmi):
    given = [tmp_path / word if word.endswith(".npz") else word for word in arguments]
    run = bmi("train", recording, *given, "--out", tmp_path / "net.npz")
    assert run.returncode == 2 and words in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "net.npz").exists()
