"""One bin of decoding and adaptation, beside the floor of the same run and the reference filter written in NumPy.

    python benchmarks/step.py [--repeats 2000]

For 96, 256, 1,000 and 10,000 units: the median time of ``decode + adapt`` (kernels), of the whole pure step of a
session, of the floor (the bytes that the step must move at this machine's copy bandwidth, plus as many exponentials as
it takes), and of the same point-process filters written as a plain NumPy loop over units, which is how the field's
reference code does it. Then the step of other brain states, up to the command and whole, features coming as often as
they do, beside that of two axes: the sessions step by turns. Prints two tables and one JSON line.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.kernels.exponential import exponentials
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session, warm_up
from simulators.source import SimulatedSource
from simulators.world import World

SIZES = (96, 256, 1000, 10_000)
SEVEN = "state.axes=['x','y','z','pitch','yaw','roll','grasp']"
STATES = {  # name: overrides
    "2 axes, 256 units": ("session.units=256",),
    "7 axes, 256 units": ("session.units=256", SEVEN),
    "7 axes, 256 units and 128 features": ("session.units=256", "session.features=128", SEVEN),
    "2 axes, 256 units, velocity and history": ("session.units=256", "encoding.regressors=['velocity','history']"),
    "2 axes, 256 units, a click": ("session.units=256", "state.click=true", "task.kind=centre-out-click"),
}
LIMIT_US = {96: 50, 256: 70, 1000: 120, 10_000: 700}


def median_us(function, repeats):
    """Return the median and the 10th percentile of the duration of `function` in microseconds."""
    durations = np.empty(repeats)
    for k in range(repeats):
        begin = time.perf_counter_ns()
        function()
        durations[k] = time.perf_counter_ns() - begin
    return float(np.median(durations) / 1e3), float(np.percentile(durations, 10) / 1e3)


def floor_us(n_units, repeats):
    """Return the time to move a step's bytes once, and to take its exponentials."""
    # weights and covariance read for decoding, read and written for adaptation; counts, rates, innovations, variances
    doubles = n_units * (9 + 18 + 6)
    source, target = np.ones(doubles // 2), np.empty(doubles // 2)
    x, out = np.full(n_units, 0.1), np.empty(n_units)
    copy, _ = median_us(lambda: np.copyto(target, source), repeats)
    expo, _ = median_us(lambda: exponentials(x, out), repeats)
    return copy + 2 * expo


def reference_step(weights, covariance, counts, u, rate, bin_s):
    """One bin of the adaptive point-process filter as a loop over units with 3 x 3 inverses."""
    for i in range(weights.shape[0]):
        prior = covariance[i] + rate * np.eye(3)
        expected = np.exp(u @ weights[i]) * bin_s
        covariance[i] = np.linalg.inv(np.linalg.inv(prior) + expected * np.outer(u, u))
        weights[i] += covariance[i] @ u * (counts[i] - expected)


def measure(n_units, repeats):
    """Return the row of one population size."""
    config = configuration.load(None, [f"session.units={n_units}"])
    warm_up(config)
    world = World(config)
    model = world.initial_model()
    adapter, decoder = Adapter(model, 1e-6), VelocityFilter(model)
    counts, valid = world.population.emit(0.05, 0.02).astype(float), np.ones(n_units)

    def kernels():
        decoder.predict(counts, valid)
        adapter.update(counts, valid, 0.05, 0.02)

    session, given = Session(config, world.initial_model()), Bin(n_units, False)
    given.fields.counts[:] = counts
    median, low = median_us(kernels, repeats)
    row = {
        "units": n_units,
        "decode_adapt_us": median,
        "decode_adapt_p10_us": low,
        "limit_us": LIMIT_US[n_units],
        "session_step_us": median_us(lambda: session.step(given.bytes), repeats)[0],
        "floor_us": floor_us(n_units, repeats),
    }
    if n_units <= 1000:
        dense = np.repeat(0.1 * np.eye(3)[None], n_units, 0)
        u = np.array([1.0, 0.5, 0.2])
        reference = (model.weights.T.copy(), dense, counts, u, 1e-6, config.bin_s)
        row["numpy_reference_us"] = median_us(lambda: reference_step(*reference), max(repeats // 200, 5))[0]
        row["times_faster"] = row["numpy_reference_us"] / median
    row["over_floor"] = median / row["floor_us"]
    return row


def session_of(overrides):
    """Return a session of this configuration, warm, and bins of its simulated units until features came twice."""
    config = configuration.load(None, overrides)
    warm_up(config)
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), []
    for _ in range(2 * round(config.session.feature_bin_s / config.bin_s)):
        newest = Bin(*config.layout)
        source.next_bin(newest, session.cursor, session.shown_target())
        given.append(bytes(newest.bytes))
    return session, given


def measure_states(repeats):
    """Return what stands between a bin and its command, and the whole step, of every brain state; by turns.

    Means over a state's bins; medians over turns of them, and of their ratios to two axes.
    """
    sessions = {name: session_of(overrides) for name, overrides in STATES.items()}
    turns = {name: [] for name in sessions}
    for _ in range(max(repeats // 20, 20)):
        for name, (session, given) in sessions.items():
            respond = settle = 0
            for one in given:
                begin = time.perf_counter_ns()
                session.respond(one)
                middle = time.perf_counter_ns()
                session.settle()
                respond, settle = respond + middle - begin, settle + time.perf_counter_ns() - middle
            turns[name].append(np.array([respond, respond + settle]) / len(given) / 1e3)
            session.events.clear()
    rows, plain = [], np.array(turns["2 axes, 256 units"])
    for name, taken in turns.items():
        us, ratio = np.median(taken, axis=0), np.median(np.array(taken) / plain, axis=0)
        row = {"what": name, "respond_us": us[0], "step_us": us[1]}
        rows.append(row | {"respond_over_two_axes": ratio[0], "step_over_two_axes": ratio[1]})
    return rows


def main():
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    rows = [measure(n, repeats if n < 10_000 else repeats // 4) for n in SIZES]
    heads = (("units", 6), ("decode+adapt", 13), ("limit", 7), ("floor", 8), ("x floor", 8), ("session step", 13))
    print(" ".join(f"{name:>{width}}" for name, width in (*heads, ("numpy loop", 11))))
    for row in rows:
        loop = f"{row['numpy_reference_us']:9.0f} us" if "numpy_reference_us" in row else ""
        print(
            f"{row['units']:6d} {row['decode_adapt_us']:10.1f} us {row['limit_us']:4d} us {row['floor_us']:5.1f} us"
            f" {row['over_floor']:8.1f} {row['session_step_us']:10.1f} us {loop:>11}"
        )
    states = measure_states(repeats)
    print(f"\n{'':40} {'to the command':>15} {'x two axes':>11} {'whole step':>13} {'x two axes':>11}")
    for row in states:
        cells = f"{row['respond_us']:12.1f} us {row['respond_over_two_axes']:11.2f} {row['step_us']:10.1f} us"
        print(f"{row['what']:40} {cells} {row['step_over_two_axes']:11.2f}")
    print(json.dumps({"step": rows, "states": states}))


if __name__ == "__main__":
    main()
