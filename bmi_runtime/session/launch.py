"""Runs a session that was put together, in this process, and takes everything down again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from bmi_runtime.config import Config
from bmi_runtime.errors import EndNow, described, is_fault_of_part
from bmi_runtime.session import processes, realtime
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.heartbeat import Place
from bmi_runtime.session.loop import Loop

__all__ = ["apply_realtime", "assemble", "run", "stopped_by_signals", "total_bins", "window_command"]


def apply_realtime(loop: Loop, say: Callable[[str], None]) -> None:
    """Pin, raise and lock as configured; what was not available is said and recorded."""
    missing = realtime.apply(loop.session.config.realtime)
    for sentence in missing:
        say(f"without: {sentence}")
    loop.opening_events.append({"name": "realtime", "missing": missing})


def run(loop: Loop, bins: int, window: subprocess.Popen | None = None) -> None:
    """Run the loop and take everything down, whatever happens."""
    try:
        with processes.watched(loop):
            loop.run(bins)
    finally:
        with contextlib.ExitStack() as closing:  # each is closed, whatever the others do
            closing.callback(_close_source, loop)  # last: somebody else's part may hang in it
            for part in (loop.output, loop.control, loop.telemetry, loop.recorder):
                if part:
                    closing.callback(part.close)
        if window and window.poll() is None and not loop.stopped_by_operator:  # who stopped it may want to look
            window.terminate()


def _close_source(loop: Loop) -> None:
    """Close the source; what it cannot let go of is said, and is no failure of a session that is over."""
    loop.interruptible = True
    loop.heartbeat.beat(Place.SOURCE)
    try:
        loop.source.close()
    except BaseException as error:
        if not is_fault_of_part(error):
            raise
        loop.on_trouble(f"the source could not be closed: {described(error)}")


@contextlib.contextmanager
def stopped_by_signals(loop: Loop) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the run after the current bin; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():  # a sweep's worker thread: signals are not its own
        yield
        return

    def on_signal(number, frame):
        if not loop.running and number == signal.SIGINT:
            raise EndNow
        loop.stop()

    kept = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def window_command(config: Config, headless: bool, say: Callable[[str], None]) -> list[str] | None:
    """Return the command that opens the window in its own process, or say why there is none."""
    if headless:
        return None
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")
    ):
        say("no display (DISPLAY and WAYLAND_DISPLAY are not set): running headless")
        return None
    if not config.telemetry.enabled:
        say("telemetry is switched off (telemetry.enabled = false): no window")
        return None
    here = [_from_here(getattr(config.telemetry, key)) for key in ("publish_address", "control_address")]
    keys = ["--keys", config.telemetry.key_folder] if config.telemetry.key_folder else []
    options = config.source.options
    steer = ["--steer", str(options["steer_address"])] if options.get("steer") == "mouse" else []
    return [sys.executable, "-P", "-m", "gui", "--telemetry", here[0], "--control", here[1], *keys, *steer]


def _from_here(address: str) -> str:
    """Return how a window on this machine reaches a socket that is bound to every network interface."""
    for everywhere in ("//*:", "//0.0.0.0:"):
        address = address.replace(everywhere, "//127.0.0.1:")
    return address


def total_bins(config: Config, done: int = 0) -> int:
    """Return at which bin the session ends (0: it does not), `done` bins before its duration began to count."""
    return done + round(config.session.duration_s / config.bin_s) if config.session.duration_s else 0
