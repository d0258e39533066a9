"""What another setting would have decoded: taught and shown what was recorded, and held against sessions really run."""

import re

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.playback.what_if import WhatIf
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.core import Session
from bmi_runtime.session.paired import paired_errors, where_it_arises
from bmi_runtime.session.replay import Replay, recorded_config, session_from
from bmi_runtime.sources.base import source_class

SETTINGS = [
    "adapter.learning_rate=1e-9",
    "adapter.learning_rate=1e-7",
    "adapter.learning_rate=1e-5",
    "adapter.learning_rate=1e-4",
    "adapter.learning_rate=1e-3",
    "decoder.velocity_sd_m_s=0.05",
    "decoder.velocity_time_constant_s=0.1",
    "decoder.parameter_trust=0",
    "adapter.schedule=floor",
    "session.left_out=[0,1,2,3,4,5,6,7]",
]
NEAR_M_S = 0.002


def run(path, *overrides, seconds=20.0, seed=1, units=48, commands=()):
    given = [f"session.units={units}", f"session.seed={seed}", f"recording.path='{path}'", *overrides]
    config = configuration.load(None, given)
    loop = assemble(config, "max")
    todo = dict(commands)
    loop.on_bin = lambda loop: [loop.handle(command) for command in [todo.pop(loop.session.bins, None)] if command]
    launch.run(loop, round(seconds / config.bin_s))
    return Recording(path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return run(tmp_path_factory.mktemp("what_if") / "a.mcap")


def rms(rows):
    return float(np.sqrt(np.mean(np.sum(rows**2, axis=1))))


def taught(recording, setting):
    """Return the error of a setting taught with the recorded intention, by a plain session with a cursor of its own."""
    steps = recording.steps()
    plain = session_from(recording)
    session = Session(recorded_config(recording, [setting]), plain.model)
    assert session.decoder_model is session.model
    meant = steps["output"]["intended"]
    session.intend = lambda given: tuple(meant[session.bins].tolist())
    velocity = np.empty_like(meant)
    for index, step in enumerate(steps):
        session.step(step["input"].tobytes())
        velocity[index] = session.record.array["output"][0]["decoded"][2:]
    return rms(velocity - meant)


def asked(recording, *settings, from_s=0.0):
    return Replay(recording, settings, from_s).run(verify=False)["decoded"]


def test_the_recorded_setting_asked_for_again_is_the_recording_to_the_bit(tmp_path):
    commands = {
        500: {"set": "task.assist", "value": 0.4},
        900: {"set": "session.hold", "value": True},
        1000: {"set": "session.hold", "value": False},
        1200: {"set": "task.kind", "value": "random-target"},
        1500: {"set": "decoder.velocity_sd_m_s", "value": 0.1},
    }
    made = run(tmp_path / "a.mcap", "task.hold_s=0.1", seconds=10, commands=commands)
    result = Replay(made, ["adapter.learning_rate=1e-6"]).run(verify=False)
    assert result["identical"] and result["decoded"]["changed_m_s"] == 0.0
    assert result["decoded"]["difference_m_s"] == 0.0


@pytest.mark.parametrize("setting", [SETTINGS[4], SETTINGS[5], SETTINGS[7], SETTINGS[9]])
def test_a_setting_answers_as_one_taught_with_the_recorded_intention(recording, setting):
    found = asked(recording, setting)["error_replayed_m_s"]
    assert found == pytest.approx(taught(recording, setting), rel=0.05, abs=NEAR_M_S)


def test_one_question_leaves_no_trace_in_the_next(recording):
    first = asked(recording, "decoder.velocity_sd_m_s=0.05")
    asked(recording, "adapter.learning_rate=1e-3", "adapter.enabled=false")
    assert asked(recording, "decoder.velocity_sd_m_s=0.05") == first


@pytest.mark.parametrize(
    ("world", "setting"),
    [
        (("task.kind=pursuit",), "decoder.velocity_time_constant_s=0.1"),
        (("state.axes=['x']",), "adapter.learning_rate=1e-4"),
        (("state.axes=['x','y','z']",), "decoder.velocity_sd_m_s=0.05"),
        (("session.features=12",), "decoder.velocity_sd_m_s=0.05"),
        (
            ("block=[{kind='observe',length_s=4},{kind='adapt',length_s=6},{kind='fixed'}]",),
            "adapter.learning_rate=1e-4",
        ),
    ],
)
def test_other_tasks_axes_mixtures_and_blocks_answer_as_sessions_really_run(tmp_path, world, setting):
    found = asked(run(tmp_path / "a.mcap", *world), setting)
    steps = run(tmp_path / "b.mcap", *world, setting).steps()["output"]
    decoded = steps["decoded"][:, -steps["intended"].shape[1] :]
    assert found["error_replayed_m_s"] == pytest.approx(rms(decoded - steps["intended"]), rel=0.15)
    assert not found["hardly_follows"]


def test_a_setting_with_which_the_subject_would_have_done_something_else_is_said_to_be_one(recording):
    found = asked(recording, "adapter.enabled=false")
    assert found["hardly_follows"], "untrained units decode nothing: the cursor would have stood still"
    assert not asked(recording, "adapter.learning_rate=1e-5")["hardly_follows"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_settings_against_teaching_and_against_sessions_really_run(tmp_path, seed):
    made = run(tmp_path / "a.mcap", seconds=60, seed=seed, units=96)
    for number, setting in enumerate(SETTINGS):
        found = asked(made, setting)["error_replayed_m_s"]
        assert found == pytest.approx(taught(made, setting), rel=0.05, abs=NEAR_M_S), setting
        steps = run(tmp_path / f"{number}.mcap", setting, seconds=60, seed=seed, units=96).steps()["output"]
        assert found == pytest.approx(rms(steps["decoded"][:, 2:] - steps["intended"]), rel=0.15), setting


def test_everything_shown_is_the_recorded_one(recording):
    outputs = recording.steps()["output"]
    replay = Replay(recording, ["adapter.learning_rate=1e-3"])
    for index in range(1500):
        replay.next()
        output = replay.session.record.array["output"][0]
        for name in ("cursor", "target", "intended", "trial", "successes", "trial_state", "hold_fraction", "assist"):
            assert output[name].tobytes() == outputs[index][name].tobytes(), (index, name)


def test_another_intention_is_inferred_from_what_was_shown(recording):
    outputs = recording.steps()["output"]
    replay = Replay(recording, ["adapter.intention=rotated"])
    intended = []
    for _ in range(600):
        replay.next()
        intended.append(replay.session.record.array["output"][0]["intended"].copy())
    cursor, target = outputs["cursor"][498], outputs["target"][498]
    towards = target[:2] - cursor[:2]
    expected = np.hypot(*cursor[2:]) * towards / np.hypot(*towards)
    np.testing.assert_allclose(intended[499], expected)


@pytest.mark.parametrize(
    "setting",
    [
        "task.target_radius_m=0.02",
        "task.assist=0.3",
        "task.workspace_m=0.3",
        "task.kind=pursuit",
        "session.bin_s=0.01",
        "session.seed=2",
        "population.depth=[1,1]",
        "recording.snapshot_s=5",
        "stimulation.enabled=true",
        "output.rate_hz=30",
        "guard.max_speed=0.1",
        "session.unit_names=['a']",
        "decoder.gain=2",
        "adapter=1",
        "foo.bar=1",
    ],
)
def test_what_no_recording_can_tell_is_refused_by_name(recording, setting):
    key = setting.partition("=")[0]
    with pytest.raises(BadInput, match=re.escape(key)) as refused:
        Replay(recording, [setting])
    assert ("bmi rehearse" in str(refused.value)) == (key.startswith("task.") or key == "decoder.gain")


def test_when_a_click_is_told_is_not_said_to_be_about_the_units(recording):
    with pytest.raises(BadInput, match=r"state\.click_threshold decides which clicks select a target"):
        Replay(recording, ["state.click_threshold=0.8"])


def test_a_key_that_is_mistyped_is_told_with_the_nearest(recording):
    with pytest.raises(BadInput, match=r"unknown key 'task\.asist', the nearest valid key is 'task\.assist'"):
        Replay(recording, ["task.asist=1"])


def test_from_a_moment_on(recording):
    found = Replay(recording, ["adapter.learning_rate=1e-3"], 12.0)
    assert found.first == 2400
    decoded = found.run(verify=False)["decoded"]
    assert decoded["parts"][0]["start_s"] == pytest.approx(12.0)
    same = Replay(recording, ["adapter.learning_rate=1e-6"], 12.0).run(verify=False)
    assert same["identical"], "begun in the middle with what was recorded, it goes on as recorded"
    with pytest.raises(BadInput, match="holds 20 s"):
        Replay(recording, ["adapter.learning_rate=1e-3"], 20.0)


def test_frozen_from_the_start_decodes_with_the_model_that_knows_nothing(recording):
    found = asked(recording, "decoder.frozen=true")
    assert found["error_replayed_m_s"] > 2 * found["error_recorded_m_s"]
    late = asked(recording, "decoder.frozen=true", from_s=10.0)
    assert late["error_replayed_m_s"] < 1.2 * late["error_recorded_m_s"]


def test_another_start_of_the_model_is_what_a_session_starts_with(recording):
    replay = Replay(recording, ["encoding.initial=truth"])
    truth = source_class("simulated")(replay.session.config).truth()
    np.testing.assert_array_equal(replay.session.model.weights, truth)
    assert asked(recording, "encoding.initial_sd=0.01", "adapter.learning_rate=0")["error_replayed_m_s"] > 0.08


def test_units_left_out_neither_decode_nor_learn(tmp_path):
    made = run(tmp_path / "a.mcap", "session.left_out=[3, 17]", seconds=4)
    first, last = session_from(made).model.weights, made_model(made)
    unmoved = np.flatnonzero((first == last).all(axis=0))
    np.testing.assert_array_equal(unmoved, [3, 17])
    assert Replay(made).run()["identical"]
    for bad in ("[48]", "[-1]"):
        with pytest.raises(BadInput, match=r"session\.left_out names unit"):
            run(tmp_path / "b.mcap", f"session.left_out={bad}", seconds=1)


def made_model(recording):
    replay = Replay(recording)
    replay.run(verify=False)
    return replay.session.model.weights


def test_the_interval_of_the_paired_difference_holds_in_19_of_20():
    rng = np.random.default_rng(3)
    noise, held = 0.9, 0
    for _ in range(200):
        shocks = rng.standard_normal((4000, 4))
        smooth = np.empty_like(shocks)
        smooth[0] = shocks[0] / np.sqrt(1 - noise**2)
        for i in range(1, len(shocks)):
            smooth[i] = noise * smooth[i - 1] + shocks[i]
        smooth *= np.sqrt(1 - noise**2)
        first, second = smooth[:, :2], 0.6 * smooth[:, :2] + 1.0 * smooth[:, 2:]
        found = paired_errors(np.zeros((4000, 2)), first, second, 0.005)
        truth = np.sqrt(2 * (0.36 + 1.0)) - np.sqrt(2)
        low, high = found["interval_m_s"]
        held += low <= truth <= high
    assert 180 <= held <= 199


def test_where_a_difference_arises_is_said():
    meant, first = np.zeros((1000, 2)), np.full((1000, 2), 0.1)
    second = first.copy()
    second[300:400] *= 3
    found = paired_errors(meant, first, second, 0.01)
    assert "from 3 to 4 s" in where_it_arises(found["parts"])
    assert where_it_arises(paired_errors(meant, first, first, 0.01)["parts"]) is None


def test_a_session_without_intention_is_not_compared(recording):
    steps = recording.steps()
    meant = np.full_like(steps["output"]["intended"], np.nan)
    found = paired_errors(meant, meant, meant, 0.005)
    assert found["difference_m_s"] is None and found["parts"] == []


def test_the_window_asks_the_same(recording):
    what_if = WhatIf(recording, [], ["adapter.learning_rate=1e-3"])
    while not what_if.done:
        what_if.grow()
    found, once = what_if.answer(0.005)["paired"], asked(recording, "adapter.learning_rate=1e-3")
    assert found["errors_m_s"] == pytest.approx([once["error_recorded_m_s"], once["error_replayed_m_s"]])
    assert found["interval_m_s"] == pytest.approx(once["interval_m_s"])
    with pytest.raises(BadInput, match="from_s"):
        WhatIf(recording, [], ["adapter.learning_rate=1e-3", "from_s=soon"])
