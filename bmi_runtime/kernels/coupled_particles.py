"""Stepping several populations of noisy integrate-and-fire neurons, the limit of which are coupled densities."""

import math

from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.particles import fires


@kernel
def step_populations(v, resting, member, step, normals, uniforms, cells, b, a, lags, arrivals, at, sizes, spikes):
    """Take one Euler-Maruyama step per row of `normals`, with crossings between its ends.

    Parameters
    ----------
    v : float64 array (n,)
        Potentials of all neurons, updated.
    resting : int8 array (n,)
        1 in the refractory state, updated.
    member : int64 array (n,)
        Population of every neuron.
    step : float
    normals, uniforms : float64 arrays (steps, n)
    cells : float64 array (5, p)
        V_R, V_F, current, a0, mean refractory time of every population.
    b, a : float64 arrays (p, p)
        What a population receives (row) from another (column): a spike of population j moves a neuron of k by
        ``b_kj / n_j`` on average, with the variance ``2 a_kj / n_j``.
    lags : int64 array (p, p)
        Delays in steps, at least 1 (a spike arrives with the next step).
    arrivals : float64 array (ring, p)
        Fractions of every population that fired in the last steps.
    at : int
        Position in the ring.
    sizes : float64 array (p,)
        Neurons of every population.
    spikes : float64 array (steps, p)
        Written.

    Returns
    -------
    int
        Position in the ring after the last step.
    """
    n, p, ring = v.shape[0], sizes.shape[0], arrivals.shape[0]
    for s in range(normals.shape[0]):
        arrivals[at, :] = 0.0
        for k in range(p):
            spikes[s, k] = 0.0
        before = -1
        kick = spread = leaving = 0.0
        for i in range(n):
            k = member[i]
            if k != before:
                before, kick, noise = k, 0.0, cells[3, k] * step
                for j in range(p):
                    came = arrivals[(at - lags[k, j]) % ring, j]
                    kick += b[k, j] * came
                    noise += a[k, j] * came
                spread = math.sqrt(2.0 * noise)
                leaving = -math.expm1(-step / cells[4, k]) if cells[4, k] > 0.0 else 1.0
            if resting[i] == 1:
                if uniforms[s, i] < leaving:
                    resting[i] = 0
                    v[i] = cells[0, k]
                continue
            old = v[i] + kick
            new = old + step * (cells[2, k] - old) + spread * normals[s, i]
            if fires(old, new, cells[1, k], spread, step, 0.0, uniforms[s, i]):
                new = cells[0, k]
                spikes[s, k] += 1.0
                resting[i] = 1 if cells[4, k] > 0.0 else 0
            v[i] = new
        for k in range(p):
            arrivals[at, k] = spikes[s, k] / sizes[k]
        at = (at + 1) % ring
    return at
