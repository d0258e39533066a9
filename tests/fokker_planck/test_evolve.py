import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import entropy, evolve, grid, particles, steady, volterra
from bmi_runtime.analysis.fokker_planck.initial import Gaussian, masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import fokker_planck as kernels

QUIET = Gaussian(-1.0, 0.25)


def final_rate(model, **settings):
    return evolve.evolve(model, QUIET, 2.0, snapshots=2, **settings).rate[-1]


def order_in_space(model):
    rates = [final_rate(model, grid=grid.build(model, cells, -9.0), tolerance=1e-9) for cells in (100, 200, 400, 800)]
    steps = np.abs(np.diff(rates))
    return np.log2(steps[-2] / steps[-1])


@pytest.mark.parametrize("model", [Model(b=0.8), Model(b=-2.0)])
def test_second_order_in_space(model):
    assert 1.8 < order_in_space(model) < 2.4


def test_at_least_second_order_in_time():
    model = Model(b=0.8)
    rates = [final_rate(model, cells=200, fixed_step=step) for step in (0.08, 0.04, 0.02)]
    exact = final_rate(model, cells=200, tolerance=1e-12)
    errors = np.abs(np.array(rates) - exact)
    assert np.all(errors[:-1] / errors[1:] > 3.8)


@pytest.mark.parametrize("b", [0.0, 0.8, -2.0])
def test_integral_equation_agrees_with_the_finite_volumes(b):
    coarse, fine = (volterra.rate(Model(b=b), QUIET, 2.0, steps)[1][-1] for steps in (200, 400))
    lower, upper = (final_rate(Model(b=b), cells=cells, tolerance=1e-9) for cells in (400, 800))
    assert upper + (upper - lower) / 3 == pytest.approx(fine + (fine - coarse) / 3, abs=1e-7)


@pytest.mark.parametrize(
    "model", [Model(b=0.5), Model(b=-5.0), Model(b=1.5, refractory=0.3), Model(b=0.5, a1=0.3), Model(b=1.0, delay=0.5)]
)
def test_long_runs_reach_the_steady_rate(model):
    solution = evolve.evolve(model, Gaussian(0, 0.25, 2.0, 1e-3 if model.a1 else 0.0), 40.0, cells=800, snapshots=2)
    assert solution.rate[-1] == pytest.approx(steady.steady_states(model)[0].rate, abs=1e-6)
    assert solution.mass_error < 1e-13 and solution.min_density >= 0


def test_random_threshold_reaches_its_steady_rate():
    model = Model(b=0.5, threshold_eps=0.1, refractory=0.2)
    coarse, fine = (evolve.evolve(model, QUIET, 30.0, cells=cells, snapshots=2).rate[-1] for cells in (400, 800))
    exact = steady.steady_states(model)[0].rate
    assert 3.5 < (coarse - exact) / (fine - exact) < 4.5
    assert fine + (fine - coarse) / 3 == pytest.approx(exact, abs=1e-6)


def mean_law_defect(cells):
    model = Model(b=0.7, current=0.4)
    solution = evolve.evolve(model, QUIET, 1.0, cells=cells, tolerance=1e-9, snapshots=401)
    mean = solution.density @ (solution.grid.width * solution.grid.v)
    spikes = np.r_[0, np.cumsum(np.diff(solution.rate_times) * 0.5 * (solution.rate[1:] + solution.rate[:-1]))]
    drift = np.sum(np.diff(solution.times) * 0.5 * (mean[1:] + mean[:-1]))
    return mean[-1] - (mean[0] - drift + (0.7 - 1.0) * spikes[-1] + 0.4)


def test_mean_potential_obeys_its_exact_law():
    coarse, fine = mean_law_defect(400), mean_law_defect(800)
    assert 3.5 < coarse / fine < 4.5
    assert abs(fine + (fine - coarse) / 3) < 2e-6


def test_entropy_decays_at_the_spectral_gap_and_by_its_dissipation():
    solution = evolve.evolve(Model(), Gaussian(0, 0.25), 8.0, cells=800, tolerance=1e-9)
    decay = entropy.decay(solution)
    assert decay.measured_rate == pytest.approx(decay.spectral_gap, rel=1e-4)
    slope = -np.gradient(decay.entropy, decay.times)
    np.testing.assert_allclose(decay.dissipation[30:150], slope[30:150], rtol=5e-3)
    assert np.all(np.diff(decay.entropy) < 0)


def test_particles_converge_to_the_density():
    model, initial = Model(b=0.8), Gaussian(0, 0.25)
    solution = evolve.evolve(model, initial, 1.0, cells=800, snapshots=2)
    mass = solution.density[-1] * solution.grid.width

    def far(count):
        runs = [particles.simulate(model, initial, 1.0, count, seed, 4e-3) for seed in range(12)]
        return np.mean([particles.distance(run.v, solution.grid.v, mass) for run in runs])

    few, many = far(64), far(1024)  # a sampling error of n^(-1/2) would make the ratio 4
    assert 2.8 < few / many < 5.5


@pytest.mark.parametrize(
    "model",
    [Model(b=0.8, a1=0.5), Model(b=1.5, refractory=0.3), Model(b=-1.0, a1=0.3, refractory=0.2, threshold_eps=0.1)],
)
def test_particles_follow_the_noise_the_refractory_state_and_the_random_threshold(model):
    initial = Gaussian(0, 0.25, 2.0, 1e-3 if model.a1 > 0 and not model.threshold_eps else 0.0)
    solution = evolve.evolve(model, initial, 2.0, cells=800, snapshots=2)
    swarm = particles.simulate(model, initial, 2.0, 40_000, 1, 4e-3, bins=2)
    late = np.linspace(1.0, 2.0, 2001)
    wanted = np.trapezoid(np.interp(late, solution.rate_times, solution.rate), late)
    sampling = np.sqrt(wanted / 40_000)
    assert swarm.rate[1] == pytest.approx(wanted, abs=4 * sampling + 0.01 * wanted)
    assert swarm.resting.mean() == pytest.approx(solution.resting[-1], abs=3e-3)
    mass = solution.density[-1] * solution.grid.width
    assert particles.distance(swarm.v[~swarm.resting], solution.grid.v, mass / mass.sum()) < 0.02


def test_progress_hears_the_time_covered():
    heard = []
    evolve.evolve(Model(b=0.5, delay=0.1), QUIET, 1.0, cells=60, snapshots=3, advance=heard.append)
    assert sum(heard) == pytest.approx(1.0)


def test_mass_stays_exact_and_positive_over_many_steps():
    model = Model(b=0.8, refractory=0.1)
    mesh = grid.build(model, 60, -6.0)
    run = evolve.Integrator(model, mesh, masses(Gaussian(0, 0.25), model, mesh), fixed_step=1e-3)
    assert run.to(20.0) == kernels.REACHED
    assert abs(run.mass.sum() + run.state[kernels.REST] - 1) < 1e-13
    assert run.mass.min() >= 0 and run.state[kernels.ACCEPTED] == 20000


def test_delay_keeps_the_rate_finite_where_it_blows_up_without():
    solution = evolve.evolve(Model(b=3.0, delay=0.5), Gaussian(0, 0.25), 4.0)
    assert solution.ended == "finished" and np.isfinite(solution.rate).all()


def test_runs_are_identical_to_the_bit():
    first, second = (evolve.evolve(Model(b=0.5), QUIET, 1.0) for _ in range(2))
    assert np.array_equal(first.density, second.density) and np.array_equal(first.rate, second.rate)


def test_refusals():
    with pytest.raises(BadInput, match="delay"):
        evolve.evolve(Model(delay=0.1), QUIET, 1.0, fixed_step=0.2)
    with pytest.raises(BadInput, match="beyond V_F"):
        Gaussian(2.5, 0.1)
    with pytest.raises(BadInput, match="beyond V_F"):
        evolve.evolve(Model(), lambda v: np.exp(-((v - 1) ** 2)), 1.0)
    with pytest.raises(BadInput, match="too narrow"):
        evolve.evolve(Model(), Gaussian(0, 1e-8), 1.0, grid=grid.build(Model(), 100))
    with pytest.raises(BmiError, match="end of the domain"):
        evolve.evolve(Model(), Gaussian(-3, 0.25), 1.0, grid=grid.build(Model(), 100, -3.5))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mass_stays_exact_over_a_million_steps():
    model = Model(b=3.0, refractory=0.2, threshold_eps=0.02)  # keeps oscillating, so that no step is trivial
    mesh = grid.build(model, 60, -6.0, 9.0)
    run = evolve.Integrator(model, mesh, masses(Gaussian(0, 0.25), model, mesh), fixed_step=1e-3)
    assert run.to(1000.0) == kernels.REACHED
    assert (
        run.state[kernels.ACCEPTED] >= 999_999 and run.state[kernels.DEFECT] < 1e-12 and run.state[kernels.LOWEST] >= 0
    )
