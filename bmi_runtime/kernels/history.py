"""Kernels of the decoders that use spike history: box-shaped windows of past counts, weights on the simplex."""

from bmi_runtime.kernels.jit import kernel


@kernel
def box_windows(ring, head, edges, scale, out):
    """Write the scaled sums of past counts over consecutive windows.

    Parameters
    ----------
    ring : float64, shape (length, units)
        The last `length` bins of counts, a circular buffer.
    head : int
        Row of the newest bin.
    edges : int64, shape (windows + 1,)
        Window w covers the lags ``edges[w] <= lag < edges[w + 1]``.
    scale : float64, shape (windows,)
    out : float64, shape (windows * units,)
        Window after window.
    """
    length, units = ring.shape
    for window in range(len(scale)):
        base = window * units
        for unit in range(units):
            out[base + unit] = 0.0
        for lag in range(edges[window], edges[window + 1]):
            row = (head - lag) % length
            for unit in range(units):
                out[base + unit] += ring[row, unit]
        for unit in range(units):
            out[base + unit] *= scale[window]


@kernel
def simplex_weights(moments, iterations, weights, gradient):
    """Minimise ``w' M w`` over non-negative `weights` that sum to one, by pairwise exchange from their present value.

    In each iteration weight moves from the used entry of largest gradient to the entry of smallest, by the exact line
    search; the objective never grows (the pairwise Frank-Wolfe step for a quadratic on the simplex).

    Parameters
    ----------
    moments : float64, shape (n, n)
        Symmetric, positive semi-definite.
    iterations : int
    weights : float64, shape (n,)
        In: a point of the simplex. Out: the improved one.
    gradient : float64, shape (n,)
        Work space.
    """
    n = len(weights)
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += moments[i, j] * weights[j]
        gradient[i] = total
    for _ in range(iterations):
        low, high = 0, -1
        for i in range(n):
            if gradient[i] < gradient[low]:
                low = i
            if weights[i] > 0.0 and (high < 0 or gradient[i] > gradient[high]):
                high = i
        if high == low:
            return
        curvature = moments[low, low] + moments[high, high] - 2.0 * moments[low, high]
        step = weights[high]
        slope = gradient[high] - gradient[low]
        if curvature > 0.0 and slope < curvature * step:
            step = slope / curvature
        if step <= 0.0:
            return
        if step == weights[high]:
            weights[high] = 0.0
        else:
            weights[high] -= step
        weights[low] += step
        for i in range(n):
            gradient[i] += step * (moments[i, low] - moments[i, high])
