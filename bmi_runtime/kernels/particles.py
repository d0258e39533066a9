"""Stepping N interacting noisy integrate-and-fire neurons, the particle system behind the Fokker-Planck equation."""

import math

from bmi_runtime.kernels.jit import kernel


@kernel
def fires(old, new, v_threshold, spread, step, eps, uniform):
    """Whether a neuron that moves from `old` to `new` in a step fires in it.

    With a sharp threshold (`eps` is 0) a Brownian bridge between the two ends has crossed with probability
    ``exp(-2 (V_F - old) (V_F - new) / spread^2)``, `spread` being the standard deviation of the step's noise. With a
    random one it fires at the rate ``1 / eps`` while it is above V_F, on the straight line between the ends.
    """
    if eps == 0.0:
        if new >= v_threshold or old >= v_threshold:
            return True
        return uniform < math.exp(-2.0 * (v_threshold - old) * (v_threshold - new) / (spread * spread))
    highest, lowest = max(old, new), min(old, new)
    if highest <= v_threshold:
        return False
    above = 1.0 if lowest >= v_threshold else (highest - v_threshold) / (highest - lowest)
    return uniform < -math.expm1(-above * step / eps)


@kernel
def step_many(v, resting, step, normals, uniforms, neuron, arrivals, at, spikes, rasters):
    """Take one Euler-Maruyama step per row of `normals`, with crossings between its ends.

    Parameters
    ----------
    v : float64 array (n,)
        Potentials, updated.
    resting : int8 array (n,)
        1 for the neurons in the refractory state, updated.
    step : float
        Time step.
    normals, uniforms : float64 arrays (steps, n)
        Independent standard normal and uniform numbers.
    neuron : float64 array (8,)
        V_R, V_F, current, b, a0, a1, mean refractory time (0: none), mean time to fire above V_F (0: at once). A spike
        moves every neuron by ``b / n`` on average, with the variance ``2 a1 / n``.
    arrivals : float64 array (delay steps + 1,)
        Ring of the fractions of the neurons whose spikes are on their way (one entry: they arrive with the next step).
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
    v_reset, v_threshold, current, b, a0, a1, refractory, eps = neuron
    leaving = -math.expm1(-step / refractory) if refractory > 0.0 else 1.0
    for k in range(normals.shape[0]):
        kick = b * arrivals[at]
        spread = math.sqrt(2.0 * (a0 * step + a1 * arrivals[at]))
        arrivals[at] = 0.0
        fired = 0
        for i in range(n):
            if i < shown:
                rasters[k, i] = 0
            if resting[i] == 1:
                if uniforms[k, i] < leaving:
                    resting[i] = 0
                    v[i] = v_reset
                continue
            old = v[i] + kick
            new = old + step * (current - old) + spread * normals[k, i]
            if fires(old, new, v_threshold, spread, step, eps, uniforms[k, i]):
                new = v_reset
                fired += 1
                if refractory > 0.0:
                    resting[i] = 1
                if i < shown:
                    rasters[k, i] = 1
            v[i] = new
        spikes[k] = fired
        at = at + 1 if at + 1 < arrivals.shape[0] else 0
        last = at - 1 if at > 0 else arrivals.shape[0] - 1
        arrivals[last] += fired / n
    return at


@kernel
def step_avalanches(v, resting, step, normals, uniforms, neuron, sizes):
    """Take one step per row of `normals` with every cascade resolved inside it; write how many fire (steps,).

    Those that cross in a step kick the others by ``b / n`` each at once, whom that takes across V_F fires too, and so
    on until nobody does. A neuron fires once in a cascade and is at V_R, or resting, when it is over. `neuron` is
    that of :func:`step_many` with ``a1 = 0`` and a sharp threshold.
    """
    n = v.shape[0]
    v_reset, v_threshold, current, b, a0, _, refractory, _ = neuron
    spread = math.sqrt(2.0 * a0 * step)
    leaving = -math.expm1(-step / refractory) if refractory > 0.0 else 1.0
    for k in range(normals.shape[0]):
        total, pending = 0, 0
        for i in range(n):
            if resting[i] == 1:
                if uniforms[k, i] < leaving:
                    resting[i] = 0
                    v[i] = v_reset
                continue
            new = v[i] + step * (current - v[i]) + spread * normals[k, i]
            if fires(v[i], new, v_threshold, spread, step, 0.0, uniforms[k, i]):
                resting[i] = 2  # fired in this step
                pending += 1
            v[i] = new
        while pending > 0:
            total += pending
            kick, pending = b * pending / n, 0
            for i in range(n):
                if resting[i] == 0:
                    v[i] += kick
                    if v[i] >= v_threshold:
                        resting[i] = 2
                        pending += 1
        for i in range(n):
            if resting[i] == 2:
                v[i] = v_reset
                resting[i] = 1 if refractory > 0.0 else 0
        sizes[k] = total
