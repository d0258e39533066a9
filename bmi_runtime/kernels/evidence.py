"""What one bin of all units says about the state: score and information, and likelihoods of alternatives."""

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.unit_blocks import (
    BLOCK,
    LOG_RATE_LIMIT,
    NO_HISTORY,
    linear_predictor,
    log_likelihood_terms,
    weight_uncertainty,
)


@kernel
def _poisson_trust(expected, uncertainty, counts, mask, trust, weight, error):
    """Set each unit's information weight and weighted innovation; weight may be expected."""
    for j in range(expected.size):
        w = expected[j]
        shrink = mask[j] / (1.0 + trust * w * uncertainty[j])
        error[j] = (counts[j] - w) * shrink
        weight[j] = w * shrink


@kernel
def poisson_evidence(weights, covariance, counts, valid, regressors, bin_s, trust, score, information, scratch):
    """Sum over units the score and the information that one bin of counts has of the encoded state.

    For log lambda = weights' u, the gradient of the log likelihood by the state is sum_i g_i (n_i - w_i) and the
    information sum_i w_i g_i g_i', w = lambda bin_s, g the gains. A unit whose weights are uncertain is trusted less:
    its innovation has variance w (1 + w u'Su), so both its terms are divided by (1 + w u'Su) (derived; ``trust`` = 1),
    or not (``trust`` = 0).

    Parameters
    ----------
    weights, covariance, counts, valid, bin_s, scratch
        As in `adapt_poisson`; read only.
    regressors : ndarray, (regressors,)
        1, then the predicted state.
    trust : float
        Weight of the parameter uncertainty, 0 to 1.
    score : ndarray, (regressors - 1,), out
    information : ndarray, (regressors - 1, regressors - 1), out

    Returns
    -------
    float
        The largest log expected count per bin before it was limited, for the safety state.
    """
    return poisson_evidence_own(
        weights, covariance, counts, valid, regressors, NO_HISTORY, bin_s, trust, score, information, scratch
    )


@kernel
def poisson_evidence_own(
    weights, covariance, counts, valid, regressors, own, bin_s, trust, score, information, scratch
):
    """Sum the evidence as :func:`poisson_evidence` does, with regressors of each unit's own (see `adapt_poisson_own`).

    They say nothing about the state: score and information are by the common regressors.
    """
    n, log_bin, largest = weights.shape[1], np.log(bin_s), -1e300
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, uncertainty = scratch[0, :width], scratch[1, :width]
        weight, error = scratch[2, :width], scratch[3, :width]
        weight_uncertainty(covariance, regressors, own, start, stop, uncertainty)
        linear_predictor(weights, regressors, own, start, stop, predictor)
        largest = max(largest, rows.largest(predictor) + log_bin)
        rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
        rows.masked_exponential(weight, predictor, valid[start:stop])
        _poisson_trust(weight, uncertainty, counts[start:stop], valid[start:stop], trust, weight, error)
        _accumulate(weights, start, stop, weight, error, predictor, score, information)
    return largest


@kernel
def poisson_likelihoods(weights, counts, valid, regressors, own, bin_s, out, scratch):
    """Set out[k] to the log likelihood of one bin of counts under each row of regressors, without ln(count!), nats.

    Parameters
    ----------
    weights, counts, valid, own, bin_s
        As in `adapt_poisson_own`; read only.
    regressors : ndarray, (alternatives, common regressors)
    out : ndarray, (alternatives,), out
    scratch : ndarray, (2, BLOCK)
    """
    n, log_bin = weights.shape[1], np.log(bin_s)
    out[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        predictor, expected = scratch[0, : stop - start], scratch[1, : stop - start]
        for k in range(out.size):
            linear_predictor(weights, regressors[k], own, start, stop, predictor)
            rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
            rows.masked_exponential(expected, predictor, valid[start:stop])
            log_likelihood_terms(counts[start:stop], valid[start:stop], predictor, expected, expected)
            out[k] += rows.total(expected)


@kernel
def _gaussian_trust(noise, uncertainty, counts, predictor, mask, trust, weight, error):
    """Set each unit's precision and weighted innovation."""
    for j in range(noise.size):
        precision = mask[j] / (noise[j] + trust * uncertainty[j])
        weight[j] = precision
        error[j] = (counts[j] - predictor[j]) * precision


@kernel
def gaussian_evidence(
    weights, covariance, counts, valid, regressors, noise_variance, trust, score, information, scratch
):
    """Sum over units the score and information of one bin of features (see :func:`poisson_evidence`).

    With y = weights'u + z, Var z = Z: score sum_i g_i (y_i - weights_i'u) / (Z_i + u'S_i u), information
    sum_i g_i g_i' / (Z_i + u'S_i u). Returns the largest absolute innovation in units of its standard deviation.
    """
    n, largest = weights.shape[1], 0.0
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, uncertainty = scratch[0, :width], scratch[1, :width]
        weight, error = scratch[2, :width], scratch[3, :width]
        weight_uncertainty(covariance, regressors, NO_HISTORY, start, stop, uncertainty)
        linear_predictor(weights, regressors, NO_HISTORY, start, stop, predictor)
        noise = noise_variance[start:stop]
        _gaussian_trust(noise, uncertainty, counts[start:stop], predictor, valid[start:stop], trust, weight, error)
        for j in range(width):
            if weight[j] > 0.0:
                largest = max(largest, error[j] * error[j] / weight[j])
        _accumulate(weights, start, stop, weight, error, predictor, score, information)
    return np.sqrt(largest)


@kernel
def _accumulate(weights, start, stop, weight, error, product, score, information):
    """Add this block's sum of gains times error, and of outer products of gains times weight; product is scratch."""
    for a in range(score.size):
        gains = weights[1 + a, start:stop]
        score[a] += rows.dot(gains, error)
        for j in range(product.size):
            product[j] = gains[j] * weight[j]
        for b in range(a + 1):
            value = rows.dot(product, weights[1 + b, start:stop])
            information[a, b] += value
            if a != b:
                information[b, a] += value


@kernel
def project_evidence(score, information, jacobian, state_score, state_information, work):
    """Set the evidence about a state from that about regressors u: score J's, information J'I J, with J = du/dstate.

    Parameters
    ----------
    score : ndarray, (r,)
    information : ndarray, (r, r)
    jacobian : ndarray, (r, m)
    state_score : ndarray, (m,), out
    state_information : ndarray, (m, m), out
    work : ndarray, (r, m), scratch
    """
    r, m = jacobian.shape
    for a in range(r):
        for j in range(m):
            total = 0.0
            for b in range(r):
                total += information[a, b] * jacobian[b, j]
            work[a, j] = total
    for i in range(m):
        total = 0.0
        for a in range(r):
            total += jacobian[a, i] * score[a]
        state_score[i] = total
        for j in range(i + 1):
            total = 0.0
            for a in range(r):
                total += jacobian[a, i] * work[a, j]
            state_information[i, j] = total
            state_information[j, i] = total
