"""Spikes into the open bins of a ring, and a bin out of it: one pass each, whatever the number of spikes or units."""

import math

from bmi_runtime.kernels.jit import kernel

LARGEST_COUNT = 65535.0


@kernel
def add_spikes(values, covered, late, times, units, from_ns, until_ns, origin_ns, bin_ns, first, late_limit_ns, inside):
    """Add the spikes of one packet to their bins, and the piece of time that it covers to theirs.

    Parameters
    ----------
    values : ndarray of float64, shape (slots, units)
        Bin k of the segment stands in row ``k % slots``. Changed in place, as are the next two.
    covered : ndarray of int64, shape (slots,)
        How many ns of each bin packets have covered.
    late : ndarray of float64, shape (units,)
        Spikes whose bin was closed, and that may go into the next one.
    times : ndarray of int64, shape (spikes,)
        Device time, ns.
    units : ndarray of int, shape (spikes,)
        Below the number of units; the caller has checked it.
    from_ns, until_ns : int
        The piece of time, its end excluded; it ends before the bin ``first + slots``.
    origin_ns, bin_ns : int
        Where bin 0 begins, and the width of a bin.
    first : int
        The bin that closes next.
    late_limit_ns : int
        Spikes of bins so long ago may move; negative: none.
    inside : bool
        All times lie in the piece. Otherwise spikes before bin 0 are dropped and those too far ahead are counted.

    Returns
    -------
    missed, moved, far : int
        Spikes that came late; how many of them went into `late`; spikes too far ahead for the ring.
    """
    slots = values.shape[0]
    missed = moved = far = 0
    for spike in range(times.size):
        index = (times[spike] - origin_ns) // bin_ns
        if index >= first + slots:
            far += 1
        elif index >= first:
            values[index % slots, units[spike]] += 1.0
        elif inside or index >= 0:
            missed += 1
            if (first - index) * bin_ns <= late_limit_ns:
                late[units[spike]] += 1.0
                moved += 1
    for index in range(max((from_ns - origin_ns) // bin_ns, first), (until_ns - 1 - origin_ns) // bin_ns + 1):
        start = origin_ns + index * bin_ns
        covered[index % slots] += min(until_ns, start + bin_ns) - max(from_ns, start)
    return missed, moved, far


@kernel
def close_bin(values, slot, late, with_late, remainder, whole, continuous, out):
    """Write a bin's values into `out` and wipe them.

    Parameters
    ----------
    values : ndarray of float64, shape (slots, units)
        Row `slot` is the bin; set to zero.
    slot : int
    late : ndarray of float64, shape (units,)
        Added, and set to zero, where `with_late`.
    with_late : bool
    remainder : ndarray of float64, shape (units,)
        What was rounded off before, of each unit; used and renewed where `whole`, so that totals are conserved.
    whole : bool
        Counts were shared between bins: round them.
    continuous : bool
        Features: as they are. Counts stop at 65535.
    out : ndarray, shape (units,)
    """
    for unit in range(values.shape[1]):
        value = values[slot, unit]
        values[slot, unit] = 0.0
        if with_late:
            value += late[unit]
            late[unit] = 0.0
        if not continuous:
            if whole:
                value += remainder[unit]
                rounded = math.floor(value + 0.5)
                remainder[unit] = value - rounded
                value = rounded
            value = min(value, LARGEST_COUNT)
        out[unit] = value


@kernel
def count_samples(samples, first, counts):
    """Add up each unit's samples; return whether every sum is a possible count.

    Parameters
    ----------
    samples : ndarray, shape (units, samples)
    first : int
        The first sample that counts.
    counts : ndarray of float64, shape (units,)
        Filled.
    """
    for unit in range(samples.shape[0]):
        total = 0.0
        for sample in range(first, samples.shape[1]):
            total += samples[unit, sample]
        if not (0.0 <= total <= LARGEST_COUNT and total == math.floor(total)):
            return False
        counts[unit] = total
    return True
