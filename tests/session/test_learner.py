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
from bmi_runtime.session.learner_watch import LearnerWatch
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


def handed_over(recorded, tmp_path, file):
    """Record a session in which a file takes over at bin 60."""
    path = tmp_path / "b.mcap"
    loop = launch.assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")

    def at(_):
        if loop.session.bins == 60:
            loop.handle({"set": "decoder.fitted_file", "value": str(file)})

    loop.on_bin = at
    launch.run(loop, 150)
    return path


def test_what_was_handed_over_is_in_the_recording(recorded, tmp_path):
    file, _ = Learner(recorded, "", "ridge").refit()
    path, content = handed_over(recorded, tmp_path, file), file.read_bytes()
    (message,) = (message for _, message in Recording(path).messages("decoder_file"))
    assert message == {"path": str(file), "bin": 60, "content": content}
    file.unlink()
    assert Replay(Recording(path)).run()["identical"]
    file.write_bytes(content[:-1])
    with pytest.raises(BadInput, match="is not the file that was recorded"):
        Replay(Recording(path))


def test_a_learner_that_is_silent_is_told_once_and_the_session_goes_on(tmp_path):
    path = tmp_path / "c.mcap"
    loop = launch.assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")

    def at(_):
        if loop.session.bins in (20, 40):
            loop.handle({"learner": 0.05 if loop.session.bins == 40 else 60})
        if loop.session.bins == 60:
            time.sleep(0.1)

    loop.on_bin = at
    launch.run(loop, 120)
    told = [message for _, message in Recording(path).messages("event") if message["name"].startswith("learner")]
    assert [message["name"] for message in told] == ["learner-began", "learner-lost"] and told[1]["bin"] >= 40
    assert Recording(path).n_steps == 120


def test_a_learner_says_when_it_ends_and_nonsense_is_refused():
    watch = LearnerWatch()
    assert (
        watch.heard(5.0, 10) == "learner-began" and watch.heard(5, 11) == "" and watch.heard(0, 12) == "learner-ended"
    )
    assert not watch.lost(10**18) and watch.heard(0, 13) == ""
    for nonsense in (True, "5", None, -1.0, float("nan"), 1e9):
        with pytest.raises(BadInput, match="learner wants the seconds"):
            watch.heard(nonsense, 14)


def test_killed_while_it_trains_it_leaves_nothing_and_the_recording_is_whole(recorded):
    before = recorded.read_bytes()
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "learn", str(recorded), "--dry-run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = iter(process.stderr.readline, "")
    assert any("training" in line for line in said)  # it says so when the data are read and the network begins
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None and not list(recorded.parent.glob("a.learned-*"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert recorded.read_bytes() == before and not list(recorded.parent.glob("a.learned-*"))
