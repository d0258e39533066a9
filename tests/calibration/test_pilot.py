"""A calibration from data: weights found again, intervals that hold, odd pilots answered."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.inverse import rate_for_error
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.errors import BadInput


def poisson_pilot(design, seconds, seed):
    """Return spikes of a design's units over some repetitions of its states, 5 ms bins taken five at a time."""
    rng = np.random.default_rng(seed)
    states = np.tile(design.states[::5], (round(seconds / 16), 1))
    u = np.column_stack([np.ones(len(states)), states])
    return Pilot(rng.poisson(np.exp(u @ design.weights.T) * 0.025), states, 0.025, "poisson")


def gaussian_pilot(design, seconds, seed):
    """Return features of a design's units."""
    rng = np.random.default_rng(seed)
    states = np.tile(design.states, (round(seconds / 16), 1))
    u = np.column_stack([np.ones(len(states)), states])
    noise = rng.normal(size=(len(states), design.units)) * np.sqrt(design.noise)
    return Pilot(u @ design.weights.T + noise, states, 0.05, "gaussian")


def test_weights_and_noise_are_found_again(gaussian_design, poisson_design):
    fit = fit_pilot(gaussian_pilot(gaussian_design, 320, 1))
    np.testing.assert_allclose(fit.design.weights, gaussian_design.weights, atol=0.1)
    np.testing.assert_allclose(fit.design.noise, gaussian_design.noise, rtol=0.06)
    fit = fit_pilot(poisson_pilot(poisson_design, 640, 1))
    np.testing.assert_allclose(fit.design.weights, poisson_design.weights, atol=0.1)
    assert fit.design.counts == "poisson"


def test_poisson_weights_are_the_maximum(poisson_design):
    """The score is zero at the fitted weights, to rounding."""
    fit = fit_pilot(poisson_pilot(poisson_design, 64, 2))
    assert np.abs(fit.score.sum(axis=0)).max() < 1e-4


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_interval_holds_the_true_answer_nine_times_in_ten(gaussian_design, poisson_design, likelihood):
    design = gaussian_design if likelihood == "gaussian" else poisson_design.replaced(counts="poisson", bin_s=0.025)
    make = gaussian_pilot if likelihood == "gaussian" else poisson_pilot
    noise = design.noise[:1] if likelihood == "gaussian" else None
    design = design.replaced(weights=design.weights[:1], noise_variance=noise, names=())
    truth = steady_state(information(design), 1e-4).largest_error.max()

    def quantity(_, info):
        return float(steady_state(info, 1e-4).largest_error.max())

    held, widths = 0, []
    for seed in range(40):
        low, high = fit_pilot(make(design, 96, 100 + seed)).interval(quantity, draws=60)
        held += low <= truth <= high
        widths.append((high - low) / truth)
    assert 0.75 <= held / 40 <= 1.0
    low, high = fit_pilot(make(design, 960, 5)).interval(quantity, draws=60)
    assert (high - low) / truth < 0.5 * np.mean(widths)


def test_interval_of_a_wish(poisson_design):
    fit = fit_pilot(poisson_pilot(poisson_design, 160, 3))

    def wished(design, info):
        return rate_for_error(design, info, 0.01).learning_rate

    low, high = fit.interval(wished)
    assert low < wished(fit.design, information(fit.design)) < high
    assert fit.interval(wished) == (low, high)
    with pytest.raises(BadInput, match="most of its resamplings"):
        fit.interval(lambda design, info: float("nan"), draws=10)


def test_odd_pilots(poisson_design):
    pilot = poisson_pilot(poisson_design, 64, 4)
    states, counts = pilot.states, pilot.counts
    silent = counts * [1, 0]
    with pytest.raises(BadInput, match=r"unit 1 has 0 spikes .* use --leave-out 1"):
        Pilot(silent, states, 0.025, "poisson")
    assert Pilot(silent, states, 0.025, "poisson", left_out=("1",)).counts.shape[1] == 1
    with pytest.raises(BadInput, match="no unit '7' to leave out"):
        Pilot(counts, states, 0.025, "poisson", left_out=("7",))
    with pytest.raises(BadInput, match="keep at least one"):
        Pilot(counts, states, 0.025, "poisson", left_out=("0", "1"))
    with pytest.raises(BadInput, match="whole numbers"):
        Pilot(counts + 0.5, states, 0.025, "poisson")
    with pytest.raises(BadInput, match="must agree"):
        Pilot(counts[:-1], states, 0.025, "poisson")
    with pytest.raises(BadInput, match="usable bins"):
        Pilot(counts, np.full_like(states, np.nan), 0.025, "poisson")
    with pytest.raises(BadInput, match="never changes"):
        Pilot(np.ones_like(counts), states, 0.025, "gaussian")
    with pytest.raises(BadInput, match="never move along dimension 1"):
        Pilot(counts, states * [1, 0], 0.025, "poisson")


def test_files(tmp_path, poisson_design):
    pilot = poisson_pilot(poisson_design, 64, 5)
    np.savez(tmp_path / "p.npz", counts=pilot.counts, bin_s=0.025, velocity=pilot.states / 10)
    loaded = load_pilot(tmp_path / "p.npz")
    assert loaded.likelihood == "poisson"
    np.testing.assert_allclose(loaded.states, pilot.states)
    with pytest.raises(BadInput, match="velocity scale"):
        load_pilot(tmp_path / "p.npz", velocity_scale=0.0)
    with pytest.raises(BadInput):
        load_pilot(tmp_path / "none.npz")


def test_recorded_session(tmp_path):
    """A short simulated session, recorded, gives a calibration."""
    from click.testing import CliRunner

    from bmi_runtime.cli.run import run

    path = tmp_path / "session.mcap"
    arguments = ["--headless", "--speed", "max", "--duration", "20", "--seed", "1", "--set", "session.units=12",
                 "--record", str(path), "--json"]  # fmt: skip
    CliRunner().invoke(run, arguments, catch_exceptions=False, standalone_mode=False)
    pilot = load_pilot(path)
    assert pilot.bin_s == 0.005
    assert 0.1 < np.sqrt((pilot.states**2).mean()) < 5
    fit = fit_pilot(pilot)
    assert np.all(np.isfinite(fit.design.weights))
    assert fit.design.counts == ("bernoulli" if pilot.counts.max() <= 1 else "poisson")
