"""Sessions beside other people's programs at default settings: judged by what was recorded, printed as a row.

`BMI_PEER_SECONDS=600 pytest -m slow -s tests/peers/test_brand.py` gives the rows of docs/sources.md.
"""

import contextlib
import json
import os
import subprocess

import numpy as np

from bmi_runtime.recording.reader import Recording
from tests.sources.test_closing_the_loop import BMI, free_ports

SECONDS = int(os.environ.get("BMI_PEER_SECONDS", "30"))
BEFORE_S = 60  # a sender goes on for so long beyond the session: it starts first
MOST_STALE = 0.001 if SECONDS >= 600 else 0.005


def session(source, tmp_path, *settings, seconds=SECONDS):
    """Run a session and return its JSON and its recording."""
    publish, control, output = free_ports(3)
    ports = {"publish": publish, "control": control, "output": output}
    overrides = [f"telemetry.{name}_address=tcp://127.0.0.1:{port}" for name, port in ports.items()]
    command = [*BMI, "run", "--headless", "--source", source, "--duration", seconds]
    command += ["--record", tmp_path / "s.mcap", "--json"]
    command += [part for setting in (*overrides, *settings) for part in ("--set", setting)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds + 200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1]), Recording(tmp_path / "s.mcap")


def shown(name, result, recording):
    """Return the recorded input and which bins were stale; print the row of the table."""
    given, source = recording.steps()["input"], result["source"]
    stale = given["stale"] > 0
    age_ms = 1e3 * given["data_age_s"][~stale]
    print(
        f"\n| {name} | {len(given)} | {stale.sum()} ({100 * stale.mean():.3f} %) | {source.get('late', 0)} "
        f"| {source.get('late_dropped', 0)} | {np.ptp(given['segment'])} | {np.median(age_ms):.1f} "
        f"| {np.percentile(age_ms, 99):.1f} | {1e3 * source['wait_s']:.1f} |"
    )
    return given, stale


def unaccounted(result, given, stale, times_s, bin_s):
    """Return how many spikes sent between the first and the last decoded bin are neither decoded nor said to be lost.

    Said to be lost are those in bins that were stale (recorded, not decoded), those that came later than
    ``late_limit_s``, and those in bins that were skipped after the session had been held up (`bins-skipped`). What a
    bin at either edge shares with the next entry is the only slack.
    """
    good = np.flatnonzero(~stale)
    first, last = given["device_time_s"][good[0]] - bin_s, given["device_time_s"][good[-1]]
    sent = int(((times_s >= first) & (times_s < last)).sum())
    in_stale = int(given["counts"][good[0] : good[-1]][stale[good[0] : good[-1]]].sum(dtype=int))
    decoded, dropped = int(given["counts"][good].sum(dtype=int)), result["source"].get("late_dropped", 0)
    ends = given["device_time_s"]
    skipped = sum(
        int(((times_s >= ends[k]) & (times_s < ends[k + 1] - bin_s)).sum())
        for k in np.flatnonzero(np.diff(ends) > 1.5 * bin_s)
    )
    print(f"of {sent} spikes {decoded} decoded, {in_stale} in stale bins, {dropped} too late, {skipped} skipped")
    return sent - decoded - in_stale - dropped - skipped


def in_real_time(*pids):
    """Let programs go first, where this user may, as at a rig: on a machine of their own, or started so (BRAND).

    A sender that has to wait for a time slice at every message falls behind for good on a machine that does other work.
    """
    with contextlib.suppress(PermissionError):
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(40))
