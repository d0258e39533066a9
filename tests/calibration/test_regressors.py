"""Units that depend on more than the velocity: the calibration follows the regressors of the session's model."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.calibration.along_pilot import adapted
from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_convergence_bins, exact_steady_state
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.calibration.pilot_states import past_counts
from bmi_runtime.cli.calibrate import calibrate
from bmi_runtime.cli.run import run
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

RICH = (
    'encoding.regressors=["velocity","position","speed","history"]', "population.position_depth=[0.3,0.9]",
    "population.speed_depth=[0.2,0.6]", "population.history_gain=[-0.4,0.0]", "encoding.initial=truth",
)  # fmt: skip
MIXED = ("session.features=12", 'encoding.regressors=["velocity","speed"]', "encoding.initial=truth")
UNITS, SECONDS = 12, 40


def recorded(path, *overrides, seconds=SECONDS):
    """Record a simulated session through the command line."""
    settings = [part for text in ("session.units=12", *overrides) for part in ("--set", text)]
    command = ["--headless", "--speed", "max", "--duration", str(seconds), "--seed", "4", "--record", str(path)]
    done = CliRunner().invoke(run, [*command, *settings])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("rich") / "rich.mcap", *RICH)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("mixed") / "mixed.mcap", *MIXED)


def stepped(*overrides):
    """Run the same session here; yield it after every bin."""
    config = configuration.load(None, ["session.units=12", "session.seed=4", *overrides])
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), Bin(*config.layout)
    for _ in range(round(SECONDS / config.bin_s)):
        source.next_bin(given, session.cursor, session.task.target)
        session.step(given.bytes)
        session.events.clear()
        yield session


def test_a_pilot_has_the_regressors_that_the_session_learned_with(rich):
    pilot = load_pilot(rich)
    taught = []
    for session in stepped(*RICH):
        regressors = session.learning.adapter.regressors_of_units.copy()
        regressors[pilot.regressors.shape[1] :] = session.learning.history.traces  # those of the bin after
        taught.append(regressors)
    taught = np.array(taught)
    common = pilot.regressors.shape[1]
    assert tuple(pilot.kinds.places) == ("velocity", "position", "speed", "history")
    assert pilot.usable.all()
    np.testing.assert_allclose(pilot.regressors, taught[:, :common, 0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(pilot.own[1:], taught[:-1, common:], rtol=1e-12, atol=1e-12)


def test_features_are_taught_with_the_mean_of_their_bins(mixed):
    pilot, taught, values = load_pilot(mixed, features=True), [], []
    for session in stepped(*MIXED):
        if session.learning.features.came:
            taught.append(session.learning.features.adapter.regressors_of_units.copy())
            values.append(session.learning.features.values.copy())
    assert pilot.likelihood == "gaussian"
    assert pilot.bin_s == 0.05
    assert tuple(pilot.kinds.places) == ("velocity", "speed")
    np.testing.assert_allclose(pilot.regressors, np.array(taught), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(pilot.counts, np.array(values))


def simulated(bins=8_000, seed=1):
    """Return a pilot of units that depend on a wandering state and on their own past, and their true weights."""
    rng = np.random.default_rng(seed)
    kinds = Regressors(2, ("velocity", "speed", "history"), (0.01, 0.06))
    noise = rng.standard_normal((bins, 2))
    states = np.zeros((bins, 3))
    for t in range(1, bins):
        states[t, :2] = 0.98 * states[t - 1, :2] + 0.2 * noise[t]
    states[:, 2] = np.linalg.norm(states[:, :2], axis=1)
    angle = np.linspace(0.0, 2.0 * np.pi, UNITS, endpoint=False)
    weights = np.column_stack(
        [np.full(UNITS, np.log(20.0)), 0.6 * np.cos(angle), 0.6 * np.sin(angle), np.full(UNITS, 0.3),
         np.full(UNITS, -0.8), np.full(UNITS, 0.1)]
    )  # fmt: skip
    counts, traces, keep = np.zeros((bins, UNITS)), np.zeros((2, UNITS)), np.exp(-0.005 / np.array(kinds.history_s))
    for t in range(bins):
        value = weights[:, 0] + states[t] @ weights[:, 1:4].T + (weights[:, 4:].T * traces).sum(axis=0)
        counts[t] = rng.poisson(0.005 * np.exp(value))
        traces = (traces + counts[t]) * keep[:, None]
    own = past_counts(counts, kinds.history_s, 0.005)
    return Pilot(counts, states, 0.005, "poisson", kinds=kinds, own=own), weights


def alone(pilot, unit):
    """Return a unit by itself, its past among the common regressors: what every formula was written for."""
    states = np.column_stack([pilot.states, pilot.own[:, :, unit]])
    return Pilot(pilot.counts[:, [unit]], states, pilot.bin_s, pilot.likelihood)


def test_units_with_a_past_are_calibrated_as_each_of_them_alone():
    """Fit, closed form, exact recursion, crossings and measured scores of all units against one unit at a time."""
    pilot, _ = simulated()
    fit = fit_pilot(pilot)
    scores, rate = MeasuredScores(fit), 1e-5
    state = steady_state(scores.info, rate)
    exact = exact_steady_state(fit.design, state)
    bins = np.full_like(state.gain, 2_000.0)
    crossings = exact_convergence_bins(fit.design, exact, state, bins, 0.3, None)
    for unit in (0, UNITS - 1):
        single = fit_pilot(alone(pilot, unit))
        np.testing.assert_allclose(fit.design.weights[unit], single.design.weights[0], rtol=1e-8, atol=1e-9)
        mine = MeasuredScores(single)
        np.testing.assert_allclose(scores.info.mean[unit], mine.info.mean[0], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(scores.info.score[unit], mine.info.score[0], rtol=1e-9, atol=1e-14)
        own_state = steady_state(mine.info, rate)
        own_exact = exact_steady_state(single.design, own_state)
        np.testing.assert_allclose(exact.error_covariance[unit], own_exact.error_covariance[0], rtol=1e-6, atol=1e-12)
        alike = exact_convergence_bins(single.design, own_exact, own_state, bins[:1], 0.3, None)
        np.testing.assert_allclose(crossings[unit], alike[0], rtol=1e-6)
        gain = np.tile(np.linspace(0.05, 0.3, state.gain.shape[1]), (UNITS, 1))  # bins one by one in both
        sign = np.sign((scores.info.directions[unit] * mine.info.directions[0]).sum(axis=0))  # of a mode: arbitrary
        lagged = mine._lagged(gain[:1])[0] * sign[:, None] * sign
        np.testing.assert_allclose(scores._lagged(gain)[unit], lagged, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(scores.averaging_ratio(state)[unit], mine.averaging_ratio(own_state)[0], rtol=1e-6)
        np.testing.assert_allclose(scores.dispersion()[unit], mine.dispersion()[0], rtol=1e-8)
    low, high = fit.interval(lambda design, info: float(steady_state(info, rate).largest_error[0]), draws=30)
    assert low < state.largest_error[0] < high


def test_the_error_of_a_model_with_speed_and_past_is_as_predicted():
    """The live filter's scatter, started at the true weights; the closed form is wrong by a third and more here.

    Around their mean: what a unit's own past is taken to do has a bias as well (docs/calibration.md).
    """
    pilot, weights = simulated(30_000, 2)
    design = Design(pilot.states, weights, pilot.bin_s, "poisson", counts="poisson", own=pilot.own)
    rate = 1e-4
    state = steady_state(information(design), rate)
    exact = exact_steady_state(design, state)
    along = adapted(pilot, weights, exact.filter_covariance, rate)[3_000:]
    achieved = along.var(axis=0).T / np.diagonal(exact.error_covariance, axis1=1, axis2=2)
    assert achieved.mean() == pytest.approx(1.0, abs=0.15)


def answered(*arguments):
    done = CliRunner().invoke(calibrate, [*map(str, arguments), "--no-dials"])
    return done, json.loads(done.stdout.strip().splitlines()[-1]) if done.exit_code == 0 else None


def test_the_answer_is_of_all_regressors(rich):
    _, answer = answered("--from", rich, "--learning-rate", 1e-6, "--json")
    assert answer["pilot"]["regressors"] == ["velocity", "position", "speed", "history"]
    assert len(answer["units"][0]["error_covariance"]) == 1 + 2 + 2 + 1 + 2  # two histories by default
    assert 0.0 < answer["expected"]["velocity_error_m_s"] < 0.2
    assert answer["expected"]["success_rate"] > 0.8


def test_blocks_of_a_mixed_session_are_calibrated_apart(mixed, tmp_path):
    written = tmp_path / "new.toml"
    done, answer = answered("--from", mixed, "--features", "--max-error-sd", 0.1, "--write", written, "--json")
    assert (answer["likelihood"], answer["bin_s"], answer["pilot"]["units"]) == ("gaussian", 0.05, 12)
    assert "expected" not in answer
    config = configuration.load(str(written))
    assert config.adapter.feature_learning_rate == pytest.approx(answer["learning_rate"], rel=1e-9)
    assert config.adapter.learning_rate == configuration.load().adapter.learning_rate
    done, answer = answered("--from", mixed, "--json")
    assert (answer["likelihood"], answer["bin_s"]) == ("poisson", 0.005)
    done, _ = answered("--from", mixed, "--max-velocity-error", 3)
    assert "--max-velocity-error has no answer here: in a mixed session" in str(done.exception)


def test_features_are_asked_of_what_has_them(rich, tmp_path):
    assert "has no features beside its units" in str(answered("--from", rich, "--features")[0].exception)
    np.savez(tmp_path / "d.npz", states=np.zeros((3, 2)))
    assert "--features is of the recording of a mixed session" in str(
        answered(tmp_path / "d.npz", "--features")[0].exception
    )
