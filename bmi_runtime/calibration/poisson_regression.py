"""Weights of log-linear Poisson units by maximum likelihood: Newton's method with halved steps."""

import contextlib

import numpy as np

from bmi_runtime.calibration.design import UnusableUnits

NEWTON_STEPS = 60  # before a fit is given up
THIN_BINS = 8_000  # of a long pilot, that a first fit is made to


def poisson_weights(
    u: np.ndarray, y: np.ndarray, bin_s: float, names: tuple[str, ...], own: np.ndarray | None = None
) -> np.ndarray:
    """Return log-linear Poisson weights by maximum likelihood, log Hz, (units, regressors).

    Of a long pilot some of the bins are fitted first: that takes most of the way at a fraction of the cost.

    Parameters
    ----------
    u : ndarray, shape (bins, regressors)
        The first column is one.
    y : ndarray, shape (bins, units)
        Counts.
    bin_s : float
        Width of a bin, s.
    names : tuple of str
        Of the units, for messages.
    own : ndarray, shape (bins, histories, units), optional
        Regressors that are each unit's own, after the common ones.

    Raises
    ------
    UnusableUnits
        Naming all units whose weights do not converge.
    """
    start, own = None, np.zeros((len(u), 0, y.shape[1])) if own is None else own
    if len(u) > 2 * THIN_BINS:
        rows = slice(None, None, len(u) // THIN_BINS)
        with contextlib.suppress(UnusableUnits):
            if y[rows].any(axis=0).all():
                start = _newton(u[rows], own[rows], y[rows], bin_s, names, None)
    return _newton(u, own, y, bin_s, names, start)


def _newton(
    u: np.ndarray,
    own: np.ndarray,
    y: np.ndarray,
    bin_s: float,
    names: tuple[str, ...],
    start: np.ndarray | None,
) -> np.ndarray:
    """Return the weights (units, regressors) that fit counts y (bins, units) to u and to what is a unit's own."""
    from bmi_runtime.kernels.poisson_moments import poisson_moments

    u, own, log_bin = np.ascontiguousarray(u), np.ascontiguousarray(own), float(np.log(bin_s))
    target = np.hstack([y.T @ u, np.einsum("tn,thn->nh", y, own)])
    d = target.shape[1]
    lower, upper = np.tril_indices(d)
    sums = np.empty((len(lower), y.shape[1]))
    weights = np.zeros((y.shape[1], d))
    weights[:, 0] = np.log(y.mean(axis=0)) - log_bin
    weights = weights if start is None else start

    def moments(w):
        """Return the log likelihood, its gradient and minus its second derivative."""
        poisson_moments(u, own, np.ascontiguousarray(w.T), log_bin, sums)
        hessian = np.zeros((len(w), d, d))
        hessian[:, lower, upper] = hessian[:, upper, lower] = sums.T
        return (w * target).sum(axis=1) - sums[0], target - hessian[:, 0], hessian

    value, gradient, hessian = moments(weights)
    gain = np.zeros(len(weights))
    for _ in range(NEWTON_STEPS):
        floor = 1e-12 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] * np.eye(d)
        try:
            step = np.linalg.solve(hessian + floor, gradient[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            break
        gain = (step * gradient).sum(axis=1)
        if gain.max() < 1e-9:
            return weights
        for _ in range(20):
            found = moments(weights + step)
            worse = found[0] < value - 1e-9 * np.abs(value)
            if not worse.any():
                break
            step[worse] *= 0.5
        weights, (value, gradient, hessian) = weights + step, moments(weights + step) if worse.any() else found
    unit = int(np.argmax(np.where(np.isfinite(gain), gain, np.inf)))
    raise UnusableUnits(
        f"the weights of unit {names[unit]} do not converge: it seems to fire in some directions only, or the "
        "states do not vary; leave it out or record a longer pilot",
        tuple(names[i] for i in np.flatnonzero(~(gain < 1e-9))) or (names[unit],),
    )
