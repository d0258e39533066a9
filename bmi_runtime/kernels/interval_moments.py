"""The mean time from V_R to V_F as a positive mixture of exponentials of drift and noise, with two moments."""

import math

from bmi_runtime.kernels.jit import kernel

STEP = 0.14  # of the trapezoidal rule in log sigma, in widths of the peak: its error is below rounding
REACH = 37.0  # natural logarithms below the peak at which the sum ends


@kernel(inline="always")
def log_weight(sigma, above, diffusion, span):
    """Return ``sigma (V_F - m) - sigma^2 a / 2 + log(1 - exp(-sigma span))``."""
    return sigma * (above - 0.5 * sigma * diffusion) + math.log(-math.expm1(-sigma * span))


@kernel
def peak_of(above, diffusion, span):
    """Return the sigma of the largest weight and the curvature of its logarithm there, against log sigma.

    The slope ``sigma (above - sigma a + span / (exp(sigma span) - 1))`` changes sign once: Newton with bisection.
    """
    low, high = 1e-300, max(above, 0.0) / diffusion + 2.0 / math.sqrt(diffusion)
    sigma = max(above / diffusion, 1.0 / (math.sqrt(diffusion) + max(-above, 0.0)))
    for _ in range(200):
        bent = math.expm1(min(sigma * span, 700.0))
        value = above - sigma * diffusion + span / bent
        slope = -diffusion - span * span * (bent + 1.0) / (bent * bent)
        if value > 0.0:
            low = sigma
        else:
            high = sigma
        following = sigma - value / slope
        if not low < following < high:
            following = math.sqrt(low * high) if low > 1e-200 else 0.5 * high
        if abs(following - sigma) < 1e-6 * sigma:
            break
        sigma = following
    bent = math.expm1(min(sigma * span, 700.0))
    return sigma, sigma * sigma * (diffusion + span * span * (bent + 1.0) / (bent * bent))


@kernel
def interval_moments(drift, diffusion, v_reset, v_threshold):
    """Return ``(log T, E[sigma], E[sigma^2] / 2)`` of the mean time T from V_R to V_F at a constant drift.

    ``T = int_0^inf exp(-sigma m - sigma^2 a / 2) (exp(sigma V_F) - exp(sigma V_R)) / sigma dsigma``; the means are over
    the integrand as a density of sigma, so ``d log T / dm = -E[sigma]`` and ``d log T / da = -E[sigma^2] / 2``. The
    trapezoidal rule in log sigma about the peak converges faster than any power of its step.
    """
    above, span = v_threshold - drift, v_threshold - v_reset
    sigma, curvature = peak_of(above, diffusion, span)
    step = STEP / math.sqrt(curvature)
    top = log_weight(sigma, above, diffusion, span)
    total, first, second = 1.0, sigma, 0.5 * sigma * sigma
    for side in range(2):
        factor = math.exp(step if side == 0 else -step)
        here = sigma
        for _ in range(100000):
            here *= factor
            below = log_weight(here, above, diffusion, span) - top
            if below < -REACH:
                break
            weight = math.exp(below)
            total += weight
            first += weight * here
            second += 0.5 * weight * here * here
    return top + math.log(total * step), first / total, second / total
