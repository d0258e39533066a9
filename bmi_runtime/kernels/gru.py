"""Kernels of the gated recurrent decoder: gates forward and backward, AdamW, and one bin of inference.

Everything is single precision with additions, multiplications and divisions in a fixed order, so that inference gives
the same bits on every machine. The gates are those of Cho et al. (2014, arXiv:1406.1078) in the form that resets after
the recurrent product: with ``x`` the input's part and ``u`` the recurrent part of the pre-activations,

    r = sigmoid(x_r + u_r),  z = sigmoid(x_z + u_z),  n = tanh(x_n + r u_n),  h = (1 - z) n + z h_before.
"""

import numpy as np

from bmi_runtime.kernels.jit import kernel

_LARGEST = np.float32(80.0)
_LOG2E = np.float32(1.44269504)
_LN2_HIGH = np.float32(0.693145751953125)
_LN2_LOW = np.float32(1.42860677e-06)
_SHIFT = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer held in the low bits
_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_C2, _C3 = np.float32(1.0 / 2.0), np.float32(1.0 / 6.0)
_C4, _C5, _C6 = np.float32(1.0 / 24.0), np.float32(1.0 / 120.0), np.float32(1.0 / 720.0)


@kernel(inline="always")
def exponential32(x):
    """Return exp(x) of a float32, `x` clipped to [-80, 80]; relative error below 3e-7."""
    x = min(max(x, -_LARGEST), _LARGEST)
    shifted = x * _LOG2E + _SHIFT
    whole = shifted - _SHIFT
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = _C5 + r * _C6
    p = _C4 + r * p
    p = _C3 + r * p
    p = _C2 + r * p
    p = _ONE + r * (_ONE + r * p)
    bits = (np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)
    return p * np.int32(bits).view(np.float32)


@kernel(inline="always")
def sigmoid32(x):
    """Return the logistic function of a float32."""
    return _ONE / (_ONE + exponential32(-x))


@kernel(inline="always")
def tanh32(x):
    """Return the hyperbolic tangent of a float32; absolute error below 2e-7."""
    return _TWO / (_ONE + exponential32(-_TWO * x)) - _ONE


@kernel
def gates_forward(inputs, recurrent, before, gates, hidden):
    """Write the gates and the hidden state of one step of a batch.

    Parameters
    ----------
    inputs, recurrent : float32, shape (batch, 3 h)
        Pre-activations r, z, n of the input and of the state before (their biases included).
    before : float32, shape (batch, h)
    gates : float32, shape (batch, 3 h)
        Out: r, z, n.
    hidden : float32, shape (batch, h)
        Out.
    """
    batch, size = before.shape
    for b in range(batch):
        x, u, g, h, old = inputs[b], recurrent[b], gates[b], hidden[b], before[b]
        for i in range(size):
            g[i] = sigmoid32(x[i] + u[i])
        for i in range(size):
            g[size + i] = sigmoid32(x[size + i] + u[size + i])
        for i in range(size):
            g[2 * size + i] = tanh32(x[2 * size + i] + g[i] * u[2 * size + i])
        for i in range(size):
            h[i] = g[2 * size + i] + g[size + i] * (old[i] - g[2 * size + i])


@kernel
def gates_backward(gradient, gates, candidate, before, d_inputs, d_recurrent, d_before):
    """Write the gradients of one step with respect to both pre-activations and, directly, to the state before.

    Parameters
    ----------
    gradient : float32, shape (batch, h)
        Of the loss with respect to the hidden state.
    gates : float32, shape (batch, 3 h)
    candidate : float32, shape (batch, h)
        The recurrent pre-activation of n.
    before : float32, shape (batch, h)
    d_inputs, d_recurrent : float32, shape (batch, 3 h)
        Out.
    d_before : float32, shape (batch, h)
        Out: the part that does not go through the recurrent product.
    """
    batch, size = before.shape
    for b in range(batch):
        d, g, c, old = gradient[b], gates[b], candidate[b], before[b]
        dx, du, dh = d_inputs[b], d_recurrent[b], d_before[b]
        for i in range(size):
            r, z, n = g[i], g[size + i], g[2 * size + i]
            d_n = d[i] * (_ONE - z) * (_ONE - n * n)
            d_z = d[i] * (old[i] - n) * z * (_ONE - z)
            d_r = d_n * c[i] * r * (_ONE - r)
            dh[i] = d[i] * z
            dx[i] = d_r
            dx[size + i] = d_z
            dx[2 * size + i] = d_n
            du[i] = d_r
            du[size + i] = d_z
            du[2 * size + i] = d_n * r


@kernel
def adamw(weights, gradient, decay, first, second, rate, scale, correction1, correction2):
    """Take one step of AdamW in place (Loshchilov, Hutter 2019, arXiv:1711.05101), moments with 0.9 and 0.999.

    Parameters
    ----------
    weights, gradient, decay, first, second : float32, shape (parameters,)
        `decay` is the weight decay of each parameter, relative to the rate.
    rate, scale, correction1, correction2 : float32
        Learning rate of the optimiser, factor of the gradient (clipping), ``1 - 0.9^t`` and ``1 - 0.999^t``.
    """
    keep1, keep2, tiny = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    for i in range(len(weights)):
        g = gradient[i] * scale
        first[i] = keep1 * first[i] + (_ONE - keep1) * g
        second[i] = keep2 * second[i] + (_ONE - keep2) * g * g
        step = (first[i] / correction1) / (np.sqrt(second[i] / correction2) + tiny)
        weights[i] -= rate * (step + decay[i] * weights[i])


@kernel
def add_rows(weights, inputs, out):
    """Add ``inputs @ weights`` to `out`, input after input: eight rows a pass, so that `out` is seldom touched.

    Parameters
    ----------
    weights : float32, shape (inputs, outputs)
    inputs : float32, shape (inputs,)
    out : float32, shape (outputs,)
    """
    whole = len(inputs) // 8 * 8
    for i in range(0, whole, 8):
        x0, x1, x2, x3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        x4, x5, x6, x7 = inputs[i + 4], inputs[i + 5], inputs[i + 6], inputs[i + 7]
        row0, row1, row2, row3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        row4, row5, row6, row7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
        for j in range(len(out)):
            upper = out[j] + x0 * row0[j] + x1 * row1[j] + x2 * row2[j] + x3 * row3[j]
            out[j] = upper + x4 * row4[j] + x5 * row5[j] + x6 * row6[j] + x7 * row7[j]
    for i in range(whole, len(inputs)):
        value, row = inputs[i], weights[i]
        for j in range(len(out)):
            out[j] += value * row[j]


@kernel
def ensemble_step(
    inputs, enter, enter_bias, drive, drive_bias, recur, recur_bias, read, read_bias, hidden, work, outputs
):
    """Take one step of every member of an ensemble; the same bits on every machine.

    Parameters
    ----------
    inputs : float32, shape (inputs,)
        Standardised counts.
    enter, enter_bias, drive, drive_bias, recur, recur_bias, read, read_bias : float32
        Parameters, members first (:class:`bmi_runtime.decoding.gru_network.Shape`).
    hidden : float32, shape (members, h)
        In: the states before. Out: the states now.
    work : float32, shape (entry + 6 h)
    outputs : float32, shape (members, outputs)
        Out.
    """
    members, size = hidden.shape
    width = enter_bias.shape[1]
    entry, drives, recurs = work[:width], work[width : width + 3 * size], work[width + 3 * size :]
    for member in range(members):
        state, out = hidden[member], outputs[member]
        entry[:] = enter_bias[member]
        add_rows(enter[member], inputs, entry)
        for i in range(width):
            entry[i] = max(entry[i], np.float32(0.0))
        drives[:] = drive_bias[member]
        add_rows(drive[member], entry, drives)
        recurs[:] = recur_bias[member]
        add_rows(recur[member], state, recurs)
        for i in range(2 * size):
            drives[i] = sigmoid32(drives[i] + recurs[i])
        for i in range(size):
            drives[2 * size + i] = tanh32(drives[2 * size + i] + drives[i] * recurs[2 * size + i])
        for i in range(size):
            state[i] = drives[2 * size + i] + drives[size + i] * (state[i] - drives[2 * size + i])
        out[:] = read_bias[member]
        add_rows(read[member], state, out)


@kernel
def standardised(ring, known, mean, gain, largest, out):
    """Write the counts summed over a step in the network's scale: 0 where one is missing, the others scaled up.

    Parameters
    ----------
    ring : float64, shape (stride, units)
        Counts of the last bins.
    known : float64, shape (stride, units)
        0 where a count is missing.
    mean, gain : float32, shape (units,)
    largest : float
        Bound of the size of an input.
    out : float32, shape (units,)
    """
    stride, units = ring.shape
    there = 0
    for unit in range(units):
        total, whole = 0.0, True
        for lag in range(stride):
            total += ring[lag, unit]
            whole = whole and known[lag, unit] > 0.0
        out[unit] = np.float32(0.0)
        if whole:
            there += 1
            out[unit] = np.float32(min(max((total - mean[unit]) * gain[unit], -largest), largest))
    if 0 < there < units:
        factor = np.float32(units / there)
        for unit in range(units):
            out[unit] *= factor
