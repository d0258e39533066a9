"""Predicted against achieved, live: coverage where the truth is known, and the events when an assumption breaks."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource


def run(seconds, *overrides):
    """Run a simulated session; return it, its source and its events. The truth is compared twice a second."""
    config = configuration.load(None, ["session.units=48", *overrides])
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), Bin(config.session.units, config.continuous)
    for k in range(round(seconds / config.bin_s)):
        source.next_bin(given, session.cursor, session.task.target)
        session.step(given.bytes)
        if k % 100 == 99:
            report = session.adaptation.report(source.truth())
    return session, report, session.events


def test_a_world_that_is_as_assumed_raises_no_alarm_and_is_covered():
    _, report, events = run(150, "adapter.learning_rate=1e-5")
    assert not [event for event in events if event["name"] in ("rate-off", "tuning-drifting", "unit-lost")]
    assert report["innovation_ratio"] == pytest.approx(1.0, abs=0.05)
    assert report["coverage"] == pytest.approx(0.95, abs=0.025)


def test_dying_units_are_named_and_no_others():
    _, report, events = run(
        90, "population.dying_fraction=0.1", "population.dying_at_s=60", "adapter.learning_rate=1e-5"
    )
    lost = {event["unit"] for event in events if event["name"] == "unit-lost" and event["change"] == "began"}
    assert report["lost"] == len(lost) > 0
    config = configuration.load(None, ["session.units=48", "population.dying_fraction=0.1"])
    assert lost <= set(SimulatedSource(config).world.population.dying.tolist())


def test_tuning_that_drifts_faster_than_assumed_is_noticed():
    _, report, _ = run(120, "population.direction_walk_rad_per_root_s=0.15", "adapter.learning_rate=2e-6")
    assert report["drifting"] > 5
    assert report["drift_ratio"] > 2.0


def test_drift_tracking_raises_the_rate_within_its_bound_and_says_so():
    overrides = ("population.direction_walk_rad_per_root_s=0.15", "adapter.learning_rate=2e-6")
    session, _, events = run(200, *overrides, "adapter.drift_tracking=true", "adapter.drift_max_learning_rate=1.5e-5")
    changes = [event for event in events if event["name"] == "learning-rate"]
    assert changes
    assert changes[0]["old"] == 2e-6
    assert 2e-6 < session.adaptation.learning_rate <= 1.5e-5


def test_a_schedule_with_a_floor_starts_without_and_ends_at_its_rate():
    session, _, _ = run(5, "adapter.schedule=floor", "adapter.learning_rate=1e-4")
    assert set(np.unique(session.learning.adapter.rate)) <= {0.0, 1e-4}
    early, _, _ = run(0.05 * 20, "adapter.schedule=floor", "adapter.learning_rate=1e-6")
    assert (early.learning.adapter.rate == 0.0).all()
    late, _, _ = run(60, "adapter.schedule=floor", "adapter.learning_rate=1e-4")
    assert (late.learning.adapter.rate == 1e-4).mean() > 0.9


def test_an_unknown_noise_variance_is_learned_and_replays(tmp_path):
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session import launch
    from bmi_runtime.session.assemble import assemble
    from bmi_runtime.session.replay import Replay

    overrides = ["session.likelihood=gaussian", "session.units=30", "adapter.learning_rate=1e-4"]
    overrides += ["population.noise_variance=0.5", "encoding.noise_variance=2.0", "adapter.estimate_noise=true"]
    config = configuration.load(None, [*overrides, f"recording.path='{tmp_path / 'a.mcap'}'"])
    loop = assemble(config, "max")
    launch.run(loop, 6000)
    learned = loop.session.model.noise_variance
    assert learned.mean() == pytest.approx(0.5, rel=0.015)
    assert learned.std() < 0.03
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]


@pytest.mark.parametrize(
    "ways",
    [
        (),
        ("adapter.rate_search=true",),
        ("adapter.drift_tracking=true",),
        ("adapter.schedule=floor",),
        ("session.likelihood=gaussian", "decoder.kind=kalman", "adapter.estimate_noise=true"),
    ],
)
def test_what_steers_the_adapter_says_so(ways):
    """A rehearsal leaves out what only watches: it must know what does more."""
    config = configuration.load(None, ["session.units=12", "session.bin_s=0.02", "adapter.learning_rate=1e-4", *ways])
    source, given = SimulatedSource(config), Bin(*config.layout)
    model = source.world.initial_model()
    sessions = [Session(config, model.copy()) for _ in range(2)]
    for _ in range(4000):
        source.next_bin(given, sessions[0].cursor, sessions[0].task.target)
        for session, settles in zip(sessions, (True, False), strict=True):
            session.respond(given.bytes)
            if settles:
                session.settle()
    with_it, without = (session.learning for session in sessions)
    same = np.array_equal(with_it.model.weights, without.model.weights)
    same = same and np.array_equal(with_it.adapter.rate, without.adapter.rate)
    assert with_it.control.steers is not same
