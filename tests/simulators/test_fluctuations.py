"""Fluctuations of simulated units: what they were said to be, and the shipped world against the recordings' numbers."""

import numpy as np
import pytest

from bmi_runtime.config import PopulationConfig, load
from simulators.fluctuations import Fluctuations
from simulators.population import Population


def drawn(bins=20_000, units=40, **keys):
    config = PopulationConfig(noise_sd=0.3, noise_time_constant_s=0.2, **keys)
    fluctuations = Fluctuations(config, units, 0.05, np.random.default_rng(1))
    return fluctuations, np.array([fluctuations.next() for _ in range(bins)])


def test_size_and_memory_of_a_fluctuation():
    fluctuations, values = drawn()
    np.testing.assert_allclose(values.std(axis=0), fluctuations.sd, rtol=0.1)
    next_one = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in values.T]
    assert np.mean(next_one) == pytest.approx(np.exp(-0.25), abs=0.02)
    correlation = np.corrcoef(values.T)[np.triu_indices(40, 1)]
    assert np.abs(correlation).max() < 0.1


def test_shared_fluctuations_correlate_units():
    _, values = drawn(noise_shared=0.6, noise_factors=2)
    correlation = np.corrcoef(values.T)[np.triu_indices(40, 1)]
    assert 0.02 < correlation.mean() < 0.6
    assert np.abs(correlation).max() > 0.4


def test_baselines_walk():
    config = PopulationConfig(baseline_walk_per_root_s=0.1)
    fluctuations = Fluctuations(config, 200, 0.05, np.random.default_rng(2))
    for _ in range(400):
        last = fluctuations.next()
    assert last.std() == pytest.approx(0.1 * np.sqrt(20.0), rel=0.2)


def test_mean_rate_stays_that_of_the_tuning():
    config = PopulationConfig(baseline_hz=(20.0, 20.0), depth=(0.0, 0.0), noise_sd=0.5, noise_time_constant_s=0.1)
    units = Population(config, 50, "poisson", 0.05, np.random.default_rng(3))
    counts = np.array([units.emit(0.0, 0.0) for _ in range(2_000)])
    assert counts.mean() / 0.05 == pytest.approx(20.0, rel=0.05)
    assert counts.var() / counts.mean() > 1.2


def test_units_without_fluctuations_are_drawn_as_before():
    """The generator is not touched where nothing fluctuates: older recordings' seeds give the same units."""
    rng = np.random.default_rng(4)
    Fluctuations(PopulationConfig(), 10, 0.05, rng)
    assert rng.random() == np.random.default_rng(4).random()


def test_shipped_real_world_scatters_as_recordings_do():
    """Median inflation over the closed form at memories of half a second to ten: 1.2 to 2.1 on three recordings."""
    from bmi_runtime.calibration.measured import MeasuredScores
    from bmi_runtime.calibration.pilot import Pilot, fit_pilot
    from bmi_runtime.calibration.statistics import pilot_statistics

    config = load("real_world")
    rng = np.random.default_rng(5)
    bins = 6_000
    angle = np.cumsum(rng.normal(size=bins) * 0.2)
    velocity = np.column_stack([np.cos(angle), np.sin(angle)]) * np.abs(np.sin(np.arange(bins) / 9.0))[:, None]
    units = Population(config.population, 60, "poisson", 0.05, rng)
    counts = np.array([units.emit(*(v / 10)) for v in velocity])
    found = pilot_statistics(MeasuredScores(fit_pilot(Pilot(counts, velocity, 0.05, "poisson"))))
    assert 5 < found["rate_hz"][1] < 45
    assert 0.15 < found["depth"][1] < 0.5
    assert np.all((found["inflation"][:, 1] > 1.2) & (found["inflation"][:, 1] < 2.1))
    assert 0.0 < found["noise_correlation"] < 0.11
