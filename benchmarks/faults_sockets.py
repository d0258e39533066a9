"""Hostile messages on the control and telemetry sockets of a running session, between its own bins.

    python benchmarks/faults_sockets.py [--messages 1000000] [--only control|telemetry] [--seed 1]

A session of 24 simulated units runs in this process as fast as it can, with its real sockets. After each bin the next
few hostile messages are sent, and what came back is read. Wanted: no crash; every message to the control socket
answered, once, as refused (or as a question that has an answer); a viewer that behaves gets every message published,
but for those while the socket is opened anew; memory flat; and decoded numbers identical to those of the same session
left in peace.
"""

import argparse
import ctypes
import json
import os
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import msgpack
import numpy as np
import zmq

from benchmarks.faults_wire import mutate, resident_mb
from bmi_runtime import config as configuration
from bmi_runtime.session import telemetry
from bmi_runtime.session.assemble import assemble

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
AT_ONCE = 32  # messages after a bin
ANEW = 500  # messages of one connection to telemetry
WINDOW = 60  # commands that wait for their answers at most
COMMANDS = (
    {"get": "hello"},
    {"set": "task.assist", "value": -5},
    {"set": "decoder.no_such_key", "value": [1.0, {"a": None}]},
    {"do": "halt"},
    {"note": "x" * 40},
)
JUNK = (None, True, -1, 2**63, 1.5, float("nan"), "x" * 300, [], {}, [[[]]] * 20, b"abc", msgpack.ExtType(1, b"\x92"))


def a_command(rng):
    """Return the frames of a hostile command."""
    kind = rng.integers(5)
    command = dict(COMMANDS[rng.integers(len(COMMANDS))])
    if kind == 0:
        return [rng.bytes(int(rng.integers(0, 200)))]
    if kind == 1:
        return [mutate(rng, msgpack.packb(command)) for _ in range(int(rng.integers(1, 4)))]
    if kind == 2:
        command[list(command)[rng.integers(len(command))]] = JUNK[rng.integers(len(JUNK))]
        return [msgpack.packb(command)]
    if kind == 3:
        return [msgpack.packb(JUNK[rng.integers(len(JUNK))])]
    return [msgpack.packb(command), *([b"more"] * int(rng.integers(0, 2)))]


def a_subscription(rng):
    """Return a frame that a viewer should not send."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.bytes(int(rng.integers(0, 300)))
    if kind == 1:
        return b"\x00" + rng.bytes(int(rng.integers(0, 20)))  # cancels what was never subscribed to
    if kind == 2:
        return b"\x01" + bytes(rng.integers(97, 100, int(rng.integers(1, 8)), dtype=np.uint8))
    return b"\x01" + rng.bytes(int(rng.integers(1, 900)))


class Attack:
    """Sends hostile messages after each bin of a loop, and counts what comes back.

    Parameters
    ----------
    name : {"control", "telemetry"}
    messages : int
    rng : numpy.random.Generator
    addresses : dict
    """

    def __init__(self, name, messages, rng, addresses):
        self.addresses, self.name, self.left, self.rng, self.sent = addresses, name, messages, rng, 0
        self.answers, self.refused, self.early_mb, self.quarter = 0, 0, None, messages // 4
        self.socket = self._connected()
        self.viewer = zmq.Context.instance().socket(zmq.SUB)
        self.viewer.linger, self.viewer.rcvhwm, self.viewer.reconnect_ivl = 0, 0, 1
        self.viewer.subscribe(b"step")
        self.viewer.connect(addresses["publish"])
        self.seen = 0

    def _connected(self):
        control = self.name == "control"
        socket = zmq.Context.instance().socket(zmq.DEALER if control else zmq.XSUB)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 0, 0
        socket.connect(self.addresses["control" if control else "publish"])
        return socket

    @staticmethod
    def memory_mb():
        """Return the memory in use, without what the allocator keeps for later (the attacker lives here, too)."""
        if _trim:
            _trim(0)
        return resident_mb()

    def after_bin(self, loop):
        """Send the next messages and read the answers."""
        for _ in range(AT_ONCE):
            if not self.left or (self.name == "control" and self.sent - self.answers >= WINDOW):
                break
            frames = [b"", *a_command(self.rng)] if self.name == "control" else [a_subscription(self.rng)]
            self.socket.send_multipart(frames)
            self.left, self.sent = self.left - 1, self.sent + 1
            if self.name == "telemetry" and self.sent % ANEW == 0:  # a viewer remembers all that it ever asked for
                self.socket.close(200)
                self.socket = self._connected()
        while self.socket.poll(0):
            answer = self.socket.recv_multipart()
            if self.name == "control":
                self.answers += 1
                self.refused += not msgpack.unpackb(answer[-1], strict_map_key=False)["ok"]
        while self.viewer.poll(0):
            self.viewer.recv_multipart()
            self.seen += 1
        if self.early_mb is None and self.sent > self.quarter:
            self.early_mb = self.memory_mb()
        if not self.left and (self.name != "control" or self.answers == self.sent):
            loop.stop()

    def close(self):
        """Close both sockets."""
        self.socket.close()
        self.viewer.close()


def a_loop(folder, name):
    """Return a loop with sockets in `folder`, and their addresses."""
    addresses = {key: f"ipc://{folder}/{name}-{key}" for key in ("publish", "control", "output")}
    settings = [f"telemetry.{key}_address={address}" for key, address in addresses.items()]
    config = configuration.load(None, ["session.units=24", "session.seed=1", "recording.enabled=false", *settings])
    return assemble(config, "max", published=True), addresses


def close(loop):
    """Let go of a loop's sockets."""
    for part in (loop.source, loop.telemetry, loop.control, loop.output):
        part.close()


def attack(name, messages, seed=1):
    """Attack one socket; return what became of everything.

    Returns
    -------
    dict
        ``sent``; of the control socket ``answered`` and ``refused``; ``steps_published`` and ``steps_seen`` by a viewer
        that behaves; ``reopened``: how often the socket was opened anew; ``identical``: whether the outputs are those
        of the same bins without any of it; ``memory_growth_mb`` after the first quarter; ``us_per_message``.
    """
    telemetry.COMMANDS_PER_BIN, telemetry.COMMAND_SHARE = AT_ONCE, 1.0  # their limits are not what is tried here
    with tempfile.TemporaryDirectory() as folder:
        loop, addresses = a_loop(folder, "attacked")
        rng = np.random.default_rng(seed)
        attacker, begin = Attack(name, messages, rng, addresses), time.process_time()
        loop.on_bin = attacker.after_bin
        loop.run()
        took_s, bins = time.process_time() - begin, loop.session.bins
        published, digest = loop.telemetry.sequence["step"], loop.tally.digest.hexdigest()
        reopened = loop.telemetry.publisher.resets
        now_mb = attacker.memory_mb()
        grown_mb = now_mb - (attacker.early_mb or now_mb)
        close(loop)
        attacker.close()
        alone, _ = a_loop(folder, "alone")
        alone.run(bins)
        identical = alone.tally.digest.hexdigest() == digest
        close(alone)
    counted = {"answered": attacker.answers, "refused": attacker.refused} if name == "control" else {}
    return {
        "socket": name,
        "sent": attacker.sent,
        **counted,
        "bins": bins,
        "steps_published": published,
        "steps_seen": attacker.seen,
        "reopened": reopened,
        "identical": identical,
        "memory_growth_mb": round(grown_mb, 2),
        "us_per_message": 1e6 * took_s / max(attacker.sent, 1),
    }


def main():
    """Attack both sockets, print what became of it and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("control", "telemetry"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rows = []
    for name in [given.only] if given.only else ("control", "telemetry"):
        rows.append(attack(name, given.messages, given.seed))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(json.dumps({"faults_sockets": rows}))


if __name__ == "__main__":
    main()
