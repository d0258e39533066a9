"""One bin of decoding in one call: predict the state, sum the evidence of all units there, condition on it."""

from bmi_runtime.kernels.evidence import gaussian_evidence, poisson_evidence_own
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.state_filter import predict_state, update_state


def workspace_shape(n_axes: int) -> tuple[int, int]:
    """Return the shape of the scratch of the decode kernels: regressors, score, information, and `update_state`'s."""
    return 2 + n_axes + 3 * n_axes, max(2 * n_axes + 1, n_axes + 1)


WORKSPACE = workspace_shape(2)
"""That of the plane."""


@kernel
def _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors):
    """Predict the state one bin on, and set the regressors to 1 and the predicted velocity in encoding units."""
    predict_state(state, covariance, bin_s, keep, noise, 0.0)
    n = state.size // 2
    regressors[0] = 1.0
    for i in range(n):
        regressors[1 + i] = scale * state[n + i]


@kernel
def decode_poisson(
    state, covariance, weights, weight_covariance, counts, valid, own, bin_s, trust, keep, noise, scale, workspace,
    scratch,
):  # fmt: skip
    """Advance the point-process filter over n positions and n velocities one bin; in place.

    :func:`predict_state`, then :func:`poisson_evidence_own` at the predicted velocity, then :func:`update_state`, in
    one call. ``own`` is what each unit depends on besides; ``scale`` is the number of encoding units of velocity per SI
    unit; ``workspace`` has the shape that `workspace_shape` returns.

    Returns
    -------
    float
        The largest log expected count, before it was limited.
    """
    n = state.size // 2
    regressors, score, information = workspace[0, : 1 + n], workspace[1, :n], workspace[2 : 2 + n, :n]
    _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors)
    largest = poisson_evidence_own(
        weights, weight_covariance, counts, valid, regressors, own, bin_s, trust, score, information, scratch
    )
    update_state(state, covariance, score, information, scale, workspace[2 + n :])
    return largest


@kernel
def decode_gaussian(
    state,
    covariance,
    weights,
    weight_covariance,
    counts,
    valid,
    bin_s,
    noise_variance,
    trust,
    keep,
    noise,
    scale,
    workspace,
    scratch,
):
    """Advance the Kalman filter over n positions and n velocities one bin; in place (see :func:`decode_poisson`).

    Returns
    -------
    float
        The largest absolute standardised innovation.
    """
    n = state.size // 2
    regressors, score, information = workspace[0, : 1 + n], workspace[1, :n], workspace[2 : 2 + n, :n]
    _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors)
    largest = gaussian_evidence(
        weights, weight_covariance, counts, valid, regressors, noise_variance, trust, score, information, scratch
    )
    update_state(state, covariance, score, information, scale, workspace[2 + n :])
    return largest
