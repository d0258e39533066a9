"""What a comparison over days is made of, against brute force and known truths."""

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.compare import compare
from bmi_runtime.decoding import retrospective_targets as retrospective
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.subspace_stabiliser import Factors, SubspaceStabiliser
from bmi_runtime.errors import BadInput
from simulators.nights import Night
from simulators.population import Population


def test_the_chain_of_targets_agrees_with_every_path_written_out():
    rng, change = np.random.default_rng(0), 0.2
    emission = rng.normal(0.0, 1.0, (6, 3))
    paths = list(itertools.product(range(3), repeat=6))
    kept, left = 1.0 - change + change / 3, change / 3
    logs = []
    for path in paths:
        moves = sum(np.log(kept if a == b else left) for a, b in itertools.pairwise(path))
        logs.append(np.log(1 / 3) + moves + sum(emission[step, k] for step, k in enumerate(path)))
    chances = np.exp(np.array(logs) - max(logs))
    log_likelihood, posterior = retrospective._forward_backward(emission, change)
    assert log_likelihood == pytest.approx(max(logs) + np.log(chances.sum()))
    for step, k in itertools.product(range(6), range(3)):
        share = sum(c for c, path in zip(chances, paths, strict=True) if path[step] == k) / chances.sum()
        assert posterior[step, k] == pytest.approx(share)
    assert tuple(retrospective._likeliest_path(emission, change)) == paths[int(np.argmax(logs))]


def moved(rng, seconds=60.0, bin_s=0.02, noise=0.02):
    """Return a cursor that reaches from target to target, which one in every bin, and the candidates."""
    candidates = 0.1 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(8) * np.pi / 4])
    position, wanted, goal = np.zeros(2), [], 0
    rows = []
    for index in range(round(seconds / bin_s)):
        if index % 75 == 0:
            goal = int(rng.integers(8))
        velocity = 2.5 * (candidates[goal] - position) + noise * rng.standard_normal(2)
        position = position + bin_s * velocity
        rows.append([*position, *velocity])
        wanted.append(goal)
    kinematics, starts = np.array(rows), np.zeros(len(rows), bool)
    return kinematics, starts, np.array(wanted), candidates


def test_targets_are_found_afterwards_and_a_refit_to_them_finds_the_tuning():
    rng = np.random.default_rng(1)
    kinematics, starts, wanted, candidates = moved(rng, 120.0)
    weights = np.vstack([np.log(rng.uniform(8, 20, 20)), rng.normal(0.0, 0.7, (2, 20))])
    counts = rng.poisson(np.exp(weights[0] + 10 * kinematics[:, 2:] @ weights[1:]) * 0.02)
    training = Training(counts, kinematics, starts, starts, 0.02)
    labels = retrospective.infer_targets(training, candidates, 1.5)
    moving = np.linalg.norm(kinematics[:, 2:], axis=1) > 0.1
    assert (labels.target == wanted)[moving].mean() > 0.9
    found = retrospective.refitted(training, labels, candidates, "poisson", 1.0)
    assert np.abs(found.weights[1:] - weights[1:]).max() < 0.3
    assert (found.covariance[[0, 2, 5]] > 0).all()


def test_a_turned_subspace_is_turned_back_though_some_units_are_others():
    rng = np.random.default_rng(2)
    latents, units, axes = 4, 60, 2
    loadings, to_velocity = rng.normal(0, 1, (units, latents)), rng.normal(0, 1, (latents, axes))

    def day(loadings):
        states = np.zeros((6000, latents))
        for step in range(1, len(states)):
            states[step] = 0.97 * states[step - 1] + 0.24 * rng.standard_normal(latents)
        activity = 5.0 + states @ loadings.T + rng.standard_normal((len(states), units))
        velocity = 0.1 * states @ to_velocity
        kinematics = np.hstack([np.cumsum(velocity, axis=0) * 0.02, velocity])
        starts = np.zeros(len(states), bool)
        return Training(activity, kinematics, starts, starts, 0.02)

    first = day(loadings)
    decoder = SubspaceStabiliser.fit(first, latents)
    model = Factors.fit(first.counts, latents)
    implied = model.loadings @ model.loadings.T + np.diag(model.noise)
    assert np.abs(implied - np.cov(first.counts.T)).max() < 0.2, "the analysis explains the covariance"
    same = day(loadings)
    loadings[:28] = rng.normal(0, 1, (28, latents))
    later = day(loadings)

    def error(training):
        decoder.reset()
        decoded = np.array([decoder.predict(row)[axes:] for row in training.counts])
        return np.sqrt(np.mean((decoded - training.velocity)[500:] ** 2)) / training.velocity.std()

    unchanged, before = error(same), error(later)
    decoder.stabilise(later.counts)
    assert before > 1.3 * unchanged and error(later) < unchanged + 0.4 * (before - unchanged)


def test_a_night_changes_what_it_says_and_the_same_night_is_the_same():
    section = configuration.load("hard_world").population
    made = [Population(section, 400, "poisson", 0.005, np.random.default_rng(3)) for _ in range(2)]
    before, tuned = made[0].weights.copy(), made[0].tuned.copy()
    made[0].alive[:4] = 0.0
    others = Night(turn_rad=0.2, replaced=0.1, gain_sd=0.0, baseline_sd=0.0).pass_over(
        made[0], np.random.default_rng(4)
    )
    assert others[:4].all() and 20 < others.sum() < 70 and (made[0].alive == 1.0).all()
    same = ~others & tuned
    np.testing.assert_allclose(np.hypot(*made[0].weights[1:3, same]), np.hypot(*before[1:3, same]))
    angle = np.arctan2(*made[0].weights[2:0:-1, same]) - np.arctan2(*before[2:0:-1, same])
    assert np.std(np.angle(np.exp(1j * angle))) == pytest.approx(0.2, rel=0.2)
    np.testing.assert_array_equal(made[0].weights[0, ~others], before[0, ~others])
    assert np.hypot(*made[0].weights[1:3, made[0].tuned]).min() > 0.4
    for one in made[1:]:
        one.alive[:4] = 0.0
        Night(0.2, 0.1, 0.0, 0.0).pass_over(one, np.random.default_rng(4))
        np.testing.assert_array_equal(one.weights, made[0].weights)


def asked(*arguments):
    done = CliRunner().invoke(compare, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_day_without_a_target_goes_well_and_again_alike():
    few = ("--days", "1", "--seeds", "1", "--test", "60", "--calibration", "60", "--decoders")
    found = asked(*few, "inferred,pri-t,stabiliser")
    rows = {row["decoder"]: row for row in found["table"]}
    assert list(rows) == ["inferred", "pri-t", "stabiliser"] and rows["inferred"]["mean"]["success_rate"] > 0.9
    assert len(rows["pri-t"]["success_by_day"]) == 1 and len(rows["pri-t"]["difference"]["hits_per_min"]) == 3
    assert asked(*few, "inferred")["table"][0]["mean"] == rows["inferred"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--days", "0"), "needs a day"),
        (("--days", "2", "--decoders", "pri"), "did you mean 'pri-t'"),
        (("--days", "2", "--closed-loop"), "a comparison of its own"),
        (("--days", "2", "--test", "30"), "days of 60 s"),
        (("--days", "1", "--set", "source.kind=zeromq"), "is simulated"),
    ],
)
def test_a_comparison_over_days_that_cannot_be_is_refused_in_a_sentence(arguments, said):
    with pytest.raises(BadInput, match=said):
        CliRunner().invoke(compare, list(arguments), catch_exceptions=False)
