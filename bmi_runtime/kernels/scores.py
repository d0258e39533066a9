"""What a recording's own scores do to the weights: their scatter through the averaged and through the actual gains.

A unit's score in a bin is u x, with u the regressors and x the innovation divided by its variance (the innovation
itself for counts). Arrays lead with the units here, (units, bins), because every unit is a recursion of its own.
"""

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel


@kernel
def lagged_products(regressors, innovation, directions, kept, block, past, mode, out):
    """Sum s_a(t) s_b(t) and every lag's s_a(t) s_b(t - l) kept_b^l + kept_a^l s_a(t - l) s_b(t); zeros before 0.

    The sum over lags is a recursion in time: past_b <- kept_b (past_b + s_b). Scores of `block` bins are added first
    and taken as one bin (the caller keeps ``block`` far below the memory 1 / (1 - kept)).

    Parameters
    ----------
    regressors : ndarray, (bins, d)
    innovation : ndarray, (units, bins)
    directions : ndarray, (units, d, d)
        One mode a column.
    kept : ndarray, (units, d)
        1 - gain of each mode, per bin.
    block : int
    past, mode : ndarray, (d,), scratch
    out : ndarray, (units, d, d)
        Per bin: divided by the number of bins.
    """
    units, bins = innovation.shape
    d = regressors.shape[1]
    for i in range(units):
        out[i, :, :] = 0.0
        past[:] = 0.0
        for start in range(0, bins, block):
            mode[:] = 0.0
            for t in range(start, min(start + block, bins)):
                for a in range(d):
                    along = 0.0
                    for j in range(d):
                        along += directions[i, j, a] * regressors[t, j]
                    mode[a] += along * innovation[i, t]
            for a in range(d):
                for b in range(a + 1):
                    out[i, a, b] += mode[a] * mode[b] + mode[a] * past[b] + past[a] * mode[b]
            for a in range(d):
                past[a] = kept[i, a] ** block * (past[a] + mode[a])
        for a in range(d):
            for b in range(a + 1):
                out[i, a, b] /= bins
                out[i, b, a] = out[i, a, b]


@kernel
def scatter_ratio(
    regressors, innovation, gains, scale, rate, filter_cov, directions, filter_variance, kept, burn, scratch, out
):
    """Drive the filter's actual and its averaged error recursion by the same scores; compare the variances.

    The actual one, along the regressors (w the information scalar; linearised around the weights of `gains`):

        P = S + rate I;  S = P - w P u u'P / (1 + w u'P u);  e <- e + S u (x - w u'e)

    The averaged one, in the modes: a_m <- (1 - k_m) a_m + p_m u_m x. Their ratio says what averaging leaves out.

    Parameters
    ----------
    regressors : ndarray, (bins, d)
    innovation : ndarray, (units, bins)
    gains : ndarray, (units, d)
        Log-linear gains; zeros for Gaussian features.
    scale, rate : ndarray, (units,)
        bin_s or 1 / Z; learning rate per bin.
    filter_cov : ndarray, (units, d, d), in place
        Where S starts.
    directions, filter_variance, kept : ndarray, (units, d, d), (units, d), (units, d)
    burn : int
        Bins before anything is compared.
    scratch : ndarray, (8, d)
    out : ndarray, (units, d), out
        Variance of each weight by the actual over that by the averaged recursion.
    """
    units, bins = innovation.shape
    d = regressors.shape[1]
    g, e, mode = scratch[0], scratch[1], scratch[2]
    sums, squares, plain_sums, plain_squares, a = scratch[3], scratch[4], scratch[5], scratch[6], scratch[7]
    counted = bins - burn
    for i in range(units):
        scratch[:, :] = 0.0
        cov = filter_cov[i]
        for t in range(bins):
            u, x = regressors[t], innovation[i, t]
            predictor, spread, pull = 0.0, 0.0, 0.0
            for r in range(d):
                cov[r, r] += rate[i]
                predictor += gains[i, r] * u[r]
                pull += u[r] * e[r]
            for r in range(d):
                g[r] = 0.0
                for c in range(d):
                    g[r] += cov[r, c] * u[c]
                spread += g[r] * u[r]
            w = scale[i] * exponential(predictor)
            shrink = 1.0 / (1.0 + w * spread)
            for r in range(d):
                for c in range(d):
                    cov[r, c] -= w * shrink * g[r] * g[c]
            step = shrink * (x - w * pull)
            for r in range(d):
                e[r] += g[r] * step
            for m in range(d):
                mode[m] = 0.0
                for r in range(d):
                    mode[m] += directions[i, r, m] * u[r]
                a[m] = kept[i, m] * a[m] + filter_variance[i, m] * mode[m] * x
            if t < burn:
                continue
            for r in range(d):
                plain = 0.0
                for m in range(d):
                    plain += directions[i, r, m] * a[m]
                sums[r] += e[r]
                squares[r] += e[r] * e[r]
                plain_sums[r] += plain
                plain_squares[r] += plain * plain
        for r in range(d):
            actual = squares[r] - sums[r] * sums[r] / counted
            averaged = plain_squares[r] - plain_sums[r] * plain_sums[r] / counted
            out[i, r] = actual / averaged if averaged > 0.0 else 1.0
