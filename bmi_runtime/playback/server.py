"""The process that plays a recording to windows: telemetry out, commands in, as of a live session."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import STREAMS, WIRE_VERSION, pack, unpack
from bmi_runtime.playback.player import FRAME_S, Player


def serve(player: Player, context: zmq.Context, stop: Callable[[], bool], ready: Callable[[str, str], None]) -> None:
    """Publish a player and answer its commands until `stop` says so.

    Parameters
    ----------
    player : Player
    context : zmq.Context
    stop : callable
    ready : callable
        Gets the telemetry and the control address.
    """
    publisher, answering = context.socket(zmq.PUB), context.socket(zmq.REP)
    sequence = dict.fromkeys(STREAMS, 0)

    def publish(stream: str, bin_index: int, message: dict[str, Any]) -> None:
        sequence[stream] += 1
        body = {"v": WIRE_VERSION, "seq": sequence[stream], "bin": bin_index, **message}
        publisher.send_multipart((stream.encode(), pack(body)))

    player.publish = publish
    try:
        for socket in (publisher, answering):
            socket.linger = 0
            socket.bind("tcp://127.0.0.1:*")
        ready(publisher.last_endpoint.decode(), answering.last_endpoint.decode())
        _serve(player, answering, stop)
    finally:
        publisher.close()
        answering.close()


def _serve(player: Player, answering: zmq.Socket, stop: Callable[[], bool]) -> None:
    last, next_model = time.monotonic(), 0.0
    while not stop():
        more = player.work()
        while answering.poll(0 if more else 5):
            answering.send(_reply(player, answering.recv()))
        now = time.monotonic()
        if now - last < FRAME_S:
            continue
        player.tick(now - last)
        last = now
        if now >= next_model:
            player.show_model()
            player.publish("health", player.bin, {**player.health(), "epoch": player.epoch})
            next_model = now + 1.0 / STREAMS["model"].publish_hz


def _reply(player: Player, data: bytes) -> bytes:
    try:
        command = unpack(data)
        if not isinstance(command, dict):
            raise BadInput("a command is a map, for example {'do': 'play'}")
        reply = {"ok": True, **player.handle(command)}
    except BmiError as error:
        reply = {"ok": False, "error": str(error)}
    return pack({"v": WIRE_VERSION, **reply})


def main(path: str) -> int:
    """Serve a recording until standard input ends (the window that started this has gone)."""
    player = Player(path)
    gone = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        gone.set()

    threading.Thread(target=watch, daemon=True).start()

    def ready(telemetry: str, control: str) -> None:
        print(json.dumps({"telemetry": telemetry, "control": control}), flush=True)

    serve(player, zmq.Context.instance(), gone.is_set, ready)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except BmiError as failure:
        print(f"bmi: {failure}", file=sys.stderr)
        sys.exit(failure.exit_code)
