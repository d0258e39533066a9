"""Stamps as other people's programs write them: milliseconds, microseconds, doubles, and streams without a rate."""

import struct

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.lsl import LSLFeed
from bmi_runtime.sources.redis_streams import RedisFeed, seconds_or_nanoseconds
from tests.sources.test_steady import HOST, UNITS, deliver, setting

ENTRIES = 2000  # of 5 ms


def told(source):
    """Return what a source has told about itself."""
    return [event["text"] for event in source.binner.events if event["name"] == "source-told"]


def settled(rows):
    """Return the rows after the first second, in which the unit is told, without the last ones."""
    return rows[250:-20]


STAMPS = {
    "nanoseconds": lambda t: int(t * 1e9).to_bytes(8, "little"),
    "microseconds": lambda t: int(t * 1e6).to_bytes(8, "little"),
    "milliseconds": lambda t: int(t * 1e3).to_bytes(8, "little"),
    "float64 seconds": lambda t: struct.pack("<d", t),
    "float64 milliseconds": lambda t: struct.pack("<d", 1e3 * t),
    "seconds as text": lambda t: f"{t:.6f}".encode(),
    "milliseconds as text": lambda t: f"{t * 1e3:.3f}".encode(),
}


@pytest.mark.parametrize("start_s", [35_024.0, 1.7e9])
@pytest.mark.parametrize("name", STAMPS)
def test_entries_stamped_in_any_unit(name, start_s):
    counts = np.random.default_rng(1).poisson(0.3, (ENTRIES, UNITS))
    config = setting("source.options.dtype=int16")
    arrivals = []
    for k, row in enumerate(counts):
        fields = {b"samples": row.astype("<i2").tobytes(), b"ts": STAMPS[name](start_s + 0.005 * k)}
        arrivals.append((HOST + 5_000_000 * (k + 1), (fields,)))
    rows, source = deliver(RedisFeed(config), arrivals, config)
    assert (settled(rows)["stale"] > 0).sum() == 0
    assert settled(rows)["counts"].mean() == pytest.approx(counts[250:-20].mean(), rel=0.02)
    assert source.refusals() == [] and source.binner.totals["refused"] == 0
    other_unit = name not in ("nanoseconds", "float64 seconds", "seconds as text")
    assert any("time stamps run" in text for text in told(source)) == other_unit


def test_a_double_is_not_an_integer():
    assert seconds_or_nanoseconds(struct.pack("<d", 1.7e9)) == 1_700_000_000_000_000_000
    assert seconds_or_nanoseconds((1_700_000_000_000_000_000).to_bytes(8, "little")) == 1_700_000_000_000_000_000


@pytest.mark.parametrize(("scale", "start"), [(1.0, 35_024.0), (1e3, 35_024.0), (1e3, 1.7e9), (1e6, 35_024.0)])
def test_lsl_samples_stamped_in_another_unit(scale, start):
    counts = np.random.default_rng(1).poisson(0.3, (ENTRIES, UNITS))
    config = setting("source.options.kind=counts")
    feed = LSLFeed(config)
    feed.width_s = 0.005
    chunks = [
        (HOST + 5_000_000 * (k + 1), ([row.tolist()], [scale * (start + 0.005 * k)])) for k, row in enumerate(counts)
    ]
    rows, source = deliver(feed, chunks, config)
    assert (settled(rows)["stale"] > 0).sum() == 0 and len(rows) > ENTRIES - 60
    assert settled(rows)["counts"].mean() == pytest.approx(counts[250:-20].mean(), rel=0.02)
    assert len(told(source)) == (scale != 1.0) and source.refusals() == []


def test_a_channel_that_is_broken_is_named():
    config = setting("source.options.kind=rates")
    feed = LSLFeed(config)
    chunks = [(HOST + 5_000_000 * k, ([[20.0, 3.5, float("nan"), 1.0]], [50.0 + 0.005 * k])) for k in range(1, 50)]
    _, source = deliver(feed, chunks, config)
    (said,) = source.refusals()
    assert said.endswith("negative, broken, or too large: channel 3 of 4 is nan")


def test_counts_of_a_stream_without_a_rate():
    """Each sample counts the spikes since the one before, 2 to 12 ms ago: every spike once, in the bins of its time."""
    rng = np.random.default_rng(3)
    ends = 40.0 + np.cumsum(rng.uniform(0.002, 0.012, 3000))
    counts = rng.poisson(0.4, (3000, UNITS))
    config = setting("source.options.kind=counts")
    feed = LSLFeed(config)
    feed.irregular = True
    chunks = [(HOST + round((t - 40.0) * 1e9), ([row.tolist()], [t])) for t, row in zip(ends, counts)]
    chunks.insert(1000, (chunks[999][0], chunks[999][1]))  # sent twice
    rows, source = deliver(feed, chunks, config)
    ring = source.binner.ring
    total = rows["counts"].sum(0, dtype=int) + ring.values.sum(0) + ring.remainder + ring.late_values
    np.testing.assert_allclose(total, counts[1:].sum(0), atol=1e-6)
    assert source.binner.totals["refused"] == 1 and (rows["stale"][100:-5] > 0).sum() == 0


class Info:
    """What an LSL outlet says of itself."""

    def __init__(self, rate_hz, channels, channel_format=1):
        self.nominal_srate, self.channel_count = lambda: rate_hz, lambda: channels
        self.channel_format = lambda: channel_format


def test_what_an_outlet_says_of_itself():
    feed = LSLFeed(setting("source.options.kind=counts"))
    feed._check(Info(0.0, UNITS))
    assert feed.irregular
    with pytest.raises(BadInput, match=r"is a stream of text, so of markers; say source\.options\.markers"):
        feed._check(Info(0.0, UNITS, channel_format=3))
