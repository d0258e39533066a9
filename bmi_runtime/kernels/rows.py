"""Loops over one row of units. Each is so plain that the compiler turns it into vector instructions.

The filters work on blocks of units and call these on contiguous slices: a loop that touches more than a handful of
arrays, or indexes two-dimensional ones, is compiled to scalar code, at twice the time.
"""

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel


@kernel
def fill(out, value):
    """Set out[j] = value."""
    for j in range(out.size):
        out[j] = value


@kernel
def scaled(out, factor, x):
    """Set out[j] = factor x[j]."""
    for j in range(out.size):
        out[j] = factor * x[j]


@kernel
def add_scaled(out, factor, x):
    """Add factor x[j] to out[j]."""
    for j in range(out.size):
        out[j] += factor * x[j]


@kernel
def product(out, x, y):
    """Set out[j] = x[j] y[j]."""
    for j in range(out.size):
        out[j] = x[j] * y[j]


@kernel
def add_scaled_product(out, factor, x, y):
    """Add factor x[j] y[j] to out[j]."""
    for j in range(out.size):
        out[j] += factor * x[j] * y[j]


@kernel
def add_product(out, x, y):
    """Add x[j] y[j] to out[j]."""
    for j in range(out.size):
        out[j] += x[j] * y[j]


@kernel
def add_crosswise(left, right, pair, factor_left, factor_right):
    """Add pair[j] factor_right to left[j] and pair[j] factor_left to right[j]: one off-diagonal element, both ways."""
    for j in range(pair.size):
        value = pair[j]
        left[j] += value * factor_right
        right[j] += value * factor_left


@kernel
def subtract_outer(pair, gain, left, right):
    """Subtract gain[j] left[j] right[j] from pair[j]."""
    for j in range(pair.size):
        pair[j] -= gain[j] * left[j] * right[j]


@kernel
def grow_and_subtract_square(pair, growth, gain, left):
    """Set pair[j] = (pair[j] + growth[j]) - gain[j] left[j]^2."""
    for j in range(pair.size):
        pair[j] = (pair[j] + growth[j]) - gain[j] * left[j] * left[j]


@kernel
def limited_sum(out, value, low, high):
    """Set out[j] = out[j] + value, kept within [low, high]."""
    for j in range(out.size):
        out[j] = min(max(out[j] + value, low), high)


@kernel
def masked_exponential(out, x, mask):
    """Set out[j] = exp(x[j]) mask[j]."""
    for j in range(out.size):
        out[j] = exponential(x[j]) * mask[j]


@kernel
def masked_difference(out, x, mask, y):
    """Set out[j] = x[j] mask[j] - y[j]."""
    for j in range(out.size):
        out[j] = x[j] * mask[j] - y[j]


@kernel
def difference(out, x, y):
    """Set out[j] = x[j] - y[j]."""
    for j in range(out.size):
        out[j] = x[j] - y[j]


@kernel
def subtract_from(out, x):
    """Set out[j] = x[j] - out[j]."""
    for j in range(out.size):
        out[j] = x[j] - out[j]


@kernel
def largest(x):
    """Return the largest element."""
    best = x[0]
    for j in range(x.size):
        best = max(best, x[j])
    return best


@kernel
def total(x):
    """Return the sum, always in the same order: four running sums, then their sum."""
    a = b = c = d = 0.0
    quarter = x.size // 4 * 4
    for j in range(0, quarter, 4):
        a += x[j]
        b += x[j + 1]
        c += x[j + 2]
        d += x[j + 3]
    for j in range(quarter, x.size):
        a += x[j]
    return (a + b) + (c + d)


@kernel
def dot(x, y):
    """Return the sum of x[j] y[j], in the order of :func:`total`."""
    a = b = c = d = 0.0
    quarter = x.size // 4 * 4
    for j in range(0, quarter, 4):
        a += x[j] * y[j]
        b += x[j + 1] * y[j + 1]
        c += x[j + 2] * y[j + 2]
        d += x[j + 3] * y[j + 3]
    for j in range(quarter, x.size):
        a += x[j] * y[j]
    return (a + b) + (c + d)
