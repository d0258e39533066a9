"""What is odd in a file of spikes or of binned counts: one sentence a finding, none where all is well."""

from __future__ import annotations

import numpy as np

from bmi_runtime.sources.mapping import LARGEST_MISMATCH, ONE_QUANTITY
from bmi_runtime.sources.open_loop import OpenLoopRecording
from bmi_runtime.sources.spike_file import SpikeFile

COINCIDENCE_S = 1e-4  # within which spikes of two units count as one event
COINCIDENT_SHARE = 0.5  # of spikes: such units are one, sorted twice
REFRACTORY_S = 1e-3  # within which a neuron does not fire twice
REFRACTORY_SHARE = 0.02  # of intervals below it, that a well-sorted unit may have
SILENCE_RATIO = 3.0  # of a pause to the next longest
FEWEST_GAPS = 200  # from which the usual pause can be told
SHORTEST_PAUSE_S = 0.5  # shorter ones are rates, not pauses
MOST_BREAKS = 5  # that are listed one by one
ROUNDING_S = 1e-6  # of times in files
JOIN_RATIO = 12.0  # of a jump between pieces to the usual step
LONG_STAND_S, LONG_STAND_SHARE = 10.0, 0.1  # of a movement that stands still, in seconds and of the recording
LIKELY_SPIKES = 20  # fewer tell nothing about a unit
FEWEST_IDENTICAL = 3  # spikes: trains that are equal by chance are shorter
TINY = 1e-6  # of a count: rounding of numbers that were divided by a bin's width


def of_spikes(file: SpikeFile) -> list[str]:
    """Return sentences on pauses, resets, and on silent, duplicate, doubled and misfiled units."""
    if file.counts is not None:
        return [*file.odd, *of_counts(file.counts), *time_breaks(file.bin_times_s)]
    names, trains = file.names, file.trains_s
    odd = list(file.odd)
    if not trains:
        odd.append("it holds no spikes: to decode it, sort it or count threshold crossings first")
    odd += _breaks(file)
    silent = [name for name, train in zip(names, trains, strict=True) if len(train) == 0]
    odd += _listed("unit", silent, "without a spike")
    back = [name for name, train in zip(names, trains, strict=True) if (np.diff(train) < 0).any()]
    odd += _listed("unit", back, "whose spike times go back (a reset of the clock, or unsorted)")
    ordered = [np.sort(train) for train in trains]
    odd += _groups_together(names, _duplicates(ordered))
    doubled = [
        name
        for name, train in zip(names, ordered, strict=True)
        if len(train) >= LIKELY_SPIKES and _refractory_excess(train)
    ]
    odd += _listed(
        "unit",
        doubled,
        f"with over {REFRACTORY_SHARE:.0%} of intervals under {REFRACTORY_S * 1e3:g} ms (several neurons)",
    )
    odd += _listed("name", sorted({name for name in names if names.count(name) > 1}), "that two units share")
    return odd


def _refractory_excess(train_s) -> bool:
    """Return whether more intervals are too short than the bound allows, by two standard deviations of chance."""
    allowed = REFRACTORY_SHARE * (len(train_s) - 1)
    return bool((np.diff(train_s) < REFRACTORY_S).sum() > allowed + 2 * np.sqrt(allowed))


def _breaks(file: SpikeFile) -> list[str]:
    known = [(stop, start) for (_, stop), (start, _) in zip(file.segments_s, file.segments_s[1:], strict=False)]
    odd = _few(
        [_break(stop, start) for stop, start in known],
        f"breaks, {sum(max(0.0, start - stop) for stop, start in known):.3f} s of pauses in all",
    )
    pooled = np.sort(np.concatenate(file.trains_s)) if file.trains_s else np.zeros(0)
    silences = [
        (first, last)
        for first, last in _silences(pooled)
        if not any(first <= stop and last >= start for stop, start in known)
    ]
    odd += _few(
        [f"no unit fires for {b - a:.2f} s, from {a:.2f} s on (a pause, or a join of trials?)" for a, b in silences],
        f"silences of all units, {sum(b - a for a, b in silences):.2f} s in all",
    )
    inside = np.zeros(len(pooled), dtype=bool)
    for start, stop in file.segments_s:
        inside |= (pooled >= start - ROUNDING_S) & (pooled <= stop + ROUNDING_S)
    outside = int((~inside).sum())
    return [*odd, f"{outside} spikes lie outside of the recorded time"] if outside else odd


def _break(stop_s: float, start_s: float) -> str:
    what = "a pause" if start_s >= stop_s else "a reset of the clock"
    return f"{what} of {abs(start_s - stop_s):.3f} s: recorded until {stop_s:.3f} s, then from {start_s:.3f} s"


def _silences(pooled_s) -> list[tuple[float, float]]:
    """Return stretches without a spike of any unit that stand apart from all usual ones, however many they are.

    Sorted by length, intervals grow by small steps, in bursting networks too; the first that is three times as long as
    the one before it, and half a second at least, begins the pauses (ours).
    """
    gaps = np.diff(pooled_s)
    if len(gaps) < FEWEST_GAPS:
        return []
    longer = np.sort(gaps)[len(gaps) // 2 :]
    apart = np.flatnonzero((longer[1:] >= SILENCE_RATIO * longer[:-1]) & (longer[1:] >= SHORTEST_PAUSE_S))
    limit = longer[1:][apart[0]] if len(apart) else np.inf
    return [(float(pooled_s[i]), float(pooled_s[i + 1])) for i in np.flatnonzero(gaps >= limit)]


def _few(sentences: list[str], all_of_them: str) -> list[str]:
    """Return the sentences, or the first of them and how many there are."""
    if len(sentences) <= MOST_BREAKS:
        return sentences
    return [*sentences[:MOST_BREAKS], f"... {len(sentences)} {all_of_them}"]


def _duplicates(trains):
    """Return pairs of units of which one fires with over half of the other's spikes, with that share.

    Candidates are found on a grid of the coincidence window and on the same grid shifted by half of it, which sees at
    least half of all coincidences; their shares are then counted exactly.
    """
    used = [index for index, train in enumerate(trains) if len(train) >= LIKELY_SPIKES]
    candidates: set[tuple[int, int]] = set()
    for shift in (0.0, 0.5):
        grids = {i: np.unique(np.floor(trains[i] / COINCIDENCE_S + shift).astype(np.int64)) for i in used}
        cells = np.concatenate([grids[i] for i in used]) if used else np.zeros(0, np.int64)
        owner = np.concatenate([np.full(len(grids[i]), i) for i in used]) if used else np.zeros(0, np.int64)
        for (i, j), together in _shared(cells, owner, len(trains)).items():
            if together > 0.4 * COINCIDENT_SHARE * min(len(grids[i]), len(grids[j])):
                candidates.add((i, j))
    candidates |= _identical(trains)
    shares = ((i, j, _share_together(trains[i], trains[j])) for i, j in sorted(candidates))
    return [(i, j, share) for i, j, share in shares if share > COINCIDENT_SHARE]


def _identical(trains) -> set[tuple[int, int]]:
    """Return pairs of units with the same spike times, however few."""
    first: dict[bytes, int] = {}
    keys = [(index, train.tobytes()) for index, train in enumerate(trains) if len(train) >= FEWEST_IDENTICAL]
    return {(first[key], index) for index, key in keys if first.setdefault(key, index) != index}


def _share_together(first, second) -> float:
    """Return the share of the rarer unit's spikes that have one of the other's within the coincidence window."""
    rare, often = sorted((first, second), key=len)
    after = np.clip(np.searchsorted(often, rare), 1, len(often) - 1)
    nearest = np.minimum(np.abs(often[after] - rare), np.abs(often[after - 1] - rare))
    return float((nearest <= COINCIDENCE_S).mean())


def _groups_together(names, pairs) -> list[str]:
    """Return one sentence for every group of units that fire together."""
    group = list(range(len(names)))

    def root(unit):
        while group[unit] != unit:
            unit = group[unit]
        return unit

    for i, j, _ in pairs:
        group[root(j)] = root(i)
    odd = []
    for first in sorted({root(i) for i, _, _ in pairs}):
        inside = [(i, j, share) for i, j, share in pairs if root(i) == first]
        units = sorted({unit for i, j, _ in inside for unit in (i, j)})
        least, most = min(share for _, _, share in inside), max(share for _, _, share in inside)
        shares = f"{least:.0%}" if least == most else f"{least:.0%} to {most:.0%}"
        shown = ", ".join(names[unit] for unit in units[:6]) + (", ..." if len(units) > 6 else "")
        odd.append(
            f"{len(units)} units fire together within {COINCIDENCE_S * 1e3:g} ms in {shares} of the spikes of a pair's "
            f"rarer one (one neuron on several channels, or an artefact): {shown}"
        )
    return odd


def _shared(cells, owner, units) -> dict[tuple[int, int], int]:
    """Return how many grid cells each pair of units shares."""
    from scipy.sparse import csr_matrix

    _, rows = np.unique(cells, return_inverse=True)
    table = csr_matrix((np.ones(len(rows), np.int32), (rows, owner)), shape=(rows.max(initial=-1) + 1, units))
    both = (table.T @ table).tocoo()
    return {(int(i), int(j)): int(n) for i, j, n in zip(both.row, both.col, both.data, strict=True) if i < j}


def of_bins(recording: OpenLoopRecording) -> list[str]:
    """Return sentences on silent and duplicate units, joins in position, still, missing or contradicting kinematics."""
    odd = [*recording.odd, *_of_units(recording.counts), *_joins(recording), *_disagreement(recording)]
    missing = int((~np.isfinite(recording.velocity).all(axis=1)).sum())
    if missing:
        odd.append(f"{missing} bins have no recorded velocity")
    still = [name for name, column in zip(recording.axes, recording.velocity.T, strict=True) if np.nanstd(column) == 0]
    odd += [f"the velocity never changes in {', '.join(still)}"] * bool(still) or _stands(recording)
    return odd + _of_all_units(recording.counts)


def of_counts(counts) -> list[str]:
    """Return sentences on silent and duplicate units, bins without any spike, and what is no count."""
    return _of_units(counts) + _of_all_units(counts)


def _of_units(counts) -> list[str]:
    still = np.flatnonzero(np.ptp(counts, axis=0) == 0)
    odd = _listed("unit", [str(i) for i in still], f"that never change{'s its' if len(still) == 1 else ' their'} count")
    return odd + [f"units {i} and {j} have the same count in every bin" for i, j in _same_columns(counts)]


def _of_all_units(counts) -> list[str]:
    odd, silent, units = [], np.flatnonzero((counts == 0).all(axis=1)), counts.shape[1]
    if len(silent) and units >= 10 and counts.mean() * units > 10.0:
        odd.append(f"{len(silent)} bins have no spike of any unit, the first is bin {silent[0]} (a pause?)")
    if not np.isfinite(counts).all():
        odd.append(f"{int((~np.isfinite(counts)).sum())} counts are not finite numbers")
    if (counts < 0).any():
        odd.append("counts are negative in places: these are features, not spike counts")
    return odd + _scaled(counts)


def _scaled(counts) -> list[str]:
    """Return a sentence where every count is a whole multiple of a number that is not 1: rates, or scaled counts."""
    found = counts[np.isfinite(counts) & (counts > 0)]
    if found.size < LIKELY_SPIKES or (counts < 0).any():
        return []
    least, multiples = float(found.min()), found / found.min()
    if abs(least - 1.0) < TINY or (np.abs(multiples - np.round(multiples)) > TINY * multiples).any():
        return []
    if multiples.max() < 1.5:  # one value alone says nothing of a scale
        return []
    return [
        f"every count is a multiple of {least:.6g}: rates in Hz, or counts that were scaled? (counts are wanted: "
        "spikes in each bin)"
    ]


def _same_columns(counts):
    seen: dict[bytes, int] = {}
    for unit, column in enumerate(np.ascontiguousarray(counts.T)):
        if np.ptp(column):
            first = seen.setdefault(column.tobytes(), unit)
            if first != unit:
                yield first, unit


def breaks_of(time_s: np.ndarray) -> np.ndarray:
    """Return after which bins the file's own time pauses (by half a bin more than a bin) or goes back."""
    steps = np.diff(time_s)
    return (steps < 0) | (steps > 1.5 * np.median(steps)) if len(steps) else np.zeros(0, dtype=bool)


def time_breaks(time_s: np.ndarray | None) -> list[str]:
    """Return sentences on the pauses and resets of the time that a file says of its bins."""
    if time_s is None or len(time_s) < 3:
        return []
    steps = np.diff(time_s)
    usual, texts = float(np.median(steps)), []
    for i in np.flatnonzero(breaks_of(time_s)):
        back, pause = f"time goes back at bin {i + 1}, by {-steps[i]:.3f} s (a reset)", f"a pause of {steps[i]:.3f} s"
        texts.append(back if steps[i] < 0 else f"{pause} before bin {i + 1}, where a bin is {usual:.3f} s")
    return _few(texts, "breaks of the file's own time")


def joins(recording: OpenLoopRecording) -> np.ndarray:
    """Return the bins before which the position jumps farther than the recorded velocity explains.

    The step is compared with the mean of the two velocities times their regression slope; a join is farther off than
    twelve times the 75th percentile of that difference (ours).
    """
    if recording.position is None or recording.velocity_derived:
        return np.zeros(0, dtype=int)
    step = np.diff(recording.position, axis=0)
    mean = 0.5 * (recording.velocity[1:] + recording.velocity[:-1])
    known = np.isfinite(step).all(axis=1) & np.isfinite(mean).all(axis=1) & ~recording.trial_start[1:]
    power = float((mean[known] ** 2).sum())
    if not power:
        return np.zeros(0, dtype=int)
    slope = float((mean[known] * step[known]).sum()) / power
    off = np.full(len(step), 0.0)
    off[known] = np.linalg.norm(step[known] - slope * mean[known], axis=1)
    limit = JOIN_RATIO * float(np.quantile(off[known], 0.75))
    return np.flatnonzero(off > max(limit, 1e-12)) + 1


def _joins(recording) -> list[str]:
    found = joins(recording)
    if not len(found):
        return []
    shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
    largest = np.linalg.norm(recording.position[found] - recording.position[found - 1], axis=1).max()
    return [
        f"the position moves farther than the velocity says before {len(found)} bins ({shown}), by up to {largest:.3g} "
        f"in {recording.position_unit}: joins of trials, or a lost marker?"
    ]


def _disagreement(recording) -> list[str]:
    """Return a sentence where the velocity follows the change of the position, and is not of its size or sign."""
    if recording.position is None or recording.velocity_derived:
        return []
    change = np.diff(recording.position, axis=0) / recording.bin_s
    change[recording.trial_start[1:]] = np.nan
    known = np.isfinite(change) & np.isfinite(recording.velocity[1:])
    moved, said = change[known], recording.velocity[1:][known]
    largest = max(float(np.abs(part).max(initial=0.0)) for part in (moved, said)) or 1.0
    moved, said = moved / largest, said / largest  # squares of large units would overflow
    power, shared = float(moved @ moved), float(moved @ said)
    ratio = shared / power if power else 1.0
    if (
        abs(shared) <= ONE_QUANTITY * np.sqrt(power * float(said @ said))
        or 1 / LARGEST_MISMATCH < ratio < LARGEST_MISMATCH
    ):
        return []
    hint = "it is of the opposite sign" if ratio < 0 else "one of them is in another unit"
    if abs(ratio / recording.bin_s - 1.0) < 0.3:  # a smoothed velocity is smaller than the change
        hint = "it is the change in a bin, not in a second"
    return [f"the velocity is {ratio:.3g} times the change of the position in a second: {hint}?"]


def _stands(recording) -> list[str]:
    """Return a sentence where the kinematics stand still, to the last digit, for a long part of the recording."""
    same = np.r_[False, (recording.velocity[1:] == recording.velocity[:-1]).all(axis=1)]
    edges = np.flatnonzero(np.diff(np.r_[False, same, False]))
    first, lengths = edges[::2], edges[1::2] - edges[::2]
    if not len(lengths):
        return []
    longest = int(lengths.argmax())
    stood_s = float(lengths[longest] * recording.bin_s)
    if stood_s < LONG_STAND_S or lengths[longest] < LONG_STAND_SHARE * recording.n_bins:
        return []
    return [f"the velocity does not change for {stood_s:.1f} s from bin {first[longest] - 1} on: was nothing tracked?"]


def _listed(noun: str, names: list[str], what: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return [f"{len(names)} {noun}{'s' * (len(names) > 1)} {what}: {shown}"]
