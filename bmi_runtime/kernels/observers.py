"""Kernels of the joined decoder: several estimates of one velocity, taken as its noisy encoding and inverted.

Observers o of a velocity v obey ``o = b + H v + n`` with the covariance R of n. Given the prior precision q of every
component of v (mean 0), the velocity is ``(H' R^-1 H + q I)^-1 H' R^-1 (o - b)``: with q = 0 it is unbiased given v,
with q the inverse variance of v it has the least squared error. Sums run in a fixed order.
"""

from bmi_runtime.kernels.jit import kernel

RIDGE = 1e-9  # of the mean noise variance


@kernel
def invert_observers(weights, noise, precision, observed, work, system, velocity, variance):
    """Write the velocity that a bin's observers speak of, and its variance.

    Parameters
    ----------
    weights : float64, shape (1 + axes, observers)
        b, then the columns of H.
    noise : float64, shape (observers, observers)
        R.
    precision : float
        q.
    observed : float64, shape (observers,)
        o.
    work : float64, shape (observers, observers + axes + 1)
        R, H and ``o - b`` side by side; the elimination leaves them multiplied by ``L^-1`` (``R = L D L'``).
    system : float64, shape (axes, 2 axes + 1)
    velocity, variance : float64, shape (axes,)
        Out.
    """
    axes, observers = len(velocity), len(observed)
    scale = 0.0
    for k in range(observers):
        scale += noise[k, k]
    ridge = RIDGE * scale / observers + 1e-300
    for k in range(observers):
        for j in range(observers):
            work[k, j] = noise[k, j]
        work[k, k] += ridge
        for axis in range(axes):
            work[k, observers + axis] = weights[1 + axis, k]
        work[k, observers + axes] = observed[k] - weights[0, k]
    for k in range(observers):
        for row in range(k + 1, observers):
            factor = work[row, k] / work[k, k]
            for j in range(k, observers + axes + 1):
                work[row, j] -= factor * work[k, j]
    for i in range(axes):
        for j in range(axes):
            total = precision if i == j else 0.0
            for k in range(observers):
                total += work[k, observers + i] * work[k, observers + j] / work[k, k]
            system[i, j] = total
            system[i, axes + j] = 1.0 if i == j else 0.0
        total = 0.0
        for k in range(observers):
            total += work[k, observers + i] * work[k, observers + axes] / work[k, k]
        system[i, 2 * axes] = total
    solve_positive(system)
    for i in range(axes):
        velocity[i] = system[i, 2 * axes]
        variance[i] = system[i, axes + i]


@kernel
def joined_answer(
    unit_state, said, mean, unit, unit_squared, per_m, largest, share, weights, noise, precision,
    observed, work, system, velocity, velocity_variance, state, variance,
):  # fmt: skip
    """Write what the units' filter and the networks speak of together, and its variance.

    Parameters
    ----------
    unit_state : float64, shape (2 axes,)
        Of the units' filter, position and velocity, in m and m/s.
    said : float64, shape (2 axes,)
        What the networks say, in the decoder's unit.
    mean : float64, shape (axes,)
    unit, unit_squared : float
        What 1 dm/s is in the decoder's unit of velocity, and its square.
    per_m : float
        Decimetres of a metre.
    largest : float
        Bound of the size of what is observed.
    share : float64, shape (axes,)
        Of the observers' inverse in the answer.
    weights, noise, precision, observed, work, system, velocity
        As :func:`invert_observers`; `observed` is written.
    velocity_variance : float64, shape (axes,)
        Work.
    state : float64, shape (2 axes,)
        Out, in the decoder's unit.
    variance : float64, shape (2 axes,)
        Out: the velocities' part.
    """
    n = len(mean)
    for i in range(n):
        observed[i] = bounded(unit_state[n + i] * per_m, largest)
        observed[n + i] = bounded((said[n + i] - mean[i]) / unit, largest)
    invert_observers(weights, noise, precision, observed, work, system, velocity, velocity_variance)
    for i in range(n):
        state[i] = said[i]
        inverted = velocity[i] * unit + mean[i]
        state[n + i] = said[n + i] + share[i] * (inverted - said[n + i])
        variance[n + i] = velocity_variance[i] * unit_squared


@kernel
def bounded(value, largest):
    """Return a value within ``[-largest, largest]``; one that is not a number stays."""
    if value > largest:
        return largest
    if value < -largest:
        return -largest
    return value


@kernel
def solve_positive(system):
    """Solve, in place, for the right-hand sides beside a positive definite matrix, shape (n, n + sides)."""
    n, width = system.shape
    for k in range(n):
        pivot = system[k, k] if system[k, k] > 1e-300 else 1e-300
        for j in range(k, width):
            system[k, j] /= pivot
        for row in range(n):
            if row != k:
                factor = system[row, k]
                for j in range(k, width):
                    system[row, j] -= factor * system[k, j]


@kernel
def watch_noise(features, observed, weights, share, noise, work):
    """Move the noise covariance toward this bin's residual: ``R <- (1 - a) R + a e e'`` with ``e = o - W' g``.

    Parameters
    ----------
    features : float64, shape (1 + axes,)
        g: 1 and the velocity that was meant.
    observed : float64, shape (observers,)
    weights : float64, shape (1 + axes, observers)
    share : float
        a.
    noise : float64, shape (observers, observers)
        In and out.
    work : float64, shape (observers,)
    """
    for k in range(len(observed)):
        total = observed[k]
        for i in range(len(features)):
            total -= features[i] * weights[i, k]
        work[k] = total
    for k in range(len(observed)):
        for j in range(len(observed)):
            noise[k, j] += share * (work[k] * work[j] - noise[k, j])
