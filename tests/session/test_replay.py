"""A session, its recording and its replay: identical to the bit, and honest when it is not."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.replay import replay as replay_command
from bmi_runtime.errors import BadInput, CheckFailed
from bmi_runtime.messages import Bin, TrialState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.core import Session
from bmi_runtime.session.replay import Replay
from simulators.world import World

SHORT = ["session.units=24", "recording.snapshot_s=1.0", "adapter.learning_rate=1e-5"]


def record(path, *overrides, bins=2000, commands=()):
    """Run a session of simulated time, with commands at given bins; return the loop."""
    config = configuration.load(None, [*SHORT, f"recording.path='{path}'", *overrides])
    loop = assemble(config, "max")
    todo = dict(commands)
    loop.on_bin = lambda loop: [loop.handle(command) for command in [todo.pop(loop.session.bins, None)] if command]
    launch.run(loop, bins)
    return loop


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("session.likelihood=gaussian", "adapter.learning_rate=1e-4"),
        ("adapter.intention=rotated", "task.assist=0.5", "task.assist_fade=success"),
        ("task.kind=random-target", "task.pause_s=0.0", "decoder.parameter_trust=0.0"),
        ("task.kind=pursuit", "task.timeout_s=2.0"),
    ],
    ids=["poisson", "gaussian", "rotated-assist", "random-target", "pursuit"],
)
def test_a_replay_is_identical_to_the_bit(tmp_path, overrides):
    loop = record(tmp_path / "a.mcap", *overrides)
    result = Replay(Recording(tmp_path / "a.mcap")).run()
    assert result["identical"]
    assert result["bins"] == 2000
    assert result["output_digest"] == loop.result()["output_digest"]


def test_commands_are_replayed_at_their_bins(tmp_path):
    commands = {
        300: {"set": "adapter.learning_rate", "value": 1e-3},
        500: {"set": "task.assist", "value": 0.4},
        700: {"set": "session.hold", "value": True},
        900: {"set": "session.hold", "value": False},
        1000: {"set": "decoder.frozen", "value": True},
        1200: {"set": "task.kind", "value": "random-target"},
        1500: {"set": "adapter.enabled", "value": False},
        1700: {"set": "decoder.frozen", "value": False},
    }
    record(tmp_path / "a.mcap", commands=commands)
    recording = Recording(tmp_path / "a.mcap")
    steps = recording.steps()["output"]
    assert (steps["learning_rate"][300:] == 1e-3).all()
    assert steps["learning_rate"][299] == 1e-5
    held = steps[700:900]
    assert (held["cursor"][:, :2] == held["cursor"][0, :2]).all(), "hold stops the cursor within one bin"
    assert (held["model_checksum"] == held["model_checksum"][0]).all(), "and freezes adaptation"
    assert not steps["adapting"][1500:].any()
    assert [message["bin"] for _, message in recording.messages("command")] == list(commands)
    assert Replay(recording).run()["identical"]


def test_one_changed_count_is_found_and_named(tmp_path):
    record(tmp_path / "a.mcap")
    replay = Replay(Recording(tmp_path / "a.mcap"))
    changed = replay.steps.copy()
    changed["input"]["counts"][777, 3] += 1
    replay._raw = memoryview(changed).cast("B")
    result = replay.run()
    assert not result["identical"]
    assert result["first_divergence"]["bin"] == 777
    assert result["first_divergence"]["field"] == "decoded"


def test_what_if_changes_the_outcome_and_says_where(tmp_path):
    record(tmp_path / "a.mcap")
    result = Replay(Recording(tmp_path / "a.mcap"), ["adapter.learning_rate=1e-3"]).run(verify=False)
    assert result["bins"] == 2000
    assert result["first_divergence"] == {"bin": 0, "field": "learning_rate", "recorded": 1e-5, "replayed": 1e-3}


def test_what_if_tells_what_the_other_setting_decoded(tmp_path):
    record(tmp_path / "a.mcap")
    recording = Recording(tmp_path / "a.mcap")
    outputs = recording.steps()["output"]
    meant, was = outputs["intended"], outputs["decoded"][:, 2:]
    other = Replay(recording, ["adapter.learning_rate=1e-3"])
    velocities = []
    for _ in range(2000):
        other.next()
        velocities.append(other.session.record.array["output"][0]["decoded"][2:].copy())
    found = Replay(recording, ["adapter.learning_rate=1e-3"]).run(verify=False)["decoded"]

    def rms(rows):
        return np.sqrt((rows**2).sum(axis=1).mean())

    assert found["error_recorded_m_s"] == pytest.approx(rms(was - meant))
    assert found["error_replayed_m_s"] == pytest.approx(rms(np.array(velocities) - meant))
    assert found["error_replayed_last_half_m_s"] == pytest.approx(rms((np.array(velocities) - meant)[1000:]))
    assert found["changed_m_s"] > 0.001
    same = Replay(recording, ["adapter.learning_rate=1e-5"]).run(verify=False)
    assert same["identical"] and same["decoded"]["changed_m_s"] == 0.0
    assert "decoded" not in Replay(recording).run(verify=False)


def test_what_if_holds_against_the_recorded_commands(tmp_path):
    commands = {300: {"set": "adapter.learning_rate", "value": 1e-4}}
    record(tmp_path / "a.mcap", commands=commands)
    replay = Replay(Recording(tmp_path / "a.mcap"), ["adapter.learning_rate=1e-6"])
    for _ in range(400):
        replay.next()
    assert replay.session.record.array["output"][0]["learning_rate"] == 1e-6


def test_a_session_restored_from_a_snapshot_goes_on_to_the_bit(tmp_path):
    record(tmp_path / "a.mcap", "task.kind=random-target")
    recording = Recording(tmp_path / "a.mcap")
    snapshots = [message for _, message in recording.messages("snapshot")]
    middle = snapshots[len(snapshots) // 2]
    assert 0 < middle["bins"] < 2000
    replay = Replay(recording)
    replay.session.restore(middle)
    replay.position = middle["bins"]
    assert all(replay.next() for _ in range(2000 - middle["bins"]))


def test_a_snapshot_names_the_task_that_a_command_chose(tmp_path):
    record(tmp_path / "a.mcap", commands={300: {"set": "task.kind", "value": "random-target"}})
    replay = Replay(Recording(tmp_path / "a.mcap"))
    last = [message for _, message in replay.recording.messages("snapshot") if message["bins"] < 2000][-1]
    replay.session.restore(last)
    replay.position = last["bins"]
    assert replay.session.goal.task_kind == "random-target"
    assert all(replay.next() for _ in range(2000 - last["bins"]))


def test_the_same_seed_gives_the_same_session_and_another_does_not(tmp_path):
    digests = [
        record(tmp_path / f"{name}.mcap", f"session.seed={seed}", bins=400).result()["output_digest"]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_recording_of_another_version_is_refused_in_words(tmp_path, monkeypatch):
    record(tmp_path / "a.mcap", bins=50)
    recording = Recording(tmp_path / "a.mcap")
    kept = recording.messages
    older = [
        (at, {key: value for key, value in message.items() if key != "safety"}) for at, message in kept("snapshot")
    ]
    monkeypatch.setattr(recording, "messages", lambda stream: iter(older) if stream == "snapshot" else kept(stream))
    with pytest.raises(BadInput, match="made by another version"):
        Replay(recording)


@pytest.fixture(scope="module")
def session():
    config = configuration.load(None, SHORT)
    return Session(config, World(config).initial_model())


def bin_of(session, counts=0):
    empty = Bin(session.model.n_units, session.config.continuous)
    empty.fields.counts[:] = counts
    return empty


def test_absurd_counts_are_refused_counted_and_do_not_move_the_weights_of_their_unit(session):
    given = bin_of(session)
    given.fields.counts[5] = 60000
    before = session.model.weights[:, 5].copy()
    session.step(given.bytes)
    assert {"name": "refused-counts", "units": 1} in session.events
    assert np.array_equal(session.model.weights[:, 5], before)
    assert np.isfinite(session.record.output.decoded).all()


def test_a_stale_bin_coasts_and_does_not_adapt(session):
    given = bin_of(session, 3)
    given.fields.stale[0] = 1
    session.step(given.bytes)
    assert not session.record.output.adapting[0]
    assert math.isnan(session.record.output.log_likelihood[0])


def test_features_that_are_not_finite_are_refused():
    config = configuration.load(None, [*SHORT, "session.likelihood=gaussian"])
    session = Session(config, World(config).initial_model())
    given = bin_of(session, 0.5)
    given.fields.counts[:4] = [np.nan, np.inf, -np.inf, 1e12]
    session.step(given.bytes)
    assert {"name": "refused-counts", "units": 4} in session.events
    assert np.isfinite(session.record.output.decoded).all()
    assert np.isfinite(session.model.weights).all()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ({"set": "adapter.learning_rate", "value": -1}, "between 0 and 1"),
        ({"set": "adapter.learning_rate", "value": "fast"}, "must be a number"),
        ({"set": "task.assist", "value": True}, "must be a number"),
        ({"set": "adapter.enabled", "value": 0.5}, "true or false"),
        ({"set": "adapter.learning_rate", "value": math.nan}, "between 0 and 1"),
        ({"set": "session.units", "value": 3}, "cannot change during a session"),
        ({"set": "task.kind", "value": "chess"}, "no task 'chess'"),
        ({}, "cannot change"),
    ],
)
def test_a_bad_command_is_refused_in_words_and_changes_nothing(session, command, said):
    before = session.snapshot()["live"]
    with pytest.raises(BadInput, match=said):
        session.apply(command)
    assert session.snapshot()["live"] == before


def test_a_model_of_the_wrong_size_is_refused():
    small = configuration.load(None, ["session.units=3"])
    with pytest.raises(BadInput, match=r"3 poisson units.*24"):
        Session(configuration.load(None, SHORT), World(small).initial_model())


def test_the_commands_from_run_to_replay(tmp_path, bmi):
    """The session is another process than its replay."""
    path = str(tmp_path / "a.mcap")
    run = ["run", "--headless", "--speed", "max", "--duration", "3", "--seed", "2", "--record", path, "--json"]
    ran = subprocess.run([sys.executable, "-m", "bmi_runtime.cli.main", *run], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    first = json.loads(ran.stdout)
    verified = bmi("replay", path, "--verify", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["output_digest"] == first["output_digest"]
    other = bmi("replay", path, "--verify", "--set", "adapter.learning_rate=1e-3", "--json")
    assert other.returncode == 3
    assert json.loads(other.stdout)["first_divergence"]["field"]
    assert bmi("run", "--headless", "--speed", "max", "--record", path).returncode == 2, "never writes over a recording"
    assert "Traceback" not in bmi("replay", str(tmp_path / "none.mcap")).stderr


def test_a_trained_session_reaches_targets(tmp_path):
    loop = record(tmp_path / "a.mcap", "session.units=96", "adapter.learning_rate=1e-6", bins=12000)
    result = loop.result()
    assert result["success_rate"] >= 0.95
    assert result["trials"] >= 50
    steps = Recording(tmp_path / "a.mcap").steps()["output"]
    assert set(np.unique(steps["trial_state"])) == {TrialState.REACH, TrialState.HOLD, TrialState.SUCCESS}


def replayed(path):
    """Run `bmi replay --verify` on a file; return its exit code and its answer."""
    done = CliRunner().invoke(replay_command, [str(path), "--verify", "--json"])
    code = done.exit_code if not isinstance(done.exception, CheckFailed) else 3
    return code, json.loads(done.stdout.strip().splitlines()[-1])


def test_a_changed_byte_fails_the_check_and_a_torn_end_does_not(tmp_path):
    record(tmp_path / "a.mcap", bins=300)
    whole = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "torn.mcap").write_bytes(whole[: int(len(whole) * 0.8)])
    code, answer = replayed(tmp_path / "torn.mcap")
    assert code == 0 and answer["identical"] and 0 < answer["bins"] < 300
    changed = bytearray(whole)
    changed[int(len(whole) * 0.8)] ^= 0x10
    (tmp_path / "changed.mcap").write_bytes(changed)
    code, answer = replayed(tmp_path / "changed.mcap")
    assert code == 3 and not answer["identical"]
    assert answer["first_divergence"] == {"bin": answer["bins"], "field": "damaged record"}
