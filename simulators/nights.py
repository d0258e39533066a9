"""What happens to simulated units between two days: they turn, change their gain and baseline, and some are others."""

from __future__ import annotations

import dataclasses

import numpy as np

from simulators.population import Population, directions, turned


@dataclasses.dataclass(frozen=True)
class Night:
    """How much changes in a night.

    Attributes
    ----------
    turn_rad : float
        Standard deviation of the turn of preferred directions.
    replaced : float
        Share of units in whose place another one is found; those that have fallen silent are, too.
    gain_sd : float
        Standard deviation of the change of the log modulation depth.
    baseline_sd : float
        Of the baselines (log rate, or feature).
    """

    turn_rad: float = 0.15
    replaced: float = 0.05
    gain_sd: float = 0.1
    baseline_sd: float = 0.1

    def pass_over(self, population: Population, rng: np.random.Generator) -> np.ndarray:
        """Let a night pass; return which units are others (units,). The day's own misbehaviour begins again."""
        axes = slice(1, 1 + population.regressors.n_axes)
        weights = population.weights
        weights[axes] = turned(weights[axes], self.turn_rad, rng)
        weights[axes] *= np.exp(self.gain_sd * rng.standard_normal(weights.shape[1]))
        weights[0] += self.baseline_sd * rng.standard_normal(weights.shape[1])
        drawn = rng.random(weights.shape[1]) < self.replaced
        others = drawn | (population.alive == 0.0)
        self._replace(population, others, rng)
        self._begin_day(population, rng)
        return others

    def _replace(self, population: Population, others: np.ndarray, rng: np.random.Generator) -> None:
        config, count, n_axes = population.config, int(others.sum()), population.regressors.n_axes
        tuned = rng.random(count) >= config.untuned_fraction
        poisson = population.poisson
        ends = config.baseline_hz if poisson else config.gaussian_baseline
        baseline = rng.uniform(*ends, count)
        population.weights[:, others] = 0.0
        population.weights[0, others] = np.log(baseline) if poisson else baseline
        gains = rng.uniform(*config.depth, count) * directions(rng, count, n_axes) * tuned
        population.weights[1 : 1 + n_axes, others] = gains
        population.tuned[others], population.alive[others] = tuned, 1.0

    def _begin_day(self, population: Population, rng: np.random.Generator) -> None:
        config = population.config
        order = rng.permutation(np.flatnonzero(population.tuned))
        dying, stepping = (round(f * order.size) for f in (config.dying_fraction, config.step_fraction))
        population.dying, population.stepping = order[:dying], order[dying : dying + stepping]
        population.bin_index = 0
