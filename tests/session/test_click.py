"""Clicks: the hidden Markov model against its dense forward recursion, the task, a closed loop, a replay."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.config import TaskConfig
from bmi_runtime.decoding.click import CLICK, ClickFilter
from bmi_runtime.encoding.model import untrained_model
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.core import Session
from bmi_runtime.session.launch import run
from bmi_runtime.session.replay import Replay
from bmi_runtime.tasks.registry import make_task
from simulators.source import SimulatedSource

CLICKS = ["state.click=true", "task.kind=centre-out-click", "telemetry.enabled=false"]


@pytest.mark.parametrize("axes", [["x"], ["x", "y", "z"]])
def test_the_posterior_is_that_of_the_forward_recursion(axes):
    config = configuration.load(None, [*CLICKS, f"state.axes={axes}", "session.units=150"])
    model, rng, n = untrained_model(config), np.random.default_rng(1), len(axes)
    model.weights += 0.5 * rng.standard_normal(model.weights.shape)
    click = ClickFilter(model, 0.9)
    posterior = click.posterior.copy()
    for _ in range(30):
        counts, state = rng.poisson(0.1, 150).astype(float), 0.1 * rng.standard_normal(2 * n)
        velocity = 10 * state[n:]
        u = np.array([[1.0, *(0 * velocity), 0.0], [1.0, *velocity, 0.0], [1.0, *velocity, 1.0]])
        expected = np.exp(u @ model.weights) * config.bin_s
        likelihood = np.exp((counts * np.log(expected) - expected).sum(axis=1))
        posterior = (posterior @ click.transition) * likelihood
        posterior /= posterior.sum()
        click.predict(counts, np.ones(150), state)
        assert np.allclose(click.posterior, posterior, rtol=1e-9)


def test_units_that_know_nothing_of_clicks_tell_none():
    model = untrained_model(configuration.load(None, CLICKS))
    click, rng = ClickFilter(model, 0.9), np.random.default_rng(2)
    counts = rng.poisson(0.05, (2000, 96)).astype(float)
    assert not any(click.predict(row, np.ones(96), np.zeros(4)) for row in counts)


def test_a_click_is_told_once_and_coasting_tells_none():
    config = configuration.load(None, [*CLICKS, "session.units=40"])
    model = untrained_model(config)
    model.weights[3] = 3.0  # rates twenty times higher while a click is intended
    click, ones = ClickFilter(model, 0.9), np.ones(40)
    told = [click.predict(ones, ones, np.zeros(4)) for _ in range(40)]
    assert sum(told) == 1 and click.posterior[CLICK] > 0.99
    told = [click.predict(0 * ones, ones, np.zeros(4)) for _ in range(200)]
    assert not any(told) and click.posterior[CLICK] < 0.5
    assert not any(click.coast() for _ in range(100))


def test_a_click_inside_selects_and_one_outside_is_counted():
    task = make_task(TaskConfig(kind="centre-out-click", targets=4, pause_s=0.0), 0.1, np.random.default_rng(1))
    task.clicked = True
    assert task.advance(-0.1, 0.0) is None and (task.clicks, task.false_clicks) == (1, 1)
    task.clicked = False
    assert task.advance(*task.position) is None
    task.clicked = True
    assert task.advance(*task.position)["result"] == "success" and (task.clicks, task.false_clicks) == (2, 1)
    twin = make_task(TaskConfig(kind="centre-out-click", targets=4), 0.1, np.random.default_rng(1))
    twin.restore(task.snapshot())
    assert (twin.clicks, twin.false_clicks, twin.successes) == (2, 1, 1)


def test_a_closed_loop_from_untrained_clicks_inside_and_replays_to_the_bit(tmp_path):
    path = tmp_path / "a.mcap"
    loop = assemble(configuration.load(None, [*CLICKS, f"recording.path='{path}'"]), "max")
    run(loop, 6000)
    result = loop.result()
    assert result["successes"] >= 15 and result["false_clicks"] <= 0.2 * result["clicks"]
    assert Replay(Recording(path)).run()["identical"]
    steps = Recording(path).steps()["output"]
    assert np.allclose(steps["click_posterior"].sum(axis=1), 1.0)
    assert steps["clicked"].sum() >= result["clicks"]


@pytest.mark.parametrize("overrides", [["state.click=true"], ["task.kind=centre-out-click"]])
def test_clicks_without_a_task_that_asks_for_them_are_refused(overrides):
    config = configuration.load(None, overrides)
    source = SimulatedSource(config)
    with pytest.raises(BadInput, match="does not go with"):
        Session(config, source.world.initial_model())


def test_a_stopped_session_does_not_click():
    config = configuration.load(None, CLICKS)
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), Bin(*config.layout)
    session.apply({"set": "session.hold", "value": True})
    for _ in range(500):
        source.next_bin(given, session.cursor, session.task.target)
        session.step(given.bytes)
    assert session.task.clicks == 0
