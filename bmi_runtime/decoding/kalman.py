"""The Kalman filter decoders: position with velocity, velocity alone, and with the settled gain.

References
----------
Wu, Gao, Bienenstock, Donoghue, Black (2006) Neural Computation 18:80 (position and velocity).
Kim, Simeral, Hochberg, Donoghue, Black (2008) J. Neural Eng. 5:455 (velocity alone).
Malik, Truccolo, Brown, Hochberg (2011) IEEE TNSRE 19:25 (constant gain).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np

from bmi_runtime.decoding.baselines import StaticKalman, fit_kalman
from bmi_runtime.decoding.batch_decoder import LEADS, DecoderBase, Delay, Training, axes_of, best_of, paired_rows
from bmi_runtime.decoding.history_experts import settled_covariance
from bmi_runtime.kernels import linear

_MODEL = tuple(field.name for field in dataclasses.fields(StaticKalman))


class KalmanDecoder(DecoderBase):
    """``x[t] = A x[t-1] + w, y[t] = C x[t] + q``, filtered bin by bin with its full covariance.

    The counts lead the state by `lead` bins. After a trial start the state is redrawn from where trials start.

    Parameters
    ----------
    model : StaticKalman
    lead : int
    columns : ndarray of int
        Which of the positions and velocities the state holds; all velocities are among them.
    units : ndarray of int
        Units that are used.
    """

    velocity_only = False
    PARAMETERS = ("lead", "columns", "units")
    DERIVED: tuple[str, ...] = ("_gain_form", "_information")
    STATE = ("_mean", "_covariance", "_fresh", "_delay")

    def __init__(self, model: StaticKalman, lead: int, columns, units):
        super().__init__(axes_of(columns))
        self.model, self.lead = model, int(lead)
        self.columns, self.units = np.asarray(columns), np.asarray(units)
        gain_form = np.linalg.solve(model.observation_covariance, model.observation).T
        self._gain_form = np.ascontiguousarray(gain_form)
        self._information = gain_form @ model.observation
        self._transition = np.ascontiguousarray(model.transition)
        self._drive = np.ascontiguousarray(model.transition_covariance)
        self._delay = Delay(self.lead, model.count_mean)
        size = len(self.columns)
        self._evidence, self._work = np.empty(size), np.empty((size, 2 * size + 1))
        self.reset()

    def parameters(self) -> dict[str, Any]:
        """Return the fitted model, field by field, with the lead and what is decoded from what."""
        return {name: getattr(self.model, name) for name in _MODEL} | super().parameters()

    @classmethod
    def _made(cls, **parameters: Any) -> Self:
        model = StaticKalman(**{name: parameters.pop(name) for name in _MODEL})
        return cls(model, **parameters)

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the decoder fitted by least squares, with the lead (0 to 4 bins) that validates best."""
        return cls.with_lead(training, best_of(LEADS, cls.with_lead, training))

    @classmethod
    def with_lead(cls, training: Training, lead: int) -> Self:
        """Return the decoder fitted with a given lead; units that never change are left out."""
        units = np.flatnonzero(np.ptp(training.counts, axis=0) > 0)
        columns = np.arange(training.n_axes, 2 * training.n_axes) if cls.velocity_only else training.columns
        rows = paired_rows(training.restart, lead)
        model = fit_kalman(training.counts[:, units], training.kinematics[:, columns], training.trial_start, rows)
        return cls(model, lead, columns, units)

    def reset(self) -> None:
        """Start from where trials start."""
        self._mean, self._covariance = self.model.start_mean.copy(), self.model.start_covariance.copy()
        self._fresh = True
        self._delay.reset()

    def on_done(self) -> None:
        """Start the state again; the counts go on."""
        self._mean, self._covariance = self.model.start_mean.copy(), self.model.start_covariance.copy()
        self._fresh = True

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        paired = self._delay(np.asarray(counts, dtype=float)[self.units])
        if not self._fresh:
            self._advance()
        self._fresh = False
        self._update(paired - self.model.count_mean)
        state = np.full(2 * self.n_axes, np.nan)
        state[self.columns] = self._mean + self.model.mean
        self.variance[self.columns] = self._covariance.diagonal()
        return state

    def _advance(self):
        linear.advance(self._transition, self._drive, self._mean, self._covariance, self._work)

    def _update(self, centred):
        linear.weighted_sums(self._gain_form, centred, self._evidence)
        linear.condition(self._information, self._evidence, self._mean, self._covariance, self._work)


class VelocityKalmanDecoder(KalmanDecoder):
    """The Kalman filter whose state is the velocity alone (Kim et al. 2008)."""

    velocity_only = True


class SteadyKalmanDecoder(KalmanDecoder):
    """The Kalman filter with the gain that its Riccati equation settles at (Malik et al. 2011).

    Settled means after 1024 bins from certainty: what the counts do not tell of the position goes on growing slowly.
    """

    DOUBLINGS = 10
    DERIVED = ("_gain_form", "_information", "_settled")

    def __init__(self, model: StaticKalman, lead: int, columns, units):
        super().__init__(model, lead, columns, units)
        self._expected, self._change = np.empty(len(self.columns)), np.empty(len(self.columns))
        before = settled_covariance(model.transition, model.transition_covariance, self._information, self.DOUBLINGS)
        after = np.linalg.solve(np.eye(len(before)) + before @ self._information, before)
        self._settled = 0.5 * (after + after.T)
        self.gain = self._settled @ self._gain_form

    def _update(self, centred):
        """Add the settled gain times what the counts say beyond the prediction."""
        linear.weighted_sums(self._gain_form, centred, self._evidence)
        linear.weighted_sums(self._information, self._mean, self._expected)
        self._covariance[:] = self._settled
        linear.weighted_sums(self._settled, self._evidence - self._expected, self._change)
        self._mean += self._change
