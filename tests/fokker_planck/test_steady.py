import dataclasses

import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import hopf, spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput


@pytest.mark.parametrize(("drift", "noise"), [(0.3, 1.0), (3.0, 0.5), (-2.0, 1.0), (1.5, 0.05)])
def test_crossing_time_against_arbitrary_precision(drift, noise):
    mp = pytest.importorskip("mpmath")
    ends = [(1 - drift) / mp.sqrt(2 * noise), (2 - drift) / mp.sqrt(2 * noise)]
    exact = mp.sqrt(mp.pi) * mp.quad(lambda x: mp.exp(x * x) * (1 + mp.erf(x)), ends)
    assert np.exp(steady.log_crossing_time(drift, noise)) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(
    ("drift", "noise", "eps"), [(0.3, 1.0, 0.1), (3.0, 0.5, 0.01), (-2.0, 1.0, 2.0), (1.5, 0.05, 0.001)]
)
def test_random_threshold_time_against_parabolic_cylinder_functions(drift, noise, eps):
    mp = pytest.importorskip("mpmath")
    x = (2 - drift) / mp.sqrt(noise)
    mills = mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(-x / mp.sqrt(2))
    exact = eps + eps * mills * mp.pcfd(-1 / mp.mpf(eps), x) / mp.pcfd(-1 / mp.mpf(eps) - 1, x)
    assert steady.extra_time(drift, noise, 2.0, eps) == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize(
    ("b", "count"), [(-5.0, 1), (0.0, 1), (1.0, 1), (1.0001, 2), (1.5, 2), (2.1009, 2), (2.10097, 0), (3.0, 0)]
)
def test_multiplicity_against_connectivity(b, count):
    found = steady.steady_states(Model(b=b))
    assert len(found) == count
    assert all(state.residual < 1e-12 for state in found)


def test_critical_connectivity_is_where_two_states_merge():
    star = steady.critical_b(Model())
    below = steady.steady_states(Model(b=star - 1e-6))
    assert len(below) == 2 and below[1].rate / below[0].rate < 1.02
    assert steady.steady_states(Model(b=star + 1e-6)) == []


def test_refractory_state_gives_one_or_three_states():
    counts = [len(steady.steady_states(Model(b=b, refractory=0.025))) for b in (0.5, 1.3, 1.5, 2.0, 2.2, 4.0)]
    assert counts == [1, 1, 3, 3, 1, 1]
    (high, _), (low, _) = steady.folds(Model(refractory=0.025))
    assert low == pytest.approx(1.40518, abs=1e-5) and high == pytest.approx(2.12347, abs=1e-5)


def test_leading_eigenvalue_is_minus_one_where_the_mean_obeys_a_closed_law():
    model = Model(b=1.0)
    assert spectral.spectrum(model, steady.steady_states(model)[0].rate, 1)[0] == pytest.approx(-1.0, abs=1e-8)


def test_quiet_state_is_stable_and_the_upper_one_is_not():
    low, high = spectral.with_stability(Model(b=1.5), steady.steady_states(Model(b=1.5)))
    assert low.stable and not high.stable
    near = Model(b=steady.critical_b(Model()) - 1e-8)
    assert abs(spectral.with_stability(near, steady.steady_states(near))[0].leading_eigenvalue) < 1e-2


@pytest.mark.parametrize("model", [Model(b=1.5), Model(b=-3.0, a1=0.4), Model(b=1.5, refractory=0.1)])
def test_spectral_density_has_the_mass_and_the_closed_form(model):
    rate = steady.steady_states(model)[0].rate
    system = spectral.linearise(model, rate)
    assert system.mesh.weights @ system.steady_density + rate * model.refractory == pytest.approx(1, abs=1e-10)
    np.testing.assert_allclose(system.steady_density, steady.density(model, rate, system.mesh.v), atol=1e-10)


def test_random_threshold_converges_to_the_sharp_one_like_the_square_root():
    sharp = steady.steady_states(Model(b=0.5))[0].rate
    gaps = [sharp - steady.steady_states(Model(b=0.5, threshold_eps=eps))[0].rate for eps in (1e-3, 1e-5)]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.1)


def test_hopf_point_has_a_purely_imaginary_pair():
    model = Model(refractory=0.2, threshold_eps=0.02)
    (point,) = hopf.hopf_points(model, np.array([1.5, 2.0]))
    pair = hopf.leading_pair(model, point.rate)
    assert abs(pair.real) < 1e-4 and point.period == pytest.approx(2 * np.pi / pair.imag, rel=1e-6)
    assert point.b == pytest.approx(2.5589, abs=1e-3)


def test_oscillation_is_born_at_the_hopf_point_with_its_period():
    model = Model(refractory=0.2, threshold_eps=0.02)
    quiet, near, far = (hopf.cycle(dataclasses.replace(model, b=b), 40.0, cells=300) for b in (2.54, 2.57, 2.6))
    assert quiet.oscillation is None and quiet.settled
    assert near.oscillation["period"] == pytest.approx(1.2166, rel=0.02)
    swings = [one.oscillation["peak"] - one.oscillation["trough"] for one in (near, far)]
    growth = np.sqrt((2.6 - 2.5589) / (2.57 - 2.5589))  # supercritical: the swing grows like the square root
    assert swings[1] / swings[0] == pytest.approx(growth, rel=0.15)


def test_cycle_needs_a_state_to_start_from():
    with pytest.raises(BadInput, match="no steady state"):
        hopf.cycle(Model(b=3.0))


@pytest.mark.parametrize(
    "settings", [{"v_reset": 2.0}, {"a0": 0.0}, {"a0": -1.0}, {"a1": -0.1}, {"refractory": -1.0}, {"b": float("nan")}]
)
def test_refused_models(settings):
    with pytest.raises(BadInput):
        Model(**settings)


@pytest.mark.parametrize(("a0", "b", "refractory"), [(0.2, 2.0, 0.05), (0.05, 1.9, 0.02), (0.02, 1.0, 0.0)])
def test_the_quiet_state_of_a_little_noise_is_found_and_folds_beyond_it(a0, b, refractory):
    """Its rate is exponentially small in 1 / a0; b* is where this branch ends, not where the busy one turns."""
    model = Model(b=b, a0=a0, refractory=refractory)
    quiet = steady.steady_states(model)[0]
    assert abs(np.log(quiet.rate) + steady.log_interval(model, b * quiet.rate, a0)) < 1e-9
    star = steady.critical_b(model)
    assert star > b
    below, above = (steady.steady_states(Model(b=star * f, a0=a0, refractory=refractory)) for f in (0.999, 1.001))
    assert len(below) == len(above) + 2


@pytest.mark.parametrize(("current", "v_reset", "v_threshold", "a0"), [(1.5, 1.0, 2.0, 1.0), (0.0, -1.0, 1.0, 0.5)])
def test_without_a_fold_states_end_at_the_distance_of_threshold_and_reset(current, v_reset, v_threshold, a0):
    model = Model(b=0.0, a0=a0, v_reset=v_reset, v_threshold=v_threshold, current=current)
    star = steady.critical_b(model)
    assert star == v_threshold - v_reset
    counts = [len(steady.steady_states(dataclasses.replace(model, b=star * factor))) for factor in (0.99, 1.01)]
    assert counts == [1, 0]


def test_with_hardly_any_noise_nothing_is_taken_for_an_overflow():
    """The unconnected rate is below 1e-100: where states end is not found, and that is said."""
    assert steady.critical(Model(b=1.0, a0=1e-3)) == steady.Critical(None, "none-found")
