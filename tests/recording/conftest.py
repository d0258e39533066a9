"""A small, realistic recording to damage."""

import numpy as np
import pytest

from bmi_runtime.messages import SafetyState, step_dtype
from bmi_runtime.recording.writer import RecordingWriter

HEADER = {
    "config": {"session": {"bin_s": 0.005, "seed": 3}},
    "seeds": [3, 0],
    "provenance": {"code_version": "0.1.0", "packages": {"numpy": "2"}},
}


def make_steps(n_bins, n_units=4, continuous=False, seed=0, first_bin=0):
    """Return steps whose fields are plausible and all different."""
    rng = np.random.default_rng(seed)
    steps = np.zeros(n_bins, step_dtype(n_units, continuous))
    bins = np.arange(first_bin, first_bin + n_bins)
    steps["input"]["bin_index"] = bins
    steps["input"]["device_time_s"] = 100.0 + 0.005 * bins
    steps["input"]["host_time_ns"] = 5_000_000 * bins + rng.integers(0, 1000, n_bins)
    steps["input"]["counts"] = rng.normal(size=(n_bins, n_units)) if continuous else rng.poisson(0.5, (n_bins, n_units))
    steps["output"]["decoded"] = rng.normal(size=(n_bins, 4))
    steps["output"]["successes"] = bins // 10
    steps["output"]["safety"] = SafetyState.ACTIVE
    steps["output"]["adapting"] = bins % 4 != 0
    steps["output"]["learning_rate"] = 1e-6
    steps["timing"]["stage_ns"] = rng.integers(1000, 9000, (n_bins, 6))
    return steps


def write_recording(path, steps, header=HEADER, close=True, continuous=False):
    """Write steps with a few other messages between them; return the writer."""
    writer = RecordingWriter(path, header, steps["input"]["counts"].shape[1], continuous, sync_interval_s=60.0)
    for number, step in enumerate(steps):
        if number % 7 == 3:
            writer.write("event", {"name": "success" if number % 2 else "timeout", "bin": number}, 10 * number)
        if number % 10 == 5:
            writer.write("snapshot", {"weights": np.arange(6.0).reshape(2, 3) + number, "bins": number}, 10 * number)
        writer.write_step(step.tobytes(), 10 * number + 1)
    if close:
        writer.close()
    return writer


@pytest.fixture
def steps():
    return make_steps(40)


@pytest.fixture
def recorded(tmp_path, steps):
    """Return the path of a complete recording of `steps`."""
    path = tmp_path / "session.mcap"
    write_recording(path, steps)
    return path


@pytest.fixture
def write():
    return write_recording


@pytest.fixture
def make():
    return make_steps
