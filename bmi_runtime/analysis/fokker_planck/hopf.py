"""Where a steady state starts to oscillate (Hopf points along the branch), and the oscillation that it becomes."""

import dataclasses
import math

import numpy as np
from scipy import optimize

from bmi_runtime.analysis.fokker_planck import evolve, spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.oscillation import oscillation
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import fokker_planck as kernels

SPLIT = 8  # parts of an interval in which the leading pair ends


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
    return between(model, rates, [leading_pair(model, float(rate)) for rate in rates])


def between(model: Model, rates: np.ndarray, pairs: list[complex], splits: int = 2) -> list[Hopf]:
    """Return the Hopf points between the `rates` (k,) whose leading pairs (k,) are known.

    Where there is no pair somewhere between two of them, the interval is looked at in `SPLIT` parts, `splits` times
    over: a pair that ends there and another that begins make no Hopf point.
    """
    found = []
    for low, high, before, after in zip(rates, rates[1:], pairs, pairs[1:]):
        if before.real * after.real < 0:
            try:
                rate = float(optimize.brentq(lambda x: leading_pair(model, x).real, low, high, xtol=1e-7, rtol=1e-7))
            except ValueError:  # not a number in between
                finer = np.linspace(low, high, SPLIT + 1)
                inner = [leading_pair(model, float(rate)) for rate in finer[1:-1]]
                found += between(model, finer, [before, *inner, after], splits - 1) if splits else []
                continue
            connectivity = float(steady.branch(model, np.array([rate]))[0])
            found.append(Hopf(connectivity, rate, 2 * math.pi / leading_pair(model, rate).imag))
    return found


@dataclasses.dataclass(frozen=True)
class Cycle:
    """What a network does that starts near its busiest steady state.

    Attributes
    ----------
    steady_rate : float
        Rate of that state.
    oscillation : dict or None
        ``period``, ``peak``, ``trough`` and ``mean``; None where the rate settles.
    rate_final : float
    settled : bool
        False if there is no oscillation and the rate still moved by more than 1e-3 of itself over the last tenth.
    """

    steady_rate: float
    oscillation: dict | None
    rate_final: float
    settled: bool


def near_busiest(model: Model, push: float = 0.05, cells: int = 400) -> tuple[evolve.Integrator, float]:
    """Return a run about to start near the busiest steady state, and the rate of that state.

    It starts from the steady state of a network whose rate is larger by the factor ``1 + push``.

    Raises
    ------
    BadInput
        When the network has a delay, or no steady state.
    """
    if model.delay > 0:
        raise BadInput("a run from the busy state is for networks without delay: give an initial density instead")
    states = steady.steady_states(model)
    if not states:
        raise BadInput(f"there is no steady state at b = {model.b:g} to start from: give an initial density instead")
    rate = states[-1].rate
    pushed = min(rate * (1 + push), 0.5 * (rate + 1 / model.refractory)) if model.refractory > 0 else rate * (1 + push)
    grid = evolve.default_grid(model, None, cells)
    other = dataclasses.replace(model, b=float(steady.branch(model, np.array([pushed]))[0]))
    mass = np.maximum(spectral.density_at(other, pushed, grid.v), 0.0) * grid.width
    resting = model.refractory * pushed
    mass *= (1.0 - resting) / mass.sum()
    stop = evolve.resolvable_rate(model, grid)
    return evolve.Integrator(model, grid, mass, 1e-6, stop_rate=stop, resting=resting), rate


def cycle(model: Model, duration: float = 60.0, push: float = 0.05, cells: int = 400) -> Cycle:
    """Return the activity that is reached from near the busiest steady state after `duration`.

    Raises
    ------
    BmiError
        If the rate outgrows the grid (a network without a random threshold may blow up).
    """
    run, rate = near_busiest(model, push, cells)
    if run.to(duration) != kernels.REACHED:
        raise BmiError(f"from the busy state N outgrows the grid at t = {run.time:.4g}: there is no cycle to follow")
    times, rates = run.past[0, : run.count], run.past[1, : run.count]
    found = oscillation(times, rates)
    late = rates[times >= 0.9 * duration]
    return Cycle(rate, found, float(rates[-1]), found is not None or bool(np.ptp(late) < 1e-3 * late.max()))
