"""Kernels beside the same thing written plainly: dense linear algebra, loops over spikes, sums over all cases."""

import math

import numpy as np
import pytest
from scipy import stats

from bmi_runtime.kernels import (
    binning,
    calibration,
    encoding_mc,
    linear,
    perturbation,
    rows,
    state_filter,
    steering,
    targets,
)

RNG = np.random.default_rng(3)


def spd(n, scale=1.0):
    root = RNG.normal(size=(n, n))
    return scale * (root @ root.T + np.eye(n))


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_gaussian_state_is_moved_on_and_conditioned_as_in_the_textbook(n):
    transition, drive, covariance = RNG.normal(size=(n, n)), spd(n), spd(n)
    mean, observation, noise = RNG.normal(size=n), RNG.normal(size=(5, n)), spd(5)
    y, work = RNG.normal(size=5), np.empty((n, 2 * n + 1))
    prior_mean, prior = transition @ mean, transition @ covariance @ transition.T + drive
    gain = prior @ observation.T @ np.linalg.inv(observation @ prior @ observation.T + noise)
    linear.advance(transition, drive, mean, covariance, work)
    np.testing.assert_allclose(mean, prior_mean, rtol=1e-12)
    np.testing.assert_allclose(covariance, prior, rtol=1e-12, atol=1e-12)
    weighted = observation.T @ np.linalg.inv(noise)
    linear.condition(np.ascontiguousarray(weighted @ observation), weighted @ y, mean, covariance, work)
    np.testing.assert_allclose(mean, prior_mean + gain @ (y - observation @ prior_mean), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(covariance, prior - gain @ observation @ prior, rtol=1e-7, atol=1e-7)


def test_conditioning_exchanges_rows_where_it_must():
    """A pivot of zero in the first column: without an exchange of rows this divides by zero."""
    covariance, information = np.array([[1.0, 2.0], [2.0, 5.0]]), np.array([[-1.0, 0.0], [0.0, 0.5]])
    expected = np.linalg.inv(np.eye(2) + covariance @ information) @ covariance
    linear.condition(information, np.zeros(2), np.zeros(2), covariance, np.empty((2, 5)))
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)


def test_sums_of_weighted_inputs():
    weights, inputs, out = RNG.normal(size=(7, 11)), RNG.normal(size=11), np.empty(7)
    linear.weighted_sums(weights, inputs, out)
    np.testing.assert_allclose(out, weights @ inputs, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 127, 128])
def test_loops_over_one_row(size):
    x, y, z, out = (RNG.normal(size=size) for _ in range(4))
    mask = (RNG.random(size) < 0.5).astype(float)
    for kernel, arguments, expected in (
        (rows.fill, (1.5,), np.full(size, 1.5)),
        (rows.scaled, (2.0, x), 2 * x),
        (rows.add_scaled, (2.0, x), out + 2 * x),
        (rows.product, (x, y), x * y),
        (rows.add_product, (x, y), out + x * y),
        (rows.add_scaled_product, (3.0, x, y), out + 3 * x * y),
        (rows.subtract_outer, (x, y, z), out - x * y * z),
        (rows.grow_and_subtract_square, (x, y, z), (out + x) - y * z * z),
        (rows.limited_sum, (0.5, -1.0, 1.0), np.clip(out + 0.5, -1.0, 1.0)),
        (rows.masked_exponential, (x, mask), np.exp(x) * mask),
        (rows.masked_difference, (x, mask, y), x * mask - y),
    ):
        given = out.copy()
        kernel(given, *arguments)
        np.testing.assert_allclose(given, expected, rtol=1e-13, atol=1e-13, err_msg=kernel.__name__)
    left, right = x.copy(), y.copy()
    rows.add_crosswise(left, right, z, 2.0, 3.0)
    np.testing.assert_allclose([left, right], [x + 3 * z, y + 2 * z], rtol=1e-13)
    assert rows.largest(x) == x.max()
    assert rows.total(x) == pytest.approx(x.sum(), abs=1e-12) and rows.dot(x, y) == pytest.approx(x @ y, abs=1e-12)


def test_candidates_are_weighed_by_bayes_rule():
    keep, pull, temper, hazard, spread = 0.9, 2.0, 0.3, 0.02, 0.04
    candidates, position = np.array([[0.1, 0.0], [0.0, 0.1], [-0.1, -0.1]]), np.array([0.02, 0.03])
    velocity, aims = np.array([0.2, -0.05]), RNG.normal(0.0, 0.2, (3, 2))
    weights, apart, shares = np.array([0.5, 0.3, 0.2]), np.empty(2), np.empty(3)
    aim = keep * aims + pull * (candidates - position)
    prior = (1 - hazard) * weights + hazard / 3
    density = stats.multivariate_normal(velocity, spread * np.eye(2)).pdf(aim)
    posterior = prior * density**temper / np.sum(prior * density**temper)
    square = ((velocity - aim) ** 2).sum(axis=1)
    seen = (candidates, keep, pull, 1.0, temper, hazard, spread, 0.0, aims, weights, apart, shares)
    assert targets.weigh(position, velocity, *seen)
    np.testing.assert_allclose(shares, (density / density.max()) ** temper, rtol=1e-12)
    np.testing.assert_allclose(aims, aim, rtol=1e-12)
    np.testing.assert_allclose(weights, posterior, rtol=1e-12)
    np.testing.assert_allclose(apart, [posterior @ square / 2, square.min() / 2], rtol=1e-12)
    nothing = np.array([np.nan, 0.1])
    before = apart.copy()
    assert not targets.weigh(position, nothing, *seen)
    np.testing.assert_allclose(weights, (1 - hazard) * posterior + hazard / 3, rtol=1e-12)
    np.testing.assert_array_equal(apart, before)


def test_candidates_are_weighed_by_student_s_t_around_a_share_of_their_aims():
    gain, temper, hazard, spread, freedom = 0.6, 0.3, 0.02, 0.04, 3.0
    candidates, position, velocity = np.array([[0.1, 0.0], [0.0, 0.1]]), np.zeros(2), np.array([0.2, -0.05])
    aims, weights, apart, shares = RNG.normal(0.0, 0.2, (2, 2)), np.array([0.7, 0.3]), np.empty(2), np.empty(2)
    aim = 0.9 * aims + 2.0 * candidates
    density = stats.multivariate_t(velocity, spread * np.eye(2), df=freedom).pdf(gain * aim)
    seen = (candidates, 0.9, 2.0, gain, temper, hazard, spread, freedom, aims, weights, apart, shares)
    prior = (1 - hazard) * weights + hazard / 2
    assert targets.weigh(position, velocity, *seen)
    np.testing.assert_allclose(shares, (density / density.max()) ** temper, rtol=1e-12)
    np.testing.assert_allclose(weights, prior * shares / np.sum(prior * shares), rtol=1e-12)
    square = ((velocity - gain * aim) ** 2).sum(axis=1)
    np.testing.assert_allclose(apart, [weights @ square / 2, square.min() / 2], rtol=1e-12)


def steered(subject, lateness, prior, gain, reading, information, noise, bins, goals, task):
    """Trials of a subject behind a Kalman filter of the velocity, whole paths kept and looked up; standard."""
    (keep, pull, fastest), (decay, drift), (radius, hold, timeout, pause, wall, bin_s) = subject, prior, task
    cursors, shown, aim, decoded, squares = [np.zeros(2)], [], np.zeros(2), np.zeros(2), 0.0
    variance = drift / (1 - decay**2) * np.eye(2)
    trials, trial, time, held, rest = [], 0, 0, 0, 0
    for t in range(bins):
        goal = goals[trial % len(goals)]
        shown.append(goal)
        seen = cursors[t - lateness[0]] if t >= lateness[0] else np.zeros(2)
        known = shown[t - lateness[1]] if t >= lateness[1] else goals[0]
        aim = keep * aim + pull * (known - seen)
        aim *= min(1.0, fastest / max(np.linalg.norm(aim), 1e-300))
        prior_mean, prior_variance = decay * decoded, decay**2 * variance + drift * np.eye(2)
        variance = np.linalg.inv(np.linalg.inv(prior_variance) + information)
        z = reading @ aim + noise[t % len(noise)]
        decoded = prior_mean + variance @ (z - reading @ prior_mean)
        squares += np.sum((decoded - aim) ** 2)
        cursors.append(np.clip(cursors[-1] + bin_s * gain * decoded, -wall, wall))
        away = np.sum((cursors[-1] - goal) ** 2)
        if rest:
            rest -= 1
            if rest == 0:
                trial, time, held = trial + 1, 0, 0
            continue
        time += 1
        held = held + 1 if away <= radius**2 else 0
        success = held > 0 and held >= hold
        if success or time >= timeout:
            trials.append((time * bin_s, float(success)))
            rest = max(int(pause), 1)
    return trials, trial, squares / bins


@pytest.mark.parametrize(("lateness", "pause"), [((0, 0), 0), ((3, 5), 5), ((6, 2), 1)])
def test_trials_are_steered_as_by_a_kalman_filter(lateness, pause):
    """Where nothing grows with speed and nothing is learned again, `steer` is the textbook filter in a loop."""
    reading, bins = np.array([[40.0, 5.0], [-3.0, 50.0]]), 900
    subject, prior = np.array([0.8, 1.2, 0.5]), np.array([0.95, 2e-4])
    noise = RNG.normal(0.0, 6.0, (300, 2))
    goals = np.array([[0.08, 0.0], [0.0, 0.0], [0.0, 0.08], [-0.08, 0.0]])
    task = np.array([0.02, 4.0, 60.0, pause, 0.2, 0.05])
    maps, information = np.zeros((6, 2, 3)), 0.5 * (reading + reading.T)
    maps[0, :, :2], maps[2, :, :2], maps[4, :, :2] = reading, reading, information
    outcome, late = np.zeros((200, 2)), np.array(lateness)
    done, squares = steering.steer(
        subject, late, np.zeros(4), prior, 1.1, maps, noise, 0.0, 1e9, 0, bins, goals, task, outcome
    )
    expected, trials, mean = steered(subject, lateness, prior, 1.1, reading, information, noise, bins, goals, task)
    assert done == trials > 5 and squares == pytest.approx(mean, rel=1e-8)
    np.testing.assert_allclose(outcome[:done], expected[:done], rtol=1e-9)


def test_a_clamped_network_is_stepped_entry_by_entry():
    n, steps = 6, 40
    matrix = RNG.normal(size=(n, n)) * (RNG.random((n, n)) < 0.5)
    starts = np.concatenate([[0], np.cumsum((matrix != 0).sum(axis=1))])
    sources = np.concatenate([np.flatnonzero(row) for row in matrix])
    weights = np.concatenate([row[row != 0] for row in matrix])
    drive = RNG.normal(size=(steps, n))
    assignments = np.where(RNG.random((steps, n)) < 0.2, RNG.integers(0, 2, (steps, n)), -1).astype(np.int8)
    activity = np.zeros((steps, n))
    expected = activity.copy()
    for t in range(steps):
        if t:
            expected[t] = 1.0 / (1.0 + np.exp(-(matrix @ expected[t - 1] + drive[t - 1])))
        expected[t] = np.where(assignments[t] >= 0, assignments[t], expected[t])
    perturbation.clamped_sigmoid(starts, sources, weights, drive, assignments, activity)
    np.testing.assert_allclose(activity, expected, rtol=1e-12)
    uniforms, added = RNG.random((steps, n)), RNG.integers(0, 2, (steps, n))
    log_rates, counts = RNG.normal(-1.0, 0.3, (steps, n)), np.zeros((steps, n))
    perturbation.clamped_spikes(starts, sources, 0.1 * weights, log_rates, uniforms, assignments, added, 8.0, counts)
    for t in range(steps):
        mean = np.minimum(np.exp(log_rates[t] + (0.1 * matrix @ counts[t - 1] if t else 0.0)), 8.0)
        free = stats.poisson.ppf(uniforms[t], mean) + added[t]
        np.testing.assert_array_equal(counts[t], np.where(assignments[t] >= 0, assignments[t], free))


def test_an_impulse_response_is_the_sum_over_all_paths():
    n, lags = 4, 6
    connections = np.array([(0, 1), (1, 2), (2, 0), (3, 1)])  # target, source
    gains, direct, rates = RNG.uniform(0, 0.5, (4, 3)), np.zeros((n, lags)), RNG.uniform(0.1, 0.4, n)
    direct[1, 0] = 1.0
    expected = rates[:, None] * direct
    for m in range(lags):
        for i in range(n):
            heard = sum(
                gains[p, back - 1] * expected[source, m - back]
                for p, (target, source) in enumerate(connections)
                for back in range(1, min(m, 3) + 1)
                if target == i
            )
            expected[i, m] = rates[i] * (direct[i, m] + heard)
    response = np.empty((n, lags))
    perturbation.impulse_response(rates, connections[:, 0].copy(), connections[:, 1].copy(), gains, direct, response)
    np.testing.assert_allclose(response, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("late_limit_bins", "inside"), [(-1, True), (2, True), (2, False)])
def test_spikes_fall_into_their_bins_one_by_one(late_limit_bins, inside):
    slots, units, width, origin, first = 5, 3, 1000, 250, 7
    until = origin + (first + 4) * width + 300
    begin = origin + (first - 3) * width + 100
    times = np.sort(RNG.integers(begin if inside else origin - 2000, until if inside else until + 9000, 400))
    of = RNG.integers(0, units, 400)
    values, covered, late = np.zeros((slots, units)), np.zeros(slots, np.int64), np.zeros(units)
    answer = binning.add_spikes(
        values, covered, late, times, of, begin, until, origin, width, first, late_limit_bins * width, inside
    )
    wanted, held, missed, moved, far = np.zeros((slots, units)), np.zeros(units), 0, 0, 0
    for time, unit in zip(times.tolist(), of.tolist(), strict=True):
        index = math.floor((time - origin) / width)
        if index >= first + slots:
            far += 1
        elif index >= first:
            wanted[index % slots, unit] += 1
        elif inside or index >= 0:
            missed += 1
            if first - index <= late_limit_bins:
                moved, held[unit] = moved + 1, held[unit] + 1
    assert answer == (missed, moved, far)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(late, held)
    ns = np.arange(begin, until)  # every ns of the piece that lies in an open bin, counted
    index = (ns - origin) // width
    expected = np.bincount(index[index >= first] % slots, minlength=slots)
    np.testing.assert_array_equal(covered, expected)


def test_a_bin_is_written_and_wiped_and_rounding_conserves_the_total():
    values, late, remainder = RNG.uniform(0, 3, (40, 2)), np.array([2.0, 0.0]), np.zeros(2)
    total, written = values.sum(axis=0) + late, np.zeros(2)
    out = np.zeros(2, np.uint16)
    for slot in range(40):
        binning.close_bin(values, slot, late, True, remainder, True, False, out)
        written += out
    np.testing.assert_allclose(written + remainder, total, rtol=1e-12)
    assert not values.any() and not late.any() and (np.abs(remainder) <= 0.5).all()
    features, large = np.zeros(2), np.array([[1e6, -2.5]])
    binning.close_bin(large.copy(), 0, late, False, remainder, False, True, features)
    assert features.tolist() == [1e6, -2.5]
    binning.close_bin(large, 0, late, False, remainder, False, False, features)
    assert features[0] == binning.LARGEST_COUNT


def test_samples_are_counts_or_are_refused():
    counts = np.zeros(2)
    assert binning.count_samples(np.array([[9.0, 1.0, 2.0], [9.0, 0.0, 3.0]]), 1, counts)
    assert counts.tolist() == [3.0, 3.0]
    for wrong in (0.5, -4.0, np.nan, 1e9):
        assert not binning.count_samples(np.array([[0.0, wrong]]), 0, counts)


@pytest.mark.parametrize("histories", [0, 2])
@pytest.mark.parametrize("single", [0.0, 1.0])
def test_the_covariance_recursion_is_that_of_dense_matrices(single, histories):
    d, units, bins, rate = 3 + histories, 5, 30, np.full(5, 1e-4)
    u = np.column_stack([np.ones(bins), RNG.normal(0.0, 0.6, (bins, 2))])
    own = RNG.normal(0.0, 0.5, (bins, histories, units)) if histories else calibration.NO_OWN
    gains, scale = RNG.normal(0.0, 0.5, (d, units)), np.full(units, 0.05)
    lower = np.tril_indices(d)
    filters, errors = [0.1 * spd(d) for _ in range(units)], [0.1 * spd(d) for _ in range(units)]
    packed = [np.array([matrix[lower] for matrix in kind]).T.copy() for kind in (filters, errors)]
    transition, total = np.tile(np.eye(d).ravel()[:, None], units), np.zeros((len(lower[0]), units))
    scratch, still = np.empty((4 * d + 6, 2)), np.full(units, 1e-5)
    calibration.covariance_pass(u, own, gains, scale, single, rate, still, *packed, transition, total, scratch)
    for unit in range(units):
        s, e, t, summed = filters[unit], errors[unit], np.eye(d), np.zeros((d, d))
        for row in np.hstack([u, own[:, :, unit] if histories else np.zeros((bins, 0))]):
            w = scale[unit] * np.exp(row @ gains[:, unit])
            p = s + rate[unit] * np.eye(d)
            s = np.linalg.inv(np.linalg.inv(p) + w * np.outer(row, row))
            k = np.eye(d) - w * np.outer(s @ row, row)
            e = k @ (e + still[unit] * np.eye(d)) @ k.T + w * (1 - single * w) * np.outer(s @ row, s @ row)
            t, summed = k @ t, summed + e
        np.testing.assert_allclose(packed[0][:, unit], s[lower], rtol=1e-9)
        np.testing.assert_allclose(packed[1][:, unit], e[lower], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(transition[:, unit], t.ravel(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(total[:, unit], summed[lower], rtol=1e-8, atol=1e-12)


def test_a_perfect_cursor_follows_its_aim():
    goals, keep, pull, bin_s = RNG.normal(0.0, 0.1, (50, 2)), 0.95, 0.4, 0.01
    states, cursor = np.empty((50, 2)), np.empty((50, 2))
    encoding_mc.aim_perfectly(goals, keep, pull, bin_s, states, cursor)
    x, v = np.zeros(2), np.zeros(2)
    for t in range(50):
        v = keep * v + pull * (goals[t] - x)
        x = x + bin_s * v
        np.testing.assert_allclose((states[t], cursor[t]), (10.0 * v, x), rtol=1e-12, atol=1e-15)


def test_the_planes_update_written_out_is_the_update_of_any_number_of_axes():
    score, information, covariance = RNG.normal(size=2), spd(2), spd(2, 0.3)
    mean = RNG.normal(size=2)
    plain_mean, plain, work = mean.copy(), covariance.copy(), np.zeros((2 + 2, 5))
    state_filter.update_state(plain_mean, plain, score, information, 1.0, work)
    steering._update_plane(mean, covariance, score, information)
    np.testing.assert_allclose(mean, plain_mean, rtol=1e-12)
    np.testing.assert_allclose(covariance, plain, rtol=1e-11)
