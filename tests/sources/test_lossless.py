"""Pull mode: every message is a bin, in order; what is none is refused and counted, and the session goes on."""

import numpy as np
import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.errors import BmiError
from bmi_runtime.messages import Bin
from bmi_runtime.sources.zeromq import ZeroMQSource

UNITS, BIN_NS = 4, 5_000_000


def counts(seq, start=7, at=None):
    at = seq if at is None else at
    fields = {"from_ns": at * BIN_NS, "until_ns": (at + 1) * BIN_NS}
    return wire.encode("counts", start, seq, **fields, counts=np.ones(UNITS, np.uint16))


def spikes(seq):
    times, units = np.array([seq * BIN_NS]), np.array([0], np.uint16)
    return wire.encode("spikes", 7, seq, from_ns=seq * BIN_NS, until_ns=(seq + 1) * BIN_NS, times_ns=times, units=units)


def received(tmp_path, messages, wait_s=5):
    """Return the bins that a source in pull mode makes of these messages, its events, and the source."""
    address = f"ipc://{tmp_path}/pull"
    sender = zmq.Context.instance().socket(zmq.PUSH)
    sender.linger = 0
    sender.bind(address)
    settings = [f"session.units={UNITS}", f"source.address={address}", "source.options.mode=pull"]
    source = ZeroMQSource(configuration.load(None, [*settings, f"source.options.wait_s={wait_s}"]))
    source.open()
    into, rows = Bin(UNITS, False), []
    try:
        for frames in messages:
            sender.send_multipart(frames)
        while source.next_bin(into, None, None):
            rows.append(into.array[0].copy())
    finally:
        source.close()
        sender.close()
    return np.array(rows), source.drain_events(), source


def test_every_message_is_a_bin_until_the_end(tmp_path):
    rows, events, _ = received(tmp_path, [*map(counts, range(1, 6)), wire.encode("end", 7, 6)])
    assert rows["bin_index"].tolist() == [0, 1, 2, 3, 4] and (rows["counts"] == 1).all()
    np.testing.assert_allclose(rows["device_time_s"], (np.arange(5) + 2) * 0.005)
    assert not events and rows["gap_bins"].sum() == 0


def test_what_is_no_bin_is_refused_and_counted_and_the_rest_goes_on(tmp_path):
    bad_checksum, cut = counts(2), counts(2)
    bad_checksum[2] = b"0000"
    cut[1] = cut[1][:10]
    hostile = [bad_checksum, cut, [b"x"], spikes(2), counts(2**50, at=3), counts(1)]
    rows, events, source = received(tmp_path, [counts(1), *hostile, counts(2), counts(5), wire.encode("end", 7, 6)])
    assert len(rows) == 3
    assert rows["invalid"].tolist() == [0, 5, 0] and rows["duplicates"].tolist() == [0, 1, 0]
    assert rows["gap_bins"].tolist() == [0, 0, 2]
    assert [event["name"] for event in events] == ["message-refused", "messages-lost"]
    assert source.binner.totals["refused"] == 5 and source.binner.totals["lost"] == 2


def test_a_sender_that_starts_again_is_gone_on_with(tmp_path):
    rows, events, _ = received(tmp_path, [counts(1), counts(2), counts(1, start=8), wire.encode("end", 8, 2)])
    assert len(rows) == 3 and rows["gap_bins"].sum() == 0
    assert [event["name"] for event in events] == ["source-restarted"]


def test_nothing_at_all_ends_it_in_a_sentence(tmp_path):
    with pytest.raises(BmiError, match=r"no data came from .* for 0\.3 s"):
        received(tmp_path, [counts(1)], wait_s=0.3)
