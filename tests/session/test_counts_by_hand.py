"""What the shell counts and limits, beside plain lists: latencies, alarms, blocks, safety states."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime.messages import SafetyState
from bmi_runtime.schema.step import SafetyConfig
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.event_limiter import BURST, PER_S, EventLimiter
from bmi_runtime.session.latency import FRACTIONS, LatencyHistogram
from bmi_runtime.session.safety import Safety, SafetyEvent

durations = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 10**7), st.integers(0, 4 * 10**12)), min_size=1)


@given(durations)
def test_percentiles_are_those_of_the_sorted_list_to_the_width_of_a_bucket(given_ns):
    histogram = LatencyHistogram()
    for duration_ns in given_ns:
        histogram.add(duration_ns)
    found, ordered = histogram.summary(), sorted(given_ns)
    for name, fraction in FRACTIONS.items():
        exact_ns = ordered[max(int(np.ceil(fraction * len(ordered) - 1e-9)) - 1, 0)]
        assert abs(found[name] * 1000.0 - exact_ns) <= max(exact_ns / 64.0, 1.0)
    assert found["max"] == ordered[-1] / 1000.0 and found["p50"] <= found["p99"] <= found["p99_9"] <= found["max"]


@given(durations, durations)
def test_two_histograms_added_are_that_of_both_lists(first, second):
    parts = [LatencyHistogram(), LatencyHistogram(), LatencyHistogram()]
    for histogram, values in zip(parts, (first, second, first + second), strict=True):
        for value in values:
            histogram.add(value)
    sum_of_both = LatencyHistogram()
    for part in parts[:2]:
        sum_of_both.add_sparse(part.sparse())
    assert sum_of_both.summary() == parts[2].summary() and sum_of_both.total == parts[2].total
    assert LatencyHistogram().summary() == {"p50": None, "p99": None, "p99_9": None, "max": None}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=60))
def test_no_alarm_is_lost_from_the_count_and_none_passes_above_its_rate(bursts):
    """Bursts of so many events of a name, each so many bins of 0.1 s after the one before."""
    limiter, bin_number, sent, let_through, told = EventLimiter(0.1), 0, {}, {}, {}
    for name, pause, count in bursts:
        bin_number += pause
        for _ in range(count):
            event = {"name": name}
            sent[name] = sent.get(name, 0) + 1
            if limiter.admits(event, bin_number):
                let_through[name] = let_through.get(name, 0) + 1
                told[name] = told.get(name, 0) + event.get("suppressed", 0)
        assert limiter.admits({"name": "trial"}, bin_number)
    for event in limiter.suppressed():
        told[event["name"]] = told.get(event["name"], 0) + event["suppressed"]
    for name, count in sent.items():
        assert let_through.get(name, 0) + told.get(name, 0) == count
        assert let_through[name] <= BURST + PER_S * 0.1 * bin_number + 1e-9
        assert let_through[name] >= min(count, BURST)


bins = st.lists(
    st.one_of(
        st.tuples(st.just(True), st.just(False), st.just(False)),  # mostly good ones, or little would ever recover
        st.tuples(st.booleans(), st.booleans(), st.sampled_from([False, False, False, True])),
    ),
    max_size=200,
)


@given(bins, st.integers(0, 200))
def test_the_output_is_trusted_only_after_good_bins_and_goes_on_from_a_snapshot_alike(given_bins, cut):
    config = SafetyConfig(calibrating_s=0.1, frozen_after_s=0.1, degraded_after_bins=3, recover_after_bins=5)
    safety = Safety(config, 0.02)  # five bins of silence freeze, five good ones bring back
    twin, silent, good, seen = None, 0, 0, False
    for number, (usable, exploded, broken) in enumerate(given_bins):
        if number == cut:
            twin = Safety(config, 0.02)
            twin.restore(copy.deepcopy(safety.snapshot()))
        before = safety.state
        for one in filter(None, (safety, twin)):
            one.before_decoding(usable)
        silent, good, seen = (0, good + 1, True) if usable else (silent + 1, 0, seen)
        assert not seen or silent < 5 or safety.state is SafetyState.FROZEN
        assert seen or safety.state is SafetyState.STARTING
        if before is SafetyState.FROZEN and safety.moves:
            assert good >= 5
        for one in filter(None, (safety, twin)):
            one.after_decoding(exploded, broken)
        if broken:
            good = 0
            assert not seen or not safety.moves
        if twin:
            assert twin.snapshot() == safety.snapshot()
    for state in (safety, twin):
        if state:
            state.handle(SafetyEvent.STOP)
            state.before_decoding(True)
            assert state.state is SafetyState.STOPPED and not state.moves and not state.adapts


@pytest.fixture(scope="module")
def sections():
    return configuration.load(
        None,
        [
            "block=[{kind='observe', trials=4}, {kind='adapt', length_s=0.5}, "
            "{kind='assisted', success_rate=0.5, success_trials=3, length_s=2.0}]",
            "task.timeout_s=0.3",
            "task.pause_s=0.1",
        ],
    )


@pytest.mark.parametrize("seed", range(12))
def test_every_trial_is_counted_in_one_block_and_each_ends_when_it_says(sections, seed):
    rng = np.random.default_rng(seed)
    blocks, twin, successes, timeouts = Blocks(sections), Blocks(sections), 0, 0
    blocks.begin(1, 0, 0, 0, "")
    often = rng.choice([0.002, 0.02, 0.3])
    for number in range(700):
        what = rng.choice(["", "success", "timeout"], p=[1.0 - often, 0.6 * often, 0.4 * often])
        successes, timeouts = successes + (what == "success"), timeouts + (what == "timeout")
        if number % 7 == 0:
            twin.restore(copy.deepcopy(blocks.snapshot()))
        why = blocks.after_bin(True, successes, timeouts)
        assert twin.after_bin(True, successes, timeouts) == why and twin.facts() == blocks.facts()
        score, section = blocks.scores[-1], blocks.section
        if section.length_s:
            assert score.bins <= round((section.length_s + blocks.latest_s) / blocks.bin_s)
        if why == "trials":
            assert score.trials == section.trials
        if why == "length":
            assert score.bins >= round(section.length_s / blocks.bin_s)
        if why == "criterion":
            assert sum(blocks.recent) >= 0.5 * len(blocks.recent) and len(blocks.recent) == 3
        if why:
            if blocks.number == len(blocks.sections):
                break
            following = blocks.number + 1
            for one in (blocks, twin):
                one.begin(following, number + 1, successes, timeouts, why)
    assert sum(score.trials for score in blocks.scores) == successes + timeouts
    assert sum(score.successes for score in blocks.scores) == successes
