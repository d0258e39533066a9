"""Systems of equations of a symmetric positive definite matrix, as regressions of many inputs need them."""

import numpy as np
import scipy.linalg


def solve_positive(matrix: np.ndarray, penalty: np.ndarray | float, right: np.ndarray) -> np.ndarray:
    """Solve ``(matrix + diag(penalty)) x = right`` by Cholesky's factors, without what a general solver checks first.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Symmetric.
    penalty : ndarray, shape (n,), or float
        Added to the diagonal.
    right : ndarray, shape (n, outputs)

    Raises
    ------
    numpy.linalg.LinAlgError
        When the sum is not positive definite.
    """
    own = np.array(matrix, order="F")
    own.reshape(-1, order="F")[:: len(own) + 1] += penalty
    factor = scipy.linalg.cho_factor(own, overwrite_a=True, check_finite=False)
    return scipy.linalg.cho_solve(factor, right, check_finite=False)
