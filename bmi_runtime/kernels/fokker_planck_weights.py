"""Populations indexed by their synaptic weight, p(v, w): an implicit step in v, an explicit one in w."""

from bmi_runtime.kernels.fokker_planck_fluxes import transfer_rates
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.tridiagonal import factor, solve_pair


@kernel
def relax_potentials(mass, step, reset, grid, drifts, diffusion, work, rates):
    """Take one implicit Euler step in v for every weight: `mass` (weights, n) is updated, `rates` (weights,) written.

    Each weight is its own linear population with drift ``drifts[j]`` (weights,); what fires comes back at V_R. The
    matrix is an M-matrix with column sums one: masses stay positive and each total is kept. `grid` is the table of
    :mod:`.fokker_planck_fluxes`, `work` is (8, n).
    """
    n = mass.shape[1]
    right, left, lower, diagonal, upper = work[0], work[1], work[2], work[3], work[4]
    ratio, back, inverse = work[5], work[6], work[7]
    for j in range(mass.shape[0]):
        transfer_rates(grid, drifts[j], diffusion, right, left)
        implicit_matrix(right, left, step, lower, diagonal, upper)
        factor(lower, diagonal, upper, ratio, back, inverse)
        for i in range(n):
            lower[i] = 0.0
        lower[reset] = step
        solve_pair(ratio, back, inverse, mass[j], lower)
        rates[j] = right[n - 1] * mass[j, n - 1] / (1.0 - right[n - 1] * lower[n - 1])
        for i in range(n):
            mass[j, i] += rates[j] * lower[i]


@kernel
def implicit_matrix(right, left, step, lower, diagonal, upper):
    """Write the rows (n,) of the matrix of an implicit Euler step without what comes back at V_R."""
    n = right.shape[0]
    for i in range(n):
        upper[i] = -step * left[i]
        diagonal[i] = 1.0 + step * right[i]
    onward, following, under = right[: n - 1], diagonal[1:], lower[1:]
    lower[0] = 0.0
    for i in range(n - 1):
        following[i] += step * left[i]
        under[i] = -step * onward[i]


@kernel
def transport_weights(mass, step, width, weights, slopes, rates, mean_rate, moved, totals):
    """Take one explicit Godunov step of ``C_t + [(Phi - w) C]_w = 0``, ``Phi = slopes N(w) mean_rate``, carrying p(v,
    w) along.

    For an inhibitory rule (slope < 0) the flux is concave in C: the flux between two weights is the smaller of what
    the left one can send and what the right one can take (the entropy solution, the limit of vanishing diffusion).
    `step` includes epsilon. `moved` (weights + 1,) and `totals` (weights,) are work arrays.
    """
    count, n = mass.shape
    for j in range(count):
        totals[j] = 0.0
        for i in range(n):
            totals[j] += mass[j, i]
    moved[0] = moved[count] = 0.0
    for j in range(count - 1):
        w = 0.5 * (weights[j] + weights[j + 1])
        send = weight_flux(totals[j], rates[j], slopes[j] * mean_rate, w, True)
        take = weight_flux(totals[j + 1], rates[j + 1], slopes[j + 1] * mean_rate, w, False)
        moved[j + 1] = step / width * min(send, take)
    for i in range(n):
        before = 0.0
        own = mass[0, i]
        for j in range(count):
            following = mass[j + 1, i] if j + 1 < count else 0.0
            after = 0.0
            if moved[j + 1] > 0.0 and totals[j] > 0.0:
                after = moved[j + 1] * own / totals[j]
            elif moved[j + 1] < 0.0 and totals[j + 1] > 0.0:
                after = moved[j + 1] * following / totals[j + 1]
            mass[j, i] = own + before - after
            before, own = after, following


@kernel
def weight_flux(total, rate, strength, w, sending):
    """Return the largest flux of weights that a cell can send up, or (not `sending`) take, for
    ``f(C) = strength r C^2 - w C``.
    """
    if total <= 0.0:
        return 0.0 if sending else 1e300
    bend = -strength * rate / total
    slope = -w
    if bend <= 0.0:
        return slope * total if sending else 1e300
    best = max(0.5 * slope / bend, 0.0)
    c = min(total, best) if sending else max(total, best)
    return slope * c - bend * c * c
