"""A subject who steers a cursor to targets through a decoder that smooths and errs: trials of one setting."""

import numpy as np

from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.state_filter import update_state

RELEARNED_S = 20.0  # of the pilot, that relearning starts from


@kernel(inline="always")
def _update_plane(mean, covariance, score, information):
    """Do what `update_state` does for a velocity of two axes and nothing else, written out; in place."""
    a, b, c = covariance[0, 0], covariance[1, 0], covariance[1, 1]
    p, q, r = information[0, 0], information[1, 0], information[1, 1]
    m00, m01, m10, m11 = 1.0 + p * a + q * b, p * b + q * c, q * a + r * b, 1.0 + q * b + r * c
    inverse = 1.0 / (m00 * m11 - m01 * m10)
    y0, y1 = inverse * (m11 * score[0] - m01 * score[1]), inverse * (m00 * score[1] - m10 * score[0])
    k00, k01, k11 = inverse * (m11 * p - m01 * q), inverse * (m11 * q - m01 * r), inverse * (m00 * r - m10 * q)
    t00, t01, t10, t11 = a * k00 + b * k01, a * k01 + b * k11, b * k00 + c * k01, b * k01 + c * k11
    mean[0] += a * y0 + b * y1
    mean[1] += b * y0 + c * y1
    covariance[0, 0] = a - t00 * a - t01 * b
    covariance[1, 0] = b - t00 * b - t01 * c
    covariance[0, 1] = covariance[1, 0]
    covariance[1, 1] = c - t10 * b - t11 * c


@kernel
def steer(subject, lateness, assumed, prior, gain, maps, noise, spread, largest, start, bins, goals, task, outcome):
    """Run trials for so many bins; write (seconds, 1 for a success) of each, return their number and what was decoded.

    Each bin: the subject sees the cursor and the goal late and intends v <- keep v + pull (goal - cursor) (critically
    damped; standard). The units' reading z = C(v) + noise, of a size that grows with the intended speed. The decoder is
    the live filter: velocity d <- decay d, P <- decay^2 P + drift, then one step with the information I(d) and the
    score z - f(d). The cursor moves by gain d. C, f and I grow with the squared speed. Weights that are learned from
    the assumed aim instead of the true one follow their ratio (`relearned`).

    Parameters
    ----------
    subject : ndarray, (3,)
        keep, pull (1/s), largest speed (m/s).
    lateness : ndarray of int, (2,)
        Bins by which cursor and goal are seen late.
    assumed : ndarray, (4,)
        keep and pull of the aim that teaches (0: what is intended), and the pilot's mean products of intended with
        taught velocity, and of taught with itself, m^2/s^2; products of 0: weights stay.
    prior : ndarray, (2,)
        decay and drift (m^2/s^2 per bin) of the decoder's velocity.
    gain : float
    maps : ndarray, (6, axes, axes + 1)
        Matrices (and constants in the last column) of C, of its part that grows with the squared speed, of f and of
        I alike; SI.
    noise : ndarray, (pilot's bins, axes)
        Of the reading, as at rest.
    spread : float
        Its variance grows by this share per (m/s)^2.
    largest : float
        Squared speed beyond which C, f, I and the noise grow no more, m^2/s^2.
    start, bins : int
        First bin of the noise that is used; how many bins are run.
    goals : ndarray, (goals, axes)
        In order, m.
    task : ndarray, (6,)
        radius (m); hold, timeout, pause (bins); half-width of the workspace (m); bin (s).
    outcome : ndarray, (trials, 2), out

    Returns
    -------
    trials : int
    squares : float
        Mean squared length of decoded minus taught velocity, m^2/s^2: the decoder's unit is that of what teaches.
    """
    axes = noise.shape[1]
    keep, pull, fastest = subject[0], subject[1], subject[2]
    radius, hold, timeout, pause = task[0], int(task[1]), int(task[2]), max(int(task[3]), 1)
    wall, bin_s = task[4], task[5]
    ring = max(lateness[0], lateness[1]) + 1
    cursors, targets = np.zeros((ring, axes)), np.zeros((ring, axes))
    cursor, intended, taught = np.zeros(axes), np.zeros(axes), np.zeros(axes)
    decoded, score = np.zeros(axes), np.zeros(axes)
    variance, information = np.zeros((axes, axes)), np.zeros((axes, axes))
    work = np.zeros((2 * axes, 2 * axes + 1))
    for a in range(axes):
        variance[a, a] = prior[1] / max(1.0 - prior[0] * prior[0], 1e-12)
        for k in range(ring):
            targets[k, a] = goals[0, a]
    weight = RELEARNED_S / bin_s
    together, alone = weight * assumed[2], weight * assumed[3]
    trial, time, held, rest, squares = 0, 0, 0, 0, 0.0
    now, row, goal = -1, start % len(noise) - 1, goals[0]
    for t in range(bins):  # places in rings by counting: a division costs as much as all else about them
        now = now + 1 if now + 1 < ring else 0
        row = row + 1 if row + 1 < len(noise) else 0
        seen, known = now - lateness[0], now - lateness[1]
        if seen < 0:
            seen += ring
        if known < 0:
            known += ring
        speed2 = 0.0
        for a in range(axes):
            cursors[now, a], targets[now, a] = cursor[a], goal[a]
        for a in range(axes):
            late = cursors[seen, a] if t >= lateness[0] else 0.0
            intended[a] = keep * intended[a] + pull * (targets[known, a] - late)
            taught[a] = assumed[0] * taught[a] + assumed[1] * (goal[a] - cursor[a])
            speed2 += intended[a] * intended[a]
        if speed2 > fastest * fastest:
            for a in range(axes):
                intended[a] *= fastest / np.sqrt(speed2)
            speed2 = fastest * fastest
        relearned = 1.0
        if assumed[3] > 0.0:
            for a in range(axes):
                together += intended[a] * taught[a]
                alone += taught[a] * taught[a]
            relearned = max(together / alone * assumed[3] / assumed[2], 0.1)
        slow2, decoded2 = min(speed2, largest), 0.0
        for a in range(axes):
            decoded[a] *= prior[0]
            decoded2 += decoded[a] * decoded[a]
            for b in range(axes):
                variance[a, b] *= prior[0] * prior[0]
            variance[a, a] += prior[1]
        decoded2 = min(decoded2 * relearned * relearned, largest)
        size = np.sqrt(1.0 + spread * slow2)
        for a in range(axes):
            z = maps[0, a, axes] + size * noise[row, a]
            f = maps[2, a, axes]
            for b in range(axes):
                z += (maps[0, a, b] + slow2 * maps[1, a, b]) * intended[b]
                f += relearned * (maps[2, a, b] + decoded2 * maps[3, a, b]) * decoded[b]
                information[a, b] = relearned * relearned * (maps[4, a, b] + decoded2 * maps[5, a, b])
            score[a] = relearned * (z - f)
        if axes == 2:
            _update_plane(decoded, variance, score, information)
        else:
            update_state(decoded, variance, score, information, 1.0, work)
        away = 0.0
        for a in range(axes):
            squares += (decoded[a] - (taught[a] if assumed[1] > 0.0 else intended[a])) ** 2
            cursor[a] = min(max(cursor[a] + bin_s * gain * decoded[a], -wall), wall)
            away += (cursor[a] - goal[a]) ** 2
        if rest > 0:
            rest -= 1
            if rest == 0:
                trial, time, held = trial + 1, 0, 0
                if trial >= len(outcome):
                    return trial, squares / (t + 1)
                goal = goals[trial % len(goals)]
            continue
        time += 1
        held = held + 1 if away <= radius * radius else 0
        success = held > 0 and held >= hold
        if success or time >= timeout:
            outcome[trial, 0] = time * bin_s
            outcome[trial, 1] = 1.0 if success else 0.0
            rest = pause
    return trial, squares / bins
