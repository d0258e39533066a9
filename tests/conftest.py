"""Settings shared by every test: one thread per numeric library, off-screen Qt, the real recordings if present."""

import collections
import contextlib
import gc
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import warnings
from unittest import mock

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("busy machine", deadline=None)  # tests assert behaviour, never time
hypothesis.settings.load_profile("busy machine")


LONG = ("faults", "gui", "rehearsal", "sweep", "docs", "real", "stability", "encoding", "sources/test_closing_the_loop")
"""Where the files of few tests are that take long: begun first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items):
    """Put the long files first, then those of many tests."""
    tests = collections.Counter(item.path for item in items)
    rooms = tuple(str(REPOSITORY / "tests" / room) for room in LONG)
    items.sort(key=lambda item: (not str(item.path).startswith(rooms), -tests[item.path]))


def pytest_collection_finish():
    """Take the modules and tests themselves out of every later collection: they are what most of the heap holds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def recordings():
    """Return the folder of real recordings beside the checkout, or skip."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/data) are not on this machine")
    return folder


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder, port):
        self.address, self.folder = f"tcp://127.0.0.1:{port}", folder
        self.workers, self.scheduler = [], None

    def start(self):
        port = self.address.rpartition(":")[2]
        self.scheduler = self._process("dask_scheduler", "--host", "127.0.0.1", "--port", port)
        self._wait_until_it_listens(int(port))
        one_thread = ("--nworkers", "1", "--nthreads", "1", "--death-timeout", "60")
        self.workers = [self._process("dask_worker", self.address, *one_thread) for _ in range(2)]
        return self

    def _wait_until_it_listens(self, port):
        for _ in range(600):  # a busy machine takes its time to start a process
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return
            time.sleep(0.1)

    def _process(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        return subprocess.Popen(command, **quiet)

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(20)


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed (pip install bmi-runtime[sweep])")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Cluster(tmp_path, port).start()
    yield made
    made.stop()


def typed(*words, cwd=None, columns=None):
    """Run one command as a shell would, but in this process: a process of its own takes two seconds to start.

    What only a process can show (streams, signals, what dies with it) is in tests/cli/test_streams.py, tests/faults and
    tests/sweep, which start them.

    Returns
    -------
    subprocess.CompletedProcess
        With the text of both streams.
    """
    from bmi_runtime.cli.main import main

    out, err, command = io.StringIO(), io.StringIO(), ["bmi", *map(str, words)]
    size = {} if columns is None else {"COLUMNS": str(columns)}
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd or "."),
        mock.patch.object(sys, "argv", command),
        mock.patch.dict(os.environ, size),
        mock.patch.object(warnings, "formatwarning", warnings.formatwarning),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # a person sees warnings; here they would be errors
        with pytest.raises(SystemExit) as stopped:
            main()
    return subprocess.CompletedProcess(command, stopped.value.code or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def bmi():
    """Return a function that runs a command (words, cwd=None, columns=None) in this process."""
    return typed


@pytest.fixture(scope="session")
def answered():
    """Return a function that runs a command with ``--json`` and returns its answer."""

    def run(*words, **where):
        done = typed(*words, "--json", **where)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
