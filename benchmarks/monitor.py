"""The monitor: false alarms along recordings, and how soon a tuning that turns by 30 degrees is found.

    python benchmarks/monitor.py [RECORDING ...]

Along each recording the live filter runs with its monitor at three rates; conditions that begin are counted by unit and
hour. Then simulated units turn by 30 degrees, and the delay of what is found is set against the memory of the filter.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.monitor import Monitor
from bmi_runtime.calibration.pilot import Pilot, PilotFit
from bmi_runtime.calibration.recordings import standardised
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.config import load
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from simulators.population import Population

RATES = (1e-6, 1e-5, 1e-4, 1e-3)
BIN_S = 0.05
TURN_BIN, TURN_BINS = 8_000, 12_000


def watched(fit: PilotFit, counts: np.ndarray, states: np.ndarray, rate: float) -> tuple[list, float]:
    """Run filter and monitor from fitted weights; return the events that began and the filter's slowest memory (s)."""
    design, state = fit.design, steady_state(information(fit.design), rate)
    monitor = Monitor(design.units, design.weights.shape[1], design.likelihood, design.bin_s)
    monitor.reset(pack(state.error_covariance))
    model = EncodingModel(design.weights.T.copy(), pack(state.filter_covariance), design.likelihood, design.bin_s)
    adapter, valid, events = Adapter(model, rate), np.ones(design.units), []
    for t, (n, v) in enumerate(zip(counts.astype(float), states, strict=True)):
        adapter.update(n, valid, *(v / 10))
        monitor.update(adapter.regressors, n, valid, adapter.innovation, model.covariance)
        monitor.watch(model.weights)
        events += monitor.take_events(t)
    return [event for event in events if event.began], float(design.bin_s / state.gain.min())


def false_alarms(path: str) -> list[dict]:
    """Return conditions per unit and hour along a recording, at every rate."""
    pilot = standardised(path)
    fit, found = fit_usable(pilot), []
    hours = len(pilot.states) * pilot.bin_s / 3600 * fit.design.units
    for rate in RATES:
        events, memory_s = watched(fit, fit.pilot.counts, fit.pilot.states, rate)
        kinds = {kind: sum(event.kind == kind for event in events) / hours for kind in Monitor.KINDS}
        found.append({"recording": path.rsplit("/", 1)[-1], "rate": rate, "memory_s": memory_s,
                      "per_unit_and_hour": len(events) / hours} | kinds)  # fmt: skip
    return found


def movement(bins: int, rng: np.random.Generator) -> np.ndarray:
    """Return reaches in random directions, dm/s, (bins, 2)."""
    angle = np.cumsum(rng.normal(size=bins) * 0.2)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * 1.5 * np.abs(np.sin(np.arange(bins) / 9.0))[:, None]


def turned(rate: float, seed: int = 2) -> dict:
    """Return how many of six turned units are found, how late, and how many of six that stand still are named."""
    rng = np.random.default_rng(seed)
    config = load(None, ["population.depth=[0.8, 1.0]", "population.baseline_hz=[10, 15]"])
    velocity, units = movement(TURN_BINS, rng), Population(config.population, 12, "poisson", BIN_S, rng)
    counts, angle = [], np.pi / 6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for t, v in enumerate(velocity):
        if t == TURN_BIN:
            units.weights[1:3, :6] = turn @ units.weights[1:3, :6]
        counts.append(units.emit(*(v / 10)))
    counts = np.array(counts)
    fit = fit_usable(Pilot(counts[:TURN_BIN], velocity[:TURN_BIN], BIN_S, "poisson"))
    events, memory_s = watched(fit, counts, velocity, rate)
    first: dict[int, float] = {}
    for event in events:
        if event.bin >= TURN_BIN:
            first.setdefault(event.unit, (event.bin - TURN_BIN) * BIN_S)
    delays = [delay for unit, delay in first.items() if unit < 6]
    return {"rate": rate, "memory_s": memory_s, "found": len(delays), "of": 6,
            "median_delay_s": float(np.median(delays)) if delays else None,
            "named_standing": sum(unit >= 6 for unit in first),
            "before_the_turn": sum(event.bin < TURN_BIN for event in events)}  # fmt: skip


def main() -> None:
    """Print both tables and one JSON line."""
    rows = [row for path in sys.argv[1:] for row in false_alarms(path)]
    for row in rows:
        print(f"{row['recording']:28} {row['rate']:7.0e} memory {row['memory_s']:7.1f} s: "
              f"{row['per_unit_and_hour']:.2f} a unit and hour "
              f"({', '.join(f'{kind} {row[kind]:.2f}' for kind in Monitor.KINDS)})", flush=True)  # fmt: skip
    turns = [turned(rate) for rate in RATES]
    for row in turns:
        print(f"turn of 30 degrees at {row['rate']:.0e}, memory {row['memory_s']:.1f} s: {row['found']} of 6 found, "
              f"median after {row['median_delay_s']} s; {row['named_standing']} of 6 standing units named, "
              f"{row['before_the_turn']} alarms before")  # fmt: skip
    print(json.dumps({"recordings": rows, "turns": turns}))


if __name__ == "__main__":
    main()
