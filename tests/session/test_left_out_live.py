"""Units in and out while a session runs: they neither decode nor learn, recorded, and kept by snapshots."""

import numpy as np
import pytest

from bmi_runtime.config import from_dict
from bmi_runtime.encoding.model import untrained_model
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session

UNITS = 8


@pytest.fixture
def session():
    config = from_dict({"session": {"units": UNITS}}, "here")
    return Session(config, untrained_model(config))


def run(session, bins, seed=0):
    rng, given = np.random.default_rng(seed), Bin(UNITS, False)
    for _ in range(bins):
        given.fields.counts[:] = rng.poisson(0.1, UNITS)
        session.step(given.bytes)


def test_a_unit_that_is_out_does_not_learn_and_learns_again_when_it_is_back(session):
    answer = session.apply({"set": "session.left_out", "value": "5, 2"})
    assert (answer["old"], answer["new"]) == ("", "5, 2")
    before = session.model.weights.copy()
    run(session, 60)
    moved = np.abs(session.model.weights - before).max(axis=0) > 0
    assert not moved[[2, 5]].any() and moved[[0, 1, 3, 4, 6, 7]].all()
    assert session.apply({"set": "session.left_out", "value": ""})["old"] == "2, 5"
    before = session.model.weights.copy()
    run(session, 60)
    assert (np.abs(session.model.weights - before).max(axis=0) > 0).all()


def test_a_snapshot_keeps_it(session):
    session.apply({"set": "session.left_out", "value": "1"})
    snapshot = session.snapshot()
    session.apply({"set": "session.left_out", "value": ""})
    session.restore(snapshot)
    assert list(session.left_out) == [1]
    older = {**snapshot, "live": {k: v for k, v in snapshot["live"].items() if k != "session.left_out"}}
    session.apply({"set": "session.left_out", "value": "3"})
    session.restore(older)
    assert list(session.left_out) == [3]


@pytest.mark.parametrize("value", ["8", "-1", "x", "0 1 2 3 4 5 6 7"])
def test_what_cannot_be_is_refused_and_changes_nothing(session, value):
    with pytest.raises(BadInput, match=r"session\.left_out"):
        session.apply({"set": "session.left_out", "value": value})
    assert session.left_out.size == 0
