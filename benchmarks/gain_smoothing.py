"""Decoder gain and smoothing: the calculated setting against sessions over a grid, in all three worlds.

A pilot session in each world gives the setting. Sessions are then really run: briefly with every setting of the grid,
longer with the best of them and with the calculated one, with the same seeds. Prints a table a world and one JSON line.

    python benchmarks/gain_smoothing.py [--worlds default,hard_world,real_world] [--quick]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.calibration.aim_fit import Screen
from bmi_runtime.calibration.dials import GAINS, TIME_CONSTANTS_S, DialSearch
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.calibration.readings import PilotReader
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.calibration.steering import Pace
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

BURN = 0.2  # share of a session that is not counted


class Run:
    """A session in a simulated world, with what a pilot needs of it."""

    def __init__(self, world: str, seed: int, seconds: float, *settings: str):
        wanted = [f"session.seed={seed}", "encoding.initial=truth", *settings]
        self.config = configuration.load(None if world == "default" else world, wanted)
        source = SimulatedSource(self.config)
        session, given = Session(self.config, source.world.initial_model()), Bin(*self.config.layout)
        bins, axes = round(seconds / self.config.bin_s), session.space.n_axes
        self.counts = np.empty((bins, self.config.session.units))
        self.intended, self.cursor, self.target = (np.empty((bins, axes)) for _ in range(3))
        squares, times, trials, spent_s = [], [], 0, 0.0
        for t in range(bins):
            self.cursor[t], self.target[t] = session.cursor[:axes], session.task.target[:axes]
            source.next_bin(given, session.cursor, session.task.target)
            record = session.step(given.bytes)
            self.counts[t], self.intended[t] = given.fields.counts, record.output.intended
            if t < BURN * bins:
                session.events.clear()
                continue
            squares.append(float(((session.decoder.state[axes:] - source.world.intended) ** 2).sum()))
            for event in session.events:
                if event.get("name") == "trial":
                    trials, spent_s = trials + 1, spent_s + event["time_to_target_s"] + self.config.task.pause_s
                    times += [event["time_to_target_s"]] if event["result"] == "success" else []
            session.events.clear()
        self.pace = Pace(
            float(np.sqrt(np.mean(squares))), float(np.mean(times)) if times else float("nan"),
            60.0 * len(times) / spent_s if trials else 0.0, len(times) / trials if trials else 0.0,
        )  # fmt: skip

    def reader(self) -> PilotReader:
        """Return what reads this session as a pilot."""
        states = 10.0 * self.intended
        pilot = Pilot(self.counts, states, self.config.bin_s, self.config.session.likelihood)
        scores = MeasuredScores(fit_usable(pilot))
        return PilotReader(scores, self.config, Screen(self.cursor, self.target, pilot.usable))


def setting(gain: float, time_s: float) -> tuple[str, str]:
    """Return a setting as session overrides."""
    return f"decoder.gain={gain}", f"decoder.velocity_time_constant_s={time_s}"


def compare(world: str, pilot_s: float, brief_s: float, long_s: float, seeds: int, finalists: int) -> dict:
    """Return the calculated setting of a world and what sessions reach over the grid."""
    pilot = Run(world, 9, pilot_s)
    begun = time.process_time()
    search = DialSearch(pilot.reader(), pilot.config, pilot.config.adapter.learning_rate)
    dials = search.best()
    calculated_in_s = time.process_time() - begun
    grid = np.array([[Run(world, 21, brief_s, *setting(g, t)).pace.hits_per_minute for t in TIME_CONSTANTS_S]
                     for g in GAINS])  # fmt: skip
    order = np.argsort(-grid, axis=None)[:finalists]
    best = [(GAINS[i], TIME_CONSTANTS_S[j]) for i, j in zip(*np.unravel_index(order, grid.shape), strict=True)]
    section = pilot.config.decoder
    rivals = [(dials.gain, dials.time_constant_s), *best, (section.gain, section.velocity_time_constant_s)]
    reached = [float(np.mean([Run(world, 31 + seed, long_s, *setting(*rival)).pace.hits_per_minute
                              for seed in range(seeds)])) for rival in rivals]  # fmt: skip
    predicted = [search.pace(*rival).hits_per_minute for rival in rivals]
    print(f"\n{world}: pilot {pilot_s:g} s, calculated in {calculated_in_s:.1f} CPU s")
    print(f"  aim {dials.aim.mean.round(3)} (Hz, s, s); gain {dials.gain:.3g} {np.round(dials.gain_interval, 3)}, "
          f"time constant {dials.time_constant_s:.3g} s {np.round(dials.time_constant_interval_s, 3)}")  # fmt: skip
    print("  sessions (predicted), hits a minute; rows: gain, columns: time constant (s)")
    print("        " + "".join(f"{t:>14g}" for t in TIME_CONSTANTS_S))
    for gain, row, expected in zip(GAINS, grid, dials.hits_per_minute, strict=True):
        print(f"  {gain:5.2f} " + "".join(f"{a:7.1f} ({b:4.1f})" for a, b in zip(row, expected, strict=True)))
    for rival, found, expected in zip(rivals, reached, predicted, strict=True):
        print(f"  gain {rival[0]:5.3f}, {rival[1]:5.3f} s: {found:.1f} hits a minute, {expected:.1f} predicted")
    return {"world": world, "gain": dials.gain, "time_constant_s": dials.time_constant_s,
            "hits_per_minute": reached[0], "best_of_grid": max(reached[1:-1]), "as_configured": reached[-1],
            "share_of_best": reached[0] / max(reached[1:-1]), "calculated_in_cpu_s": calculated_in_s}  # fmt: skip


def main() -> None:
    """Run the comparison in every world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", default="default,hard_world,real_world")
    parser.add_argument("--quick", action="store_true", help="short sessions, for a look")
    given = parser.parse_args()
    lengths = (60.0, 10.0, 30.0, 1, 2) if given.quick else (180.0, 60.0, 300.0, 2, 5)
    print(json.dumps([compare(world, *lengths) for world in given.worlds.split(",")]))


if __name__ == "__main__":
    main()
