"""Real sessions as real processes, on ports of their own."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest


def free_ports(count):
    """Return TCP ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def children(pid):
    """Return the processes whose parent is `pid`, as ``{pid: command line}``."""
    try:
        pids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return {}
    found = {}
    for child in map(int, pids):
        try:
            found[child] = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def alive(pid):
    """Return whether a process runs (a zombie does not)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, timeout_s=60.0, what="it"):
    """Wait until `condition()` is true and return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.01)
    return value


class LiveRun:
    """One ``bmi run`` as a process; what it says is kept."""

    def __init__(self, folder, *arguments, headless=True, env=None, preexec_fn=None, recording="a.mcap"):
        self.recording = folder / recording
        publish, control, output, source = free_ports(4)
        self.ports = (publish, control, output)
        self.publish = f"tcp://127.0.0.1:{publish}"
        self.control, self.output = f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{output}"
        settings = {
            "telemetry.publish_address": self.publish,
            "telemetry.control_address": self.control,
            "telemetry.output_address": self.output,
            "source.address": f"tcp://127.0.0.1:{source}",
            "realtime.lock_memory": "false",
        }
        flags = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
        recorded = [] if "--resume" in arguments else ["--record", str(self.recording)]
        if "--resume" in arguments:
            flags = [
                text for pair in zip(flags[::2], flags[1::2], strict=True) if "source" not in pair[1] for text in pair
            ]
        command_line = [sys.executable, "-m", "bmi_runtime.cli.main", "run", *flags, *recorded, *arguments, "--json"]
        if headless:
            command_line.append("--headless")
        self.process = subprocess.Popen(
            command_line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            preexec_fn=preexec_fn,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()

    @property
    def said(self):
        return "".join(self.lines)

    until = staticmethod(until)
    alive = staticmethod(alive)

    def children(self):
        """Return the processes under the supervisor, as ``{pid: command line}``."""
        return children(self.process.pid)

    def assert_all_down(self, processes):
        """Hold that none of these processes is left and every port is free."""
        until(lambda: not any(alive(pid) for pid in processes), 10, "the end of every process")
        for port in self.ports:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))

    def wait_for(self, text, times=1, timeout_s=90.0):
        """Wait until it has said `text` so often."""
        until(lambda: self.said.count(text) >= times or self.process.poll() is not None, timeout_s, f"'{text}'")
        assert self.said.count(text) >= times, self.said

    def runtime(self):
        """Return the pid of the runtime: the child with the same command line as its parent."""
        found = [pid for pid, command in children(self.process.pid).items() if "bmi_runtime.cli.main run" in command]
        return found[0] if found else None

    def newest(self):
        """Return the newest recording of the session."""
        return max(self.recording.parent.glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns)

    def child(self, word):
        """Return the pid of the child whose command line holds `word`, or None."""
        found = [pid for pid, command in children(self.process.pid).items() if word in command]
        return found[0] if found else None

    def end(self, number=signal.SIGINT, timeout_s=30.0):
        """Send a signal; return the seconds until everything was down, and the result."""
        begin = time.monotonic()
        self.process.send_signal(number)
        out = self.process.communicate(timeout=timeout_s)[0] if not self.process.stderr.closed else ""
        return time.monotonic() - begin, out

    def result(self, timeout_s=120.0):
        """Wait for the end; return what was answered."""
        self.process.wait(timeout_s)
        self._reader.join()
        text = self.process.stdout.read()
        assert self.process.returncode == 0, self.said
        return json.loads(text.splitlines()[-1])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(name="free_ports")
def _free_ports():
    return free_ports


@pytest.fixture
def live_run(tmp_path):
    """Return a function that starts a session; all are taken down afterwards."""
    started = []

    def start(*arguments, **options):
        started.append(LiveRun(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for run in started:
        run.close()
