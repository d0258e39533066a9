"""The stationary rate of a leaky integrate-and-fire neuron in white noise, and its slope, safe over the whole range.

With ``tau v' = -(v - E) + sqrt(sigma^2 tau) xi(t)`` (stationary standard deviation ``sigma / sqrt 2``), Siegert's
formula is

    1 / r = t_ref + tau sqrt(pi) integral from a to b of f(x) dx,   a = (v_reset - E) / sigma,   b = (v_threshold -
    E) / sigma,

``f(x) = exp(x^2) (1 + erf x) = erfcx(-x)`` (Siegert 1951; Brunel & Hakim 1999 in this scaling). Three functions of
one positive variable make it safe (our arrangement): erfcx, Dawson's integral D and ``H(y) = integral from 0 to y
of erfcx``, since

    integral from 0 to x of f = 2 exp(x^2) D(x) - H(x) for x > 0,   and   -H(-x) for x < 0;

the factor ``exp(b^2)`` is taken out, so nothing overflows. Short or far-away intervals, where a difference of
antiderivatives would cancel, are integrated by Gauss-Legendre points instead. Each function is a smooth factor,
tabulated as local Chebyshev polynomials in ``t = C / (C + y)``, times a closed form that carries its behaviour at 0
and at infinity.
"""

import math

import numpy as np
from scipy import special

from bmi_runtime.kernels.jit import kernel

_C = 3.0
_INTERVALS = 64
_DEGREE = 8
_POINTS = 10
_ROOT_PI = math.sqrt(math.pi)


def _erfcx_slope(y):
    """Return ``1 - sqrt(pi) y erfcx(y)`` for y >= 0 without cancellation (asymptotic series from y = 6)."""
    near = np.minimum(y, 6.0)
    direct = 1 - _ROOT_PI * near * special.erfcx(near)
    far = np.maximum(y, 6.0)
    term, total = np.ones_like(far), np.zeros_like(far)
    for k in range(1, 30):
        term = -term * (2 * k - 1) / (2 * far**2)
        total -= term
    return np.where(y < 6, direct, total)


def _factors(t):
    """Return the smooth factors of erfcx, D, dH/dt - (closed form)' and the slope of erfcx at ``t`` in (0, 1]."""
    y = _C / t - _C
    erfcx = special.erfcx(y)
    slope = _erfcx_slope(y)
    dawson = np.where(y > 1e-8, special.dawsn(y) / np.maximum(y, 1e-300), 1.0) * (1 + 2 * y * y)
    rest = (erfcx - 1 / (1 + _ROOT_PI * y)) * -_C / t**2
    return erfcx * (1 + _ROOT_PI * y), dawson, rest, slope * (1 + 2 * y * y)


def _table():
    """Return the coefficients (interval, function, power) of the four factors; the third one integrated into H's."""
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    table = np.zeros((_INTERVALS, 4, _DEGREE + 2))
    reached = 0.0
    for k in range(_INTERVALS - 1, -1, -1):
        for j, values in enumerate(_factors((k + 0.5 + 0.5 * nodes) / _INTERVALS)):
            series = np.polynomial.chebyshev.chebfit(nodes, values, _DEGREE)
            if j == 2:
                series = np.polynomial.chebyshev.chebint(series, scl=0.5 / _INTERVALS, lbnd=1)
            power = np.polynomial.chebyshev.cheb2poly(series)
            if j == 2:
                power[0] += reached
                reached = np.polynomial.polynomial.polyval(-1.0, power)
            table[k, j, : power.size] = power
    return table


_TABLE = _table()
_X, _W = np.polynomial.legendre.leggauss(_POINTS)
_X8, _W8 = np.polynomial.legendre.leggauss(8)
_X4, _W4 = np.polynomial.legendre.leggauss(4)


@kernel(inline="always")
def _locate(y):
    t = _C / (_C + y) * _INTERVALS
    k = min(int(t), _INTERVALS - 1)
    return k, 2.0 * (t - k) - 1.0


@kernel(inline="always")
def _horner(k, j, u):
    total = _TABLE[k, j, _DEGREE + 1]
    for power in range(_DEGREE, -1, -1):
        total = total * u + _TABLE[k, j, power]
    return total


@kernel
def erfcx(y):
    """Return exp(y^2) erfc(y) for y >= 0."""
    k, u = _locate(y)
    return _horner(k, 0, u) / (1.0 + _ROOT_PI * y)


@kernel
def dawson(y):
    """Return Dawson's integral exp(-y^2) * integral from 0 to y of exp(x^2) dx for y >= 0."""
    k, u = _locate(y)
    return _horner(k, 1, u) * y / (1.0 + 2.0 * y * y)


@kernel
def erfcx_integral(y):
    """Return the integral of erfcx from 0 to y for y >= 0."""
    k, u = _locate(y)
    return _horner(k, 2, u) + math.log1p(_ROOT_PI * y) / _ROOT_PI


@kernel
def _scaled_density(x, shift):
    """Return ``exp(-shift) exp(x^2) (1 + erf x)``."""
    if x <= 0.0:
        return math.exp(-shift) * erfcx(-x)
    return 2.0 * math.exp(x * x - shift) - math.exp(-shift) * erfcx(x)


@kernel
def _scaled_density_slope(x, shift):
    """Return ``exp(-shift)`` times the derivative ``2 x f(x) + 2 / sqrt(pi)`` of the density."""
    if x > 0.0:
        return 2.0 * x * _scaled_density(x, shift) + 2.0 / _ROOT_PI * math.exp(-shift)
    k, u = _locate(-x)
    return math.exp(-shift) * 2.0 / _ROOT_PI * _horner(k, 3, u) / (1.0 + 2.0 * x * x)


@kernel
def _scaled_antiderivative(x, shift):
    """Return ``exp(-shift)`` times the integral of the density from 0 to x."""
    if x <= 0.0:
        return -math.exp(-shift) * erfcx_integral(-x)
    return 2.0 * math.exp(x * x - shift) * dawson(x) - math.exp(-shift) * erfcx_integral(x)


@kernel
def _far_integrals(a, b):
    """Return (integral of f from a to b, f(b) - f(a)) for ``2 b < a < b < 0``, where f is close to a power law."""
    integral = 0.0
    rise = 0.0
    half = 0.5 * (b - a)
    if a < 1.1 * b:
        for i in range(8):
            integral += _W8[i] * erfcx(-a - half * (1.0 + _X8[i]))
        return half * integral, erfcx(-b) - erfcx(-a)
    for i in range(4):
        y = -a - half * (1.0 + _X4[i])
        k, u = _locate(y)
        integral += _W4[i] * _horner(k, 0, u) / (1.0 + _ROOT_PI * y)
        rise += _W4[i] * 2.0 / _ROOT_PI * _horner(k, 3, u) / (1.0 + 2.0 * y * y)
    return half * integral, half * rise


@kernel
def _scaled_integrals(a, b):
    """Return ``exp(-s)`` times (integral of f from a to b, f(b) - f(a)), with ``s = max(b, 0)^2``."""
    if b < 0.0 and a > 2.0 * b:
        return _far_integrals(a, b)
    shift = b * b if b > 0.0 else 0.0
    if (b - a) * max(1.0, -a, b) < 2.0:
        integral = 0.0
        rise = 0.0
        half = 0.5 * (b - a)
        for i in range(_POINTS):
            x = a + half * (1.0 + _X[i])
            integral += _W[i] * _scaled_density(x, shift)
            rise += _W[i] * _scaled_density_slope(x, shift)
        return half * integral, half * rise
    integral = _scaled_antiderivative(b, shift) - _scaled_antiderivative(a, shift)
    return integral, _scaled_density(b, shift) - _scaled_density(a, shift)


@kernel
def lif_rate(input_mv, tau_s, refractory_s, v_threshold_mv, v_reset_mv, sigma_mv):
    """Return the stationary rate (Hz) and its slope (Hz per mV) at the mean input `input_mv`.

    Parameters
    ----------
    input_mv : float
        Mean input E: the voltage to which the neuron would relax without threshold.
    tau_s, refractory_s : float
        Membrane time constant and refractory time.
    v_threshold_mv, v_reset_mv, sigma_mv : float
        Threshold, reset (below it), noise strength (positive).

    Returns
    -------
    tuple of float
        r(E) and dr/dE; both go to 0 without warning below about 1e-300 Hz.
    """
    a = (v_reset_mv - input_mv) / sigma_mv
    b = (v_threshold_mv - input_mv) / sigma_mv
    integral, rise = _scaled_integrals(a, b)
    scale = math.exp(-b * b) if b > 0.0 else 1.0
    rate = scale / (refractory_s * scale + tau_s * _ROOT_PI * integral)
    slope = rate * (rate / scale if scale > 0.0 else 0.0) * tau_s * _ROOT_PI / sigma_mv * rise
    return rate, slope


@kernel
def lif_rates(input_mv, tau_s, refractory_s, v_threshold_mv, v_reset_mv, sigma_mv, rates_hz, slopes_hz_per_mv):
    """Write the rate and slope at every entry of `input_mv` (see :func:`lif_rate`) into the last two arguments."""
    for i in range(input_mv.size):
        rates_hz[i], slopes_hz_per_mv[i] = lif_rate(
            input_mv[i], tau_s, refractory_s, v_threshold_mv, v_reset_mv, sigma_mv
        )
