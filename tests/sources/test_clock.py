"""The clock fit against clocks whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime.sources.clock import ClockFit


def _arrivals(skew, offset_ns, seconds, period_ns, jitter_ns, seed, spike_probability=0.0, start_ns=10**10):
    """Return device and host times of messages whose delays are exponential, with some huge ones."""
    rng = np.random.default_rng(seed)
    device = start_ns + np.arange(int(seconds * 1e9 / period_ns), dtype=np.int64) * period_ns
    delay = rng.exponential(jitter_ns, device.size)
    delay += (rng.random(device.size) < spike_probability) * rng.uniform(1e6, 3e7, device.size)
    host = device + offset_ns + np.round(skew * (device - start_ns) + delay).astype(np.int64)
    return device, host


def _fit(device, host):
    clock = ClockFit()
    for d, h in zip(device.tolist(), host.tolist()):
        clock.observe(d, h)
    return clock


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-2e-4, 2e-4),
    st.integers(-(10**15), 10**15),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.2]),
)
def test_offset_and_skew_are_found_whatever_the_outliers(skew, offset_ns, seed, spike_probability):
    device, host = _arrivals(skew, offset_ns, 40.0, 5_000_000, 100_000, seed, spike_probability)
    clock = _fit(device, host)
    assert clock.skew == pytest.approx(skew, abs=1e-6)
    end = int(device[-1])
    truth = offset_ns + skew * (end - 10**10)
    # the smallest of about a hundred exponential delays of mean 0.1 ms is 1 us: that is how much the offset may exceed
    assert -8e3 < clock.offset_ns(end) - truth < 12e3
    assert clock.uncertainty_s(end) < 5e-6


def test_the_uncertainty_covers_the_truth_as_often_as_a_standard_error_should():
    """Delays with a floor that is Gaussian from block to block: |error| < 1 and 2 standard errors in 68 and 95 %."""
    within = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        device = np.arange(40, dtype=np.int64) * 600_000_000  # one message is one block
        host = device + 10**12 + np.round(rng.normal(0.0, 200_000.0, 40)).astype(np.int64)
        clock = _fit(device, host)
        end = int(device[-1])
        within.append(abs(clock.offset_ns(end) - 10**12) * 1e-9 / clock.uncertainty_s(end))
    within = np.array(within)
    assert 0.55 < (within < 1.0).mean() < 0.85
    assert (within < 2.0).mean() > 0.85


def test_large_device_times_lose_no_precision():
    """Nanoseconds since 1970 do not fit a float; the fit works on differences."""
    device, host = _arrivals(5e-5, 123, 20.0, 5_000_000, 10_000, 3, start_ns=1_800_000_000_000_000_000)
    clock = _fit(device, host)
    assert abs(clock.offset_ns(int(device[-1])) - 123 - 5e-5 * (int(device[-1]) - int(device[0]))) < 2000


def test_before_two_blocks_the_smallest_delay_counts_and_the_uncertainty_is_unknown():
    clock = ClockFit()
    for device, delay in ((0, 900), (5, 300), (10, 700)):
        clock.observe(device * 10**6, device * 10**6 + 5 * 10**9 + delay)
    assert clock.offset_ns(0) == 5 * 10**9 + 300
    assert np.isinf(clock.uncertainty_s(0))


def _behind(clock, device_ns, host_ns):
    return clock.behind(clock.residual_ns(device_ns, host_ns), host_ns)


def test_earlier_than_possible_is_a_jump_ahead():
    device, host = _arrivals(0.0, 0, 5.0, 5_000_000, 50_000, 1)
    clock = _fit(device, host)
    last_device, last_host = int(device[-1]), int(host[-1])
    assert not clock.ahead(clock.residual_ns(last_device + 5_000_000, last_host + 5_000_000))
    assert clock.ahead(clock.residual_ns(last_device + 305_000_000, last_host + 5_000_000))


def test_a_clock_that_stood_is_told_from_a_burst_after_a_stall():
    stood, stalled = (_fit(*_arrivals(0.0, 0, 5.0, 5_000_000, 50_000, 1)) for _ in range(2))
    base = 10**10 + 5 * 10**9
    # 2 s of silence, then device time goes on from where it was
    verdicts = [_behind(stood, base + k * 5_000_000, base + 2 * 10**9 + k * 5_000_000) for k in range(20)]
    assert verdicts.index(True) in (10, 11)  # after 50 ms of it
    # 2 s of silence, then the messages of those 2 s within 40 ms, then business as usual
    times = [base + 2 * 10**9 + min(k * 100_000, 0) + k * 100_000 for k in range(400)]
    assert not any(_behind(stalled, base + k * 5_000_000, times[k]) for k in range(400))
    later = base + 400 * 5_000_000
    assert not any(_behind(stalled, later + k * 5_000_000, later + 40_000_000 + k * 5_000_000) for k in range(100))


def test_a_starved_sender_is_no_clock_that_stood():
    """It sends a little, waits for its processor, sends a little: delays that vary by tens of ms for a third of a s."""
    clock, rng = _fit(*_arrivals(0.0, 0, 5.0, 5_000_000, 50_000, 1)), np.random.default_rng(3)
    base = 10**10 + 5 * 10**9
    delays = 100_000_000 + rng.integers(0, 60_000_000, 70)
    assert not any(_behind(clock, base + k * 5_000_000, base + k * 5_000_000 + int(delays[k])) for k in range(70))
    assert any(
        _behind(clock, base + k * 5_000_000, base + k * 5_000_000 + int(delays[k % 70])) for k in range(70, 200)
    )  # for over half a second: then bins would wait in vain


def test_a_slow_reader_is_not_mistaken_for_a_clock_that_stood():
    """Delays that grow gradually are ours, not the device's."""
    clock = _fit(*_arrivals(0.0, 0, 5.0, 5_000_000, 50_000, 1))
    base = 10**10 + 5 * 10**9
    assert not any(_behind(clock, base + k * 5_000_000, base + k * 6_000_000) for k in range(400))


def test_an_offset_is_known_from_two_blocks_on_and_a_skew_from_four():
    """Where a block holds one message, the line through them is exact."""
    clock, skews, known = ClockFit(), [], []
    for number in range(6):
        device = number * 600_000_000
        clock.observe(device, 10**12 + device + device // 2000)
        skews.append(clock.skew)
        known.append(np.isfinite(clock.uncertainty_s(device)))
    # the message that begins a block ends the one before: after the third there are two blocks
    assert known == [False, False, True, True, True, True]
    assert skews[:4] == [0.0] * 4 and skews[4:] == pytest.approx([1 / 2000] * 2, rel=1e-6)
    assert clock.offset_ns(2_400_000_000) - 10**12 == pytest.approx(1_200_000, abs=2)
