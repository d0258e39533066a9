"""What the units say about the velocity, bin by bin along a pilot, read with weights that adapt meanwhile."""

import numpy as np

from bmi_runtime.kernels.encoding_filter import adapt_gaussian, adapt_poisson_own
from bmi_runtime.kernels.evidence import gaussian_evidence, poisson_evidence_own
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.unit_blocks import BLOCK


@kernel
def evidence_along(
    weights, covariance, counts, regressors, own, rate, noise_variance, bin_s, poisson, trust, reading, predicted, trace
):  # fmt: skip
    """Read every bin with the weights of the bins before it, then adapt them.

    The live filter's score at a velocity v is sum_i g_i (n_i - lambda_i(v)) / (1 + trust lambda_i u'S_i u), or the
    Gaussian form of it (`poisson_evidence`). Its first part does not depend on v, its second not on the counts:
    the one is the reading, the other what the weights predict at the intended velocity.

    Parameters
    ----------
    weights : ndarray, (regressors, units), in place
    covariance : ndarray, (pairs, units), in place
    counts : ndarray, (bins, units)
    regressors : ndarray, (bins, common regressors)
        1, then the intended velocity that teaches, dm/s, and whatever else units have in common.
    own : ndarray, (bins, histories, units)
        What is a unit's own; no histories for features.
    rate, noise_variance : ndarray, (units,)
    bin_s : float
    poisson : bool
    trust : float
    reading, predicted : ndarray, (bins, axes), out
    trace : ndarray, (bins, axes, axes), out
        Information at the intended velocity.
    """
    units, axes = counts.shape[1], reading.shape[1]
    valid, nothing = np.ones(units), np.zeros(units)
    innovation, variance = np.empty(units), np.empty(units)
    scratch = np.empty((len(weights) + 5, BLOCK))
    score, information = np.zeros(axes), np.zeros((axes, axes))
    for t in range(len(counts)):
        u = regressors[t]
        for counted in range(2):
            n = counts[t] if counted else nothing
            if poisson:
                poisson_evidence_own(
                    weights, covariance, n, valid, u, own[t], bin_s, trust, score, information, scratch
                )
            else:
                gaussian_evidence(weights, covariance, n, valid, u, noise_variance, trust, score, information, scratch)
            for a in range(axes):
                if counted:
                    reading[t, a] = score[a] + predicted[t, a]
                else:
                    predicted[t, a] = -score[a]
        trace[t] = information
        if poisson:
            adapt_poisson_own(
                weights, covariance, counts[t], valid, u, own[t], rate, bin_s, innovation, variance, scratch
            )
        else:
            adapt_gaussian(
                weights, covariance, counts[t], valid, u, rate, noise_variance, innovation, variance, scratch
            )
