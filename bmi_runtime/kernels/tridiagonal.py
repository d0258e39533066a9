"""Tridiagonal systems by elimination without pivoting, for matrices that are diagonally dominant by columns.

The elimination runs from both ends at once and meets in the row ``n // 2``: two chains of dependent operations overlap
in the processor, which takes about half the time of one sweep from end to end (Thomas).
"""

from bmi_runtime.kernels.jit import kernel


@kernel
def factor(lower, diagonal, upper, ratio, back, inverse):
    """Factor a tridiagonal matrix, once for many right-hand sides.

    Parameters
    ----------
    lower, diagonal, upper : float64 arrays (n,)
        Row `i` holds ``lower[i] x[i-1] + diagonal[i] x[i] + upper[i] x[i+1]``; ``lower[0]`` and ``upper[n-1]`` are
        unused; n is at least 3.
    ratio, back, inverse : float64 arrays (n,)
        Written: the multipliers of the elimination, those of the substitution, and one over the pivots. In the row
        where the two eliminations meet, `ratio` and `back` are the two multipliers of the elimination.
    """
    n = diagonal.shape[0]
    middle = n // 2
    below = n - 1 - middle  # rows under the middle: as many as above it, or one fewer
    first, last = 1.0 / diagonal[0], 1.0 / diagonal[n - 1]
    inverse[0], inverse[n - 1] = first, last
    for k in range(1, below):
        j = n - 1 - k
        first = 1.0 / (diagonal[k] - lower[k] * upper[k - 1] * first)
        last = 1.0 / (diagonal[j] - upper[j] * lower[j + 1] * last)
        inverse[k], inverse[j] = first, last
    if below < middle and middle > 1:
        first = 1.0 / (diagonal[middle - 1] - lower[middle - 1] * upper[middle - 2] * first)
        inverse[middle - 1] = first
    ratio[0], ratio[n - 1] = 0.0, 0.0
    back[0], back[n - 1] = upper[0] * inverse[0], lower[n - 1] * inverse[n - 1]
    for i in range(1, middle):
        ratio[i] = lower[i] * inverse[i - 1]
        back[i] = upper[i] * inverse[i]
    for j in range(middle + 1, n - 1):
        ratio[j] = upper[j] * inverse[j + 1]
        back[j] = lower[j] * inverse[j]
    ratio[middle], back[middle] = lower[middle] * first, upper[middle] * last
    inverse[middle] = 1.0 / (diagonal[middle] - ratio[middle] * upper[middle - 1] - back[middle] * lower[middle + 1])


@kernel
def solve(ratio, back, inverse, x):
    """Solve in place with the factors of :func:`factor`: `x` (n,) holds the right-hand side, then the solution."""
    n = x.shape[0]
    middle = n // 2
    below = n - 1 - middle
    first, last = x[0], x[n - 1]
    for k in range(1, below):
        j = n - 1 - k
        first = x[k] - ratio[k] * first
        last = x[j] - ratio[j] * last
        x[k], x[j] = first, last
    if below < middle and middle > 1:
        first = x[middle - 1] - ratio[middle - 1] * first
        x[middle - 1] = first
    first = last = (x[middle] - ratio[middle] * first - back[middle] * last) * inverse[middle]
    x[middle] = first
    for k in range(1, below + 1):
        i, j = middle - k, middle + k
        first = x[i] * inverse[i] - back[i] * first
        last = x[j] * inverse[j] - back[j] * last
        x[i], x[j] = first, last
    if below < middle:
        x[0] = x[0] * inverse[0] - back[0] * first


@kernel
def solve_pair(ratio, back, inverse, x, y):
    """Solve for two right-hand sides in one sweep: four chains of dependent operations overlap in the processor."""
    n = x.shape[0]
    middle = n // 2
    below = n - 1 - middle
    first, last, one, other = x[0], x[n - 1], y[0], y[n - 1]
    for k in range(1, below):
        j = n - 1 - k
        first, one = x[k] - ratio[k] * first, y[k] - ratio[k] * one
        last, other = x[j] - ratio[j] * last, y[j] - ratio[j] * other
        x[k], x[j], y[k], y[j] = first, last, one, other
    if below < middle and middle > 1:
        first, one = x[middle - 1] - ratio[middle - 1] * first, y[middle - 1] - ratio[middle - 1] * one
        x[middle - 1], y[middle - 1] = first, one
    first = last = (x[middle] - ratio[middle] * first - back[middle] * last) * inverse[middle]
    one = other = (y[middle] - ratio[middle] * one - back[middle] * other) * inverse[middle]
    x[middle], y[middle] = first, one
    for k in range(1, below + 1):
        i, j = middle - k, middle + k
        first, one = x[i] * inverse[i] - back[i] * first, y[i] * inverse[i] - back[i] * one
        last, other = x[j] * inverse[j] - back[j] * last, y[j] * inverse[j] - back[j] * other
        x[i], x[j], y[i], y[j] = first, last, one, other
    if below < middle:
        x[0] = x[0] * inverse[0] - back[0] * first
        y[0] = y[0] * inverse[0] - back[0] * one
