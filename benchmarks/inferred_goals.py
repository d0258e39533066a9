"""Goals inferred from the cursor of subjects: how many bins would teach, how many wrongly, and what was said of that.

    python benchmarks/inferred_goals.py hennig2018_20131218.mat    # a real one
    python benchmarks/inferred_goals.py                            # simulated ones: fifteen seconds of CPU

The session's own intention (`inferred-target`, default settings unless `--set` says otherwise) sees the cursor and the
candidates. A label is wrong where its likeliest goal is not the one that was meant; what was told is one minus its
probability, on average.

The file is that of a published closed-loop session (Hennig et al. 2018: eight targets, centre-out, bins of 45 ms, a
monkey's cursor under its own decoder and under a perturbed one). It gives velocities and, for every bin, the direction
from the cursor to the target; bins are missing from it, at the begin of every second trial and here and there within
one. Between such gaps the directions of a few bins fix where the target is from the cursor (:func:`start_of`; at 125 mm
they then agree to 1e-5 degrees, which is how the distance was found). A trial ends 5 cm from the target's middle.
Counted are the bins from 0.2 s after a stretch begins.

Simulated subjects of other speeds, delays and noise than the intention assumes steer with targets known to the decoder
for two minutes, every second one with a decoder that adapts, the others with one that knows their units; counted is
every bin.
"""

import argparse
import itertools
import json

import numpy as np
from scipy.io import loadmat

from bmi_runtime import config as configuration
from bmi_runtime.cli.compare_closed_loop import Subject
from bmi_runtime.intention.inferred_target import InferredTargetIntention

BIN_S, DISTANCE_M, TARGETS, REACTION_S = 0.045, 0.125, 8, 0.2
NEAR_CENTRE_M = 0.015  # a stretch without its begin that starts so near the centre is a new trial
WORLDS = ("hard_world", "real_world")
FREQUENCIES_HZ, MANNERS = (0.8, 0.4, 0.25), ((0.05, 0.1), (0.1, 0.5), (0.2, 0.2))  # delay (s) and noise
SIMULATED_BIN_S, SIMULATED_S, FIRST_SEED = 0.05, 120.0, 501
ANGLES = 2.0 * np.pi * np.arange(TARGETS) / TARGETS
CANDIDATES = DISTANCE_M * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def start_of(path, angles):
    """Return where a stretch begins, seen from its target (m): at right angles to it, no direction misses.

    Every bin says ``n . (start + path) = 0`` with n at right angles to its direction to the target: least squares.
    """
    across = np.column_stack([-np.sin(angles), np.cos(angles)])
    return np.linalg.lstsq(across, -(across * path).sum(axis=1), rcond=None)[0]


class Cursor:
    """Positions, velocities and targets of one block, m and m/s, from the file's velocities and directions."""

    def __init__(self, block):
        self.still = block.isFreezePeriod.astype(bool)
        # the file's angles grow the other way round than its velocities turn
        moves = np.where(self.still[:, None], 0.0, block.velNext * [1.0, -1.0] / 1000.0)
        angles = np.deg2rad(block.thetas)
        goes_on = np.isclose(block.velNext[:-1], block.vel[1:]).all(axis=1)
        edges = np.r_[0, np.flatnonzero(~goes_on) + 1, len(angles)]
        self.position, self.target = np.zeros((2, len(angles), 2))
        self.since_s = np.zeros(len(angles))
        for first, stop in itertools.pairwise(edges):
            self._stretch(slice(first, stop), moves[first:stop], angles[first:stop])
        # the velocity of a bin is the one that brought the cursor to where it is
        self.velocity = np.vstack([np.zeros((1, 2)), moves[:-1]])
        self.counted = ~self.still & (self.since_s >= REACTION_S)

    def _stretch(self, bins, moves, angles):
        path = np.vstack([np.zeros((1, 2)), np.cumsum(moves, axis=0)[:-1] * BIN_S])
        begins = self.still[bins][0]
        if begins or len(angles) < 4:
            toward = CANDIDATES[int(np.argmin(np.abs(np.angle(np.exp(1j * (ANGLES - angles[0]))))))]
            start = np.zeros(2)
        else:
            starts = CANDIDATES + start_of(path, angles)
            before = self.position[bins.start - 1]
            new = np.linalg.norm(starts, axis=1).min() < NEAR_CENTRE_M
            which = int(np.argmin(np.linalg.norm(starts - (0.0 if new else before), axis=1)))
            toward, start = CANDIDATES[which], starts[which]
        self.position[bins], self.target[bins] = start + path, toward
        self.since_s[bins] = BIN_S * (np.cumsum(~self.still[bins]) - 1)


def measure(path, targets, counted, candidates, config):
    """Return the share of bins that teach, the share of those that teach wrongly, and the share told to be so.

    Parameters
    ----------
    path : ndarray, (bins, 4)
        Positions and velocities of the cursor.
    targets : ndarray, (bins, 2)
    counted : ndarray of bool, (bins,)
    candidates : ndarray, (candidates, 2)
    config : Config
    """
    intention = InferredTargetIntention(config.adapter, config.bin_s)
    intention.offer(candidates.tolist(), config.task.workspace_m)
    wrong, told = [], []
    for k, cursor in enumerate(path):
        intention.infer(cursor, (0.0, 0.0, 0.0), 0)
        found, of = intention.likeliest(), k - intention.lag_bins
        if found is None or of < 0 or not counted[of]:
            continue
        wrong.append(np.linalg.norm(candidates[found[0]] - targets[of]) > 1e-6)
        told.append(1.0 - found[1])
    return {"bins": int(counted.sum()), "teach": len(told), "wrong": float(sum(wrong)), "told": float(sum(told))}


def of_file(path, overrides):
    """Return a row for each block of the published session."""
    config = configuration.load(None, [f"session.bin_s={BIN_S}", *overrides])
    for number, block in enumerate(loadmat(path, squeeze_me=True, struct_as_record=False)["D"].blocks, 1):
        cursor = Cursor(block)
        moved = np.hstack([cursor.position, cursor.velocity])
        yield f"block {number}", measure(moved, cursor.target, cursor.counted, CANDIDATES, config)


def of_simulated(overrides):
    """Return a row for each simulated subject."""
    kinds = itertools.product(WORLDS, FREQUENCIES_HZ, MANNERS)
    for seed, (world, frequency_hz, (delay_s, noise)) in enumerate(kinds, FIRST_SEED):
        adapts = ("true", "false")[seed % 2]
        subject = [f"subject.natural_frequency_hz={frequency_hz}", f"subject.feedback_delay_s={delay_s}"]
        subject += [f"subject.intention_noise={noise}", f"session.seed={seed}", f"session.bin_s={SIMULATED_BIN_S}"]
        subject += ["encoding.initial=truth", f"adapter.enabled={adapts}", "adapter.learning_rate=1e-4"]
        config = configuration.load(world, [*subject, *overrides])
        steered = Subject(config)
        seen, _ = steered.run(SIMULATED_S)
        everything = np.ones(len(seen.counts), bool)
        places = np.array(steered.session.task.candidates)
        name = f"{world} {frequency_hz:g} Hz {delay_s:g} s {noise:g}" + (" adapts" if adapts == "true" else "")
        yield name, measure(seen.kinematics, seen.targets[:, :2], everything, places, config)


def main():
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    given = parser.parse_args()
    rows = {}
    print(f"{'':44}{'bins that teach':>16}{'told to be wrong':>18}{'wrong':>8}")
    for name, row in of_file(given.file, given.overrides) if given.file else of_simulated(given.overrides):
        rows[name] = row
        print(_line(name, row), flush=True)
    total = {key: sum(row[key] for row in rows.values()) for key in ("bins", "teach", "wrong", "told")}
    print(_line("all", total))
    print(json.dumps({"inferred_goals": rows | {"all": total}}))


def _line(name, row):
    share = f"{name:<44}{100 * row['teach'] / row['bins']:14.0f} %"
    if not row["teach"]:
        return share
    return share + f"{100 * row['told'] / row['teach']:16.1f} %{100 * row['wrong'] / row['teach']:6.1f} %"


if __name__ == "__main__":
    main()
