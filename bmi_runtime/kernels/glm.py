"""Products of a spike-history design matrix with arrays, taken from the spikes without ever forming the matrix.

A history design has one column per (source, lag) pair; its entry at bin ``t`` is the count of the source at ``t -
lag``. At one-millisecond bins nearly every entry is zero, so a product costs (spikes x lags x targets) additions
instead of (bins x columns x targets) multiplications. Events are stored source by source: ``starts[j]:starts[j+1]``
delimits the events of source ``j``, whose bins ``times`` are increasing and whose counts are ``values``.

Shapes: ``filters`` and ``gradient`` are (sources, lags, targets), ``predictor`` and ``residual`` are (bins, targets)
for the bins ``first, first + 1, ...``; index 0 of the lag axis is lag 1 (the bin before). Everything is C-contiguous
float64.
"""

import numpy as np

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel


@kernel
def add_history(starts, times, values, filters, first, predictor):
    """Add ``sum_j sum_m filters[j, m - 1] * y_j(t - m)`` to `predictor` for its bins (the forward product)."""
    bins, targets = predictor.shape
    lags = filters.shape[1]
    flat = predictor.ravel()
    for source in range(starts.size - 1):
        taps = filters[source].ravel()
        begin = starts[source] + np.searchsorted(times[starts[source] : starts[source + 1]], first - lags)
        for event in range(begin, starts[source + 1]):
            row = times[event] + 1 - first
            if row >= bins:
                break
            skipped = 0
            if row < 0:
                skipped = -row
                row = 0
            size = min(lags - skipped, bins - row) * targets
            part = flat[row * targets : row * targets + size]
            tap = taps[skipped * targets : skipped * targets + size]
            value = values[event]
            for k in range(size):
                part[k] += value * tap[k]


@kernel
def add_history_transpose(starts, times, values, residual, first, gradient):
    """Add ``sum_t residual[t] * y_j(t - m)`` to ``gradient[j, m - 1]`` (the adjoint of :func:`add_history`)."""
    bins, targets = residual.shape
    lags = gradient.shape[1]
    flat = residual.ravel()
    for source in range(starts.size - 1):
        taps = gradient[source].ravel()
        begin = starts[source] + np.searchsorted(times[starts[source] : starts[source + 1]], first - lags)
        for event in range(begin, starts[source + 1]):
            row = times[event] + 1 - first
            if row >= bins:
                break
            skipped = 0
            if row < 0:
                skipped = -row
                row = 0
            size = min(lags - skipped, bins - row) * targets
            part = flat[row * targets : row * targets + size]
            tap = taps[skipped * targets : skipped * targets + size]
            value = values[event]
            for k in range(size):
                tap[k] += value * part[k]


@kernel
def rates_in_place(predictor, sums):
    """Replace a predictor (bins, targets) by its exponential, the rate, and add each target's rates to `sums`."""
    bins, targets = predictor.shape
    for t in range(bins):
        for i in range(targets):
            rate = exponential(predictor[t, i])
            predictor[t, i] = rate
            sums[i] += rate


@kernel
def history_features(starts, times, values, basis, first, features):
    """Write the dense history features of the bins ``first ...``: (bins, columns), zeroed here first.

    ``basis`` is (classes, lags, functions): source ``j`` of the events adds to the columns ``j // classes * functions
    + b`` its count filtered by function ``b`` of class ``j % classes`` (one class unless the events were decimated).
    """
    bins = features.shape[0]
    classes, lags, functions = basis.shape
    features[:] = 0.0
    for source in range(starts.size - 1):
        column = source // classes * functions
        shape = basis[source % classes]
        begin = starts[source] + np.searchsorted(times[starts[source] : starts[source + 1]], first - lags)
        for event in range(begin, starts[source + 1]):
            row = times[event] + 1 - first
            if row >= bins:
                break
            value = values[event]
            for lag in range(max(0, -row), min(lags, bins - row)):
                for b in range(functions):
                    features[row + lag, column + b] += value * shape[lag, b]


@kernel
def correlogram(starts, times, values, late_starts, late_times, late_values, low, counts):
    """Count pairs of spikes of two sets: ``counts[j, i, d - low] += y_j(s) z_i(s + d)``, ``d = low, low + 1, ...``."""
    shifts = counts.shape[2]
    for one in range(starts.size - 1):
        for other in range(late_starts.size - 1):
            begin = late_starts[other]
            for event in range(starts[one], starts[one + 1]):
                zero = times[event] + low
                while begin < late_starts[other + 1] and late_times[begin] < zero:
                    begin += 1
                k = begin
                while k < late_starts[other + 1] and late_times[k] < zero + shifts:
                    counts[one, other, late_times[k] - zero] += values[event] * late_values[k]
                    k += 1


@kernel
def poisson_by_inversion(rate, uniform):
    """Return the Poisson count whose cumulative distribution first exceeds `uniform`; `rate` below 700."""
    term = np.exp(-rate)
    total = term
    count = 0
    while uniform > total and count < 2000:
        count += 1
        term *= rate / count
        total += term
    return count


@kernel
def simulate_block(pending, offset, drive, filters, uniforms, added, softplus, ceiling, counts):
    """Draw the counts of consecutive bins, each conditioned on those before.

    ``pending`` (lags + 1, units) is a ring: row ``(offset + k) % (lags + 1)`` holds what past spikes add to the
    log-rate of the k-th coming bin. ``drive`` (bins, units) is the rest of the predictor, `filters` (sources, lags,
    targets), `uniforms` (bins, units); `added` (bins or 0, units) are spikes that stimulation puts in. Returns the
    first bin where a rate is above `ceiling` counts per bin, or -1.
    """
    bins, units = drive.shape
    ring = pending.shape[0]
    lags = ring - 1
    for t in range(bins):
        here = (offset + t) % ring
        for i in range(units):
            eta = drive[t, i] + pending[here, i]
            pending[here, i] = 0.0
            rate = np.exp(eta)
            if softplus:
                rate = np.log1p(rate) if eta < 30.0 else eta
            if not rate <= ceiling:
                return t
            counts[t, i] = poisson_by_inversion(rate, uniforms[t, i])
            if added.shape[0] > 0:
                counts[t, i] += added[t, i]
        for j in range(units):
            if counts[t, j] > 0:
                for m in range(lags):
                    row = (here + 1 + m) % ring
                    for i in range(units):
                        pending[row, i] += counts[t, j] * filters[j, m, i]
    return -1
