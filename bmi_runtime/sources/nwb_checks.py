"""What is odd in the kinematics and the tables of an NWB file: one sentence a finding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bmi_runtime.sources import nwb_file
from bmi_runtime.sources.lost_samples import described, jumps, lost_samples
from bmi_runtime.sources.mapping import FASTEST_HAND_M_S, LARGEST_MISMATCH, ONE_QUANTITY
from bmi_runtime.sources.nwb_pairs import RANKS, Pair, chosen, kind_of, length_of, lies_turned, pairs_of, rank_of
from bmi_runtime.sources.open_loop import axes_called

GAP_STEPS, SHORTEST_GAP_S = 5.0, 0.1  # of the usual interval, and in seconds: the larger one makes a gap
MOST_SAMPLES = 20_000_000  # that a check reads
BEYOND_SHARE = 0.05  # of a recording, that series may miss of one another


def of_kinematics(series: dict[str, Any], segments_s) -> list[str]:
    """Return sentences on every velocity and position: times, gaps, what was not recorded, jumps, units."""
    taken = chosen(series)
    return [*of_pairs(pairs_of(series)), *_lost(taken), *_disagreement(taken), *_beyond(taken, segments_s)]


def _lost(found: dict[str, Pair]) -> list[str]:
    """Return a sentence where samples of the position are places it cannot have been at."""
    pair = found.get("position")
    if pair is None or lies_turned(pair.series) or not pair.together or len(pair.series.data) > MOST_SAMPLES:
        return []
    values = pair.values(slice(None))
    lost = lost_samples(values)
    return [f"{pair.origin}: {described(lost, values, 'position', 'sample')}"] if lost.any() else []


def of_pairs(pairs: Iterable[Pair]) -> list[str]:
    """Return sentences on each of some velocities and positions: times, gaps, what was not recorded, jumps, units."""
    odd = []
    for pair in pairs:
        kind = kind_of(pair)
        if kind is not None and lies_turned(pair.series):
            size = " x ".join(map(str, pair.series.data.shape))
            odd.append(f"{pair.origin}: it is {size}: its samples lie in columns, not in rows")
            continue
        if kind is None or len(pair.series.data) < 3 or len(pair.series.data) > MOST_SAMPLES or not pair.together:
            continue
        times_s, values = nwb_file.times_of(pair.series), pair.values(slice(None))
        texts = _of_times(times_s, len(values))
        if nwb_file.is_step(pair.series):
            texts.append(
                f"at {pair.series.rate:g} Hz it would last {len(values) / pair.series.rate / 86400:.0f} days: "
                f"{pair.series.rate:g} is taken for the seconds from sample to sample"
            )
        if len(times_s) == len(values):
            texts += _of_values(times_s, values, kind, pair.unit, rank_of(pair) < max(RANKS))
        width = pair.series.data.shape[1] if pair.series.data.ndim == 2 else 1
        if width > len(pair.parts):
            texts.append(f"it has {width} columns; the first {len(pair.parts)} are taken (a mapping names others)")
        odd += [f"{pair.origin}: {text}" for text in texts]
    return odd


def _of_times(times_s, samples: int) -> list[str]:
    if len(times_s) != samples:
        return [f"{samples} samples have {len(times_s)} times"]
    steps = np.diff(times_s)
    usual = float(np.median(steps))
    odd = []
    back = np.flatnonzero(steps < 0)
    if len(back):
        odd.append(
            f"time goes back {_times(len(back))} (a reset of the clock?), first from {times_s[back[0]]:.3f} to "
            f"{times_s[back[0] + 1]:.3f} s"
        )
    if (steps == 0).any():
        odd.append(f"{int((steps == 0).sum())} samples have the time of the one before")
    gaps = np.flatnonzero(steps > max(GAP_STEPS * usual, SHORTEST_GAP_S))
    if len(gaps):
        odd.append(
            f"a pause of {steps[gaps[0]]:.3f} s after {times_s[gaps[0]]:.3f} s"
            + (f", and {len(gaps) - 1} more, {steps[gaps].sum():.3f} s in all" if len(gaps) > 1 else "")
        )
    return odd


def _of_values(times_s, values, kind: str, unit: str, moved: bool) -> list[str]:
    """Return sentences on samples; an eye in units of its own is not odd, a limb or cursor (`moved`) is."""
    odd, known = [], np.isfinite(values).all(axis=1)
    if not known.all():
        stretch = _longest(~known) * float(np.median(np.diff(times_s)))
        odd.append(
            f"{int((~known).sum())} of {len(known)} samples are not recorded ({(~known).mean():.1%}), up to "
            f"{stretch:.3g} s together"
        )
    if known.any():
        still = [
            axis
            for axis, column in zip(axes_called(values.shape[1]), values.T, strict=True)
            if np.ptp(column[known]) == 0
        ]
        odd += [f"{axis} never changes" for axis in still]
    measured = length_of(unit)
    if measured is None and moved:
        odd.append(f"'{unit}' is not a known unit of {'speed' if kind == 'velocity' else 'length'}")
    if kind == "position":
        found = jumps(np.where(lost_samples(values)[:, None], np.nan, values), times_s)
        if len(found):
            size = np.linalg.norm(values[found] - values[found - 1], axis=1).max()
            odd.append(
                f"the position jumps {_times(len(found))}, by up to {size:.3g} {unit}, first at "
                f"{times_s[found[0]]:.3f} s: joins of trials, or a lost marker?"
            )
    return odd + _too_fast(times_s, values, kind, measured)


def _too_fast(times_s, values, kind, measured) -> list[str]:
    if measured is None:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        speeds = values if kind == "velocity" else np.diff(values, axis=0) / np.diff(times_s)[:, None]
    speeds = np.abs(measured[0] * speeds[np.isfinite(speeds)])
    usual = float(np.quantile(speeds, 0.99)) if len(speeds) else 0.0
    if usual <= FASTEST_HAND_M_S:
        return []
    return [f"it {'is' if kind == 'velocity' else 'moves'} as fast as {usual:.3g} m/s: is the unit wrong?"]


def _longest(flags) -> int:
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _disagreement(found: dict[str, Pair]) -> list[str]:
    """Compare the velocity with the change of the position, where both have the same samples and known units."""
    if len(found) < 2:
        return []
    position, velocity = found["position"], found["velocity"]
    lengths = length_of(position.unit), length_of(velocity.unit)
    times_s = nwb_file.times_of(position.series)
    same = len(times_s) == len(velocity.series.data) and 3 < len(times_s) < MOST_SAMPLES
    if not same or lengths[0] is None or lengths[1] is None:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = lengths[0][0] * np.diff(position.values(slice(None)), axis=0) / np.diff(times_s)[:, None]
    speeds = lengths[1][0] * velocity.values(slice(None))[1:]
    both = np.isfinite(steps) & np.isfinite(speeds)
    said, spread = float(steps[both] @ speeds[both]), float(steps[both] @ steps[both])
    alike = said / max(np.sqrt(spread * float(speeds[both] @ speeds[both])), 1e-300)
    if alike <= ONE_QUANTITY or 1 / LARGEST_MISMATCH < said / spread < LARGEST_MISMATCH:
        return []
    return [
        f"{velocity.origin} ({velocity.unit}) is {said / spread:.3g} times the change of {position.origin} "
        f"({position.unit}): one of the two units is wrong"
    ]


def _beyond(found: dict[str, Pair], segments_s) -> list[str]:
    """Say when kinematics cover a different time from the spikes."""
    start, stop = segments_s[0][0], segments_s[-1][1]
    odd = []
    for pair in found.values():
        first, last = nwb_file.span_of(pair.series)
        apart = max(0.0, min(last, stop) - max(first, start))
        if apart < (1 - BEYOND_SHARE) * max(stop - start, last - first):
            odd.append(f"{pair.origin} covers {first:.3f} to {last:.3f} s, the spikes {start:.3f} to {stop:.3f} s")
    return odd


def of_intervals(content) -> list[str]:
    """Return sentences on intervals that end before they begin, overlap, or have no time, and on invalid times."""
    odd = []
    for name, table in (content.intervals or {}).items():
        start = np.asarray(table["start_time"][:], dtype=float)
        stop = np.asarray(table["stop_time"][:], dtype=float)
        if name == "invalid_times":
            odd.append(f"{len(start)} stretches, {float(np.nansum(stop - start)):.3f} s together, are marked invalid")
            continue
        known = np.isfinite(start) & np.isfinite(stop)
        wrong = {
            "have no start or stop time": ~known,
            "end before they begin": known & (stop < start),
            "begin before the one above them": known & (np.diff(start, prepend=-np.inf) < 0),
        }
        for what, rows in wrong.items():
            if rows.any():
                odd.append(
                    f"{int(rows.sum())} of {len(rows)} {name} {what}, the first is row {int(np.flatnonzero(rows)[0])}"
                )
    return odd
