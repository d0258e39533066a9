"""What the loop notices of a learner that works beside it: the same session, the learner stopped and going in turn.

    python benchmarks/learner.py [--units 96] [--bin-s 0.01] [--rounds 15] [--stretch 2]

A session runs in real time. Beside it `bmi learn` trains a joined decoder from its recording, again and again, and is
stopped (SIGSTOP) and let go (SIGCONT) every few seconds. Of every bin the recording holds how long it was worked on and
how late it came. Prints their percentiles with the learner stopped and at work, and a JSON line. The two share whatever
else the machine does; with one processor they would share that, too.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from bmi_runtime.recording.reader import Recording

LEARN_AFTER_S = 32.0  # a learner wants half a minute
SETTLE_S = 0.1  # after each switch, left out
PERCENTILES = (50.0, 99.0, 99.9)
BMI = (sys.executable, "-m", "bmi_runtime.cli.main")


def session(path: pathlib.Path, units: int, bin_s: float) -> subprocess.Popen:
    """Start a session in real time, that nothing but the learner reads."""
    settings = (f"session.units={units}", f"session.bin_s={bin_s}", "telemetry.enabled=false")
    arguments = [part for setting in settings for part in ("--set", setting)]
    return subprocess.Popen([*BMI, "run", "--headless", "--record", str(path), *arguments], stderr=subprocess.DEVNULL)


def alternated(learner: subprocess.Popen, rounds: int, stretch_s: float) -> list[tuple[int, int, bool]]:
    """Let the learner go and stop it in turn; return (begin, end, at work) of every stretch, ns."""
    found = []
    for turn in range(2 * rounds):
        at_work = turn % 2 == 0
        learner.send_signal(signal.SIGCONT if at_work else signal.SIGSTOP)
        begin = time.monotonic_ns()
        time.sleep(stretch_s)
        found.append((begin + round(1e9 * SETTLE_S), time.monotonic_ns(), at_work))
    learner.send_signal(signal.SIGCONT)
    return found


def percentiles(path: pathlib.Path, stretches: list[tuple[int, int, bool]]) -> dict[str, dict[str, list[float]]]:
    """Return percentiles of work and lateness of a bin, us, with the learner stopped and at work."""
    recording = Recording(path)
    when = recording.column("input", "host_time_ns")
    measures = {
        "work_us": 1e-3 * recording.column("timing", "stage_ns").sum(axis=1),
        "lateness_us": 1e-3 * recording.column("timing", "lateness_ns"),
    }
    chosen = {"stopped": np.zeros(len(when), bool), "at_work": np.zeros(len(when), bool)}
    for begin, end, at_work in stretches:
        chosen["at_work" if at_work else "stopped"] |= (when >= begin) & (when < end)
    return {
        name: {measure: np.percentile(values[rows], PERCENTILES).tolist() for measure, values in measures.items()}
        | {"bins": int(rows.sum())}
        for name, rows in chosen.items()
    }


def main() -> None:
    """Run the session with the learner beside it and print what the bins took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--bin-s", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--stretch", type=float, default=2.0, help="Seconds between two switches.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "live.mcap"
        running = session(path, options.units, options.bin_s)
        learner = None
        try:
            time.sleep(LEARN_AFTER_S)
            learn = [*BMI, "learn", str(path), "--dry-run", "--every", "1"]
            learner = subprocess.Popen(learn, stderr=subprocess.PIPE, text=True)
            assert learner.stderr is not None
            while "training" not in learner.stderr.readline():
                if learner.poll() is not None:
                    raise SystemExit("the learner ended before it trained")
            before = os.times()
            stretches = alternated(learner, options.rounds, options.stretch)
        finally:
            running.send_signal(signal.SIGINT)
            running.wait()
            if learner is not None:
                learner.kill()
                learner.communicate()
        after = os.times()
        found = percentiles(path, stretches)
    for name, row in found.items():
        work, late = (" / ".join(f"{value:.0f}" for value in row[key]) for key in ("work_us", "lateness_us"))
        print(f"{name:8s} {row['bins']:6d} bins; p50 / p99 / p99.9, us: work {work}; lateness {late}")
    learned_s = after.children_user - before.children_user
    print(f"CPU of session and learner: {learned_s:.1f} s")
    print(json.dumps({"learner": found, "bin_s": options.bin_s, "units": options.units}))


if __name__ == "__main__":
    main()
