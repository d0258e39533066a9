"""The monitor's step for any number of regressors: block by block of units, one row of units after the other.

The equations are those of :mod:`bmi_runtime.kernels.monitoring`. Written unit by unit the loops over regressors cannot
be vectorised, and seven axes cost five times two; over rows of units every operation is a vector one, in the same order
of additions for each unit.
"""

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.monitoring import GAUSSIAN, MEMORIES, SEEN, SINGLE, accumulate

BLOCK = 256  # units worked on together: the scratch stays in the second-level cache, and a call costs as 60 units do
W, V, X, LOSS, SPREAD, QUADRATIC, ALONG, NOISE, PULL, N_SCALARS = range(10)
"""Rows of the scratch that hold one number of each unit; those of the vectors follow."""


def matrices_size(regressors: int) -> int:
    """Return how many numbers E, C and a of one unit are, for any number of regressors."""
    return regressors * (regressors + 1) // 2 + regressors * regressors + regressors


def work_shape(regressors: int) -> tuple[int, int]:
    """Return the shape of the scratch of `monitor_step_any`."""
    return N_SCALARS + 7 * regressors, BLOCK


@kernel
def _information(counts, valid, innovation, noise_variance, gaussian, single, one):
    """Set w, v and x of each unit."""
    for i in range(innovation.size):
        nu, mask = innovation[i], valid[i]
        if gaussian > 0.0:
            w = mask / noise_variance[i]
            one[V, i], one[X, i] = w, nu * w
        else:
            w = mask * max(counts[i] - nu, 0.0)
            one[V, i], one[X, i] = w * (1.0 - single * min(w, 1.0)), mask * nu
        one[W, i] = w


@kernel
def _add_products(g, h, own, error, u):
    """Add the same regressor's part to S u and E u: as many arrays as a loop can have and still be vectorised."""
    for i in range(u.size):
        g[i] += own[i] * u[i]
        h[i] += error[i] * u[i]


@kernel
def _add_weighted(out, w, element, u):
    for i in range(out.size):
        out[i] += w[i] * element[i] * u[i]


@kernel
def _noise_and_pull(w, v, spread, quadratic, noise, pull):
    for i in range(w.size):
        noise[i] = w[i] * w[i] * spread[i] + v[i]
        pull[i] = w[i] * w[i] * quadratic[i] - noise[i]


@kernel
def _direction(f, w, h, left, pull, g):
    for i in range(f.size):
        f[i] = w[i] * (h[i] - left[i]) + pull[i] * g[i]


@kernel
def _update_cross(element, g_a, f_b, right_a, g_b):
    for i in range(element.size):
        element[i] += g_a[i] * f_b[i] - right_a[i] * g_b[i]


@kernel
def _update_error(element, noisy_a, g_a, g_b, h_a, h_b, w):
    for i in range(element.size):
        element[i] += noisy_a[i] * g_b[i] - w[i] * (g_a[i] * h_b[i] + g_b[i] * h_a[i])


@kernel
def _update_trace(element, g, x, w, along):
    for i in range(element.size):
        element[i] += g[i] * (x[i] - w[i] * along[i])


@kernel
def _products(covariance, matrices, u, w, g, h, left, right, start, stop):
    """Set g = S u, h = E u, u'C and w C u of a block of units."""
    d, n = u.shape[0], stop - start
    pairs = d * (d + 1) // 2
    for a in range(d):
        rows.fill(g[a, :n], 0.0)
        rows.fill(h[a, :n], 0.0)
        rows.fill(left[a, :n], 0.0)
        rows.fill(right[a, :n], 0.0)
    pair = 0
    for a in range(d):
        for b in range(a):
            own, error = covariance[pair, start:stop], matrices[pair, start:stop]
            _add_products(g[a, :n], h[a, :n], own, error, u[b, :n])  # an element off the diagonal counts both ways
            _add_products(g[b, :n], h[b, :n], own, error, u[a, :n])
            pair += 1
        _add_products(g[a, :n], h[a, :n], covariance[pair, start:stop], matrices[pair, start:stop], u[a, :n])
        pair += 1
        for b in range(d):
            element = matrices[pairs + a * d + b, start:stop]
            rows.add_product(left[b, :n], u[a, :n], element)
            _add_weighted(right[a, :n], w, element, u[b, :n])


@kernel
def _scalars(matrices, one, u, g, h, left, start, stop):
    """Set u'S u, u'E u, u'C u, u'a, and what follows from them."""
    d, n = u.shape[0], stop - start
    trace = matrices.shape[0] - d
    for number in range(LOSS, ALONG + 1):
        rows.fill(one[number, :n], 0.0)
    for a in range(d):
        rows.add_product(one[LOSS, :n], g[a, :n], u[a, :n])
        rows.add_product(one[SPREAD, :n], h[a, :n], u[a, :n])
        rows.add_product(one[QUADRATIC, :n], left[a, :n], u[a, :n])
        rows.add_product(one[ALONG, :n], matrices[trace + a, start:stop], u[a, :n])
    scalars = (one[W, :n], one[V, :n], one[SPREAD, :n], one[QUADRATIC, :n])
    _noise_and_pull(*scalars, one[NOISE, :n], one[PULL, :n])


@kernel
def _update(matrices, one, g, h, left, right, f, noisy, start, stop):
    """Take one bin into E, C and a of a block of units."""
    d, n, w = g.shape[0], stop - start, one[W, : stop - start]
    pairs = d * (d + 1) // 2
    for a in range(d):
        _direction(f[a, :n], w, h[a, :n], left[a, :n], one[PULL, :n], g[a, :n])
        rows.product(noisy[a, :n], one[NOISE, :n], g[a, :n])
    pair = 0
    for a in range(d):
        for b in range(d):
            _update_cross(matrices[pairs + a * d + b, start:stop], g[a, :n], f[b, :n], right[a, :n], g[b, :n])
        for b in range(a + 1):
            vectors = (noisy[a, :n], g[a, :n], g[b, :n], h[a, :n], h[b, :n])
            _update_error(matrices[pair, start:stop], *vectors, w)
            pair += 1
        _update_trace(matrices[pairs + d * d + a, start:stop], g[a, :n], one[X, :n], w, one[ALONG, :n])


@kernel
def monitor_step_any(
    regressors, counts, valid, innovation, covariance, noise_variance, settings, matrices, state, gains, work
):
    """Update every unit's statistics with one bin (see `bmi_runtime.kernels.monitoring_plane.monitor_plane`).

    Arguments that are not listed are those of `monitor_plane`.

    Parameters
    ----------
    regressors : ndarray, (d, 1) for all units alike, or (d, units)
    matrices : ndarray, (pairs + d d + d, units), in place
        E (lower triangle), C (row by row) and a of every unit.
    state : ndarray, (units, N_STATE), in place
        Its columns from SEEN on are the statistics; those before are not used.
    gains : ndarray, (d, units), out
        S u of every unit, for :func:`bmi_runtime.kernels.correlated.correlated_step`.
    work : ndarray, of `work_shape`, scratch
    """
    d, n = regressors.shape[0], innovation.size
    one, vectors = work[:N_SCALARS], work[N_SCALARS:]
    u, g, h, left = vectors[:d], vectors[d : 2 * d], vectors[2 * d : 3 * d], vectors[3 * d : 4 * d]
    right, f, noisy = vectors[4 * d : 5 * d], vectors[5 * d : 6 * d], vectors[6 * d : 7 * d]
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        for a in range(d):
            if regressors.shape[1] > 1:
                rows.scaled(u[a, :width], 1.0, regressors[a, start:stop])
            else:
                rows.fill(u[a, :width], regressors[a, 0])
        here = (counts[start:stop], valid[start:stop], innovation[start:stop], noise_variance[start:stop])
        _information(*here, settings[GAUSSIAN], settings[SINGLE], one)
        _products(covariance, matrices, u, one[W, :width], g, h, left, right, start, stop)
        for a in range(d):
            rows.scaled(gains[a, start:stop], 1.0, g[a, :width])
        _scalars(matrices, one, u, g, h, left, start, stop)
        _update(matrices, one, g, h, left, right, f, noisy, start, stop)
        _count(counts, valid, innovation, settings, d, one, state, start, stop)


@kernel
def _count(counts, valid, innovation, settings, d, one, state, start, stop):
    """Add the bin to the sums of a block of units."""
    for i in range(start, stop):
        j = i - start
        w = one[W, j]
        state[i, SEEN] += w * one[LOSS, j] / d
        if valid[i] > 0.0 and state[i, SEEN] >= settings[MEMORIES]:
            accumulate(
                state, i, innovation[i], counts[i], w, one[V, j], one[X, j], one[SPREAD, j], one[ALONG, j],
                one[QUADRATIC, j], settings,
            )  # fmt: skip
