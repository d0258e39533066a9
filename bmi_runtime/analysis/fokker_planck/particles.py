"""The system of N interacting neurons that the equation is the limit of, from the same initial density."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.particles import step_avalanches, step_many


@dataclasses.dataclass
class Particles:
    """A run of the particle system.

    Attributes
    ----------
    times : float64 array (k,)
        Ends of the bins.
    rate : float64 array (k,)
        Spikes per neuron and unit of time in every bin.
    v : float64 array (n,)
        Potentials at the end.
    resting : bool array (n,)
        The neurons in the refractory state at the end.
    raster : (times, neurons), float64 and int arrays (m,)
        Spikes of the first neurons.
    """

    times: np.ndarray
    rate: np.ndarray
    v: np.ndarray
    resting: np.ndarray
    raster: tuple[np.ndarray, np.ndarray]


def sample(density, count: int, v_threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Return `count` potentials drawn from a density on v < V_F, by inverting its distribution function."""
    low = density.spread()[0] if hasattr(density, "spread") else v_threshold - 12.0
    v = np.linspace(low, v_threshold, 20001)
    middle = np.asarray(density(0.5 * (v[1:] + v[:-1])), float)
    cumulative = np.r_[0.0, np.cumsum(middle)]
    return np.interp(rng.random(count), cumulative / cumulative[-1], v)


def simulate(
    model: Model, initial, duration: float, count: int, seed: int, step: float = 1e-3, bins: int = 100, shown: int = 100
) -> Particles:
    """Simulate ``dV_i = (-V_i + I) dt + (b / n) sum_j dS_j + sqrt(2 a0) dW_i + sqrt(2 a1 / n) sum_j xi_ij dS_j``.

    Every spike moves every neuron by a random amount of mean ``b / n`` and variance ``2 a1 / n`` (the xi_ij are
    independent standard normal), which makes the diffusion ``a0 + a1 N`` in the limit. A neuron fires at V_F, or above
    it at the rate ``1 / threshold_eps``; it comes back at V_R at once, or after an exponential time of mean
    ``refractory``. A spike reaches the others with the next step (or after the delay of the model), so that a cascade
    takes time instead of being resolved inside a step. Crossings between the ends of a step are drawn from the Brownian
    bridge, which leaves an error of first order in `step`.

    Parameters
    ----------
    model : Model
        With constant current.
    initial : callable
        Initial density.
    duration : float
    count : int
        Number of neurons.
    seed : int
    step : float
    bins : int
        Number of bins of the rate.
    shown : int
        Number of neurons in the raster.

    Raises
    ------
    BadInput
        When there is nothing to simulate, or the step cannot resolve the time to fire or the delay.
    """
    if count < 1 or step <= 0 or duration < step:
        raise BadInput(f"cannot simulate {count} neurons for {duration:g} in steps of {step:g}")
    if 0 < model.threshold_eps < step:
        raise BadInput(f"a step of {step:g} cannot resolve the time to fire eps = {model.threshold_eps:g}: shorten it")
    rng = np.random.default_rng(seed)
    steps = max(bins, round(duration / step))
    steps += -steps % bins
    step = duration / steps
    if 0 < model.delay < step:
        raise BadInput(f"a step of {step:g} cannot resolve the delay {model.delay:g}: use a step below it")
    v = sample(initial, count, model.v_threshold, rng)
    resting, arrivals = np.zeros(count, np.int8), np.zeros(max(1, round(model.delay / step)))
    noise, rest, fire = (model.a0, model.a1), model.refractory, model.threshold_eps
    neuron = np.array([model.v_reset, model.v_threshold, model.constant_current(), model.b, *noise, rest, fire])
    shown, at = min(shown, count), 0
    per_bin, rate, raster = steps // bins, np.zeros(bins), []
    for k in range(bins):
        spikes, fired = np.zeros(per_bin), np.zeros((per_bin, shown), np.int8)
        normals, uniforms = rng.standard_normal((per_bin, count)), rng.random((per_bin, count))
        at = step_many(v, resting, step, normals, uniforms, neuron, arrivals, at, spikes, fired)
        rate[k] = spikes.sum() / (count * per_bin * step)
        when, who = np.nonzero(fired)
        raster.append(np.c_[(k * per_bin + when + 1) * step, who])
    every = np.concatenate(raster)
    return Particles(
        np.arange(1, bins + 1) * per_bin * step, rate, v, resting == 1, (every[:, 0], every[:, 1].astype(int))
    )


def avalanches(
    model: Model, initial, duration: float, count: int, seed: int, step: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Return the end of every step (k,) and the fraction of the neurons that fired in it (k,), every cascade resolved
    inside its step: what the density does through a blow-up is the limit of this.

    Raises
    ------
    BadInput
        With a delay, a random threshold or noise by spikes, which spread a cascade over time or need other kicks.
    """
    if model.delay > 0 or model.threshold_eps > 0 or model.a1 > 0:
        raise BadInput("avalanches of neurons are for sharp thresholds without delay and without noise by spikes (a1)")
    if count < 10 or step <= 0 or duration < step:
        raise BadInput(f"cannot simulate {count} neurons for {duration:g} in steps of {step:g}")
    rng = np.random.default_rng(seed)
    v, resting = sample(initial, count, model.v_threshold, rng), np.zeros(count, np.int8)
    neuron = np.array(
        [model.v_reset, model.v_threshold, model.constant_current(), model.b, model.a0, 0.0, model.refractory, 0.0]
    )
    sizes = np.zeros(round(duration / step))
    for first in range(0, sizes.size, 64):
        part = sizes[first : first + 64]
        normals, uniforms = rng.standard_normal((part.size, count)), rng.random((part.size, count))
        step_avalanches(v, resting, step, normals, uniforms, neuron, part)
    return step * np.arange(1, sizes.size + 1), sizes / count


def distance(v: np.ndarray, nodes: np.ndarray, mass: np.ndarray) -> float:
    """Return the Wasserstein-1 distance between potentials (n,) and the masses of cells (k,) at their nodes."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(v, nodes, None, mass))
