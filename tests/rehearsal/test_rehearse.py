"""`bmi rehearse`: worlds fitted to pilots of known worlds, and what is answered."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.rehearsal.pilot import read_pilot
from bmi_runtime.rehearsal.world import FittedWorld
from bmi_runtime.session import launch

KNOWN = {
    "subject.feedback_delay_s": 0.12,
    "subject.natural_frequency_hz": 0.8,
    "subject.intention_noise": 0.3,
}


def run(path, seconds, *overrides):
    config = configuration.load(None, [f"recording.path='{path}'", *overrides])
    loop = launch.assemble(config, "max")
    launch.run(loop, round(seconds / config.bin_s))
    return loop


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    path = tmp_path_factory.mktemp("pilots") / "pilot.mcap"
    loop = run(path, 60, "session.units=40", *(f"{key}={value}" for key, value in KNOWN.items()))
    return path, loop.source.truth()


@pytest.fixture(scope="module")
def world(pilot):
    return world_of(pilot[0])[0]


def test_the_subject_and_the_units_of_a_known_world_are_found(pilot, world):
    table = world.subject.table()
    for key, value in KNOWN.items():
        name = {"feedback_delay_s": "delay_s", "natural_frequency_hz": "frequency_hz", "intention_noise": "noise"}
        found = table[name[key.partition(".")[2]]]
        assert abs(found["value"] - value) < 4 * found["sd"] + 0.02, key
    truth = pilot[1]
    assert world.regressors == ("v0", "v1") and world.coupling.shape[2] == 0 and not world.walk.any()
    model_rows = np.vstack([world.weights[0] - np.log(world.bin_s), world.weights[1:]])
    error = model_rows - truth
    sd = np.sqrt(world.covariance[:, range(3), range(3)].T)
    assert np.mean(np.abs(error) < 2 * sd) > 0.85
    assert np.corrcoef(model_rows[1], truth[1])[0, 1] > 0.98


def test_a_world_is_written_and_read(world, tmp_path):
    world.save(tmp_path / "world.npz")
    again = FittedWorld.load(tmp_path / "world.npz")
    np.testing.assert_array_equal(again.weights, world.weights)
    assert again.subject.table() == world.subject.table() and again.notes == world.notes
    with pytest.raises(BadInput, match="holds no fitted world"):
        np.savez(tmp_path / "other.npz", a=1)
        FittedWorld.load(tmp_path / "other.npz")


def bmi(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bmi_runtime.cli.main", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_command_answers_and_writes(pilot, tmp_path):
    asked = ("--try", "adapter.learning_rate=1e-2 decoder.parameter_trust=0", "--seeds", 2, "--duration", 12, "--json")
    written = ("--write", tmp_path / "best.toml", "--world", tmp_path / "world.npz", "--journal", tmp_path / "j.jsonl")
    done = bmi("rehearse", pilot[0], *asked, *written)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["settings"]) == 2 and found["recommended"]["settings"] == {}
    hits = [entry["hits_per_min"]["mean"] for entry in found["settings"]]
    assert hits[0] > hits[1]
    assert tomllib.loads((tmp_path / "best.toml").read_text())["session"]["units"] == 40
    assert set(found["world"]["agreement"]["decoders"]) == {"ridge", "kalman", "history"}
    again = bmi("rehearse", tmp_path / "world.npz", "--config", tmp_path / "best.toml", *asked)
    assert again.returncode == 0, again.stderr
    assert bmi("rehearse", pilot[0], *asked, "--write", tmp_path / "best.toml").returncode == 2
    for line in (tmp_path / "j.jsonl").read_text().splitlines():
        assert json.loads(line)["measures"]["hits_per_min"] >= 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "session.bin_s=0.01"), "session.bin_s"),
        (("--grid", "population.depth=1,2"), "population.depth"),
        (("--try", "adapter.lerning_rate=1"), "adapter.learning_rate"),
        (("--duration", "1"), "--duration"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(pilot, arguments, said):
    done = bmi("rehearse", pilot[0], *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_pilots_that_lack_something_are_refused_by_name(tmp_path):
    run(tmp_path / "short.mcap", 3, "session.units=8")
    with pytest.raises(BadInput, match="needs at least 10 s"):
        read_pilot(tmp_path / "short.mcap")
    bins = 2000
    still = np.ones((bins, 2))
    np.savez(tmp_path / "still.npz", counts=np.ones((bins, 4), int), bin_s=0.05, velocity=still)
    with pytest.raises(BadInput, match="movement"):
        read_pilot(tmp_path / "still.npz")
    moving = np.random.default_rng(1).normal(size=(bins, 2))
    np.savez(tmp_path / "silent.npz", counts=np.zeros((bins, 4), int), bin_s=0.05, velocity=moving)
    with pytest.raises(BadInput, match="no unit has 20 spikes"):
        read_pilot(tmp_path / "silent.npz")
