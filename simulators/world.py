"""The simulated world: the subject sees the cursor, intends a velocity, the units fire. One bin at a time."""

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.model import EncodingModel
from simulators.population import Population
from simulators.subject import Subject


class World:
    """Subject and units, closed through the cursor.

    Parameters
    ----------
    config : Config
        Sections session, subject, population. Seeds are spawned from ``session.seed``, apart from the session's own.
    """

    def __init__(self, config: Config):
        seeds = np.random.SeedSequence([config.session.seed, 1]).spawn(3)
        subject_rng, population_rng, self.pilot_rng = (np.random.default_rng(seed) for seed in seeds)
        self.config, n_axes = config, config.space.n_axes
        self.subject = Subject(config.subject, config.bin_s, subject_rng, n_axes)
        self.population = Population(
            config.population, config.session.units, config.session.likelihood, config.bin_s, population_rng, n_axes
        )
        self.intended = [0.0] * n_axes

    def counts(self, cursor, target) -> np.ndarray:
        """Return the next bin of counts, given the cursor and target (positions first) on the screen."""
        self.intended = self.subject.intend(cursor, target)
        return self.population.emit(*self.intended)

    def initial_model(self) -> EncodingModel:
        """Return the model that a session starts with: knows nothing, or the truth (``encoding.initial``)."""
        config, truth = self.config, self.population.weights
        n_axes = config.space.n_axes
        likelihood, sd = config.session.likelihood, config.encoding.initial_sd
        guess = config.encoding.noise_variance or config.population.noise_variance
        noise = np.full(config.session.units, guess)
        if config.encoding.initial == "truth":
            model = EncodingModel.untrained(
                np.ones(config.session.units), likelihood, config.bin_s, 1e-3, noise, n_axes
            )
            model.weights[:] = truth
            return model
        factor = np.log(config.encoding.baseline_error)
        error = self.pilot_rng.uniform(-factor, factor, config.session.units)
        baselines = np.exp(truth[0] + error) if likelihood == "poisson" else truth[0] + error
        return EncodingModel.untrained(baselines, likelihood, config.bin_s, sd, noise, n_axes)
