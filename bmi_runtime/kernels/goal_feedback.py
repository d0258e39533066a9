"""Decoders that teach themselves, reduced to what all their units share: a goal is held for some bins."""

from bmi_runtime.kernels.jit import kernel


@kernel
def hold(shared, known, spread, labels, seen, rate, noise, gain, moved, left):
    """Let every life's filter learn from a run of bins that have one label.

    ``P <- P + r I,  g = P h / (Z + h' P h),  A <- A + (u - A h) g',  P <- P - g h' P,  S <- (I - g h') S (I - g h')' +
    Z g g'``, bin by bin.

    Parameters
    ----------
    shared, known, spread : ndarray, (lives, axes, axes), in place
        A, P and S.
    labels : ndarray, (lives, axes)
        h.
    seen : ndarray, (lives, bins, axes)
        The goal as all units together show it, u with noise.
    rate, noise : float
        Learning rate per bin, and noise variance Z of a unit.
    gain, moved : ndarray, (axes,)
        Scratch.
    left : ndarray, (axes, axes)
        Scratch.
    """
    lives, bins, d = seen.shape
    for life in range(lives):
        a, p, s, h = shared[life], known[life], spread[life], labels[life]
        for t in range(bins):
            total = noise
            for i in range(d):
                p[i, i] += rate
            for i in range(d):
                moved[i] = 0.0
                for j in range(d):
                    moved[i] += p[i, j] * h[j]
            for i in range(d):
                total += h[i] * moved[i]
            for i in range(d):
                gain[i] = moved[i] / total
            _move(a, h, seen[life, t], gain)
            for i in range(d):
                for j in range(d):
                    p[i, j] -= gain[i] * moved[j]
            _scatter(s, h, gain, noise, moved, left)


@kernel
def _move(a, h, u, gain):
    """``A <- A + (u - A h) g'``."""
    for i in range(h.size):
        short = u[i]
        for j in range(h.size):
            short -= a[i, j] * h[j]
        for j in range(h.size):
            a[i, j] += short * gain[j]


@kernel
def _scatter(s, h, gain, noise, along, left):
    """``S <- (I - g h') S (I - g h')' + Z g g'``."""
    d = h.size
    for i in range(d):
        along[i] = 0.0
        for j in range(d):
            along[i] += s[i, j] * h[j]
    most = noise
    for i in range(d):
        most += h[i] * along[i]
    for i in range(d):
        for j in range(d):
            left[i, j] = s[i, j] - gain[i] * along[j] - along[i] * gain[j] + most * gain[i] * gain[j]
    for i in range(d):
        for j in range(d):
            s[i, j] = left[i, j]
