"""The decoder's kind and settings change while a session runs: acknowledged, recorded, replayed to the bit."""

import math

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.decoding import tables
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.errors import BadInput
from bmi_runtime.playback.player import Player
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.live_parameters import live_parameters
from bmi_runtime.session.replay import Replay

SHORT = ["session.units=24", "recording.snapshot_s=1.0", "adapter.learning_rate=1e-5"]


class HalfFilter(VelocityFilter):
    """Stands for another package's decoder: half as fast, with no state of its own to take over."""

    def predict(self, counts, valid=None):
        """Return half the filter's velocity."""
        state = super().predict(counts, valid).copy()
        state[2:] *= 0.5
        self.state[2:] = state[2:]
        return self.state


@pytest.fixture
def half(monkeypatch):
    found, names = tables.decoder_class, tables.names
    for module in ("bmi_runtime.session.decoder_stage", "bmi_runtime.decoding.tables"):
        monkeypatch.setattr(f"{module}.decoder_class", lambda name: HalfFilter if name == "half" else found(name))
    monkeypatch.setattr("bmi_runtime.session.live_parameters.names", lambda: [*names(), "half"])


def record(path, *overrides, commands, bins=1200):
    config = configuration.load(None, [*SHORT, f"recording.path='{path}'", *overrides])
    loop = assemble(config, "max")
    answers, todo = [], dict(commands)
    loop.on_bin = lambda loop: [
        answers.append(loop.handle(command)) for command in [todo.pop(loop.session.bins, None)] if command
    ]
    launch.run(loop, bins)
    return loop, answers


def test_settings_change_on_their_bin_and_replay_to_the_bit(tmp_path):
    commands = {
        300: {"set": "decoder.velocity_time_constant_s", "value": 0.1},
        500: {"set": "decoder.velocity_sd_m_s", "value": 0.05},
        700: {"set": "decoder.parameter_trust", "value": 0.0},
        800: {"set": "decoder.frozen", "value": True},
        900: {"set": "decoder.velocity_sd_m_s", "value": 0.15},
    }
    loop, answers = record(tmp_path / "a.mcap", commands=commands)
    assert [(answer["old"], answer["new"], answer["bin"]) for answer in answers[:3]] == [
        (0.5, 0.1, 300), (0.15, 0.05, 500), (1.0, 0.0, 700),
    ]  # fmt: skip
    assert loop.session.decoder.keep == math.exp(-loop.session.config.bin_s / 0.1)
    assert loop.session.decoder_model is not loop.session.model  # still frozen
    record(tmp_path / "b.mcap", commands={})
    steps, others = (Recording(tmp_path / name).steps()["output"] for name in ("a.mcap", "b.mcap"))
    assert np.array_equal(steps["decoded"][:300], others["decoded"][:300])
    assert not np.array_equal(steps["decoded"][300], others["decoded"][300])
    result = Replay(Recording(tmp_path / "a.mcap")).run()
    assert result["identical"] and result["output_digest"] == loop.result()["output_digest"]


def test_another_packages_decoder_takes_over_at_its_bin(tmp_path, half):
    commands = {
        400: {"set": "decoder.kind", "value": "half"},
        800: {"set": "decoder.kind", "value": "point-process"},
    }
    loop, answers = record(tmp_path / "a.mcap", commands=commands)
    changes = [(answer["old"], answer["new"]) for answer in answers]
    assert changes == [("point-process", "half"), ("half", "point-process")]
    assert Replay(Recording(tmp_path / "a.mcap")).run()["output_digest"] == loop.result()["output_digest"]
    player = Player(tmp_path / "a.mcap")
    for place in (600, 1000, 600, 100):  # from snapshots, forward and back
        player.seek(place)
        kind = "half" if 400 < place < 800 else "point-process"
        assert live_parameters(player.position.session)["decoder.kind"]["value"] == kind
        player.step(50)
        assert player.position.first_difference is None


@pytest.mark.parametrize(
    ("likelihood", "own", "other"),
    [("poisson", "point-process", "kalman"), ("gaussian", "kalman", "point-process")],
)
def test_only_kinds_that_fit_the_units_are_offered_and_the_answer_says_why(tmp_path, likelihood, own, other):
    path = tmp_path / "a.mcap"
    loop, answers = record(
        path, f"session.likelihood={likelihood}", commands={5: {"set": "decoder.kind", "value": own}}, bins=20
    )
    offered = live_parameters(loop.session)["decoder.kind"]
    assert offered["choices"] == [own] and offered["value"] == own and likelihood in offered["why"]
    assert answers == [{"set": "decoder.kind", "old": own, "new": own, "bin": 5}]
    before = loop.session.decoder
    with pytest.raises(BadInput, match=f"the units are {likelihood}; {other} needs .* choose from {own}"):
        loop.session.apply({"set": "decoder.kind", "value": other})
    assert loop.session.decoder is before and Replay(Recording(path)).run()["identical"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("velocity_time_constant_s", 0.0), ("velocity_sd_m_s", float("nan")), ("parameter_trust", 1.5)],
)
def test_values_out_of_bounds_are_refused(tmp_path, name, value):
    loop, _ = record(tmp_path / "a.mcap", commands={}, bins=2)
    with pytest.raises(BadInput, match=rf"decoder\.{name} must lie between"):
        loop.session.apply({"set": f"decoder.{name}", "value": value})


def test_what_if_asks_for_other_settings_than_the_recorded_snapshot(tmp_path):
    record(tmp_path / "a.mcap", commands={})
    replay = Replay(Recording(tmp_path / "a.mcap"), ["decoder.velocity_sd_m_s=0.03"])
    assert replay.session.decoder.stationary == 0.03**2
