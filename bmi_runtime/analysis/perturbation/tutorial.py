"""Neuromatch Academy's tutorial on interventions, number for number.

Its printed values fix the order in which the legacy global generator is used, so these functions take a
``RandomState`` that runs on from one call to the next. (Benjamin, Liu & Kording, Neuromatch Academy W3D5 T1,
"Interventions".) Here arrays are (neurons, steps), as in the tutorial; everywhere else in this package they are
(steps, neurons).
"""

import dataclasses

import numpy as np

from bmi_runtime.errors import BadInput

TRIAL_SEED = 12
SYSTEM_SEED = 42


def two_neuron_trial(trials: int = 5000, seed: int = TRIAL_SEED) -> float:
    """Return the difference in means of a randomised trial of ``B = A + noise`` with `trials` in each arm; A = 1 is
    drawn first.
    """
    rng = np.random.RandomState(seed)
    treated = np.ones(trials) + rng.randn(trials)
    control = np.zeros(trials) + rng.randn(trials)
    return float(treated.mean() - control.mean())


def create_connectivity(n_neurons: int, rng: np.random.RandomState) -> np.ndarray:
    """Return a connectivity matrix (n, n), row = target: one pair in ten connected, largest singular value 1 / 1.01.

    Raises
    ------
    BadInput
        When no pair happens to be connected (small n), so there is nothing to scale.
    """
    if n_neurons < 1:
        raise BadInput(f"a system of {n_neurons} neurons: give at least one")
    connected = rng.choice([0, 1], size=(n_neurons, n_neurons), p=[0.9, 0.1])
    largest = np.linalg.svd(connected, compute_uv=False)[0]
    if largest == 0:
        raise BadInput(
            f"no pair among {n_neurons} neurons is connected with this seed; take more neurons or another seed"
        )
    return connected / (1.01 * largest)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))``."""
    return 1 / (1 + np.exp(-x))


def simulate_neurons(connectivity: np.ndarray, timesteps: int, rng: np.random.RandomState) -> np.ndarray:
    """Return activity (n, timesteps) of ``x[t+1] = sigmoid(A x[t] + noise)`` from x[0] = 0."""
    return _simulate(connectivity, timesteps, rng, perturb=False)


def simulate_neurons_perturb(connectivity: np.ndarray, timesteps: int, rng: np.random.RandomState) -> np.ndarray:
    """Return activity (n, timesteps) with every neuron clamped to 0 or 1 at random at every even step."""
    return _simulate(connectivity, timesteps, rng, perturb=True)


def _simulate(connectivity: np.ndarray, timesteps: int, rng: np.random.RandomState, perturb: bool) -> np.ndarray:
    n_neurons = len(connectivity)
    activity = np.zeros((n_neurons, timesteps))
    mean, covariance = np.zeros(n_neurons), np.eye(n_neurons)
    for t in range(timesteps - 1):
        if perturb and t % 2 == 0:
            activity[:, t] = rng.choice([0, 1], size=n_neurons)
        noise = rng.multivariate_normal(mean, covariance)  # not randn: its factorisation permutes and flips the draws
        activity[:, t + 1] = sigmoid(connectivity.dot(activity[:, t]) + noise)
    return activity


def perturbed_connectivity_from_single_neuron(perturbed: np.ndarray, selected_neuron: int) -> np.ndarray:
    """Return the effects (n,) of one neuron on every neuron: mean outcome after it was 1 minus mean outcome after
    it was 0.
    """
    clamped, outcomes = perturbed[selected_neuron, ::2], perturbed[:, 1::2]
    return outcomes[:, clamped == 1].mean(axis=1) - outcomes[:, clamped == 0].mean(axis=1)


def perturbed_connectivity_all_neurons(perturbed: np.ndarray) -> np.ndarray:
    """Return R (n, n), the correlation of each perturbation (row: source) with each outcome (column: target), all
    stacked at once.

    R is laid out source by target, so compare it with A *transposed*.

    Raises
    ------
    BadInput
        When a neuron never changes.
    """
    n_neurons = len(perturbed)
    stacked = np.concatenate([perturbed[:, ::2], perturbed[:, 1::2]], axis=0)
    same = np.flatnonzero(np.ptp(stacked, axis=1) == 0) % n_neurons
    if same.size:
        raise BadInput(
            f"neuron {same[0]} was the same in all of {stacked.shape[1]} perturbations, and the correlation with "
            "a constant is undefined: use more time steps"
        )
    return np.corrcoef(stacked)[:n_neurons, n_neurons:]


@dataclasses.dataclass
class Tutorial:
    """Everything that the tutorial computes, in its order."""

    difference_in_means: float
    connectivity: np.ndarray
    activity: np.ndarray
    perturbed: np.ndarray
    selected_neuron: int
    single_estimate: np.ndarray
    single_correlation: float | None
    perturbed_all: np.ndarray
    all_estimate: np.ndarray
    all_correlation: float | None


def run_tutorial(n_neurons: int = 6, timesteps: int = 5000, selected_neuron: int = 1) -> Tutorial:
    """Run the tutorial's cells from top to bottom, with its seeds and its one running generator.

    Raises
    ------
    BadInput
        When a number cannot be.
    """
    if n_neurons < 1:
        raise BadInput(f"a system of {n_neurons} neurons: give at least one")
    if not 0 <= selected_neuron < n_neurons:
        raise BadInput(f"the system has no neuron {selected_neuron} to select: choose 0 to {n_neurons - 1}")
    if timesteps < 4 or timesteps % 2:
        raise BadInput(
            f"{timesteps} time steps: perturbed and observed ones alternate, so give an even number of at least 4"
        )
    difference = two_neuron_trial()
    rng = np.random.RandomState(SYSTEM_SEED)
    connectivity = create_connectivity(n_neurons, rng)
    rng = np.random.RandomState(SYSTEM_SEED)  # the unperturbed simulation seeds again
    activity = simulate_neurons(connectivity, timesteps, rng)
    simulate_neurons_perturb(
        connectivity, timesteps, rng
    )  # the tutorial's picture of clamped dynamics draws before the next
    perturbed = simulate_neurons_perturb(connectivity, timesteps, rng)
    single = perturbed_connectivity_from_single_neuron(perturbed, selected_neuron)
    single_correlation = _correlation(connectivity[:, selected_neuron], single)
    rng = np.random.RandomState(SYSTEM_SEED)
    connectivity = create_connectivity(n_neurons, rng)
    perturbed_all = simulate_neurons_perturb(connectivity, timesteps, rng)
    estimate = perturbed_connectivity_all_neurons(perturbed_all)
    correlation = _correlation(connectivity.transpose().flatten(), estimate.flatten())
    return Tutorial(
        difference,
        connectivity,
        activity,
        perturbed,
        selected_neuron,
        single,
        single_correlation,
        perturbed_all,
        estimate,
        correlation,
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the correlation of two rows, or None where one of them is constant (a neuron without outputs)."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[1, 0])
