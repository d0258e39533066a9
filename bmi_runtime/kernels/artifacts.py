"""Bins that are artifacts: of counts, of counts none of which is missing, of features."""

import numpy as np

from bmi_runtime.kernels.jit import kernel

LEAST_SHARE = 1e-6  # of a feature's size, that one which never moved may go: from zero nothing would grow


@kernel
def count_artifact(counts, valid, left_out, limits, lately, usual):
    """Return whether the counts that are there are far above what is usual of their units; learn that otherwise.

    Only units that are there now and whose own mean is known (``limits[3]`` bins of it) are compared: like with like,
    whichever others are missing. Their sum T, without its largest count, is held against E, the sum of their own means.
    The spread is that of the dispersion (T - E)^2 / E lately, at least that of Poisson counts. Where spikes fluctuate
    together, the dispersion grows with the number of units: one learned from more units than are there is too high,
    never too low. A sum that stays high is no artifact but how it is now: what was usual is then forgotten.

    Parameters
    ----------
    counts, valid : ndarray, (units,)
        Valid is 0 where a count is missing or was refused.
    left_out : ndarray of int
        Units that have no part in the sum, in order.
    limits : ndarray, (5,)
        Standard deviations, and times the mean, that both are exceeded by; share of the newest bin; bins before a unit
        is judged; bins that an artifact lasts at most.
    lately : ndarray, (4,), inout
        E of the newest bin, dispersion, bins in it, artifacts in a row.
    usual : ndarray, (2, units), inout
        Mean count of each unit, bins in it.
    """
    total, largest, expected, left = 0.0, 0.0, 0.0, 0
    for i in range(counts.size):
        if left < left_out.size and left_out[left] == i:
            left += 1
        elif valid[i] > 0.0 and usual[1, i] >= limits[3]:
            expected += usual[0, i]
            total += counts[i]
            largest = max(largest, counts[i])
    total -= largest
    least = max(expected, 1.0)
    lately[0] = expected
    if total > limits[1] * expected and total > expected + limits[0] * np.sqrt(max(lately[1], 1.0) * least):
        lately[3] += 1.0
        if lately[3] <= limits[4]:
            return True
        lately[:] = 0.0
        usual[:] = 0.0
    elif expected > 0.0:
        share = max(limits[2], 1.0 / (lately[2] + 1.0))
        lately[1] += share * ((total - expected) ** 2 / least - lately[1])
        lately[2] += 1.0
    lately[3] = 0.0
    for i in range(counts.size):
        if valid[i] > 0.0:
            usual[0, i] += max(limits[2], 1.0 / (usual[1, i] + 1.0)) * (counts[i] - usual[0, i])
            usual[1, i] += 1.0
    return False


@kernel
def feature_artifact(values, valid, left_out, limits, lately, usual):
    """Let features that are where they never were lately be missing; return how many, -1 where they are an artifact.

    A feature has no zero and no unit, so each is held against itself: far off is one that is more than ``limits[0]`` of
    its standard deviations from its mean, and ``limits[1]`` times further than it was lately (its largest distance,
    which is forgotten as slowly as the mean). It is missing in that bin, and taken to have gone no further than that
    limit: a level to which it has stepped is believed after a few bins. Where half of the features, and one more, are
    far off, the bin is an artifact and nothing is learned, for so long as an artifact lasts.

    Parameters
    ----------
    values, valid : ndarray, (features,), inout
        0 of features that are far off.
    left_out : ndarray of int
        Features that have no part in it, in order: they are followed, and never missing for being far off.
    limits : ndarray, (5,)
        As of :func:`count_artifact`.
    lately : ndarray, (4,), inout
        Features that were far off in the newest bin, two unused, artifacts in a row.
    usual : ndarray, (4, features), inout
        Mean, variance, largest distance and bins seen of each.

    Returns
    -------
    int
    """
    there, far, left = 0, 0, 0
    for i in range(values.size):
        if left < left_out.size and left_out[left] == i:
            left += 1
        elif valid[i] > 0.0 and usual[3, i] >= limits[3]:
            there += 1
            far += 1 if abs(values[i] - usual[0, i]) > _far(usual, i, values[i], limits) else 0
    lately[0] = far
    if far > 1 and 2 * (far - 1) >= there:
        lately[3] += 1.0
        if lately[3] <= limits[4]:
            return -1
        usual[:] = 0.0
    lately[3] = 0.0
    alone, left = 0, 0
    for i in range(values.size):
        out = left < left_out.size and left_out[left] == i
        left += 1 if out else 0
        if valid[i] > 0.0:
            share = max(limits[2], 1.0 / (usual[3, i] + 1.0))
            away = values[i] - usual[0, i]
            most = _far(usual, i, values[i], limits)
            if usual[3, i] >= limits[3] and abs(away) > most:
                away = most if away > 0.0 else -most
                if not out:
                    values[i] = valid[i] = 0.0
                    alone += 1
            usual[0, i] += share * away
            usual[1, i] = (1.0 - share) * (usual[1, i] + share * away * away)
            usual[2, i] = max((1.0 - limits[2]) * usual[2, i], abs(away) if usual[3, i] > 0.0 else 0.0)
            usual[3, i] += 1.0
    return alone


@kernel
def _far(usual, i, value, limits):
    """Return the distance from its mean beyond which a feature of this value is far off; features have any unit."""
    least = LEAST_SHARE * max(abs(usual[0, i]), abs(value))
    return max(max(limits[0] * np.sqrt(usual[1, i]), limits[1] * usual[2, i]), least)


@kernel
def whole_artifact(total, limits, lately):
    """Return whether a bin's sum of counts is far above what it was lately; take it into that where it is not.

    Of recordings from before :func:`count_artifact`, which judged only bins that lacked no count. Mean and variance are
    exponentially weighted (each bin alike at first).

    Parameters
    ----------
    total : float
        Of the counts of all units but the largest.
    limits : ndarray, (5,)
        As of :func:`count_artifact`.
    lately : ndarray, (4,), inout
        Mean, variance, bins seen, artifacts in a row.
    """
    mean, variance, seen = lately[0], lately[1], lately[2]
    if seen >= limits[3]:
        spread = np.sqrt(max(variance, mean, 1.0))
        if total > mean + limits[0] * spread and total > limits[1] * mean:
            lately[3] += 1.0
            if lately[3] <= limits[4]:
                return True
            lately[:] = 0.0
            mean, variance, seen = 0.0, 0.0, 0.0
    lately[3] = 0.0
    share = max(limits[2], 1.0 / (seen + 1.0))
    away = total - mean
    lately[0] = mean + share * away
    lately[1] = (1.0 - share) * (variance + share * away * away)
    lately[2] = seen + 1.0
    return False


@kernel
def whole_bin_artifact(counts, refused, valid, left_out, limits, lately):
    """Return whether :func:`whole_artifact` holds of a bin none of whose counts, but of units left out, is missing."""
    total, largest, left, lacking = 0.0, 0.0, 0, refused
    for i in range(counts.size):
        if left < left_out.size and left_out[left] == i:
            left += 1
            lacking -= 0 if valid[i] > 0.0 else 1
            continue
        total += counts[i]
        largest = max(largest, counts[i])
    return lacking == 0 and whole_artifact(total - largest, limits, lately)


@kernel
def find_artifacts(counts, valid, fresh, limits, found):
    """Set found[t] to whether bin t is an artifact (:func:`count_artifact`), bin by bin, as a session would.

    Parameters
    ----------
    counts, valid : ndarray, (bins, units)
    fresh : ndarray of bool, (bins,)
        Whether anything came.
    limits : ndarray, (5,)
    found : ndarray of bool, (bins,), out
    """
    lately, usual, none = np.zeros(4), np.zeros((2, counts.shape[1])), np.zeros(0, np.int64)
    for t in range(fresh.size):
        found[t] = fresh[t] and count_artifact(counts[t], valid[t], none, limits, lately, usual)
