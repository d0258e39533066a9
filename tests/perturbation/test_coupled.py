"""Couplings of a fit against stimulation: predicted, planned, judged, with networks whose couplings are known."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.files import save_fit
from bmi_runtime.analysis.glm.simulation import simulate
from bmi_runtime.analysis.perturbation import coupled_world, designing, judging, predicted
from bmi_runtime.analysis.perturbation.schedule import StimulationDesign
from bmi_runtime.cli.perturb import perturb
from bmi_runtime.errors import BadInput

LAGS, UNITS = 10, 14


def fitted(counts, bin_s, path):
    model = PoissonGLM(LAGS, "raised-cosine:5", standard_errors="sampled").fit(counts, bin_s=bin_s)
    save_fit(path, model)
    return predicted.read_coupled_fit(path)


@pytest.fixture(scope="module")
def world():
    return coupled_world.coupled_world(UNITS, 5, np.random.default_rng([3, 0]))


@pytest.fixture(scope="module")
def fit_path(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("coupled") / "fit.npz"
    fitted(world.run(1200, np.random.default_rng(1)), world.bin_s, path)
    return path


@pytest.fixture(scope="module")
def fit(fit_path):
    return predicted.read_coupled_fit(fit_path)


def chain(lag=4):
    """Return a fit of three units with known couplings 0 -> 1 -> 2 and 0 -> 2, and the counts' rates."""
    coupling = np.zeros((3, 3, LAGS))
    coupling[1, 0, 0], coupling[2, 1, 1], coupling[2, 0, lag] = 1.2, 0.9, 0.5
    coupling[[1, 2], [1, 2], :2] = -1.0
    rates = simulate(np.log([0.05, 0.06, 0.05]), coupling, 200_000, np.random.default_rng(0)).mean(axis=0)
    present = np.abs(coupling).max(axis=2) > 0
    return predicted.CoupledFit(coupling, np.full_like(coupling, 0.05), present, rates, 0.005, ["a", "b", "c"])


def test_the_predicted_response_is_that_of_the_simulated_network():
    """Held against the difference of two long simulations, with and without a spike added every 40 bins."""
    fit = chain()
    bins, every = 400_000, 40
    added = np.zeros((bins, 3), np.int64)
    added[::every, 0] = 1
    intercept = np.log([0.05, 0.06, 0.05])
    counts = simulate(intercept, fit.coupling, bins, np.random.default_rng(2), added=added)
    shape = counts.reshape(-1, every, 3)
    measured = shape[:, 1 : 1 + LAGS].mean(axis=0) - shape[:, 25:].mean(axis=(0, 1))
    error = np.sqrt(0.06 / len(shape))
    standing = fit.present
    for target in (1, 2):
        through = predicted._response(fit, standing, target, 0, 1, True)
        assert np.abs(through - measured[:, target]).max() < 4.5 * error


def test_what_others_pass_on_is_not_taken_for_the_coupling():
    made = predicted.predict(chain(2), 1)  # at the lag of 0 -> 1 -> 2
    pairs = list(zip(made.sources.tolist(), made.targets.tolist()))
    one, two = pairs.index((0, 2)), pairs.index((1, 2))
    assert made.passed_on[one] > 0.1
    assert abs(made.passed_on[two]) < 1e-12
    assert made.direct_spikes[one] > 0


def test_a_weighted_count_moves_by_one_through_the_coupling(fit):
    made = predicted.predict(fit, 1)
    for k in (0, len(made.targets) // 2):
        i, j = made.targets[k], made.sources[k]
        full = predicted._response(fit, fit.present, i, j, 1, True) - predicted._response(
            fit, fit.present, i, j, 1, False
        )
        assert made.filters[k] @ full == pytest.approx(1.0)


def test_the_fit_of_a_partly_recorded_network_finds_couplings_that_are_not_there(fit, world):
    targets, sources = fit.candidates()
    real = np.abs(world.coupling[targets, sources]).max(axis=1) > 0
    assert (~real).sum() > 15 and real.sum() > 15


def stimulated(fit, world, plan, minutes, seed):
    """Return a judgement of the plan as it was run, and the true couplings."""
    schedule = plan.design.draw()
    counts = world.run(60 * minutes + 5, np.random.default_rng(seed), schedule)
    order = np.argsort(schedule.units)
    bins = np.floor(schedule.onsets_s / world.bin_s + 1e-9).astype(int)
    data = judging.StimulatedCounts(
        counts, bins, schedule.units[order], schedule.assignments[:, order], schedule.pulses, world.bin_s
    )
    return judging.judge(fit, data), np.abs(world.coupling[: fit.units, : fit.units]).max(axis=2) > 0


def test_little_stimulation_refutes_hardly_any_coupling_that_is_there(tmp_path):
    """Below the fit and nearer to nothing than to it, one in five of those refuted here would be there."""
    refuted = {"real": 0, "spurious": 0}
    for number, units, hidden in ((12, 8, 3), (31, 10, 4)):
        small = coupled_world.coupled_world(units, hidden, np.random.default_rng([number, 0]))
        fit = fitted(small.run(400, np.random.default_rng([number, 1])), small.bin_s, tmp_path / f"{number}.npz")
        plan = designing.design(fit, designing.Wish(minutes=6))
        for seed in range(4):
            found, truth = stimulated(fit, small, plan, 6, [number, 2, seed])
            known = found.against(judging.Truth(truth, np.zeros_like(truth)))
            refuted = {kind: count + known[f"refuted_{kind}"] for kind, count in refuted.items()}
    assert refuted["spurious"] >= 10 and refuted["real"] <= 0.1 * sum(refuted.values()), refuted


def test_stimulation_tells_real_couplings_from_spurious_ones(fit, world):
    plan = designing.design(fit, designing.Wish(minutes=30))
    found, truth = stimulated(fit, world, plan, 30, 7)
    known = found.against(judging.Truth(truth, np.zeros_like(truth)))
    assert known["fitted_spurious"] > 15
    assert known["survivors_real"] > 0.75 * known["fitted_real"]
    assert known["survivors_spurious"] <= 2  # false-discovery rate 5 % of about 20
    assert known["refuted_spurious"] > 0.5 * known["fitted_spurious"]
    assert known["refuted_real"] == 0
    spurious = ~truth[found.targets, found.sources] & np.isfinite(found.direct)
    assert np.abs((found.direct / found.error)[spurious]).mean() < 1.4  # the errors are right: 0.8 is expected
    planned = plan.power[truth[found.targets, found.sources]]
    assert abs(planned.sum() - known["survivors_real"]) < 6  # the plan comes true


def test_paths_through_hidden_units_are_counted_apart():
    weights = np.zeros((5, 5))
    weights[1, 0], weights[4, 0], weights[3, 4], weights[2, 3] = 1.0, 1.0, 1.0, -1.0  # 0 -> 1; 0 -> hidden 4, 3 -> 2
    truth = judging.truth_of(weights, 3)
    assert truth.direct.sum() == 1 and truth.direct[1, 0]
    assert truth.through_hidden.sum() == 1 and truth.through_hidden[2, 0]


def test_a_session_without_stimulated_spikes_is_a_weak_instrument(fit, world):
    """The schedule was asked for, and nothing arrived."""
    schedule = designing.design(fit, designing.Wish(minutes=5)).design.draw()
    counts = world.run(305, np.random.default_rng(8))
    bins = np.floor(schedule.onsets_s / world.bin_s + 1e-9).astype(int)
    data = judging.StimulatedCounts(counts, bins, schedule.units, schedule.assignments, 1, world.bin_s)
    found = judging.judge(fit, data)
    assert found.counted()[judging.SURVIVES] == found.counted()[judging.REFUTED] == 0
    assert found.counted()[judging.WEAK] > 20


def test_time_goes_where_it_finds_most(fit):
    wish = designing.Wish(minutes=4)
    plan = designing.design(fit, wish)
    assert plan.power.sum() > designing.dealt_evenly(plan, wish).sum()
    schedule = plan.design.draw()
    taking_part = (schedule.assignments >= 0).sum(axis=0)
    assert taking_part.tolist() == list(plan.design.participation)
    assert (schedule.assignments >= 0).sum(axis=1).max() <= wish.at_once
    assert np.diff(schedule.onsets_s).min() > fit.lags * fit.bin_s


@pytest.mark.parametrize("seed", range(20))
def test_any_shares_are_drawn_to_the_trial(seed):
    rng = np.random.default_rng(seed)
    units, trials = int(rng.integers(1, 9)), int(rng.integers(20, 200))
    per_trial = int(rng.integers(1, units + 1))
    shares = rng.integers(4, trials + 1, units)
    while shares.sum() > trials * per_trial or shares.max() > trials:
        shares = np.maximum(4, shares * 9 // 10)
        if shares.sum() == 4 * units:
            break
    design = StimulationDesign(
        tuple(range(units)), trials, per_trial, seed=seed, participation=tuple(int(share) for share in shares)
    )
    drawn = design.draw()
    assert (drawn.assignments >= 0).sum(axis=0).tolist() == shares.tolist()
    assert (drawn.assignments >= 0).sum(axis=1).max() <= per_trial


def test_dealing_uses_no_more_than_there_is():
    shares = designing.dealt({0: np.array([10.0, 500.0]), 1: np.array([40.0]), 2: np.array([9000.0])}, 100, 2)
    assert shares.keys() == {0, 1} and max(shares.values()) <= 100 and sum(shares.values()) <= 200
    assert shares[0] >= 10 and shares[1] >= 40


def test_the_commands_plan_and_judge(fit_path, tmp_path):
    run = CliRunner().invoke
    out = str(tmp_path / "plan.npz")
    planned = run(perturb, ["plan", str(fit_path), "--minutes", "5", "--out", out, "--json"])
    assert planned.exit_code == 0, planned.output
    answer = json.loads(planned.output.splitlines()[-1])
    assert answer["trials"] == 3000 and sum(answer["participation"]) <= 12000
    text = run(perturb, ["plan", str(fit_path), "--minutes", "5"])
    assert "bmi run --set 'stimulation.enabled=true'" in text.output
    data = str(tmp_path / "stim.npz")
    common = ["spikes", "--out", data, "--seed", "3", "--run", "2", "--seconds", "305", "--schedule", out]
    assert run(perturb, common).exit_code == 0
    judged = run(perturb, ["judge", str(fit_path), data, "--schedule", out, "--truth", data, "--json"])
    assert judged.exit_code == 0, judged.output
    verdicts = json.loads(judged.output.splitlines()[-1])
    assert sum(verdicts["counts"].values()) == len(verdicts["couplings"])
    assert verdicts["against_truth"]["survivors_real"] > 3


def test_bad_input_is_said_in_a_sentence(fit_path, fit, world, tmp_path):
    run = CliRunner().invoke
    for arguments, words in (
        (["plan", str(fit_path), "--minutes", "0.01"], "do not suffice"),
        (["plan", str(fit_path), "--interval-s", "0.02"], "must not overlap"),
        (["plan", str(fit_path), "--power", "2"], "between 0 and 1"),
        (["plan", str(tmp_path / "none.npz")], "no file"),
        (["judge", str(fit_path), str(tmp_path / "none.npz")], "no file"),
    ):
        done = run(perturb, arguments)
        assert isinstance(done.exception, BadInput) and words in str(done.exception), done.output
    counts = np.zeros((1000, 3), int)
    data = judging.StimulatedCounts(counts, np.arange(100), np.array([0]), np.ones((100, 1)), 1, 0.005)
    with pytest.raises(BadInput, match="14 units"):
        judging.judge(fit, data)
