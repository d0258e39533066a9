"""The window costs the loop nothing, keeps its pace at 256 units, and its memory does not grow.

Runs real-time sessions of 256 units with and without the console open, in turn, and compares the loop's latency in the
same run; measures the console's frames and CPU seconds; feeds an hour of telemetry through the console's memory.
On a shared machine look at the ratio and at the CPU seconds.

    python benchmarks/gui.py [--seconds 15] [--pairs 3] [--units 256]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]
# this file's folder must not stand before the package `gui`

HOUR_S = 3600
BIN_S = 0.005


def free_addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    found = [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def session(units, seconds, with_window):
    """Run one session; return its latencies, and what the window measured of itself."""
    telemetry, control = free_addresses()
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "run", "--headless", "--record", "none", "--json"]
    command += ["--duration", str(seconds), "--set", f"session.units={units}"]
    command += ["--set", f"telemetry.publish_address='{telemetry}'", "--set", f"telemetry.control_address='{control}'"]
    window = None
    if with_window:
        window = subprocess.Popen(
            [sys.executable, __file__, "--window", telemetry, control], stdout=subprocess.PIPE, text=True
        )
        window.stdout.readline()  # it is up
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(result.stdout.splitlines()[-1])
    measured = json.loads(window.communicate(timeout=60)[0].splitlines()[-1]) if window else None
    return told["latency_us"], measured


def window(telemetry, control):
    """Be the console until the session has ended; print what it took."""
    began = time.perf_counter(), time.process_time()
    from gui.app import application
    from gui.client import Client
    from gui.console import Console
    from gui.link import Link
    from gui.store import Store

    app = application()
    console = Console(Link(Store(), Client(telemetry, control)), remember=False)
    console.show()
    app.processEvents()
    up_s, up_cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
    print("up", flush=True)
    view = console.docks["subject"].panel.view
    while console.store.bin < 2.0 / BIN_S:
        turn(app)
    start = time.perf_counter(), time.process_time(), console.frames, view.frames, resident_mb()
    while console.store.connection(time.monotonic()) == "connected":
        turn(app)
    wall_s, cpu_s = time.perf_counter() - start[0] - 1.0, time.process_time() - start[1]
    row = {
        "frames_per_s": (console.frames - start[2]) / wall_s,
        "subject_frames_per_s": (view.frames - start[3]) / wall_s,
    }
    row |= {"cpu_s_per_s": cpu_s / wall_s, "up_s": up_s, "up_cpu_s": up_cpu_s, "lost": console.store.lost_messages}
    row |= {"cpu_ms_per_frame": 1e3 * cpu_s / max(view.frames - start[3], 1), "grown_mb": resident_mb() - start[4]}
    print(json.dumps(row), flush=True)
    os._exit(0)


def turn(app):
    app.processEvents()
    time.sleep(0.001)


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def an_hour(units):
    """Feed an hour of telemetry through a store; return MB after ten minutes and after the hour, and CPU seconds."""
    import numpy as np

    from bmi_runtime.messages import step_dtype
    from gui.store import Store

    store, rng = Store(), np.random.default_rng(1)
    store.epoch, store.bin_s = 0, BIN_S
    step = np.zeros(1, step_dtype(units, False)).tobytes()
    counts, model = rng.poisson(0.2, units).astype(float), rng.normal(size=(3, units))
    covariance = np.ones((6, units))
    sizes, begin = {}, time.process_time()
    for index in range(1, HOUR_S * 60 + 1):
        bins = 3 * index
        store.receive("step", {"seq": index, "bin": bins, "step": step, "counts": counts, "bins": 3}, index / 60)
        if index % 15 == 0:
            store.receive("model", {"seq": index, "bin": bins, "weights": model, "covariance": covariance}, index / 60)
        if index % 60 == 0:
            event = {"name": "trial", "trial": index // 60, "result": "success", "time_to_target_s": 0.9}
            store.receive("event", {"seq": index, "bin": bins, "target_m": [0.1, 0.0], **event}, index / 60)
        if index in (600 * 60, HOUR_S * 60):
            sizes[index // 60] = resident_mb()
    return sizes[600], sizes[HOUR_S], time.process_time() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--window", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.window:
        window(*options.window)
    runs = {False: [], True: []}
    seen = []
    for _ in range(options.pairs):
        for with_window in (False, True):
            latency, measured = session(options.units, options.seconds, with_window)
            runs[with_window].append(latency)
            seen += [measured] if measured else []
    answer = {"units": options.units, "pairs": options.pairs, "seconds": options.seconds}
    for name in ("p50", "p99"):
        without, opened = (statistics.median(run[name] for run in runs[which]) for which in (False, True))
        spread = max(run[name] for run in runs[False]) / min(run[name] for run in runs[False])
        answer[f"{name}_us_without"], answer[f"{name}_us_with"] = without, opened
        answer[f"{name}_ratio"], answer[f"{name}_spread_without"] = opened / without, spread
    for name in seen[0]:
        answer[name] = statistics.median(one[name] for one in seen)
    answer["mb_after_10_min"], answer["mb_after_60_min"], answer["hour_cpu_s"] = an_hour(options.units)
    for name, value in answer.items():
        print(f"{name:24s} {value:10.4g}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
