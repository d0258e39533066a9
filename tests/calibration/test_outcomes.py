"""Wishes in an experimenter's units: decoded velocity error, time to target, hits a minute."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.calibration.aim_fit import Screen
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.outcomes import Outcomes
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

STILL = ("population.direction_walk_rad_per_root_s=0", "population.baseline_walk_per_root_s=0",
         "population.dying_fraction=0", "population.step_fraction=0")  # fmt: skip


def session(world, rate, seed, seconds, *overrides):
    """Run a session from the true weights; return its configuration, counts, intentions and what it achieved."""
    wanted = [f"session.seed={seed}", f"adapter.learning_rate={rate}", "encoding.initial=truth", *STILL, *overrides]
    config = configuration.load(world, wanted)
    source = SimulatedSource(config)
    running, given = Session(config, source.world.initial_model()), Bin(*config.layout)
    counts, squares, times, bins = [], [], [], round(seconds / config.bin_s)
    seen, target, taught = [], [], []
    for t in range(bins):
        seen.append(running.cursor[:2])
        target.append(running.task.target[:2])
        source.next_bin(given, running.cursor, running.task.target)
        taught.append(running.step(given.bytes).output.intended.copy())
        counts.append(given.fields.counts.copy())
        late = t >= bins // 2
        decoded = running.decoder.state[2:]
        squares += [float(((decoded - taught[-1]) ** 2).sum())] if late else []
        for event in running.events:
            if event.get("name") == "trial" and late and event["result"] == "success":
                times.append(event["time_to_target_s"])
        running.events.clear()
    achieved = math.sqrt(np.mean(squares)), float(np.mean(times))
    pilot = Pilot(np.array(counts), np.array(taught) * 10, config.bin_s, "poisson")
    return config, pilot, Screen(np.array(seen), np.array(target), pilot.usable), achieved


def outcomes(world, *overrides, seconds=40):
    config, pilot, screen, _ = session(world, 1e-7, 9, seconds, *overrides)
    return Outcomes(MeasuredScores(fit_pilot(pilot)), config, screen)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("world", "error_rel"), [(None, 0.1), ("real_world", 0.1), ("hard_world", 0.12)])
def test_expected_outcomes_are_those_of_sessions(world, error_rel):
    """Time to target within 10 % of sessions over two decades of rates, velocity error as well but in the hard world.

    There the expected error is 5 to 11 % too high, whichever aim is taken: what is left over of the reading is larger
    than what the session's own filter sees of it. Why is not known.
    """
    expected = outcomes(world, seconds=60)
    for rate in (1e-6, 1e-5, 1e-4):
        found, achieved = expected.at(rate), session(world, rate, 3, 160)[3]
        assert found.velocity_error_m_s == pytest.approx(achieved[0], rel=error_rel)
        assert found.time_to_target_s == pytest.approx(achieved[1], rel=0.1)


def test_faster_rates_decode_worse_and_a_wish_finds_where():
    expected = outcomes(None, "session.units=16", seconds=30)
    slow, fast = expected.at(1e-7), expected.at(1e-3)
    assert slow.velocity_error_m_s < fast.velocity_error_m_s
    assert 0.01 < slow.velocity_error_m_s < 0.2
    assert slow.hits_per_minute > 10
    wanted = 0.5 * (slow.velocity_error_m_s + fast.velocity_error_m_s)
    rate = expected.fastest(wanted, "velocity_error_m_s")
    assert 1e-7 < rate < 1e-3
    assert expected.at(rate).velocity_error_m_s == pytest.approx(wanted, rel=0.03)
    with pytest.raises(BadInput, match=r"no learning rate gives a decoded velocity error of 0.1 cm/s"):
        expected.fastest(0.001, "velocity_error_m_s")


def test_command_line(tmp_path):
    from bmi_runtime.cli.calibrate import calibrate

    _, pilot, _, _ = session(None, 1e-7, 4, 30, "session.units=12")
    np.savez(tmp_path / "p.npz", counts=pilot.counts, bin_s=0.005, velocity=pilot.states / 10)

    def run(*arguments):
        return CliRunner().invoke(
            calibrate, [*map(str, arguments), "--json"], catch_exceptions=False, standalone_mode=False
        )

    answer = json.loads(run("--from", tmp_path / "p.npz", "--min-hits-per-minute", 5).stdout.splitlines()[-1])
    assert answer["expected"]["hits_per_minute"] >= 5
    assert answer["wish"] == "at least 5 hits per minute"
    with pytest.raises(BadInput, match="needs a pilot"):
        run(tmp_path / "p.npz", "--likelihood", "poisson", "--max-velocity-error", 3)
    with pytest.raises(BadInput, match="not both at once"):
        run("--from", tmp_path / "p.npz", "--max-velocity-error", 3, "--max-error", 0.01)
