"""What a Dask cluster costs a sweep, and that a killed scheduler costs nothing twice.

    python benchmarks/sweep.py [--tasks 1000] [--seconds 1.0] [--port 18786]

A scheduler and two workers run as processes of their own. Tasks are sessions in simulated time, as long as takes about
`--seconds` of a worker here (found out first). When half of the tasks are in the journal the scheduler and the workers
are killed (SIGKILL), started anew, and the same line is run again. Ideal is the sum of what the tasks themselves took,
divided by two workers; the wall time is that of the two command lines, starting Python and loading kernels included.
Claim: within 15 % of ideal, nothing done twice.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

SESSION = "run --headless --speed max --record none --set session.units=16 --set session.bin_s=0.02"


def start(port, folder):
    """Start a scheduler and two workers; return the processes."""
    common = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"tcp://127.0.0.1:{port}"
    lines = [["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    lines += 2 * [["dask_worker", address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard"]]
    made = [subprocess.Popen([sys.executable, "-m", f"distributed.cli.{m}", *more], **common) for m, *more in lines]
    time.sleep(5.0)
    return made


def end(processes):
    """Kill without warning."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()


def session_s(seconds):
    """Return how long a simulated session takes about so many seconds here."""
    from bmi_runtime.cli.run_task import run_task

    line = [*SESSION.split(), "--json", "--duration"]
    run_task([*line, "1"])
    took = run_task([*line, "40"])["seconds"]
    return 40.0 * seconds / took


def sweep(arguments, journal, stop_at, processes):
    """Run the sweep; kill the cluster when `stop_at` tasks are done. Return wall seconds from the start."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bmi_runtime.cli.main", "sweep", *arguments],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    while process.poll() is None:
        if stop_at and journal.exists() and journal.read_bytes().count(b"\n") >= stop_at:
            wall_s = time.perf_counter() - begin
            end(processes)
            print(process.communicate()[1].strip(), file=sys.stderr)
            return wall_s
        time.sleep(0.1)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=18786)
    options = parser.parse_args()
    duration = session_s(options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        journal = pathlib.Path(folder) / "t.jsonl"
        arguments = [f"{SESSION} --duration {duration:.2f}", "--grid", f"session.seed=range(1,{options.tasks + 1})"]
        arguments += ["--cluster", f"tcp://127.0.0.1:{options.port}", "--out", str(pathlib.Path(folder) / "t.csv")]
        walls = []
        for stop_at in (options.tasks // 2, 0):
            processes = start(options.port, folder)
            walls.append(sweep(arguments, journal, stop_at, processes))
            end([process for process in processes if process.poll() is None])
            entries = [json.loads(line) for line in journal.read_text().splitlines()]
            print(f"after {walls[-1]:.1f} s: {len(entries)} tasks in the journal", file=sys.stderr)
    own_s = sum(entry["seconds"] for entry in entries)
    ideal_s, wall_s = own_s / 2, sum(walls)
    twice = len(entries) - len({entry["key"] for entry in entries})
    failed = sum(bool(entry["error"]) for entry in entries)
    print(f"{len(entries)} tasks of {own_s / len(entries):.2f} s on two workers, killed and resumed half-way")
    print(f"wall {wall_s:.1f} s, ideal {ideal_s:.1f} s: {100 * (wall_s / ideal_s - 1):+.1f} %")
    print(
        f"done twice: {twice}; failed: {failed}; overhead per task {1e3 * 2 * (wall_s - ideal_s) / len(entries):.1f} ms"
    )
    facts = {"tasks": len(entries), "wall_s": wall_s, "ideal_s": ideal_s, "ratio": wall_s / ideal_s}
    print(json.dumps({**facts, "twice": twice, "failed": failed, "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
