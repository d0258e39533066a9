"""Whoever watches is told that a session is over, and why: silence alone would look like a crash."""

import signal
import time
import types

import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime.messages import unpack
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch, worker
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
        common += [f"telemetry.control_address='ipc://{tmp_path}/control'", "telemetry.output_address=''"]
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


def test_nothing_comes_after_it_also_where_alarms_were_suppressed(watched):
    def many(loop):
        loop.session.events += [{"name": "data-missing"} for _ in range(80)]

    events = watched([], 60, many)
    assert [event["name"] for event in events[-2:]] == ["data-missing", "session-ended"]
    assert events[-2]["suppressed"] == 30


def test_the_recording_says_why_it_ends(watched, tmp_path):
    path = tmp_path / "a.mcap"
    watched(["recording.enabled=true", f"recording.path='{path}'"], 0, lambda loop: loop.handle({"do": "stop"}))
    last = [message for _, message in Recording(path).messages("event")][-1]
    assert (last["name"], last["why"], last["bin"]) == ("session-ended", "operator", 19)


@pytest.mark.parametrize("interruptible", [True, False])
def test_patience_ends_only_with_parts_of_others_never_with_the_recording_of_the_end(interruptible, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE_S", 0.02)
    loop = types.SimpleNamespace(stop=lambda: None, interruptible=interruptible, stopping=True)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    worker._end_on_signal(loop)
    try:
        signal.raise_signal(signal.SIGTERM)
        until = time.monotonic() + 0.2
        left = False
        try:
            while time.monotonic() < until:
                time.sleep(0.01)
        except worker._Ended:
            left = True
        assert left == interruptible
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_the_timer_of_a_part_does_not_end_a_session_under_a_supervisor():
    loop = types.SimpleNamespace(stopping=False, session=types.SimpleNamespace(events=[]))
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    worker._end_on_signal(loop)
    try:
        signal.raise_signal(signal.SIGALRM)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert loop.session.events == [{"name": "signal-ignored", "signal": "SIGALRM"}]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGPROF])
def test_a_signal_that_a_part_sends_itself_is_an_event_and_no_death(number, tmp_path):
    path, kept = tmp_path / "a.mcap", signal.signal(number, signal.SIG_DFL)
    config = configuration.load(None, ["session.units=8", f"recording.path='{path}'", "telemetry.enabled=false"])
    loop = assemble(config, "max")
    loop.on_bin = lambda loop: signal.raise_signal(number) if loop.session.bins == 20 else None
    try:
        launch.run(loop, 40)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, kept)
    events = [message for _, message in Recording(path).messages("event")]
    assert [(event["signal"], event["bin"]) for event in events if event["name"] == "signal-ignored"] == [
        (signal.Signals(number).name, 20)
    ]
