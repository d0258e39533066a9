"""Weights of log-linear Poisson units by maximum likelihood: Newton's method with halved steps."""

import contextlib

import numpy as np

from bmi_runtime.calibration.design import UnusableUnits

NEWTON_STEPS = 60  # before a fit is given up
THIN_BINS = 8_000  # of a long pilot, that a first fit is made to


def poisson_weights(u: np.ndarray, y: np.ndarray, bin_s: float, names: tuple[str, ...]) -> np.ndarray:
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

    Raises
    ------
    UnusableUnits
        Naming all units whose weights do not converge.
    """
    start = None
    if len(u) > 2 * THIN_BINS:
        rows = slice(None, None, len(u) // THIN_BINS)
        with contextlib.suppress(UnusableUnits):
            if y[rows].any(axis=0).all():
                start = _newton(u[rows], y[rows], bin_s, names, None)
    return _newton(u, y, bin_s, names, start)


def _newton(u: np.ndarray, y: np.ndarray, bin_s: float, names: tuple[str, ...], start: np.ndarray | None) -> np.ndarray:
    """Return the weights that fit counts y (bins, units) to regressors u (bins, regressors), (units, regressors)."""
    from bmi_runtime.kernels.poisson_moments import poisson_moments

    u, log_bin, target = np.ascontiguousarray(u), float(np.log(bin_s)), y.T @ u
    lower, upper = np.tril_indices(u.shape[1])
    sums = np.empty((len(lower), y.shape[1]))
    weights = np.zeros((y.shape[1], u.shape[1]))
    weights[:, 0] = np.log(y.mean(axis=0)) - log_bin
    weights = weights if start is None else start

    def moments(w):
        """Return the log likelihood, its gradient and minus its second derivative."""
        poisson_moments(u, np.ascontiguousarray(w.T), log_bin, sums)
        hessian = np.zeros((len(w), u.shape[1], u.shape[1]))
        hessian[:, lower, upper] = hessian[:, upper, lower] = sums.T
        return (w * target).sum(axis=1) - sums[0], target - hessian[:, 0], hessian

    value, gradient, hessian = moments(weights)
    gain = np.zeros(len(weights))
    for _ in range(NEWTON_STEPS):
        floor = 1e-12 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] * np.eye(u.shape[1])
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
