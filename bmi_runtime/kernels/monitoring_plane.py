"""The monitor's bin for three regressors, baseline and a velocity in the plane: both of its parts in one pass.

The equations are those of :mod:`bmi_runtime.kernels.monitoring` and :mod:`bmi_runtime.kernels.correlated`. Both need
the gain S u of every unit, and a call of its own for each costs as much as ten units do. The body of the loop is one
piece on purpose: handed the arrays of the state, a function of its own makes it a third slower (measured).
"""

from bmi_runtime.kernels.correlated import HELD_EXPECTED, HELD_PREDICTED, LOSS, add_bin, end_block, judge_unit
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.monitoring import (
    EXPECTED,
    GAUSSIAN,
    KEEP,
    MEMORIES,
    PREDICTED,
    REGRESSORS,
    SEEN,
    SINGLE,
    TRACE,
    accumulate,
    cross_step,
    error_step,
    information,
    product,
)

SUMS = 3 * REGRESSORS  # where in a row of the late state the sums begin, behind its three traces


@kernel
def monitor_plane(
    regressors,
    counts,
    valid,
    innovation,
    covariance,
    noise_variance,
    settings,
    own,
    boundary,
    judge,
    state,
    late,
    status,
):
    """Update every unit's statistics with one bin; return how many units changed their status.

    Parameters
    ----------
    regressors : ndarray, (3,)
    counts, valid, innovation : ndarray, (units,)
        The bin, 1 where it is to be believed, and count (feature) minus expectation before the update.
    covariance : ndarray, (6, units)
        The filter's, after the update.
    noise_variance : ndarray, (units,)
        As the filter used it; read for Gaussian features only.
    settings, own : ndarray
        Of `monitoring` (N_SETTINGS), and of `correlated` (N_LATE_SETTINGS).
    boundary, judge : bool
        Whether a block ends with this bin; whether conditions are to be judged in it.
    state : ndarray, (units, N_STATE), in place
    late : ndarray, (units, 9 + N_LATE), in place
    status : ndarray, (units,) of int64, in place
        Sum of RATE_OFF, DRIFTING, LOST.
    """
    u0, u1, u2, s = regressors[0], regressors[1], regressors[2], covariance
    gaussian, single, keep, memories = settings[GAUSSIAN], settings[SINGLE], settings[KEEP], settings[MEMORIES]
    changed = 0
    for i in range(innovation.size):
        nu, mask = innovation[i], valid[i]
        w, v, x = information(nu, counts[i], mask, noise_variance[i], gaussian, single)
        g0, g1, g2 = product(s[0, i], s[1, i], s[2, i], s[3, i], s[4, i], s[5, i], u0, u1, u2)
        h0, h1, h2 = product(state[i, 0], state[i, 1], state[i, 2], state[i, 3], state[i, 4], state[i, 5], u0, u1, u2)
        loss, spread = w * (g0 * u0 + g1 * u1 + g2 * u2) / REGRESSORS, h0 * u0 + h1 * u1 + h2 * u2
        noise = w * w * spread + v
        quadratic = cross_step(state, i, u0, u1, u2, g0, g1, g2, h0, h1, h2, w, noise)
        error_step(state, i, g0, g1, g2, h0, h1, h2, w, noise)
        along = state[i, TRACE] * u0 + state[i, TRACE + 1] * u1 + state[i, TRACE + 2] * u2
        newest = late[i, 0] * u0 + late[i, 1] * u1 + late[i, 2] * u2
        middle = late[i, 3] * u0 + late[i, 4] * u1 + late[i, 5] * u2
        oldest = late[i, 6] * u0 + late[i, 7] * u1 + late[i, 8] * u2
        move = x - w * along
        state[i, TRACE] += g0 * move
        state[i, TRACE + 1] += g1 * move
        state[i, TRACE + 2] += g2 * move
        move = x - w * newest
        late[i, 0] += g0 * move
        late[i, 1] += g1 * move
        late[i, 2] += g2 * move
        late[i, 3] -= g0 * w * middle
        late[i, 4] -= g1 * w * middle
        late[i, 5] -= g2 * w * middle
        late[i, 6] -= g0 * w * oldest
        late[i, 7] -= g1 * w * oldest
        late[i, 8] -= g2 * w * oldest
        late[i, SUMS + LOSS] = keep * late[i, SUMS + LOSS] + (1.0 - keep) * loss
        state[i, SEEN] += loss
        if mask > 0.0 and state[i, SEEN] >= memories:
            accumulate(state, i, nu, counts[i], w, v, x, spread, along, quadratic, settings)
            add_bin(late, SUMS, state, i, nu, x, oldest, settings, own)
        late[i, SUMS + HELD_EXPECTED], late[i, SUMS + HELD_PREDICTED] = state[i, EXPECTED], state[i, PREDICTED]
        if boundary:
            end_block(late, i, SUMS, REGRESSORS, settings, own)
        if judge:
            before = status[i]
            status[i] = judge_unit(late, SUMS, state, i, before, settings, own)
            changed += status[i] != before
    return changed
