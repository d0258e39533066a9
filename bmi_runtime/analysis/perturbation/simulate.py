"""Systems with known effects to try the estimators on: clamped, stimulated, observed; with hidden common input;
spiking.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import sparse

from bmi_runtime.analysis.perturbation.effects import EffectAccumulator
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import perturbation as kernels


def random_connectivity(n_neurons: int, rng: np.random.Generator, probability: float = 0.1) -> np.ndarray:
    """Return a connectivity (n, n), row = target, built like the tutorial's but from any generator.

    Raises
    ------
    BadInput
        When there are too few neurons, or no pair is connected.
    """
    if n_neurons < 2 or not 0 < probability <= 1:
        raise BadInput(f"no system of {n_neurons} neurons with connection probability {probability:g} can be built")
    connected = (rng.random((n_neurons, n_neurons)) < probability).astype(float)
    largest = sparse.linalg.svds(connected, k=1, return_singular_vectors=False)[0] if n_neurons > 200 else None
    largest = np.linalg.norm(connected, 2) if largest is None else largest
    if largest == 0:
        raise BadInput("no pair happens to be connected; take more neurons, a larger probability or another seed")
    return connected / (1.01 * largest)


def random_assignments(
    steps: int, n_neurons: int, rng: np.random.Generator, every: int = 2, clamped_fraction: float = 1.0
) -> np.ndarray:
    """Return assignments (steps, n) int8: at every `every`-th step a random subset clamped to 0 or 1 at random, else
    -1.

    Raises
    ------
    BadInput
        When the clamped fraction is not in (0, 1], or too few steps are left.
    """
    if steps < 2 or every < 1:
        raise BadInput(f"{steps} steps clamped every {every} leave nothing to estimate from")
    if not 0 < clamped_fraction <= 1:
        raise BadInput(f"clamped_fraction is {clamped_fraction:g}: it must lie between 0 (not included) and 1")
    result = np.full((steps, n_neurons), -1, dtype=np.int8)
    drawn = rng.integers(0, 2, (len(result[::every]), n_neurons), dtype=np.int8)
    if clamped_fraction < 1:
        drawn[rng.random(drawn.shape) >= clamped_fraction] = -1
    result[::every] = drawn
    return result


def hidden_input(
    steps: int, n_neurons: int, rng: np.random.Generator, strength: float, correlation: float = 0.95
) -> np.ndarray:
    """Return the input (steps, n) of one slow hidden source, shared by all neurons with random signs and weights.

    The source is autoregressive with unit variance and the given step-to-step `correlation`; `strength` scales its
    weights.

    Raises
    ------
    BadInput
        When the strength is negative.
    """
    from scipy.signal import lfilter

    if not (np.isfinite(strength) and strength >= 0):
        raise BadInput(f"the strength of the hidden input is {strength:g}: give 0 or a positive number")
    noise = rng.standard_normal(steps) * np.sqrt(1 - correlation**2)
    source = lfilter([1.0], [1.0, -correlation], noise)
    return np.outer(source, strength * rng.standard_normal(n_neurons))


def _rows(connectivity) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    matrix = sparse.csr_array(connectivity)
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(float)


def simulate_sigmoid(
    connectivity: np.ndarray, assignments: np.ndarray, rng: np.random.Generator, hidden: np.ndarray | None = None
) -> np.ndarray:
    """Return activity (steps, n) of ``x[t+1] = sigmoid(A x[t] + hidden[t] + noise)``, clamped where `assignments` says.

    Parameters
    ----------
    connectivity : (n, n) ndarray
        A, row = target.
    assignments : (steps, n) int8
        1 or 0 where clamped, -1 where free.
    rng : numpy.random.Generator
        Draws the unit-variance noise.
    hidden : (steps, n) ndarray, optional
        Further input that nobody records.
    """
    drive = rng.standard_normal(assignments.shape)
    if hidden is not None:
        drive += hidden
    activity = np.zeros(assignments.shape)
    kernels.clamped_sigmoid(*_rows(connectivity), drive, np.ascontiguousarray(assignments, dtype=np.int8), activity)
    return activity


def simulate_spiking(
    weights: np.ndarray,
    log_rates,
    assignments: np.ndarray,
    rng: np.random.Generator,
    added: np.ndarray | None = None,
    ceiling: float = 50.0,
) -> np.ndarray:
    """Return counts (steps, n), Poisson with mean ``exp(log_rates + W counts of the step before)``.

    Parameters
    ----------
    weights : (n, n) ndarray
        W, row = target, log rate per spike.
    log_rates : float, (n,) or (steps, n) ndarray
        Log mean count without input; per step when hidden input drives it.
    assignments : (steps, n) int8
        Counts to which units are clamped (-1: free).
    rng : numpy.random.Generator
        Source of chance.
    added : (steps, n) int array, optional
        Spikes that stimulation adds to a unit's own.
    ceiling : float
        Largest mean count per step: with an exponential link positive coupling can run away.
    """
    shape = assignments.shape
    base = np.ascontiguousarray(np.broadcast_to(np.asarray(log_rates, dtype=float), shape))
    extra = np.zeros(shape, dtype=np.int8) if added is None else np.ascontiguousarray(added, dtype=np.int8)
    counts = np.zeros(shape)
    clamps = np.ascontiguousarray(assignments, dtype=np.int8)
    kernels.clamped_spikes(*_rows(weights), base, rng.random(shape), clamps, extra, float(ceiling), counts)
    return counts


def clamped_samples(assignments: np.ndarray, activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the assignments of the steps at which anything was clamped, and the activity one step later, where
    nothing was.

    A target that is itself clamped at the later step tells nothing, so samples followed by a clamped step are left out.
    """
    touched = np.any(assignments >= 0, axis=1)
    usable = np.flatnonzero(touched[:-1] & ~touched[1:])
    return assignments[usable], activity[usable + 1]


def stream_sigmoid(
    connectivity: np.ndarray,
    steps: int,
    rng: np.random.Generator,
    block: int = 2048,
    advance: Callable[[int], None] = lambda amount: None,
) -> EffectAccumulator:
    """Simulate `steps` steps with every neuron clamped at every other, and accumulate the effects, holding one block
    in memory.

    A fully clamped step forgets all before it, so the pairs (clamped, next) are independent and whole blocks are
    drawn at once, in 32 bits; the law is that of :func:`simulate_sigmoid`.
    """
    n = len(connectivity)
    across = np.ascontiguousarray(np.asarray(connectivity, dtype=np.float32).T)
    sums = EffectAccumulator(n, n)
    left = steps // 2
    while left > 0:
        rows = min(block, left)
        clamped = rng.integers(0, 2, (rows, n), dtype=np.int8)
        drive = clamped.astype(np.float32) @ across
        drive += rng.standard_normal((rows, n), dtype=np.float32)
        np.negative(drive, out=drive)
        np.exp(drive, out=drive)
        drive += 1
        np.reciprocal(drive, out=drive)
        sums.update(clamped, drive)
        left -= rows
        advance(2 * rows)
    return sums


@dataclasses.dataclass
class Comparison:
    """How well each method recovers the true connections of one simulated system: correlation with the truth, per
    method.
    """

    steps: np.ndarray
    hidden_strength: float
    agreement: dict[str, np.ndarray]


def compare_methods(
    n_neurons: int, steps: np.ndarray, hidden_strength: float, seed: int = 0, clamped_fraction: float = 0.5
) -> Comparison:
    """Compare perturbation (all, and a random subset clamped) with correlation and regression as data grow.

    The same system, with one hidden common input of `hidden_strength` (0: none), is observed and perturbed for each
    of `steps`.

    Raises
    ------
    BadInput
        When there are too few steps to estimate anything.
    """
    from bmi_runtime.analysis.perturbation.effects import agreement, difference_in_means
    from bmi_runtime.analysis.perturbation.observational import lagged_correlation, lagged_regression

    if min(steps) < 2 * n_neurons + 6:
        raise BadInput(
            f"{min(steps)} steps are too few to compare methods on {n_neurons} neurons: regression alone needs "
            f"{2 * n_neurons + 6}"
        )
    rng = np.random.default_rng(seed)
    truth = random_connectivity(n_neurons, rng).T
    longest = int(max(steps))
    hidden = hidden_input(longest, n_neurons, rng, hidden_strength)
    free = np.full((longest, n_neurons), -1, dtype=np.int8)
    observed = simulate_sigmoid(truth.T, free, rng, hidden)
    runs = {}
    for name, fraction in (("perturbing all", 1.0), ("perturbing a random half", clamped_fraction)):
        clamps = random_assignments(longest, n_neurons, rng, clamped_fraction=fraction)
        runs[name] = (clamps, simulate_sigmoid(truth.T, clamps, rng, hidden))
    result: dict[str, list[float]] = {name: [] for name in (*runs, "regression", "correlation")}
    for count in steps:
        for name, (clamps, activity) in runs.items():
            effects = difference_in_means(*clamped_samples(clamps[:count], activity[:count]))
            result[name].append(agreement(truth, effects.estimate))
        seen = observed[1:count]
        result["regression"].append(agreement(truth, lagged_regression(seen, "logit")[0]))
        result["correlation"].append(agreement(truth, lagged_correlation(seen)))
    return Comparison(np.asarray(steps), hidden_strength, {name: np.array(values) for name, values in result.items()})
