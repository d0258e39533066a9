"""The history decoder and its parts: against brute force, and on simulated sessions against static decoders."""

import numpy as np
import pytest

from bmi_runtime.decoding import baselines
from bmi_runtime.decoding.expert_mixture import Mixture
from bmi_runtime.decoding.history import HistoryDecoder, window_edges_bins
from bmi_runtime.decoding.history_experts import Layout, regress
from bmi_runtime.decoding.moments import JointMoments
from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config, scores
from bmi_runtime.kernels.history import box_windows, simplex_weights
from bmi_runtime.sources.datafile import recording_from_arrays


def made(seed, bins=1500, units=12, lead=2, bin_s=0.05, drift=0.0, spoil=False, trials=False, position=True):
    """Return a recording of log-linear Poisson units that lead a smooth random movement by `lead` bins."""
    rng = np.random.default_rng(seed)
    velocity = np.zeros((bins, 2))
    drive = np.zeros(2)
    for index in range(1, bins):
        drive = 0.85 * drive + rng.normal(size=2)
        velocity[index] = 0.6 * velocity[index - 1] + 0.4 * drive
    velocity /= velocity.std()
    where = np.zeros((bins, 2))
    for index in range(1, bins):
        where[index] = 0.97 * where[index - 1] + bin_s * velocity[index]
    starts = None
    if trials:
        starts = np.arange(0, bins, 40)
        for start in starts:
            where[start : start + 40] += rng.normal(size=2)
    angle = rng.uniform(0, 2 * np.pi, units) + drift * np.linspace(0, 1, bins)[:, None]
    ahead = np.vstack([velocity[lead:], np.zeros((lead, 2))])
    tuned = np.cos(angle) * ahead[:, :1] + np.sin(angle) * ahead[:, 1:]
    counts = rng.poisson(np.exp(-0.3 + 0.5 * tuned))
    if spoil:
        counts[:, 0] = 0
        counts[:, 2] = counts[:, 1]
        counts[int(0.7 * bins) :, 3] = 0
    return recording_from_arrays("made", counts, bin_s, velocity, where if position else None, starts)


def decoded(data, train):
    decoder = HistoryDecoder(data.n_units, data.bin_s, data.position is not None)
    session = OpenLoopSession(open_loop_config(data), decoder, data.trial_start, data.restart, train)
    for counts, kinematics in zip(data.counts, data.kinematics, strict=True):
        session.advance(counts, kinematics)
    return session.states


CASES = [
    {"seed": 1},
    {"seed": 2, "drift": 1.5, "bins": 2500},
    {"seed": 3, "spoil": True},
    {"seed": 4, "trials": True},
    {"seed": 5, "position": False, "units": 4},
    {"seed": 6, "bin_s": 0.1, "lead": 1, "units": 60},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case))
def test_never_under_the_plain_kalman_filter(case):
    data = made(**case)
    train = data.split(0.8)
    ours = np.array(scores(data, decoded(data, train), train)["r2_velocity"])
    kalman = np.array(scores(data, baselines.kalman_states(data, train), train)["r2_velocity"])
    assert np.all(kalman > 0.2)
    assert np.all(ours > kalman)


def test_decoding_is_causal_and_deterministic_and_blind_to_the_test_kinematics():
    data = made(8, bins=600)
    train = 400
    states = decoded(data, train)
    changed = made(8, bins=600)
    changed.counts[550:] = 7.0
    changed.velocity[train:] = np.nan
    changed.position[train:] = np.nan
    again = decoded(changed, train)
    np.testing.assert_array_equal(again[:550], states[:550])
    assert np.abs(again[550] - states[550]).max() > 0.0
    assert np.isfinite(states).all()


def test_gaps_in_the_recorded_kinematics_are_no_lesson():
    data = made(9, bins=900)
    data.velocity[100:110] = np.nan
    data.position[500] = np.nan
    states = decoded(data, 720)
    assert np.isfinite(states).all()
    assert min(scores(data, states, 720)["r2_velocity"]) > 0.5


@pytest.mark.parametrize("forgetting", [0.0, 3.0])
def test_moments_are_the_weighted_sums(forgetting):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(100, 4)) + 2.0
    moments = JointMoments(5, forgetting)
    for row in values:
        moments.add(np.concatenate([[1.0], row]))
    edges = np.minimum(np.arange(16, 116, 16), 100)  # bins of one block share a weight
    weights = np.repeat((edges / 100.0) ** forgetting, np.diff(np.concatenate([[0], edges])))
    weight, mean, gram = moments.centred()
    expected_mean = weights @ values / weights.sum()
    centred = values - expected_mean
    np.testing.assert_allclose(weight, weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-12)
    np.testing.assert_allclose(gram, (centred * weights[:, None]).T @ centred, rtol=1e-9, atol=1e-9)


def test_regression_from_moments_is_least_squares():
    rng = np.random.default_rng(2)
    inputs, noise = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
    outputs = inputs @ rng.normal(size=(3, 2)) + noise
    both = np.hstack([inputs, outputs])
    both -= both.mean(axis=0)
    weights, residual = regress(both.T @ both, np.arange(3), np.arange(3, 5), np.zeros(3))
    expected = np.linalg.lstsq(both[:, :3], both[:, 3:], rcond=None)[0]
    np.testing.assert_allclose(weights, expected, rtol=1e-10)
    error = both[:, 3:] - both[:, :3] @ expected
    np.testing.assert_allclose(residual, error.T @ error, rtol=1e-9)


def test_windows_are_sums_of_past_counts():
    rng = np.random.default_rng(3)
    counts = rng.poisson(2.0, (30, 3)).astype(float)
    edges, scale = np.array([0, 1, 3, 7]), np.array([1.0, 0.5, 2.0])
    ring, out = np.zeros((7, 3)), np.empty(9)
    for index, row in enumerate(counts):
        ring[index % 7] = row
        box_windows(ring, index % 7, edges, scale, out)
    expected = [scale[w] * counts[29 - edges[w + 1] + 1 : 30 - edges[w]].sum(axis=0) for w in range(3)]
    np.testing.assert_allclose(out, np.concatenate(expected))


def test_weights_on_the_simplex_satisfy_the_optimality_conditions():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(9, 9))
    moments = root @ root.T + 0.1 * np.eye(9)
    weights = np.full(9, 1 / 9)
    simplex_weights(moments, 5000, weights, np.empty(9))
    gradient = moments @ weights
    used = weights > 1e-9
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-12)
    assert weights.min() >= 0.0
    assert 0 < used.sum() < 9
    np.testing.assert_allclose(gradient[used], gradient[used].min(), rtol=1e-6)
    assert gradient[~used].min() >= gradient[used].min() - 1e-9


def test_mixture_trusts_what_is_clearly_better_and_falls_back_otherwise():
    rng = np.random.default_rng(5)
    clear, unclear = Mixture(3, 1, plain=[0]), Mixture(3, 1, plain=[0])
    for _ in range(2000):
        truth, shared = rng.normal(size=1), rng.normal()
        noise = rng.normal(size=2)
        clear.learn(truth + np.array([[2.0 * shared], [noise[0]], [noise[1]]]), truth)
        unclear.learn(truth + np.array([[shared], [shared + 2.0 * noise[0]], [shared - 2.0 * noise[0]]]) * 1.0, truth)
    clear.refresh()
    unclear.refresh()
    assert clear.confidence[0] > 0.9
    np.testing.assert_allclose(clear.weights[0, 1:], 0.45, atol=0.08)
    np.testing.assert_allclose(unclear.combine(np.ones((3, 1))), 1.0)
    assert unclear.weights[0, 0] > 0.5


def test_number_of_batches_stays_bounded_and_keeps_every_error():
    mixture = Mixture(2, 1, plain=[0])
    for _ in range(5000):
        mixture.learn(np.array([[1.0], [2.0]]), np.zeros(1))
    np.testing.assert_allclose(mixture._batches.sum(axis=0)[0], 5000 * np.array([[1.0, 2.0], [2.0, 4.0]]))


@pytest.mark.parametrize(("bin_s", "units"), [(0.02, 10), (0.05, 171), (0.1, 40), (0.05, 900), (0.05, 4000)])
def test_windows_reach_half_a_second_within_a_bounded_size(bin_s, units):
    edges = window_edges_bins(bin_s, units)
    assert edges[0] == 0 and np.all(np.diff(edges) > 0)
    assert edges[-1] * bin_s >= 0.49
    assert (len(edges) - 1) * units <= max(1500, units)


def test_layout_says_where_counts_and_kinematics_stand():
    layout = Layout(dims=4, lead_bins=2, lag_bins=1, units=3, windows=2)
    assert layout.kinematic_size == 16
    assert layout.now() == slice(8, 12)
    assert layout.counts(1, 2) == slice(19, 22)
