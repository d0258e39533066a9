"""Kernels beside plain loops over every neuron, cell and bin, and beside scipy's distributions."""

import numpy as np
import pytest
from scipy import interpolate, stats

from bmi_runtime.kernels import (
    fokker_planck,
    fokker_planck_equation,
    fokker_planck_fluxes,
    fokker_planck_weights,
    particles,
    perturbation,
    rehearsal,
    scores,
)
from bmi_runtime.kernels.calibration import NO_OWN
from bmi_runtime.kernels.poisson_moments import BLOCK, poisson_moments


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("histories", [0, 2])
@pytest.mark.parametrize("common", [1, 2, 3, 7])
@pytest.mark.parametrize("units", [0, 1, BLOCK + 1])
@pytest.mark.parametrize("bins", [0, 1, 23])
def test_moments_of_a_poisson_fit_are_sums_over_the_bins(rng, bins, units, common, histories):
    d = common + histories
    u = np.c_[np.ones(bins), rng.normal(size=(bins, common - 1))]
    own = rng.poisson(0.5, (bins, histories, units)).astype(float) if histories else NO_OWN
    weights = rng.normal(0.0, 0.4, (d, units))
    out = np.full((d * (d + 1) // 2, units), np.nan)
    poisson_moments(u, own, weights, np.log(0.05), out)
    every = np.repeat(u[:, :, None], units, axis=2)
    every = np.concatenate([every, own], axis=1) if histories else every
    expected = 0.05 * np.exp(np.einsum("tdn,dn->tn", every, weights))
    wanted = np.einsum("tin,tn,tjn->ijn", every, expected, every)[np.tril_indices(d)]
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-13)


def test_rates_that_no_unit_has_stay_finite():
    out = np.empty((1, 1))
    poisson_moments(np.ones((2, 1)), NO_OWN, np.full((1, 1), 900.0), 0.0, out)
    assert out[0, 0] == pytest.approx(2.0 * np.exp(30.0))


@pytest.mark.parametrize("dispersion", [0.3, 0.6, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("mean", [0.02, 0.4, 3.0, 20.0])
def test_counts_are_quantiles_of_binomial_poisson_and_negative_binomial(rng, mean, dispersion):
    """Below one the binomial of the fewest trials that is not too regular: its mean is kept, its variance not above."""
    if dispersion == 1.0:
        law = stats.poisson(mean)
    elif dispersion > 1.0:
        size = mean / (dispersion - 1.0)
        law = stats.nbinom(size, 1.0 / dispersion)
    else:
        trials = max(np.ceil(mean / (1.0 - dispersion)), 1.0)
        law = stats.binom(int(trials), mean / trials)
        assert law.var() >= dispersion * mean - 1e-12
    assert law.mean() == pytest.approx(mean)
    uniforms = rng.uniform(0.001, 0.999, 400)
    counts = [rehearsal.count_by_inversion(mean, dispersion, uniform) for uniform in uniforms]
    near = np.abs(law.cdf(np.arange(200))[:, None] - uniforms).min(axis=0) < 1e-9  # on the edge of two counts
    np.testing.assert_array_equal(np.asarray(counts)[~near], law.ppf(uniforms)[~near])


@pytest.mark.parametrize(("units", "lags", "factors"), [(1, 1, 0), (3, 4, 2), (7, 2, 1)])
def test_counts_of_a_world_are_drawn_unit_by_unit_and_act_later(rng, units, lags, factors):
    d, bins = 3, 9
    weights = np.vstack([rng.normal(0.3, 0.2, units), rng.normal(0.0, 0.3, (d - 1, units))])
    loadings, filters = rng.normal(0.0, 0.2, (factors, units)), rng.normal(-0.2, 0.3, (units, lags, units))
    bounds = np.vstack([np.full(units, -1.0), np.full(units, 0.8)])
    dispersion, ceiling = np.ones(units), np.full(units, 3.0)
    pending, counts = np.zeros((lags + 1, units)), np.empty(units)
    history, log_rate, held = np.zeros((bins, units)), np.empty(units), 0
    for t in range(bins):
        u, shared = np.r_[1.0, rng.normal(size=d - 1)], rng.normal(size=factors)
        private, uniforms = rng.normal(0.0, 0.1, units), rng.uniform(size=units)
        held = rehearsal.emit_counts(
            weights, u, loadings, shared, private, pending, t % (lags + 1), filters, bounds,
            dispersion, ceiling, uniforms, log_rate, counts,
        )  # fmt: skip
        past = sum(history[t - 1 - lag] @ filters[:, lag] for lag in range(lags) if t - 1 - lag >= 0)
        wanted = u @ weights + shared @ loadings + private + np.clip(past, *bounds)
        np.testing.assert_allclose(log_rate, wanted, rtol=1e-12, atol=1e-12)
        assert held == (np.exp(wanted) > 3.0).sum()
        history[t] = stats.poisson.ppf(uniforms, np.minimum(np.exp(wanted), 3.0))
        np.testing.assert_array_equal(counts, history[t])


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_clamped_units_spike_as_drawn_one_by_one(rng, steps):
    n = 5
    matrix = np.where(rng.random((n, n)) < 0.5, rng.normal(0.0, 0.6, (n, n)), 0.0)
    starts = np.r_[0, np.cumsum((matrix != 0).sum(axis=1))]
    sources, weights = np.nonzero(matrix)[1], matrix[matrix != 0]
    log_rates, uniforms = rng.normal(-0.5, 0.3, (steps, n)), rng.uniform(size=(steps, n))
    assignments = rng.choice([-1, -1, 0, 1], (steps, n)).astype(np.int8)
    added, counts = rng.integers(0, 2, (steps, n)), np.full((steps, n), 99)
    perturbation.clamped_spikes(starts, sources, weights, log_rates, uniforms, assignments, added, 4.0, counts)
    for t in range(steps):
        drive = log_rates[t] + (matrix @ counts[t - 1] if t else 0.0)
        drawn = stats.poisson.ppf(uniforms[t], np.minimum(np.exp(drive), 4.0)) + added[t]
        np.testing.assert_array_equal(counts[t], np.where(assignments[t] >= 0, assignments[t], drawn))


def test_an_avalanche_takes_along_whom_its_kicks_reach_and_each_once():
    """Without noise: 0 fires by itself, its kick of 0.5 takes 1 along, both together 2; 3 is out of reach, 4 rests."""
    v, resting, sizes = np.array([2.1, 1.6, 1.1, 0.2, 1.9]), np.array([0, 0, 0, 0, 1], np.int8), np.empty(1)
    neuron = np.array([1.0, 2.0, 0.0, 2.5, 0.0, 0.0, 0.0, 0.0])  # V_R, V_F, I, b, a0, a1, refractory, eps
    neuron[6] = 1e9  # nobody leaves the refractory state
    particles.step_avalanches(v, resting, 0.0, np.zeros((1, 5)), np.ones((1, 5)) * 0.5, neuron, sizes)
    assert sizes[0] == 3.0
    np.testing.assert_allclose(v, [1.0, 1.0, 1.0, 0.2 + 3 * 0.5, 1.9])
    np.testing.assert_array_equal(resting, [1, 1, 1, 0, 1])


def test_a_current_in_pieces_and_a_remembered_rate_are_interpolated(rng):
    times = np.cumsum(rng.uniform(0.1, 1.0, 8))
    values = rng.uniform(1.0, 2.0, 8)
    for t in np.linspace(times[0] - 1.0, times[-1] + 1.0, 60):
        assert fokker_planck_equation.piecewise(times, values, t) == pytest.approx(np.interp(t, times, values))
    inner = np.linspace(times[1], times[-2], 40, endpoint=False)
    for t in inner:
        last = int(np.searchsorted(times, t, side="right"))
        four = slice(last - 2, last + 2)
        cubic = float(interpolate.KroghInterpolator(times[four], values[four])(t))
        found = fokker_planck_equation.remembered(times, values, 8, 0.3, t)
        assert found == pytest.approx(cubic if cubic > 0.0 else np.interp(t, times, values))
    assert fokker_planck_equation.remembered(times, values, 8, 0.3, times[0] - 0.1) == 0.3
    assert fokker_planck_equation.remembered(times, values, 0, 0.3, times[4]) == 0.3
    assert fokker_planck_equation.remembered(times, values, 5, 0.3, times[6]) == values[4]


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_negative_masses_are_paid_by_their_neighbours_and_none_is_lost(rng, n):
    for _ in range(30):
        mass = rng.uniform(0.5, 1.0, n) * np.exp(-np.abs(np.arange(n) - n // 2))
        mass[rng.random(n) < 0.4] *= -1e-3
        mass[n // 2] = 1.0
        state, before = np.zeros(11), mass.copy()
        state[fokker_planck.REST] = rng.choice([0.2, -1e-4])
        total = mass.sum() + state[fokker_planck.REST]
        negative = -before[before < 0].sum() + max(-state[fokker_planck.REST], 0.0)
        assert fokker_planck.keep_positive(mass, 0, state, 0.1)
        assert (mass >= 0.0).all() and state[fokker_planck.REST] >= 0.0
        assert mass.sum() + state[fokker_planck.REST] == pytest.approx(total, rel=1e-12)
        assert state[fokker_planck.MOVED] == pytest.approx(negative, rel=1e-12)
        if negative == 0.0:
            np.testing.assert_array_equal(mass, before)
    mass = np.array([1.0, -0.5, 0.2])
    assert not fokker_planck.keep_positive(mass, 0, np.zeros(11), 0.1)


def grid_of(n):
    """Return the table of an even grid from -4 to V_F = 2, as the kernels read it, and the row of V_R."""
    nodes = np.linspace(-4.0, 2.0, n + 1)[:-1]
    gap = np.full(n, nodes[1] - nodes[0])
    width = gap.copy()
    return np.vstack([nodes + 0.5 * gap, gap, width, 1 / (gap * width), gap / (4 * width), 1 / (gap * width),
                      gap / (4 * width)]), int(np.argmin(np.abs(nodes - 1.0)))  # fmt: skip


def test_potentials_of_every_weight_take_an_implicit_step(rng):
    n, count, step, diffusion = 12, 3, 0.05, 0.6
    grid, reset = grid_of(n)
    mass, drifts = rng.uniform(0.1, 1.0, (count, n)), np.array([-0.5, 0.3, 1.4])
    before, rates = mass.copy(), np.empty(count)
    fokker_planck_weights.relax_potentials(mass, step, reset, grid, drifts, diffusion, np.empty((8, n)), rates)
    for j in range(count):
        right, left = np.empty(n), np.empty(n)
        fokker_planck_fluxes.transfer_rates(grid, drifts[j], diffusion, right, left)
        flow = np.zeros((n, n))
        for i in range(n - 1):
            flow[[i, i + 1], i] += [-right[i], right[i]]
            flow[[i, i + 1], i + 1] += [left[i], -left[i]]
        flow[n - 1, n - 1] -= right[n - 1]
        flow[reset, n - 1] += right[n - 1]
        after = np.linalg.solve(np.eye(n) - step * flow, before[j])
        np.testing.assert_allclose(mass[j], after, rtol=1e-10, atol=1e-13)
        assert rates[j] == pytest.approx(right[n - 1] * after[n - 1], rel=1e-10)
        assert mass[j].sum() == pytest.approx(before[j].sum(), rel=1e-12)


def test_weights_are_carried_between_cells_and_take_their_potentials_along(rng):
    count, n, step, width = 6, 4, 0.01, 0.25
    weights = -0.6 + width * np.arange(count)
    mass, rates = rng.uniform(0.1, 1.0, (count, n)), rng.uniform(0.2, 2.0, count)
    mass[2] = 0.0  # a weight that nobody has
    slopes, mean_rate = np.full(count, -0.7), 1.3
    before, moved, totals = mass.copy(), np.empty(count + 1), np.empty(count)
    fokker_planck_weights.transport_weights(
        mass, step, width, weights, slopes, rates, mean_rate, moved, totals
    )  # fmt: skip
    np.testing.assert_allclose(totals, before.sum(axis=1), rtol=1e-12)
    wanted = before.copy()
    for j in range(count - 1):
        w = 0.5 * (weights[j] + weights[j + 1])
        flux = [
            fokker_planck_weights.weight_flux(before[k].sum(), rates[k], slopes[k] * mean_rate, w, sending)
            for k, sending in ((j, True), (j + 1, False))
        ]
        amount = step / width * min(flux)
        assert moved[j + 1] == pytest.approx(amount)
        giver = j if amount > 0 else j + 1
        total = before[giver].sum()
        parcel = amount * before[giver] / total if total > 0 else np.zeros(n)
        wanted[j] -= parcel
        wanted[j + 1] += parcel
    np.testing.assert_allclose(mass, wanted, rtol=1e-12, atol=1e-15)
    assert mass.sum() == pytest.approx(before.sum(), rel=1e-12)


@pytest.mark.parametrize("poisson", [True, False])
@pytest.mark.parametrize(("common", "histories"), [(1, 0), (2, 0), (3, 0), (3, 2)])
def test_the_scatter_through_the_actual_gains_is_that_of_dense_matrices(rng, common, histories, poisson):
    units, bins, burn, d = 3, 60, 10, common + histories
    u = np.c_[np.ones(bins), rng.normal(size=(bins, common - 1))]
    own = rng.poisson(0.5, (bins, histories, units)).astype(float) if histories else NO_OWN
    gains = np.vstack([rng.normal(0.5, 0.2, units), rng.normal(0.0, 0.3, (d - 1, units))]) * poisson
    innovation, scale = rng.normal(size=(units, bins)), rng.uniform(0.2, 0.5, units)
    rate = rng.uniform(1e-3, 1e-2, units)
    root = rng.normal(0.0, 0.2, (units, d, d))
    dense = root @ np.swapaxes(root, 1, 2) + 0.05 * np.eye(d)
    packed = np.ascontiguousarray(dense[:, *np.tril_indices(d)].T)
    modes = np.stack([np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(units)], axis=-1)  # mode, weight, unit
    variance, kept = rng.uniform(0.05, 0.2, (d, units)), rng.uniform(0.8, 0.95, (d, units))
    out = np.empty((units, d))
    scores.scatter_ratio(u, own, innovation, gains, scale, rate, packed, modes, variance, kept, burn, out)
    for i in range(units):
        s, e, a, actual, averaged = dense[i].copy(), np.zeros(d), np.zeros(d), [], []
        for t in range(bins):
            x = np.r_[u[t], own[t, :, i]] if histories else u[t]
            w, p = scale[i] * np.exp(x @ gains[:, i]), s + rate[i] * np.eye(d)
            s = p - w * np.outer(p @ x, p @ x) / (1.0 + w * x @ p @ x)
            e = e + s @ x * (innovation[i, t] - w * x @ e)
            a = kept[:, i] * a + variance[:, i] * (modes[:, :, i] @ x) * innovation[i, t]
            if t >= burn:
                actual.append(e)
                averaged.append(modes[:, :, i].T @ a)
        np.testing.assert_allclose(out[i], np.var(actual, axis=0) / np.var(averaged, axis=0), rtol=1e-9)
