"""The window costs the loop nothing, keeps its pace at 256 units, and its memory does not grow.

Runs real-time sessions of 256 units with and without the console open, in turn, and compares the loop's latency in the
same run; measures the console's frames and CPU seconds; feeds an hour of telemetry through the console's memory.
On a shared machine look at the ratio and at the CPU seconds.

    python benchmarks/gui.py [--seconds 15] [--pairs 3] [--units 256]
    python benchmarks/gui.py --hour
    python benchmarks/gui.py --memory 15
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


def session_command(units, seconds, telemetry, control):
    """Return the command of a session in real time."""
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "run", "--headless", "--record", "none", "--json"]
    command += ["--duration", str(seconds), "--set", f"session.units={units}"]
    addresses = {"publish_address": telemetry, "control_address": control, "output_address": ""}
    for key, address in addresses.items():
        command += ["--set", f"telemetry.{key}='{address}'"]
    return command


def session(units, seconds, with_window):
    """Run one session; return its latencies, and what the window measured of itself."""
    telemetry, control = free_addresses()
    command = session_command(units, seconds, telemetry, control)
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
    from gui.application import application
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
    start = time.perf_counter(), time.process_time(), console.frames.count, view.frames, resident_mb()
    sizes, silent_s = [], 60.0 if os.environ.get("BMI_GUI_MEMORY") else 1.0  # a busy machine is silent for seconds
    while not over(console.store, silent_s):
        turn(app)
        if len(sizes) * 10.0 <= time.perf_counter() - start[0]:
            sizes.append(((time.perf_counter() - start[0]) / 60, resident_mb()))
    wall_s, cpu_s = time.perf_counter() - start[0] - silent_s, time.process_time() - start[1]
    row = {
        "frames_per_s": (console.frames.count - start[2]) / wall_s,
        "subject_frames_per_s": (view.frames - start[3]) / wall_s,
    }
    row |= {"cpu_s_per_s": cpu_s / wall_s, "up_s": up_s, "up_cpu_s": up_cpu_s, "lost": console.store.lost_messages}
    row |= {"cpu_ms_per_frame": 1e3 * cpu_s / max(view.frames - start[3], 1), "grown_mb": resident_mb() - start[4]}
    if os.environ.get("BMI_GUI_MEMORY"):
        row["memory_mb"] = sizes
    print(json.dumps(row), flush=True)
    os._exit(0)


def over(store, silent_s):
    """Return whether the session has ended, or nothing has come for so long that it will not go on."""
    return store.connection(time.monotonic()) == "ended" or store.age_s(time.monotonic()) > silent_s


def turn(app):
    app.processEvents()
    time.sleep(0.001)


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def an_hour(units, frames_per_s=4.0):
    """Feed an hour of telemetry through a whole window on a clock of its own, as fast as it goes.

    Returns
    -------
    list of (minute, MB), CPU seconds, frames
    """
    import numpy as np

    from bmi_runtime.messages import step_dtype
    from gui.application import application
    from gui.console import Console
    from gui.link import Link
    from gui.store import Store

    app, clock_s = application(), [time.monotonic()]
    time.monotonic = lambda: clock_s[0]  # panels are due by it, and ages are measured against it
    console = Console(Link(Store(), None), remember=False, live=False)
    console.show()
    app.processEvents()
    store, rng, began_s, sizes = console.store, np.random.default_rng(1), clock_s[0], []
    store.hello({"config": {"session": {"units": units, "bin_s": BIN_S}}, "simulated": True}, began_s)
    step = np.zeros(1, step_dtype(units, False))
    every, cpu_s = round(60 / frames_per_s), time.process_time()
    for index in range(1, HOUR_S * 60 + 1):
        clock_s[0] = began_s + index / 60
        feed(store, index, step, rng, clock_s[0])
        if index % every == 0:
            console.refresh()
            app.processEvents()
        if index % (300 * 60) == 0:
            sizes.append((index // 3600, resident_mb()))
    return sizes, time.process_time() - cpu_s, HOUR_S * 60 // every


def feed(store, index, step, rng, at_s):
    """Give a store message number `index` of a made-up session: steps, the model, trials, health."""
    bins, units = round(index / 60 / BIN_S), step["input"]["counts"].shape[1]
    out, t_s = step["output"][0], index / 60
    out["cursor"][:2], out["decoded"][2:], out["intended"] = 0.1 * rng.normal(size=2), rng.normal(size=2), (0.1, 0.0)
    out["trial"] = index // 12
    step["timing"]["stage_ns"] = rng.integers(5_000, 80_000, 6)
    message = {"step": step.tobytes(), "counts": rng.poisson(0.2, units).astype(float), "bins": 3}
    store.receive("step", {"seq": index, "bin": bins, **message}, at_s)
    if index % 15 == 0:
        model = {"weights": rng.normal(size=(3, units)), "covariance": rng.random((6, units))}
        store.receive("model", {"seq": index // 15, "bin": bins, **model, "predicted_sd": np_ones(units)}, at_s)
    if index % 30 == 0:
        latency = {"p50": 200.0 + t_s % 7, "p99": 400.0, "p99_9": 500.0, "max": 900.0}
        store.receive("health", {"seq": index // 30, "bin": bins, "latency_us": latency, "deadline_misses": 0}, at_s)
    if index % 12 == 0:  # five trials a second: after 17 minutes the log is as full as it gets
        event = {"name": "trial", "trial": index // 12, "result": "success", "time_to_target_s": 0.9}
        store.receive("event", {"seq": index // 12, "bin": bins, "target_m": [0.1, 0.0], **event}, at_s)


def np_ones(units):
    """Return predicted standard deviations of 1."""
    import numpy as np

    return np.ones((3, units))


def memory(units, minutes):
    """Run a session and the console in real time for so many minutes; print the console's memory as it goes."""
    telemetry, control = free_addresses()
    runtime = subprocess.Popen(session_command(units, 60 * minutes, telemetry, control), stdout=subprocess.DEVNULL)
    environment = {**os.environ, "BMI_GUI_MEMORY": "1"}
    command = [sys.executable, __file__, "--window", telemetry, control]
    seen = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    runtime.wait()
    told = json.loads(seen.stdout.splitlines()[-1])
    print("minute     MB")
    for minute, size_mb in told["memory_mb"][:: max(len(told["memory_mb"]) // 15, 1)]:
        print(f"{minute:6.1f} {size_mb:7.1f}")
    later = [(minute, size_mb) for minute, size_mb in told["memory_mb"] if minute > minutes / 3]
    told["mb_per_hour_after_a_third"] = 60 * slope(later)
    told["memory_mb"] = told["memory_mb"][-1][1]
    print(json.dumps(told))


def slope(points):
    """Return the slope of a straight line through points."""
    xs, ys = zip(*points, strict=True)
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a in xs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--hour", action="store_true", help="only memory, over an hour on a clock of its own")
    parser.add_argument("--memory", type=float, default=0.0, metavar="MINUTES", help="only memory, in real time")
    parser.add_argument("--window", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.window:
        window(*options.window)
    if options.memory:
        memory(options.units, options.memory)
        return
    if options.hour:
        report(hour(options.units))
        return
    report(compared(options))


def hour(units):
    """Return the memory of the window over an hour of telemetry."""
    sizes, cpu_s, frames = an_hour(units)
    answer = {f"mb_after_{minute}_min": size_mb for minute, size_mb in sizes if minute in (10, 20, 40, 60)}
    return answer | {"cpu_s": cpu_s, "frames": frames, "mb_per_hour_after_20_min": 60 * slope(sizes[3:])}


def compared(options):
    """Return latencies of sessions without and with the window in turn, and what the window took."""
    runs = {False: [], True: []}
    seen, stolen = [], []
    for _ in range(options.pairs):
        for with_window in (False, True):
            before = processor_s()
            latency, measured = session(options.units, options.seconds, with_window)
            stolen.append(taken(before, processor_s()))
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
    answer["stolen_percent_worst"] = 100 * max(stolen)
    return answer


def processor_s():
    """Return the seconds that all processors gave, and those that the host took from them, so far."""
    with open("/proc/stat") as file:
        ticks = [int(tick) for tick in file.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def taken(before, after):
    """Return the share of the processors that the host took between two calls of `processor_s`."""
    return (after[1] - before[1]) / max(after[0] - before[0], 1)


def report(answer):
    """Print a table and one JSON line."""
    for name, value in answer.items():
        print(f"{name:24s} {value:10.4g}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
