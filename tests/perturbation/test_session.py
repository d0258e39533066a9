"""Stimulation in the loop: a session runs the schedule, records and replays it; the effects come out again."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.analysis.perturbation.effects import difference_in_means
from bmi_runtime.analysis.perturbation.recorded import recorded_trials
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay

OVERRIDES = [
    "session.units=10",
    "stimulation.enabled=true",
    "stimulation.units=[2,5,7]",
    "stimulation.trials=300",
    "stimulation.interval_s=0.1",
    "stimulation.jitter_s=0.02",
    "stimulation.pulses=3",
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("stimulation") / "a.mcap"
    config = configuration.load(None, [*OVERRIDES, f"recording.path='{path}'"])
    launch.run(assemble(config, "max"), 6500)
    return Recording(path)


def test_every_trial_is_recorded_with_its_shams(recording):
    events = [message for _, message in recording.messages("event") if message["name"] == "stimulation"]
    assert len(events) == 300
    assert sorted(event["trial"] for event in events) == list(range(300))
    assert all(sorted(event["stimulate"] + event["sham"]) == [2, 5, 7] for event in events)
    flagged = np.flatnonzero(recording.column("output", "stimulated"))
    assert set(flagged) == {event["bin"] for event in events}


def test_the_effector_adds_its_spikes_in_the_next_bin_and_to_no_other_unit(recording):
    trials = recorded_trials(recording)
    given = difference_in_means(trials["assignments"], trials["treatments"])
    assert np.allclose(np.diag(given.estimate), 3.0, atol=0.15)
    # the other units' random trials are noise here: sd 1.5 spikes, so a standard error of 2 * 1.5 / sqrt(300) = 0.17
    assert np.abs(given.estimate - np.diag(np.diag(given.estimate))).max() < 4 * 0.17


def test_unconnected_units_show_no_effect_beyond_chance(recording):
    trials = recorded_trials(recording)
    found = difference_in_means(trials["assignments"], trials["outcomes"])
    assert (found.p_values < 0.01).sum() <= 3


def test_a_stimulated_session_replays_to_the_bit(recording):
    assert Replay(recording).run()["identical"]


def test_the_command_line_fits_a_recording(recording, answered):
    assert answered("perturb", "fit", recording.path)["sources"] == 3


def test_a_unit_that_is_not_there_is_named():
    config = configuration.load(None, [*OVERRIDES, "stimulation.units=[3,10]", "recording.enabled=false"])
    with pytest.raises(BadInput, match="names unit 10"):
        assemble(config, "max")


def test_a_session_without_stimulation_says_so(tmp_path):
    config = configuration.load(None, ["session.units=4", f"recording.path='{tmp_path / 'b.mcap'}'"])
    launch.run(assemble(config, "max"), 50)
    with pytest.raises(BadInput, match="holds no stimulation"):
        recorded_trials(Recording(tmp_path / "b.mcap"))
