"""Two neighbours that do not blow up: the network without noise, and the one whose conductances take time.

Without noise (a = 0) a network obeys ``p_t + [(-v + I + b N) p]_v = N delta(v - V_R)``,
``N = max(I - V_F + b N, 0) p(V_F)``. All neurons follow one flow, so their quantiles are moved exactly from spike to
spike. With ``I <= V_F`` nobody ever fires from data that vanish at V_F, whatever b: the flow at V_F points down and
N = 0 solves the equation. With ``I > V_F`` the network fires, and only as long as ``b p(V_F) < 1`` one by one.

The kinetic model (Cai, Tao, Rangan and McLaughlin 2006; Perthame and Salort 2013) lets conductances g integrate the
spikes:
``p_t + [(-g_L v + g (V_E - v)) p]_v + [(g_in - g) p]_g / s - (A / s) p_gg = 0``, ``g_in = g_0 + S N``: N can grow
exponentially and no faster.
"""

import dataclasses
import heapq
import math

import numpy as np
from scipy.linalg import solve_banded

from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import with_error
from bmi_runtime.errors import BadInput, BmiError


@dataclasses.dataclass(frozen=True)
class Deterministic:
    """A run without noise: bins (k,), rates in them (k,), the largest fraction that fired at one instant, its time, and
    the largest potential at the end.
    """

    times: np.ndarray
    rate: np.ndarray
    largest_cascade: float
    cascade_time: float | None
    top: float


def deterministic(model: Model, initial, duration: float, quantiles: int = 20000, bins: int = 100) -> Deterministic:
    """Return what the quantiles of a density do without noise (``a0`` and ``a1`` of the model are ignored).

    Under the common flow ``v' = -v + I`` a neuron is ``(v - I) e^t`` for ever; a spike moves all by b / n at once. The
    next one to fire is the highest, at an exactly known time.

    Parameters
    ----------
    model : Model
        With a constant current and no delay.
    initial : callable
        Initial density with ``spread()``.

    Raises
    ------
    BadInput
        When the model has noise at the threshold, a delay or a refractory state, or a number makes no
        sense.
    BmiError
        When a cascade does not end.
    """
    if model.delay > 0 or model.threshold_eps > 0 or model.refractory > 0:
        raise BadInput("the network without noise is shown for sharp thresholds without delay and refractory state")
    if quantiles < 100 or not (math.isfinite(duration) and duration > 0):
        raise BadInput("give at least 100 quantiles and a positive duration")
    current, kick = model.constant_current(), model.b / quantiles
    low, high = initial.spread()
    grid = np.linspace(low, high, 40001)
    total = np.r_[0.0, np.cumsum(np.asarray(initial(0.5 * (grid[1:] + grid[:-1]))))]
    v = np.interp((np.arange(quantiles) + 0.5) / quantiles, total / total[-1], grid)
    # a neuron is v = I + (y + moved) e^-t with `moved` common to all: a heap of -y gives the highest
    heap = sorted((-(v - current)).tolist())
    heapq.heapify(heap)
    now, moved, counts = 0.0, 0.0, np.zeros(bins)
    largest, when, cascade, cascade_start = 0, None, 0, -1.0
    while True:
        top = (-heap[0] + moved) * math.exp(-now)
        wanted = model.v_threshold - current
        if top < wanted:
            if wanted >= 0:  # I <= V_F: the flow at V_F points down, nobody gets there any more
                break
            if top >= 0.0:
                raise BmiError("a potential lies above the current and below a threshold under it: this cannot be")
            wait = math.log(top / wanted)
            if now + wait >= duration:
                break
            now += wait
        if now - cascade_start > 1e-12 * (1.0 + now):
            cascade_start, cascade = now, 0
        heapq.heappop(heap)
        moved += kick * math.exp(now)
        heapq.heappush(heap, -((model.v_reset - current) * math.exp(now) - moved))
        counts[min(int(now / duration * bins), bins - 1)] += 1
        cascade += 1
        if cascade > largest:
            largest, when = cascade, now
        if cascade > 3 * quantiles:
            raise BmiError(f"at t = {now:.6g} everybody fires at once and the cascade does not end: b is too large")
    highest = current + (-heap[0] + moved) * math.exp(-duration)
    rate = counts / (quantiles * duration / bins)
    return Deterministic(
        np.arange(1, bins + 1) * duration / bins,
        rate,
        largest / quantiles,
        when,
        float(min(highest, model.v_threshold)),
    )


@dataclasses.dataclass(frozen=True)
class Kinetic:
    """A run of the kinetic model: times (k,), N(t) (k,), largest d log N / dt over the second half, mass error."""

    times: np.ndarray
    rate: np.ndarray
    growth: float
    mass_error: float


def kinetic(
    coupling: float,
    duration: float,
    *,
    drive: float = 0.6,
    noise: float = 0.1,
    synaptic_time: float = 0.3,
    leak: float = 1.0,
    reversal: float = 14.0 / 3.0,
    cells: int = 60,
    most: float = 6.0,
) -> Kinetic:
    """Integrate p(v, g, t) on [0, 1] x [0, `most`]: upwind in v, exponentially fitted and implicit in g.

    Parameters
    ----------
    coupling : float
        S: ``g_in = drive + S N``.
    duration : float
        In membrane time constants.
    drive, noise : float
        Conductance from outside, and A at rest; A grows with S N as the input does.
    synaptic_time, leak, reversal : float
        s, g_L and V_E; V_R = 0, V_F = 1.
    cells : int
        Of v and of g.
    most : float
        Largest conductance; a run whose input leaves it is refused.
    """
    positive = [duration, drive, noise, synaptic_time, leak, most]
    if not (coupling >= 0 and min(positive) > 0 and reversal > 1 and cells >= 20 and math.isfinite(sum(positive))):
        raise BadInput("the kinetic model takes positive numbers, a reversal potential above 1 and at least 20 cells")
    v = (np.arange(cells + 1)) / cells
    dg = most / cells
    g = (np.arange(cells) + 0.5) * dg
    speed = -leak * v[None, :] + g[:, None] * (reversal - v[None, :])  # at the edges of the cells of v
    density = np.exp(-((g[:, None] - drive) ** 2) / (2 * noise)) * np.ones(cells)[None, :]
    mass = density / density.sum()
    now, times, rates = 0.0, [], []
    longest = 0.4 / (cells * float(np.abs(speed).max()))
    while now < duration:
        up, down = np.maximum(speed, 0.0), np.minimum(speed, 0.0)
        flux = np.zeros((cells, cells + 1))
        flux[:, 1:] = up[:, 1:] * mass * cells
        flux[:, 1:-1] += down[:, 1:-1] * mass[:, 1:] * cells
        fired = flux[:, -1].copy()
        flux[:, 0] = fired
        rate = float(fired.sum())
        input_ = drive + coupling * rate
        if input_ > 0.6 * most:
            break
        step = min(longest, duration - now)
        mass = mass - step * np.diff(flux, axis=1)
        mass = _conductances(mass, step / synaptic_time, g, dg, input_, noise * input_ / drive)
        now += step
        times.append(now)
        rates.append(rate)
    found, seen = np.array(times), np.array(rates)
    if found.size < 10 and now < duration:
        raise BadInput(f"the input of conductances, {input_:.3g}, leaves their range at once: lower the coupling")
    if found.size < 10:
        raise BadInput(
            f"the duration {duration:g} is only {found.size} steps of the run: give at least {10 * step:.1g}"
        )
    late = found > 0.5 * found[-1]
    even = np.linspace(found[late][0], found[-1], 41)
    growth = np.diff(np.log(np.interp(even, found, seen))) / np.diff(even)
    return Kinetic(found, seen, float(growth.max()), abs(float(mass.sum()) - 1.0))


def _conductances(mass, step, g, dg, input_, noise):
    """Return the masses (g, v) after an implicit step of the conductances, exact in mass and positive."""
    middle = 0.5 * (g[1:] + g[:-1])
    y = (middle - input_) * dg / noise
    small = np.abs(y) < 1e-8
    back = (
        np.where(small, 1.0 + 0.5 * y, y / -np.expm1(-np.where(small, 1.0, y))) * noise / dg**2
    )  # from above to below
    onward = back - y * noise / dg**2
    bands = np.zeros((3, g.size))
    bands[1] = 1.0 + step * (np.r_[onward, 0.0] + np.r_[0.0, back])
    bands[0, 1:] = -step * back
    bands[2, :-1] = -step * onward
    return solve_banded((1, 1), bands, mass)


def deterministic_result(run: Deterministic, coarse: Deterministic) -> dict:
    """Return a run without noise for programs; errors are differences from a run of half as many neurons."""
    times = None if run.cascade_time is None or coarse.cascade_time is None else run.cascade_time - coarse.cascade_time
    return {
        "largest_cascade": run.largest_cascade,
        "largest_cascade_error": abs(run.largest_cascade - coarse.largest_cascade),
        "cascade_time": run.cascade_time,
        "cascade_time_error": None if times is None else abs(times),
        "rate_final": run.rate[-1],
        "rate_final_error": abs(run.rate[-1] - coarse.rate[-1]),
        "top_final": run.top,
        "top_final_error": abs(run.top - coarse.top),
    }


def deterministic_text(result: dict) -> str:
    """Return a run without noise for a person."""
    if result["cascade_time"] is None:
        top = with_error(result["top_final"], result["top_final_error"])
        return f"nobody fires: without noise the potentials fall away from V_F (the highest is {top} at the end)"
    rate = with_error(result["rate_final"], result["rate_final_error"])
    share = with_error(result["largest_cascade"], result["largest_cascade_error"])
    when = with_error(result["cascade_time"], result["cascade_time_error"])
    return (
        f"N = {rate} at the end; the largest fraction that fires at one instant is {share}, at t = {when} (a current "
        "above V_F makes oscillators, which pull each other into step)"
    )


def kinetic_result(run: Kinetic, coarse: Kinetic) -> dict:
    """Return a run of the kinetic model for programs; errors are differences from a run of half the cells, which is of
    first order: about twice the error of this one, or as much.
    """
    until = min(run.times[-1], coarse.times[-1])
    ends = [float(np.interp(until, one.times, one.rate)) for one in (run, coarse)]
    peaks = [float(one.rate[one.times <= until].max()) for one in (run, coarse)]
    return {
        "rate_final": run.rate[-1],
        "rate_final_error": abs(ends[0] - ends[1]) * run.rate[-1] / ends[0],
        "rate_largest": run.rate.max(),
        "rate_largest_error": abs(peaks[0] - peaks[1]) * run.rate.max() / peaks[0],
        "time_final": run.times[-1],
        "largest_growth": run.growth,
        "largest_growth_error": abs(run.growth - coarse.growth),
        "mass_error": run.mass_error,
    }


def kinetic_text(result: dict, duration: float) -> str:
    """Return a run of the kinetic model for a person."""
    ended = "" if result["time_final"] > 0.999 * duration else " (there the input leaves the range of conductances)"
    rate = with_error(result["rate_final"], result["rate_final_error"])
    growth = with_error(result["largest_growth"], result["largest_growth_error"])
    return (
        f"N = {rate} at t = {result['time_final']:.4g}{ended}; d log N / dt is at most {growth} over the second half: "
        f"exponential growth, no blow-up; mass error {result['mass_error']:.1e}"
    )
