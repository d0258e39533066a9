"""Off loopback: no keys, no socket; an unknown key is refused and counted; commands need the operator's key."""

import stat
import subprocess
import sys
import time

import pytest
import zmq
from zmq.auth import load_certificate

from bmi_runtime import config as configuration
from bmi_runtime import security
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import pack, unpack
from bmi_runtime.session.telemetry import Control


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    security.make_keys(folder)
    return folder


@pytest.fixture
def context():
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:5571", True),
        ("tcp://127.3.2.1:*", True),
        ("tcp://localhost:5571", True),
        ("tcp://[::1]:5571", True),
        ("ipc:///tmp/x", True),
        ("inproc://x", True),
        ("tcp://*:5571", False),
        ("tcp://0.0.0.0:5571", False),
        ("tcp://192.168.1.2:5571", False),
        ("tcp://eth0:5571", False),
        ("udp://239.0.0.1:5571", False),
    ],
)
def test_what_is_loopback(address, local):
    assert security.is_loopback(address) is local


def test_off_loopback_without_keys_is_refused(context):
    for prepare in (security.secure_server, security.secure_client):
        with (
            context.socket(zmq.PUB) as socket,
            pytest.raises(BadInput, match=r"reachable from other machines.*bmi keys"),
        ):
            prepare(socket, "tcp://0.0.0.0:5571", "", "source.address")


def test_missing_keys_are_one_sentence(context, tmp_path):
    with context.socket(zmq.PUB) as socket, pytest.raises(BadInput, match=r"server\.key_secret cannot be read"):
        security.secure_server(socket, "tcp://0.0.0.0:5571", str(tmp_path), "source.address")


def test_keys_are_private_and_never_overwritten(keys):
    for file in keys.rglob("*.key*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(BadInput, match="holds keys already"):
        security.make_keys(keys)


def _ask(context, port, keys, name, server_key=None):
    """Return the answer to a command sent with this key, or None when nothing came back."""
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        if name is not None:
            socket.curve_publickey, socket.curve_secretkey = load_certificate(keys / f"{name}.key_secret")
            socket.curve_serverkey = server_key or load_certificate(keys / "server.key")[0]
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(pack({"get": "hello"}))
        return unpack(socket.recv()) if socket.poll(700) else None


def test_commands_need_the_operators_key(context, keys, tmp_path):
    overrides = ["telemetry.control_address='tcp://0.0.0.0:*'", f"telemetry.key_folder='{keys}'"]
    control = Control(configuration.load(None, overrides), context)
    keeper = security.admit(context, str(keys))
    port = control.socket.last_endpoint.decode().rpartition(":")[2]
    other = tmp_path / "other"
    security.make_keys(other)
    clients = zmq.Context()
    try:
        asked = []
        server = load_certificate(keys / "server.key")[0]
        for folder, name in ((keys, "client"), (other, "operator"), (None, None), (keys, "operator")):
            asked.append(_answered(control, clients, port, folder, name, server))
        assert asked == [False, False, False, True]
        assert keeper.refused >= 2  # the client's key, the stranger's key; without CURVE it never gets to the question
        assert keeper.admitted == 1
        assert security.refused_clients() >= 2
    finally:
        control.close()
        clients.destroy(linger=0)


def _answered(control, clients, port, folder, name, server):
    import threading

    got = []
    thread = threading.Thread(target=lambda: got.append(_ask(clients, port, folder, name, server)))
    thread.start()
    deadline = time.monotonic() + 5.0
    while thread.is_alive() and time.monotonic() < deadline:
        control.poll(lambda command: {"heard": command["get"]})
        time.sleep(0.005)
    thread.join()
    return got[0] is not None and got[0]["heard"] == "hello"


def test_data_are_encrypted_end_to_end(context, keys):
    """A subscriber with a known key gets what a sender off loopback publishes."""
    from bmi_runtime.sources.sender import Sender

    sender = Sender("tcp://0.0.0.0:*", key_folder=str(keys))
    port = sender.address.rpartition(":")[2]
    with context.socket(zmq.SUB) as socket:
        socket.linger = 0
        security.secure_client(socket, f"tcp://127.0.0.1:{port}", str(keys), "source.address")
        socket.subscribe(b"")
        socket.connect(f"tcp://127.0.0.1:{port}")
        deadline = time.monotonic() + 10.0
        while not socket.poll(20) and time.monotonic() < deadline:
            sender.end()
        assert socket.recv_multipart()[0] == b"end"
    sender.close()


_DESTROY = """
import sys, time, zmq
from bmi_runtime import security
for _ in range(30):
    context = zmq.Context()
    security.admit(context, sys.argv[1])
    time.sleep(0.003)  # the doorkeeper sleeps in its socket
    context.destroy(linger=0)
"""


def test_a_context_may_be_destroyed_with_its_doorkeeper(keys):
    """ZeroMQ aborts the process when a socket is closed under a thread that sleeps in it, so not in this one."""
    done = subprocess.run([sys.executable, "-c", _DESTROY, keys], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
