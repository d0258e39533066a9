"""Which of several candidate targets a movement is aimed at: one bin of a filter over them."""

import math

from bmi_runtime.kernels.jit import kernel


@kernel
def weigh(
    position, velocity, candidates, keep, pull, gain, temper, hazard, spread, freedom, aims, weights, apart, shares
):  # fmt: skip
    """Move the aims on by a bin and weigh the candidates by the velocity that was seen; return whether it was.

    Every candidate has the aim of a critically damped controller that sees the cursor (the velocity that a subject who
    wants it would intend): ``aim = keep aim + pull (candidate - position)``. The seen velocity is the aim at the right
    candidate times `gain` plus noise of variance `spread` per axis, correlated over about ``1 / temper`` bins, so a bin
    counts only so much of its log likelihood. The goal may change at a constant hazard.

    Parameters
    ----------
    position, velocity : ndarray, (axes,)
        Of the cursor, m and m/s; a velocity that is not finite says nothing.
    candidates : ndarray, (candidates, axes)
        m.
    keep, pull : float
        Of the controller; pull in 1/s.
    gain : float
        Share of the aim with which the cursor moves.
    temper : float
        Share of a bin's log likelihood that is new, 0 to 1.
    hazard : float
        Probability that the goal changes in a bin.
    spread : float
        Variance of the seen velocity around the aim at the right candidate, per axis, (m/s)^2.
    freedom : float
        Degrees of freedom of Student's t around it; 0: normal.
    aims : ndarray, (candidates, axes), in place
        m/s.
    weights : ndarray, (candidates,), in place
        Posterior probabilities.
    apart : ndarray, (2,), out
        Mean square deviation per axis of the seen velocity from the aims, by the posterior, and from the nearest aim.
    shares : ndarray, (candidates,), out
        The bin's likelihood of each candidate, over that of the likeliest.

    Returns
    -------
    bool
        False when the velocity said nothing; `apart` is untouched then.
    """
    n, k = position.size, weights.size
    known = True
    for axis in range(n):
        known = known and math.isfinite(velocity[axis])
    total, mean_square, least = 0.0, 0.0, math.inf
    for c in range(k):
        for axis in range(n):
            aims[c, axis] = keep * aims[c, axis] + pull * (candidates[c, axis] - position[axis])
        weights[c] = (1.0 - hazard) * weights[c] + hazard / k
        least = min(least, _apart(velocity, gain, aims[c]))
        shares[c] = 1.0
    if not known:
        return False
    for c in range(k):
        away = _apart(velocity, gain, aims[c])
        if freedom > 0.0:
            ratio = (freedom * spread + least) / (freedom * spread + away)
            shares[c] = ratio ** (0.5 * temper * (freedom + n))
        else:
            shares[c] = math.exp(-0.5 * temper * (away - least) / spread)
        weights[c] *= shares[c]
        total += weights[c]
    for c in range(k):
        weights[c] /= total
        mean_square += weights[c] * _apart(velocity, gain, aims[c])
    apart[0], apart[1] = mean_square / n, least / n
    return True


@kernel
def carry_on(weights, shares, hazard):
    """Move a posterior on by a bin with the likelihoods of :func:`weigh`, for a hazard of its own; in place.

    Parameters
    ----------
    weights : ndarray, (candidates,), in place
    shares : ndarray, (candidates,)
    hazard : float
    """
    k, total = weights.size, 0.0
    for c in range(k):
        weights[c] = ((1.0 - hazard) * weights[c] + hazard / k) * shares[c]
        total += weights[c]
    for c in range(k):
        weights[c] /= total


@kernel
def smooth(forward, shares, hazards, newest, smoothed):
    """Weigh the candidates of the oldest bin of a ring by all that came after it (forward and backward, as usual).

    Parameters
    ----------
    forward, shares : ndarray, (bins, candidates)
        Posteriors and likelihoods of :func:`weigh`, a ring; the oldest bin follows the newest one.
    hazards : ndarray, (bins,)
        With which each bin's posterior was made.
    newest : int
        Place of the newest bin.
    smoothed : ndarray, (candidates,), out
        Posterior probabilities.
    """
    bins, k = forward.shape
    smoothed[:] = 1.0
    for back in range(bins - 1):
        at = (newest - back) % bins
        total = 0.0
        for c in range(k):
            smoothed[c] *= shares[at, c]
            total += smoothed[c]
        for c in range(k):
            smoothed[c] = (1.0 - hazards[at]) * smoothed[c] / total + hazards[at] / k
    oldest, total = (newest + 1) % bins, 0.0
    for c in range(k):
        smoothed[c] *= forward[oldest, c]
        total += smoothed[c]
    for c in range(k):
        smoothed[c] /= total


@kernel
def _apart(velocity, gain, aim):
    """Return the squared distance of a velocity from a share of an aim."""
    total = 0.0
    for axis in range(velocity.size):
        difference = velocity[axis] - gain * aim[axis]
        total += difference * difference
    return total
