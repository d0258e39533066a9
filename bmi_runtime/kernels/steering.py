"""A subject who steers a cursor to targets through a decoder that smooths and errs: trials of one setting."""

import numpy as np

from bmi_runtime.kernels.jit import kernel


@kernel
def steer(
    keep, pull, delay, intention_noise, smoothing, passed, error, gain, bin_s, places, radius, hold, timeout, pause,
    noise, seen, outcome
):  # fmt: skip
    """Run trials until the noise is used up; write (seconds, 1 for a success) of every trial, return their number.

    Each bin: the subject sees the cursor `delay` bins late and intends v <- keep v + pull (goal - seen) (critically
    damped; standard), with signal-dependent noise; decoded <- smoothing decoded + passed intended + error noise; the
    cursor moves by gain decoded.

    Parameters
    ----------
    keep, pull, intention_noise, smoothing, passed, gain, bin_s, radius : float
    delay, hold, timeout, pause : int
        Bins.
    error : float
        Standard deviation of what the decoder adds in a bin, m/s per axis.
    places : ndarray, (targets, axes)
        Goals in order, m; the centre between them.
    noise : ndarray, (bins, 2, axes)
        Standard normal: of the decoder and of the intention.
    seen : ndarray, (delay + 1, axes), scratch
    outcome : ndarray, (trials, 2), out
    """
    bins, _, axes = noise.shape
    cursor, decoded, intended, goal = np.zeros(axes), np.zeros(axes), np.zeros(axes), np.zeros(axes)
    seen[:, :] = 0.0
    trial, time, held, rest = 0, 0, 0, 0
    for a in range(axes):
        goal[a] = places[0, a]
    for t in range(bins):
        speed = 0.0
        for a in range(axes):
            seen[t % (delay + 1), a] = cursor[a]
            late = seen[(t + 1) % (delay + 1), a] if t >= delay else 0.0
            intended[a] = keep * intended[a] + pull * (goal[a] - late)
            speed += intended[a] * intended[a]
        shake = intention_noise * np.sqrt(speed)
        away = 0.0
        for a in range(axes):
            meant = intended[a] + shake * noise[t, 1, a]
            decoded[a] = smoothing * decoded[a] + passed * meant + error * noise[t, 0, a]
            cursor[a] += bin_s * gain * decoded[a]
            away += (cursor[a] - goal[a]) ** 2
        if rest > 0:
            rest -= 1
            if rest > 0:
                continue
            trial, time, held = trial + 1, 0, 0
            if trial >= outcome.shape[0]:
                return trial
            for a in range(axes):
                goal[a] = 0.0 if trial % 2 else places[(trial // 2) % places.shape[0], a]
            continue
        time += 1
        held = held + 1 if away <= radius * radius else 0
        if (held >= hold and held > 0) or time >= timeout:
            outcome[trial, 0] = time * bin_s
            outcome[trial, 1] = 1.0 if held >= hold and held > 0 else 0.0
            rest = max(pause, 1)
    return trial
