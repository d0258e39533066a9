"""Coupled populations of interacting neurons, of which coupled densities are the limit."""

import numpy as np

from bmi_runtime.analysis.fokker_planck.particles import sample
from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.coupled_particles import step_populations


def simulate(
    net: Populations, initial: list, duration: float, count: int, seed: int, step: float = 1e-3, bins: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of `bins` bins (k,) and the rates (k, p) of populations of `count` neurons each.

    A spike reaches the others with the next step, or after its delay rounded to steps; the error is of first order in
    the step, beside the sampling error of the count.

    Raises
    ------
    BadInput
        When there is nothing to simulate, or the step cannot resolve a delay.
    """
    if count < 10 or step <= 0 or duration < bins * step:
        raise BadInput(f"cannot simulate {count} neurons for {duration:g} in steps of {step:g} and {bins} bins")
    rng = np.random.default_rng(seed)
    per_bin = max(1, round(duration / step / bins))
    step = duration / bins / per_bin
    if np.any((net.delay > 0) & (net.delay < step)):
        raise BadInput(f"a step of {step:g} cannot resolve the delay {net.delay[net.delay > 0].min():g}: shorten it")
    p = net.count
    v = np.concatenate([sample(initial[k], count, float(net.v_threshold[k]), rng) for k in range(p)])
    member, resting = np.repeat(np.arange(p), count), np.zeros(p * count, np.int8)
    lags = np.maximum(1, np.round(net.delay / step).astype(np.int64))
    arrivals, at = np.zeros((int(lags.max()) + 1, p)), 0
    cells = np.array([net.v_reset, net.v_threshold, net.current, net.a0, net.refractory])
    sizes, rates = np.full(p, float(count)), np.zeros((bins, p))
    for k in range(bins):
        for first in range(0, per_bin, 64):
            rows = min(64, per_bin - first)
            spikes = np.zeros((rows, p))
            normals, uniforms = rng.standard_normal((rows, v.size)), rng.random((rows, v.size))
            at = step_populations(
                v, resting, member, step, normals, uniforms, cells, net.b, net.a, lags, arrivals, at, sizes, spikes
            )
            rates[k] += spikes.sum(axis=0)
        rates[k] /= count * per_bin * step
    return np.arange(1, bins + 1) * per_bin * step, rates
