"""Coupled populations: certified states, stability, Hopf points, runs and blow-ups, each against an independent way."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import optimize

from bmi_runtime.analysis.fokker_planck import (
    blow_up,
    coupled_galerkin,
    coupled_hopf,
    coupled_particles,
    coupled_run,
    coupled_spectrum,
    coupled_states,
    steady,
)
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.populations import make
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.interval_moments import interval_moments

THREE_STATES = make([[2.2, -0.75], [0.5, -0.25]], refractory=0.1)


def test_mean_interval_agrees_with_siegerts_integral_and_its_slopes():
    rng = np.random.default_rng(3)
    for _ in range(60):
        drift, diffusion = rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 2.5), 10 ** rng.uniform(-2, 2)
        value, first, second = interval_moments(drift, diffusion, 1.0, 2.0)
        assert value == pytest.approx(steady.log_crossing_time(drift, diffusion), rel=1e-12, abs=1e-12)
        step = 1e-5 * max(1.0, abs(drift))
        ends = [steady.log_crossing_time(drift + sign * step, diffusion) for sign in (1, -1)]
        assert -first == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-7 / step * 1e-4)
        ends = [steady.log_crossing_time(drift, diffusion * (1 + sign * 1e-5)) for sign in (1, -1)]
        assert -second == pytest.approx((ends[0] - ends[1]) / (2e-5 * diffusion), rel=1e-4, abs=1e-6 / diffusion)


@pytest.mark.parametrize("settings", [{"b": 1.5}, {"b": 2.449462066, "refractory": 0.3254}, {"b": -3.0, "a1": 0.5}])
def test_one_population_has_the_states_of_the_single_model(settings):
    rest = {("a" if name == "a1" else name): value for name, value in settings.items() if name != "b"}
    found = coupled_states.search(make([[settings["b"]]], **rest))
    known = [state.rate for state in steady.steady_states(Model(**settings))]
    np.testing.assert_allclose([float(rate[0]) for rate in found.rates], known, rtol=1e-10)
    assert not found.undecided


def test_no_root_of_many_starts_is_missing_from_random_networks():
    rng = np.random.default_rng(11)
    for _ in range(12):
        n = int(rng.integers(2, 4))
        b = rng.uniform(0.2, 5, (n, n)) * np.where(np.arange(n) % 2, -1.0, 1.0)
        net = make(b, a=rng.uniform(0, 0.3), refractory=rng.uniform(0.03, 0.4, n), current=rng.uniform(-1, 2, n))
        known = coupled_states.search(net)
        assert known.complete
        for _ in range(25):
            start = np.log(rng.uniform(1e-3, 1, n) / net.refractory)
            found = optimize.root(lambda x, net=net: coupled_states.mismatch(net, x)[0], start, tol=1e-12)
            if found.success and np.abs(found.fun).max() < 1e-9:
                assert any(np.allclose(np.exp(found.x), rates, rtol=1e-6) for rates in known.rates)


def test_three_states_of_excitation_and_inhibition_with_their_stability():
    known = coupled_states.search(THREE_STATES)
    assert known.complete and len(known.rates) == 3
    assert [coupled_spectrum.stability(THREE_STATES, rates).unstable for rates in known.rates] == [0, 1, 2]


def test_states_and_spectrum_agree_with_the_galerkin_scheme():
    for rates in coupled_states.search(THREE_STATES).rates:
        other = coupled_galerkin.Galerkin(THREE_STATES, order=12, finest=0.02)
        np.testing.assert_allclose(other.steady(rates)[1], rates, rtol=1e-9)
        mine = coupled_spectrum.leading(coupled_spectrum.Coupled(THREE_STATES, rates))[0]
        assert abs(other.spectrum(rates) - mine).min() < 1e-6 * (1 + abs(mine))


def test_hopf_point_agrees_with_the_galerkin_scheme():
    def at(value):
        return make([[2.0, value], [1.0, -0.25]], refractory=0.1, current=[3.0, 1.0])

    (point,) = coupled_hopf.hopf_points(at, np.array([-1.3, -1.0]))
    value, period = coupled_galerkin.hopf_value(at, point.rates, point.value - 1e-3, point.value + 1e-3, order=12)
    assert point.value == pytest.approx(value, rel=1e-7) and point.period == pytest.approx(period, rel=1e-7)


def test_a_delay_makes_the_counted_roots_and_the_run_oscillates():
    net = make([[-8.0]], delay=0.3, current=8.0)
    (rates,) = coupled_states.search(net).rates
    seen = coupled_spectrum.stability(net, rates)
    assert seen.unstable == 4 and seen.agrees
    run = coupled_run.evolve(net, [Gaussian(0, 0.25)], 12.0, cells=200, tolerance=1e-6)
    late = run.rates[run.rate_times > 9.0, 0]
    assert late.max() > 1.5 * rates[0] > 3 * late.min()


def test_finite_volumes_converge_to_the_galerkin_run():
    net = make([[0.8, -0.75], [0.5, -0.25]], a=[[0.05, 0.02], [0.0, 0.1]], refractory=[0.1, 0.0])
    initial = [Gaussian(0.0, 0.25), Gaussian(-1.0, 0.25)]
    exact = coupled_galerkin.run(net, initial, np.array([0.0, 2.0]), 1e-9, order=8)[-1]
    errors = []
    for cells in (100, 200, 400):
        run = coupled_run.evolve(net, initial, 2.0, cells=cells, tolerance=1e-9, snapshots=2)
        errors.append(np.abs(run.rates[-1] - exact).max())
        assert run.mass_error < 1e-12 and run.min_density >= 0
    assert errors[2] < 5e-6 and 3.3 < errors[0] / errors[1] < 4.7 and 3.3 < errors[1] / errors[2] < 4.7


def test_blow_up_in_the_second_population_is_found_at_its_time():
    net = make([[0.1, -0.5], [0.0, 3.0]], names="quiet,busy")
    event = coupled_run.locate(net, [Gaussian(0.0, 0.25)] * 2, 5.0, cells=200)
    alone = blow_up.locate(Model(b=3.0), Gaussian(0.0, 0.25), 5.0, cells=200)
    assert event is not None and alone is not None and event.which == 1
    assert abs(event.time - alone.time) < event.error + alone.error and event.feedback > 0.9


def test_a_blow_up_passed_on_starts_from_the_population_that_feeds_itself():
    chain = make([[0.0, 3.0], [0.0, 3.0]], names="follows,leads")
    event = coupled_run.locate(chain, [Gaussian(0.0, 0.25)] * 2, 5.0, cells=200)
    assert event is not None and event.which == 1 and event.time == pytest.approx(2.07808, abs=2e-3)
    noisy = make([[0.0, -3.0], [0.0, -3.0]], a=[[0.0, 1.0], [0.0, 1.0]])
    event = coupled_run.locate(noisy, [Gaussian(1.7, 0.003, taper=1e-3)] * 2, 1.0, cells=200)
    assert event is not None and event.which == 1 and event.feedback > 0.9


def test_the_leading_eigenvalue_moves_continuously_with_a_delay():
    before = None
    for delay in (0.0, 0.01, 0.03, 0.06):
        net = make([[3.0, -2.0], [3.0, -1.0]], refractory=0.025, delay=delay)
        (rates,) = coupled_states.search(net).rates
        leading = coupled_spectrum.stability(net, rates).leading
        assert leading is not None and (before is None or abs(leading - before) < 0.2)
        before = leading


def test_neurons_follow_the_densities():
    net = make(
        [[0.8, -1.75], [1.5, -0.25]], a=0.05, refractory=[0.1, 0.0], current=[1.5, 1.0], delay=[[0, 0.3], [0.1, 0]]
    )
    initial = [Gaussian(0.0, 0.25), Gaussian(-1.0, 0.25)]
    count, bins, duration = 5000, 10, 2.0
    times, rates = coupled_particles.simulate(net, initial, duration, count, 1, step=2e-3, bins=bins)
    run = coupled_run.evolve(net, initial, duration, tolerance=1e-7)
    steps = np.diff(run.rate_times)[:, None]
    total = np.vstack([np.zeros(2), np.cumsum(0.5 * (run.rates[1:] + run.rates[:-1]) * steps, axis=0)])
    at = np.column_stack([np.interp(np.r_[0, times], run.rate_times, total[:, k]) for k in range(2)])
    expected = np.diff(at, axis=0) / (duration / bins)
    spread = np.sqrt(expected / (count * duration / bins)) + 0.02 * expected
    assert (np.abs(rates - expected) < 4 * spread).all()


def call(*arguments):
    done = CliRunner().invoke(fokker_planck, ["coupled", *arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_commands(tmp_path):
    found = call("steady", "--b", "2.2,-0.75;0.5,-0.25", "--refractory", "0.1")
    assert found["populations"] == ["E", "I"] and found["complete"]
    assert [state["stable"] for state in found["steady_states"]] == [True, False, False]
    kept, picture = tmp_path / "run.npz", tmp_path / "run.png"
    ran = call(
        "run", "--b", "0.5,-0.5;0.5,-0.5", "--duration", "0.5", "--cells", "100", "--particles", "100", "--out",
        str(kept), "--picture", str(picture),
    )  # fmt: skip
    assert ran["status"] == "finished" and np.load(kept)["density"].shape[1] == 2 and picture.stat().st_size > 5000
    rows = call("hopf", "--b", "2,-1;1,-0.25", "--refractory", "0.1", "--current", "3,1", "--vary", "b:E,I=-1.3:-1:2",
                "--over", "current:I=1:1.2:2")["hopf_points"]  # fmt: skip
    assert [row["current:I"] for row in rows] == [1.0, 1.2]
    assert rows[0]["b:E,I"] == pytest.approx(-1.1106336, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["steady", "--b", "1,2;3"], "2, 1 numbers"),
        (["steady", "--b", "1,x"], "rows with semicolons"),
        (["steady", "--b", "1", "--a0", "-1"], "diffusion"),
        (["steady", "--b", "1,-1;1,-1", "--current", "1,2,3"], "3 values"),
        (["hopf", "--b", "1,-1;1,-1", "--vary", "c=1:2:3"], "choose from"),
        (["hopf", "--b", "1,-1;1,-1", "--vary", "b:E,X=1:2:3"], "no population 'X'"),
        (["hopf", "--b", "1,-1;1,-1", "--vary", "b:E=1:2:3"], "takes two"),
        (
            ["run", "--b", "1,-1;1,-1", "--duration", "1", "--initial", "gaussian:0,1;gaussian:0,1;gaussian:0,1"],
            "3 dens",
        ),
    ],
)
def test_bad_input_gets_one_sentence(arguments, word):
    with pytest.raises(BadInput, match=word):
        CliRunner().invoke(fokker_planck, ["coupled", *arguments], catch_exceptions=False)
