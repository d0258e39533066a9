"""The array judged in the first half minute of a session, by a process beside it, through the session's own sockets."""

import socket
import threading

import pytest

from bmi_runtime import config as configuration
from bmi_runtime.analysis.array_verdict import judge
from bmi_runtime.cli.run import _stability_command
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch, stability_report, stability_watch
from bmi_runtime.session.assemble import assemble


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def configured(path, **sections):
    made = {"session": {"units": 24, "bin_s": 0.02}, "recording": {"path": str(path)}}
    return configuration.from_dict(made | sections)


def test_a_session_is_told_what_the_first_seconds_say_and_records_it(tmp_path):
    reference, today = tmp_path / "ref.mcap", tmp_path / "today.mcap"
    loop = assemble(configured(reference, encoding={"initial": "truth"}), "max")
    launch.run(loop, 4000)
    publish, control = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    ports = {"publish_address": publish, "control_address": control, "output_address": ""}
    config = configured(today, encoding={"initial": str(reference)}, telemetry=ports)
    loop = assemble(config, "max", published=True)
    address = control
    told = {}

    def watch():
        told["code"] = stability_watch.main([str(reference), address, "8"])
        loop.stop()

    thread = threading.Thread(target=watch)
    loop.on_bin = lambda loop: thread.start() if loop.session.bins == 500 else None
    launch.run(loop, 2_000_000)
    thread.join(30)
    assert told["code"] == 0
    (event,) = [event for _, event in Recording(today).messages("event") if event["name"] == "stability"]
    assert event["verdict"] == "go-on" and event["reference"] == "ref.mcap" and event["units"] == 24
    assert event["score"] == pytest.approx(judge([reference, today], 8.0)["score"])


def test_only_what_can_be_is_told():
    for wrong in (None, {}, {"verdict": "fine"}, {"verdict": [1]}, "go-on"):
        with pytest.raises(BadInput, match="a map with a verdict"):
            stability_report.checked(wrong)
    told = stability_report.checked({"verdict": "widen", "score": float("nan"), "p": "x", "text": "a" * 999, "more": 1})
    assert told == {"verdict": "widen", "text": "a" * 300}


def test_it_is_started_only_where_it_can_say_something(tmp_path):
    class RuntimeJob:
        resume = None
        config = configured(tmp_path / "a.mcap", encoding={"initial": "REF.mcap"})

    assert _stability_command(RuntimeJob)[-2] == "REF.mcap"
    RuntimeJob.config = configured(tmp_path / "a.mcap")
    assert _stability_command(RuntimeJob) is None
