"""The ReFIT Kalman filter: retrained on intended velocities, the cursor's position taken as known.

References
----------
Gilja, Nuyujukian, Chestek, et al. (2012) Nature Neuroscience 15:1752.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np

from bmi_runtime.decoding.baselines import fit_kalman
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training, paired_rows
from bmi_runtime.intention.infer import rotated_to_target
from bmi_runtime.kernels import linear


def intended(training: Training) -> Training:
    """Return a training part whose velocities are rotated to the targets that were shown."""
    targets = np.asarray(training.targets)
    holding = np.linalg.norm(training.position - targets[:, :-1], axis=1) <= targets[:, -1]
    rotated = rotated_to_target(training.kinematics, targets[:, :-1], holding)
    return dataclasses.replace(training, kinematics=rotated)


class RefitKalmanDecoder(DecoderBase):
    """Kalman filter of the velocity, with what the known position adds to the counts taken off first.

    ``v[t] = A v[t-1] + w, y[t] = C_p p[t] + C_v v[t] + q``: the user sees the cursor, so p is certain; its
    uncertainty is zero in every bin (the causal intervention of Gilja et al.). Fitted to kinematics made by
    :func:`bmi_runtime.intention.infer.rotated_to_target`: from the targets of the training part, or given so where it
    has none.

    Parameters
    ----------
    transition, transition_covariance : ndarray, shape (axes, axes)
    observation : ndarray, shape (units, 2 axes)
        C_p and C_v, of counts about `count_mean` and kinematics about `mean`.
    noise : ndarray, shape (units, units)
    mean : ndarray, shape (2 axes,)
    count_mean : ndarray, shape (units,)
    units : ndarray of int
    bin_s : float
    """

    PARAMETERS = (
        "transition", "transition_covariance", "observation", "noise", "mean", "count_mean", "units", "bin_s",
    )  # fmt: skip
    DERIVED = ("_gain_form", "_information")
    STATE = ("_velocity", "_covariance", "_position")

    def __init__(self, transition, transition_covariance, observation, noise, mean, count_mean, units, bin_s):
        n = len(transition)
        super().__init__(n)
        self.transition = np.ascontiguousarray(transition)
        self.transition_covariance = np.ascontiguousarray(transition_covariance)
        self.observation, self.noise = np.ascontiguousarray(observation), noise
        self.mean, self.count_mean = mean, count_mean
        self.units, self.bin_s = units, float(bin_s)
        self._gain_form = np.ascontiguousarray(np.linalg.solve(noise, observation[:, n:]).T)
        self._information = self._gain_form @ observation[:, n:]
        self._evidence, self._work, self._drawn = np.empty(n), np.empty((n, 2 * n + 1)), np.empty(len(units))
        self._to_position = np.ascontiguousarray(self.observation[:, :n])
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the decoder fitted to intended kinematics by least squares."""
        if training.targets is not None:
            training = intended(training)
        units = np.flatnonzero(np.ptp(training.counts, axis=0) > 0)
        rows = paired_rows(training.restart, 0)
        counts = training.counts[:, units]
        both = fit_kalman(counts, training.kinematics, training.trial_start, rows)
        velocity = fit_kalman(counts, training.velocity, training.trial_start, rows)
        return cls(
            velocity.transition,
            velocity.transition_covariance,
            both.observation,
            both.observation_covariance,
            both.mean,
            both.count_mean,
            units,
            training.bin_s,
        )

    def reset(self) -> None:
        """Forget velocity and position."""
        n = self.n_axes
        self._velocity, self._covariance = -self.mean[n:].copy(), np.zeros((n, n))
        self._position = np.zeros(n)

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known."""
        self._position[:] = position_m

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        n = self.n_axes
        self._position = self._position + self.bin_s * (self._velocity + self.mean[n:])
        linear.advance(self.transition, self.transition_covariance, self._velocity, self._covariance, self._work)
        linear.weighted_sums(self._to_position, self._position - self.mean[:n], self._drawn)
        centred = np.asarray(counts, dtype=float)[self.units] - self.count_mean - self._drawn
        linear.weighted_sums(self._gain_form, centred, self._evidence)
        linear.condition(self._information, self._evidence, self._velocity, self._covariance, self._work)
        self.variance[n:] = self._covariance.diagonal()
        return np.concatenate([self._position, self._velocity + self.mean[n:]])
