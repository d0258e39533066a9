"""Stepping N interacting noisy integrate-and-fire neurons, the particle system behind the Fokker-Planck equation."""

import math

from bmi_runtime.kernels.jit import kernel


@kernel
def step_many(v, step, normals, uniforms, v_reset, v_threshold, current, b, diffusion, kicks, at, spikes, rasters):
    """Take one Euler-Maruyama step per row of `normals`, with exact crossings of the Brownian bridge between its ends.

    Parameters
    ----------
    v : float64 array (n,)
        Potentials, updated.
    step, v_reset, v_threshold, current, b, diffusion : float
        Time step and coefficients; every spike adds ``b / n`` to every neuron.
    normals, uniforms : float64 arrays (steps, n)
        Independent standard normal and uniform numbers.
    kicks : float64 array (delay steps + 1,)
        Ring of the kicks that are on their way (one entry: they arrive with the next step).
    at : int
        Position in the ring at the first step.
    spikes : float64 array (steps,)
        Written: number of spikes of every step.
    rasters : int8 array (steps, shown)
        Written: spikes of the first neurons.

    Returns
    -------
    int
        Position in the ring after the last step.
    """
    n = v.shape[0]
    shown = rasters.shape[1]
    spread = math.sqrt(2.0 * diffusion * step)
    for k in range(normals.shape[0]):
        kick = kicks[at]
        kicks[at] = 0.0
        fired = 0
        for i in range(n):
            old = v[i] + kick
            new = old + step * (current - old) + spread * normals[k, i]
            crossed = new >= v_threshold or old >= v_threshold
            if not crossed:
                crossed = uniforms[k, i] < math.exp(-(v_threshold - old) * (v_threshold - new) / (diffusion * step))
            if crossed:
                new = v_reset
                fired += 1
            if i < shown:
                rasters[k, i] = 1 if crossed else 0
            v[i] = new
        spikes[k] = fired
        at = at + 1 if at + 1 < kicks.shape[0] else 0
        last = at - 1 if at > 0 else kicks.shape[0] - 1
        kicks[last] += b * fired / n
    return at
