import numpy as np

from bmi_runtime.kernels import tridiagonal


def test_solutions_against_dense_algebra():
    rng = np.random.default_rng(4)
    lower, upper = rng.random((2, 50))
    diagonal = 2.5 + rng.random(50)
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    ratio, inverse = np.zeros((2, 50))
    tridiagonal.factor(lower, diagonal, upper, ratio, inverse)
    first, second = rng.normal(size=(2, 50))
    alone, x, y = first.copy(), first.copy(), second.copy()
    tridiagonal.solve(ratio, inverse, upper, alone)
    tridiagonal.solve_pair(ratio, inverse, upper, x, y)
    np.testing.assert_allclose(alone, np.linalg.solve(matrix, first), rtol=1e-12)
    np.testing.assert_array_equal(x, alone)
    np.testing.assert_allclose(y, np.linalg.solve(matrix, second), rtol=1e-12)
