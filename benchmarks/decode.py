"""Open-loop decoding: held-out R2 of the adaptive decoder beside ridge and Kalman, and what one bin costs.

usage: python benchmarks/decode.py [FILE ...] [--simulated N]
       python benchmarks/decode.py FILE ... --networks [--peer "PYTHON SCRIPT"]
       python benchmarks/decode.py FILE ... --taught
       python benchmarks/decode.py --inference

Without a FILE, simulated recordings alone: smooth movements, log-linear Poisson units that lead the hand by 0 to 4
bins, 20 to 100 ms bins, 8 to 120 units, half of them with drifting tuning, some with silent and duplicate units.
With --networks: the decoders of ``bmi train`` trained on the first four fifths, frozen, scored on the rest, and what
their training costs; --peer runs another program on the same arrays (as .npz) with its own split. With --taught: the
read-out taught one second late along the test part, at the calculated rate and over a sweep. With --inference: what a
bin takes with 256 units.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding import baselines
from bmi_runtime.decoding.adaptive_readout import AdaptiveReadout
from bmi_runtime.decoding.batch_decoder import Training, decode_all
from bmi_runtime.decoding.comparison import training_of
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.network_kinds import KINDS, trained
from bmi_runtime.decoding.network_mixture import SHORT_RECIPE, NetworkMixture
from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config, scores
from bmi_runtime.sources.datafile import load_recording, recording_from_arrays


def simulated(seed):
    rng = np.random.default_rng(seed)
    bin_s = rng.choice([0.02, 0.03, 0.05, 0.07, 0.1])
    bins, units = int(rng.integers(2000, 6000)), int(np.exp(rng.uniform(np.log(8), np.log(120))))
    kept, velocity, drive = np.exp(-bin_s / rng.uniform(0.15, 0.8)), np.zeros((bins, 2)), np.zeros(2)
    for index in range(1, bins):
        drive = kept * drive + np.sqrt(1 - kept**2) * rng.normal(size=2)
        velocity[index] = 0.6 * velocity[index - 1] + 0.4 * drive
    velocity *= 0.2 / velocity.std()
    position = np.zeros((bins, 2))
    for index in range(1, bins):
        position[index] = position[index - 1] * (1 - 0.3 * bin_s) + velocity[index] * bin_s
    lead, turn = int(rng.integers(0, 5)), rng.choice([0.0, 1.0])
    walk = turn * np.cumsum(rng.normal(size=(bins, units)), axis=0) * np.sqrt(0.5 / bins)
    angle = rng.uniform(0, 2 * np.pi, units) + walk
    ahead = 5.0 * np.vstack([velocity[lead:], np.zeros((lead, 2))])
    depth = rng.gamma(2.0, 0.3, units)
    tuned = depth * (np.cos(angle) * ahead[:, :1] + np.sin(angle) * ahead[:, 1:])
    counts = rng.poisson(rng.gamma(2.0, 5.0, units) * bin_s * np.exp(np.clip(tuned, -4, 4)))
    if rng.random() < 0.5:
        counts[:, 0], counts[:, 2] = 0, counts[:, 1]
    velocity = np.gradient(position, bin_s, axis=0)
    return recording_from_arrays(f"simulated {seed}", counts, bin_s, velocity, position)


def measure(recording):
    train = recording.split(0.8)
    decoder = HistoryDecoder(recording.n_units, recording.bin_s, recording.position is not None)
    session = OpenLoopSession(open_loop_config(recording), decoder, recording.trial_start, recording.restart, train)
    decoder.warm_up()
    spent = np.empty(recording.n_bins)
    for index, (counts, kinematics) in enumerate(zip(recording.counts, recording.kinematics, strict=True)):
        before = time.process_time_ns()
        session.advance(counts, kinematics)
        spent[index] = time.process_time_ns() - before
    row = {
        "name": recording.name,
        "units": recording.n_units,
        "bin_ms": 1e3 * recording.bin_s,
        "median_train_us": float(np.median(spent[:train])) / 1e3,
        "median_test_us": float(np.median(spent[train:])) / 1e3,
        "publication_ms": float(spent.max()) / 1e6,
        "cpu_realtime_factor": recording.n_bins * recording.bin_s / (spent.sum() * 1e-9),
        "ours": scores(recording, session.states, train),
    }
    for name, function in (("ridge", baselines.ridge_states), ("kalman", baselines.kalman_states)):
        row[name] = scores(recording, function(recording, train), train)
    return row


def inference_us(kind, for_loop, units=256, bins=2000):
    """Return the time of a bin at 256 units, us: median, and median of the quietest tenth of stretches of 20 bins.

    The sizes are those of the recipes; the networks are hardly trained: the arithmetic is the same.
    """
    rng = np.random.default_rng(0)
    velocity = np.cumsum(rng.standard_normal((bins, 2)), axis=0) * 0.01
    starts = np.arange(bins) == 0
    counts = rng.poisson(0.4, (bins, units)).astype(float)
    data = Training(
        counts, np.hstack([np.full((bins, 2), np.nan), velocity]), starts, starts, 0.02 if for_loop else 0.05
    )
    row, brief = KINDS[kind], {"fewest_updates": 1, "most_updates": 1}
    recipe = dataclasses.replace(row.loop if for_loop else row.recording, **brief)
    if kind == "joined" and not for_loop:
        decoder = JoinedDecoder.fit(data, recipe, short_recipe=dataclasses.replace(SHORT_RECIPE, **brief))
    else:
        decoder = trained(kind, data, recipe, for_loop=for_loop)
    decode_all(decoder, data.part(slice(0, 50)))
    spent = np.empty(bins)
    for index, bin_counts in enumerate(counts):
        before = time.perf_counter_ns()
        decoder.predict(bin_counts)
        spent[index] = time.perf_counter_ns() - before
    stretches = np.sort(np.median(spent.reshape(-1, 20), axis=1))
    return float(np.median(spent)) / 1e3, float(np.median(stretches[: len(stretches) // 10])) / 1e3


def inference():
    """Print what a bin of inference takes, of every kind, for a recording and for a loop."""
    rows = []
    for kind in KINDS:
        us = {purpose: inference_us(kind, purpose == "loop") for purpose in ("loop", "recording")}
        said = ", ".join(f"{median:.0f} for a {name} ({quiet:.0f} when quiet)" for name, (median, quiet) in us.items())
        print(f"{kind:14s} 256 units, us a bin: {said}", flush=True)
        rows.append({"decoder": kind, "inference_us": us})
    return rows


def networks(files, peer):
    """Print held-out R2 and costs of every network decoder on each file, and what a peer prints of the same data."""
    rows = []
    for file in files:
        recording = load_recording(file)
        first = recording.split(0.8)
        data = training_of(recording.to_learn(first))
        train, test = data.part(slice(0, first)).bridged(), data.part(slice(first, None))
        for kind in KINDS:
            before = time.process_time()
            decoder = trained(kind, train)
            spent = time.process_time() - before
            states = decode_all(decoder, test)
            score = r2(test.velocity, states[:, test.n_axes :]).tolist()
            rows.append({"file": recording.name, "decoder": kind, "r2_velocity": score, "training_cpu_s": spent})
            print(
                f"{recording.name[:30]:30s} {kind:14s} {score[0]:.3f} / {score[1]:.3f}  {spent:.1f} CPU s", flush=True
            )
        if peer:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "data.npz"
                np.savez(path, counts=recording.counts, velocity=recording.velocity, bin_s=recording.bin_s)
                said = subprocess.run([*peer.split(), str(path)], capture_output=True, text=True, check=True).stdout
            print(f"{recording.name[:30]:30s} peer: {said.splitlines()[0]}", flush=True)
            rows.append({"file": recording.name, "decoder": "peer", "said": said})
    print(json.dumps({"networks": rows}))


def taught(files, delay_s=1.0):
    """Print the calculated rate of the read-out beside a sweep along the test part, taught late; return the rows."""
    rows = []
    for file in files:
        recording = load_recording(file)
        first, delay = recording.split(0.8), max(1, round(delay_s / recording.bin_s))
        data = training_of(recording.to_learn(first))
        networks = NetworkMixture.fit(data.part(slice(0, first)).bridged())
        spread, test = networks.recurrent.spread[networks.recurrent.moving], data.part(slice(first, None))
        said, features = np.empty_like(test.velocity), []
        for index, counts in enumerate(test.counts):
            said[index] = networks.predict(counts)[test.n_axes :]
            features.append(networks.recurrent.readout.features.copy())
        residual, along = (test.velocity - said) / spread, np.array(features)
        plan = networks.validation.plan(
            networks.validation.states, data.kinematics[networks.validation.first : first], data.bin_s
        )
        calculated = plan.rate(len(said), delay)
        row = {"file": recording.name, "calculated": calculated, "rates": [], "r2_velocity": []}
        for rate in (0.0, calculated, *10.0 ** np.arange(-9.0, -3.9, 0.5)):
            readout = AdaptiveReadout(networks.recurrent.directions, plan.pilot.noise, len(spread), rate)
            corrected = said.copy()
            for t, g in enumerate(along):
                corrected[t] += spread * (g @ readout.weights)
                if t >= delay:
                    readout.teach(along[t - delay], residual[t - delay])
            row["rates"].append(rate)
            row["r2_velocity"].append(r2(test.velocity, corrected).tolist())
            print(f"{recording.name[:30]:30s} rate {rate:8.1e}: {np.round(row['r2_velocity'][-1], 4)}", flush=True)
        rows.append(row)
    return rows


def line(row):
    def pair(name, what):
        return " ".join(f"{value:6.3f}" for value in row[name][f"r2_{what}"])

    held_out = " | ".join(pair(name, "velocity") for name in ("ours", "ridge", "kalman"))
    return (
        f"{row['name'][:42]:<42} {held_out}"
        f" | {row['median_train_us']:7.0f} {row['median_test_us']:7.0f} {row['publication_ms']:7.0f}"
        f" {row['cpu_realtime_factor']:6.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--simulated", type=int, default=8)
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--peer", default="")
    parser.add_argument("--inference", action="store_true")
    parser.add_argument("--taught", action="store_true")
    options = parser.parse_args()
    if options.inference:
        print(json.dumps({"inference": inference()}))
        return
    if options.taught:
        print(json.dumps({"taught": taught(options.files)}))
        return
    if options.networks:
        networks(options.files, options.peer)
        return
    recordings = [load_recording(file) for file in options.files] + [simulated(s) for s in range(options.simulated)]
    print(
        f"{'held-out velocity R2 (x y)':<42} {'adaptive':>13} | {'ridge':>13} | {'Kalman':>13} | CPU per bin, us: "
        "train, test; publication ms; times real time"
    )
    rows = []
    for recording in recordings:
        rows.append(measure(recording))
        print(line(rows[-1]), flush=True)
    least = min(np.min(np.subtract(r["ours"]["r2_velocity"], r["kalman"]["r2_velocity"])) for r in rows)
    print(json.dumps({"least_gain_over_kalman": float(least), "recordings": rows}))


if __name__ == "__main__":
    main()
