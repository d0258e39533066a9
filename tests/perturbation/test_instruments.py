"""Targets drawn by lot as instruments: right where they are valid, refuted where they are not, weak where they are."""

import json

import numpy as np
from click.testing import CliRunner
from scipy import optimize

from bmi_runtime.analysis.perturbation import instruments
from bmi_runtime.cli.perturb import perturb
from bmi_runtime.errors import BadInput


def trials(rng, effect=0.4, own_tuning=0.0, tuning=2.0, count=400):
    """Return trials of two units: unit 0 is tuned, unit 1 follows it and a hidden input that both receive."""
    target = rng.integers(0, 8, count)
    angle = target * np.pi / 4
    hidden = rng.normal(size=count)
    source = rng.poisson(np.exp(1.0 + 0.3 * hidden) + tuning * (1 + np.cos(angle)))
    late = effect * source + 2.0 * hidden + own_tuning * np.sin(angle) + rng.normal(size=count)
    early = np.column_stack([source, rng.poisson(3.0, count)])
    return instruments.Trials(target, early, np.column_stack([rng.poisson(2.0, count), late]))


def test_a_valid_instrument_covers_the_true_effect_and_a_slope_does_not():
    rng = np.random.default_rng(0)
    covered, slopes, agreed = 0, [], 0
    for _ in range(200):
        drawn = trials(rng)
        found = instruments.of_targets(drawn)
        covered += found.low[0, 1] <= 0.4 <= found.high[0, 1]
        agreed += found.p_other_ways[0, 1] > 0.05
        slopes.append(np.polyfit(drawn.early[:, 0], drawn.late[:, 1], 1)[0])
    assert 180 <= covered <= 200  # 95 % of 200, four standard errors
    assert 178 <= agreed <= 200
    assert np.mean(slopes) > 0.5  # biased by the hidden input


def test_the_effect_is_where_the_targets_agree_best_and_not_the_nearest_of_a_grid():
    rng = np.random.default_rng(7)
    for _ in range(10):
        drawn = trials(rng)
        indicator = (drawn.instrument[:, None] == np.arange(1, 8)).astype(float)
        z = indicator - indicator.mean(axis=0)
        x, y = (values - values.mean() for values in (drawn.early[:, 0], drawn.late[:, 1]))

        def disagreement(b, z=z, x=x, y=y):
            left = y - b * x
            moment = z.T @ left
            return moment @ np.linalg.solve((z * left[:, None] ** 2).T @ z, moment)

        found = instruments.of_targets(drawn)
        near = found.effect[0, 1] + 0.5 * found.error[0, 1] * np.array([-1.0, 1.0])
        lowest = optimize.minimize_scalar(disagreement, bounds=near, options={"xatol": 1e-7}).x
        assert abs(found.effect[0, 1] - lowest) < 0.02 * found.error[0, 1]  # a step of the grid is ten times as wide


def test_few_trials_of_few_spikes_are_covered_too():
    """About twelve trials a target, counts of a few spikes, some targets at which a unit is silent by chance."""
    rng, covered, outside = np.random.default_rng(4), 0, 0
    for _ in range(150):
        target = np.concatenate([np.repeat(np.arange(8), 5), rng.integers(0, 8, 56)])
        hidden = rng.normal(size=len(target))
        source = rng.poisson(0.5 * np.exp(0.3 * hidden) * (2 + np.cos(target * np.pi / 4)))
        late = rng.poisson(0.5 * np.exp(0.4 * hidden) + 0.3 * source)
        found = instruments.of_targets(instruments.Trials(target, source[:, None], np.column_stack([hidden, late])))
        covered += found.low[0, 1] <= 0.3 <= found.high[0, 1]
        outside += not (found.low[0, 1] <= found.effect[0, 1] <= found.high[0, 1])
    assert covered >= 134  # 95 % of 150, three standard errors
    assert outside <= 2  # only where all effects are refuted


def test_a_target_that_is_tuned_itself_is_refuted():
    rng = np.random.default_rng(1)
    refuted = sum(instruments.of_targets(trials(rng, own_tuning=1.5)).p_other_ways[0, 1] < 0.05 for _ in range(50))
    assert refuted > 45


def test_an_untuned_source_is_weak_and_its_interval_says_so():
    rng = np.random.default_rng(2)
    found = [instruments.of_targets(trials(rng, tuning=0.0)) for _ in range(60)]
    assert all(one.weak.all() for one in found)
    covered = sum(not (one.low[0, 1] > 0.4 or one.high[0, 1] < 0.4) for one in found)
    assert covered >= 52  # honest where the instrument is weak: empty intervals count as covered by no statement
    assert sum(np.isinf(one.low[0, 1]) or np.isinf(one.high[0, 1]) for one in found) > 20


def test_the_command_reads_trials_and_refuses_what_it_cannot_use(tmp_path):
    rng = np.random.default_rng(3)
    starts = np.arange(10, 40_000, 100)
    target = rng.integers(0, 8, len(starts))
    counts = rng.poisson(0.1, (40_050, 3))
    for start, which in zip(starts, target):
        counts[start + 10 : start + 30, 0] += rng.poisson(0.4 * (1 + np.cos(which * np.pi / 4)), 20)
        counts[start + 30 : start + 50, 1] += rng.poisson(0.02 * counts[start + 10 : start + 30, 0].sum(), 20)
    path = tmp_path / "trials.npz"
    np.savez(path, counts=counts, bin_s=0.01, trial_start=starts, target=target)
    done = CliRunner().invoke(perturb, ["instrument", str(path), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output.splitlines()[-1])
    assert answer["trials"] == len(starts) and answer["weak_instruments"] == [1, 2]
    assert answer["low"][0][1] < 0.4 < answer["high"][0][1]  # 20 bins x 0.02 spikes per spike
    assert [(row["source"], row["target"]) for row in answer["not_refuted"]] == [(0, 1)]
    text = CliRunner().invoke(perturb, ["instrument", str(path)]).output
    assert "weak instruments" in text and "not proved" in text
    for options, words in ((["--early", "0.3:0.2"], "follow each other"), (["--late", "x"], "START:STOP")):
        refused = CliRunner().invoke(perturb, ["instrument", str(path), *options]).exception
        assert isinstance(refused, BadInput) and words in str(refused)
    np.savez(path, counts=counts, bin_s=0.01, trial_start=starts, target=target % 2)
    assert "at least 3" in str(CliRunner().invoke(perturb, ["instrument", str(path)]).exception)


def test_where_targets_agree_on_no_effect_none_is_named():
    b = np.linspace(-1.0, 1.0, 21)
    assert np.isnan(instruments._lowest(b, (b - 3.0) ** 2, 20))
    near = (b - 0.317) ** 2
    np.testing.assert_allclose(instruments._lowest(b, near, int(near.argmin())), 0.317)
