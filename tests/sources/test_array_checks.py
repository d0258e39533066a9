"""Arrays that anybody saves, checked: what is taken, and what is refused with the sentence that helps."""

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.sources import array_checks
from bmi_runtime.sources.from_arrays import recording_from_arrays

BINS, UNITS = 60, 5


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.mark.parametrize("given", [0.05, np.float32(0.05), np.array([0.05]), np.full(7, 0.05), [[0.05, 0.05]]])
def test_a_width_is_one_number_however_it_was_saved(given):
    assert array_checks.checked_width_s("a.npz", given) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (50, "if these are milliseconds, save 0.05"),
        (5000.0, "if these are microseconds, save 0.005"),
        (2e7, "if these are nanoseconds, save 0.02"),
        ([0.05, 0.06], "2 different ones"),
        ([], "it is empty"),
        ("50 ms", "it is text"),
        (np.nan, "it is nan"),
        (-0.05, "it is -0.05"),
        (True, "it is true or false"),
    ],
)
def test_a_width_that_is_none_is_refused_with_what_it_may_be(given, words):
    with pytest.raises(BadInput, match=r"a\.npz: bin_s must be one number of seconds") as error:
        array_checks.checked_width_s("a.npz", given)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("counts", "velocity", "which"),
    [
        ((UNITS, BINS), (BINS, 2), "counts must be transposed"),
        ((BINS, UNITS), (2, BINS), "velocity must be transposed"),
        ((UNITS, BINS), (2, BINS), "counts and velocity must be transposed"),
    ],
)
def test_tables_with_their_bins_in_columns_are_named(counts, velocity, which):
    with pytest.raises(BadInput, match=which):
        array_checks.check_turned("a", np.zeros(counts), {"velocity": np.zeros(velocity), "position": None})


def test_tables_that_fit_or_that_nothing_explains_are_left_to_the_other_checks():
    array_checks.check_turned("a", np.zeros((BINS, UNITS)), {"velocity": np.zeros((BINS, 2)), "position": None})
    array_checks.check_turned("a", np.zeros((BINS, UNITS)), {"velocity": np.zeros((BINS - 1, 2))})


@pytest.mark.parametrize("starts", [[0, 20, 45], [20, 45], [45, 20, 0]])
def test_starts_of_trials_are_the_same_as_indices_flags_and_numbers_of_trials(starts):
    wanted = np.zeros(BINS, bool)
    wanted[[0, 20, 45]] = True
    flags = wanted.astype(float)
    numbers = np.cumsum(wanted) + 6
    column = np.array(starts, float)[:, None]  # as MATLAB saves them
    for given in (starts, column, wanted, flags, numbers, numbers.astype(float), numbers[::-1].cumsum() * 0 + numbers):
        np.testing.assert_array_equal(array_checks.checked_starts("a", given, BINS), wanted)
    np.testing.assert_array_equal(array_checks.checked_starts("a", None, BINS), np.arange(BINS) == 0)
    np.testing.assert_array_equal(array_checks.checked_starts("a", [], BINS), np.arange(BINS) == 0)


@pytest.mark.parametrize("given", [[0, BINS], [-1], [1.5], ["a"], [[0, 1], [2, 3]], [np.nan]])
def test_starts_that_are_no_bins_are_refused(given):
    with pytest.raises(BadInput, match=f"trial_start must list bin indices from 0 to {BINS - 1}"):
        array_checks.checked_starts("a", given, BINS)


def test_a_bin_that_lacks_one_axis_has_none_but_an_axis_that_was_never_there_takes_none_along(rng):
    values = rng.normal(size=(BINS, 3))
    values[3, 1] = np.nan
    values[:, 2] = np.nan  # never recorded
    checked = array_checks.checked_kinematics("a", "velocity", values, BINS)
    assert np.isnan(checked[3]).all()
    kept = np.arange(BINS) != 3
    np.testing.assert_array_equal(checked[kept, :2], values[kept, :2])
    one = array_checks.checked_kinematics("a", "velocity", values[:, 0], BINS)
    assert one.shape == (BINS, 1)  # a single axis may be a list
    assert array_checks.checked_kinematics("a", "position", None, BINS) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda v: v[:-1], "a difference leaves one out: repeat its first row"),
        (lambda v: v[:-5], r"must have the shape \(60, axes\)"),
        (lambda v: v.astype(str), "must hold numbers"),
        (lambda v: np.repeat(v, 5, axis=1), "1 to 8 of them"),
        (lambda v: np.where(np.arange(60)[:, None] == 7, np.inf, v), "of bin 7 is infinite"),
        (lambda v: v * 1e150, "in a unit that makes it an ordinary number"),
        (lambda v: v * 1e-150, "in a unit that makes it an ordinary number"),
        (
            lambda v: np.c_[0.05 * np.arange(60), v],
            r"column 0 of velocity grows by 0.05 .*columns \[1, 2\]",
        ),
    ],
)
def test_movements_that_are_none_are_refused(rng, made, words):
    with pytest.raises(BadInput, match=words):
        array_checks.checked_kinematics("a", "velocity", made(rng.normal(size=(BINS, 2))), BINS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.inf, "counts of bin 4, unit 2 is inf; 1 such value, in unit 2"),
        (1e9, "counts of bin 4, unit 2 is 1e\\+09"),
        (-3.0, r"the count of bin 4, unit 2 is negative \(-3\)"),
    ],
)
def test_counts_that_no_neuron_has_are_named_by_bin_and_unit(rng, value, words):
    counts = rng.poisson(1.0, (BINS, UNITS)).astype(float)
    array_checks.check_counts("a", counts)
    counts[4, 2] = value
    with pytest.raises(BadInput, match=words):
        array_checks.check_counts("a", counts)


def test_features_may_be_negative(rng):
    array_checks.check_counts("a", rng.normal(size=(BINS, UNITS)))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_trials_one_behind_the_other_are_the_same_as_a_block_of_them(rng, axes):
    trials, bins = 4, 30
    counts = rng.poisson(1.0, (trials, bins, UNITS)).astype(float)
    velocity = rng.normal(size=(trials, bins, axes))
    counts[1, 25:] = np.nan  # filled up to one length
    block = recording_from_arrays("a", counts, 0.05, velocity)
    there = ~np.isnan(counts).all(axis=2)
    rows = [counts[t, there[t]] for t in range(trials)]
    ends = np.cumsum([0, *map(len, rows[:-1])])
    np.testing.assert_array_equal(block.counts, np.concatenate(rows))
    np.testing.assert_array_equal(block.velocity, np.concatenate([velocity[t, there[t]] for t in range(trials)]))
    np.testing.assert_array_equal(np.flatnonzero(block.trial_start), ends)
    np.testing.assert_array_equal(block.restart, block.trial_start)
    assert any("5 bins have no counts" in text for text in block.odd)


def test_an_axis_in_which_nothing_moves_is_left_out_and_named(rng):
    velocity = np.c_[rng.normal(size=BINS), np.zeros(BINS), rng.normal(size=BINS)]
    found = recording_from_arrays("a", rng.poisson(1.0, (BINS, UNITS)), 0.05, velocity)
    assert found.axes == ("x", "z") and found.given_axes == ("x", "y", "z")
    np.testing.assert_array_equal(found.velocity, velocity[:, [0, 2]])
    assert any("never changes in y" in text for text in found.odd)


def test_a_view_of_more_bins_than_memory_is_refused_before_it_is_copied():
    counts = np.broadcast_to(np.ones((1, 10)), (10**10, 10))
    with pytest.raises(
        BadInput, match="mine: 10,000,000,000 bins of 10 units need 2400 GB, more than this machine has"
    ):
        recording_from_arrays("mine", counts, 0.02, np.broadcast_to(np.zeros((1, 2)), (10**10, 2)))
