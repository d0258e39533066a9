"""Steady rates, eigenvalues and Hopf points, delays included, against a scheme of another kind."""

import os

import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import coupled_hopf, coupled_spectrum, coupled_states, spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.populations import make
from tests.fokker_planck import threshold_integration as other

HELD = int(os.environ.get("BMI_RANDOM_HELD", "200"))


def alone(model: Model, rate: float) -> other.Neurons:
    drift, diffusion = model.b * rate + model.current, model.a0 + model.a1 * rate
    return other.Neurons(
        drift, diffusion, model.v_reset, model.v_threshold, model.refractory, model.threshold_eps
    )  # fmt: skip


def random_model(rng) -> Model:
    """A population far from and close to anything sensible."""
    return Model(
        b=float(rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 1)), a0=10 ** rng.uniform(-1.5, 1),
        a1=float(rng.choice([0.0, rng.uniform(0, 1)])), v_reset=float(rng.uniform(-1, 1.8)),
        current=float(rng.uniform(-2, 3)), refractory=float(rng.choice([0.0, 10 ** rng.uniform(-2.5, 0)])),
        threshold_eps=float(rng.choice([0.0, 0.0, 10 ** rng.uniform(-2, 0)])),
    )  # fmt: skip


def misses(model: Model) -> list[str]:
    """Return the states that do not hold to ten digits, or to the error that is printed with them."""
    found = []
    for state in steady.steady_states(model):
        gap = abs(alone(model, state.rate).rate() - state.rate)  # of the equation 1 / N = T(N) + tau
        step = 1e-5 * state.rate
        rise = (alone(model, state.rate + step).rate() - alone(model, state.rate - step).rate()) / (2 * step)
        error = gap / max(abs(1.0 - rise), 1e-12)  # how far its root is from ours
        if error > max(1e-10 * state.rate, state.rate_error, 1e-300):
            found.append(f"{model}: N = {state.rate!r} is off by {error:.2g}, printed {state.rate_error:.2g}")
    return found


@pytest.mark.parametrize(
    "model", [Model(1.5), Model(-2.0, 0.3, 0.5, refractory=0.2), Model(1.0, 0.05, threshold_eps=0.1, current=3.0)]
)
def test_rates_hold_to_ten_digits(model):
    assert not misses(model)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_rates_of_random_sets_hold_to_ten_digits():
    rng = np.random.default_rng(41)
    failures = [line for _ in range(HELD) for line in misses(random_model(rng))]
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_an_eigenvalue_with_delays_holds_to_eight_digits():
    net = make(
        [[0.5, -1.0], [1.0, -0.5]], a=0.05, refractory=[0.1, 0.0], delay=[[0.1, 0.2], [0.05, 0.0]], current=[2, 1]
    )
    (rates,) = coupled_states.search(net).rates
    np.testing.assert_allclose(other.steady(net, rates * 1.01), rates, rtol=1e-11)
    pair = coupled_spectrum.stability(net, rates).leading
    assert other.eigenvalue(net, rates, complex(pair) * 1.0003) == pytest.approx(complex(pair), rel=1e-8)


def excitation_and_inhibition(rng):
    """Random E-I populations whose connection E to E varies, with delays."""
    b = np.array([[1.0, -rng.uniform(0.5, 4)], [rng.uniform(0.5, 4), -rng.uniform(0.1, 1)]])
    fields = {
        "refractory": rng.uniform(0.03, 0.2, 2), "current": rng.uniform(0.5, 3, 2), "a": rng.choice([0.0, 0.05]),
        "delay": rng.choice([0.0, 1.0]) * rng.uniform(0.02, 0.4, (2, 2)), "a0": rng.uniform(0.3, 1.2, 2),
    }  # fmt: skip

    def at(delay):
        return make(b, **fields | {"delay": fields["delay"] + delay})

    return at


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_states_and_eigenvalues_of_random_populations_hold_to_six_digits():
    """States and leading eigenvalues, with delays, and Hopf points as a delay grows, if there are any."""
    rng = np.random.default_rng(42)
    points = states = 0
    for _ in range(12):
        at = excitation_and_inhibition(rng)
        net = at(0.0)
        for rates in coupled_states.search(net).rates:
            np.testing.assert_allclose(other.steady(net, rates * 1.001), rates, rtol=1e-9)
            pair = coupled_spectrum.stability(net, rates).leading
            assert other.eigenvalue(net, rates, complex(pair) * 1.0003) == pytest.approx(complex(pair), rel=1e-6)
            states += 1
        for point in coupled_hopf.hopf_points(at, np.linspace(0.0, 0.5, 6))[:2]:
            value, period, rates = other.hopf(at, point.value * 1.001, point.period * 0.999, point.rates)
            assert (value, period) == (pytest.approx(point.value, rel=1e-6), pytest.approx(point.period, rel=1e-6))
            np.testing.assert_allclose(rates, point.rates, rtol=1e-6)
            points += 1
    assert states >= 12
    print(states, "states,", points, "Hopf points")


@pytest.mark.slow
def test_eigenvalues_of_one_population_with_a_delay_or_a_random_threshold():
    for model in (Model(-8.0, current=8.0, delay=0.3), Model(2.5, refractory=0.2, threshold_eps=0.02), Model(1.5)):
        for state in spectral.with_stability(model, steady.steady_states(model)):
            if state.leading_eigenvalue is None:
                continue
            near = complex(state.leading_eigenvalue)

            def gap(x, model=model, state=state):
                drift, diffusion = alone(model, state.rate).response(x)
                return 1 - (model.b * drift + model.a1 * diffusion) * np.exp(-x * model.delay)

            one, two = near * 1.0003, near * 1.0006
            for _ in range(12):
                high, low = gap(two), gap(one)
                if high == low or abs(two - one) < 1e-10 * abs(two):
                    break
                one, two = two, two - high * (two - one) / (high - low)
            assert two == pytest.approx(near, rel=1e-6), model
