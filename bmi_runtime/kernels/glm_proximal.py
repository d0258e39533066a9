"""Block coordinate descent for a quadratic with a group-lasso penalty."""

import numpy as np

from bmi_runtime.kernels.jit import kernel


@kernel
def shrink_group(values, vectors, linear, strength, work, out):
    """Write the minimiser of ``v' A v / 2 + linear' v + strength |v|`` into `out`.

    ``A = vectors diag(values) vectors'``. With `z` the coordinates of `linear`, the length ``r`` of the minimiser
    solves ``sum_k (z_k / (values_k r + strength))^2 = 1`` when ``|z| > strength`` (bisection and Newton on a decreasing
    function); otherwise the minimiser is zero.
    """
    size = values.size
    norm = 0.0
    for k in range(size):
        total = 0.0
        for m in range(size):
            total += vectors[m, k] * linear[m]
        work[k] = total
        norm += total * total
    norm = np.sqrt(norm)
    if norm <= strength:
        for m in range(size):
            out[m] = 0.0
        return
    radius = 0.0
    if strength > 0.0:
        smallest = values[0]
        largest = values[0]
        for k in range(size):
            smallest = min(smallest, values[k])
            largest = max(largest, values[k])
        low = (norm - strength) / largest
        high = (norm - strength) / max(smallest, 1e-300)
        radius = low
        for _ in range(100):
            excess = -1.0
            slope = 0.0
            for k in range(size):
                denominator = values[k] * radius + strength
                part = work[k] / denominator
                excess += part * part
                slope -= 2.0 * part * part * values[k] / denominator
            if excess > 0.0:
                low = radius
            else:
                high = radius
            if abs(excess) < 1e-14:
                break
            step = radius - excess / slope
            radius = step if low < step < high else 0.5 * (low + high)
            if high - low <= 1e-15 * high:
                break
    for k in range(size):
        work[k] = -work[k] * radius / (values[k] * radius + strength) if strength > 0.0 else -work[k] / values[k]
    for m in range(size):
        total = 0.0
        for k in range(size):
            total += vectors[m, k] * work[k]
        out[m] = total


@kernel
def descend(gram, starts, values, vectors, strengths, linear, weights, product, work, tolerance, sweeps):
    """Minimise ``w' gram w / 2 + linear' w + sum_g strengths[g] |w_g|`` over `weights`, in place.

    Group ``g`` is ``starts[g]:starts[g + 1]``; ``values[g]``, ``vectors[g]`` are the eigenpairs of its block (padded
    to the largest group). ``product`` must hold ``gram @ weights`` and is kept up to date. `strengths` below zero
    freeze a group. Returns the sweeps used.
    """
    groups = starts.size - 1
    columns = weights.size
    for sweep in range(sweeps):
        largest = 0.0
        for g in range(groups):
            if strengths[g] < 0.0:
                continue
            begin, end = starts[g], starts[g + 1]
            size = end - begin
            for m in range(size):
                total = 0.0
                for k in range(size):
                    total += gram[begin + m, begin + k] * weights[begin + k]
                work[0, m] = linear[begin + m] + product[begin + m] - total
            shrink_group(values[g, :size], vectors[g, :size, :size], work[0, :size], strengths[g], work[1], work[2])
            for m in range(size):
                change = work[2, m] - weights[begin + m]
                if change != 0.0:
                    weights[begin + m] = work[2, m]
                    largest = max(largest, abs(change))
                    for k in range(columns):
                        product[k] += gram[begin + m, k] * change
        if largest <= tolerance:
            return sweep + 1
    return sweeps
