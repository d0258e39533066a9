"""Asleep for most of a bin, awake around the moment at which the next data are expected."""

import time

import pytest
import zmq

from bmi_runtime.sources.waiting import Expectation, await_message

BIN_NS, SPIN_NS = 5_000_000, 200_000


def test_before_anything_came_only_sleep():
    assert Expectation(BIN_NS, SPIN_NS).sleep_s(10**12, 0.1) == 0.1


def test_sleeps_until_the_watch_watches_then_sleeps_again():
    expectation = Expectation(BIN_NS, SPIN_NS)
    expectation.arrived(10**12)
    assert expectation.sleep_s(10**12, 0.1) == pytest.approx((BIN_NS - SPIN_NS) * 1e-9)
    assert expectation.sleep_s(10**12, 0.001) == 0.001
    for offset in (-SPIN_NS, 0, SPIN_NS - 1):
        assert expectation.sleep_s(10**12 + BIN_NS + offset, 0.1) == 0.0
    assert expectation.sleep_s(10**12 + BIN_NS + SPIN_NS, 0.1) == 0.1


def test_several_bins_at_once_are_expected_again_after_as_many():
    expectation = Expectation(BIN_NS, SPIN_NS)
    expectation.arrived(10**12)
    expectation.arrived(10**12 + 4 * BIN_NS + 700_000)
    assert expectation.expected_ns == 10**12 + 8 * BIN_NS + 700_000


def test_without_a_watch_it_never_spins():
    expectation = Expectation(BIN_NS, 0)
    expectation.arrived(10**12)
    assert all(expectation.sleep_s(10**12 + after, 0.1) > 0.0 for after in range(0, 2 * BIN_NS, 50_000))


def test_a_message_ends_the_wait_and_none_does_not():
    context = zmq.Context.instance()
    with context.socket(zmq.PULL) as taking, context.socket(zmq.PUSH) as giving:
        giving.linger = 0
        port = taking.bind_to_random_port("tcp://127.0.0.1")
        giving.connect(f"tcp://127.0.0.1:{port}")
        deadline = time.monotonic() + 0.05
        while (left := deadline - time.monotonic()) > 0.0:
            assert not await_message(taking, left)
        giving.send(b"x")
        deadline = time.monotonic() + 10.0
        while not await_message(taking, 1.0):
            assert time.monotonic() < deadline
        assert taking.recv() == b"x"
