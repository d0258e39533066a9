"""Does a model of velocity, position, speed and the units' own past decode recorded movements better than velocity?

    python benchmarks/richer_tuning.py DATA... [--train-fraction 0.8]

For each recording and each choice of regressors: the project's adaptive filter learns along the training part (the
encoding model starts untrained), and its point-process decoder decodes the rest, frozen, causally, from the units
alone. Prior, order of the bins and spikes are the same for every choice. Prints velocity R2 per axis, and how much
smaller the mean squared velocity error is than that of the model of velocity alone, with the 95 % interval of the ratio
(bootstrap over blocks of five seconds, the same blocks for both).
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.sources.datafile import load_recording

CHOICES = (
    ("velocity",),
    ("velocity", "position"),
    ("velocity", "speed"),
    ("velocity", "position", "speed"),
    ("velocity", "history"),
    ("velocity", "position", "speed", "history"),
)
SPEED_DM_S = 1.0  # the velocities are scaled to this sd, that of the cursors that the default prior is for
HISTORY_S = (0.05, 0.2)
BLOCK_S, RESAMPLES = 5.0, 2000
INITIAL_SD = 1.0


def decoded(recording, bins_train, names):
    """Return the decoded velocities of the bins after the training part, in the recording's unit."""
    scale = SPEED_DM_S / DM_PER_M / np.nanstd(recording.velocity[:bins_train])
    velocity = scale * recording.velocity
    position = position_scale(recording, bins_train) * scale * recording.position
    regressors = Regressors(recording.n_axes, names, HISTORY_S if "history" in names else ())
    mean = np.maximum(recording.counts[:bins_train].mean(axis=0), 1e-3)
    model = EncodingModel.untrained(
        mean / recording.bin_s, "poisson", recording.bin_s, INITIAL_SD, regressors=regressors
    )
    adapter, history = Adapter(model, 0.0), History(regressors, recording.n_units, recording.bin_s)
    adapter.history = history.traces
    valid = np.ones(recording.n_units)
    for counts, v, x in zip(recording.counts[:bins_train], velocity, position, strict=False):
        if np.isfinite(v).all() and np.isfinite(x).all():
            adapter.learn(counts, valid, v.tolist(), x.tolist(), 0.0)
        history.take(counts)
    decoder = VelocityFilter(model, velocity_sd_m_s=float(np.nanstd(velocity[:bins_train])), history=history.traces)
    out = np.empty((recording.n_bins - bins_train, recording.n_axes))
    for k, counts in enumerate(recording.counts[bins_train:]):
        out[k] = decoder.predict(counts, valid)[recording.n_axes :]
        history.take(counts)
    return out / scale


def position_scale(recording, bins_train):
    """Return what makes the position the integral of the velocity: files give the two in units of their own."""
    inside = ~recording.trial_start[1:bins_train, None]
    change = np.diff(recording.position[:bins_train], axis=0) / recording.bin_s
    between = 0.5 * (recording.velocity[1:bins_train] + recording.velocity[: bins_train - 1])
    keep = inside & np.isfinite(change) & np.isfinite(between)
    return np.sum(between[keep] * change[keep]) / np.sum(change[keep] ** 2)


def ratio_interval(errors, plain, bin_s):
    """Return the ratio of two mean squared errors, and the 95 % interval of it over blocks of time."""
    blocks = max(1, round(BLOCK_S / bin_s))
    whole = len(errors) // blocks * blocks
    mine, other = (np.nansum(e[:whole].reshape(-1, blocks), axis=1) for e in (errors, plain))
    draws = np.random.default_rng(1).integers(0, len(mine), (RESAMPLES, len(mine)))
    ratios = mine[draws].sum(axis=1) / other[draws].sum(axis=1)
    return float(mine.sum() / other.sum()), *(float(x) for x in np.percentile(ratios, [2.5, 97.5]))


def measure(path, train_fraction):
    """Return the rows of one recording."""
    recording = load_recording(path, None, None)
    bins_train = recording.split(train_fraction)
    recording = recording.to_learn(bins_train)
    true, rows, plain = recording.velocity[bins_train:], [], None
    for names in CHOICES:
        found = decoded(recording, bins_train, names)
        errors = np.sum((found - true) ** 2, axis=1)
        plain = errors if plain is None else plain
        ratio, low, high = ratio_interval(errors, plain, recording.bin_s)
        score = r2(true, found).tolist()
        rows.append(
            {"recording": recording.name, "regressors": names, "r2": score, "ratio": ratio, "low": low, "high": high}
        )
    return rows


def main():
    """Measure every recording, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--train-fraction", type=float, default=0.8)
    options = parser.parse_args()
    rows = [row for path in options.data for row in measure(path, options.train_fraction)]
    print(f"{'recording':>24} {'regressors':>40}  velocity R2      squared error over that of velocity alone")
    for row in rows:
        r2 = " / ".join(f"{value:.3f}" for value in row["r2"])
        against = f"{row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        print(f"{row['recording'][:24]:>24} {', '.join(row['regressors']):>40}  {r2:15s}  {against}")
    print(json.dumps({"richer_tuning": rows}))


if __name__ == "__main__":
    main()
