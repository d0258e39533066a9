"""Kernels of the adaptive read-out: features from the state of a network, and one step of the Gaussian filter.

Sums run in a fixed order, so that the bits are the same on every machine.
"""

from bmi_runtime.kernels.jit import kernel


@kernel
def project(state, mean, basis, out):
    """Write the features of a state: 1, then its projections.

    Parameters
    ----------
    state : float32, shape (size,)
    mean : float64, shape (size,)
    basis : float64, shape (size, features - 1)
    out : float64, shape (features,)
    """
    out[0] = 1.0
    for j in range(1, len(out)):
        out[j] = 0.0
    for i in range(len(state)):
        value = state[i] - mean[i]
        row = basis[i]
        for j in range(len(row)):
            out[j + 1] += value * row[j]


@kernel
def teach(features, residual, rate, noise, weights, covariance, work):
    """Take one taught bin in, in place: the Gaussian filter with a random-walk prior, one covariance for all outputs.

    ``P = S + s I``, ``k = P g / (Z + g' P g)``, ``S = P - k g' P``, ``w <- w + k (residual - g' w)``.

    Parameters
    ----------
    features : float64, shape (p,)
    residual : float64, shape (outputs,)
        Truth minus the network's own read-out.
    rate, noise : float
        s and Z.
    weights : float64, shape (p, outputs)
    covariance : float64, shape (p, p)
    work : float64, shape (p,)
    """
    p, outputs = weights.shape
    spread = noise
    for i in range(p):
        covariance[i, i] += rate
    for i in range(p):
        total = 0.0
        for j in range(p):
            total += covariance[i, j] * features[j]
        work[i] = total
        spread += features[i] * total
    for output in range(outputs):
        error = residual[output]
        for i in range(p):
            error -= features[i] * weights[i, output]
        for i in range(p):
            weights[i, output] += work[i] / spread * error
    for i in range(p):
        for j in range(i + 1):
            value = covariance[i, j] - work[i] * work[j] / spread
            covariance[i, j] = value
            covariance[j, i] = value


@kernel
def read_out(features, weights, out):
    """Add ``features @ weights`` to `out`."""
    for i in range(len(features)):
        for output in range(len(out)):
            out[output] += features[i] * weights[i, output]


@kernel
def taught_error(features, residual, known, first, delay, rate, noise, weights, covariance, work, pending):
    """Return the mean squared error of the adapted read-out over a stretch, each bin taught `delay` bins later.

    Parameters
    ----------
    features : float64, shape (bins, p)
    residual : float64, shape (bins, outputs)
    known : bool, shape (bins,)
    first : int
        Errors before this bin are not counted.
    delay : int
    rate, noise : float
    weights, covariance, work
        As :func:`teach`.
    pending : float64, shape (outputs,)
    """
    total, number = 0.0, 0
    for t in range(len(features)):
        if known[t] and t >= first:
            pending[:] = 0.0
            read_out(features[t], weights, pending)
            for output in range(len(pending)):
                error = residual[t, output] - pending[output]
                total += error * error
                number += 1
        past = t - delay
        if rate > 0.0 and past >= 0 and known[past]:
            teach(features[past], residual[past], rate, noise, weights, covariance, work)
    return total / max(number, 1)


@kernel
def answer(outputs, hidden, mean, basis, features, weights, centre, spread, columns, moving, said, state):
    """Write what an ensemble says of a bin: the mean of its members, velocities corrected by the adapted read-out.

    Parameters
    ----------
    outputs : float32, shape (members, outputs)
    hidden : float32, shape (size,)
        Of all members.
    mean, basis, features, weights
        As :func:`project` and :func:`read_out`; `features` is written.
    centre, spread : float64, shape (outputs,)
        Scale of the kinematics.
    columns : int64, shape (outputs,)
        Where they stand in `state`.
    moving : int64, shape (velocities,)
        Which of the outputs are velocities.
    said : float64, shape (outputs,)
        Out: the mean of the members.
    state : float64, shape (width,)
        Out, in the decoder's unit; columns that are not decoded stay as they are.
    """
    members = len(outputs)
    for j in range(len(said)):
        total = 0.0
        for member in range(members):
            total += outputs[member, j]
        said[j] = total / members
        state[columns[j]] = centre[j] + spread[j] * said[j]
    project(hidden, mean, basis, features)
    for axis in range(len(moving)):
        j = moving[axis]
        corrected = said[j]
        for i in range(len(features)):
            corrected += features[i] * weights[i, axis]
        state[columns[j]] = centre[j] + spread[j] * corrected
