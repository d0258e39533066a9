"""Decoder gain and smoothing, calculated from a pilot."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.calibration.aim_fit import Aim, Screen, fit_aim
from bmi_runtime.calibration.dials import DialSearch
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.readings import PilotReader, Readings
from bmi_runtime.calibration.steering import Steering
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import aim_gains
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from bmi_runtime.tasks.centre_out import CentreOut
from simulators.source import SimulatedSource


def run(seconds, *settings, world=None):
    """Run a session from the true weights; return its configuration, a pilot, what was seen, and hits a minute."""
    config = configuration.load(world, ["encoding.initial=truth", *settings])
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), Bin(*config.layout)
    bins = round(seconds / config.bin_s)
    counts, intended, cursor, target, hits = [], [], [], [], 0
    for _ in range(bins):
        cursor.append(session.cursor[:2])
        target.append(session.task.target[:2])
        source.next_bin(given, session.cursor, session.task.target)
        intended.append(session.step(given.bytes).output.intended.copy())
        counts.append(given.fields.counts.copy())
    hits = session.task.successes
    pilot = Pilot(np.array(counts), 10.0 * np.array(intended), config.bin_s, "poisson")
    return config, pilot, Screen(np.array(cursor), np.array(target), pilot.usable), 60.0 * hits / seconds


def search(seconds, *settings, world=None):
    config, pilot, screen, _ = run(seconds, *settings, world=world)
    reader = PilotReader(MeasuredScores(fit_pilot(pilot)), config, screen)
    return DialSearch(reader, config, config.adapter.learning_rate)


def test_a_gain_of_one_changes_no_bit_and_another_moves_the_cursor_alone():
    given = configuration.load(None, ["session.units=12", "encoding.initial=truth"])
    ends = []
    for gain in (1.0, 2.0):
        config = given.model_copy(update={"decoder": given.decoder.model_copy(update={"gain": gain})})
        source = SimulatedSource(config)
        session, one = Session(config, source.world.initial_model()), Bin(*config.layout)
        source.next_bin(one, session.cursor, session.task.target)
        session.step(one.bytes)
        ends.append((session.decoder.state[2:].copy(), np.array(session.cursor[2:])))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])  # what was decoded is the same
    np.testing.assert_array_equal(ends[0][1], ends[0][0])
    np.testing.assert_array_equal(ends[1][1], 2.0 * ends[1][0])


def test_gain_is_live_and_resumed():
    config = configuration.load(None, ["session.units=8"])
    source = SimulatedSource(config)
    session = Session(config, source.world.initial_model())
    assert session.apply({"set": "decoder.gain", "value": 1.5})["old"] == 1.0
    with pytest.raises(BadInput, match="between 0 and 10"):
        session.apply({"set": "decoder.gain", "value": 11})
    other = Session(config, source.world.initial_model())
    other.restore(session.snapshot())
    assert other.gain == 1.5


def test_steering_without_noise_is_the_sessions_task():
    """The compiled trials against the task's own machine of states, step by step in Python."""
    config = configuration.load(None, [])
    keep, pull = aim_gains(2.0 * np.pi * 0.9, 0.005)
    maps = np.zeros((6, 2, 3))
    maps[0, :, :2] = maps[2, :, :2] = maps[4, :, :2] = 1e9 * np.eye(2)  # units that say all: decoded is intended
    nothing = np.zeros((100, 2))
    readings = Readings(maps, nothing, 0.0, 1.0, np.zeros(2), Aim(np.array([0.9, 0.03, 0.01]), np.eye(3)), 0.005)
    pace = Steering(config, 0.005, 2).run(readings, 1.3, 0.5, 0, 60.0)
    task = CentreOut(config.task, 0.005, np.random.default_rng(1))
    cursor, velocity, seen, goals, times = (
        np.zeros(2),
        np.zeros(2),
        [np.zeros(2)] * 6,
        [np.array(task.position)] * 2,
        [],
    )
    for _ in range(12_000):
        seen, goals = [*seen, cursor.copy()], [*goals, np.array(task.position)]
        velocity = keep * velocity + pull * (goals[-3] - seen[-7])
        cursor = cursor + 0.005 * 1.3 * velocity
        event = task.advance(*cursor)
        if event:
            times.append(event["time_to_target_s"])
    assert pace.success_rate == 1.0
    assert pace.time_to_target_s == pytest.approx(np.mean(times), rel=1e-6)


def test_how_a_subject_aims_is_found_in_the_loop_that_its_noise_closes():
    _, pilot, screen, _ = run(60, "session.seed=9", world="real_world")
    fit = fit_pilot(pilot)
    aim = PilotReader(MeasuredScores(fit), configuration.load("real_world"), screen).aim
    error = np.sqrt(aim.covariance.diagonal())
    assert aim.note == ""
    assert abs(aim.mean[0] - 0.955) < 3.0 * error[0] < 0.6
    assert abs(aim.mean[1] - 0.1) < 3.0 * error[1] < 0.1


def test_an_aim_that_cannot_be_known_is_assumed_and_said():
    for seed in (2, 3, 4):
        rng = np.random.default_rng(seed)
        seen, target = 0.01 * rng.standard_normal((4000, 2)), rng.integers(0, 2, (4000, 2)) / 10.0
        screen = Screen(seen, target, np.ones(4000, dtype=bool))
        assert "do not follow" in fit_aim(rng.standard_normal((4000, 2)), screen, 0.01).note
    one = Screen(seen, 0.0 * target, np.ones(4000, dtype=bool))
    assert "targets were shown" in fit_aim(rng.standard_normal((4000, 2)), one, 0.01).note


def test_calculated_pace_is_that_of_a_session_and_the_best_setting_is_faster():
    found = search(60, "session.seed=4")
    dials = found.best()
    assert dials.gain_interval[0] <= dials.gain <= dials.gain_interval[1]
    assert dials.best.hits_per_minute > 1.2 * dials.now.hits_per_minute
    reached = run(40, "session.seed=6", f"decoder.gain={dials.gain}",
                  f"decoder.velocity_time_constant_s={dials.time_constant_s}")[3]  # fmt: skip
    assert reached == pytest.approx(dials.best.hits_per_minute, rel=0.1)


def test_command_line_writes_gain_and_smoothing_of_a_session_and_says_why_not_of_a_data_file(tmp_path):
    from bmi_runtime.cli import calibrate, run

    commands = {"calibrate": calibrate.calibrate, "run": run.run}

    def answer(command, *arguments):
        given = [*map(str, arguments), "--json"]
        result = CliRunner().invoke(commands[command], given, catch_exceptions=False, standalone_mode=False)
        return json.loads(result.stdout.splitlines()[-1])

    pilot, target = tmp_path / "p.mcap", tmp_path / "c.toml"
    answer("run", "--headless", "--speed", "max", "--duration", 40, "--seed", 3, "--record", pilot,
           "--set", "session.units=24")  # fmt: skip
    target.write_text("[decoder]\nkind = 'point-process'\n")
    found = answer("calibrate", "--from", pilot, "--learning-rate", 1e-6, "--gain", 1.4, "--write", target)
    written = configuration.load(target)
    assert written.decoder.gain == pytest.approx(found["dials"]["gain"], rel=1e-2)
    assert written.decoder.velocity_time_constant_s == pytest.approx(
        found["dials"]["velocity_time_constant_s"], rel=1e-2
    )
    assert written.adapter.learning_rate == 1e-6
    assert found["expected"]["hits_per_minute"] > found["dials"]["configured"]["expected"]["hits_per_minute"]
    rng = np.random.default_rng(1)
    velocity = np.sin(np.arange(8000)[:, None] * [0.05, 0.03]) / 10
    counts = rng.poisson(0.1 * np.exp(10 * velocity @ rng.normal(0, 0.5, (2, 10))))
    np.savez(tmp_path / "d.npz", counts=counts, bin_s=0.02, velocity=velocity)
    target.write_text("")
    found = answer("calibrate", "--from", tmp_path / "d.npz", "--learning-rate", 1e-5, "--write", target)
    assert "assumed" in found["not_written"]
    assert "decoder" not in target.read_text()
    assert "dials" not in answer("calibrate", "--from", tmp_path / "d.npz", "--learning-rate", 1e-5, "--no-dials")
