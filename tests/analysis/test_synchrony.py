"""A photodiode against target onsets: the delay and jitter that were put in come out."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis import synchrony
from bmi_runtime.cli.sync import sync
from bmi_runtime.recording.device_events import device_events
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.writer import RecordingWriter
from tests.recording.conftest import HEADER, make_steps

BINS, DELAY_S, JITTER_S = 40_000, 0.0437, 0.002
OFFSET_S = 7.5  # host minus device


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a recording with 99 target onsets, a photodiode line behind each, a camera's pulses, and markers."""
    path, rng = tmp_path_factory.mktemp("sync") / "s.mcap", np.random.default_rng(1)
    steps = make_steps(BINS)
    steps["input"]["clock_offset_s"] = OFFSET_S
    steps["input"]["host_time_ns"] = np.round((steps["input"]["device_time_s"] + OFFSET_S) * 1e9).astype(np.int64)
    trial = np.arange(BINS) // 400
    steps["output"]["target"][:, 0] = 0.1 * (trial % 2)
    onsets = synchrony.onsets_ns(steps)
    assert len(onsets) == 99
    events = []
    for k, onset in enumerate(onsets.tolist()):
        host = onset + round((DELAY_S + rng.normal(0, JITTER_S)) * 1e9)
        events.append((host, {"kind": "ttl", "line": 2, "state": k % 2, "uncertainty_s": 1e-4}))
    first = int(steps["input"]["host_time_ns"][0])
    for k in range(20_000):  # a camera at 100 frames a second on another line
        events.append((first + k * 10_000_000, {"kind": "ttl", "line": 5, "state": 1, "uncertainty_s": 1e-4}))
    events.append((first + 10**9, {"kind": "marker", "stream": "task", "clock": "LSL", "value": "go"}))
    events.sort(key=lambda item: item[0])
    writer, at = RecordingWriter(path, HEADER, 4, False, sync_interval_s=60.0), 0
    for step in steps:
        while at < len(events) and events[at][0] <= step["input"]["host_time_ns"]:
            host, facts = events[at]
            stamp = 1234.5 if "clock" in facts else host * 1e-9 - OFFSET_S
            event = {"name": "device-event", "device_time_s": stamp, "host_time_ns": host, **facts}
            writer.write("event", {**event, "bin": int(step["input"]["bin_index"])}, host)
            at += 1
        writer.write_step(step.tobytes(), int(step["input"]["host_time_ns"]))
    writer.close()
    return path


def test_delay_and_jitter_come_back(recorded):
    done = CliRunner().invoke(sync, [str(recorded), "--json"])
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.exit_code == 0 and answer["ok"] and answer["onsets"] == 99
    chosen = answer["chosen"]
    assert chosen["line"] == "ttl 2" and chosen["matched"] == 99
    assert chosen["delay_median_s"] == pytest.approx(DELAY_S, abs=6e-4)
    assert chosen["jitter_sd_s"] == pytest.approx(JITTER_S, rel=0.2)
    camera = next(row for row in answer["lines"] if row["line"] == "ttl 5")
    assert camera["interval_s"] == pytest.approx(0.01, rel=1e-3) and camera["events"] > 19_000


def test_a_line_can_be_named_and_an_unknown_one_is_an_error(recorded):
    rising = CliRunner().invoke(sync, [str(recorded), "--line", "ttl 2 rising", "--json"])
    assert json.loads(rising.stdout.strip().splitlines()[-1])["chosen"]["matched"] == 49
    unknown = CliRunner().invoke(sync, [str(recorded), "--line", "ttl 3"])
    assert unknown.exit_code != 0 and "has no line 'ttl 3'; the nearest is 'ttl" in str(unknown.exception)


def test_without_a_line_that_follows_the_check_does_not_hold(tmp_path):
    path = tmp_path / "none.mcap"
    writer = RecordingWriter(path, HEADER, 4, False, sync_interval_s=60.0)
    for step in make_steps(100):
        writer.write_step(step.tobytes(), int(step["input"]["host_time_ns"]))
    writer.close()
    done = CliRunner().invoke(sync, [str(path)])
    assert done.exit_code == 3 and "no line follows the targets" in done.stdout


def test_events_of_another_clock_are_laid_on_that_of_the_data(recorded):
    rows = device_events(Recording(recorded))
    marker = next(row for row in rows if row["kind"] == "marker")
    assert marker["device_time_s"] == 1234.5
    assert marker["time_s"] == pytest.approx(marker["host_time_s"] - OFFSET_S)
    light = next(row for row in rows if "line: 2" in row["detail"])
    assert light["time_s"] == light["device_time_s"] and light["uncertainty_s"] == 1e-4


def test_they_are_in_the_nwb_export(recorded, tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
    from bmi_runtime.recording.nwb import export_nwb

    export_nwb(Recording(recorded), tmp_path / "s.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "s.nwb"), "r") as file:
        table = file.read().processing["misc"]["device_events"].to_dataframe()
    recording = Recording(recorded)
    base = recording.column("input", "device_time_s")[0] - 0.005
    rows = device_events(recording)
    np.testing.assert_allclose(table["time_s"], [row["time_s"] - base for row in rows])
    assert (table["kind"] == "ttl").sum() == len(rows) - 1
