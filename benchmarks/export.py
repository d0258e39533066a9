"""What the export of a long session to NWB costs: wall and CPU seconds, peak memory, and the file that comes out.

    python benchmarks/export.py [--minutes 30] [--units 256] [--folder DIR]

A session is simulated and recorded first (not part of the measure). Then ``bmi export`` runs as its own process. The
limit to compare with is measured in the same run: reading the same recording and writing its counts, with the same
compression, by h5py alone. Claim: 30 minutes of 256 units in 5 ms bins in under 60 s and under 1 GB of memory.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BARE = """
import sys, h5py
from bmi_runtime.recording.nwb_data import ROWS_PER_CHUNK
from bmi_runtime.recording.reader import Recording
counts = Recording(sys.argv[1]).column("input", "counts")
chunk = (min(len(counts), ROWS_PER_CHUNK), counts.shape[1])
with h5py.File(sys.argv[2], "w") as file:
    file.create_dataset("counts", data=counts, compression="gzip", compression_opts=1, shuffle=True, chunks=chunk)
"""


def record(path, minutes, units):
    """Simulate a session of some minutes into a recording."""
    command = ["run", "--headless", "--speed", "max", "--duration", str(60 * minutes), "--record", str(path), "--json"]
    command += ["--set", f"session.units={units}", "--set", "adapter.learning_rate=1e-6"]
    said = subprocess.run([*bmi(), *command], check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def bmi():
    return [sys.executable, "-m", "bmi_runtime.cli.main"]


def measured(command):
    """Run a command; return its output, and its wall seconds, CPU seconds and peak resident megabytes."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, complaint = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begin
    if status:
        raise SystemExit(complaint)
    return said, {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024.0}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        session, out, bare = (pathlib.Path(folder) / name for name in ("a.mcap", "a.nwb", "bare.h5"))
        bins = record(session, options.minutes, options.units)["bins"]
        _, limit = measured([sys.executable, "-c", BARE, str(session), str(bare)])
        said, export = measured([*bmi(), "export", str(session), "--to", "nwb", "-o", str(out), "--json"])
        found = json.loads(said.splitlines()[-1])
        sizes = {"recording_mb": session.stat().st_size / 1e6, "nwb_mb": out.stat().st_size / 1e6}
    print(f"{bins} bins of {options.units} units, {found['spikes']:,} spikes, {sizes['recording_mb']:.0f} MB recorded")
    print(f"{'':<28}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}")
    for name, row in (("bmi export --to nwb", export), ("counts alone, by h5py", limit)):
        print(f"{name:<28}{row['wall_s']:>8.1f}{row['cpu_s']:>8.1f}{row['peak_mb']:>9.0f}")
    print(f"{sizes['nwb_mb']:.0f} MB of NWB; {export['cpu_s'] / limit['cpu_s']:.1f} times the CPU of the counts alone")
    print(json.dumps({"bins": bins, "units": options.units, "export": export, "limit": limit, **sizes}))


if __name__ == "__main__":
    main()
