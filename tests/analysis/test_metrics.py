"""Measures of a controlled cursor against hand-worked numbers."""

import numpy as np
import pytest
from scipy import stats

from bmi_runtime.analysis import metrics


def trial(path, target=(0.3, 0.0), success=True, radius_m=0.05, hold_s=0.0):
    return metrics.Trial(np.array(path, dtype=float), target, radius_m, 0.5, hold_s, success)


DETOUR = [[0.0, 0.0], [0.0, 0.4], [0.3, 0.4], [0.3, 0.0]]


def test_path_of_a_detour():
    assert metrics.path_efficiency(trial(DETOUR)) == pytest.approx(0.3 / 1.1)
    assert metrics.orthogonal_deviation_m(trial(DETOUR)) == pytest.approx((0 + 0.4 + 0.4 + 0) / 4)
    straight = trial([[0.0, 0.0], [0.1, 0.0], [0.3, 0.0]])
    assert metrics.path_efficiency(straight) == pytest.approx(1.0)
    assert metrics.orthogonal_deviation_m(straight) == 0.0
    assert np.isnan(metrics.path_efficiency(trial([[0.0, 0.0]] * 3)))


def test_deviation_turns_with_the_task():
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = trial(np.array(DETOUR) @ turn.T + 5.0, tuple(turn @ [0.3, 0.0] + 5.0))
    assert metrics.orthogonal_deviation_m(turned) == pytest.approx(metrics.orthogonal_deviation_m(trial(DETOUR)))


def test_throughput_leaves_the_hold_and_failures_out():
    reached = trial(DETOUR, hold_s=0.5)  # 1.5 s with the hold, log2(0.3 / 0.1 + 1) = 2 bits
    assert metrics.index_of_difficulty_bits(reached) == pytest.approx(2.0)
    assert metrics.throughput_bits_s([reached, trial(DETOUR, success=False)]) == pytest.approx(2.0 / 1.0)
    inside = trial([[0.3, 0.0], [0.3, 0.0]])
    assert metrics.throughput_bits_s([inside]) == 0.0
    held = trial(DETOUR, hold_s=1.5 - 1e-13)  # in the target from the first bin on: the movement took a bin
    assert metrics.throughput_bits_s([held]) == pytest.approx(2.0 / 0.5)


def test_bit_rate_counts_wrong_selections_against_right_ones():
    right, wrong = trial(DETOUR), trial(DETOUR, success=False)
    assert metrics.bit_rate_bits_s([right, right, right, wrong], 9) == pytest.approx(3.0 * 2 / 6.0)
    assert metrics.bit_rate_bits_s([right, wrong, wrong], 9) == 0.0
    assert metrics.bit_rate_bits_s([right], 2) == 0.0


def test_summary_of_nothing_and_of_failures_is_not_a_number():
    failed = metrics.summary([trial(DETOUR, success=False)], 8)
    assert failed["success_rate"] == 0.0
    assert np.isnan(failed["time_to_target_s"])
    assert np.isnan(metrics.summary([], 8)["success_rate"])
    assert metrics.summary([trial(DETOUR)], 8)["time_to_target_s"] == 1.5


def test_r2_leaves_out_what_is_not_known_and_says_nothing_of_what_never_changes():
    true = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0], [np.nan, 1.0]])
    decoded = np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0], [0.0, 1.0]])
    first, second = metrics.r2(true, decoded)
    assert first == pytest.approx(1 - 1 / 8)
    assert np.isnan(second)


def test_r2_and_rmse():
    true = np.array([[0.0, 1.0], [2.0, 2.0], [4.0, 3.0], [np.nan, 0.0]])
    decoded = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(metrics.r2(true, decoded), [1 - 1 / 8, 1 - 1 / 2])
    assert metrics.rmse(true, decoded) == pytest.approx(np.sqrt(2 / 3))


def test_paired_interval_is_scipys():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=12), rng.normal(size=12)
    mean, low, high = metrics.paired_interval(first, second)
    other = stats.ttest_rel(first, second).confidence_interval(0.95)
    np.testing.assert_allclose([mean, low, high], [(first - second).mean(), other.low, other.high])
    assert np.isnan(metrics.paired_interval([1.0], [0.5])[1])
