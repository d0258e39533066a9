"""Rehearsals on pilots of features and of three axes, over orders of blocks, and in several processes."""

import tomllib

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.rehearsal.fluctuations import drift, shared_factors
from bmi_runtime.rehearsal.tuning_spread import shrunk
from bmi_runtime.session import assemble, launch

BLOCKS = (
    "block=[{kind='observe',length_s=10},{kind='adapt'}]",
    "block=[{kind='fixed',length_s=10},{kind='adapt',learning_rate=1e-7}]",
)


def pilot_of(path, seconds, *overrides, spoil=None):
    config = configuration.load(None, [f"recording.path='{path}'", *overrides])
    loop = assemble.assemble(config, "max")
    asked = loop.source.next_bin

    def next_bin(given, *rest):
        said = asked(given, *rest)
        spoil(given.fields)
        return said

    if spoil:
        loop.source.next_bin = next_bin
    launch.run(loop, round(seconds / config.bin_s))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        ("session.likelihood='gaussian'", "session.units=40"),
        ("state.axes=['x','y','z']", "session.units=48"),
    ],
    ids=["features", "three axes"],
)
def test_other_pilots_are_rehearsed(given, tmp_path, answered):
    pilot = pilot_of(tmp_path / "pilot.mcap", 60, *given)
    world, data = world_of(pilot)
    assert world.axes == (3 if "state" in given[0] else 2) and data is not None
    asked = ("--try", """ "block=[{kind='fixed'}]" """, "--seeds", 2, "--duration", 20)
    found = answered("rehearse", pilot, *asked)
    learning, untrained = (entry["hits_per_min"]["mean"] for entry in found["settings"])
    assert learning > untrained + 5 and found["recommended"]["settings"] == {}
    agreement = found["world"]["agreement"]
    assert agreement["rate"]["correlation"] > 0.95 and agreement["tuning"]["correlation"] > 0.9


def test_orders_of_blocks_are_rehearsed_in_several_processes_with_the_same_answer(tmp_path, answered):
    pilot = pilot_of(tmp_path / "pilot.mcap", 40, "session.units=30")
    asked = [part for text in BLOCKS for part in ("--try", f'"{text}"')]
    asked += ["--seeds", 2, "--duration", 20, "--no-quality"]
    one = answered("rehearse", pilot, *asked, "--write", tmp_path / "best.toml")
    two = answered("rehearse", pilot, *asked, "--jobs", 2)
    assert one["settings"] == two["settings"]
    hits = [entry["hits_per_min"]["mean"] for entry in one["settings"]]
    assert hits[1] > hits[2], "ten seconds with what nobody has taught yet cost hits"
    written = tomllib.loads((tmp_path / "best.toml").read_text())
    assert configuration.from_dict(written).session.units == 30


def test_units_that_fire_regularly_keep_their_mean_and_variance():
    from bmi_runtime.kernels.rehearsal import count_by_inversion

    uniform = np.random.default_rng(1).random(200_000)
    for mean, dispersion in ((1.3, 0.5), (4.0, 0.8), (0.1, 0.6), (2.0, 1.0), (2.0, 2.5)):
        counts = np.array([count_by_inversion(mean, dispersion, u) for u in uniform])
        trials = np.ceil(mean / (1 - dispersion)) if dispersion < 1 else np.inf
        expected = 1 - mean / trials if dispersion < 1 else dispersion
        assert counts.mean() == pytest.approx(mean, rel=0.01)
        assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.02)
    assert count_by_inversion(1.0, 0.5, 1 - 2**-53) == 2, "no more than its trials"


def test_a_unit_that_nothing_is_known_of_does_not_silence_the_others():
    rng = np.random.default_rng(2)
    gains = np.vstack([np.zeros(60), rng.normal(0, 0.2, (2, 60))])
    errors = np.tile(np.diag([0.01, 0.0004, 0.0004]), (60, 1, 1))
    weights = gains + rng.normal(0, [[0.1], [0.02], [0.02]], gains.shape)
    errors[:5, 1:, 1:] *= 1e6  # silent units: estimates without any meaning
    weights[1:, :5] = rng.normal(0, 20.0, (2, 5))
    mean, covariance = shrunk(weights, errors)
    assert np.corrcoef(mean[1, 5:], gains[1, 5:])[0, 1] > 0.98
    assert np.abs(mean[1:, :5]).max() < 0.2 and np.all(np.linalg.eigvalsh(covariance) > -1e-12)


def test_what_fluctuates_slowly_is_not_taken_for_drift():
    rng, bins, units, bin_s = np.random.default_rng(3), 15_000, 40, 0.02
    u = np.column_stack([np.ones(bins), rng.normal(size=bins)])
    slow = np.zeros((bins, units))
    for k in range(1, bins):  # a stationary fluctuation with a memory of 2 s
        slow[k] = 0.99 * slow[k - 1] + 0.15 * np.sqrt(1 - 0.99**2) * rng.normal(size=units)
    steady = np.exp(0.5 + slow)
    wandering = np.exp(0.5 + np.sqrt(0.002 * bin_s) * np.cumsum(rng.normal(size=(bins, units)), axis=0))
    for rate, truth in ((steady, 0.0), (wandering, 0.002)):
        y = rng.poisson(rate)
        each = drift(u, y, np.tile(y.mean(axis=0), (bins, 1)), bin_s)
        assert each.shape == (2, units)
        found = each.mean(axis=1)
        assert found[0] == pytest.approx(truth, rel=0.5, abs=2e-4) and found[1] < 1e-4


def test_a_silent_unit_shares_nothing_and_stops_nothing():
    rng = np.random.default_rng(8)
    shared = rng.normal(size=(4000, 1))
    expected = np.tile(np.array([1e-9, 2.0, 2.0, 2.0, 2.0]), (4000, 1))
    y = rng.poisson(expected * np.exp(0.4 * shared - 0.08)).astype(float)
    y[:, 0] = 0.0
    loadings, keep, _ = shared_factors(y, expected, 0.05)
    assert len(keep) == 1 and np.abs(loadings[0, 0]) < 1e-6
    np.testing.assert_allclose(np.abs(loadings[0, 1:]), 0.4, atol=0.1)


def test_data_of_one_axis_with_a_silent_unit_are_rehearsed(tmp_path, answered):
    rng = np.random.default_rng(9)
    velocity = np.convolve(rng.normal(size=2500), np.ones(25) / 25, "same")[:, None]
    rates = np.array([0.0, 0.4, 0.4, 0.3]) * np.exp(velocity * np.array([[0.0, 3.0, -3.0, 2.0]]))
    np.savez(tmp_path / "one.npz", counts=rng.poisson(rates), velocity=velocity, bin_s=0.02)
    asked = ("--try", "adapter.learning_rate=1e-6", "--seeds", 2, "--duration", 10, "--no-quality")
    found = answered("rehearse", tmp_path / "one.npz", *asked)
    assert len(found["settings"]) == 2 and 0.0 <= found["settings"][0]["success_rate"]["mean"] <= 1.0
    assert any("fewer than 20 spikes" in note for note in found["world"]["notes"])


def test_a_feature_that_never_comes_stops_no_rehearsal(tmp_path, answered):
    def lost(fields):
        fields.counts[3] = np.nan

    given = ("session.likelihood='gaussian'", "session.units=20")
    pilot = pilot_of(tmp_path / "pilot.mcap", 40, *given, spoil=lost)
    world, data = world_of(pilot)
    assert "1 of 20 units is missing in most bins (3): taken as silent" in world.notes
    assert data is not None and data.usable.sum() > 0.9 * len(data.counts)
    assert np.isfinite(world.population.weights).all() and not world.population.weights[:, 3].any()
    found = answered("rehearse", pilot, "--try", "decoder.velocity_sd_m_s=0.1", "--seeds", 2, "--duration", 20)
    assert found["settings"][0]["hits_per_min"]["mean"] > 10


def test_a_world_of_features_is_summarised_written_and_read(tmp_path):
    rng = np.random.default_rng(1)
    velocity = rng.normal(scale=0.1, size=(900, 2))
    features = velocity @ rng.normal(size=(2, 6)) + rng.normal(scale=0.1, size=(900, 6))
    np.savez(tmp_path / "features.npz", counts=features, bin_s=0.05, velocity=velocity)
    world, _ = world_of(tmp_path / "features.npz")
    world.save(tmp_path / "world.npz")
    again, _ = world_of(tmp_path / "world.npz")
    assert world.likelihood == "gaussian" and again.summary() == world.summary()
    assert set(world.summary()["walk_per_s"].values()) == {0.0}
