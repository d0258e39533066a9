"""Kernels of the fitted decoders: sums and small solves in a fixed order, the same bits on every machine.

A BLAS chooses its order of summation by the processor and by the number of threads; a replay must not depend on either.
"""

from bmi_runtime.kernels.jit import kernel


@kernel
def weighted_sums(weights, inputs, out):
    """Write ``weights @ inputs``, each sum from the first input to the last.

    Parameters
    ----------
    weights : float64, shape (rows, inputs)
    inputs : float64, shape (inputs,)
    out : float64, shape (rows,)
    """
    for row in range(len(out)):
        total = 0.0
        for column in range(len(inputs)):
            total += weights[row, column] * inputs[column]
        out[row] = total


@kernel
def advance(transition, drive, mean, covariance, work):
    """Take a Gaussian state one bin on, in place: ``m <- A m``, ``P <- A P A' + Q``.

    Parameters
    ----------
    transition, drive : float64, shape (n, n)
        A and Q.
    mean : float64, shape (n,)
    covariance : float64, shape (n, n)
    work : float64, shape (n, 2 n + 1)
    """
    n = len(mean)
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += transition[i, j] * mean[j]
        work[i, 0] = total
    for i in range(n):
        mean[i] = work[i, 0]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += transition[i, k] * covariance[k, j]
            work[i, j] = total
    for i in range(n):
        for j in range(n):
            total = drive[i, j]
            for k in range(n):
                total += work[i, k] * transition[j, k]
            covariance[i, j] = total


@kernel
def condition(information, evidence, mean, covariance, work):
    """Take one bin's evidence in, in place: ``P <- (I + P M)^-1 P``, ``m <- m + P (e - M m)``.

    The information form of the Kalman update (M = C' R^-1 C, e = C' R^-1 y): its cost does not grow with the units.

    Parameters
    ----------
    information : float64, shape (n, n)
    evidence : float64, shape (n,)
    mean : float64, shape (n,)
    covariance : float64, shape (n, n)
    work : float64, shape (n, 2 n + 1)
        The system and its right-hand sides; Gaussian elimination with row exchange.
    """
    n = len(mean)
    for i in range(n):
        for j in range(n):
            total = 1.0 if i == j else 0.0
            for k in range(n):
                total += covariance[i, k] * information[k, j]
            work[i, j] = total
            work[i, n + j] = covariance[i, j]
    for column in range(n):
        pivot = column
        for row in range(column + 1, n):
            if abs(work[row, column]) > abs(work[pivot, column]):
                pivot = row
        for k in range(2 * n):
            kept = work[column, k]
            work[column, k] = work[pivot, k]
            work[pivot, k] = kept
        for row in range(n):
            if row != column:
                factor = work[row, column] / work[column, column]
                for k in range(column, 2 * n):
                    work[row, k] -= factor * work[column, k]
    for i in range(n):
        for j in range(n):
            upper = work[i, n + j] / work[i, i]
            lower = work[j, n + i] / work[j, j]
            covariance[i, j] = 0.5 * (upper + lower)
    for i in range(n):
        total = evidence[i]
        for j in range(n):
            total -= information[i, j] * mean[j]
        work[i, 2 * n] = total
    for i in range(n):
        total = mean[i]
        for j in range(n):
            total += covariance[i, j] * work[j, 2 * n]
        work[i, 0] = total
    for i in range(n):
        mean[i] = work[i, 0]
