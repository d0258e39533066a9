"""Rehearsal against truth: pilots of known worlds, and what sessions in those same worlds really give."""

import numpy as np
import pytest

from benchmarks import known_worlds


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(known_worlds.WORLDS)))
def test_a_rehearsal_tells_what_sessions_really_give(number, tmp_path):
    known = known_worlds.BASE | known_worlds.WORLDS[number]
    found = known_worlds.judged(known, known_worlds.SETTINGS, 100 + number, known_worlds.SECONDS, tmp_path / "p.mcap")
    assert found["inside"] >= 0.8 * found["of"]  # over all worlds nine in ten; single ones vary
    assert found["ranks"] >= 0.6  # settings within a hit of each other change places
    assert known_worlds.near_best(found)


def test_a_rehearsal_that_is_wrong_is_found_to_be_wrong():
    entry = {"settings": {}, "hits_per_min": {"mean": 30.0, "interval": [28.0, 32.0]}}
    entry["time_to_target_s"] = {"mean": 1.0, "interval": [0.9, 1.1]}
    worse = entry | {"hits_per_min": {"mean": 10.0, "interval": [8.0, 12.0]}}
    true = {"hits_per_min": np.array([[9.0, 11.0], [29.0, 31.0]]), "time_to_target_s": np.full((2, 2), 1.0)}
    found = known_worlds.compared({"settings": [entry, worse], "recommended": {"number": 0}}, true)
    assert (found["inside"], found["of"]) == (2, 4)
    assert found["ranks"] == pytest.approx(-1.0) and not known_worlds.near_best(found)
