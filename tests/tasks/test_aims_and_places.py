"""Targets, aims, assist and units left out: beside the geometry and the equations that they are said to follow."""

import itertools
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import RotatedIntention, aim, aim_gains, rotated_to_target
from bmi_runtime.messages import TrialState
from bmi_runtime.schema.task import TaskConfig
from bmi_runtime.session.assist import Assist
from bmi_runtime.session.inputs import parsed_left_out
from bmi_runtime.tasks.places import places

PLACES = get_args(TaskConfig.model_fields["places"].annotation)


@given(
    st.sampled_from(PLACES),
    st.integers(2, 12),
    st.floats(0.01, 0.3),
    st.integers(1, 8),
)
def test_targets_stand_apart_at_one_distance_and_balance_around_the_centre(kind, targets, distance_m, n_axes):
    found = places(kind, targets, distance_m, n_axes)
    assert all(len(place) == n_axes for place in found) and len(found) >= 2
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), distance_m)
    np.testing.assert_allclose(np.sum(found, axis=0), 0.0, atol=1e-12)
    assert min(math.dist(a, b) for a, b in itertools.combinations(found, 2)) > 0.1 * distance_m
    if kind == "ring" and n_axes > 1:
        assert len(found) == targets


@given(
    st.floats(0.5, 20.0),
    st.floats(0.001, 0.1),
    st.lists(st.tuples(*[st.floats(-0.5, 0.5)] * 3), min_size=1, max_size=8),
)
def test_an_aim_is_the_exact_solution_of_its_differential_equation(omega, bin_s, axes):
    """dv/dt = omega^2 (goal - x) - 2 omega v, dx/dt = v over one bin, by the exponential of its matrix."""
    cursor, target, velocity = zip(*axes, strict=True)
    moved = expm(bin_s * np.array([[0.0, 1.0], [-(omega**2), -2.0 * omega]]))
    wanted = [(moved @ [x - goal, v])[1] for x, goal, v in axes]
    found = aim(*aim_gains(omega, bin_s), cursor, target, velocity)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_rotated_velocity_keeps_its_speed_and_points_at_the_target_bin_by_bin_and_all_at_once(n):
    rng = np.random.default_rng(n)
    kinematics, goals = rng.normal(size=(40, 2 * n)), rng.normal(size=(40, n))
    holding, radius = rng.random(40) < 0.2, 1e-9
    found = rotated_to_target(kinematics, goals, holding)
    one = RotatedIntention(configuration.load(None, []).adapter, 0.005, n)
    for row, goal, held, all_at_once in zip(kinematics, goals, holding, found, strict=True):
        state = TrialState.HOLD if held else TrialState.REACH
        velocity = one.infer(tuple(row), (*goal, radius), state)
        np.testing.assert_allclose(all_at_once, [*row[:n], *velocity], rtol=1e-12, atol=1e-15)
        if not held:
            toward = goal - row[:n]
            assert np.linalg.norm(velocity) == pytest.approx(np.linalg.norm(row[n:]))
            assert np.dot(velocity, toward) == pytest.approx(np.linalg.norm(velocity) * np.linalg.norm(toward))


@pytest.mark.parametrize("fade", ["none", "time", "success"])
def test_assist_fades_from_its_level_to_nothing_and_begins_again_with_a_block(fade):
    section = configuration.load(None, [f"task.assist_fade={fade}", "task.assist_fade_s=2.0"]).task
    assist, task = Assist(section, 0.01), type("Task", (), {"successes": 0, "timeouts": 0})()
    levels = []
    for number in range(400):
        task.successes += number % 20 == 19
        levels.append(assist.faded(0.8, number, task))
    assert levels[0] == 0.8 and all(0.0 <= level <= 0.8 for level in levels)
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == (0.8 if fade == "none" else 0.0)
    assist.begin(400, task)
    assert assist.faded(0.8, 400, task) == 0.8 and assist.faded(0.0, 500, task) == 0.0


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20), st.sampled_from([", ", ",", " "]))
def test_units_left_out_are_those_of_the_list_or_it_is_refused(units, n, between):
    text = between.join(map(str, units))
    if any(unit >= n for unit in units) or len(set(units)) == n:
        with pytest.raises(BadInput, match="left_out"):
            parsed_left_out(text, n)
    else:
        assert parsed_left_out(text, n).tolist() == sorted(set(units))
