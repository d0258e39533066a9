import numpy as np
import pytest

from bmi_runtime.kernels import tridiagonal


@pytest.mark.parametrize("n", [3, 4, 5, 50, 51])
def test_solutions_against_dense_algebra(n):
    rng = np.random.default_rng(4)
    lower, upper = rng.random((2, n))
    diagonal = 2.5 + rng.random(n)
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    ratio, back, inverse = np.zeros((3, n))
    tridiagonal.factor(lower, diagonal, upper, ratio, back, inverse)
    first, second = rng.normal(size=(2, n))
    alone, x, y = first.copy(), first.copy(), second.copy()
    tridiagonal.solve(ratio, back, inverse, alone)
    tridiagonal.solve_pair(ratio, back, inverse, x, y)
    np.testing.assert_allclose(alone, np.linalg.solve(matrix, first), rtol=1e-12)
    np.testing.assert_array_equal(x, alone)
    np.testing.assert_allclose(y, np.linalg.solve(matrix, second), rtol=1e-12)
