"""Mutated, cut, oversized, mistyped and random messages: all counted, and the good ones between them all used."""

import pytest

from benchmarks import faults_sockets, faults_wire

HOSTILE = 2000


@pytest.mark.parametrize("name", sorted(faults_wire.PROTOCOLS))
def test_hostile_messages_are_counted_and_cost_nothing(name):
    result = faults_wire.bombard(name, HOSTILE, seed=3)
    assert result["hostile"] == HOSTILE
    assert result["counted"] == HOSTILE
    assert result["good_spikes_binned"] == result["good_spikes_sent"] > 0
    assert result["wrong_counts"] == result["stale_bins"] == result["segments"] == 0


@pytest.mark.parametrize("name", ["control", "telemetry"])
def test_hostile_messages_to_the_sockets_of_a_session_change_no_decoded_number(name):
    result = faults_sockets.attack(name, HOSTILE, seed=5)
    assert result["sent"] == HOSTILE and result["identical"]
    if name == "control":
        assert result["answered"] == HOSTILE and HOSTILE // 2 < result["refused"] <= HOSTILE
