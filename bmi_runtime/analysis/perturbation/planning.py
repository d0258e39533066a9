"""How many perturbations are enough? Asked before the experiment, from a model of it or from a pilot.

Each effect, estimated from N clamped samples split evenly, has variance ``4 s^2 / N`` (s^2: variance of the outcome).
Estimates that scatter so around effects of variance V correlate with the truth as

    r = r_limit sqrt(V / (V + 4 s^2 / N)),

where ``r_limit`` is the correlation without noise: a little under 1, since targets of different in-degree have
different slopes. (Ours.)
"""

import dataclasses
import math

import numpy as np
from scipy import stats

from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class System:
    """What planning needs to know: the variance of the effects and of the outcomes, and the correlation without
    noise.
    """

    effect_variance: float
    outcome_variance: float
    limit: float = 1.0

    def __post_init__(self):
        if not (self.effect_variance > 0 and self.outcome_variance > 0 and 0 < self.limit <= 1 + 1e-12):
            raise BadInput("planning needs effects and outcomes that vary, and a limiting correlation between 0 and 1")


def system_of_model(connectivity: np.ndarray, noise_sd: float = 1.0) -> System:
    """Return the planning quantities of a clamped sigmoid system with known connectivity (n, n), row = target.

    With every source clamped to 0 or 1 at random, the rest of a target's input is taken as Gaussian; its integrals
    are by Gauss-Hermite quadrature.

    Raises
    ------
    BadInput
        When all effects are the same.
    """
    weights = np.asarray(connectivity, dtype=float)
    points, shares = np.polynomial.hermite_e.hermegauss(40)
    shares = shares / shares.sum()
    mean, variance = weights.sum(axis=1) / 2, noise_sd**2 + (weights**2).sum(axis=1) / 4

    def expected(centre, spread, power=1):
        return (1 / (1 + np.exp(-(centre[..., None] + np.sqrt(spread)[..., None] * points)))) ** power @ shares

    spread = variance[:, None] - weights**2 / 4
    base = mean[:, None] - weights / 2
    effects = np.where(weights != 0, expected(base + weights, spread) - expected(base, spread), 0.0)
    outcome = expected(mean, variance, 2) - expected(mean, variance) ** 2
    if np.ptp(effects) == 0:
        raise BadInput("all effects of this system are the same, so no correlation with them can be planned for")
    limit = float(np.corrcoef(weights.ravel(), effects.ravel())[0, 1])
    return System(float(effects.var()), float(outcome.mean()), limit)


def system_of_pilot(estimate: np.ndarray, standard_error: np.ndarray, samples: float) -> System:
    """Return the planning quantities from a pilot of `samples` clamped samples per source; noise is taken out of the
    spread.

    Raises
    ------
    BadInput
        When the pilot's effects scatter no more than their errors, so it says nothing of the true spread.
    """
    noise = float(np.mean(np.asarray(standard_error) ** 2))
    spread = float(np.var(estimate)) - noise
    if not spread > 0:
        raise BadInput(
            f"the pilot's effects (variance {np.var(estimate):.3g}) scatter no more than their errors ({noise:.3g}): "
            "a longer pilot is needed before anything can be planned"
        )
    return System(spread, noise * samples / 4)


def expected_correlation(system: System, samples: float) -> float:
    """Return the correlation of estimates with the truth after `samples` clamped samples per source."""
    return system.limit * math.sqrt(
        system.effect_variance / (system.effect_variance + 4 * system.outcome_variance / samples)
    )


def samples_for_correlation(system: System, wanted: float) -> int:
    """Return the clamped samples per source after which the expected correlation is `wanted`.

    Raises
    ------
    BadInput
        When no amount of data reaches it.
    """
    if not 0 < wanted < 1:
        raise BadInput(f"the wanted correlation is {wanted:g}: it must lie between 0 and 1")
    if wanted >= system.limit:
        raise BadInput(
            f"a correlation of {wanted:g} is out of reach: without any noise it would be {system.limit:.6f}, because "
            "equal connections onto different targets have different effects"
        )
    ratio = (system.limit / wanted) ** 2 - 1
    return math.ceil(4 * system.outcome_variance / (system.effect_variance * ratio))


def samples_for_power(
    effect: float, outcome_sd: float, power: float = 0.8, level: float = 0.05, comparisons: int = 1
) -> int:
    """Return the clamped samples per source that find an effect with probability `power`.

    The test is two-sided at `level`, divided by the number of `comparisons` (Bonferroni: an upper bound for
    false-discovery control).

    Raises
    ------
    BadInput
        When the effect is 0, or a share does not lie between 0 and 1.
    """
    if effect == 0 or not outcome_sd > 0:
        raise BadInput("power needs an effect that is not 0 and an outcome that varies")
    if not (0 < power < 1 and 0 < level < 1 and comparisons >= 1):
        raise BadInput("power and level must lie between 0 and 1, comparisons be at least 1")
    total = stats.norm.ppf(1 - level / (2 * comparisons)) + stats.norm.ppf(power)
    return math.ceil(4 * (total * outcome_sd / effect) ** 2)
