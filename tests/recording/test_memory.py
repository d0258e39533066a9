"""Reading takes the memory of a piece, however long the recording is."""

import subprocess
import sys

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.recording.reader import BLOCK_STEPS, Recording
from bmi_runtime.recording.tally import Durations
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

GROWTH_MB = 12.0  # for a recording that is 30 MB longer
COMMANDS = {
    "inspect": "from bmi_runtime.recording.summary import summarise; summarise(Recording(path))",
    "replay": "from bmi_runtime.session.replay import Replay; Replay(Recording(path)).run()",
    "export": "from bmi_runtime.recording.nwb import export_nwb; export_nwb(Recording(path), path + '.nwb')",
}


def recorded(path, bins):
    overrides = [f"recording.path='{path}'", "session.units=256", "recording.snapshot_s=5.0"]
    launch.run(assemble(configuration.load(None, overrides), "max"), bins)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    return [recorded(folder / f"{bins}.mcap", bins) for bins in (10_000, 40_000)]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_memory_does_not_grow_with_the_recording(recordings, command):
    if command == "export":
        pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
    peaks = []
    for path in recordings:
        program = (
            f"import resource; from bmi_runtime.recording.reader import Recording; path = {str(path)!r}; "
            f"{COMMANDS[command]}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        said = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
        )
        peaks.append(float(said.stdout.splitlines()[-1]))
    longer_mb = (recordings[1].stat().st_size - recordings[0].stat().st_size) / 2**20
    assert longer_mb > 2 * GROWTH_MB
    assert peaks[1] - peaks[0] < GROWTH_MB, (peaks, longer_mb)


def test_blocks_and_columns_are_the_steps(tmp_path):
    recording = Recording(recorded(tmp_path / "a.mcap", 3 * BLOCK_STEPS // 2))
    whole = recording.steps()
    assert np.concatenate(list(recording.blocks())).tobytes() == whole.tobytes()
    assert np.concatenate(list(recording.blocks(999))).tobytes() == whole.tobytes()
    for start, stop in ((0, None), (5, 4100), (4096, 4097), (-3, None), (7, 7)):
        for part, name in (("input", "counts"), ("output", "decoded"), ("timing", "lateness_ns")):
            column = recording.column(part, name, start, stop)
            np.testing.assert_array_equal(column, whole[slice(start, stop)][part][name])


@pytest.mark.parametrize("number", [1, 5000, 400_000])
def test_percentiles_of_many_durations_are_those_of_all(number):
    durations = np.random.default_rng(1).lognormal(10.0, 1.0, number).astype(np.int64)
    counted = Durations()
    for piece in np.array_split(durations, max(number // 3000, 1)):
        counted.add(piece)
    expected = np.quantile(durations, [0.5, 0.99, 0.999, 1.0]) / 1e3
    np.testing.assert_allclose(list(counted.percentiles_us().values()), expected, rtol=2e-3)
    assert counted.percentiles_us()["max"] == durations.max() / 1e3
