"""The rate found while running, from a hundred times off, in worlds that walk, jump and stand still."""

import pathlib
import sys

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.calibration.rate_search import LADDERS, EarlierWeights, RateChoice, RateSearch
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import filter_bank
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay, session_from

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))  # behind: benchmarks has a gui.py, too
from rate_search import FIXED, adapted, world


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("kind", ["walk", "step", "still"])
def test_the_rate_is_found_from_a_hundred_times_off(kind, likelihood):
    data = world(kind, likelihood, 1)
    fixed = {rate: adapted(data, likelihood, rate, False)[0] for rate in FIXED}
    best = min(fixed, key=lambda rate: fixed[rate][60:].mean())
    most = {"walk": 1.1, "step": 2.0, "still": 1.1}[kind]
    for off in (100.0, 0.01):
        errors, found = adapted(data, likelihood, best * off, True)
        assert errors[60:].mean() < most * fixed[best][60:].mean(), off
        if kind == "walk":
            assert best / 2.0 < found < best * 2.0, off


def test_a_walk_is_followed_within_a_minute_from_far_below():
    velocity, truth, seen = world("walk", "gaussian", 3)
    data = velocity[:3000], truth, seen[:3000]
    assert 1e-5 < adapted(data, "gaussian", 3e-7, True)[1] < 2e-4


def test_log_likelihoods_agree_with_the_textbook():
    from scipy import stats

    rng = np.random.default_rng(0)
    counts, expected = rng.poisson(0.3, 20).astype(float), rng.uniform(0.1, 0.6, (3, 20))
    valid, scores = (rng.random(20) < 0.7).astype(float), np.empty(3)
    filter_bank.predicted(counts, valid, counts - expected, np.ones(20), np.zeros(20), True, scores)
    known = valid > 0
    true = stats.poisson.logpmf(counts[known], expected[:, known]).sum(axis=1)
    np.testing.assert_allclose(scores - scores[0], true - true[0])
    noise, error = rng.uniform(0.5, 2.0, 20), rng.normal(size=(3, 20))
    squared = filter_bank.predicted(counts, valid, error, noise, np.zeros(20), False, scores)
    true = stats.norm.logpdf(error[:, known], 0.0, np.sqrt(noise[known])).sum(axis=1)
    np.testing.assert_allclose(scores - scores[0], true - true[0])
    assert squared == pytest.approx((error[2, known] ** 2 / noise[known]).mean())


@pytest.mark.parametrize("ladder", LADDERS.values(), ids=LADDERS)
def test_the_ladder_stays_within_its_bounds_and_moves_when_its_end_is_best(ladder):
    choice = RateChoice(1e-5, 1e-6, 1e-3, 0.1, ladder=ladder)
    assert choice.rates.min() == 1e-6 and (ladder.filters == 5 or choice.rates.max() == 1e-3)
    free = RateChoice(1e-5, 1e-12, 1.0, 0.1, ladder=ladder)
    top = free.rates[-1]
    for _ in range(100):
        free.add(np.r_[np.linspace(0.0, 1.0, ladder.filters), 0.5], 1.0)
    assert free.shift() > 0 and free.rates[-1] > top and free.scores[-2] == free.scores[-3]
    with pytest.raises(BadInput, match="inside its bounds"):
        RateChoice(1e-2, 1e-6, 1e-3, 0.1)


def test_where_all_rates_predict_the_same_the_ladder_stays_and_one_far_above_it_comes_down():
    """Slow rates cannot be told apart where nothing moves; one that is too high had been left where it was."""
    choice = RateChoice(1e-8, 1e-12, 1.0, 0.1)
    for _ in range(200):
        choice.add(np.r_[0.002, 0.001, 0.0, 0.0, 0.0, -0.1], 1.0)
    assert choice.shift() == 0 and choice.top == 0
    assert choice.proposal(1e-5) == choice.best and choice.better == 0
    assert choice.proposal(2e-8) is None, "within the ladder there is nothing to gain"
    before = RateChoice(1e-8, 1e-12, 1.0, 0.1, ladder=LADDERS["nine"])
    before.scores[:], before.bins = np.r_[np.full(9, 20.0), 0.0], 200
    assert before.proposal(1e-5) is None


def test_a_search_goes_on_from_a_snapshot_as_if_nothing_had_been():
    velocity, _, seen = world("walk", "poisson", 2)
    model = EncodingModel.untrained(np.full(48, 10.0), "poisson", 0.02, 0.5, np.ones(48))
    adapter, valid = Adapter(model, 1e-3), np.ones(48)
    first, second = (RateSearch(model, 1e-3, 1e-11, 0.1) for _ in range(2))
    for t in range(1200):
        adapter.update(seen[t], valid, *(0.1 * velocity[t]))
        if t == 900:
            second.restore(first.snapshot())
        proposed = first.update(adapter, seen[t], valid, 1e-3)
        if t >= 900:
            assert second.update(adapter, seen[t], valid, 1e-3) == proposed
    np.testing.assert_array_equal(first.choice.scores, second.choice.scores)
    np.testing.assert_array_equal(first.earlier.oldest, second.earlier.oldest)


def test_one_hand_on_the_rate_and_every_change_recorded_and_replayed(tmp_path):
    with pytest.raises(BadInput, match="each set the rate"):
        configuration.load(None, ["adapter.rate_search=true", "adapter.drift_tracking=true"])
    with pytest.raises(BadInput, match="inside search_range"):
        configuration.load(None, ["adapter.rate_search=true", "adapter.learning_rate=0"])
    path = tmp_path / "a.mcap"
    config = configuration.load(
        None,
        [
            "adapter.rate_search=true", "adapter.learning_rate=1e-3", "session.units=24", "session.bin_s=0.02",
            "encoding.initial=truth", f"recording.path='{path}'", "adapter.search_range=[1e-8, 1e-2]",
        ],
    )  # fmt: skip
    loop = assemble(config, "max")
    launch.run(loop, 1000)
    changes = [event for _, event in Recording(path).messages("event") if event["name"] == "learning-rate"]
    assert changes and changes[0]["old"] == 1e-3 and changes[-1]["new"] == loop.session.adaptation.learning_rate
    assert 1e-8 <= loop.session.adaptation.learning_rate < 1e-4, "the units stand still"
    assert Replay(Recording(path)).run(verify=True)["identical"]
    for asked, rates, kept in (("search_ladder='nine'", 9, 8), ("search_lag_s=0.02", 5, 1)):
        search = session_from(Recording(path), [f"adapter.{asked}"]).adaptation.search
        assert len(search.choice.rates) == rates and len(search.earlier.snapshot()["kept"]) == kept


def test_the_search_does_not_let_the_teacher_steer():
    """With counts that know nothing of the target a quick filter learns within a reach what the label says."""
    from bmi_runtime.cli.compare_closed_loop import Subject

    reached = {}
    for lag_s in (0.0, 1.0):
        settings = ["session.units=24", "session.bin_s=0.02", "adapter.rate_search=true"]
        settings.append(f"adapter.search_lag_s={lag_s}")
        subject = Subject(configuration.load(None, settings))
        counts = subject.run(60.0)[0].counts[::-1]
        subject.run(60.0, counts)
        reached[lag_s] = sum(trial.success for trial in subject.run(60.0, counts)[1])
    assert reached[0.0] >= 5 and reached[1.0] <= 1, reached


def test_weights_of_before_are_those_of_the_lag():
    now, units = np.zeros((3, 2, 1)), np.array([1])
    earlier = EarlierWeights(now, 0.8, 0.05)
    for step in range(1, 200):
        age = step - 1 - earlier.oldest[0, 0, 0]  # bins since they were, at the moment of a prediction
        assert step < 17 or 14 <= age < 16, (step, age)
        earlier.add(np.full((2, 2, 1), float(step)), np.full((2, 3), float(step)), units)
    earlier.rearrange([2, 0, 0])
    assert earlier.oldest.flags.c_contiguous and earlier.oldest.shape == (3, 2, 1)
    wide = EarlierWeights(now, 1.0, 2.0)
    wide.add(np.ones((2, 2, 1)), np.ones((2, 3)), units)
    assert wide.oldest[0, 0, 0] == 1.0, "bins wider than the lag: the weights of the bin before"


def test_recordings_made_before_search_by_the_bin_before():
    before = configuration.as_recorded({"adapter": {"rate_search": True}})["adapter"]
    assert before["search_lag_s"] == 0.0 and before["search_ladder"] == "nine"
