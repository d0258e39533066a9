"""The error bounds that the calibration predicts from what the filter publishes."""

import numpy as np


def steady_error_variance(covariance: np.ndarray, learning_rate: float) -> np.ndarray:
    """Return the steady-state error variance of each weight, if the truth stays constant and the filter has settled.

    With S the filter's own covariance, eigenvalues p_i and learning rate s per bin: k_i = s / (s + p_i) is the loss of
    mean error per bin, and the error covariance has eigenvalues p_i / (2 - k_i): about half of S, which would be the
    error only if the truth walked randomly. Derived from the averaged recursion (not an equation of a paper).

    Parameters
    ----------
    covariance : ndarray, (..., d, d)
        The filter's own covariance of one unit or of many.
    learning_rate : float
        s or r, per bin.

    Returns
    -------
    ndarray, (..., d)
    """
    p, directions = np.linalg.eigh(covariance)
    p = np.maximum(p, 0.0)
    k = learning_rate / np.maximum(learning_rate + p, 1e-300)
    return np.einsum("...ij,...j,...ij->...i", directions, p / (2.0 - k), directions)


def dense(pairs: np.ndarray, size: int) -> np.ndarray:
    """Return symmetric matrices, (..., size, size), from lower triangles, (pairs, ...): (0,0), (1,0), (1,1), ..."""
    rows, columns = np.tril_indices(size)
    full = np.empty((*pairs.shape[1:], size, size))
    full[..., rows, columns] = full[..., columns, rows] = np.moveaxis(pairs, 0, -1)
    return full
