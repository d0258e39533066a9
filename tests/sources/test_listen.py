"""`bmi doctor --source`: what comes, and the settings to use, from a real stand-in process-wide socket."""

import json
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.doctor import doctor
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.listen import listen
from simulators.standins.open_ephys import OpenEphysStandIn
from tests.sources.redis_server import server
from tests.sources.test_closing_the_loop import free_ports


@pytest.fixture
def gui():
    """A stand-in of the GUI that sends blocks of 20 ms of three electrodes and a TTL line."""
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    standin = OpenEphysStandIn(
        configuration.load(None, ["session.units=3", f"source.address={address}"]), np.random.default_rng(0)
    )
    go = threading.Event()

    def send():
        begun, k = time.monotonic(), 0
        while not go.is_set():
            time.sleep(max(begun + (k + 1) * 0.02 - time.monotonic(), 0.0))
            standin.emit(k * 20_000_000, (k + 1) * 20_000_000, np.array([1, 2, 0]))
            standin.socket.send_multipart(standin.ttl_frames(k * 600, 2, bool(k % 2)))
            k += 1

    thread = threading.Thread(target=send)
    thread.start()
    yield address
    go.set()
    thread.join()
    standin.close()


def test_what_comes_and_the_settings_to_use(gui):
    report = listen(
        configuration.load(None, ["source.kind=open-ephys", f"source.address={gui}", "session.units=8"]), 1.0
    )
    assert report["piece_s"] == pytest.approx(0.02, rel=0.01) and report["pieces_per_s"] == pytest.approx(50, rel=0.2)
    assert [row["name"] for row in report["units"]] == ["Electrode 1", "Electrode 2"]
    assert report["settings"]["session.units"] == 2 and report["settings"]["source.address"] == gui
    assert report["events"]["ttl"] > 20 and report["refusals"] == []
    assert 0.0 < report["added_delay_median_s"] < report["wait_s"]


def test_the_command_answers_with_json_and_for_people(gui):
    arguments = [
        "--source",
        "open-ephys",
        "--set",
        f"source.address={gui}",
        "--set",
        "session.units=2",
        "--listen",
        "0.5",
    ]
    done = CliRunner().invoke(doctor, [*arguments, "--json"])
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert answer["ok"] == (done.exit_code == 0) and answer["source"]["units"][0]["name"] == "Electrode 1"
    text = CliRunner().invoke(doctor, arguments).stdout
    assert "'Electrode 2': unit 1" in text and "--set session.units=2" in text and "events    " in text


def test_a_source_that_makes_its_own_data_is_refused():
    with pytest.raises(BadInput, match="there is nothing to listen to in it"):
        listen(configuration.load(None, ["source.kind=simulated"]), 0.1)


def sent_every(period_s, send):
    """Call `send` in a thread every so many seconds until the event that is returned is set."""
    go = threading.Event()

    def run():
        begun, k = time.monotonic(), 0
        while not go.is_set():
            k += 1
            time.sleep(max(begun + k * period_s - time.monotonic(), 0.0))
            send(k)

    thread = threading.Thread(target=run)
    thread.start()
    return go, thread


def test_what_was_given_stands_among_the_settings_to_use():
    redis = pytest.importorskip("redis", reason="the package redis is not installed")
    with server() as port:
        node = redis.Redis(port=port)
        row = np.ones(2, np.int16).tobytes()

        def send(_):
            node.xadd("crossed", {"crossings": row, "ts": np.uint64(time.monotonic_ns()).tobytes()})

        go, thread = sent_every(0.005, send)
        try:
            options = [f"source.address=redis://127.0.0.1:{port}", "source.options.stream=crossed", "session.units=2"]
            settings = listen(configuration.load(None, ["source.kind=redis", *options]), 0.5)["settings"]
        finally:
            go.set()
            thread.join()
            node.close()
    assert settings["source.options.stream"] == "crossed" and settings["source.options.field"] == "crossings"


def test_a_stream_of_lsl_is_named_and_has_no_address():
    pylsl = pytest.importorskip("pylsl", reason="pylsl is not installed", exc_type=(ImportError, RuntimeError))
    name = f"listen-{time.monotonic_ns()}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "counts", 2, 100, "float32", name))
    go, thread = sent_every(0.01, lambda k: outlet.push_sample([1.0, 2.0]))
    try:
        options = [f"source.options.stream={name}", "source.options.kind=counts", "session.units=2"]
        report = listen(configuration.load(None, ["source.kind=lsl", "session.bin_s=0.02", *options]), 0.5)
    finally:
        go.set()
        thread.join()
    assert "source.address" not in report["settings"]
    assert report["settings"]["source.options.stream"] == name
    assert report["settings"]["source.options.kind"] == "counts"
