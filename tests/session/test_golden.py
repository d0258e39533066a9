"""Sessions of two axes decode, to the bit, what they did before the brain state could have any other size."""

import json
import pathlib

import pytest

from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay
from tests.session.golden.make import SEEDS, WORLDS, digests

FOLDER = pathlib.Path(__file__).parent / "golden"
HELD = json.loads((FOLDER / "digests.json").read_text())
QUICK = 2
CASES = [
    pytest.param(world, seed, marks=pytest.mark.slow if seed > QUICK else ()) for world in WORLDS for seed in SEEDS
]


@pytest.mark.parametrize(("world", "seed"), CASES)
def test_the_same_numbers_as_before(world, seed):
    assert digests(world, seed) == HELD[world][str(seed)]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.mcap")), ids=lambda path: path.stem)
def test_recordings_of_the_old_layout_replay_to_the_bit(path):
    recording = Recording(path)
    assert recording.complete and recording.n_steps >= 40
    result = Replay(recording).run()
    assert result["identical"] and result["bins"] == recording.n_steps
