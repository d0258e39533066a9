"""Difference in means against brute force, its intervals against repetition, its refusals."""

import numpy as np
import pytest
from scipy import stats

from bmi_runtime.analysis.perturbation import effects as module
from bmi_runtime.analysis.perturbation import simulate
from bmi_runtime.errors import BadInput


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(5)
    assignments = rng.integers(-1, 2, (600, 3)).astype(np.int8)
    outcomes = rng.normal(size=(600, 4)) + 0.8 * (assignments[:, [0]] == 1) + 100
    return assignments, outcomes


def test_agrees_with_a_pooled_t_test_on_the_clamped_samples(sample):
    assignments, outcomes = sample
    found = module.difference_in_means(assignments, outcomes)
    for i in range(3):
        for j in range(4):
            one, zero = (outcomes[assignments[:, i] == value, j] for value in (1, 0))
            test = stats.ttest_ind(one, zero)
            interval = test.confidence_interval(0.95)
            assert found.estimate[i, j] == pytest.approx(one.mean() - zero.mean(), rel=1e-9)
            assert found.p_values[i, j] == pytest.approx(test.pvalue, rel=1e-6)
            assert (found.low[i, j], found.high[i, j]) == pytest.approx(tuple(interval), rel=1e-7)


def test_streaming_in_blocks_and_32_bits_changes_nothing_that_matters(sample):
    assignments, outcomes = sample
    whole = module.difference_in_means(assignments, outcomes)
    sums = module.EffectAccumulator(3, 4)
    for start in range(0, 600, 130):
        sums.update(assignments[start : start + 130], outcomes[start : start + 130])
    parts = sums.result()
    np.testing.assert_allclose(parts.estimate, whole.estimate, atol=1e-3 * whole.standard_error.min())
    np.testing.assert_allclose(parts.standard_error, whole.standard_error, rtol=1e-4)


def test_stacked_correlation_agrees_with_corrcoef():
    rng = np.random.default_rng(2)
    assignments = rng.integers(0, 2, (400, 3))
    outcomes = rng.normal(size=(400, 2)) + assignments[:, :2]
    sums = module.EffectAccumulator(3, 2, single_precision=False)
    sums.update(assignments, outcomes)
    expected = np.corrcoef(assignments, outcomes, rowvar=False)[:3, 3:]
    np.testing.assert_allclose(sums.correlations(), expected, atol=1e-12)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(300):
        assignments = rng.integers(0, 2, (60, 2))
        outcomes = rng.normal(size=(60, 3)) + 0.5 * assignments[:, [0]]
        found = module.difference_in_means(assignments, outcomes, confidence=0.9)
        truth = np.array([[0.5], [0.0]])
        covered.append((found.low < truth) & (truth < found.high))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.025)


def test_discoveries_hold_the_false_rate_and_find_the_true_ones():
    rng = np.random.default_rng(0)
    assignments = rng.integers(0, 2, (800, 40))
    truth = np.zeros((40, 40), dtype=bool)
    truth[np.arange(30), np.arange(30)] = True
    false = []
    for _ in range(20):
        outcomes = rng.normal(size=(800, 40)) + 0.5 * assignments @ truth
        named = module.difference_in_means(assignments, outcomes).discoveries(0.1)
        assert named[truth].mean() > 0.9
        false.append((named & ~truth).sum() / named.sum())
    assert np.mean(false) < 0.13


def test_permutation_p_values_agree_with_the_t_test_where_it_is_right(sample):
    assignments, outcomes = sample
    shuffled = module.permutation_p_values(assignments, outcomes, np.random.default_rng(1), 2000)
    expected = module.difference_in_means(assignments, outcomes).p_values
    np.testing.assert_allclose(shuffled, np.maximum(expected, 1 / 2001), atol=0.04)


def test_only_clamped_samples_are_unbiased_when_a_random_subset_is_clamped():
    """With a hidden common input, thresholding a source's free activity finds effects that are not there."""
    rng = np.random.default_rng(3)
    n, steps = 6, 60000
    nothing = np.zeros((n, n))
    nothing[1, 0] = 1e-12  # a connection too weak to matter, so that the matrix is not empty
    clamps = simulate.random_assignments(steps, n, rng, clamped_fraction=0.5)
    activity = simulate.simulate_sigmoid(nothing, clamps, rng, simulate.hidden_input(steps, n, rng, 1.0))
    assignments, outcomes = simulate.clamped_samples(clamps, activity)
    honest = module.difference_in_means(assignments, outcomes)
    assert np.abs(honest.estimate / honest.standard_error).max() < 4.5
    before = activity[:-1][(clamps[:-1] >= 0).any(axis=1)][: len(outcomes)]
    thresholded = module.difference_in_means((before > 0.5).astype(int), outcomes)
    assert np.abs(thresholded.estimate / thresholded.standard_error).max() > 15


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (np.column_stack([np.full(20, -1), np.arange(20) % 2]), "never clamped, so"),
        (np.column_stack([np.zeros(20), np.arange(20) % 2]), "never clamped to 1"),
        (np.column_stack([np.ones(20), np.arange(20) % 2]), "never clamped to 0"),
        (np.column_stack([np.full(20, 2), np.arange(20) % 2]), "must be 1"),
        (np.column_stack([np.full(20, 0.5), np.arange(20) % 2]), "must be 1"),
        (np.ones((19, 2)), "19 rows of assignments but 20 of outcomes"),
        (np.ones((20, 2, 1)), "must be"),
    ],
)
def test_useless_assignments_are_refused(assignments, words):
    sums = module.EffectAccumulator(2, 3)
    with pytest.raises(BadInput, match=words):
        sums.update(assignments, np.random.default_rng(0).normal(size=(20, 3)))
        sums.result()


def test_correlations_of_constants_are_refused():
    sums = module.EffectAccumulator(1, 2)
    sums.update(np.arange(20)[:, None] % 2, np.column_stack([np.arange(20.0), np.ones(20)]))
    with pytest.raises(BadInput, match="outcome of neuron 1 never changes"):
        sums.correlations()
    with pytest.raises(BadInput, match="constant"):
        module.agreement(np.ones((3, 3)), np.eye(3))


def test_values_that_are_not_finite_are_refused_with_their_place():
    outcomes = np.zeros((10, 2))
    outcomes[7, 1] = np.nan
    with pytest.raises(BadInput, match="not finite"):
        module.difference_in_means(np.arange(20).reshape(10, 2) % 2, outcomes)


def test_sources_that_were_never_clamped_apart_are_named():
    rng = np.random.default_rng(3)
    assignments = rng.integers(-1, 2, (9000, 5))  # more than a block
    assignments[:, 3] = assignments[:, 0]
    assignments[:, 4] = np.where(assignments[:, 1] < 0, -1, 1 - assignments[:, 1])
    found = module.difference_in_means(assignments, rng.normal(size=(9000, 2)))
    assert found.together == ((0, 3), (1, 4))
    assert module.difference_in_means(assignments[:, :3], rng.normal(size=(9000, 2))).together == ()
