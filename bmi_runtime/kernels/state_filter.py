"""The filter over positions and velocities: predicted one bin on, conditioned on evidence, put at a known place."""

from bmi_runtime.kernels.jit import kernel


@kernel
def predict_state(mean, covariance, bin_s, velocity_keep, velocity_variance, position_variance):
    """Predict positions and velocities (n of each) one bin on: x += v bin_s, v *= keep, plus noise; in place.

    The covariance is 2 n x 2 n of block form. Noise variances are per bin.
    """
    n = mean.size // 2
    for i in range(n):
        mean[i] += bin_s * mean[n + i]
        mean[n + i] *= velocity_keep
    for i in range(n):  # position first: it needs the old cross terms
        for j in range(n):
            cross = covariance[i, n + j] + covariance[n + i, j]
            covariance[i, j] += bin_s * cross + bin_s * bin_s * covariance[n + i, n + j]
    for i in range(n):
        for j in range(n):
            covariance[i, n + j] = velocity_keep * (covariance[i, n + j] + bin_s * covariance[n + i, n + j])
            covariance[n + j, i] = covariance[i, n + j]
    for i in range(n):
        for j in range(n):
            covariance[n + i, n + j] *= velocity_keep * velocity_keep
    for i in range(n):
        covariance[i, i] += position_variance
        covariance[n + i, n + i] += velocity_variance


@kernel
def update_state(mean, covariance, score, information, scale, work):
    """Condition a state on evidence about its last components (all of them, or the velocities alone); in place.

    Information form: with P_v the rows of the covariance that the evidence is about, A = (I + J P_vv)^-1 for
    information J, covariance -= P_:v A J P_v:, mean += P_:v A score. ``scale`` converts evidence per encoding unit
    (dm, dm/s) into SI: 10 per encoding unit. The plane has its own closed form, in a fraction of the time.

    Parameters
    ----------
    mean : ndarray, (size,), in place
    covariance : ndarray, (size, size), in place
    score : ndarray, (m,), read only
    information : ndarray, (m, m), read only
        Of the last ``m <= size`` components.
    scale : float
    work : ndarray, (m + size, 2 m + 1 or more), scratch
    """
    if score.size == 2 and mean.size == 4:
        _update_in_plane(mean, covariance, score, information, scale, work)
        return
    m, size = score.size, mean.size
    first, rows_of = size - m, work[:m]
    for i in range(m):
        for j in range(m):
            total = 1.0 if i == j else 0.0
            for k in range(m):
                total += information[i, k] * scale * scale * covariance[first + k, first + j]
            rows_of[i, j] = total
            rows_of[i, m + j] = information[i, j] * scale * scale
        rows_of[i, 2 * m] = score[i] * scale
    _eliminate(rows_of, m)
    gain = work[m : m + size]
    for i in range(size):
        for k in range(m):
            gain[i, k] = covariance[i, first + k]
            mean[i] += gain[i, k] * rows_of[k, 2 * m]
    for i in range(size):
        for k in range(m):  # the gain times A J, which is symmetric but for rounding
            total = 0.0
            for j in range(m):
                total += gain[i, j] * 0.5 * (rows_of[j, m + k] + rows_of[k, m + j])
            gain[i, m + k] = total
    for i in range(size):
        for j in range(i + 1):
            drop = 0.0
            for k in range(m):
                drop += gain[i, m + k] * gain[j, k]
            covariance[i, j] -= drop
            covariance[j, i] = covariance[i, j]


@kernel
def _eliminate(rows_of, m):
    """Solve M X = B in place: rows hold M (m columns), then B (m + 1 columns), which become X. Partial pivoting."""
    for k in range(m):
        pivot = k
        for i in range(k + 1, m):
            if abs(rows_of[i, k]) > abs(rows_of[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(2 * m + 1):
                kept = rows_of[k, j]
                rows_of[k, j] = rows_of[pivot, j]
                rows_of[pivot, j] = kept
        inverse = 1.0 / rows_of[k, k]
        for j in range(k, 2 * m + 1):
            rows_of[k, j] *= inverse
        for i in range(m):
            if i != k:
                factor = rows_of[i, k]
                for j in range(k, 2 * m + 1):
                    rows_of[i, j] -= factor * rows_of[k, j]


@kernel
def _update_in_plane(mean, covariance, score, information, scale, gain):
    """Condition (x, y, vx, vy) on evidence about the velocity: :func:`update_state` written out for two axes."""
    j00 = information[0, 0] * scale * scale
    j01 = information[0, 1] * scale * scale
    j11 = information[1, 1] * scale * scale
    s0 = score[0] * scale
    s1 = score[1] * scale
    p00 = covariance[2, 2]
    p01 = covariance[2, 3]
    p11 = covariance[3, 3]
    m00 = 1.0 + j00 * p00 + j01 * p01
    m01 = j00 * p01 + j01 * p11
    m10 = j01 * p00 + j11 * p01
    m11 = 1.0 + j01 * p01 + j11 * p11
    det = m00 * m11 - m01 * m10
    a00 = m11 / det
    a01 = -m01 / det
    a10 = -m10 / det
    a11 = m00 / det
    b00 = a00 * j00 + a01 * j01
    b01 = a00 * j01 + a01 * j11
    b11 = a10 * j01 + a11 * j11
    t0 = a00 * s0 + a01 * s1
    t1 = a10 * s0 + a11 * s1
    for i in range(4):
        gain[i, 0] = covariance[i, 2]
        gain[i, 1] = covariance[i, 3]
        mean[i] += gain[i, 0] * t0 + gain[i, 1] * t1
    for i in range(4):
        for j in range(i + 1):
            drop = gain[i, 0] * (b00 * gain[j, 0] + b01 * gain[j, 1]) + gain[i, 1] * (
                b01 * gain[j, 0] + b11 * gain[j, 1]
            )
            covariance[i, j] -= drop
            covariance[j, i] = covariance[i, j]


@kernel
def place(state, covariance, position):
    """Put the positions of a state at a point (n,) that is known with certainty; the velocities stay as they are."""
    for i in range(position.size):
        state[i] = position[i]
        for j in range(state.size):
            covariance[i, j] = 0.0
            covariance[j, i] = 0.0
