"""Two settings side by side, against two replays made one after the other."""

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.playback.player import Player
from bmi_runtime.playback.what_if import WhatIf
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay

RATE = "adapter.learning_rate"


def finished(recording, first, second):
    what_if = WhatIf(recording, first, second)
    while not what_if.done:
        what_if.grow()
    return what_if


def replayed(recording, *settings):
    """Return the outputs of a replay with settings, bin by bin."""
    replay = Replay(recording, settings)
    outputs = []
    for _ in range(len(replay.steps)):
        replay.next()
        outputs.append(replay.session.record.array["output"][0].copy())
    return np.array(outputs)


def test_both_settings_are_those_of_separate_replays(recording):
    recording = Recording(recording)
    what_if = finished(recording, [f"{RATE}=1e-7"], [f"{RATE}=1e-4"])
    answer, intended = what_if.answer(0.005), recording.steps()["output"]["intended"]
    every, bins = what_if.every, len(intended)
    ends = np.minimum(np.arange(1, len(answer["time_s"]) + 1) * every, bins)
    np.testing.assert_allclose(answer["time_s"], 0.005 * ends)
    sides = [replayed(recording, f"{RATE}={value}") for value in ("1e-7", "1e-4")]
    for side, outputs in enumerate(sides):
        velocity = outputs["decoded"][:, 2:]
        np.testing.assert_array_equal(answer["velocity_m_s"][side], velocity[ends - 1])
        squares = np.sum((velocity - intended) ** 2, axis=1)
        mean = [squares[max(end - every, 0) : end].mean() for end in ends]
        np.testing.assert_allclose(answer["error_m_s"][side], np.sqrt(mean))
        assert answer["paired"]["errors_m_s"][side] == pytest.approx(np.sqrt(squares.mean()))
    apart = np.sum((sides[1]["decoded"][:, 2:] - sides[0]["decoded"][:, 2:]) ** 2, axis=1)
    np.testing.assert_allclose(answer["apart_m_s"], np.sqrt([apart[max(e - every, 0) : e].mean() for e in ends]))
    low, high = answer["paired"]["interval_m_s"]
    assert low < answer["paired"]["difference_m_s"] < high


def test_a_setting_holds_from_its_moment_on(recording):
    recording = Recording(recording)
    what_if = finished(recording, [], ["adapter.learning_rate=1e-3", "from_s=3"])
    apart = np.sum((what_if._velocity[1] - what_if._velocity[0]) ** 2, axis=1)
    assert not apart[:600].any() and apart[602:].all()


def test_the_recording_beside_itself_differs_nowhere(recording):
    answer = finished(Recording(recording), [], []).answer(0.005)
    same = finished(Recording(recording), [], [f"{RATE}=1e-6"]).answer(0.005)  # the value that was recorded
    for found in (answer, same):
        assert not found["apart_m_s"].any() and np.ptp(found["error_m_s"], axis=0).max() == 0.0


def test_a_recorded_command_does_not_undo_the_setting(recording, monkeypatch):
    """The recording is made to hold a command that sets the rate back after one second."""
    recording = Recording(recording)
    messages = recording.messages

    def with_command(stream):
        yield from messages(stream)
        if stream == "command":
            yield 0, {"bin": 200, "set": RATE, "old": 1e-6, "new": 1e-6}
            yield 0, {"bin": 300, "set": "task.assist", "old": 0.0, "new": 0.5}

    monkeypatch.setattr(recording, "messages", with_command)
    what_if = WhatIf(recording, [], [f"{RATE}=1e-4"])
    assert what_if.sides[0] is None
    kept = {bin_index: [c["set"] for c in commands] for bin_index, commands in what_if.sides[1].commands.items()}
    assert kept == {300: ["task.assist"]}


def test_a_setting_that_cannot_be_is_refused(recording):
    player = Player(recording)
    with pytest.raises(BadInput, match="learning_rate"):
        player.handle({"do": "what-if", "first": [], "second": [f"{RATE}=fast"]})
    assert player.what_if is None
