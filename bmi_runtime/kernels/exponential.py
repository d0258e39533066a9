"""An exponential that vectorises, and gives the same bits on every machine.

The C library's ``exp`` differs in the last bit between versions and cannot be vectorised by numba; this one is a range
reduction by ln 2 in two parts and a Taylor polynomial of degree 13 on [-ln2/2, ln2/2] (truncation below 1e-17), so
every operation is an IEEE addition or multiplication.
"""

import numpy as np

from bmi_runtime.kernels.jit import kernel

LARGEST = 700.0
_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_SHIFT = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer held in the low bits
_C = [1.0]
for _n in range(1, 14):
    _C.append(_C[-1] / _n)
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = _C[2:]


@kernel(inline="always")
def exponential(x):
    """Return exp(x) for a float64 scalar, `x` clipped to [-700, 700]; relative error below 3e-16.

    Parameters
    ----------
    x : float
        Exponent.

    Returns
    -------
    float
        exp(x).
    """
    x = min(max(x, -LARGEST), LARGEST)
    shifted = x * _LOG2E + _SHIFT
    whole = shifted - _SHIFT
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = _C12 + r * _C13
    p = _C11 + r * p
    p = _C10 + r * p
    p = _C9 + r * p
    p = _C8 + r * p
    p = _C7 + r * p
    p = _C6 + r * p
    p = _C5 + r * p
    p = _C4 + r * p
    p = _C3 + r * p
    p = _C2 + r * p
    p = 1.0 + r * (1.0 + r * p)
    scale = (np.float64(shifted).view(np.int64) + np.int64(1023)) << np.int64(52)
    return p * np.int64(scale).view(np.float64)


@kernel
def exponentials(x, out):
    """Write exp of each element of `x` into `out`."""
    for i in range(x.size):
        out[i] = exponential(x[i])
