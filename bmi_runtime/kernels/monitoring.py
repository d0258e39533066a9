"""Predicted against achieved, one bin at a time over all units: error covariance, innovations, drift, silence, noise.

Called once a bin after the adaptive filter (:mod:`bmi_runtime.kernels.encoding_filter`), with its covariance after the
update. For three regressors, the baseline and two components of velocity, everything is written out and goes unit by
unit (:mod:`bmi_runtime.kernels.monitoring_plane`): some 250 operations on one unit's 27 numbers stay in registers, at
half the time of loops over rows of units (any other number: :mod:`bmi_runtime.kernels.monitoring_any`). With u the
regressors, S that covariance, nu the innovation and w the information scalar (expected count, or 1/Z), the gain is
g = S u and

    E <- (I - w g u') E (I - w g u')' + v g g'       the error covariance if the truth stands still (Joseph form)
    V  = (v + w^2 u'E u) / (w^2 or 1)                the predicted variance of nu
    a <- (I - w g u') a + g x,  x = nu w or nu       the sum of the past steps that is still in the estimate
    J  = x u'a                                       whether steps are followed by steps the same way

J has mean zero where the truth random-walks as fast as the filter assumes, and a negative mean J_0 where it stands
still. Its mean is linear in the truth's drift in between (derived: every second moment of the recursion is linear in
the drift). J_0 follows from C = E[a e'], C <- A C A' + g (w u'E A' - v g') with A = I - w g u'.
"""

from bmi_runtime.kernels.jit import kernel

REGRESSORS = 3
ERROR_COV, CROSS, TRACE = 0, 6, 15
SEEN, SQUARES, PREDICTED, SPREAD, EXCESS, EXPECTED, EXCESS_SPREAD, SILENCE, SHORT, N_STATE = range(18, 28)
"""What a unit's row of the state holds: E (lower triangle), C (row by row), a, and the statistics: memories seen;
leaky sums of nu^2, of V, of Var nu^2 (squared weights), of J - J_0, of -J_0, of (J - J_0)^2 (squared weights); expected
count since the last spike (leaky nu^2 for features); leaky V (features)."""
GAUSSIAN, SINGLE, KEEP, SHORT_KEEP, MEMORIES, Z_SQUARES, RATIO_SQUARES = range(7)
Z_DRIFT, RATIO_DRIFT, SILENT, FLAT, EASE, WORTH, N_SETTINGS = range(7, 14)
"""The settings: 1 for Gaussian features; 1 for 0/1 counts; what is left of the leaky sums after a bin (long, short);
memories before anything is judged; z and relative excess of the innovations; z and ratio of the drift; expected spikes
of a silence; smallest ratio of a feature's variance; share of a limit below which a status ends; inverse squared
relative error of the predicted squares below which there is too little to judge."""
LEAST_NOISE = 0.1  # of the mean squared innovation: the estimate stays above it while little is known
RATE_OFF, DRIFTING, LOST = 1, 2, 4


@kernel
def product(p00, p10, p11, p20, p21, p22, u0, u1, u2):
    """Return P u for a symmetric P."""
    return p00 * u0 + p10 * u1 + p20 * u2, p10 * u0 + p11 * u1 + p21 * u2, p20 * u0 + p21 * u1 + p22 * u2


@kernel
def error_step(e, i, g0, g1, g2, h0, h1, h2, w, noise):
    """Update E (the first six of e's row i) with gain g, h = E u (before the update) and noise = w^2 u'E u + v."""
    e[i, 0] += noise * g0 * g0 - 2.0 * w * g0 * h0
    e[i, 1] += noise * g1 * g0 - w * (g1 * h0 + h1 * g0)
    e[i, 2] += noise * g1 * g1 - 2.0 * w * g1 * h1
    e[i, 3] += noise * g2 * g0 - w * (g2 * h0 + h2 * g0)
    e[i, 4] += noise * g2 * g1 - w * (g2 * h1 + h2 * g1)
    e[i, 5] += noise * g2 * g2 - 2.0 * w * g2 * h2


@kernel
def cross_step(state, i, u0, u1, u2, g0, g1, g2, h0, h1, h2, w, noise):
    """Update C = E[a e'] (nine numbers, row by row) and return u'C u before the update."""
    c00, c01, c02 = state[i, CROSS], state[i, CROSS + 1], state[i, CROSS + 2]
    c10, c11, c12 = state[i, CROSS + 3], state[i, CROSS + 4], state[i, CROSS + 5]
    c20, c21, c22 = state[i, CROSS + 6], state[i, CROSS + 7], state[i, CROSS + 8]
    left0 = u0 * c00 + u1 * c10 + u2 * c20
    left1 = u0 * c01 + u1 * c11 + u2 * c21
    left2 = u0 * c02 + u1 * c12 + u2 * c22
    quadratic = left0 * u0 + left1 * u1 + left2 * u2
    along = w * w * quadratic - noise
    f0, f1, f2 = w * (h0 - left0) + along * g0, w * (h1 - left1) + along * g1, w * (h2 - left2) + along * g2
    right0 = w * (c00 * u0 + c01 * u1 + c02 * u2)
    right1 = w * (c10 * u0 + c11 * u1 + c12 * u2)
    right2 = w * (c20 * u0 + c21 * u1 + c22 * u2)
    state[i, CROSS] = c00 + g0 * f0 - right0 * g0
    state[i, CROSS + 1] = c01 + g0 * f1 - right0 * g1
    state[i, CROSS + 2] = c02 + g0 * f2 - right0 * g2
    state[i, CROSS + 3] = c10 + g1 * f0 - right1 * g0
    state[i, CROSS + 4] = c11 + g1 * f1 - right1 * g1
    state[i, CROSS + 5] = c12 + g1 * f2 - right1 * g2
    state[i, CROSS + 6] = c20 + g2 * f0 - right2 * g0
    state[i, CROSS + 7] = c21 + g2 * f1 - right2 * g1
    state[i, CROSS + 8] = c22 + g2 * f2 - right2 * g2
    return quadratic


@kernel
def information(nu, count, mask, noise_variance, gaussian, single):
    """Return w, v and x of one unit in one bin."""
    if gaussian > 0.0:
        w = mask / noise_variance
        return w, w, nu * w
    w = mask * max(count - nu, 0.0)
    return w, w * (1.0 - single * min(w, 1.0)), mask * nu


@kernel
def _pair(a, b):
    """Return where the lower triangle keeps the element (a, b) of a symmetric matrix."""
    return a * (a + 1) // 2 + b if a >= b else b * (b + 1) // 2 + a


@kernel
def accumulate(state, i, nu, count, w, v, x, spread, along, quadratic, settings):
    """Add one bin to the leaky sums of a unit whose filter has forgotten its start."""
    keep, short_keep = settings[KEEP], settings[SHORT_KEEP]
    square = keep * keep
    if settings[GAUSSIAN] > 0.0:
        predicted = 1.0 / w + spread
        fourth = 2.0 * predicted * predicted
        state[i, SILENCE] = short_keep * state[i, SILENCE] + nu * nu
        state[i, SHORT] = short_keep * state[i, SHORT] + predicted
    else:
        predicted = v + w * w * spread
        fourth = predicted + 2.0 * predicted * predicted
        state[i, SILENCE] = 0.0 if count > 0.0 else state[i, SILENCE] + w
    quiet = w * quadratic
    excess = x * along - quiet
    state[i, SQUARES] = keep * state[i, SQUARES] + nu * nu
    state[i, PREDICTED] = keep * state[i, PREDICTED] + predicted
    state[i, SPREAD] = square * state[i, SPREAD] + fourth
    state[i, EXCESS] = keep * state[i, EXCESS] + excess
    state[i, EXPECTED] = keep * state[i, EXPECTED] - quiet
    state[i, EXCESS_SPREAD] = square * state[i, EXCESS_SPREAD] + excess * excess


@kernel
def noise_step(regressors, valid, innovation, covariance, in_use, error_cov, sums, estimate):
    """Update the estimate of every feature's noise variance with one bin, free of the bias of covariance matching.

    nu^2 - u'E u has mean Z when E is the error covariance of a constant truth. Its terms are averaged with the weights
    (Z / (Z + u'E u))^2, so that bins before the weights are known count for little (derived).

    Arguments that are not listed are those of `monitor_plane`.

    Parameters
    ----------
    in_use : ndarray, (units,)
        The noise variance that the filter used in this bin; may be `estimate` itself.
    error_cov : ndarray, (units, 6), in place
    sums : ndarray, (3, units), in place
        Weighted sum of nu^2 - u'E u, sum of weights, weighted sum of nu^2.
    estimate : ndarray, (units,), in place
    """
    u0, u1, u2, s = regressors[0], regressors[1], regressors[2], covariance
    for i in range(innovation.size):
        e, w = error_cov[i], valid[i] / in_use[i]
        g0, g1, g2 = product(s[0, i], s[1, i], s[2, i], s[3, i], s[4, i], s[5, i], u0, u1, u2)
        h0, h1, h2 = product(e[0], e[1], e[2], e[3], e[4], e[5], u0, u1, u2)
        spread = h0 * u0 + h1 * u1 + h2 * u2
        error_step(error_cov, i, g0, g1, g2, h0, h1, h2, w, w * w * (spread + estimate[i]))
        if valid[i] <= 0.0:
            continue
        trust = estimate[i] / (estimate[i] + spread)
        square = innovation[i] * innovation[i]
        sums[0, i] += trust * trust * (square - spread)
        sums[1, i] += trust * trust
        sums[2, i] += trust * trust * square
        estimate[i] = max(sums[0, i], LEAST_NOISE * sums[2, i]) / sums[1, i]


@kernel
def noise_step_any(regressors, valid, innovation, covariance, in_use, error_cov, sums, estimate, work):
    """Update the noise variance of every feature, for any number of regressors (see :func:`noise_step`).

    Arguments that are not listed are those of :func:`noise_step`.

    Parameters
    ----------
    regressors : ndarray, (d,)
    error_cov : ndarray, (units, pairs), in place
    work : ndarray, (2, d), scratch
    """
    d, g, h = regressors.size, work[0], work[1]
    for i in range(innovation.size):
        e, w, spread = error_cov[i], valid[i] / in_use[i], 0.0
        for a in range(d):
            g[a], h[a] = 0.0, 0.0
            for b in range(d):
                g[a] += covariance[_pair(a, b), i] * regressors[b]
                h[a] += e[_pair(a, b)] * regressors[b]
            spread += h[a] * regressors[a]
        noise = w * w * (spread + estimate[i])
        for a in range(d):
            for b in range(a + 1):
                e[_pair(a, b)] += noise * g[a] * g[b] - w * (g[a] * h[b] + g[b] * h[a])
        if valid[i] <= 0.0:
            continue
        trust = estimate[i] / (estimate[i] + spread)
        square = innovation[i] * innovation[i]
        sums[0, i] += trust * trust * (square - spread)
        sums[1, i] += trust * trust
        sums[2, i] += trust * trust * square
        estimate[i] = max(sums[0, i], LEAST_NOISE * sums[2, i]) / sums[1, i]


@kernel
def schedule_step(regressors, counts, valid, innovation, covariance, noise_variance, gaussian, keep, floor, mean, rate):
    """Decide each unit's learning rate: zero while its covariance still shrinks faster than the floor would feed it.

    A bin takes w |S u|^2 from the trace of S. Its mean over the last reaches, per regressor, is taken relative to the
    square of the mean variance tr S / regressors (that ratio is steady while S itself shrinks), in ``mean`` (2, units):
    weighted sum and sum of weights, both zero at the start. ``rate`` becomes ``floor`` once what is taken is less than
    the floor, and stays so. Other shapes as in `monitor_plane`; ``floor`` and ``rate`` are (units,).
    """
    d = regressors.size
    for i in range(rate.size):
        if valid[i] <= 0.0 or rate[i] > 0.0:
            continue
        w = 1.0 / noise_variance[i] if gaussian > 0.0 else max(counts[i] - innovation[i], 0.0)
        length = 0.0
        variance = 0.0
        for a in range(d):
            product = 0.0
            for b in range(d):
                pair = a * (a + 1) // 2 + b if b <= a else b * (b + 1) // 2 + a
                product += covariance[pair, i] * regressors[b]
            length += product * product
            variance += covariance[a * (a + 1) // 2 + a, i] / d
        mean[0, i] = keep * mean[0, i] + w * length / (d * variance * variance)
        mean[1, i] = keep * mean[1, i] + 1.0
        if mean[0, i] / mean[1, i] * variance * variance <= floor[i]:
            rate[i] = floor[i]
