"""Pilots that are odd in one way: the way is named, and what can be said is said."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter

from bmi_runtime.calibration.decodable import directions
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.outcomes import Outcomes
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.calibration.pilot_remarks import remarks
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.cli.calibrate import calibrate
from bmi_runtime.config import load
from bmi_runtime.errors import BadInput

BIN_S, BINS, UNITS = 0.05, 4000, 8


def drawn(seed=1):
    """Return velocity (m/s), counts, and log rates of units tuned all around."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / 12)
    state = lfilter([1.0], [1.0, -keep], rng.standard_normal((BINS, 2)) * np.sqrt(1 - keep**2), axis=0)
    angle = np.linspace(0, 2 * np.pi, UNITS, endpoint=False)
    log_rate = np.log(15 * BIN_S) + 0.35 * state @ np.array([np.cos(angle), np.sin(angle)])
    return state / 10, rng.poisson(np.exp(log_rate)), log_rate


def told(path, counts, velocity):
    np.savez(path / "p.npz", counts=counts, bin_s=BIN_S, velocity=velocity)
    return remarks(fit_usable(load_pilot(path / "p.npz")))


def test_of_an_ordinary_pilot_nothing_is_told(tmp_path):
    velocity, counts, _ = drawn()
    assert told(tmp_path, counts, velocity) == []
    assert told(tmp_path, 0.1 * np.random.default_rng(2).standard_normal(counts.shape) + drawn()[2], velocity) == []


def test_a_pilot_shorter_than_the_memory_says_how_well_errors_are_known_and_what_is_enough(tmp_path):
    velocity, counts, _ = drawn()
    path = tmp_path / "p.npz"
    np.savez(path, counts=counts, bin_s=BIN_S, velocity=velocity)
    options = ["--from", str(path), "--likelihood", "poisson"]
    said = CliRunner().invoke(calibrate, [*options, "--learning-rate", "1e-7"]).output
    line = next(line for line in said.splitlines() if "memories long" in line)
    memories, factor = float(line.split()[2]), float(line.split("a factor of ")[1].split()[0])
    assert factor > 1.2
    minutes = float(line.split("median unit); ")[1].split(" min")[0])
    assert minutes == pytest.approx(200.0 / 60.0 * 3.0 / memories, rel=0.02)
    assert "memories long" not in CliRunner().invoke(calibrate, [*options, "--learning-rate", "1e-3"]).output


def slow_cm(velocity, counts):
    return 10 * velocity, counts


def one_direction(velocity, counts):
    counts[:, 4] *= velocity[:, 0] > 0.02
    return velocity, counts


def speeds(velocity, counts):
    return np.abs(velocity), counts


def artefact(velocity, counts):
    counts[1000:1010, 6] = 500
    return velocity, counts


def lost_signal(velocity, counts):
    counts[1000:2000] = 0
    return velocity, counts


def lost_unit(velocity, counts):
    counts[3000:, 2] = 0
    return velocity, counts


def changed(velocity, counts):
    counts[2000:, 1] *= 3
    return velocity, counts


def out_of_step(velocity, counts):
    return velocity, np.roll(counts, 200, axis=0)


def twice(velocity, counts):
    counts[:, 7] = counts[:, 6]
    return velocity, counts


def gaps(velocity, counts):
    velocity[500:1000] = np.nan
    return velocity, counts


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (slow_cm, "--velocity-scale 0.1"),
        (one_direction, "hardly fire in movements one way (4)"),
        (speeds, "along axis 0 is positive nearly throughout"),
        (artefact, "unit 6: 10 bins far from all others"),
        (lost_signal, "no unit fired from 50 to 100 s"),
        (lost_unit, "1 unit fell silent for long though they fired before (2)"),
        (changed, "1 of 8 units changed between the halves of the pilot (1)"),
        (out_of_step, "recorded in step?"),
        (twice, "units 6 and 7 are the same in every bin"),
        (gaps, "500 of 4000 bins say nothing of the movement"),
    ],
)
def test_what_is_odd_about_a_pilot_is_named(tmp_path, spoil, said):
    velocity, counts = spoil(*drawn()[:2])
    found = told(tmp_path, counts, velocity)
    assert any(said in remark for remark in found), found


def test_an_axis_that_is_hardly_moved_along_is_refused_by_name(tmp_path):
    velocity, counts, _ = drawn()
    velocity[:, 1] *= 1e-3
    with pytest.raises(BadInput, match="hardly moves along axis 1"):
        told(tmp_path, counts, velocity)


def tuned(angles, rates_hz, depths, bin_s=BIN_S, seed=1, bins=BINS):
    """Return a pilot of units with these preferred directions, states in dm/s."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-bin_s / 0.6)
    state = lfilter([1.0], [1.0, -keep], rng.standard_normal((bins, 2)) * np.sqrt(1 - keep**2), axis=0)
    gains = np.array(depths)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    return Pilot(rng.poisson(np.array(rates_hz) * bin_s * np.exp(state @ gains.T)), state, bin_s, "poisson")


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("angles", [[0.3], [0.3] * 6, [0.3] * 3 + [0.3 + np.pi] * 3])
def test_a_direction_that_no_unit_tells_is_named_and_nothing_is_promised_of_steering(tmp_path, angles, likelihood):
    pilot = tuned(angles, [20.0] * len(angles), [0.5] * len(angles))
    if likelihood == "gaussian":
        pilot = replace(pilot, counts=np.sqrt(pilot.counts), likelihood="gaussian")
    told_of = directions(fit_usable(pilot))
    assert [told.decodable for told in told_of] == [True, False]
    assert abs(told_of[1].direction @ [np.sin(0.3), -np.cos(0.3)]) > 0.98
    np.savez(tmp_path / "p.npz", counts=pilot.counts, bin_s=BIN_S, velocity=pilot.states / 10)
    done = CliRunner().invoke(calibrate, ["--from", str(tmp_path / "p.npz"), "--learning-rate", "1e-5", "--json"])
    answer = json.loads(done.stdout.splitlines()[-1])
    assert "expected" not in answer and "dials" not in answer
    assert any("nothing of velocities along" in remark for remark in answer["pilot"]["remarks"])
    refused = CliRunner().invoke(calibrate, ["--from", str(tmp_path / "p.npz"), "--max-velocity-error", "5"])
    assert refused.exit_code == 2 or isinstance(refused.exception, BadInput)


@pytest.mark.parametrize("angles", [[0.3, 2.0], [0.0, 2.0, 4.0]])
def test_few_units_that_tell_both_axes_are_decoded(angles):
    fit = fit_usable(tuned(angles, [20.0] * len(angles), [0.5] * len(angles)))
    assert all(told.decodable for told in directions(fit))
    assert remarks(fit) == []


@pytest.mark.parametrize(("depth", "rate"), [(1.0, 1e-6), (1.0, 1e-4), (0.0, 1e-6), (0.0, 1e-4)])
def test_a_unit_of_300_hz_beside_two_slow_ones_does_not_drive_the_cursor_away(depth, rate):
    """Fitted to what chance leaves along the weak direction, the prediction fell and the simulated decoder ran off."""
    pilot = tuned([0.0, 2.0, 4.0], [300.0, 10.0, 10.0], [depth, 0.35, 0.35], 0.005, 2, 24_000)
    outcomes = Outcomes(MeasuredScores(fit_usable(pilot)), load())
    pace = outcomes.at(rate)
    assert 0.02 < pace.velocity_error_m_s < 1.0
    slope, growing, rest, more = outcomes.reader.at(rate).maps[2:, :, :-1]
    for at in (0.0, outcomes.reader.at(rate).largest):
        assert np.linalg.eigvalsh(rest + at * more).min() > 0
        assert np.linalg.eigvals(slope + at * growing).real.min() > 0


def test_units_that_fire_by_their_own_past_are_told(tmp_path):
    velocity, counts, log_rate = drawn()
    assert not any("last 0.2 s" in remark for remark in told(tmp_path, counts, velocity))
    rng, past, bursting = np.random.default_rng(2), np.zeros(UNITS), np.empty_like(counts)
    for row, drive in zip(bursting, log_rate, strict=True):
        row[:] = rng.poisson(np.exp(np.minimum(drive + 0.2 * past - 0.3, 3.0)))
        past = np.exp(-BIN_S / 0.2) * (past + np.minimum(row, 3))
    said = [remark for remark in told(tmp_path, bursting, velocity) if "last 0.2 s" in remark]
    assert said and said[0].startswith(f"{UNITS} of {UNITS} units") and "'history'" in said[0]
