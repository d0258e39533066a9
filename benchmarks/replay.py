"""How much faster than real time a session is replayed, adaptation included, every bin compared to the bit.

    python benchmarks/replay.py [--units 96 256 1000] [--seconds 300] [--repeats 5]

A closed-loop session is simulated and recorded, then replayed in this process. A replay is the session's own step plus
the comparison, so its cost is what a bin costs live without waiting, recording and publishing. The median is what a
user sees; the best quarter of pieces of 1,000 bins is what the code takes when nothing else runs on the core.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

from bmi_runtime import config as configuration
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.core import warm_up
from bmi_runtime.session.replay import Replay, recorded_config

PIECE = 1000


def record(folder: str, units: int, seconds: float) -> Recording:
    """Simulate a session as fast as it goes and return its recording."""
    config = configuration.load(None, [f"session.units={units}"])
    path = pathlib.Path(folder) / f"{units}.mcap"
    launch.run(assemble(config, speed="max", path=path), round(seconds / config.bin_s))
    return Recording(path)


def replay(recording: Recording) -> list[float]:
    """Return the microseconds per bin of every piece of one replay."""
    player = Replay(recording)
    warm_up(player.session.config)
    pieces = []
    for _ in range(len(player.steps) // PIECE):
        begin = time.perf_counter()
        identical = sum(player.next() for _ in range(PIECE))
        pieces.append((time.perf_counter() - begin) / PIECE * 1e6)
        if identical < PIECE:
            raise SystemExit(f"{recording.path}: the replay is not identical")
    return pieces


def main() -> None:
    """Print one line per number of units, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[96, 256, 1000])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rows = []
    print(f"{'units':>6} {'us a bin':>9} {'x real time':>12} {'best quarter':>13} {'x real time':>12}")
    for units in arguments.units:
        with tempfile.TemporaryDirectory() as folder:
            recording = record(folder, units, arguments.seconds)
            bin_us = recorded_config(recording).bin_s * 1e6
            pieces = [piece for _ in range(arguments.repeats) for piece in replay(recording)]
        median, quarter = statistics.median(pieces), statistics.quantiles(pieces, n=4)[0]
        rows.append({"units": units, "median_us": median, "best_quarter_us": quarter, "bin_us": bin_us})
        print(f"{units:>6} {median:>9.1f} {bin_us / median:>12.0f} {quarter:>13.1f} {bin_us / quarter:>12.0f}")
    print(json.dumps({"benchmark": "replay", "bins_identical": True, "rows": rows}))


if __name__ == "__main__":
    main()
