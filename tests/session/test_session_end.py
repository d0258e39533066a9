"""Whoever watches is told that a session is over, and why: silence alone would look like a crash."""

import time

import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime.messages import unpack
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

BLOCK = "block=[{kind='observe', length_s=0.5}]"


@pytest.fixture
def watched(tmp_path):
    """Return what runs a session of some settings beside a viewer, and returns the events that the viewer got."""
    context = zmq.Context()
    viewer = context.socket(zmq.SUB)
    viewer.linger = 0

    def run(settings, bins, at_bin=None):
        address = f"ipc://{tmp_path}/telemetry"
        common = ["session.units=8", "recording.enabled=false", f"telemetry.publish_address='{address}'"]
        common += [f"telemetry.control_address='ipc://{tmp_path}/control'"]
        loop = assemble(configuration.load(None, [*common, *settings]), "max", published=True)
        viewer.connect(address)
        viewer.subscribe(b"")
        until = time.monotonic() + 10.0
        while not viewer.poll(20) and time.monotonic() < until:  # the subscription has arrived
            loop.telemetry.send("health", 0, {})
        loop.on_bin = lambda loop: at_bin(loop) if at_bin and loop.session.bins == 20 else None
        launch.run(loop, bins)
        events = []
        while viewer.poll(1000 if not events else 300):
            stream, body = viewer.recv_multipart()
            if stream == b"event":
                events.append(unpack(body))
        return events

    yield run
    viewer.close()
    context.term()


@pytest.mark.parametrize(
    ("settings", "bins", "at_bin", "why"),
    [
        ([], 60, None, "duration"),
        ([BLOCK], 0, None, "blocks"),
        ([], 0, lambda loop: loop.handle({"do": "stop"}), "operator"),
        ([], 0, lambda loop: loop.stop(), "signal"),
    ],
)
def test_the_last_message_says_why(watched, settings, bins, at_bin, why):
    events = watched(settings, bins, at_bin)
    assert (events[-1]["name"], events[-1]["why"]) == ("session-ended", why)
    assert [event["name"] for event in events].count("session-ended") == 1
