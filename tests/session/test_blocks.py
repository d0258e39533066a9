"""Blocks: driven inside the step, changed by the operator, replayed and resumed to the bit, scored alike everywhere."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import TrialState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.summary import summarise
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import resume

BLOCKS = [
    {"kind": "observe", "length_s": 2.0, "name": "watch"},
    {"kind": "assisted", "trials": 2, "assist": 0.4, "learning_rate": 1e-5},
    {"kind": "free", "length_s": 1.0},
    {"kind": "fixed", "task": "random-target", "trials": 2, "freeze": True},
    {"kind": "adapt", "length_s": 1.0, "freeze": False},
]


def configured(path, blocks=BLOCKS, **more):
    made = {"block": blocks, "session": {"units": 32}, "recording": {"path": str(path), "snapshot_s": 1.0}}
    return configuration.from_dict(made | more)


def run(path, blocks=BLOCKS, commands=None, bins=0, **more):
    loop = assemble(configured(path, blocks, **more), "max")
    todo = dict(commands or {})
    loop.on_bin = lambda loop: [loop.handle(command) for command in [todo.pop(loop.session.bins, None)] if command]
    launch.run(loop, bins)
    return loop


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "a.mcap"
    return path, run(path)


def test_each_block_does_what_its_kind_says_and_the_session_ends_after_the_last(recorded):
    path, loop = recorded
    facts = loop.result()["blocks"]
    assert [row["kind"] for row in facts] == [block["kind"] for block in BLOCKS]
    assert [row["ended"] for row in facts] == ["length", "trials", "length", "trials", "length"]
    assert facts[0]["name"] == "watch" and facts[1]["trials"] == 2 and facts[3]["trials"] == 2
    assert facts[0]["bins"] >= 400 and sum(row["bins"] for row in facts) == loop.session.bins
    output = Recording(path).steps()["output"]
    begins = [row["first_bin"] for row in facts]
    parts = np.split(output, begins[1:])
    assert [float(part["assist"].mean()) for part in parts] == pytest.approx([1.0, 0.4, 0.0, 0.0, 0.0])
    assert [bool(part["adapting"].any()) for part in parts] == [True, True, False, False, True]
    assert parts[1]["learning_rate"][0] == 1e-5 and parts[4]["learning_rate"][-1] == 1e-5  # stays what it was
    assert loop.session.goal.task_kind == "random-target" and not loop.session.decoder_model is not loop.session.model


def test_nobody_is_asked_for_anything_in_a_free_block(recorded):
    path, loop = recorded
    first = loop.result()["blocks"][2]["first_bin"]
    output = Recording(path).steps()["output"][first : first + 200]
    assert set(output["trial_state"]) == {int(TrialState.PAUSE)}
    assert np.isnan(output["intended"]).all() and np.ptp(output["trial"]) == 0
    assert np.ptp(output["cursor"][:, 0]) > 0.0, "the cursor moves"


def test_replay_and_inspection_tell_the_same(recorded):
    path, loop = recorded
    recording = Recording(path)
    assert Replay(recording).run(verify=True)["identical"]
    told, lived = summarise(recording)["blocks"], loop.result()["blocks"]
    for row, other in zip(told, lived, strict=True):
        assert {name: row[name] for name in other} == other
    assert told[0]["assist"] == pytest.approx(1.0) and told[3]["adapting"] == 0.0
    assert told[2]["rmse_position_m"] is None and 0.0 < told[4]["rmse_position_m"] < 0.2


@pytest.mark.parametrize("bins", [150, 450, 700, 1000])
def test_a_session_resumed_in_any_block_goes_on_to_the_bit(recorded, tmp_path, bins):
    path, loop = recorded
    part = tmp_path / "part.mcap"
    run(part, bins=bins)
    goes_on = resume(part, configured(part)).session
    inputs = Recording(path).steps()
    for step in inputs[bins:]:
        record = goes_on.step(step["input"].tobytes())
    assert bytes(record.output_bytes) == inputs[-1]["output"].tobytes()
    assert goes_on.blocks.facts() == loop.session.blocks.facts() and goes_on.blocks.over


def test_the_operator_goes_on_back_and_nowhere_else(tmp_path):
    path = tmp_path / "b.mcap"
    commands = {100: {"set": "session.block", "value": 4}, 130: {"set": "session.block", "value": 1}}
    loop = run(path, commands=commands, bins=300)
    rows = [(row["block"], row["first_bin"], row["ended"]) for row in loop.session.blocks.facts()]
    assert rows == [(1, 0, "operator"), (4, 100, "operator"), (1, 130, "")]
    assert Replay(Recording(path)).run(verify=True)["identical"]
    told = summarise(Recording(path))["blocks"]
    assert [(row["block"], row["bins"]) for row in told] == [(1, 100), (4, 30), (1, 170)]
    for wrong in (0, 6, 1.5, 1e6):
        with pytest.raises(BadInput):
            loop.session.apply({"set": "session.block", "value": wrong})
    assert loop.session.blocks.number == 1, "what was refused has changed nothing"


def test_time_stands_still_while_held(tmp_path):
    blocks = [{"kind": "adapt", "length_s": 0.5}, {"kind": "fixed", "length_s": 0.5}]
    hold = {50: {"set": "session.hold", "value": True}, 350: {"set": "session.hold", "value": False}}
    quick = {"task": {"timeout_s": 0.1, "pause_s": 0.0}}
    loop = run(tmp_path / "c.mcap", blocks, hold, **quick)
    first, second = loop.session.blocks.facts()
    assert second["first_bin"] - first["first_bin"] == first["bins"] + 300


def test_a_success_rate_ends_a_block_no_sooner_than_it_can_be_told(tmp_path):
    blocks = [{"kind": "observe", "success_rate": 1.0, "success_trials": 3}, {"kind": "fixed", "length_s": 0.1}]
    first = run(tmp_path / "d.mcap", blocks, task={"timeout_s": 5.0}).session.blocks.facts()[0]
    assert first["ended"] == "criterion" and first["trials"] == 3 == first["successes"]


def test_what_a_block_cannot_have_is_said_and_the_rest_holds(tmp_path):
    path = tmp_path / "e.mcap"
    run(path, [{"kind": "fixed", "decoder": "gaussian-kalman", "length_s": 0.1}], task={"timeout_s": 0.1})
    events = [event for _, event in Recording(path).messages("event")]
    (refused,) = [event for event in events if event["name"] == "block-setting-refused"]
    assert refused["set"] == "decoder.kind" and "decoder.kind cannot change" in refused["error"]
    with pytest.raises(BadInput, match="no task 'pursiut'; did you mean 'pursuit'"):
        assemble(configured(tmp_path / "f.mcap", [{"kind": "adapt", "task": "pursiut"}]), "max")
    plain = assemble(configured(tmp_path / "g.mcap", []), "max")
    with pytest.raises(BadInput, match="no blocks"):
        plain.session.apply({"set": "session.block", "value": 1})


def test_assist_fades_from_the_beginning_of_its_block(tmp_path):
    path = tmp_path / "h.mcap"
    blocks = [{"kind": "adapt", "length_s": 1.0}, {"kind": "assisted", "assist": 0.8, "length_s": 1.0}]
    run(path, blocks, task={"assist_fade": "time", "assist_fade_s": 2.0, "timeout_s": 0.2})
    told = summarise(Recording(path))["blocks"]
    output = Recording(path).steps()["output"][told[1]["first_bin"] :]
    assert output["assist"][0] == pytest.approx(0.8) and output["assist"][199] == pytest.approx(0.4, abs=0.01)
