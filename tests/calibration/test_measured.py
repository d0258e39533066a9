"""The measured form: the steady error of units whose scores are overdispersed and correlated in time."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.solve import MEASURED, Wish, solve
from bmi_runtime.calibration.stretches import Stretch
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel

BIN_S = 0.05


def wandering(rng, bins, columns, memory_bins):
    """Return independent first-order processes of variance one, (bins, columns)."""
    keep = np.exp(-1 / memory_bins)
    noise = rng.standard_normal((bins, columns)) * np.sqrt(1 - keep**2)
    noise[0] /= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], noise, axis=0)


def correlated_pilot(seed, units, bins, likelihood="poisson", spread=0.4, memory_bins=8):
    """Return a pilot whose units have a common tuning and gain fluctuations of their own, and the true weights.

    The mean stays that of the model: the log rate is lowered by half of the fluctuation's variance.
    """
    rng = np.random.default_rng(seed)
    states = wandering(rng, bins, 2, 12)
    angle = np.linspace(0, 2 * np.pi, units, endpoint=False)
    weights = np.column_stack([np.full(units, np.log(15.0)), 0.35 * np.cos(angle), 0.35 * np.sin(angle)])
    shared = wandering(rng, bins, units, memory_bins)
    if likelihood == "poisson":
        log_rate = np.column_stack([np.ones(bins), states]) @ weights.T + spread * shared - 0.5 * spread**2
        return Pilot(rng.poisson(np.exp(log_rate) * BIN_S), states, BIN_S, "poisson"), weights
    mean = np.column_stack([np.ones(bins), states]) @ weights.T
    noise = np.sqrt(0.5) * rng.standard_normal(mean.shape) + np.sqrt(0.5) * shared
    return Pilot(mean + noise, states, BIN_S, "gaussian"), weights


def scattered(pilot, weights, covariance, rate, burn):
    """Run the live filter along a pilot from the true weights; return the mean squared error, (units, regressors)."""
    noise = np.ones(len(weights)) if pilot.likelihood == "gaussian" else None
    model = EncodingModel(weights.T.copy(), pack(covariance), pilot.likelihood, pilot.bin_s, noise)
    adapter, valid = Adapter(model, rate), np.ones(len(weights))
    squares, count = np.zeros((3, len(weights))), 0
    for t, (counts, state) in enumerate(zip(pilot.counts, pilot.states, strict=True)):
        adapter.update(counts, valid, *(state / 10))
        if t >= burn:
            squares += (model.weights - weights.T) ** 2
            count += 1
    return (squares / count).T


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_measured_form_agrees_with_simulation(likelihood):
    """Units of known correlation: closed form off by tens of percent, measured form from another pilot within a few."""
    pilot, _ = correlated_pilot(1, 40, 24_000, likelihood)
    other, weights = correlated_pilot(2, 40, 24_000, likelihood)
    scores = MeasuredScores(fit_pilot(pilot))
    for rate in (1e-5, 1e-4):
        state = scores.at(rate)
        achieved = scattered(other, weights, state.filter_covariance, rate, int(5 / state.gain.min())).mean(axis=0)
        measured = np.diagonal(scores.error_covariance(state), axis1=1, axis2=2).mean(axis=0)
        closed = np.diagonal(state.error_covariance, axis1=1, axis2=2).mean(axis=0)
        ratio = achieved / measured
        assert abs(ratio[0] - 1) < 0.1
        assert abs(ratio[1:].mean() - 1) < 0.1  # of both gains: units share the movements, so chance is shared too
        assert np.all(achieved / closed > 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("rate", [1e-5, 1e-4, 1e-3])
def test_measured_form_within_five_percent(likelihood, rate):
    pilot, _ = correlated_pilot(3, 200, 100_000, likelihood)
    other, weights = correlated_pilot(4, 200, 100_000, likelihood)
    scores = MeasuredScores(fit_pilot(pilot))
    state = scores.at(rate)
    achieved = scattered(other, weights, state.filter_covariance, rate, int(5 / state.gain.min())).mean(axis=0)
    measured = np.diagonal(scores.error_covariance(state), axis1=1, axis2=2).mean(axis=0)
    ratio = achieved / measured
    assert ratio[0] == pytest.approx(1.0, abs=0.05)
    assert ratio[1:].mean() == pytest.approx(1.0, abs=0.05)


def test_white_scores_give_the_closed_form():
    pilot, _ = correlated_pilot(5, 20, 60_000, spread=0.0)
    scores = MeasuredScores(fit_pilot(pilot))
    state = scores.at(1e-5)
    ratio = np.diagonal(scores.error_covariance(state), axis1=1, axis2=2) / np.diagonal(
        state.error_covariance, axis1=1, axis2=2
    )
    assert ratio.mean() == pytest.approx(1.0, abs=0.07)
    assert np.all(np.abs(ratio - 1) < 0.3)
    assert not scores.drifting.any()
    assert np.allclose(scores.dispersion(), 1.0, atol=0.1)


@pytest.mark.parametrize(
    ("gain", "bins", "burn", "own"),
    [(0.02, 1000, 150, True), (0.002, 1000, 200, True), (5e-4, 500, 100, True), (0.002, 500, 100, False),
     (5e-4, 500, 0, False)],
)  # fmt: skip
def test_scatter_within_a_stretch_of_few_memories(gain, bins, burn, own):
    """Of a filter that is run along white scores, its own pilot's or others, from the pilot's best weights on."""
    rng, pilot_bins, runs = np.random.default_rng(3), bins if own else 1000, 3000
    scores = rng.standard_normal((runs, bins))
    error = rng.standard_normal(runs) / np.sqrt(pilot_bins)
    if own:
        scores, error = scores - scores.mean(axis=1, keepdims=True), np.zeros(runs)
    path = np.empty((bins, runs))
    for t in range(bins):
        error = error + gain * (scores[:, t] - error)
        path[t] = error
    share = path[burn:].var(axis=0).mean() / (gain / (2.0 - gain))
    assert Stretch(burn, bins - burn, own).share(np.array(gain), pilot_bins) == pytest.approx(share, rel=0.06)


def test_lagged_sums_are_those_of_the_formula():
    """The kernel's recursion against the sum over lags written out, for modes of different gains."""
    pilot, _ = correlated_pilot(6, 2, 600)
    scores = MeasuredScores(fit_pilot(pilot), session_s=0.0)
    gain = np.array([[0.05, 0.2, 0.4], [0.1, 0.3, 0.5]])
    found = scores._lagged(gain)
    from bmi_runtime.calibration.score_sums import BLOCK_GAIN

    assert BLOCK_GAIN / gain.max() < 1  # bins one by one
    for unit in range(2):
        s = (scores.pilot.regressors * scores.innovation[unit][:, None]) @ scores.info.directions[unit]
        expected = s.T @ s
        for lag in range(1, 600):
            g = s[lag:].T @ s[:-lag]
            expected += g * (1 - gain[unit]) ** lag + g.T * ((1 - gain[unit]) ** lag)[:, None]
        np.testing.assert_allclose(found[unit], expected / 600, rtol=1e-8, atol=1e-10)


def test_wish_is_solved_with_the_measured_error():
    pilot, _ = correlated_pilot(7, 12, 8_000)
    fit = fit_pilot(pilot)
    scores = MeasuredScores(fit)
    info = information(fit.design)
    answer, method = solve(fit.design, info, Wish(max_error=0.02), scores)
    assert method == MEASURED
    assert scores.largest_scatter(scores.at(answer.learning_rate)).max() == pytest.approx(0.02, rel=1e-4)
    assert steady_state(info, answer.learning_rate).largest_error.max() < 0.018
    assert answer.per_unit[answer.binding_unit] == answer.per_unit.min() == pytest.approx(answer.learning_rate)


def test_a_unit_that_changes_is_told_from_one_that_scatters():
    pilot, _ = correlated_pilot(8, 10, 12_000)
    counts = pilot.counts.copy()
    counts[6000:, 4] = counts[6000:, 4] * 3
    scores = MeasuredScores(fit_pilot(Pilot(counts, pilot.states, BIN_S, "poisson")))
    assert np.flatnonzero(scores.drifting).tolist() == [4]
    state = scores.at(1e-6)
    total = np.linalg.eigvalsh(scores.error_covariance(state))[:, -1]
    assert total[4] > 5 * scores.largest_scatter(state)[4]


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_a_unit_that_changes_keeps_the_scatter_that_it_would_have_standing_still(likelihood):
    """Its own, which is not that of the others: it fluctuates three times as strongly as they do."""
    pilot, _ = correlated_pilot(8, 10, 12_000, likelihood, 0.2)
    restless, _ = correlated_pilot(8, 10, 12_000, likelihood, 0.8)
    still = pilot.counts.copy()
    still[:, 4] = restless.counts[:, 4]
    if likelihood == "gaussian":
        still[:, 4] += 2.0 * wandering(np.random.default_rng(1), 12_000, 1, 8)[:, 0]
    changed = still.copy()
    changed[6000:, 4] = 3 * changed[6000:, 4] if likelihood == "poisson" else changed[6000:, 4] + 6.0
    alone, with_change = (
        MeasuredScores(fit_pilot(Pilot(counts, pilot.states, BIN_S, likelihood))) for counts in (still, changed)
    )
    assert with_change.drifting[4] and not alone.drifting.any()
    rate = 1e-5
    found = with_change.inflation(with_change.at(rate), scatter=True).shrunk[4]
    wanted = alone.inflation(alone.at(rate)).shrunk[4]
    if likelihood == "poisson":
        others = np.delete(alone.inflation(alone.at(rate)).shrunk, 4, axis=0).mean()
        assert found.mean() > 0.5 * (others + wanted.mean())
    else:  # the change is in the noise variance, which the inflation is relative to
        relative = np.log(with_change.design.noise[4] / alone.design.noise[4])
        assert found.mean() + relative == pytest.approx(wanted.mean(), abs=0.4)


def test_intervals_are_those_of_other_minutes_of_the_same_session():
    """The measured inflation of one part of stationary units lies within the interval that another part gives."""
    whole, _ = correlated_pilot(11, 40, 32_000)
    parts = [
        MeasuredScores(fit_pilot(Pilot(whole.counts[rows], whole.states[rows], BIN_S, "poisson")))
        for rows in (slice(0, 4_000), slice(4_000, None))
    ]
    for rate in (1e-6, 1e-5, 1e-4):
        low, high = parts[0].interval(parts[0].at(rate))
        covariance = [np.trace(part.error_covariance(part.at(rate)), axis1=1, axis2=2) for part in parts]
        ratio = covariance[1] / covariance[0]
        assert np.mean((low < ratio) & (ratio < high)) > 0.85


def pilot_file(path, counts, velocity, bin_s=BIN_S):
    np.savez(path, counts=counts, bin_s=bin_s, velocity=velocity)
    return path


def run(*arguments):
    """Return the JSON answer of the command."""
    from bmi_runtime.cli.calibrate import calibrate

    done = CliRunner().invoke(
        calibrate, [*map(str, arguments), "--json"], catch_exceptions=False, standalone_mode=False
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_command_line_names_what_it_sets_aside(tmp_path):
    pilot, _ = correlated_pilot(9, 6, 4_000)
    counts = pilot.counts.copy()
    counts[:, 2] = 0
    counts[:, 5] = (pilot.states[:, 0] > 1.0) * (np.arange(4000) % 3 == 0) * (pilot.states[:, 0] > 1.5)
    answer = run("--from", pilot_file(tmp_path / "p.npz", counts, pilot.states / 10), "--learning-rate", 1e-5)
    assert "2" in answer["pilot"]["set_aside"]
    assert {unit["unit"] for unit in answer["units"]} >= {"0", "1", "3", "4"}
    unit = answer["units"][0]
    assert np.array(unit["error_covariance_measured"]).shape == (3, 3)
    assert len(unit["measured_over_closed_form"]) == 3
    assert all(low < 1 < high for low, high in zip(
        answer["pilot"]["error_factor_low"], answer["pilot"]["error_factor_high"], strict=True))  # fmt: skip


@pytest.mark.parametrize(("times", "scale"), [(100.0, "0.1 if it is in cm/s"), (1000.0, "0.01 if it is in mm/s")])
def test_velocities_in_another_unit_are_refused(tmp_path, times, scale):
    from bmi_runtime.errors import BadInput

    pilot, _ = correlated_pilot(10, 4, 2_000)
    path = pilot_file(tmp_path / "p.npz", pilot.counts, times * pilot.states / 10)
    with pytest.raises(BadInput, match=f"--velocity-scale .*{scale}"):
        run("--from", path, "--max-error", 0.01)
    answer = run("--from", path, "--max-error", 0.01, "--velocity-scale", 10 / times)
    assert 1e-8 < answer["learning_rate"] < 1e-2
