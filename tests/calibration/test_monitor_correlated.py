"""The monitor on units whose scores are correlated and overdispersed: quiet unless something changes."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.monitor import Monitor
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.config import load
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from simulators.population import Population

BIN_S, RATE = 0.05, 1e-5
STILL = ("population.direction_walk_rad_per_root_s=0", "population.baseline_walk_per_root_s=0")


def movement(bins, rng):
    angle = np.cumsum(rng.normal(size=bins) * 0.2)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * 1.5 * np.abs(np.sin(np.arange(bins) / 9.0))[:, None]


def watched(counts, velocity, fitted, rate=RATE):
    """Run filter and monitor along counts from the weights that fit the first bins; return the events that began."""
    fit = fit_pilot(Pilot(counts[:fitted], velocity[:fitted], BIN_S, "poisson"))
    from bmi_runtime.calibration.closed_form import steady_state

    state = steady_state(information(fit.design), rate)
    monitor = Monitor(counts.shape[1], 3, "poisson", BIN_S)
    monitor.reset(pack(state.error_covariance))
    model = EncodingModel(fit.design.weights.T.copy(), pack(state.filter_covariance), "poisson", BIN_S)
    adapter, valid, events = Adapter(model, rate), np.ones(counts.shape[1]), []
    for t, (n, v) in enumerate(zip(counts.astype(float), velocity, strict=True)):
        adapter.update(n, valid, *(v / 10))
        if monitor.update(adapter.regressors, n, valid, adapter.innovation, model.covariance) + monitor.watch(
            model.weights
        ):
            events += monitor.take_events(t)
    return [event for event in events if event.began], monitor


def test_correlated_units_raise_nothing():
    """Forty units with the statistics of recordings, standing still, ten minutes: at most one alarm in 6.7 hours."""
    rng = np.random.default_rng(1)
    config = load("real_world", STILL)
    velocity = movement(12_000, rng)
    units = Population(config.population, 40, "poisson", BIN_S, rng)
    events, _ = watched(np.array([units.emit(*(v / 10)) for v in velocity]), velocity, 12_000)
    assert len(events) <= 1


@pytest.mark.parametrize("rate", [RATE, 1e-4])
def test_a_turn_of_thirty_degrees_is_found_and_named(rate):
    rng = np.random.default_rng(2)
    config = load(None, ["population.depth=[0.8, 1.0]", "population.baseline_hz=[10, 15]"])
    velocity = movement(14_000, rng)
    units, counts = Population(config.population, 12, "poisson", BIN_S, rng), []
    for t, v in enumerate(velocity):
        if t == 11_000:
            turn = np.pi / 6
            gains = units.weights[1:3, :5].copy()
            units.weights[1:3, :5] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]] @ gains
        counts.append(units.emit(*(v / 10)))
    events, _ = watched(np.array(counts), velocity, 11_000, rate)
    found = {event.unit: (event.bin - 11_000) * BIN_S for event in events if event.kind == "tuning drifting"}
    turned = [unit for unit in found if unit < 5]
    assert len(turned) >= 4
    assert len(found) - len(turned) <= 1
    assert all(0 < found[unit] < 120 for unit in turned)  # a few memories of the filter, 20 to 30 s here


def test_units_more_regular_than_poisson_are_no_alarm():
    """A refractory time leaves busy units a third of the Poisson variance: how they are, not a rate that is off."""
    rng = np.random.default_rng(6)
    velocity = movement(8_000, rng)
    steps = np.cumsum(np.exp(0.15 * velocity @ rng.normal(size=(2, 4))), axis=0)  # of a clock that ticks with the rate
    counts = np.diff(np.floor(steps + rng.uniform(size=4)), axis=0, prepend=0.0)
    counts = np.maximum(counts + rng.binomial(1, 0.2, counts.shape) - rng.binomial(1, 0.2, counts.shape), 0.0)
    assert 0.2 < counts.var() / counts.mean() < 0.5
    assert watched(counts, velocity, 8_000)[0] == []


def test_a_restored_monitor_goes_on_to_the_bit():
    rng = np.random.default_rng(3)
    velocity = movement(2_000, rng)
    units = Population(load("real_world", STILL).population, 5, "poisson", BIN_S, rng)
    _, monitor = watched(np.array([units.emit(*(v / 10)) for v in velocity]), velocity, 2_000)
    other = Monitor(5, 3, "poisson", BIN_S)
    other.restore(monitor.state())
    for name, value in monitor.state().items():
        np.testing.assert_array_equal(value, other.state()[name])
    older = {name: value for name, value in monitor.state().items() if name not in ("late", "usual", "recent")}
    other.restore(older)  # a recording from before the delayed statistics
    assert not other.conditions.any() or other.status.any()


@pytest.mark.parametrize("units", [1, 3])
def test_a_doubled_variance_is_off(units):
    rng = np.random.default_rng(4)
    velocity = movement(8_000, rng)
    population = Population(load(None, ["population.burst_extra=2.0"]).population, units, "poisson", BIN_S, rng)
    events, _ = watched(np.array([population.emit(*(v / 10)) for v in velocity]), velocity, 8_000)
    assert {event.unit for event in events if event.kind == "rate off"} == set(range(units))
