"""Tridiagonal systems by elimination without pivoting (Thomas), for matrices that are diagonally dominant by
columns.
"""

from bmi_runtime.kernels.jit import kernel


@kernel
def factor(lower, diagonal, upper, ratio, inverse):
    """Factor a tridiagonal matrix, once for many right-hand sides.

    Parameters
    ----------
    lower, diagonal, upper : float64 arrays (n,)
        Row `i` holds ``lower[i] x[i-1] + diagonal[i] x[i] + upper[i] x[i+1]``; ``lower[0]`` and ``upper[n-1]`` are
        unused.
    ratio, inverse : float64 arrays (n,)
        Written: the multipliers of the elimination and one over its pivots.
    """
    inverse[0] = 1.0 / diagonal[0]
    ratio[0] = 0.0
    for i in range(1, diagonal.shape[0]):
        ratio[i] = lower[i] * inverse[i - 1]
        inverse[i] = 1.0 / (diagonal[i] - ratio[i] * upper[i - 1])


@kernel
def solve(ratio, inverse, upper, x):
    """Solve in place with the factors of :func:`factor`: `x` (n,) holds the right-hand side, then the solution."""
    n = x.shape[0]
    for i in range(1, n):
        x[i] -= ratio[i] * x[i - 1]
    x[n - 1] *= inverse[n - 1]
    for i in range(n - 2, -1, -1):
        x[i] = (x[i] - upper[i] * x[i + 1]) * inverse[i]


@kernel
def solve_pair(ratio, inverse, upper, x, y):
    """Solve for two right-hand sides in one sweep: the two chains of dependent operations overlap in the processor."""
    n = x.shape[0]
    for i in range(1, n):
        x[i] -= ratio[i] * x[i - 1]
        y[i] -= ratio[i] * y[i - 1]
    x[n - 1] *= inverse[n - 1]
    y[n - 1] *= inverse[n - 1]
    for i in range(n - 2, -1, -1):
        x[i] = (x[i] - upper[i] * x[i + 1]) * inverse[i]
        y[i] = (y[i] - upper[i] * y[i + 1]) * inverse[i]
