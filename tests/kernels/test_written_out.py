"""Kernels beside the formula that stands in their docstring, written out with dense arrays and plain loops."""

import math

import numpy as np
import pytest
from scipy import linalg, optimize, stats

from bmi_runtime.kernels import (
    coupled_particles,
    encoding_filter,
    filter_bank,
    fokker_planck_fluxes,
    glm,
    glm_proximal,
    goal_feedback,
    history,
    network_products,
    networks,
    population_fit,
    readout,
    tridiagonal,
)
from bmi_runtime.kernels.particles import fires


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def events(counts):
    """Return the non-zero counts (bins, units) as the kernels of the GLM take them: source by source."""
    places = [np.flatnonzero(row) for row in counts.T]
    starts = np.concatenate([[0], np.cumsum([len(place) for place in places])])
    values = [row[place] for row, place in zip(counts.T, places, strict=True)]
    return starts, np.concatenate(places), np.concatenate(values).astype(float)


@pytest.mark.parametrize("first", [0, 3, 9])
def test_history_products_are_the_double_sum_over_sources_and_lags(rng, first):
    bins, units, lags, targets = 14, 3, 5, 2
    counts, filters = rng.poisson(0.4, (first + bins, units)), rng.normal(size=(units, lags, targets))
    residual = rng.normal(size=(bins, targets))
    predictor, gradient = np.ones((bins, targets)), np.ones((units, lags, targets))
    glm.add_history(*events(counts), filters, first, predictor)
    glm.add_history_transpose(*events(counts), residual, first, gradient)
    forward, adjoint = np.ones((bins, targets)), np.ones((units, lags, targets))
    for t in range(bins):
        for j in range(units):
            for m in range(1, lags + 1):
                if first + t - m >= 0:
                    forward[t] += filters[j, m - 1] * counts[first + t - m, j]
                    adjoint[j, m - 1] += residual[t] * counts[first + t - m, j]
    np.testing.assert_allclose(predictor, forward, rtol=1e-12)
    np.testing.assert_allclose(gradient, adjoint, rtol=1e-12)


def test_features_of_the_history_are_counts_filtered_by_each_function(rng):
    bins, units, lags, functions = 12, 3, 4, 2
    counts, basis = rng.poisson(0.5, (bins, units)), rng.normal(size=(1, lags, functions))
    features = np.empty((bins - 2, units * functions))
    glm.history_features(*events(counts), basis, 2, features)
    padded = np.vstack([np.zeros((lags, units)), counts])
    for t in range(2, bins):
        past = padded[t : t + lags][::-1]  # lag 1 first
        np.testing.assert_allclose(features[t - 2], (past.T @ basis[0]).ravel(), rtol=1e-12)


def test_a_correlogram_counts_every_pair(rng):
    one, other, low, shifts = rng.poisson(0.5, (30, 2)), rng.poisson(0.5, (30, 3)), -2, 6
    counts = np.zeros((2, 3, shifts))
    glm.correlogram(*events(one), *events(other), low, counts)
    for d in range(low, low + shifts):
        pairs = [(s, s + d) for s in range(30) if 0 <= s + d < 30]
        wanted = sum(np.outer(one[s], other[u]) for s, u in pairs)
        np.testing.assert_array_equal(counts[:, :, d - low], wanted)


def test_counts_are_quantiles_of_the_poisson_distribution(rng):
    for rate, uniform in zip(rng.uniform(0.01, 40.0, 300), rng.uniform(size=300), strict=True):
        assert glm.poisson_by_inversion(rate, uniform) == stats.poisson.ppf(uniform, rate)


def test_a_simulated_block_is_drawn_bin_by_bin(rng):
    bins, units, lags = 25, 3, 4
    drive, filters = rng.normal(-0.5, 0.3, (bins, units)), rng.normal(-0.1, 0.1, (units, lags, units))
    uniforms, counts = rng.uniform(size=(bins, units)), np.zeros((bins, units), np.int64)
    nothing = np.zeros((0, units), np.int64)
    assert (
        glm.simulate_block(np.zeros((lags + 1, units)), 2, drive, filters, uniforms, nothing, False, 50.0, counts) == -1
    )
    drawn = np.zeros((bins, units))
    for t in range(bins):
        past = sum(drawn[t - m] @ filters[:, m - 1] for m in range(1, lags + 1) if t >= m)
        drawn[t] = stats.poisson.ppf(uniforms[t], np.exp(drive[t] + past))
    np.testing.assert_array_equal(counts, drawn)
    high = np.full((bins, units), 9.0)
    assert (
        glm.simulate_block(np.zeros((lags + 1, units)), 0, high, filters, uniforms, nothing, False, 50.0, counts) == 0
    )


@pytest.mark.parametrize("n", [3, 4, 5, 8, 33])
def test_a_tridiagonal_system_is_solved_as_a_dense_one(rng, n):
    lower, upper = rng.uniform(-1.0, 1.0, (2, n))
    diagonal = 2.5 + rng.uniform(size=n)
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    ratio, back, inverse, x, y, z = (np.empty(n) for _ in range(6))
    tridiagonal.factor(lower, diagonal, upper, ratio, back, inverse)
    x[:], y[:] = rng.normal(size=(2, n))
    z[:] = x
    wanted = np.linalg.solve(matrix, np.c_[x, y])
    tridiagonal.solve(ratio, back, inverse, z)
    tridiagonal.solve_pair(ratio, back, inverse, x, y)
    np.testing.assert_allclose(np.c_[x, y], wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(z, x)


def test_the_factors_of_a_flux_are_bernoullis_function_near_zero_and_far_from_it():
    for y in (-30.0, -2.0, -0.41, -0.39, -1e-3, 1e-3, 0.39, 0.41, 2.0, 30.0):
        onward, backward = y / math.expm1(y), -y / math.expm1(-y)
        bend = 4.0 * (abs(y) / math.expm1(abs(y)) + abs(y) / 2 - 1.0) / (y * y)
        far = fokker_planck_fluxes.closed(y)
        np.testing.assert_allclose(far[:2], (onward, backward), rtol=1e-12)
        if y * y < fokker_planck_fluxes.NEAR:
            even, curved = fokker_planck_fluxes.series(y * y)
            np.testing.assert_allclose((even - y / 2, even + y / 2), (onward, backward), rtol=1e-13)
            assert curved == pytest.approx(bend, rel=1e-6 if abs(y) < 0.01 else 1e-10)
        else:
            assert far[2] == pytest.approx(bend, rel=1e-10)


def test_the_inflow_of_cells_is_a_matrix_that_loses_mass_by_its_sink_and_its_last_edge_alone(rng):
    n = 9
    mass, right, left, sink = rng.uniform(0.1, 1.0, (4, n))
    out, matrix = np.empty(n), np.zeros((n, n))
    fokker_planck_fluxes.divergence(mass, right, left, sink, out)
    for i in range(n):
        matrix[i, i] -= sink[i] + right[i]
        if i + 1 < n:
            matrix[i + 1, i] += right[i]
            matrix[i, i + 1] += left[i]
            matrix[i + 1, i + 1] -= left[i]
    np.testing.assert_allclose(out, matrix @ mass, rtol=1e-12, atol=1e-14)
    assert out.sum() == pytest.approx(-(sink @ mass) - right[-1] * mass[-1])
    x, y = rng.normal(size=(2, 11))
    assert fokker_planck_fluxes.dot(x, y) == pytest.approx(x @ y)
    assert fokker_planck_fluxes.sums(x) == pytest.approx((x.sum(), abs(x).sum()))


def test_a_density_of_potentials_is_advanced_as_by_the_exponential_of_its_operator(rng):
    v = np.linspace(-3.95, 3.95, 80)
    width, sink = v[1] - v[0], np.where(v > 2.0, 5.0, 0.0)
    lower, main, upper, inverse = (np.empty(v.size) for _ in range(4))
    population_fit.operator(v, width, 0.7, 0.4, sink, lower, main, upper)
    matrix = np.diag(main) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    np.testing.assert_allclose(matrix.sum(axis=0), -sink, atol=1e-9)  # what does not fire stays
    rest = np.exp(-((v - 0.7) ** 2) / 0.8)  # of the diffusion alone
    without = matrix + np.diag(sink)
    assert np.abs(without @ rest).max() < 0.02 * np.abs(without).max() * rest.max() * width
    p = np.exp(-((v[:, None] - np.array([0.0, 1.0])) ** 2) / 0.1)
    wanted, step, ratio = linalg.expm(0.02 * matrix) @ p, 0.002, np.zeros(v.size)
    population_fit.factorise(population_fit._GAMMA * step, lower, main, upper, ratio, inverse)
    for _ in range(10):
        population_fit.advance(step, lower, main, upper, ratio, inverse, p, np.empty_like(p))
    np.testing.assert_allclose(p, wanted, atol=2e-4)


def test_coupled_populations_are_stepped_neuron_by_neuron(rng):
    sizes, member = np.array([3.0, 2.0]), np.array([0, 0, 0, 1, 1])
    cells = np.array([[1.0, 0.5], [2.0, 1.8], [2.5, 3.0], [0.3, 0.2], [0.05, 0.0]])
    b, a = np.array([[0.8, -0.6], [0.5, -0.2]]), np.array([[0.1, 0.05], [0.02, 0.1]])
    lags, step, steps = np.array([[1, 2], [1, 1]]), 0.02, 200
    normals, uniforms = rng.normal(size=(steps, 5)), rng.uniform(size=(steps, 5))
    v, resting = np.array([1.0, 1.5, 1.9, 0.5, 1.7]), np.zeros(5, np.int8)
    spikes, arrivals = np.empty((steps, 2)), np.zeros((4, 2))
    mine, rests, fired = v.copy(), np.zeros(5, bool), np.zeros((steps, 2))
    coupled_particles.step_populations(
        v, resting, member, step, normals, uniforms, cells, b, a, lags, arrivals, 0, sizes, spikes
    )
    for s in range(steps):
        for i, k in enumerate(member):
            came = [fired[s - lags[k, j], j] / sizes[j] if s >= lags[k, j] else 0.0 for j in range(2)]
            spread = math.sqrt(2.0 * (cells[3, k] * step + a[k] @ came))
            if rests[i]:
                if uniforms[s, i] < 1.0 - math.exp(-step / cells[4, k]):
                    rests[i], mine[i] = False, cells[0, k]
                continue
            old = mine[i] + b[k] @ came
            mine[i] = old + step * (cells[2, k] - old) + spread * normals[s, i]
            if fires(old, mine[i], cells[1, k], spread, step, 0.0, uniforms[s, i]):
                mine[i], rests[i] = cells[0, k], cells[4, k] > 0.0
                fired[s, k] += 1
    assert spikes.sum() > 30
    np.testing.assert_array_equal(spikes, fired)
    np.testing.assert_allclose(v, mine, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_what_units_share_is_moved_as_by_dense_matrices(rng, d):
    lives, bins, rate, noise = 2, 7, 0.01, 0.5
    a, h, u = rng.normal(size=(lives, d, d)), rng.normal(size=(lives, d)), rng.normal(size=(lives, bins, d))
    p, s = np.array([np.eye(d)] * lives), np.array([0.3 * np.eye(d)] * lives)
    wanted = [part.copy() for part in (a, p, s)]
    goal_feedback.hold(a, p, s, h, u, rate, noise, np.empty(d), np.empty(d), np.empty((d, d)))
    for life in range(lives):
        A, P, S = (part[life] for part in wanted)
        for t in range(bins):
            P += rate * np.eye(d)
            g = P @ h[life] / (noise + h[life] @ P @ h[life])
            A += np.outer(u[life, t] - A @ h[life], g)
            P -= np.outer(g, h[life] @ P)
            keep = np.eye(d) - np.outer(g, h[life])
            S[:] = keep @ S @ keep.T + noise * np.outer(g, g)
    for got, right in zip((a, p, s), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-11, atol=1e-13)


def test_windows_of_the_past_are_sums_over_their_lags(rng):
    counts, edges, scale = rng.poisson(2.0, (9, 3)).astype(float), np.array([0, 1, 3, 7]), np.array([1.0, 0.5, 0.25])
    out = np.empty(9)
    for head in (0, 4, 8):  # the ring has gone round once
        history.box_windows(counts, head, edges, scale, out)
        newest_first = np.roll(counts[::-1], head + 1, axis=0)
        wanted = [f * newest_first[a:b].sum(axis=0) for f, a, b in zip(scale, edges, edges[1:], strict=False)]
        np.testing.assert_allclose(out, np.concatenate(wanted))


def test_weights_on_the_simplex_are_the_best_that_a_solver_finds(rng):
    for _ in range(10):
        factors = rng.normal(size=(6, 5))
        moments, weights = factors.T @ factors / 6, np.full(5, 0.2)
        history.simplex_weights(moments, 2000, weights, np.empty(5))
        found = optimize.minimize(
            lambda w, m=moments: w @ m @ w, np.full(5, 0.2), bounds=[(0.0, 1.0)] * 5, method="SLSQP",
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0}, options={"ftol": 1e-14},
        )  # fmt: skip
        assert weights.min() >= 0.0 and weights.sum() == pytest.approx(1.0)
        assert weights @ moments @ weights <= found.fun + 1e-9


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0, 50.0])
def test_a_group_is_shrunk_to_the_minimum_of_its_penalised_quadratic(rng, strength):
    for _ in range(5):
        factors, linear, out = rng.normal(size=(8, 4)), rng.normal(size=4), np.empty(4)
        matrix = factors.T @ factors
        glm_proximal.shrink_group(*np.linalg.eigh(matrix), linear, strength, np.empty(4), out)
        slope = matrix @ out + linear
        if strength >= np.linalg.norm(linear):
            assert not out.any()  # zero is a minimum where the slope is no longer than the penalty
        else:
            right = strength * out / np.linalg.norm(out) if strength else np.zeros(4)
            np.testing.assert_allclose(slope, -right, atol=1e-9)


@pytest.mark.parametrize("n", [3, 70, 150])
def test_products_of_networks_are_those_of_dense_matrices(rng, n):
    matrix, x, out = rng.normal(size=(n, n)) * (rng.uniform(size=(n, n)) < 0.3), rng.normal(size=n), np.empty(n)
    network_products.product(matrix, x, out)
    np.testing.assert_allclose(out, matrix @ x, rtol=1e-10, atol=1e-12)
    columns, values, starts = np.empty(n * n + 1, np.int64), np.empty(n * n + 1), np.empty(n + 1, np.int64)
    number = network_products.row_entries(matrix, columns, values, starts)
    rows = np.repeat(np.arange(n), np.diff(starts))
    rebuilt = np.zeros((n, n))
    rebuilt[rows, columns[:number]] = values[:number]
    np.testing.assert_array_equal(rebuilt, matrix)
    assert number == np.count_nonzero(matrix)
    assert network_products.row_entries(matrix, columns[:number], values[:number], starts) == -1
    largest, units, codes = np.empty(n), np.empty(n), np.empty((n, n), np.int8)
    network_products.largest_in_rows(matrix.view(np.int64), largest)
    np.testing.assert_array_equal(largest, np.abs(matrix).max(axis=1))
    network_products.compress(matrix, largest, codes, units)
    assert np.abs(matrix - units[:, None] * codes).max() <= 0.5001 * units.max()
    network_products.compressed_product(codes, units, x, np.empty(n, np.int16), out)
    rounding = n * np.abs(x).max() / min(32000.0, math.floor(2147483647.0 / (127.0 * n)) - 1.0) * largest
    np.testing.assert_array_less(np.abs(out - (units[:, None] * codes) @ x), rounding + 1e-12)


def test_a_chebyshev_series_is_summed_as_by_its_polynomials(rng):
    coefficients, x, out = rng.normal(size=7), rng.uniform(-2.0, 4.0, 20), np.empty(20)
    network_products.chebyshev_sum(coefficients, 1.0, 3.0, x, np.empty(20), np.empty(20), out)
    np.testing.assert_allclose(out, np.polynomial.chebyshev.chebval((x - 1.0) / 3.0, coefficients), rtol=1e-12)


def test_neurons_without_noise_go_toward_their_drive_and_rest_after_a_spike():
    constants = np.array([0.9, 0.0, 15.0, 10.0, 0.0, 0.0, 0.0, 0.95, 0.0])
    voltage, held, drive = np.array([12.0, 14.9, 11.0]), np.zeros(3, np.int32), np.array([14.0, 20.0, 12.0])
    mine, rests = voltage.copy(), np.zeros(3, int)
    spiked, noise = np.empty(3, np.int32), np.zeros(3, np.float32)
    for t in range(40):
        arrivals = np.array([0.0, 0.1, 5.0 if t == 20 else 0.0])
        given = arrivals.copy()
        count = networks.advance_grid(voltage, np.zeros(3), held, arrivals, drive, noise, constants, 2, spiked)
        fired = []
        for i in range(3):
            mine[i] = 10.0 if rests[i] else drive[i] + 0.9 * (mine[i] - drive[i]) + given[i]
            rests[i] = max(rests[i] - 1, 0)
            if mine[i] >= 15.0:
                mine[i], rests[i] = 10.0, 2
                fired.append(i)
        assert spiked[:count].tolist() == fired and not arrivals.any()
        np.testing.assert_allclose(voltage, mine, rtol=1e-12)


def test_numbers_of_a_place_are_uniform_and_depend_on_nothing_else():
    drawn = np.array([[networks.uniform_at(5, step, neuron) for neuron in range(50)] for step in range(60)])
    again = networks.uniform_at(5, 41, 17)
    assert drawn[41, 17] == again and networks.uniform_at(6, 41, 17) != again
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.06


@pytest.mark.parametrize("kind", ["features", "poisson", "dispersed"])
def test_filters_of_a_bank_are_scored_by_their_log_likelihood(rng, kind):
    poisson, dispersion = kind != "features", np.zeros(5)
    counts, valid = rng.poisson(2.0, 5).astype(float), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    expected, noise, scores = rng.uniform(0.5, 4.0, (3, 5)), rng.uniform(0.5, 2.0, 5), np.empty(3)
    if kind == "dispersed":
        dispersion = rng.uniform(0.2, 2.0, 5)
    squared = filter_bank.predicted(counts, valid, counts - expected, noise, dispersion, poisson, scores)
    known = valid > 0
    if kind == "poisson":
        wanted = stats.poisson.logpmf(counts, expected)[:, known].sum(axis=1)
    elif poisson:
        of_size = stats.nbinom(1.0 / dispersion, 1.0 / (1.0 + dispersion * expected))
        wanted = of_size.logpmf(counts)[:, known].sum(axis=1)
    else:
        wanted = stats.norm.logpdf(counts, expected, np.sqrt(noise))[:, known].sum(axis=1)
    np.testing.assert_allclose(np.diff(scores), np.diff(wanted), rtol=1e-10)  # up to a term that all share
    variance = expected[-1] if poisson else noise
    assert squared == pytest.approx(np.mean(((counts - expected[-1]) ** 2 / variance)[known]))


@pytest.mark.parametrize("poisson", [False, True])
def test_what_filters_of_a_bank_expect_by_other_weights(rng, poisson):
    weights, regressors, own = (
        rng.normal(0, 0.5, (3, 5, 4)),
        np.append(1.0, rng.normal(size=2)),
        rng.normal(size=(2, 4)),
    )
    counts, errors = rng.poisson(2.0, 4).astype(float), np.empty((3, 4))
    filter_bank.errors_of(weights, regressors, own, counts, poisson, 0.02, np.empty(4), errors)
    for row in range(3):
        for unit in range(4):
            drive = np.append(regressors, own[:, unit]) @ weights[row, :, unit]
            expected = 0.02 * np.exp(drive) if poisson else drive
            assert errors[row, unit] == pytest.approx(counts[unit] - expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["poisson", "gaussian"])
def test_a_bank_learns_as_its_filters_would_alone_and_is_judged_by_weights_of_before(rng, kind):
    """Of five units of which three are in the bank, two filters, a unit's own history, and a count that is missing."""
    poisson, units = kind == "poisson", np.array([0, 2, 4])
    weights, covariance = rng.normal(0, 0.3, (2, 4, 3)), np.zeros((2, 10, 3))
    covariance[:, [0, 2, 5, 9]] = 0.1
    own = rng.normal(size=(1 if poisson else 0, 5))
    regressors = rng.normal(size=3 if poisson else 4)
    earlier, rate = rng.normal(0, 0.3, (3, 4, 3)), np.array([[1e-4] * 3, [1e-2] * 3])
    counts, valid, noise, innovation = rng.poisson(1.0, 5).astype(float), np.array([1.0, 1, 0, 1, 1]), *np.ones((2, 5))
    alone = [(weights[row].copy(), covariance[row].copy()) for row in range(2)]
    scratch, dispersions, errors = np.empty((9, 8)), np.full((3, 3), 0.2), np.empty((3, 3))
    sums = np.vstack([np.zeros(3), [1.0, 2.0, 0.0]])
    work = np.empty((5, 3)), np.empty((len(own), 3)), scratch
    filter_bank.take_in(
        (weights, covariance), (counts, valid, noise, innovation), units, regressors, own, rate, 0.02,
        (poisson, True, True), earlier, 0.01, dispersions, errors, sums, work,
    )  # fmt: skip
    of_units, mine, unused = (counts[units], valid[units]), np.ascontiguousarray(own[:, units]), np.empty((2, 3))
    for row, (w, s) in enumerate(alone):
        if poisson:
            encoding_filter.adapt_poisson_own(w, s, *of_units, regressors, mine, rate[row], 0.02, *unused, scratch)
        else:
            encoding_filter.adapt_gaussian(w, s, *of_units, regressors, rate[row], np.ones(3), *unused, scratch)
        np.testing.assert_array_equal(weights[row], w)
        np.testing.assert_array_equal(covariance[row], s)
    wanted = np.empty((3, 3))
    filter_bank.errors_of(earlier, regressors, mine, counts[units], poisson, 0.02, np.empty(3), wanted)
    np.testing.assert_array_equal(errors, wanted)
    np.testing.assert_allclose(sums[1], 0.99 * np.array([1.0, 2.0, 0.0]) + sums[0] - sums[0, -1])


def test_dispersion_is_found_where_it_is_and_not_from_what_is_missing(rng):
    sums, dispersion, mean = np.zeros((2, 3)), np.zeros(3), 2.0
    valid = np.array([1.0, 1.0, 0.0])
    for _ in range(20_000):
        counts = np.array([rng.poisson(mean), rng.negative_binomial(2.0, 0.5), rng.poisson(9.0)], float)
        filter_bank.follow_dispersion(counts, valid, counts - mean, 1e-4, sums, dispersion)
    assert dispersion[0] < 0.03 and dispersion[1] == pytest.approx(0.5, rel=0.1) and dispersion[2] == 0.0


def test_a_read_out_is_taught_as_by_the_gaussian_filter(rng):
    p, outputs, rate, noise = 4, 2, 0.02, 0.7
    state, mean, basis = rng.normal(size=6).astype(np.float32), rng.normal(size=6), rng.normal(size=(6, p - 1))
    features = np.empty(p)
    readout.project(state, mean, basis, features)
    np.testing.assert_allclose(features, [1.0, *((state - mean) @ basis)], rtol=1e-6)
    weights, covariance = rng.normal(size=(p, outputs)), np.eye(p)
    w, S = weights.copy(), covariance.copy()
    for _ in range(5):
        g, residual = rng.normal(size=p), rng.normal(size=outputs)
        readout.teach(g, residual, rate, noise, weights, covariance, np.empty(p))
        P = S + rate * np.eye(p)
        k = P @ g / (noise + g @ P @ g)
        w, S = w + np.outer(k, residual - g @ w), P - np.outer(k, g @ P)
        np.testing.assert_allclose(weights, w, rtol=1e-11)
        np.testing.assert_allclose(covariance, S, rtol=1e-10, atol=1e-12)
