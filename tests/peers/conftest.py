"""Environments of other people's software, each its own: made once, from the package index, or the test is skipped."""

import os
import pathlib
import subprocess
import sys

import pytest

PEERS = {  # name: what pip installs
    "nds": ["neural-data-simulator", "pylsl<1.17"],  # it calls pylsl by names that 1.17 dropped
    "lsl": ["pylsl", "numpy"],
    "ezmsg": ["ezmsg", "ezmsg-lsl"],
    "readers": ["neo", "nixio", "pynwb", "pynapple", "spikeinterface", "zarr<3"],
}
FOLDER = pathlib.Path(os.environ.get("BMI_PEERS", pathlib.Path.home() / ".cache" / "bmi-runtime-peers"))


@pytest.fixture(scope="session")
def peer():
    """Return a function from a peer's name to the Python of its environment."""

    def python_of(name):
        python = FOLDER / name / "bin" / "python"
        if not (FOLDER / name / ".complete").exists():
            made = subprocess.run([sys.executable, "-m", "venv", FOLDER / name], capture_output=True, text=True)
            install = [python, "-m", "pip", "install", "-q", *PEERS[name]]
            done = made if made.returncode else subprocess.run(install, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{' '.join(PEERS[name])} cannot be installed here: {done.stderr.strip()[-300:]}")
            (FOLDER / name / ".complete").touch()
        return python

    return python_of


class Processes:
    """Programs that run beside a test; all of them are ended with it."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, name, command, **more):
        """Start one; what it says goes into NAME.log."""
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, **more)
        self.running.append(process)
        return process

    def said(self, name):
        """Return what one of them has said."""
        return (self.folder / f"{name}.log").read_text()

    def end(self):
        """End all of them."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def processes(tmp_path):
    """Return what starts programs beside the test."""
    made = Processes(tmp_path)
    yield made
    made.end()
