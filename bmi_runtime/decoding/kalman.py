"""The Kalman filter decoders: position with velocity, velocity alone, and with the settled gain.

References
----------
Wu, Gao, Bienenstock, Donoghue, Black (2006) Neural Computation 18:80 (position and velocity).
Kim, Simeral, Hochberg, Donoghue, Black (2008) J. Neural Eng. 5:455 (velocity alone).
Malik, Truccolo, Brown, Hochberg (2011) IEEE TNSRE 19:25 (constant gain).
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.baselines import StaticKalman, fit_kalman
from bmi_runtime.decoding.fitted import LEADS, VELOCITY, Delay, Training, Verbs, best_of, paired_rows
from bmi_runtime.decoding.lagged import settled_covariance


class KalmanDecoder(Verbs):
    """``x[t] = A x[t-1] + w, y[t] = C x[t] + q``, filtered bin by bin with its full covariance.

    The counts lead the state by `lead` bins. After a trial start the state is drawn anew from where trials start.

    Parameters
    ----------
    model : StaticKalman
    lead : int
    columns : ndarray of int
        Which of x, y, vx, vy the state holds.
    units : ndarray of int
        Units that are used.
    """

    velocity_only = False

    def __init__(self, model: StaticKalman, lead: int, columns, units):
        super().__init__()
        self.model, self.columns, self.units = model, np.asarray(columns), np.asarray(units)
        self._gain_form = np.linalg.solve(model.observation_covariance, model.observation).T
        self._information = self._gain_form @ model.observation
        self._delay = Delay(lead, model.count_mean)
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> KalmanDecoder:
        """Return the decoder fitted by least squares, with the lead (0 to 4 bins) that validates best."""
        return cls.with_lead(training, best_of(LEADS, cls.with_lead, training))

    @classmethod
    def with_lead(cls, training: Training, lead: int) -> KalmanDecoder:
        """Return the decoder fitted with a given lead; units that never change are left out."""
        units = np.flatnonzero(np.ptp(training.counts, axis=0) > 0)
        columns = VELOCITY if cls.velocity_only else training.columns
        rows = paired_rows(training.restart, lead)
        model = fit_kalman(training.counts[:, units], training.kinematics[:, columns], training.trial_start, rows)
        return cls(model, lead, columns, units)

    def reset(self) -> None:
        """Start from where trials start."""
        self._mean, self._covariance = self.model.start_mean.copy(), self.model.start_covariance.copy()
        self._fresh = True
        self._delay.reset()

    def on_done(self) -> None:
        """Start the state anew; the counts go on."""
        self._mean, self._covariance = self.model.start_mean.copy(), self.model.start_covariance.copy()
        self._fresh = True

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in; return x, y, vx, vy."""
        paired = self._delay(np.asarray(counts, dtype=float)[self.units])
        if not self._fresh:
            self._advance()
        self._fresh = False
        self._update(paired - self.model.count_mean)
        state = np.full(4, np.nan)
        state[self.columns] = self._mean + self.model.mean
        self.variance[self.columns] = self._covariance.diagonal()
        return state

    def _advance(self):
        a = self.model.transition
        self._mean = a @ self._mean
        self._covariance = a @ self._covariance @ a.T + self.model.transition_covariance

    def _update(self, centred):
        identity = np.eye(len(self._mean))
        after = np.linalg.solve(identity + self._covariance @ self._information, self._covariance)
        self._covariance = 0.5 * (after + after.T)
        self._mean = self._mean + self._covariance @ (self._gain_form @ centred - self._information @ self._mean)


class VelocityKalmanDecoder(KalmanDecoder):
    """The Kalman filter whose state is the velocity alone (Kim et al. 2008)."""

    velocity_only = True


class SteadyKalmanDecoder(KalmanDecoder):
    """The Kalman filter with the gain that its Riccati equation settles at (Malik et al. 2011).

    Settled means after 1024 bins from certainty: what the counts do not tell of the position goes on growing slowly.
    """

    DOUBLINGS = 10

    def __init__(self, model: StaticKalman, lead: int, columns, units):
        super().__init__(model, lead, columns, units)
        before = settled_covariance(model.transition, model.transition_covariance, self._information, self.DOUBLINGS)
        after = np.linalg.solve(np.eye(len(before)) + before @ self._information, before)
        self._settled = 0.5 * (after + after.T)
        self.gain = self._settled @ self._gain_form

    def _advance(self):
        self._mean = self.model.transition @ self._mean

    def _update(self, centred):
        self._covariance = self._settled
        self._mean = self._mean + self.gain @ (centred - self.model.observation @ self._mean)
