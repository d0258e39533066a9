"""Which unit of today does what which unit of the reference did? Where some names are wrong, rates and slopes tell.

Channels are plugged in another order, sorters renumber their clusters. A unit is known by its mean count and by its
slopes on the state that the others decode (:mod:`.stability`), in their scatter between blocks of the reference. The
cheapest assignment of units (the sum of squared deviations, Hungarian method) puts them in their places; the state is
decoded again with units in those places, and so on until nothing changes. That a name is right is what is believed
without evidence: another unit in its place has to explain today better by 2 log(odds). Where no name is right at all
there is no state to begin with, and nothing is found (tests/stability/test_unit_matching.py).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment

from bmi_runtime.analysis.stability import Day, Reference

ROUNDS = 12
ODDS_OF_A_NAME = 1000.0  # that a unit is what its name says, to that it is any of the others


def matched_units(reference: Reference, today: Day) -> np.ndarray:
    """Return for each unit of today which of the reference's it is like, (units,), each of them once.

    Parameters
    ----------
    reference : Reference
    today : Day
        With the same names, in the same order.
    """
    count = today.counts.shape[1]
    mean, scatter = reference.statistics.mean(axis=0), reference.scatter()
    name = 2.0 * np.log(ODDS_OF_A_NAME * count) * np.eye(count)
    order, seen = np.arange(count), set()
    for _ in range(ROUNDS):
        done = reference.of(in_their_places(today, order).counts)[order]
        apart = (((done[:, None] - mean) / scatter) ** 2).sum(axis=2)
        order = linear_sum_assignment(apart - name)[1]
        if order.tobytes() in seen:
            break
        seen.add(order.tobytes())
    return order


def in_their_places(today: Day, order: np.ndarray) -> Day:
    """Return the day with every unit in the place of the reference's unit that it is like."""
    return dataclasses.replace(today, counts=today.counts[:, np.argsort(order)])
