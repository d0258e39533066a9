"""Achieved over predicted scatter of the weights along recordings, and along many variants made from each.

    python benchmarks/calibration_recordings.py RECORDING ... [--likelihood poisson] [--only NAME ...] [--json]

The live filter runs along each variant from the weights that fit the pilot best; the variance of its weights around
their mean is held against what the measured scores of a pilot say of so long a stretch: the same bins, or three
minutes of others. ("session" is the median of the same over `error_covariance_measured`, which is for a session of
five minutes: a stretch of few memories shows less.) Variants are parts of the recording, wider and narrower bins
(narrower: each spike falls into one of the parts by chance, the movement is interpolated), other units, movements with
the pauses cut out, and the velocity in other units. A line says, per likelihood and rate, the median over units of
achieved over predicted variance, its tenth and ninetieth percentile, the share of units within 0.6 and 1.6 and of
weights and bins within the 95 % bands. Prints one JSON line at the end.
"""

import argparse
import json
import os
import time
import warnings
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime.calibration.pilot import LEAST_SPIKES
from bmi_runtime.calibration.recordings import RATES, compare, standardised
from bmi_runtime.errors import BadInput

PILOT_S, SHORT_S = 180.0, 60.0
FEW_SPIKES = 30, 400
REST = 0.25  # of the speed's sd: slower is a pause
LIMITS = {1e-6: (0.75, 1.3), 1e-5: (0.85, 1.15), 1e-4: (0.85, 1.15), 1e-3: (0.75, 1.3)}
ELSEWHERE = (0.75, 1.3)


def told(pilot, rows):
    """Return which units can be calibrated in some bins of a pilot, (units,)."""
    counts = pilot.counts[rows]
    return np.ptp(counts, axis=0) > 0 if pilot.likelihood == "gaussian" else counts.sum(axis=0) >= LEAST_SPIKES


def part(pilot, rows, some=None):
    """Return some bins of a pilot, with those units that can be calibrated in them, or those that are given."""
    kept = np.flatnonzero(told(pilot, rows) if some is None else some)
    names = tuple(np.array(pilot.names)[kept])
    return replace(pilot, counts=pilot.counts[rows][:, kept], states=pilot.states[rows], names=names, usable=None)


def units(pilot, kept):
    """Return some units of a pilot."""
    return replace(pilot, counts=pilot.counts[:, kept], names=tuple(pilot.names[i] for i in kept))


def wider(pilot, factor):
    """Return a pilot in bins so many times wider."""
    whole = len(pilot.counts) // factor * factor
    counts = pilot.counts[:whole].reshape(-1, factor, pilot.counts.shape[1]).sum(axis=1)
    if pilot.likelihood == "gaussian":
        counts = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    states = pilot.states[:whole].reshape(-1, factor, pilot.states.shape[1]).mean(axis=1)
    return replace(pilot, counts=counts, states=states, bin_s=pilot.bin_s * factor, usable=None)


def narrower(pilot, factor):
    """Return a pilot in bins so many times narrower."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(pilot.counts.astype(int), np.full(factor, 1.0 / factor)).transpose(0, 2, 1)
    bins = len(pilot.counts)
    middle, fine = np.arange(bins) + 0.5, (np.arange(bins * factor) + 0.5) / factor
    states = np.column_stack([np.interp(fine, middle, column) for column in pilot.states.T])
    counts = counts.reshape(bins * factor, -1).astype(np.float64)
    return replace(pilot, counts=counts, states=states, bin_s=pilot.bin_s / factor, usable=None)


def variants(path, likelihood):
    """Yield (name, pilot, test or None) of a recording."""
    busy, every = standardised(path, likelihood), standardised(path, likelihood, 10_000)
    bins, bin_s = len(busy.counts), busy.bin_s
    yield "whole", busy, None
    for third in range(3):
        yield f"third {third + 1}", part(busy, slice(third * bins // 3, (third + 1) * bins // 3)), None
    yield "twice the bin", wider(busy, 2), None
    yield "four times the bin", wider(busy, 4), None
    spikes = every.counts.sum(axis=0)
    if likelihood == "poisson":
        yield "a fifth of the bin", narrower(busy, 5), None
        few = np.flatnonzero((spikes >= FEW_SPIKES[0]) & (spikes < FEW_SPIKES[1]))[:24]
        if len(few) >= 4:
            yield f"{len(few)} units of few spikes", units(every, few), None
    kept = np.flatnonzero(spikes >= FEW_SPIKES[1]) if likelihood == "poisson" else np.arange(len(spikes))
    yield "every other unit", units(every, kept[::2]), None
    yield "three units", units(every, kept[:3]), None
    yield "pauses cut out", part(busy, np.linalg.norm(busy.states, axis=1) > REST), None
    yield "velocity a tenth", replace(busy, states=0.3 * busy.states), None
    for name, seconds in (("three minutes", PILOT_S), ("a minute", SHORT_S)):
        cut = round(seconds / bin_s)
        if cut < 0.7 * bins:
            for place, own, rest in (("first", slice(cut), slice(cut, None)), ("last", slice(-cut, None), slice(-cut))):
                some = told(busy, own)
                if likelihood == "gaussian":
                    some &= told(busy, rest)
                yield f"{place} {name}", part(busy, own, some), part(busy, rest, some)


def judged(name, found):
    """Return a line of the table."""
    ratio = found.ratio("measured")
    low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
    least, most = LIMITS[found.rate] if not name.startswith(("first", "last")) else ELSEWHERE
    return {
        "variant": name, "rate": found.rate, "units": len(ratio), "median": middle, "tenth": low, "ninetieth": high,
        "within": float(np.mean((ratio > 0.6) & (ratio < 1.6))), "inside": found.inside,
        "closed": float(np.median(found.ratio("closed"))), "session": float(np.median(found.ratio("session"))),
        "memory_s": found.memory_s,
        "median_holds": bool(least < middle < most),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--likelihood", choices=["poisson", "gaussian"], action="append")
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, start = [], time.process_time()
    for path in options.recordings:
        for likelihood in options.likelihood or ["poisson", "gaussian"]:
            for name, pilot, test in variants(path, likelihood):
                if options.only and name not in options.only:
                    continue
                try:
                    comparisons = compare(name, pilot, test, RATES)
                except BadInput as error:
                    print(f"{name}: {error}", flush=True)
                    continue
                for found in comparisons:
                    row = {"recording": os.path.basename(path), "likelihood": likelihood} | judged(name, found)
                    rows.append(row)
                    print(
                        f"{row['recording'][:12]:12} {likelihood[:5]} {name:24} {row['rate']:.0e} {row['units']:3d}u "
                        f"{row['median']:.2f} ({row['tenth']:.2f} {row['ninetieth']:.2f}) within {row['within']:.2f} "
                        f"inside {row['inside']:.3f} closed {row['closed']:.2f} session {row['session']:.2f} "
                        f"mem {row['memory_s']:.1f} s"
                        f"{'' if row['median_holds'] else '  *'}",
                        flush=True,
                    )
    held = {rate: float(np.mean([row["median_holds"] for row in rows if row["rate"] == rate])) for rate in RATES}
    spread = {rate: float(np.mean([row["within"] for row in rows if row["rate"] == rate])) for rate in RATES}
    bands = {
        rate: float(np.mean([0.92 <= row["inside"] <= 0.97 for row in rows if row["rate"] == rate])) for rate in RATES
    }
    for rate in RATES:
        print(f"{rate:.0e}: medians hold in {held[rate]:.2f}, units within {spread[rate]:.2f}, bands {bands[rate]:.2f}")
    print(f"{time.process_time() - start:.0f} CPU s")
    print(json.dumps({"rows": rows, "medians_hold": held, "units_within": spread, "bands_hold": bands}))


if __name__ == "__main__":
    main()
