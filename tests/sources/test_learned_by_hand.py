"""What is learned of a device while it sends: waits, units of time, paces, channel numbers; beside plain lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.delays import DelayWindow, LearnedWait
from bmi_runtime.sources.pace import CLEARLY, DEVIATES, LONGEST_NS, Pace
from bmi_runtime.sources.stamp_unit import FACTORS, StampUnit
from bmi_runtime.sources.unit_names import ChannelNumbers, UnitNames


@given(st.lists(st.integers(-(10**7), 10**8), min_size=1, max_size=80), st.floats(0.0, 1.0))
def test_a_percentile_of_the_delays_is_one_of_the_sorted_list(delays, fraction):
    window = DelayWindow()
    for delay in delays:
        window.observe(delay)
    place = min(int(fraction * len(delays)), len(delays) - 1)
    assert window.percentile_ns(fraction) == sorted(delays)[place]


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 60_000_000), min_size=1, max_size=60),
    st.integers(0, 5_000_000),
    st.integers(0, 60_000_000),
)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_allowed_and_covers_what_came(delays, least, limit):
    wait = LearnedWait(least, limit)
    for delay in delays:
        wait.observe(delay)
        assert least <= wait.wait_ns <= max(limit, least)
    assert wait.wait_ns >= min(max(delays), max(limit, least))


def test_a_wait_grows_shorter_again_once_the_long_delays_are_forgotten():
    wait = LearnedWait(0, 10**9)
    for delay in (*[50_000_000] * 600, *[1_000_000] * 4096):
        wait.observe(delay)
    for _ in range(64):
        wait.observe(1_000_000)
    assert wait.wait_ns == pytest.approx(1_000_000 * 1.1 + 500_000)


@settings(max_examples=60)
@given(st.sampled_from(FACTORS), st.integers(1, 40), st.floats(0.6, 1.6), st.integers(0, 2**31), st.floats(-1e18, 1e18))
def test_the_unit_of_time_stamps_is_found_whatever_their_origin_and_block(factor, block_ms, speed, seed, origin):
    """A program that writes stamps in another unit, in blocks that arrive with jitter, on a clock that is not exact."""
    rng, unit, told = np.random.default_rng(seed), StampUnit("seconds"), None
    origin = round(origin / factor / 1e6) if factor >= 1.0 else 0.0  # a difference of two of its stamps must be left
    for number in range(2 + 2 * -(-200 // block_ms)):
        arrived = number * block_ms * 1_000_000 + int(rng.uniform(0, 20e6))
        told = unit.observe(origin + number * block_ms * 1e6 * speed / factor, arrived) or told
    assert unit.factor == factor and (told is None) == (factor == 1.0)


@settings(max_examples=60)
@given(st.floats(0.9, 1.1), st.sampled_from([1, 4, 20]), st.floats(0.0, 0.3), st.integers(0, 2**31))
def test_a_pace_is_found_where_it_is_another_and_kept_where_it_is_not(ratio, block, jitter, seed):
    """Stamps of blocks of so many entries of 5 ms that come at another pace, with jitter of a share of a block."""
    rng, said = np.random.default_rng(seed), 5e6
    pace, width = Pace(said), said
    for entry in range(0, 8000, block):
        stamp = (entry + rng.uniform(-0.5, 0.5) * jitter * block) * said * ratio
        for within in range(block):
            width = pace.observe(stamp if block > 1 else stamp + within, 0) or width
    off, found = abs(ratio - 1.0), width / said
    plain = off * LONGEST_NS / said > 1.5 * CLEARLY * block * (1.0 + jitter) / 12.0**0.5 and off > 2.0 * DEVIATES
    if not plain:  # a smaller one may be found or not; nothing else may
        assert found == 1.0 or found == pytest.approx(ratio, abs=DEVIATES)
    else:
        assert found == pytest.approx(ratio, abs=DEVIATES)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0.0, 3.0)), min_size=1, max_size=6), st.integers(0, 2**31))
def test_holes_in_a_regular_stream_are_no_other_pace(holes, seed):
    """Pauses of so many seconds of which nobody says how many entries are missing."""
    rng, pace, stamp = np.random.default_rng(seed), Pace(5e6), 0.0
    for entries, pause_s in holes:
        for _ in range(entries + 400):
            stamp += 5e6
            assert pace.observe(stamp + rng.uniform(0.0, 5e5)) is None
        stamp += pause_s * 1e9


@given(st.integers(1, 12), st.lists(st.integers(-2, 14), max_size=150))
def test_channels_are_units_by_one_rule_after_they_are_settled(n_units, numbers):
    channels, settled = ChannelNumbers(n_units), None
    for number in numbers:
        try:
            unit = channels.index(number)
        except BadInput as error:
            assert str(n_units) in str(error)
        else:
            assert 0 <= unit < n_units and number - unit == channels.first
        if settled is not None:
            assert channels.first == settled
        settled = channels.first if channels.settled else None


names = st.builds(
    lambda word, gap, number: f"{word}{gap}{number}",
    st.sampled_from(["chan", "elec", ""]),
    st.sampled_from(["", " ", "-"]),
    st.integers(0, 9),
)


@settings(max_examples=200)
@given(st.lists(names, max_size=160))
def test_two_electrodes_never_become_one_unit_silently(sent):
    table, owners, first = UnitNames(8, None), {}, 1
    for name in sent:
        try:
            unit = table.unit(name, 0)
        except BadInput:
            continue
        if table.numbers.first != first:
            owners, first = {}, table.numbers.first
        assert 0 <= unit < 8
        assert owners.setdefault(unit, name) == name
    assert sum(row["spikes"] for row in table.table()) == len(sent)
