"""A source under a virtual host clock: nothing sleeps, and every run is the same."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.messages import Bin
from bmi_runtime.sources.live import LiveSource

BIN_NS = 5_000_000


class Script:
    """A feed that plays (host time, action) pairs; an action gets the binner and the host time."""

    OPTIONS = ()

    def __init__(self, now_ns=10**12):
        self.now_ns, self.actions, self.position = now_ns, [], 0

    def at(self, host_ns, action):
        self.actions.append((host_ns, action))

    def open(self):
        self.actions.sort(key=lambda item: item[0])

    def receive(self, binner, timeout_s):
        until = self.now_ns + round(timeout_s * 1e9)
        if self.position < len(self.actions) and self.actions[self.position][0] <= until:
            host_ns, action = self.actions[self.position]
            self.now_ns = max(self.now_ns, host_ns)
            self.position += 1
            action(binner, host_ns)
            return True
        self.now_ns = until
        return False

    def close(self):
        pass

    @property
    def done(self):
        return self.position == len(self.actions)


class Bench:
    """A live source on a script: runs bins until the script is over and keeps a copy of each."""

    def __init__(self, script, *overrides):
        base = ["session.units=4", "source.options.wait_s=0"]
        self.config = configuration.load(None, [*base, *overrides])
        self.script = script
        self.source = LiveSource(self.config, script, lambda: script.now_ns)
        self.events = []

    def run(self, extra_bins=0):
        self.script.open()
        into, rows = Bin(self.config.session.units, self.config.continuous), []
        while not self.script.done or self.source.binner.complete() or extra_bins > 0:
            extra_bins -= self.script.done
            self.source.next_bin(into, None, None)
            self.script.now_ns += 20_000  # the step
            rows.append(into.array[0].copy())
            for event in self.source.drain_events():
                self.events.append({**event, "bin": len(rows) - 1})
        return np.array(rows)

    def named(self, name):
        return [event for event in self.events if event["name"] == name]


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def bench():
    return Bench
