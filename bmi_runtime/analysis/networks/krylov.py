"""Linear systems by products alone."""

import numpy as np


def gmres(apply, right: np.ndarray, relative: float, limit: int = 80) -> tuple[np.ndarray, int]:
    """Solve ``apply(x) = right`` to the relative residual `relative` by GMRES (Saad & Schultz 1986), without
    restarts.

    Returns
    -------
    tuple
        The solution and the number of products.
    """
    size = float(np.linalg.norm(right))
    if size == 0:
        return np.zeros_like(right), 0
    basis = np.empty((limit, right.size))
    basis[0] = right / size
    hessenberg = np.zeros((limit + 1, limit))
    target = np.zeros(limit + 1)
    target[0] = size
    for k in range(limit):
        vector = apply(basis[k])
        stacked = basis[: k + 1]
        for _ in range(2):  # the second pass restores orthogonality lost to rounding
            overlap = stacked @ vector
            vector = vector - overlap @ stacked
            hessenberg[: k + 1, k] += overlap
        hessenberg[k + 1, k] = np.linalg.norm(vector)
        weights = np.linalg.lstsq(hessenberg[: k + 2, : k + 1], target[: k + 2], rcond=None)[0]
        left = np.linalg.norm(hessenberg[: k + 2, : k + 1] @ weights - target[: k + 2])
        if left <= relative * size or hessenberg[k + 1, k] < 1e-14 * size or k == limit - 1:
            return weights @ stacked, k + 1
        basis[k + 1] = vector / hessenberg[k + 1, k]
    raise AssertionError("unreachable")
