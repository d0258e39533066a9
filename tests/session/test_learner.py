"""The learner beside the loop: what it fits from a recording, what it hands over, and that dying harms nothing."""

import signal
import subprocess
import sys
import time

import pytest

from bmi_runtime import config as configuration
from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.learner import Learner
from bmi_runtime.session.replay import Replay

WORLD = ["session.units=12", "session.bin_s=0.05", "task.assist=1.0"]


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "a.mcap"
    loop = assemble(configuration.load(None, [*WORLD, f"recording.path='{path}'"]), "max")
    launch.run(loop, 900)
    return path


def test_it_fits_from_a_session_and_says_what_is_too_little(recorded):
    learner = Learner(recorded, "", "ridge")
    first, bins = learner.refit()
    second, _ = learner.refit()
    assert bins == 900 and first.name == "a.learned-001.npz" and second.name == "a.learned-002.npz"
    assert load_fitted(first).suited(12, 0.05) is not None
    with pytest.raises(BadInput, match="learning begins at 60 s"):
        Learner(recorded, "", "ridge", least_s=60.0).refit()


def test_a_session_that_is_not_there_is_said(recorded):
    learner = Learner(recorded, "tcp://127.0.0.1:9", "ridge")
    path, _ = learner.refit()
    with pytest.raises(BmiError, match="no session answers"):
        learner.hand_over(path)


def test_a_decoder_that_was_handed_over_replays_to_the_bit(recorded, tmp_path):
    file, _ = Learner(recorded, "", "ridge").refit()
    path = tmp_path / "b.mcap"
    loop = assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")
    answers = []

    def hand_over(_):
        if loop.session.bins == 60:
            with pytest.raises(BadInput, match="cannot be read"):
                loop.handle({"set": "decoder.fitted_file", "value": str(tmp_path / "absent.npz")})
            answers.append(loop.session.decoder_settings()["kind"])
            answers.append(loop.handle({"set": "decoder.fitted_file", "value": str(file)}))

    loop.on_bin = hand_over
    launch.run(loop, 150)
    assert answers[0] == "point-process" and answers[1]["bin"] == 60
    assert loop.session.decoder_settings() | {"kind": "fitted"} == loop.session.decoder_settings()
    assert Replay(Recording(path)).run()["identical"]


def test_killed_in_mid_work_it_leaves_nothing_and_the_recording_is_whole(recorded):
    before = recorded.read_bytes()
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "learn", str(recorded), "--dry-run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(3.0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = [path.name for path in recorded.parent.glob("a.learned-*")]
    assert recorded.read_bytes() == before
    assert all(load_fitted(recorded.parent / name) for name in left)
