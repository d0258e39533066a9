"""The velocity that an aiming controller intends along a recording, whatever it saw late."""

from bmi_runtime.kernels.jit import kernel


@kernel
def follow(seen, target, seen_late, target_late, keep, pull, out):
    """Run v <- keep v + pull (target - seen) along a recording; before its first bin, the first bin's places hold.

    Parameters
    ----------
    seen, target : ndarray, (bins, axes)
    seen_late, target_late : float
        Bins by which each is seen late; in between, linearly interpolated.
    keep, pull : float
    out : ndarray, (bins, axes), out
    """
    bins, axes = seen.shape
    whole_s, whole_t = int(seen_late), int(target_late)
    part_s, part_t = seen_late - whole_s, target_late - whole_t
    for a in range(axes):
        v = 0.0
        for t in range(bins):
            s, g = max(t - whole_s, 0), max(t - whole_t, 0)
            at = (1.0 - part_s) * seen[s, a] + part_s * seen[max(s - 1, 0), a]
            goal = (1.0 - part_t) * target[g, a] + part_t * target[max(g - 1, 0), a]
            v = keep * v + pull * (goal - at)
            out[t, a] = v
