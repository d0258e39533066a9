"""Monte-Carlo of adaptive encoding: subject, units, decoder and adaptive filter of one closed-loop realisation, and the
filter alone along given states with units that depend on their own past.

The filter, the decoder and the noise estimator are the kernels that a live session runs; here they are only put in a
loop. Positions are in m, velocities in m/s outside the encoding model and in dm/s inside.
"""

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.kernels import decoding_filter, encoding_filter, monitoring, rows, unit_blocks
from bmi_runtime.kernels.jit import kernel

AIM_KEEP, AIM_PULL, DECODER_KEEP, DECODER_NOISE, TRUST, BOX, LARGEST_SPEED, MAX_COUNT, OPEN = range(9)
"""The settings: the subject's aim, the decoder's velocity prior and trust in parameter covariances, the workspace's
half width, the largest intended speed, the largest count per bin (1: Bernoulli spikes; 0: Gaussian features), and
whether the loop is open (1: the subject sees a cursor that obeys perfectly, so that nothing feeds back)."""
N_SETTINGS = 9
SCALE = DM_PER_M


@kernel
def _observe(generator, truth, u, own, bin_s, noise_sd, max_count, predictor, counts):
    """Draw one bin: Gaussian features around truth'u, or spikes of rate exp(truth'u), at most one a bin or Poisson."""
    unit_blocks.linear_predictor(truth, u, own, 0, counts.size, predictor)
    if max_count == 0.0:
        for j in range(counts.size):
            counts[j] = predictor[j] + noise_sd[j] * generator.standard_normal()
        return
    log_bin = np.log(bin_s)
    for j in range(counts.size):
        predictor[j] = np.exp(min(predictor[j] + log_bin, 3.0))
    if max_count == 1.0:
        for j in range(counts.size):
            counts[j] = 1.0 if generator.random() < predictor[j] else 0.0
    else:
        for j in range(counts.size):
            left = np.exp(-predictor[j])
            product = generator.random()
            count = 0.0
            while product > left:
                product *= generator.random()
                count += 1.0
            counts[j] = count


@kernel
def _tally(weights, truth, bounds, moments, inside):
    """Add one bin's errors: sums, products of pairs, and whether they are within the bounds."""
    d, n = weights.shape
    pair = d
    for a in range(d):
        for j in range(n):
            error = weights[a, j] - truth[a, j]
            moments[a, j] += error
            if abs(error) <= bounds[a, j]:
                inside[a, j] += 1.0
        for b in range(a + 1):
            for j in range(n):
                moments[pair, j] += (weights[a, j] - truth[a, j]) * (weights[b, j] - truth[b, j])
            pair += 1


@kernel
def _tally_information(u, truth, bin_s, noise_variance, max_count, predictor, information, score):
    """Add one bin's information about the weights and the covariance of its score, in pairs."""
    d, n = truth.shape
    if max_count == 0.0:
        for j in range(n):
            predictor[j] = 1.0 / noise_variance[j]
    else:
        rows.fill(predictor, 0.0)
        for a in range(d):
            rows.add_scaled(predictor, u[a], truth[a])
        for j in range(n):
            predictor[j] = np.exp(predictor[j]) * bin_s
    pair = 0
    for a in range(d):
        for b in range(a + 1):
            product = u[a] * u[b]
            for j in range(n):
                information[pair, j] += product * predictor[j]
                lost = predictor[j] if max_count == 1.0 else 0.0
                score[pair, j] += product * predictor[j] * (1.0 - lost)
            pair += 1


@kernel
def aim_perfectly(goals, keep, pull, bin_s, states, cursor):
    """Aim at goals (bins, 2), in m, with a cursor that obeys; out: velocity in encoding units and cursor in m."""
    for k in range(2):
        position, velocity = 0.0, 0.0
        for t in range(goals.shape[0]):
            velocity = keep * velocity + pull * (goals[t, k] - position)
            position = position + velocity * bin_s
            states[t, k] = SCALE * velocity
            cursor[t, k] = position


@kernel
def closed_loop(
    generator, settings, goals, bin_s, truth, noise_variance, weights, covariance, rate, adapt_bins, estimate_noise,
    noise, noise_error, noise_sums, burn_in, stride, bounds, moments, inside, information, score, error_trace,
    weight_trace, noise_trace, states, cursor,
):  # fmt: skip
    """Run one realisation: the subject sees and intends, units encode, the decoder moves the cursor, the filter learns.

    Parameters
    ----------
    generator : numpy.random.Generator
    settings : ndarray, (N_SETTINGS,)
    goals : ndarray, (bins, 2)
        Where the target is, m.
    bin_s : float
    truth, weights : ndarray, (3, units)
        True weights, and the filter's, which are updated in place.
    noise_variance : ndarray, (units,)
        True variance of Gaussian features.
    covariance : ndarray, (6, units), in place
    rate : ndarray, (units,)
    adapt_bins : int
        The filter learns for so many bins; then the decoder stays as it is.
    estimate_noise : bool
        Whether the filter uses the estimate `noise` (units,) of the noise variance, updated with `noise_error`
        (units, 6) and `noise_sums` (3, units); else `noise` must hold the true one.
    burn_in : int
        Bins before errors and information are tallied.
    stride : int
        Every so many bins a row of the traces is written.
    bounds : ndarray, (3, units)
    moments : ndarray, (9, units); inside : (3, units); information, score : (6, units), added to
    error_trace : ndarray, (samples, 3, units), added to
    weight_trace : ndarray, (samples, 3, units), out; may have no rows
    noise_trace : ndarray, (samples, units), added to; may have no rows
    states, cursor : ndarray, (rows, 2), out
        Encoded velocity in dm/s, and cursor in m, of the last `rows` bins.
    """
    d, n = truth.shape
    bins = goals.shape[0]
    poisson = settings[MAX_COUNT] > 0.0
    state, spread = np.zeros(4), np.zeros((4, 4))
    spread[2, 2] = spread[3, 3] = settings[DECODER_NOISE] / (1.0 - settings[DECODER_KEEP] ** 2)
    u, counts, valid, predictor = np.ones(3), np.empty(n), np.ones(n), np.empty(n)
    innovation, variance, noise_sd = np.empty(n), np.empty(n), np.sqrt(noise_variance)
    workspace = np.zeros(decoding_filter.WORKSPACE)
    scratch = np.empty((2 * d + 10, unit_blocks.BLOCK))
    vx, vy, seen_x, seen_y = 0.0, 0.0, 0.0, 0.0
    skip_states, skip_cursor = bins - states.shape[0], bins - cursor.shape[0]
    for t in range(bins):
        vx = settings[AIM_KEEP] * vx + settings[AIM_PULL] * (goals[t, 0] - state[0])
        vy = settings[AIM_KEEP] * vy + settings[AIM_PULL] * (goals[t, 1] - state[1])
        speed = np.sqrt(vx * vx + vy * vy)
        if speed > settings[LARGEST_SPEED]:
            vx *= settings[LARGEST_SPEED] / speed
            vy *= settings[LARGEST_SPEED] / speed
        u[1], u[2] = SCALE * vx, SCALE * vy
        _observe(generator, truth, u, unit_blocks.NO_HISTORY, bin_s, noise_sd, settings[MAX_COUNT], predictor, counts)
        if poisson:
            decoding_filter.decode_poisson(
                state, spread, weights, covariance, counts, valid, unit_blocks.NO_HISTORY, bin_s, settings[TRUST],
                settings[DECODER_KEEP], settings[DECODER_NOISE], SCALE, workspace, scratch,
            )  # fmt: skip
        else:
            decoding_filter.decode_gaussian(
                state, spread, weights, covariance, counts, valid, bin_s, noise, settings[TRUST],
                settings[DECODER_KEEP], settings[DECODER_NOISE], SCALE, workspace, scratch,
            )  # fmt: skip
        for i in range(2):
            state[i] = min(max(state[i], -settings[BOX]), settings[BOX])
        if settings[OPEN] > 0.0:
            state[0], state[1] = seen_x + bin_s * vx, seen_y + bin_s * vy
            seen_x, seen_y = state[0], state[1]
        if t < adapt_bins:
            if poisson:
                encoding_filter.adapt_poisson(
                    weights, covariance, counts, valid, u, rate, bin_s, innovation, variance, scratch
                )
            else:
                encoding_filter.adapt_gaussian(
                    weights, covariance, counts, valid, u, rate, noise, innovation, variance, scratch
                )
                if estimate_noise:
                    monitoring.noise_step(u, valid, innovation, covariance, noise, noise_error, noise_sums, noise)
        if t >= burn_in:
            _tally(weights, truth, bounds, moments, inside)
            _tally_information(u, truth, bin_s, noise_variance, settings[MAX_COUNT], predictor, information, score)
        if t % stride == 0:
            row = t // stride
            for a in range(d):
                for j in range(n):
                    error_trace[row, a, j] += weights[a, j] - truth[a, j]
            if weight_trace.shape[0] > row:
                weight_trace[row] = weights
            if noise_trace.shape[0] > row:
                noise_trace[row] += noise
        if t >= skip_states:
            states[t - skip_states, 0], states[t - skip_states, 1] = u[1], u[2]
        if t >= skip_cursor:
            cursor[t - skip_cursor, 0], cursor[t - skip_cursor, 1] = state[0], state[1]


@kernel
def learn_from_own_spikes(
    generator, states, bin_s, max_count, keep, truth, weights, covariance, rate, burn_in, bins, moments, spikes
):
    """Run the filter along states on spikes drawn from the true weights and each unit's own past; nothing feeds back.

    Parameters
    ----------
    generator : numpy.random.Generator
    states : ndarray, (bins of a period, common regressors)
        With the 1; they repeat.
    bin_s, max_count : float
        Width of a bin; 1 for at most one spike a bin, more for Poisson counts.
    keep : ndarray, (histories,)
        What is left of each sum of past counts after one bin.
    truth, weights : ndarray, (regressors, units)
        The filter's weights are updated in place, as is its `covariance` (pairs, units).
    rate : ndarray, (units,)
    burn_in, bins : int
        Bins before errors are tallied, and in all.
    moments : ndarray, (regressors + pairs, units), added to
        Sums of the errors and of their products.
    spikes : ndarray, (units,), added to
        Drawn after the burn-in.
    """
    d, n = weights.shape
    own, counts, valid, predictor = np.zeros((keep.size, n)), np.empty(n), np.ones(n), np.empty(n)
    innovation, variance, no_noise = np.empty(n), np.empty(n), np.zeros(n)
    scratch = np.empty((d + 5, unit_blocks.BLOCK))
    bounds, inside = np.zeros((d, n)), np.zeros((d, n))
    for t in range(bins):
        u = states[t % states.shape[0]]
        _observe(generator, truth, u, own, bin_s, no_noise, max_count, predictor, counts)
        encoding_filter.adapt_poisson_own(
            weights, covariance, counts, valid, u, own, rate, bin_s, innovation, variance, scratch
        )
        for k in range(keep.size):
            for j in range(n):
                own[k, j] = keep[k] * (own[k, j] + counts[j])
        if t >= burn_in:
            _tally(weights, truth, bounds, moments, inside)
            for j in range(n):
                spikes[j] += counts[j]
