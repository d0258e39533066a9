"""The adaptive filter: updates an encoding model from one bin and the state that the subject is taken to have
encoded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.kernels import encoding_filter, unit_blocks


class Adapter:
    """The random-walk Bayesian filter on every unit's weights.

    Poisson: the point-process filter of Eden et al. (2004); Gaussian: the Kalman filter. Both with a random-walk prior
    of covariance ``learning_rate`` times the identity per bin, over (baseline, gains per dm/s). Covariances stay
    positive definite: one triangle is stored, and each update adds the learning rate to the diagonal before it removes
    a rank-one term that can at most take back what the bin's information justifies.

    Parameters
    ----------
    model : EncodingModel
        Updated in place.
    learning_rate : float or ndarray, (units,)
        r (Poisson) or s (Gaussian), per bin.
    large_steps : {"mode", "newton"}
        What a count does that is far from the expected one (Poisson): "newton" is for recordings made before.

    Attributes
    ----------
    settles : bool
        Whether a count far from the expected one goes to the mode.
    history : ndarray, (histories, units)
        Each unit's own recent counts, where a regressor is of them: the traces of a `History`, shared.
    """

    def __init__(self, model: EncodingModel, learning_rate, large_steps: str = "mode"):
        self.model = model
        n, d = model.n_units, model.n_regressors
        self.rate = np.empty(n)
        self.set_learning_rate(learning_rate)
        self.innovation = np.zeros(n)
        self.innovation_variance = np.ones(n)
        self.regressors = np.ones(model.regressors.n_common)
        self._regressors: Any = self.regressors.data  # the same, written twice as fast one by one
        self._velocity_common, self._has_history = model.regressors.velocity_common, model.regressors.n_history > 0
        self.history = np.zeros((model.regressors.n_history, n))
        self._all = np.ones((d, n)) if model.regressors.n_history else self.regressors
        self._scratch = np.empty((d + 5, unit_blocks.BLOCK))
        self._poisson = model.likelihood == "poisson"
        self.settles = not (self._poisson and large_steps == "newton")
        as_before, now = encoding_filter.adapt_poisson_newton, encoding_filter.adapt_poisson_own
        self._update_own: Any = now if self.settles else as_before

    def set_learning_rate(self, learning_rate) -> None:
        """Set the learning rate of all units, or one per unit."""
        self.rate[:] = learning_rate

    @property
    def regressors_of_units(self) -> np.ndarray:
        """The regressors of the last update, (regressors,), or (regressors, units) where some are a unit's own."""
        if self._all is not self.regressors:
            common = self.regressors.size
            self._all[:common] = self.regressors[:, None]
            self._all[common:] = self.history
        return self._all

    def update(
        self,
        counts: np.ndarray,
        valid: np.ndarray,
        *velocity_m_s: float,
        position_m: Sequence[float] = (),
        click: float = 0.0,
    ) -> float:
        """Update the model with one bin; return the log likelihood of the bin before the update, nats.

        Parameters
        ----------
        counts, valid : ndarray, (units,)
            Counts or features, and 1 where they are to be believed.
        *velocity_m_s : float
            The encoded velocity, one number per axis.
        position_m : sequence of float
            The encoded position, where a regressor is of it.
        click : float
            1 where a click is intended, 0 elsewhere.
        """
        return self.learn(counts, valid, velocity_m_s, position_m, click)

    def learn(
        self,
        counts: np.ndarray,
        valid: np.ndarray,
        velocity_m_s: Sequence[float],
        position_m: Sequence[float],
        click: float,
    ) -> float:
        """Update the model as :meth:`update` does; the session calls this one, with every argument in its place."""
        model = self.model
        if self._velocity_common:
            regressors = self._regressors
            for place, component in enumerate(velocity_m_s, 1):
                regressors[place] = DM_PER_M * component
        else:
            moving, placed = [DM_PER_M * v for v in velocity_m_s], [DM_PER_M * x for x in position_m]
            model.regressors.fill(self.regressors, moving, placed, click)
        if self._has_history:
            return self._update_with_own(counts, valid, self.history)
        if not self.settles:
            return self._update_with_own(counts, valid, unit_blocks.NO_HISTORY)
        update: Any = encoding_filter.adapt_poisson if self._poisson else encoding_filter.adapt_gaussian
        return update(
            model.weights,
            model.covariance,
            counts,
            valid,
            self.regressors,
            self.rate,
            model.bin_s if self._poisson else model.noise_variance,
            self.innovation,
            self.innovation_variance,
            self._scratch,
        )

    def update_weighted(
        self,
        counts: np.ndarray,
        valid: np.ndarray,
        labels: Sequence[tuple[Sequence[float], float]],
        position_m: Sequence[float] = (),
    ) -> float:
        """Update the model with one bin whose state is known by probabilities; return the expected log likelihood.

        Expected sufficient statistics: each label adds its information and its score, both times its probability
        (derived: the expectation of the log likelihood over the labels, one quadratic step for each). The random walk
        adds its variance once. One label of probability one is :meth:`update`.

        Parameters
        ----------
        counts, valid : ndarray, (units,)
        labels : sequence of (velocity, probability)
            Velocities in m/s, one number per axis; probabilities that sum to one.
        position_m : sequence of float
        """
        if len(labels) == 1:
            return self.update(counts, valid, *labels[0][0], position_m=position_m)
        expected = 0.0
        for number, label in enumerate(labels):
            expected += label[1] * self.update_share(counts, valid, label, position_m, walks=number == 0)
        return expected

    def update_share(
        self,
        counts: np.ndarray,
        valid: np.ndarray,
        label: tuple[Sequence[float], float],
        position_m: Sequence[float] = (),
        walks: bool = True,
    ) -> float:
        """Update the model with a share of one bin's information and score; return the bin's log likelihood.

        Parameters
        ----------
        counts, valid : ndarray, (units,)
        label : (velocity, share)
            Velocity in m/s, one number per axis; share above 0.
        position_m : sequence of float
        walks : bool
            Whether the random walk adds its variance, once a bin.
        """
        if not walks:
            rate, self.rate = self.rate, np.zeros_like(self.rate)
            try:
                return self.update_share(counts, valid, label, position_m)
            finally:
                self.rate = rate
        velocity, share = label
        if self._poisson:  # a mask below one takes its share of expected count and innovation alike
            return self.update(counts, valid * share, *velocity, position_m=position_m)
        noise = self.model.noise_variance
        try:
            self.model.noise_variance = noise / share
            return self.update(counts, valid, *velocity, position_m=position_m)
        finally:
            self.model.noise_variance = noise

    def _update_with_own(self, counts: np.ndarray, valid: np.ndarray, own: np.ndarray) -> float:
        model = self.model
        return self._update_own(
            model.weights,
            model.covariance,
            counts,
            valid,
            self.regressors,
            own,
            self.rate,
            model.bin_s,
            self.innovation,
            self.innovation_variance,
            self._scratch,
        )
