"""Learning from labels known by probability, and the goal inferred from the movement."""

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.run import run
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.inferred_target import FIRST_S, InferredTargetIntention
from bmi_runtime.kernels import targets
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

LABELS = [([0.04, -0.1], 0.25), ([0.12, 0.05], 0.75)]


def _dense(model, counts, rate, labels):
    """The textbook update: one quadratic step for each label's share of the log likelihood."""
    weights, spread = model.weights.T.copy(), model.dense_covariance().copy()
    spread += rate * np.eye(3)
    for velocity, share in labels:
        u = np.r_[1.0, DM_PER_M * np.array(velocity)]
        for unit in range(len(weights)):
            if model.likelihood == "poisson":
                expected = np.exp(weights[unit] @ u) * model.bin_s
                information, score = expected, counts[unit] - expected
            else:
                information = 1.0 / model.noise_variance[unit]
                score = (counts[unit] - weights[unit] @ u) * information
            spread[unit] = np.linalg.inv(np.linalg.inv(spread[unit]) + share * information * np.outer(u, u))
            weights[unit] = weights[unit] + spread[unit] @ u * share * score
    return weights, spread


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_expected_statistics_are_those_of_a_dense_filter(likelihood):
    rng = np.random.default_rng(3)
    model = EncodingModel.untrained(rng.uniform(5, 20, 7), likelihood, 0.02, 0.3, noise_variance=rng.uniform(0.5, 2, 7))
    model.weights[1:] = rng.normal(0, 0.5, (2, 7))
    adapter, noise = Adapter(model, 1e-4), model.noise_variance.copy()
    for _ in range(5):
        counts = rng.poisson(0.4, 7).astype(float) if likelihood == "poisson" else rng.normal(1, 1, 7)
        weights, spread = _dense(model, counts, 1e-4, LABELS)
        adapter.update_weighted(counts, np.ones(7), LABELS)
        np.testing.assert_allclose(model.weights.T, weights, rtol=1e-9)
        np.testing.assert_allclose(model.dense_covariance(), spread, rtol=1e-9, atol=1e-12)
    assert np.all(adapter.rate == 1e-4) and np.all(model.noise_variance == noise)


def test_one_certain_label_is_the_usual_update():
    both = [EncodingModel.untrained(np.full(4, 9.0), "poisson", 0.02, 0.3) for _ in range(2)]
    counts = np.array([0.0, 1.0, 2.0, 0.0])
    Adapter(both[0], 1e-5).update(counts, np.ones(4), 0.1, 0.0)
    Adapter(both[1], 1e-5).update_weighted(counts, np.ones(4), [([0.1, 0.0], 1.0)])
    assert both[0].weights.tobytes() == both[1].weights.tobytes()


def _steered(goals, bins_each=240, noise=0.03, seed=0, candidates="task", gain=1.0):
    """A cursor that goes from goal to goal; return the share of teaching bins that are right, and how many teach."""
    config = configuration.load(None, [f"adapter.candidates='{candidates}'"]).adapter
    intention, rng = InferredTargetIntention(config, 0.005), np.random.default_rng(seed)
    angles = np.arange(8) * np.pi / 4
    places = [*(0.1 * np.c_[np.cos(angles), np.sin(angles)]), np.zeros(2)]
    intention.offer(places if candidates == "task" else (), 0.2)
    position, velocity, error, right, taught = np.zeros(2), np.zeros(2), np.zeros(2), 0, 0
    aims = []
    for goal in goals:
        aim = np.zeros(2)
        for _ in range(bins_each):
            aim = intention.keep * aim + intention.pull * (places[goal] - position)
            error = 0.98 * error + noise * np.sqrt(1 - 0.98**2) * rng.standard_normal(2)
            velocity = gain * aim + error
            position = position + 0.005 * velocity
            intention.infer([*position, *velocity], (9.0, 9.0, 9.0), 0)  # a target that is not there
            aims.append(aim)
            if labels := intention.labels():
                taught += 1
                intended, meant = (
                    np.sum([p * np.array(label) for label, p in labels], axis=0),
                    aims[-1 - intention.lag_bins],
                )
                cosine = np.dot(intended, meant) / (np.linalg.norm(intended) * np.linalg.norm(meant) + 1e-12)
                right += cosine > 0.9
    return right / taught, taught / (len(goals) * bins_each)


@pytest.mark.parametrize(("candidates", "least"), [("task", 0.95), ("grid", 0.8)])
def test_teaching_bins_point_where_the_subject_goes(candidates, least):
    goals = np.random.default_rng(1).integers(0, 9, 40)
    right, taught = _steered(goals, candidates=candidates)
    assert right > least and taught > 0.1


def test_a_decoder_that_has_grown_weak_goes_on_being_taught():
    """Half as fast as the subject aims, much of the aim stays unexplained; its goals are as plain as before."""
    goals = np.random.default_rng(1).integers(0, 9, 40)
    right, taught = np.mean([_steered(goals, bins_each=400, gain=0.5, seed=seed) for seed in range(2)], axis=0)
    assert right > 0.85 and taught > 0.2


@pytest.mark.parametrize("lasts_s", [0.25, 0.6])
def test_wandering_about_the_workspace_teaches_nothing_for_long(lasts_s):
    """Unlike a cursor that is held in its place, this one passes by every target."""
    intention, rng = InferredTargetIntention(configuration.load().adapter, 0.02), np.random.default_rng(3)
    angles = np.arange(8) * np.pi / 4
    intention.offer([*(0.1 * np.c_[np.cos(angles), np.sin(angles)]), (0.0, 0.0)], 0.2)
    keep, position, velocity, taught = np.exp(-0.02 / lasts_s), np.zeros(2), np.zeros(2), 0
    for _ in range(6000):
        velocity = keep * velocity + 0.15 * np.sqrt(1 - keep**2) * rng.standard_normal(2)
        velocity = np.where(np.abs(position + 0.02 * velocity) > 0.2, -velocity, velocity)
        position = position + 0.02 * velocity
        intention.infer([*position, *velocity], (9.0, 9.0, 9.0), 0)
        taught += bool(intention.labels())
    assert taught < 0.02 * 6000


def test_movement_without_a_goal_teaches_nothing_for_long():
    config = configuration.load().adapter
    intention, rng = InferredTargetIntention(config, 0.005), np.random.default_rng(2)
    intention.offer([(0.1, 0.0), (-0.1, 0.0), (0.0, 0.1)], 0.2)
    velocity, taught = np.zeros(2), 0
    for bin_number in range(12000):
        velocity = 0.98 * velocity + 0.15 * np.sqrt(1 - 0.98**2) * rng.standard_normal(2)
        intention.infer([0.0, 0.0, *velocity], (0.0, 0.0, 0.01), 0)
        taught += bool(intention.labels()) and bin_number > 4000
    assert taught < 0.02 * 8000
    assert intention.news()["name"] == "labels-uncertain"


def test_snapshot_goes_on_to_the_bit():
    config = configuration.load().adapter
    first, second = (InferredTargetIntention(config, 0.005) for _ in range(2))
    rng = np.random.default_rng(5)
    for bin_number in range(300):
        seen = rng.normal(0, 0.05, 4).tolist()
        if bin_number == 150:
            second.restore(first.snapshot())
        answers = [one.infer(seen, (0.0, 0.0, 0.01), 0) for one in ((first, second) if bin_number >= 150 else (first,))]
        assert len({np.array(answer).tobytes() for answer in answers}) == 1


def test_bad_candidates_are_named():
    intention = InferredTargetIntention(configuration.load().adapter, 0.005)
    with pytest.raises(BadInput, match=r"task.workspace_m"):
        intention.offer([(0.5, 0.0)], 0.2)
    intention.infer([0.0, 0.0, float("nan"), 0.0], (0, 0, 0), 0)
    assert np.isfinite(intention.weights).all() and np.isfinite(intention.residual)


def _session(world, intention):
    options = ["--config", world, "--headless", "--speed", "max", "--duration", "60", "--seed", "3", "--record", "none"]
    options += ["--set", "encoding.initial=truth", "--set", f"adapter.intention={intention}", "--json"]
    return json.loads(CliRunner().invoke(run, options, catch_exceptions=False).stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("world", ["default", "hard_world"])
def test_without_a_target_a_session_keeps_the_pace_of_a_supervised_one(world):
    inferred, known = (_session(world, intention) for intention in ("inferred-target", "optimal-control"))
    assert inferred["success_rate"] >= 0.95 and inferred["successes"] >= 0.9 * known["successes"]


def test_a_bin_is_weighed_by_what_followed_as_all_paths_of_goals_are():
    rng, bins, k = np.random.default_rng(8), 5, 3
    shares, hazards = rng.uniform(0.05, 1.0, (bins, k)), rng.uniform(0.02, 0.4, bins)
    weights, forward = np.full(k, 1.0 / k), np.empty((bins, k))
    for t in range(bins):
        weights = ((1.0 - hazards[t]) * weights + hazards[t] / k) * shares[t]
        weights /= weights.sum()
        forward[t] = weights
    wanted = np.zeros(k)
    for path in itertools.product(range(k), repeat=bins):  # every path of goals, with its probability
        chance = shares[0, path[0]] / k  # the goal before the first bin is any
        for t in range(1, bins):
            stays = (1.0 - hazards[t]) * (path[t] == path[t - 1])
            chance *= (stays + hazards[t] / k) * shares[t, path[t]]
        wanted[path[0]] += chance
    for newest in range(bins):  # wherever the ring begins
        places = (np.arange(bins) + newest + 1) % bins
        ring = [np.empty_like(array) for array in (forward, shares, hazards)]
        for rolled, array in zip(ring, (forward, shares, hazards), strict=True):
            rolled[places] = array
        found = np.empty(k)
        targets.smooth(*ring, newest, found)
        np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-12)


def _learned(lag_s, bins=240, unlabelled="aim"):
    """A session over so many bins, with everything that it took in, and what was taught in which bin."""
    ways = [f"adapter.unlabelled={unlabelled}", "adapter.intention=inferred-target"]
    settings = ["session.units=12", "session.bin_s=0.05", "encoding.initial=truth", f"adapter.label_lag_s={lag_s}"]
    config = configuration.load(None, [*ways, *settings, "adapter.learning_rate=1e-4"])
    source = SimulatedSource(config)
    session, given, taught, inputs = Session(config, source.world.initial_model()), Bin(12, False), [], []
    for _ in range(bins):
        source.next_bin(given, session.cursor, session.task.target)
        inputs.append(bytes(given.bytes))
        session.step(given.bytes)
        intention = session.intention
        taught.append(
            (
                intention.labels(),
                given.fields.counts.astype(float).copy(),
                (intention.lost, intention.dwells, list(intention.dwelling_aim)),
            )
        )
    return session, taught, inputs, source


@pytest.mark.parametrize("unlabelled", ["aim", "rest", "skip"])
def test_a_late_label_is_taught_with_the_counts_of_its_own_bin(unlabelled):
    """A bin that dwells on a goal tells of baselines, unless skipped; any other without a label tells nothing."""
    session, taught, _, source = _learned(0.5, unlabelled=unlabelled)
    model = source.world.initial_model()  # the truth, which does not move in the default world
    adapter, lag = Adapter(model, 1e-4), round(0.5 / 0.05)
    for now, (labels, _, (lost, dwells, aim)) in enumerate(taught[lag:], lag):
        counts = taught[now - lag][1]
        if labels:
            adapter.update_weighted(counts, np.ones(12), labels)
        elif lost:
            adapter.update_share(counts, np.ones(12), ([0.0, 0.0], 0.1))
        elif dwells:
            assert (aim == [0.0, 0.0]) == (unlabelled == "rest")
            adapter.update_share(counts, np.ones(12), (aim, 0.5), walks=False)
    assert sum(bool(labels) for labels, _, _ in taught) > 30
    assert (
        unlabelled == "skip" or sum(dwells for labels, _, (lost, dwells, _) in taught if not labels and not lost) > 30
    )
    np.testing.assert_allclose(session.model.weights, model.weights, rtol=1e-12)


def test_nothing_is_taught_of_the_first_seconds():
    """Units are others than yesterday, and what the cursor does by itself is not known yet."""
    _, taught, _, _ = _learned(0.5)
    first = next(bin_number for bin_number, (labels, _, _) in enumerate(taught) if labels)
    assert (first - round(0.5 / 0.05)) * 0.05 >= FIRST_S


def test_a_recording_of_the_time_before_tells_nothing_by_bins_without_a_label():
    assert configuration.as_recorded({"adapter": {"label_lag_s": 1.0}})["adapter"]["unlabelled"] == "skip"
    assert configuration.load(None).adapter.unlabelled == "aim"


def test_late_labels_go_on_from_a_snapshot_to_the_bit():
    _, _, inputs, source = _learned(0.5)
    config = source.world.config
    whole, second = (Session(config, source.world.initial_model()) for _ in range(2))
    for number, given in enumerate(inputs):
        if number == 111:
            second.restore(whole.snapshot())
        whole.step(given)
        if number >= 111:
            assert second.step(given).output_bytes.tobytes() == whole.record.output_bytes.tobytes()
    assert second.model.weights.tobytes() == whole.model.weights.tobytes()
