"""The simulated subject and units: they do what the configuration says, and the seed decides the rest."""

import math

import numpy as np
import pytest

from bmi_runtime.config import AdapterConfig, PopulationConfig, SubjectConfig, load
from bmi_runtime.intention.infer import OptimalControlIntention, RotatedIntention, aim, aim_gains
from bmi_runtime.messages import TrialState
from simulators.population import Population
from simulators.subject import Subject
from simulators.world import World

TARGET = (0.1, 0.0, 0.017)


def rng(seed=1):
    return np.random.default_rng(seed)


def reach(subject, seconds, bin_s=0.005):
    """Move a cursor exactly as intended; return its path."""
    cursor, path = [0.0, 0.0], []
    for _ in range(round(seconds / bin_s)):
        vx, vy = subject.intend(cursor, TARGET)
        cursor[0] += bin_s * vx
        cursor[1] += bin_s * vy
        path.append((*cursor, vx))
    return np.array(path)


def test_the_aim_is_the_critically_damped_regulator():
    path = reach(Subject(SubjectConfig(), 0.001, rng()), 2.0, 0.001)
    assert path[-1, 0] == pytest.approx(0.1, abs=1e-5)
    assert path[:, 0].max() <= 0.1 + 1e-6, "no overshoot"
    # e(t) = -d (1 + w t) exp(-w t) has its speed peak w d / e at t = 1/w: 0.2207 m/s for 0.1 m at 6 rad/s
    assert path[:, 2].max() == pytest.approx(6.0 * 0.1 / math.e, rel=5e-3)
    assert np.argmax(path[:, 2]) * 0.001 == pytest.approx(1.0 / 6.0, abs=3e-3)


def test_a_late_view_overshoots_but_arrives():
    path = reach(Subject(SubjectConfig(feedback_delay_s=0.15), 0.005, rng()), 4.0)
    assert path[:, 0].max() > 0.1
    assert path[-1, 0] == pytest.approx(0.1, abs=1e-3)


def test_intention_noise_has_its_size():
    subject = Subject(SubjectConfig(intention_noise=0.3), 0.005, rng())
    clean = Subject(SubjectConfig(), 0.005, rng())
    cursor, ratios = (0.0, 0.0), []
    for _ in range(2000):
        noisy, plain = subject.intend(cursor, TARGET), clean.intend(cursor, TARGET)
        ratios.append((noisy[0] - plain[0]) / math.hypot(*plain))
    assert np.std(ratios) == pytest.approx(0.3, rel=0.05)


def test_poisson_units_fire_at_their_tuning():
    population = Population(PopulationConfig(), 20, "poisson", 0.005, rng())
    for velocity in ((0.0, 0.0), (0.1, -0.05)):
        counts = np.array([population.emit(*velocity) for _ in range(20_000)])
        u = np.array([1.0, 10 * velocity[0], 10 * velocity[1]])
        expected = np.exp(u @ population.weights) * 0.005
        assert np.allclose(counts.mean(0), expected, atol=5 * np.sqrt(expected.max() / 20_000))
        assert np.allclose(counts.var(0) / counts.mean(0), 1.0, atol=0.15)


def test_gaussian_units_have_their_mean_and_noise():
    config = PopulationConfig(noise_variance=0.5)
    population = Population(config, 20, "gaussian", 0.05, rng())
    features = np.array([population.emit(0.1, 0.05) for _ in range(20_000)])
    assert np.allclose(features.mean(0), np.array([1.0, 1.0, 0.5]) @ population.weights, atol=0.03)
    assert np.allclose(features.var(0), 0.5, rtol=0.06)


def test_bursts_keep_the_mean_and_spread_the_counts():
    config = PopulationConfig(burst_extra=0.5)
    population = Population(config, 30, "poisson", 0.05, rng())
    counts = np.array([population.emit(0.0, 0.0) for _ in range(20_000)])
    assert np.allclose(counts.mean(0), np.exp(population.weights[0]) * 0.05, rtol=0.05)
    assert (counts.var(0) / counts.mean(0)).mean() == pytest.approx(2.0, rel=0.05)  # (1+e)^2 (1 + ...)/...: 1 + 2e


def test_units_die_and_step_when_they_should():
    config = PopulationConfig(
        untuned_fraction=0.5, dying_fraction=0.2, dying_at_s=0.5, step_fraction=0.4, step_at_s=0.8, step_log_rate=0.7
    )
    population = Population(config, 40, "poisson", 0.01, rng())
    before = population.weights.copy()
    assert (population.weights[1:, :20] == 0).all()
    assert (np.hypot(*population.weights[1:, 20:]) >= 0.5).all()
    for _ in range(60):
        population.emit(0.0, 0.0)
    assert (population.alive == 0).sum() == 4
    assert np.array_equal(population.weights, before)
    for _ in range(40):
        population.emit(0.0, 0.0)
    moved = np.abs(population.weights[0] - before[0])
    assert np.allclose(moved[moved > 0], 0.7)
    assert (moved > 0).sum() == 8
    assert not set(np.flatnonzero(moved)) & set(np.flatnonzero(population.alive == 0))


def test_preferred_directions_walk_and_depths_stay():
    population = Population(PopulationConfig(direction_walk_rad_per_root_s=0.1), 400, "poisson", 0.01, rng())
    before = population.weights.copy()
    for _ in range(1001):
        population.emit(0.0, 0.0)
    assert np.allclose(np.hypot(*population.weights[1:]), np.hypot(*before[1:]))
    turn = np.angle((population.weights[1] + 1j * population.weights[2]) / (before[1] + 1j * before[2]))
    assert turn.std() == pytest.approx(0.1 * math.sqrt(10.0), rel=0.15)


def test_an_untrained_model_knows_baselines_within_a_factor_and_no_tuning():
    world = World(load(None, ["session.units=500"]))
    model = world.initial_model()
    off = np.exp(model.weights[0] - world.population.weights[0])
    assert off.min() >= 0.5
    assert off.max() <= 2.0
    assert off.std() > 0.2
    assert (model.weights[1:] == 0).all()


def test_the_seed_decides():
    def run(seed):
        world = World(load(None, [f"session.seed={seed}", "subject.intention_noise=0.2", "session.units=10"]))
        return np.array([world.counts((0.0, 0.0), TARGET) for _ in range(200)])

    assert np.array_equal(run(4), run(4))
    assert not np.array_equal(run(4), run(5))


def test_the_inferred_intention_is_the_subjects_own_when_its_constants_are_right():
    subject, config = Subject(SubjectConfig(), 0.005, rng()), AdapterConfig()
    intention = OptimalControlIntention(config, 0.005)
    for cursor in rng(2).uniform(-0.1, 0.1, (50, 4)):
        assert intention.infer(cursor, TARGET, TrialState.REACH) == subject.intend(cursor, TARGET)


def test_the_rotated_intention_keeps_the_speed_and_is_zero_in_the_target():
    intention = RotatedIntention(AdapterConfig(), 0.005)
    vx, vy = intention.infer((0.0, 0.1, 0.03, 0.04), (0.0, 0.0, 0.017), TrialState.REACH)
    assert (vx, vy) == pytest.approx((0.0, -0.05))
    assert intention.infer((0.0, 0.01, 0.03, 0.04), (0.0, 0.0, 0.017), TrialState.REACH) == [0.0, 0.0]
    assert intention.infer((0.0, 0.1, 0.03, 0.04), (0.0, 0.0, 0.017), TrialState.HOLD) == [0.0, 0.0]


def test_the_aim_of_one_bin_is_that_of_ten_shorter_ones():
    v, x, w, dt = 0.02, -0.05, 6.0, 0.001
    once = aim(*aim_gains(w, 10 * dt), (x, 0.0), (0.0, 0.0), (v, 0.0))[0]
    for _ in range(10):  # the cursor follows the intention exactly: e(t) = exp(-w t) (e (1 + w t) + v t)
        faster = aim(*aim_gains(w, dt), (x, 0.0), (0.0, 0.0), (v, 0.0))[0]
        x, v = math.exp(-w * dt) * (x * (1 + w * dt) + v * dt), faster
    assert v == pytest.approx(once, rel=1e-12)
