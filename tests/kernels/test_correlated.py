"""Statistics for overdispersed, correlated units: kernel against dense matrices and plain lists; what it repairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime.kernels import correlated as late_columns
from bmi_runtime.kernels import monitoring as columns
from bmi_runtime.kernels.correlated import correlated_step
from bmi_runtime.kernels.soundness import checksum, clean_counts, repair

N = late_columns.N_LATE
KEEP, KEEP_REFERENCE, DELAY = 0.97, 0.995, 5


def packed(matrices):
    """Return the lower triangles of symmetric matrices (units, d, d) as the kernels keep them, (pairs, units)."""
    rows, lower = np.tril_indices(matrices.shape[1])
    return np.ascontiguousarray(matrices[:, rows, lower].T)


class OneUnit:
    """The delayed statistics of one unit, with matrices, written from the description of the module."""

    def __init__(self, d):
        self.traces = [np.zeros(d) for _ in range(3)]  # all steps; those before the last block; before the last two
        self.loss = self.j = self.quiet = self.reference = self.predicted = 0.0
        self.j_spread = self.q_spread = self.j_block = self.q_block = 0.0
        self.blocks = 0
        self.held = (0.0, 0.0)

    def step(self, u, covariance, w, x, nu, counts, expected, predicted_sum, boundary):
        gain, along = covariance @ u, [u @ trace for trace in self.traces]
        for number, trace in enumerate(self.traces):
            trace += gain * ((x if number == 0 else 0.0) - w * along[number])
        self.loss = KEEP * self.loss + (1.0 - KEEP) * w * (gain @ u) / len(u)
        if counts:
            self.add(nu, x * along[2], expected, predicted_sum)
        self.held = (expected, predicted_sum)
        if boundary:
            self.end_block()

    def add(self, nu, excess, expected, predicted_sum):
        left = max(1.0 - 1.5 * DELAY * self.loss, 0.1)
        quiet = left * (expected - KEEP * self.held[0])  # this bin's share of the monitor's leaky sum
        predicted = predicted_sum - KEEP * self.held[1]
        usual = predicted * self.reference / self.predicted if self.predicted > 0.0 else predicted
        self.j, self.quiet = KEEP * self.j + excess + quiet, KEEP * self.quiet + quiet
        self.j_block, self.q_block = self.j_block + excess + quiet, self.q_block + nu**2 - usual
        self.reference = KEEP_REFERENCE * self.reference + nu**2
        self.predicted = KEEP_REFERENCE * self.predicted + predicted

    def end_block(self):
        self.traces[2], self.traces[1] = self.traces[1].copy(), self.traces[0].copy()
        left = KEEP**DELAY
        self.j_spread = left**2 * self.j_spread + (self.j_block - (1.0 - left) * self.j) ** 2
        self.q_spread = left**2 * self.q_spread + self.q_block**2
        self.j_block = self.q_block = 0.0
        self.blocks += self.predicted > 0.0

    def row(self):
        sums = [self.loss, *self.held, self.j, self.quiet, self.j_spread, self.j_block, self.q_block, self.q_spread]
        return np.concatenate([*self.traces, sums, [self.reference, self.predicted, self.blocks]])


@pytest.mark.parametrize("gaussian", [0.0, 1.0])
@pytest.mark.parametrize("d", [1, 3, 4])
def test_delayed_statistics_are_those_of_dense_matrices(d, gaussian):
    rng = np.random.default_rng(3 + d)
    units, bins = 3, 60
    settings_row, own = np.zeros(columns.N_SETTINGS), np.zeros(late_columns.N_LATE_SETTINGS)
    settings_row[columns.GAUSSIAN], settings_row[columns.KEEP], settings_row[columns.MEMORIES] = gaussian, KEEP, 2.0
    own[late_columns.DELAY], own[late_columns.KEEP_REFERENCE] = DELAY, KEEP_REFERENCE
    state, late = np.zeros((units, columns.N_STATE)), np.zeros((units, 3 * d + N))
    status, noise = np.zeros(units, np.int64), rng.uniform(0.5, 2.0, units)
    twins = [OneUnit(d) for _ in range(units)]
    for number in range(bins):
        factors = rng.normal(0.0, 0.3, (units, d, d))
        covariance = factors @ factors.transpose(0, 2, 1)
        regressors = rng.normal(size=(d, units if number % 2 else 1))
        innovation, valid = rng.normal(size=units), (rng.random(units) < 0.8).astype(float)
        counts = innovation + rng.uniform(0.0, 2.0, units)  # count minus innovation is what was expected
        state[:, columns.SEEN] = [3.0, 3.0, 1.0]  # the filter of the last has not forgotten its start
        state[:, columns.EXPECTED] += rng.uniform(0.0, 1.0, units)
        state[:, columns.PREDICTED] += rng.uniform(0.0, 1.0, units)
        boundary = number % DELAY == DELAY - 1
        gains = np.einsum("iab,bi->ai", covariance, np.broadcast_to(regressors, (d, units)))
        seen = (regressors, counts, valid, innovation, gains, noise, settings_row)
        correlated_step(*seen, own, boundary, False, state, late, status)
        for i, twin in enumerate(twins):
            w = valid[i] / noise[i] if gaussian else valid[i] * max(counts[i] - innovation[i], 0.0)
            x = innovation[i] * w if gaussian else valid[i] * innovation[i]
            u = regressors[:, i if regressors.shape[1] > 1 else 0]
            sums = state[i, columns.EXPECTED], state[i, columns.PREDICTED]
            judged = valid[i] > 0.0 and i < 2
            twin.step(u, covariance[i], w, x, innovation[i], judged, *sums, boundary)
    np.testing.assert_allclose(late, [twin.row() for twin in twins], rtol=1e-9, atol=1e-12)


odd = st.one_of(st.floats(-5.0, 5.0), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]))


@settings(max_examples=60)
@given(st.integers(1, 4), st.data())
def test_a_broken_unit_starts_again_and_no_other_is_touched(d, data):
    units, pairs = 3, d * (d + 1) // 2
    weights = np.array(data.draw(st.lists(odd, min_size=d * units, max_size=d * units))).reshape(d, units)
    covariance = np.array(data.draw(st.lists(odd, min_size=pairs * units, max_size=pairs * units)))
    covariance = covariance.reshape(pairs, units)
    before = weights.copy(), covariance.copy()
    diagonal = [a * (a + 3) // 2 for a in range(d)]
    variances = covariance[diagonal]
    sound = np.isfinite(weights).all(axis=0) & (variances > 0.0).all(axis=0) & np.isfinite(variances).all(axis=0)
    assert repair(weights, covariance, 0.25) == np.sum(~sound)
    np.testing.assert_array_equal(weights[:, sound], before[0][:, sound])
    np.testing.assert_array_equal(covariance[:, sound], before[1][:, sound])
    for i in np.flatnonzero(~sound):
        baseline = before[0][0, i] if np.isfinite(before[0][0, i]) else 0.0
        np.testing.assert_array_equal(weights[:, i], [baseline, *[0.0] * (d - 1)])
        np.testing.assert_array_equal(covariance[:, i], packed(0.25 * np.eye(d)[None])[:, 0])


@given(st.lists(odd, min_size=1, max_size=20), st.floats(0.0, 5.0))
def test_counts_that_nobody_can_have_are_refused_and_counted(values, largest):
    given_values = np.array(values)
    out, valid = np.full(len(values), 9.0), np.full(len(values), 9.0)
    refused = clean_counts(given_values, largest, out, valid)
    good = np.array([bool(abs(value) <= largest) for value in values])
    assert refused == np.sum(~good) and valid.tolist() == good.astype(float).tolist()
    assert out.tolist() == [value if fine else 0.0 for value, fine in zip(values, good, strict=True)]


@given(st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=12), st.integers(0, 11), st.integers(0, 63))
def test_a_checksum_sees_every_bit_and_the_order(values, place, bit):
    array = np.array(values)
    changed = array.copy()
    changed.view(np.uint64)[place % len(values)] ^= np.uint64(1 << bit)
    assert checksum(array) != checksum(changed) and checksum(array) == checksum(array.copy())
