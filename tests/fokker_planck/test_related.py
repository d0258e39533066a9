import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import elapsed, learning, polarisation, wilson_cowan
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput

MODEL = Model()
W = -2 + 2 * (np.arange(80) + 0.5) / 80
WIDTH = W[1] - W[0]


def given(w):
    return 1.0 + 0.5 * np.sin(3 * w)


def rule(w):
    return -8.0 + 0.0 * w


def test_representation_recovers_the_output():
    wanted = np.exp(-((W + 1) ** 2) / 0.1)
    connectivity = learning.represent(MODEL, W, given(W), wanted)
    assert np.all(connectivity >= 0)
    np.testing.assert_allclose(learning.output(MODEL, W, connectivity, given(W)), wanted, rtol=1e-10, atol=1e-14)


def test_discrimination_inequality_holds():
    rng = np.random.default_rng(3)
    for _ in range(20):
        connectivity = rng.random(W.size)
        one, other = rng.normal(size=(2, W.size))
        far, near = learning.discrimination(MODEL, W, connectivity / connectivity.sum() / WIDTH, one, other)
        assert far >= near > 0


def test_learning_converges_to_the_learned_connectivity():
    gaps = []
    for count in (30, 60):
        w = -2 + 2 * (np.arange(count) + 0.5) / count
        exact = learning.learned(MODEL, w, given, rule)
        course = learning.learn(MODEL, w, np.ones(count), given, rule, 100.0, cells=40, step=0.1)
        gaps.append(np.abs(course.connectivity[-1] - exact.connectivity).sum() * (w[1] - w[0]))
        assert course.mass_error < 1e-12 and course.lowest >= 0
    assert gaps[1] < 0.6 * gaps[0] and gaps[1] < 0.12


def test_learned_input_is_told_from_a_new_one():
    exact = learning.learned(MODEL, W, given, rule)
    inside = exact.connectivity > 0
    own = learning.output(MODEL, W, exact.connectivity, given(W))[inside] / W[inside]
    new = learning.output(MODEL, W, exact.connectivity, given(W) + 0.5 * np.cos(5 * W))[inside] / W[inside]
    assert np.ptp(own) / abs(own.mean()) < 1e-3
    assert np.ptp(new) / abs(new.mean()) > 0.2


def test_excitatory_rule_is_refused():
    with pytest.raises(BadInput, match="inhibitory"):
        learning.learned(MODEL, W, given, lambda w: 1.0 + 0 * w)


def test_hebbian_rate_network_recalls_what_it_learned():
    signal = np.array([1.0, 1, 1, 0, 0, 0])
    trained = wilson_cowan.train(np.ones((6, 6)), signal, 150.0)
    assert trained.residual < 1e-5
    np.testing.assert_allclose(trained.weights, trained.weights.T, atol=1e-12)
    own, new = (
        wilson_cowan.recall(trained.weights, 0.6 * signal),
        wilson_cowan.recall(trained.weights, 0.6 * signal[::-1]),
    )
    assert own.max() > 0.9 and new.max() < 0.3


def test_polarisation_follows_the_exact_spreading_profile():
    run = polarisation.simulate(lambda z: polarisation.profile(0.5, z, 0.0), 0.5, 3.0, cells=200, tolerance=1e-4)
    assert run.status == "finished"
    assert run.edge[-1] == pytest.approx(polarisation.profile(0.5, np.zeros(1), 3.0)[0], rel=1e-3)


def test_a_short_domain_has_uniform_cells_and_a_shorter_one_is_refused():
    z = polarisation.grid(0.005, 74, 1e-4)
    np.testing.assert_allclose(np.diff(z), 0.005 / 73, rtol=1e-9)
    growing = np.diff(polarisation.grid(40.0, 74, 1e-4))
    assert growing[0] == pytest.approx(1e-4, rel=0.01) and (np.diff(growing) > 0).all()
    with pytest.raises(BadInput, match="a domain of length 1e-12 cannot be resolved"):
        polarisation.simulate(lambda z: np.exp(-z), 0.2, 0.1, length=1e-12, cells=74)


def test_polarisation_blows_up_above_the_critical_mass_and_obeys_the_moment_law():
    run = polarisation.simulate(lambda z: np.exp(-z), 1.5, 5.0, cells=200, tolerance=1e-3)
    assert run.status == "blow_up" and run.blow_up_time == pytest.approx(0.612, rel=1e-2)
    short = polarisation.simulate(lambda z: np.exp(-z), 1.5, 0.3, cells=200, tolerance=1e-4)
    width = 0.5 * (np.r_[0, np.diff(short.z)] + np.r_[np.diff(short.z), 0])
    spikes = np.sum(0.5 * (short.edge[1:] + short.edge[:-1]) * np.diff(short.times))
    assert width @ (short.z * short.density) == pytest.approx(1.5 + (1 - 1.5) * spikes, rel=2e-3)


def test_literal_polarisation_does_not_blow_up():
    run = polarisation.simulate(lambda z: np.exp(-z), 1.5, 1.0, cells=200, tolerance=1e-3, memory=1.0)
    assert run.status == "finished" and np.isfinite(run.edge).all()


def test_elapsed_time_has_one_or_three_steady_rates():
    assert [elapsed.steady_rates(j).size for j in (0.5, 1.0, 1.5)] == [1, 3, 1]


def test_elapsed_time_steady_rates_that_have_just_met_are_both_found():
    """As J (x) = x (1 + sigma(x)) turns, two roots meet; its extrema are by a search of their own."""
    x = np.linspace(0.4, 0.9, 2_000_001)
    j = x * (1 + elapsed.refractory_time(x))
    for fold, inside in ((j[x < 0.6].max(), -1e-8), (j[x > 0.6].min(), 1e-8)):
        assert [elapsed.steady_rates(fold * (1 + sign * inside)).size for sign in (1, -1)] == [3, 1]


def test_elapsed_time_reports_several_instantaneous_roots_and_rules_choose():
    ages = np.exp(-np.arange(0, 12, 0.02))
    low = elapsed.simulate(1.0, ages, 0.02, 1.0, rule="lowest")
    high = elapsed.simulate(1.0, ages, 0.02, 1.0, rule="highest")
    assert max(low.roots.max(), high.roots.max()) == 3
    first = np.flatnonzero(low.roots == 3)[0]
    assert np.array_equal(low.rate[:first], high.rate[:first]) and low.rate[first] < high.rate[first]
    assert low.mass_error < 1e-13


def test_elapsed_time_settles_with_a_filter_and_oscillates_with_a_delay():
    ages = np.exp(-np.arange(0, 12, 0.01))
    settled = elapsed.simulate(1.0, ages, 0.01, 20.0, filter_time=0.1)
    assert settled.rate[-1] == pytest.approx(elapsed.steady_rates(1.0)[-1], abs=5e-4)
    beating = elapsed.simulate(1.0, ages, 0.01, 20.0, delay=0.5)
    assert np.ptp(beating.rate[-500:]) > 0.5


def test_excitatory_weights_may_leave_several_outputs_and_one_is_never_chosen_silently():
    model, w = Model(), np.linspace(-1.0, 6.0, 141)
    connectivity = np.where(w > 5.0, 4.0, 0.0)
    silent = np.full(w.size, -2.0)
    found = learning.outputs(model, w, connectivity, silent)
    width = w[1] - w[0]
    assert len(found) == 3
    for rates in found:  # each is steady
        again = connectivity * learning.response(model, silent + w * learning.saturating(width * rates.sum()))
        np.testing.assert_allclose(again, rates, rtol=1e-8)
    with pytest.raises(BadInput, match="3 steady outputs"):
        learning.output(model, w, connectivity, silent)
    with pytest.raises(BadInput, match="inhibitory"):
        learning.discrimination(model, w, connectivity, np.zeros(w.size), np.ones(w.size))
