"""Judging units whose scores are overdispersed and correlated in time, as those of real neurons are.

Beside :mod:`bmi_runtime.kernels.monitoring`, which takes scores as white with the model's variance:

* Steps of the filter count as drift only where they follow steps of more than a block (one to two seconds) ago: within
  one, scores repeat themselves without any drift. J = x u'b, with b what is left of the steps before the last two block
  boundaries; its mean where the truth stands still is -J_0 (1 - k)^(delay), its spread that of whole blocks' sums.
* The mean squared innovation is compared with what it has been in this session (a reference ten windows long), and in
  size with the prediction only where it is off by more than real units' dispersion; its spread is that of blocks' sums.
"""

import numpy as np

from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.monitoring import (
    DRIFTING,
    EASE,
    EXPECTED,
    FLAT,
    GAUSSIAN,
    KEEP,
    MEMORIES,
    PREDICTED,
    RATE_OFF,
    RATIO_DRIFT,
    RATIO_SQUARES,
    SEEN,
    SHORT,
    SHORT_KEEP,
    SILENCE,
    SILENT,
    SINGLE,
    SPREAD,
    SQUARES,
    WORTH,
    Z_SQUARES,
    information,
)

LOSS, HELD_EXPECTED, HELD_PREDICTED, J_SUM, J_QUIET, J_SPREAD, J_BLOCK = range(7)
Q_BLOCK, Q_SPREAD, REFERENCE, REFERENCE_PREDICTED, BLOCKS, N_LATE = range(7, 13)
"""What a unit's row of the late state holds after its three traces: mean gain; the leaky sums before this bin; leaky
sums of J - J_0, of -J_0, of the blocks' squared deviations; this block's sums; the reference's squares and
predictions; blocks."""
DELAY, KEEP_REFERENCE, WINDOW_BLOCKS, DISPERSION, SLOWEST, Z_BLOCKS, REGULAR, N_LATE_SETTINGS = range(8)
"""The settings: bins of a block; what is left of the reference after a bin; blocks of a window; ratio of the squares to
the prediction that is real units' dispersion; largest loss over the delay at which the delayed statistic is used; z of
the drift over blocks."""
LOST = 4
FEWEST_SQUARES = 12.0  # independent ones that the short window holds of a feature that is judged by it


@kernel
def correlated_step(
    regressors,
    counts,
    valid,
    innovation,
    gains,
    noise_variance,
    settings,
    own,
    boundary,
    judge,
    state,
    late,
    status,
):
    """Update every unit's delayed statistics with one bin after the monitor's step; return how many statuses changed.

    Parameters
    ----------
    regressors : ndarray, (d, 1) or (d, units)
    counts, valid, innovation, noise_variance, settings, judge, status
        As in :func:`bmi_runtime.kernels.monitoring_plane.monitor_plane`.
    gains : ndarray, (d, units)
        S u of every unit, S the filter's covariance after the update.
    own : ndarray, (N_LATE_SETTINGS,)
    boundary : bool
        Whether a block ends with this bin.
    state : ndarray, (units, N_STATE)
        The monitor's, after this bin.
    late : ndarray, (units, 3 d + N_LATE), in place
    """
    d = regressors.shape[0]
    base = 3 * d
    keep = settings[KEEP]
    changed = 0
    for i in range(innovation.size):
        column = i if regressors.shape[1] > 1 else 0
        nu, mask = innovation[i], valid[i]
        w, _, x = information(nu, counts[i], mask, noise_variance[i], settings[GAUSSIAN], settings[SINGLE])
        newest, middle, oldest, loss = 0.0, 0.0, 0.0, 0.0
        for a in range(d):
            u = regressors[a, column]
            newest += u * late[i, a]
            middle += u * late[i, d + a]
            oldest += u * late[i, 2 * d + a]
        for a in range(d):
            g = gains[a, i]
            loss += w * g * regressors[a, column] / d
            late[i, a] += g * (x - w * newest)
            late[i, d + a] -= g * w * middle
            late[i, 2 * d + a] -= g * w * oldest
        late[i, base + LOSS] = keep * late[i, base + LOSS] + (1.0 - keep) * loss
        if mask > 0.0 and state[i, SEEN] >= settings[MEMORIES]:
            add_bin(late, base, state, i, nu, x, oldest, settings, own)
        late[i, base + HELD_EXPECTED], late[i, base + HELD_PREDICTED] = state[i, EXPECTED], state[i, PREDICTED]
        if boundary:
            end_block(late, i, base, d, settings, own)
        if judge:
            before = status[i]
            status[i] = judge_unit(late, base, state, i, before, settings, own)
            changed += status[i] != before
    return changed


@kernel
def add_bin(late, base, state, i, nu, x, along, settings, own):
    """Add one bin to the sums of a unit."""
    keep, keep_reference = settings[KEEP], own[KEEP_REFERENCE]
    left = max(1.0 - 1.5 * own[DELAY] * late[i, base + LOSS], 0.1)
    quiet = left * (state[i, EXPECTED] - keep * late[i, base + HELD_EXPECTED])
    predicted = state[i, PREDICTED] - keep * late[i, base + HELD_PREDICTED]
    excess = x * along + quiet
    late[i, base + J_SUM] = keep * late[i, base + J_SUM] + excess
    late[i, base + J_QUIET] = keep * late[i, base + J_QUIET] + quiet
    late[i, base + J_BLOCK] += excess
    expected = predicted
    if late[i, base + REFERENCE_PREDICTED] > 0.0:
        expected = predicted * late[i, base + REFERENCE] / late[i, base + REFERENCE_PREDICTED]
    late[i, base + Q_BLOCK] += nu * nu - expected
    late[i, base + REFERENCE] = keep_reference * late[i, base + REFERENCE] + nu * nu
    late[i, base + REFERENCE_PREDICTED] = keep_reference * late[i, base + REFERENCE_PREDICTED] + predicted


@kernel
def end_block(late, i, base, d, settings, own):
    """Let the traces grow older by a block, and add the block's sums to the spreads."""
    for a in range(d):
        late[i, 2 * d + a] = late[i, d + a]
        late[i, d + a] = late[i, a]
    left = settings[KEEP] ** own[DELAY]
    mean = late[i, base + J_SUM] * (1.0 - left)
    away = late[i, base + J_BLOCK] - mean
    late[i, base + J_SPREAD] = left * left * late[i, base + J_SPREAD] + away * away
    late[i, base + Q_SPREAD] = (
        left * left * late[i, base + Q_SPREAD] + late[i, base + Q_BLOCK] * late[i, base + Q_BLOCK]
    )
    late[i, base + J_BLOCK], late[i, base + Q_BLOCK] = 0.0, 0.0
    late[i, base + BLOCKS] += late[i, base + REFERENCE_PREDICTED] > 0.0


@kernel
def judge_unit(late, base, state, i, before, settings, own):
    """Return the status of one unit: a limit starts a condition, a share of the limit ends it."""
    worth = state[i, PREDICTED] * state[i, PREDICTED]
    if state[i, SEEN] < settings[MEMORIES] or worth < settings[WORTH] * state[i, SPREAD]:
        return before
    if late[i, base + BLOCKS] < own[WINDOW_BLOCKS]:
        return before & ~LOST | _lost(late, base, state, i, before, settings, own)
    status = _lost(late, base, state, i, before, settings, own)
    if _rate_off(late, base, state, i, before, settings, own):
        status |= RATE_OFF
    ease = settings[EASE] if before & DRIFTING else 1.0
    quiet = late[i, base + J_QUIET]
    if quiet > 0.0 and 1.5 * own[DELAY] * late[i, base + LOSS] < own[SLOWEST]:
        z = (late[i, base + J_SUM] - quiet) / np.sqrt(max(late[i, base + J_SPREAD], 1e-300))
        if z > ease * own[Z_BLOCKS] and late[i, base + J_SUM] > ease * settings[RATIO_DRIFT] * quiet:
            status |= DRIFTING
    return status


@kernel
def _rate_off(late, base, state, i, before, settings, own):
    """Return whether the squared innovations left their reference, or are off by more than dispersion."""
    ease = settings[EASE] if before & RATE_OFF else 1.0
    spread = np.sqrt(max(late[i, base + Q_SPREAD], state[i, SPREAD]))
    ratio = state[i, SQUARES] / state[i, PREDICTED]
    off = abs(state[i, SQUARES] - state[i, PREDICTED])
    far = ratio > 1.0 + ease * (own[DISPERSION] - 1.0) or ratio < 1.0 / (1.0 + ease * (own[REGULAR] - 1.0))
    if far and off > ease * settings[Z_SQUARES] * spread:
        return True
    if late[i, base + BLOCKS] < 3.0 * own[WINDOW_BLOCKS]:
        return False
    usual = state[i, PREDICTED] * late[i, base + REFERENCE] / late[i, base + REFERENCE_PREDICTED]
    change = abs(state[i, SQUARES] - usual)
    return change > ease * settings[Z_SQUARES] * spread and change > ease * settings[RATIO_SQUARES] * usual


@kernel
def _lost(late, base, state, i, before, settings, own):
    """Return LOST for a unit that has been silent, or a feature that has been flat, for too long.

    A feature that is mostly flat, as the counts of a unit with few spikes are, is judged by the long window.
    """
    ease = settings[EASE] if before & LOST else 1.0
    if settings[GAUSSIAN] == 0.0:
        return LOST if state[i, SILENCE] > ease * settings[SILENT] else 0
    if state[i, SHORT] <= 0.0:
        return 0
    if _independent_squares(late, base, state, i, settings, own) > FEWEST_SQUARES:
        return LOST if state[i, SILENCE] * ease < settings[FLAT] * state[i, SHORT] else 0
    usual = state[i, PREDICTED] * late[i, base + REFERENCE] / max(late[i, base + REFERENCE_PREDICTED], 1e-300)
    return LOST if state[i, SQUARES] * ease < settings[FLAT] * usual else 0


@kernel
def _independent_squares(late, base, state, i, settings, own):
    """Return how many independent squared innovations the short window of a feature holds: mean squared over variance.

    From the variance of their sums over blocks; a window without any has a probability of exp(-this), where they come
    as events (derived: a Poisson number of equal ones), and a smaller one where they come from noise.
    """
    left, short_keep = settings[KEEP] ** own[DELAY], settings[SHORT_KEEP]
    variance = late[i, base + Q_SPREAD] * (1.0 - left * left) / own[DELAY]  # a bin
    usual = late[i, base + REFERENCE] / max(late[i, base + REFERENCE_PREDICTED], 1e-300)
    mean = usual * state[i, SHORT] * (1.0 - short_keep)
    return mean * mean / max(variance, 1e-300) * (1.0 + short_keep) / (1.0 - short_keep)
