"""The adaptive filter: updates an encoding model from one bin and the state that the subject is taken to have
encoded.
"""

import numpy as np

from bmi_runtime.encoding.model import DM_PER_M, EncodingModel
from bmi_runtime.kernels import filters


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
    """

    def __init__(self, model: EncodingModel, learning_rate):
        self.model = model
        n, d = model.n_units, model.n_regressors
        self.rate = np.empty(n)
        self.set_learning_rate(learning_rate)
        self.innovation = np.zeros(n)
        self.innovation_variance = np.ones(n)
        self.regressors = np.ones(d)
        self._scratch = np.empty((d + 5, filters.BLOCK))
        self._poisson = model.likelihood == "poisson"

    def set_learning_rate(self, learning_rate) -> None:
        """Set the learning rate of all units, or one per unit."""
        self.rate[:] = learning_rate

    def update(self, counts: np.ndarray, valid: np.ndarray, *velocity_m_s: float) -> float:
        """Update the model with one bin; return the log likelihood of the bin before the update, nats.

        Parameters
        ----------
        counts, valid : ndarray, (units,)
            Counts or features, and 1 where they are to be believed.
        *velocity_m_s : float
            The encoded velocity, one number per axis.
        """
        model, u = self.model, self.regressors
        for axis, component in enumerate(velocity_m_s):
            u[1 + axis] = DM_PER_M * component
        update, scale = (
            (filters.adapt_poisson, model.bin_s) if self._poisson else (filters.adapt_gaussian, model.noise_variance)
        )
        return update(
            model.weights,
            model.covariance,
            counts,
            valid,
            u,
            self.rate,
            scale,
            self.innovation,
            self.innovation_variance,
            self._scratch,
        )
