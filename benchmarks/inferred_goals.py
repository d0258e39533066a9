"""Goals inferred from the cursor of a real subject: how many bins would teach, and how many of them wrongly.

    python benchmarks/inferred_goals.py hennig2018_20131218.mat

The file is that of a published closed-loop session (Hennig et al. 2018: eight targets, centre-out, bins of 45 ms, a
monkey's cursor under its own decoder and under a perturbed one). The session's own intention (`inferred-target`) sees
the cursor and the eight candidates, at the default settings and for slower subjects. Each trial begins at the centre;
the direction to the target, which the file gives, tells target and distance. Counted are the bins from 0.2 s after the
cursor is free until it first comes within 2 cm of the target. A label is wrong where its direction is more than 60
degrees off.
"""

import argparse
import json

import numpy as np
from scipy.io import loadmat

from bmi_runtime import config as configuration
from bmi_runtime.intention.inferred_target import InferredTargetIntention

BIN_S, NEAR_M, TARGETS, WRONG_DEG, REACTION_S = 0.045, 0.02, 8, 60.0, 0.2
FREQUENCIES_HZ = (None, 0.6, 0.4, 0.3)
DISTANCES_M = np.arange(0.08, 0.2, 0.005)


class Cursor:
    """Positions and velocities of one block, m and m/s, from the file's velocities; each trial begins at the centre."""

    def __init__(self, block):
        self.still = block.isFreezePeriod.astype(bool)
        begins = self.still & ~np.r_[False, self.still[:-1]]
        self.trial = np.cumsum(begins) - 1
        # the file's angles grow the other way round than its velocities turn
        self.velocity = np.where(self.still[:, None], 0.0, block.vel * [1.0, -1.0] / 1000.0)
        path = np.cumsum(self.velocity, axis=0) * BIN_S
        self.position = path - path[np.flatnonzero(begins)][self.trial]
        angles = np.deg2rad(block.thetas)
        self.distance_m = min(DISTANCES_M, key=lambda d: self._apart(d, angles, begins))
        self.target = self._targets(self.distance_m, angles, begins)
        self.candidates = self.distance_m * _direction(2.0 * np.pi * np.arange(TARGETS) / TARGETS)
        self.counted = ~self.still & ~self._arrived() & (self._bins_moving() * BIN_S >= REACTION_S)

    def _bins_moving(self):
        """Return for how many bins the cursor has been free in its trial."""
        free = np.cumsum(~self.still)
        return free - np.maximum.accumulate(np.where(self.still, free, 0))

    def _targets(self, distance_m, angles, begins):
        return distance_m * _direction(angles[begins])[self.trial]

    def _apart(self, distance_m, angles, begins):
        """Return the median difference of the direction to targets so far away from that of the file."""
        way = self._targets(distance_m, angles, begins) - self.position
        return np.median(np.abs(np.angle(np.exp(1j * (np.arctan2(way[:, 1], way[:, 0]) - angles)))))

    def _arrived(self):
        near = np.linalg.norm(self.target - self.position, axis=1) < NEAR_M
        arrived = np.zeros(len(near), bool)
        for trial in range(self.trial[-1] + 1):
            bins = np.flatnonzero(self.trial == trial)
            arrived[bins] = np.maximum.accumulate(near[bins])
        return arrived


def _direction(angles):
    return np.column_stack([np.cos(angles), np.sin(angles)])


def measure(cursor, frequency_hz):
    """Return the share of bins that teach, the share of those that teach wrongly, and the share told to be so."""
    overrides = [f"session.bin_s={BIN_S}"]
    overrides += [f"adapter.intention_frequency_hz={frequency_hz}"] if frequency_hz else []
    config = configuration.load(None, overrides)
    intention = InferredTargetIntention(config.adapter, BIN_S)
    intention.offer(cursor.candidates.tolist(), config.task.workspace_m)
    cosines, told = [], []
    for k, (position, velocity) in enumerate(zip(cursor.position, cursor.velocity, strict=True)):
        intention.infer((*position, *velocity), (0.0, 0.0, 0.0), 0)
        labels, of = intention.labels(), k - intention.lag_bins
        if not labels or of < 0 or not cursor.counted[of]:
            continue
        mean, way = sum(p * np.array(v) for v, p in labels), cursor.target[of] - cursor.position[of]
        cosines.append(mean @ way / np.linalg.norm(mean) / np.linalg.norm(way))
        told.append(1.0 - labels[-1][1])
    wrong = float(np.mean(np.array(cosines) < np.cos(np.deg2rad(WRONG_DEG)))) if cosines else None
    share = len(cosines) / int(cursor.counted.sum())
    return {"teach": share, "wrong": wrong, "told": float(np.mean(told)) if told else None}


def main():
    """Measure both blocks, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    data = loadmat(parser.parse_args().file, squeeze_me=True, struct_as_record=False)["D"]
    rows = []
    print(" block  distance  subject's frequency  bins that teach  wrongly, of those  told to be wrong")
    for number, block in enumerate(data.blocks, 1):
        cursor = Cursor(block)
        for frequency_hz in FREQUENCIES_HZ:
            row = measure(cursor, frequency_hz)
            rows.append({"block": number, "frequency_hz": frequency_hz, **row})
            shown = f"{frequency_hz} Hz" if frequency_hz else "default"
            wrong = "" if row["wrong"] is None else f"{100 * row['wrong']:15.0f} % {100 * row['told']:14.0f} %"
            print(f"{number:6d} {100 * cursor.distance_m:6.1f} cm {shown:>20} {100 * row['teach']:14.0f} % {wrong}")
    print(json.dumps({"inferred_goals": rows}))


if __name__ == "__main__":
    main()
