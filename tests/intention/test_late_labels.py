"""Which goal an earlier bin had, told what came after: beside a sum over every sequence of goals."""

import itertools

import numpy as np
import pytest

from bmi_runtime.intention.late_labels import Past


def forward(weights, shares, hazard):
    """Return the filter's next posterior, written with the transition matrix."""
    k = weights.size
    transition = (1.0 - hazard) * np.eye(k) + hazard / k
    posterior = (transition.T @ weights) * shares
    return posterior / posterior.sum()


@pytest.mark.parametrize("hazard", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("bins", "goals"), [(1, 3), (2, 1), (4, 3), (5, 2)])
def test_the_oldest_bin_is_weighed_by_all_that_came_after_it(bins, goals, hazard):
    rng = np.random.default_rng(bins)
    past, weights, shares_of, aims_of = Past(bins, goals, 2), np.full(goals, 1.0 / goals), [], []
    for t in range(2 * bins + 1):  # the ring goes round
        shares, aims = rng.uniform(0.1, 1.0, goals), rng.normal(size=(goals, 2))
        weights = forward(weights, shares, hazard)
        past.keep(weights, shares, aims, aims[0] + 1.0, hazard)
        shares_of.append(shares)
        aims_of.append(aims)
        assert past.weigh() == (t + 1 >= bins)
        if t + 1 < bins:
            continue
        first = t + 1 - bins
        total = np.zeros(goals)
        for sequence in itertools.product(range(goals), repeat=t + 1):
            probability = 1.0 / goals * shares_of[0][sequence[0]] * 1.0
            for before, at in itertools.pairwise(range(t + 1)):
                same = sequence[before] == sequence[at]
                probability *= ((1.0 - hazard) * same + hazard / goals) * shares_of[at][sequence[at]]
            total[sequence[first]] += probability
        np.testing.assert_allclose(past.smoothed, total / total.sum(), rtol=1e-9)
        np.testing.assert_array_equal(past.oldest[0], aims_of[first])
        np.testing.assert_array_equal(past.oldest[1], aims_of[first][0] + 1.0)
        if t >= 7:  # every sequence is enough
            break


def test_noise_is_learned_from_the_likeliest_goal_of_the_oldest_bin():
    past, aims = Past(3, 2, 1), np.array([[0.1], [-0.1]])
    steady = (np.array([0.4, 0.6]), np.array([0.7, 0.3]), np.array([0.99, 0.01]))
    for number, weights in enumerate(steady):
        shares = weights / weights.sum()
        past.keep_steady(weights, np.array([0.05 + number]), 0.0)
        past.keep(weights, shares, aims, np.zeros(1), 0.0)
    velocity, aim = past.goal_of_noise()
    assert velocity.tolist() == [0.05]  # that of the oldest bin
    assert aim.tolist() == [0.1]  # the first goal: later bins spoke for it, the bin itself for the other
