"""Trials and blocks that begin and end with events of the device: live, and in the replay without the device."""

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.messages import TrialState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import assemble, launch
from bmi_runtime.session.replay import Replay
from simulators.source import SimulatedSource


class Rig(SimulatedSource):
    """Simulated units, and TTL lines that change at given bins."""

    lines = {}

    def __init__(self, config):
        super().__init__(config)
        self.asked = 0

    def next_bin(self, into, cursor, target):
        self.asked += 1
        return super().next_bin(into, cursor, target)

    def drain_events(self):
        told = [
            {"name": "device-event", "kind": "ttl", "line": line, "state": 1, "device_time_s": 0.0}
            for line in self.lines.pop(self.asked, ())
        ]
        return super().drain_events() + told


def run(tmp_path, monkeypatch, lines, *settings):
    monkeypatch.setattr(Rig, "lines", dict(lines))
    monkeypatch.setattr(assemble, "make_source", Rig)
    path = tmp_path / "a.mcap"
    base = ["session.units=16", f"recording.path='{path}'", "task.options.begin_on='ttl line=1 state=1'"]
    loop = assemble.assemble(configuration.load(None, [*base, *settings]), "max")
    launch.run(loop, 600)
    return Recording(path)


def test_trials_begin_and_end_with_the_lines_and_the_replay_is_identical(tmp_path, monkeypatch):
    lines = {50: (1,), 80: (2,), 120: (1,), 130: (1,)}
    recording = run(tmp_path, monkeypatch, lines, "task.options.end_on='ttl line=2'", "task.timeout_s=0.5")
    out = recording.steps()["output"]
    state, trial = out["trial_state"], out["trial"]
    assert np.all(state[:50] == TrialState.PAUSE) and np.all(state[51:79] < TrialState.SUCCESS)
    assert np.all(state[81:119] == TrialState.PAUSE) and trial[150] == trial[125] == 2  # the second 1 came in a trial
    trials = [event for _, event in recording.messages("event") if event["name"] == "trial"]
    assert trials[0]["result"] == "stopped" and trials[1]["result"] in ("timeout", "success")
    commands = [message for _, message in recording.messages("command")]
    assert [(command["set"], command["new"]) for command in commands] == [
        ("task.trial", what) for what in ("begin", "end", "begin", "begin")
    ]
    assert Replay(recording).run()["identical"]


def test_a_line_begins_the_next_block(tmp_path, monkeypatch):
    blocks = "block=[{kind='observe'},{kind='adapt'}]"
    recording = run(tmp_path, monkeypatch, {100: (3,), 300: (3,)}, "task.options.block_on='ttl line=3'", blocks)
    commands = [message for _, message in recording.messages("command")]
    told = [(command["new"], command["bin"]) for command in commands if command["set"] == "session.block"]
    assert told == [(2, 100)]  # there is no third
    assert Replay(recording).run()["identical"]
