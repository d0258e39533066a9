"""An encrypted session over real sockets: who may watch, who may steer, and what the others are told."""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.security import make_keys
from bmi_runtime.session.launch import _from_here
from gui import theme
from gui.client import Client
from gui.console import Console
from gui.link import Link
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from running import BMI, KEPT, RUN, free_addresses


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The folders of a server, of an operator and a viewer elsewhere, of a stranger, of one with half of each."""
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder / "server")
    make_keys(folder / "stranger")
    for name, files in (
        ("operator", ("server/server.key", "server/operator.key_secret")),
        ("viewer", ("server/server.key", "server/client.key_secret")),
        ("unknown", ("server/server.key", "stranger/client.key_secret", "stranger/operator.key_secret")),
    ):
        (folder / name).mkdir()
        for file in files:
            shutil.copy(folder / file, folder / name)
    return folder


@pytest.fixture(scope="module")
def session(keys, tmp_path_factory):
    """A session that every network interface reaches, encrypted; yields (addresses from here, recording, process)."""
    addresses = [address.replace("127.0.0.1", "0.0.0.0") for address in free_addresses()]
    path = tmp_path_factory.mktemp("recordings") / "encrypted.mcap"
    command = [*RUN, "--record", str(path), "--json", "--set", f"telemetry.key_folder='{keys / 'server'}'"]
    for key, address in zip(("publish_address", "control_address"), addresses):
        command += ["--set", f"telemetry.{key}='{address}'"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield [_from_here(address) for address in addresses], path, process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def link(request, session, keys):
    """A window's link with the keys of a folder."""
    made = Link(Store(), Client(*session[0], str(keys / request.param) if request.param else ""))
    yield made
    made.close()


def until(link, condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        link.tick()
        time.sleep(0.01)


@pytest.mark.parametrize("link", ["operator"], indirect=True)
def test_the_operators_key_watches_and_steers(link, session):
    until(link, lambda: link.store.mode == "simulated" and link.store.bin > 50, 120)
    answers = []
    link.send({"set": "decoder.velocity_time_constant_s", "value": 0.3}, answers.append)
    until(link, lambda: answers)
    assert answers[0]["ok"] and (answers[0]["old"], answers[0]["new"]) == (0.5, 0.3)
    until(link, lambda: link.store.live["decoder.velocity_time_constant_s"] == 0.3)
    assert link.client.may_command and not link.client.locked_out


@pytest.mark.parametrize("link", ["viewer"], indirect=True)
def test_a_viewers_key_watches_the_whole_session_and_cannot_steer(link, session, keys):
    until(link, lambda: link.store.mode == "simulated" and link.store.weights is not None, 120)
    store = link.store
    assert (
        store.watching and store.config["task"]["kind"] == "centre-out" and store.recording.endswith("encrypted.mcap")
    )
    assert store.live["decoder.velocity_time_constant_s"] in (0.3, 0.5) and store.n_units == 96
    answers = []
    link.send({"do": "stop"}, answers.append)
    assert not answers[0]["ok"] and f"{keys / 'viewer'} has no operator.key_secret" in answers[0]["error"]
    bins = store.bin
    until(link, lambda: store.bin > bins + 20)  # and it goes on


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("unknown", "does not admit the client.key_secret"),
        ("stranger", "its server.key is another one"),
        ("", "encrypts: give this window --keys FOLDER"),
    ],
    indirect=["link"],
)
def test_others_are_told_why_not(link, words):
    until(link, lambda: any(words in problem for problem in link.store.problems), 120)
    assert link.client.locked_out and link.store.mode == "waiting"
    answers = []
    link.send({"get": "hello"}, answers.append)
    until(link, lambda: answers)
    assert not answers[0]["ok"]


@pytest.fixture
def window(request, qtbot, qapp, session, keys):
    """A console with the keys of a folder."""
    theme.use("dark", qapp)
    made = Console(Link(Store(), Client(*session[0], str(keys / request.param))), remember=False)
    KEPT.append(made)
    made.show()
    yield made
    made.close()
    made.link.close()


@pytest.mark.parametrize("window", ["stranger"], indirect=True)
def test_a_stranger_reads_over_every_panel_why(qtbot, window):
    qtbot.waitUntil(lambda: "its server.key is another one" in window.docks["subject"].overlay.text, timeout=120_000)
    assert "its server.key is another one" in window.chrome.banner.text()


@pytest.mark.parametrize("window", ["viewer"], indirect=True)
def test_a_viewers_buttons_are_off(qtbot, window):
    controls = window.docks["controls"].panel
    qtbot.waitUntil(lambda: window.chrome.bar.state == "running" and bool(controls.rows), timeout=120_000)
    assert not window.enabled("hold") and not window.enabled("stop") and window.enabled("open_file")
    assert not controls.rows["task.assist"].editor.isEnabled() and "watching only" in window.chrome.counters.text()


def test_without_keys_no_address_off_this_machine_and_missing_keys_are_named(tmp_path):
    with pytest.raises(BadInput, match="reachable from other machines"):
        Client("tcp://192.0.2.1:5581", "tcp://192.0.2.1:5582")
    with pytest.raises(BadInput, match=r"--keys: the key client\.key_secret cannot be read"):
        Client("tcp://192.0.2.1:5581", "tcp://192.0.2.1:5582", str(tmp_path))


@pytest.mark.parametrize("link", ["operator"], indirect=True)
def test_the_change_over_the_encrypted_socket_is_in_the_recording_which_replays(link, session):
    _, path, process = session
    until(link, lambda: link.store.mode == "simulated", 120)
    link.send({"do": "stop"})
    until(link, lambda: process.poll() is not None)
    bins = json.loads(process.stdout.read().splitlines()[-1])["bins"]
    commands = [message for _, message in Recording(path).messages("command")]
    assert [command.get("set", command.get("do")) for command in commands] == [
        "decoder.velocity_time_constant_s",
        "stop",
    ]
    replayed = subprocess.run(
        [*BMI, "replay", str(path), "--verify", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(replayed.stdout.splitlines()[-1])["identical"] and bins > 100
