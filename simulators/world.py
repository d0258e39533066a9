"""The simulated world: the subject sees the cursor, intends a velocity, the units fire. One bin at a time."""

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import Regressors
from simulators.population import Population
from simulators.subject import Subject


class World:
    """Subject, units and features, closed through the cursor.

    Parameters
    ----------
    config : Config
        Sections session, subject, population. Seeds are spawned from ``session.seed``, apart from the session's own.
    """

    def __init__(self, config: Config):
        seeds = np.random.SeedSequence([config.session.seed, 1]).spawn(4)
        subject_rng, population_rng, self.pilot_rng, feature_rng = (np.random.default_rng(seed) for seed in seeds)
        self.config, self.n_axes, session = config, config.space.n_axes, config.session
        self.subject = Subject(config.subject, config.bin_s, subject_rng, self.n_axes)
        self.population = Population(
            config.population,
            session.units,
            session.likelihood,
            config.bin_s,
            population_rng,
            self.n_axes,
            config.encoding.history_s,
            config.state.click,
        )
        self.features: Population | None = None
        if session.features:
            own = (session.features, "gaussian", session.feature_bin_s, feature_rng, self.n_axes)
            self.features = Population(config.population, *own)
        self.intended = [0.0] * self.n_axes
        self._since: list[list[float]] = []  # velocity and position of the bins since features last came

    def counts(self, cursor, target) -> np.ndarray:
        """Return the next bin of counts, given the cursor and target (positions first) on the screen."""
        self.intended = self.subject.intend(cursor, target)
        position = [float(x) for x in cursor[: self.n_axes]]
        if self.features:
            self._since.append([*self.intended, *position])
        click = float(self.config.state.click and self.subject.clicks(target))
        return self.population.emit(*self.intended, position_m=position, click=click)

    def feature_values(self) -> np.ndarray | None:
        """Return the features, (features,), where they are due after this bin: of the mean state since the last."""
        if self.features is None or len(self._since) < self.config.feature_bins:
            return None
        mean = np.mean(self._since, axis=0).tolist()
        self._since.clear()
        return self.features.emit(*mean[: self.n_axes], position_m=mean[self.n_axes :])

    def truth(self) -> np.ndarray:
        """Return the true weights of what the session's model holds, (regressors, units); zero for what is not so."""
        return matched(self.population, Regressors.of(self.config))

    def initial_model(self) -> EncodingModel:
        """Return the model that a session starts with: knows nothing, or the truth (``encoding.initial``)."""
        config, session = self.config, self.config.session
        kinds = Regressors.of(config)
        model = self._initial(self.population, session.likelihood, config.bin_s, kinds)
        if self.features:
            kinds = Regressors.of_features(config)
            model.features = self._initial(self.features, "gaussian", session.feature_bin_s, kinds)
        return model

    def _initial(self, population: Population, likelihood: str, bin_s: float, kinds: Regressors) -> EncodingModel:
        config, truth = self.config, matched(population, kinds)
        units = truth.shape[1]
        noise = np.full(units, config.encoding.noise_variance or config.population.noise_variance)
        if config.encoding.initial == "truth":
            model = EncodingModel.untrained(np.ones(units), likelihood, bin_s, 1e-3, noise, regressors=kinds)
            model.weights[:] = truth
            return model
        factor = np.log(config.encoding.baseline_error)
        error = self.pilot_rng.uniform(-factor, factor, units)
        baselines = np.exp(truth[0] + error) if likelihood == "poisson" else truth[0] + error
        sd = config.encoding.initial_sd
        return EncodingModel.untrained(baselines, likelihood, bin_s, sd, noise, regressors=kinds)


def matched(population: Population, kinds: Regressors) -> np.ndarray:
    """Return a population's weights as the rows of a model of other regressors."""
    weights = np.zeros((kinds.size, population.weights.shape[1]))
    weights[0] = population.weights[0]
    for name, place in population.regressors.places.items():
        if name in kinds.places:
            weights[kinds.places[name]] = population.weights[place]
    return weights
