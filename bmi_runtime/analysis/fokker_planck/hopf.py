"""Where a steady state starts to oscillate: Hopf points along the branch of steady states."""

import dataclasses
import math

import numpy as np
from scipy import optimize

from bmi_runtime.analysis.fokker_planck import spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BmiError


@dataclasses.dataclass(frozen=True)
class Hopf:
    """A Hopf point: connectivity, steady rate there, and the period of the oscillation that is born."""

    b: float
    rate: float
    period: float


def leading_pair(model: Model, rate: float) -> complex:
    """Return the leading eigenvalue with a positive imaginary part at the steady state of this rate (nan if there is
    none).

    The connectivity is set to the one that makes `rate` steady.
    """
    at = dataclasses.replace(model, b=float(steady.branch(model, np.array([rate]))[0]))
    try:
        values = spectral.spectrum(at, rate, 8)
    except BmiError:
        return complex(math.nan, math.nan)
    pairs = values[np.abs(values.imag) > 1e-6]
    return complex(pairs[0].real, abs(pairs[0].imag)) if pairs.size else complex(math.nan, math.nan)


def hopf_points(model: Model, rates: np.ndarray) -> list[Hopf]:
    """Return the Hopf points on the branch of steady states through the increasing `rates` (k,), in that order.

    The real part of the leading complex pair changes sign; its root is polished to 1e-7 in the rate.
    """
    pairs = [leading_pair(model, float(rate)) for rate in rates]
    found = []
    for low, high, before, after in zip(rates, rates[1:], pairs, pairs[1:]):
        if before.real * after.real < 0:
            rate = float(optimize.brentq(lambda x: leading_pair(model, x).real, low, high, xtol=1e-7, rtol=1e-7))
            connectivity = float(steady.branch(model, np.array([rate]))[0])
            found.append(Hopf(connectivity, rate, 2 * math.pi / leading_pair(model, rate).imag))
    return found
