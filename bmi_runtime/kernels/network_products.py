"""Products with the weights of a network: dense, by the entries that are not 0, and with weights of 8 bits."""

import math

import numpy as np

from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.vectors import DOUBLE_LANES, ROWS, STRIDE, dot_of_strides, dots_of_strides

MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)  # the bits of a float64 without its sign: ordered like the absolute values


@kernel
def row_entries(matrix, columns, values, starts):
    """Write the entries of `matrix` (n, n) that are not 0, row by row, with their columns; return how many there are.

    Row i goes to ``starts[i]`` up to ``starts[i + 1]`` (`starts` is (n + 1,)). `columns` and `values` need room for one
    entry more than there are; returns -1 when they are too small. No branch depends on an entry: where entries are
    scattered, a branch would be mispredicted at each.
    """
    n = matrix.shape[1]
    place, one, none = np.uint64(0), np.uint64(1), np.uint64(0)
    starts[0] = 0
    for i in range(matrix.shape[0]):
        row = matrix[i]
        if np.int64(place) + n >= columns.shape[0]:
            needed = 0
            for j in range(n):
                needed += 1 if row[j] != 0.0 else 0
            if np.int64(place) + needed >= columns.shape[0]:
                return -1
        for j in range(n):
            entry = row[j]
            columns[place] = j
            values[place] = entry
            place += one if entry != 0.0 else none
        starts[i + 1] = np.int64(place)
    return np.int64(place)


@kernel
def largest_in_rows(bits, largest):
    """Write the largest absolute value of every row of a matrix (n, m) of float64 into `largest` (n,).

    `bits` is the matrix seen as int64: integers have a maximum that vectorises, and infinite and undefined values are
    larger than all others. Four rows are read side by side, which memory answers faster than one.
    """
    last = bits.shape[0] - 1
    for i in range(0, bits.shape[0], 4):
        second, third, fourth = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        a, b, c, d = bits[i], bits[second], bits[third], bits[fourth]
        top_a = top_b = top_c = top_d = np.int64(0)
        for j in range(bits.shape[1]):
            size_a, size_b, size_c, size_d = a[j] & MAGNITUDE, b[j] & MAGNITUDE, c[j] & MAGNITUDE, d[j] & MAGNITUDE
            top_a = size_a if size_a > top_a else top_a
            top_b = size_b if size_b > top_b else top_b
            top_c = size_c if size_c > top_c else top_c
            top_d = size_d if size_d > top_d else top_d
        largest[i] = np.int64(top_a).view(np.float64)
        largest[second] = np.int64(top_b).view(np.float64)
        largest[third] = np.int64(top_c).view(np.float64)
        largest[fourth] = np.int64(top_d).view(np.float64)


@kernel
def compress(matrix, largest, codes, units):
    """Write `matrix` (n, n) as 8-bit integers: ``matrix[i, j]`` is about ``units[i] codes[i, j]``.

    The unit of a row is its largest absolute value (`largest`, (n,)) over 127. `codes` is (n, n) int8, `units` (n,).
    """
    for i in range(matrix.shape[0]):
        row, out = matrix[i], codes[i]
        units[i] = largest[i] / 127.0
        factor = 127.0 / largest[i] if largest[i] > 0.0 else 0.0
        for j in range(matrix.shape[1]):
            out[j] = np.int8(np.int32(row[j] * factor + 128.5) - np.int32(128))


@kernel
def product(matrix, x, out):
    """Write the product of `matrix` (n, m) with `x` (m,) into `out` (n,).

    By one thread and always in the same order, so to the same bits everywhere; the sums are of :func:`dots_of_strides`.
    """
    m = x.shape[0]
    whole = m // DOUBLE_LANES * DOUBLE_LANES
    together = matrix.shape[0] // ROWS * ROWS
    for first in range(0, together, ROWS):
        dots_of_strides(matrix, first, x, out, whole)
        for i in range(first, first + ROWS):
            for j in range(whole, m):
                out[i] += matrix[i, j] * x[j]
    for i in range(together, matrix.shape[0]):
        total = 0.0
        for j in range(m):
            total += matrix[i, j] * x[j]
        out[i] = total


@kernel
def compressed_product(codes, units, x, short, out):
    """Write the product of the compressed weights of :func:`compress` with `x` (n,) into `out` (n,).

    `x` is rounded to integers (`short`, (n,) int16, is written) so small that the sums of products fit 32 bits: sums of
    integers do not depend on their order, so they vectorise (see :mod:`vectors`), and give the same bits everywhere.
    """
    n = x.shape[0]
    largest = 0.0
    for j in range(n):
        largest = max(largest, abs(x[j]))
    most = min(32000.0, math.floor(2147483647.0 / (127.0 * n)) - 1.0)
    factor = most / largest if largest > 0.0 else 0.0
    for j in range(n):
        short[j] = np.int16(np.int32(x[j] * factor + 32768.5) - np.int32(32768))
    scale = largest / most
    whole = n // STRIDE * STRIDE
    for i in range(codes.shape[0]):
        row = codes[i]
        total = dot_of_strides(row, short, whole)
        for j in range(whole, n):
            total = np.int32(total + np.int32(np.int32(row[j]) * np.int32(short[j])))
        out[i] = total * (units[i] * scale)


@kernel
def compressed_solve(codes, units, slopes, gap, relative, limit, scaled, short, x, image):
    """Solve ``x = gap + W (slopes x)`` with compressed weights by plain iteration; return how many products it took.

    Stops when the last change is below `relative` times the first; returns ``-limit`` when that takes more than `limit`
    products. `x` (n,) is written; `scaled`, `image` (n,) and `short` (n,) int16 are work arrays.
    """
    n = gap.shape[0]
    first = 0.0
    for i in range(n):
        x[i] = gap[i]
        first = max(first, abs(gap[i]))
    for count in range(1, limit + 1):
        for i in range(n):
            scaled[i] = slopes[i] * x[i]
        compressed_product(codes, units, scaled, short, image)
        change = 0.0
        for i in range(n):
            new = gap[i] + image[i]
            change = max(change, abs(new - x[i]))
            x[i] = new
        if change <= relative * first:
            return count
        if not change <= 100.0 * first:
            return -limit
    return -limit


@kernel
def chebyshev_sum(coefficients, middle, half, x, last, before, out):
    """Write ``sum c_k T_k((x - middle) / half)`` into `out` (n,), by Clenshaw's recurrence.

    `x` (n,) lies within `half` of `middle`; `last` and `before` (n,) are work arrays.
    """
    n = x.shape[0]
    inverse = 2.0 / half
    for i in range(n):
        last[i] = 0.0
        before[i] = 0.0
    for k in range(coefficients.shape[0] - 1, 0, -1):
        c = coefficients[k]
        for i in range(n):
            new = c + (x[i] - middle) * inverse * last[i] - before[i]
            before[i] = last[i]
            last[i] = new
    for i in range(n):
        out[i] = coefficients[0] + 0.5 * (x[i] - middle) * inverse * last[i] - before[i]
