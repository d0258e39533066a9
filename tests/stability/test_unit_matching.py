"""Units that stand under each other's names are put in their places by what they do."""

import dataclasses

import numpy as np
import pytest

from bmi_runtime.analysis import stability
from bmi_runtime.analysis.unit_matching import in_their_places, matched_units
from tests.stability.test_stability import UNITS, Array, _reference


def _exchanged(share, seed):
    """Return an order in which this share of the units stands elsewhere."""
    rng, order = np.random.default_rng(seed), np.arange(UNITS)
    which = rng.permutation(UNITS)[: round(share * UNITS)]
    order[which] = np.roll(which, 1)
    return order


@pytest.mark.parametrize(("share", "right"), [(0.0, 1.0), (0.1, 0.9), (0.5, 0.85)])
def test_units_under_each_others_names_are_found(share, right):
    array = Array(11)
    reference, (day, _) = _reference(array), array.session(30)
    order = _exchanged(share, 3)
    today = dataclasses.replace(day, counts=day.counts[:, order])
    found = matched_units(reference, today)
    assert np.mean(found == order) >= right
    arranged = stability.compare(reference, in_their_places(today, found))
    assert arranged.score < 1.6 and arranged.kept > 0.85
    assert share == 0.0 or stability.compare(reference, today).score > 1.4 * arranged.score


def test_where_no_name_is_right_nothing_is_found():
    array = Array(12)
    reference, (day, _) = _reference(array), array.session(30)
    order = _exchanged(1.0, 4)
    found = matched_units(reference, dataclasses.replace(day, counts=day.counts[:, order]))
    assert np.mean(found == order) < 0.5 and sorted(found) == list(range(UNITS))


def test_units_that_are_others_altogether_draw_few_with_them():
    array = Array(13)
    reference = _reference(array)
    array.weights[:, :4] = array._units(4)
    found = matched_units(reference, array.session(30)[0])
    assert np.sum(found != np.arange(UNITS)) <= 8
