"""Whose past acts on whom is found where it does, and no fitted coupling runs away."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm.bases import parse_basis
from bmi_runtime.analysis.glm.simulation import random_network, simulate, smooth_velocity
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal import past
from bmi_runtime.rehearsal.fit import fit_world
from bmi_runtime.rehearsal.pilot import read_pilot
from bmi_runtime.rehearsal.quality import simulated_counts

BIN_S, UNITS, BINS = 0.02, 12, 15_000


@pytest.fixture(scope="module")
def known():
    """Return velocity (dm/s), counts and coupling of a network whose units act on themselves and on each other."""
    rng = np.random.default_rng(4)
    network = random_network(UNITS, parse_basis("raised-cosine:4", 5), rng, rate=0.3, links=2.0)
    velocity = smooth_velocity(BINS, BIN_S, rng)
    counts = simulate(network.intercept, network.coupling, BINS, rng, velocity @ network.covariate_weights.T)
    return velocity, counts, network.coupling


def test_links_are_found_where_units_act_on_each_other(known):
    velocity, counts, coupling = known
    model, whose = past.fit_past(counts, velocity, BIN_S)
    assert whose == "all"
    off = ~np.eye(UNITS, dtype=bool)
    true, found = (np.abs(table).sum(axis=2)[off] > 0 for table in (coupling, past.finite_coupling(model)))
    assert np.mean(found[~true]) < 0.1
    strong = np.abs(coupling.sum(axis=2))[off] > 0.3
    assert np.mean(found[strong]) > 0.8
    fitted = past.finite_coupling(model)
    own = np.arange(UNITS)
    assert np.all(fitted[own, own, 0] < -0.5), "a refractory past stays"


def test_units_that_do_not_act_on_each_other_are_not_linked():
    rng = np.random.default_rng(5)
    velocity = smooth_velocity(BINS, BIN_S, rng)
    rate = 0.3 * np.exp(velocity @ rng.normal(0, 0.4, (2, UNITS)))
    model, whose = past.fit_past(rng.poisson(rate), velocity, BIN_S)
    assert whose == "none" and not np.any(model.coupling_)


def test_the_fitted_world_fires_as_the_coupled_units_did(known, tmp_path):
    velocity, counts, _ = known
    np.savez(tmp_path / "coupled.npz", counts=counts, bin_s=BIN_S, velocity=velocity / 10)
    pilot = read_pilot(tmp_path / "coupled.npz")
    world = fit_world(pilot)
    assert any("each other's past" in note for note in world.notes) and world.population.coupling.shape[2]
    made = simulated_counts(world.without_drift(), pilot)
    np.testing.assert_allclose(made.mean(axis=0), counts.mean(axis=0), rtol=0.1)

    def memory(rows, lag):
        rows = rows - rows.mean(axis=0)
        return rows[lag:].T @ rows[:-lag] / len(rows) / np.outer(rows.std(axis=0), rows.std(axis=0))

    real, simulated = (memory(rows, 1) for rows in (counts, made))
    assert np.corrcoef(real.ravel(), simulated.ravel())[0, 1] > 0.9


def test_a_coupling_that_runs_away_is_brought_to_the_largest_stable_multiple():
    expected = np.array([[0.5, 0.5], [2.0, 2.0]] * 200)
    coupling = np.array([[[0.0], [0.7]], [[0.7], [-1.0]]])
    stable, scale, before = past.largest_stable(expected, coupling)
    assert before > 1.0 and 0.1 < scale < 1.0
    assert past.excitation(expected, stable) <= past.STABLE
    assert past.excitation(expected, np.where(coupling > 0, 1.05 * scale * coupling, coupling)) > past.STABLE
    np.testing.assert_array_equal(stable[1, 1], coupling[1, 1])
    calm, scale, _ = past.largest_stable(0.1 * expected, coupling)
    assert scale == 1.0 and calm is coupling
    with pytest.raises(BadInput, match="one unit sorted twice"):
        past.stabilised(100.0 * expected, np.maximum(coupling, 0.0), "twins.mcap")


def test_weights_beside_a_scaled_past_take_over_what_it_explained():
    rng = np.random.default_rng(6)
    velocity = smooth_velocity(20_000, BIN_S, rng)
    u = np.column_stack([np.ones(len(velocity)), velocity])
    truth = np.array([[-1.0, -0.5], [0.4, 0.1], [0.0, -0.3]])
    drive = rng.normal(0.0, 0.3, (len(u), 2))
    counts = rng.poisson(np.exp(u @ truth + drive)).astype(float)
    found = past.refitted(u, counts, drive, np.zeros((3, 2)))
    np.testing.assert_allclose(found, truth, atol=0.05)


def test_what_fluctuates_by_itself_is_found():
    """Units with slow fluctuations of their own: their spread and memory are found, and simulated counts have them."""
    from bmi_runtime.rehearsal.fluctuations import own_fluctuation

    rng, bins, units, keep, sd = np.random.default_rng(5), 12_000, 20, 0.8, 0.4
    log_rate = np.zeros((bins, units))
    for t in range(1, bins):
        log_rate[t] = keep * log_rate[t - 1] + sd * np.sqrt(1 - keep**2) * rng.standard_normal(units)
    log_rate[:, 10:] = 0.0
    y = rng.poisson(0.8 * np.exp(log_rate - np.r_[[0.5 * sd**2] * 10, [0.0] * 10])).astype(float)
    nothing = np.zeros((0, units)), np.zeros(0)
    found, kept = own_fluctuation(y, np.repeat(y.mean(axis=0)[None], bins, axis=0), 0.05, *nothing)
    assert np.median(found[:10]) == pytest.approx(sd, rel=0.15)
    assert kept[0] == pytest.approx(keep, abs=0.05)
    assert (found[10:] == 0).sum() >= 8
    rates = np.repeat(y[:, :10].mean(axis=0)[None], bins, axis=0)
    again, _ = own_fluctuation(y[:, :10], rates, 0.05, np.full((1, 10), sd), np.array([keep]))
    assert np.median(again) < 0.1, "what a shared fluctuation explains is not found again"


@pytest.mark.parametrize("lead_s", [-0.1, 0.1])
def test_simulated_units_lead_an_arm_as_its_own_units_do(tmp_path, lead_s):
    rng, bins, units, shift = np.random.default_rng(6), 6_000, 8, round(lead_s / BIN_S)
    velocity = smooth_velocity(bins, BIN_S, rng)  # dm/s
    moved = velocity[np.clip(np.arange(bins) + shift, 0, bins - 1)]
    gains = rng.normal(0, 0.4, (2, units))
    counts = rng.poisson(0.3 * np.exp(moved @ gains))
    np.savez(tmp_path / "arm.npz", counts=counts, bin_s=BIN_S, velocity=velocity / 10.0)
    pilot = read_pilot(tmp_path / "arm.npz")
    made = simulated_counts(fit_world(pilot), pilot)

    def lead(y):
        lags = np.arange(-20, 21)
        score = [
            sum(np.abs(np.corrcoef(np.roll(velocity[:, 0], -lag), column)[0, 1]) for column in y.T) for lag in lags
        ]
        return lags[int(np.argmax(score))]

    assert lead(made) == pytest.approx(lead(counts), abs=2)
