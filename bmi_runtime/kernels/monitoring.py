"""Predicted against achieved, one bin at a time over all units: error covariance, innovations, drift, silence, noise.

Called once a bin after the adaptive filter (:mod:`bmi_runtime.kernels.filters`), with its covariance after the update.
With u the regressors, S that covariance, nu the innovation, w the information scalar (expected count, or 1/Z), the
gain is g = S u and

    E <- (I - w g u') E (I - w g u')' + v g g'       the error covariance if the truth stands still (Joseph form)
    V  = (v + w^2 u'E u) / (w^2 or 1)                the predicted variance of nu
    a <- (I - w g u') a + g x,  x = nu w or nu       the sum of the past steps that is still in the estimate
    J  = x u'a                                       whether steps are followed by steps the same way

J has mean zero where the truth random-walks as fast as the filter assumes, and a negative mean J_0 where it stands
still. Its mean is linear in the truth's drift in between (derived: every second moment of the recursion is linear in
the drift). J_0 follows from C = E[a e'], C <- A C A' + g (w u'E A' - v g') with A = I - w g u'.
"""

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.jit import kernel

BLOCK = 64
SEEN, SQUARES, PREDICTED, SPREAD, EXCESS, EXPECTED, EXCESS_SPREAD, SILENCE, SHORT = range(9)
"""Rows of the statistics: memories seen; leaky sums of nu^2, of V, of Var nu^2 (squared weights), of J - J_0, of -J_0,
of (J - J_0)^2 (squared weights); expected count since the last spike (leaky nu^2 for features); leaky V (features)."""
N_STATISTICS = 9
LEAST_NOISE = 0.1  # of the mean squared innovation: the estimate stays above it while little is known
RATE_OFF, DRIFTING, LOST = 1, 2, 4


@kernel
def _times(packed, u, start, stop, out):
    """Set the rows of out to X u for a block of units."""
    d, width = u.size, stop - start
    for a in range(d):
        rows.fill(out[a, :width], 0.0)
    pair = 0
    for a in range(d):
        for b in range(a):
            rows.add_crosswise(out[a, :width], out[b, :width], packed[pair, start:stop], u[a], u[b])
            pair += 1
        rows.add_scaled(out[a, :width], u[a], packed[pair, start:stop])
        pair += 1


@kernel
def _combine(u, vectors, start, stop, out):
    """Set out = u'v for a block of units, v rows of an array."""
    rows.fill(out, 0.0)
    for a in range(u.size):
        rows.add_scaled(out, u[a], vectors[a, start:stop])


@kernel
def _joseph_element(element, noise, ga, gb, ha, hb, w):
    """Add noise ga gb - w (ga hb + ha gb)."""
    for j in range(element.size):
        element[j] += noise[j] * ga[j] * gb[j] - w[j] * (ga[j] * hb[j] + ha[j] * gb[j])


@kernel
def _total_noise(out, w, spread, v):
    """Set out = w^2 u'E u + v."""
    for j in range(out.size):
        out[j] = w[j] * w[j] * spread[j] + v[j]


@kernel
def _error_step(error_cov, g, h, w, noise, start, stop):
    """Update E with gain g, h = E u (before the update) and noise = w^2 u'E u + v."""
    width = stop - start
    pair = 0
    for a in range(g.shape[0]):
        for b in range(a + 1):
            element = error_cov[pair, start:stop]
            _joseph_element(element, noise, g[a, :width], g[b, :width], h[a, :width], h[b, :width], w)
            pair += 1


@kernel
def _cross_factor(out, g, h, row, w, middle, noise):
    """Set out = w (h - row) + (middle - noise) g: what multiplies g' in the update of C."""
    for j in range(out.size):
        out[j] = w[j] * (h[j] - row[j]) + (middle[j] - noise[j]) * g[j]


@kernel
def _cross_element(element, ga, factor, column, gb, w):
    """Add ga factor - w column gb."""
    for j in range(element.size):
        element[j] += ga[j] * factor[j] - w[j] * column[j] * gb[j]


@kernel
def _weighted(out, w, x):
    """Set out = w^2 x."""
    for j in range(out.size):
        out[j] = w[j] * w[j] * x[j]


@kernel
def _cross_step(cross, u, g, h, w, noise, start, stop, row, column, factor, middle, quadratic):
    """Update C = E[a e'] and set `quadratic` to u'C u before the update; the rest is scratch."""
    d, width = u.size, stop - start
    for b in range(d):
        rows.fill(row[b, :width], 0.0)
        rows.fill(column[b, :width], 0.0)
        for a in range(d):
            rows.add_scaled(row[b, :width], u[a], cross[a * d + b, start:stop])
            rows.add_scaled(column[b, :width], u[a], cross[b * d + a, start:stop])
    _combine(u, row, 0, width, quadratic)
    _weighted(middle, w, quadratic)
    for b in range(d):
        _cross_factor(factor, g[b, :width], h[b, :width], row[b, :width], w, middle, noise)
        for a in range(d):
            element = cross[a * d + b, start:stop]
            _cross_element(element, g[a, :width], factor, column[a, :width], g[b, :width], w)


@kernel
def _weights_of_bin(count, mask, error, noise_variance, gaussian, single, w, v, x):
    """Set the information scalar w, the score's variance v and the score x of a block; zero where not believed."""
    if gaussian > 0.0:
        for j in range(w.size):
            w[j] = mask[j] / noise_variance[j]
            v[j] = w[j]
            x[j] = error[j] * w[j]
    else:
        for j in range(w.size):
            w[j] = mask[j] * max(count[j] - error[j], 0.0)
            v[j] = w[j] * (1.0 - single * min(w[j], 1.0))
            x[j] = mask[j] * error[j]


@kernel
def _trace_step(trace, g, x, w, along):
    """Add g (x - w u'a) to the sum of past steps."""
    for j in range(trace.size):
        trace[j] += g[j] * (x[j] - w[j] * along[j])


@kernel
def monitor_step(
    regressors, counts, valid, innovation, covariance, noise_variance, gaussian, single, keep, short_keep, limits,
    judge, error_cov, cross, trace, statistics, status, scratch,
):  # fmt: skip
    """Update every unit's statistics with one bin; return how many units changed their status.

    Parameters
    ----------
    regressors : ndarray, (regressors,)
    counts, valid, innovation : ndarray, (units,)
        The bin, 1 where it is to be believed, and count (feature) minus expectation before the update.
    covariance : ndarray, (pairs, units)
        The filter's, after the update.
    noise_variance : ndarray, (units,)
        As the filter used it; read for Gaussian features only.
    gaussian, single : float
        1 for Gaussian features, else 0; 1 for 0/1 counts, else 0.
    keep, short_keep : float
        What is left of the leaky sums after a bin.
    limits : ndarray, (9,)
        Memories before anything is judged; z and relative excess of the innovations; z and ratio of the drift; expected
        spikes of a silence; smallest ratio of a feature's variance; share of a limit below which a status ends; inverse
        squared relative error of the predicted squares below which there is too little to judge.
    judge : bool
        Whether conditions are to be judged in this bin.
    error_cov : ndarray, (pairs, units); cross : (regressors^2, units); trace : (regressors, units), all in place
    statistics : ndarray, (N_STATISTICS, units), in place
    status : ndarray, (units,) of int64, in place
        Sum of RATE_OFF, DRIFTING, LOST.
    scratch : ndarray, (4 * regressors + 10, BLOCK)
    """
    d = regressors.size
    changed = 0
    for start in range(0, innovation.size, BLOCK):
        stop = min(start + BLOCK, innovation.size)
        width = stop - start
        w, v, x = scratch[0, :width], scratch[1, :width], scratch[2, :width]
        loss, spread, along = scratch[3, :width], scratch[4, :width], scratch[5, :width]
        noise, quadratic, factor, middle = (
            scratch[6, :width], scratch[7, :width], scratch[8, :width], scratch[9, :width],
        )  # fmt: skip
        g, h = scratch[10 : 10 + d], scratch[10 + d : 10 + 2 * d]
        row, column = scratch[10 + 2 * d : 10 + 3 * d], scratch[10 + 3 * d : 10 + 4 * d]
        mask = valid[start:stop]
        _weights_of_bin(
            counts[start:stop], mask, innovation[start:stop], noise_variance[start:stop], gaussian, single, w, v, x
        )
        _times(covariance, regressors, start, stop, g)
        _combine(regressors, g, 0, width, loss)
        _times(error_cov, regressors, start, stop, h)
        _combine(regressors, h, 0, width, spread)
        _combine(regressors, trace, start, stop, along)
        _total_noise(noise, w, spread, v)
        _cross_step(cross, regressors, g, h, w, noise, start, stop, row, column, factor, middle, quadratic)
        _error_step(error_cov, g, h, w, noise, start, stop)
        for a in range(d):
            _trace_step(trace[a, start:stop], g[a, :width], x, w, along)
        _accumulate(
            statistics[:, start:stop], innovation[start:stop], counts[start:stop], mask, w, v, x, spread, along,
            quadratic, loss, d, gaussian, keep, short_keep, limits[0],
        )  # fmt: skip
        if judge:
            for i in range(start, stop):
                before = status[i]
                status[i] = _judge(statistics, i, before, gaussian, limits)
                changed += status[i] != before
    return changed


@kernel
def _accumulate(
    statistics, innovation, counts, mask, w, v, x, spread, along, quadratic, loss, d, gaussian, keep, short_keep,
    memories,
):  # fmt: skip
    """Add one bin of a block of units to their leaky sums, for those whose filter has forgotten its start."""
    square = keep * keep
    for j in range(w.size):
        statistics[SEEN, j] += w[j] * loss[j] / d
        if mask[j] <= 0.0 or statistics[SEEN, j] < memories:
            continue
        nu = innovation[j]
        if gaussian > 0.0:
            predicted = 1.0 / w[j] + spread[j]
            fourth = 2.0 * predicted * predicted
            statistics[SILENCE, j] = short_keep * statistics[SILENCE, j] + nu * nu
            statistics[SHORT, j] = short_keep * statistics[SHORT, j] + predicted
        else:
            predicted = v[j] + w[j] * w[j] * spread[j]
            fourth = predicted + 2.0 * predicted * predicted
            statistics[SILENCE, j] = 0.0 if counts[j] > 0.0 else statistics[SILENCE, j] + w[j]
        quiet = w[j] * quadratic[j]
        excess = x[j] * along[j] - quiet
        statistics[SQUARES, j] = keep * statistics[SQUARES, j] + nu * nu
        statistics[PREDICTED, j] = keep * statistics[PREDICTED, j] + predicted
        statistics[SPREAD, j] = square * statistics[SPREAD, j] + fourth
        statistics[EXCESS, j] = keep * statistics[EXCESS, j] + excess
        statistics[EXPECTED, j] = keep * statistics[EXPECTED, j] - quiet
        statistics[EXCESS_SPREAD, j] = square * statistics[EXCESS_SPREAD, j] + excess * excess


@kernel(inline="always")
def _judge(statistics, i, before, gaussian, limits):
    """Return the status of one unit: a limit starts a condition, a share of the limit ends it."""
    worth = statistics[PREDICTED, i] * statistics[PREDICTED, i]
    if statistics[SEEN, i] < limits[0] or worth < limits[8] * statistics[SPREAD, i]:
        return before
    status = 0
    ease = limits[7] if before & RATE_OFF else 1.0
    excess = statistics[SQUARES, i] - statistics[PREDICTED, i]
    z = abs(excess) / np.sqrt(statistics[SPREAD, i])
    if z > ease * limits[1] and abs(excess) > ease * limits[2] * statistics[PREDICTED, i]:
        status |= RATE_OFF
    ease = limits[7] if before & DRIFTING else 1.0
    quiet = statistics[EXPECTED, i]
    if quiet > 0.0:
        z = (statistics[EXCESS, i] - quiet) / np.sqrt(max(statistics[EXCESS_SPREAD, i], 1e-300))
        if z > ease * limits[3] and statistics[EXCESS, i] > ease * limits[4] * quiet:
            status |= DRIFTING
    ease = limits[7] if before & LOST else 1.0
    if gaussian > 0.0:
        if statistics[SILENCE, i] * ease < limits[6] * statistics[SHORT, i] and statistics[SHORT, i] > 0.0:
            status |= LOST
    elif statistics[SILENCE, i] > ease * limits[5]:
        status |= LOST
    return status


@kernel
def noise_step(regressors, valid, innovation, covariance, in_use, error_cov, sums, estimate, scratch):
    """Update the estimate of every feature's noise variance with one bin, free of the bias of covariance matching.

    nu^2 - u'E u has mean Z when E is the error covariance of a constant truth. Its terms are averaged with the weights
    (Z / (Z + u'E u))^2, so that bins before the weights are known count for little (derived).

    Parameters
    ----------
    in_use : ndarray, (units,)
        The noise variance that the filter used in this bin.
    error_cov : ndarray, (pairs, units), in place
    sums : ndarray, (3, units), in place
        Weighted sum of nu^2 - u'E u, sum of weights, weighted sum of nu^2.
    estimate : ndarray, (units,), in place
    scratch : ndarray, (2 * regressors + 4, BLOCK)
    Others as in :func:`monitor_step`.
    """
    d = regressors.size
    for start in range(0, innovation.size, BLOCK):
        stop = min(start + BLOCK, innovation.size)
        width = stop - start
        w, v, spread, noise = scratch[0, :width], scratch[1, :width], scratch[2, :width], scratch[3, :width]
        g, h = scratch[4 : 4 + d], scratch[4 + d : 4 + 2 * d]
        _times(covariance, regressors, start, stop, g)
        _times(error_cov, regressors, start, stop, h)
        _combine(regressors, h, 0, width, spread)
        for j in range(width):
            w[j] = valid[start + j] / in_use[start + j]
            v[j] = w[j] * w[j] * estimate[start + j]
        _total_noise(noise, w, spread, v)
        _error_step(error_cov, g, h, w, noise, start, stop)
        for j in range(width):
            i = start + j
            if valid[i] <= 0.0:
                continue
            trust = estimate[i] / (estimate[i] + spread[j])
            square = innovation[i] * innovation[i]
            sums[0, i] += trust * trust * (square - spread[j])
            sums[1, i] += trust * trust
            sums[2, i] += trust * trust * square
            estimate[i] = max(sums[0, i], LEAST_NOISE * sums[2, i]) / sums[1, i]


@kernel
def schedule_step(regressors, counts, valid, innovation, covariance, noise_variance, gaussian, keep, floor, mean, rate):
    """Decide each unit's learning rate: zero while its covariance still shrinks faster than the floor would feed it.

    A bin takes w |S u|^2 from the trace of S. Its mean over the last reaches, per regressor, is taken relative to the
    square of the mean variance tr S / regressors (that ratio is steady while S itself shrinks), in ``mean`` (2, units):
    weighted sum and sum of weights, both zero at the start. ``rate`` becomes ``floor`` once what is taken is less than
    the floor, and stays so. Other shapes as in :func:`monitor_step`; ``floor`` and ``rate`` are (units,).
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
