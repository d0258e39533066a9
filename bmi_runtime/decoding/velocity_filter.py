"""The live decoder: a filter over position and velocity that reads the adapting encoding model.

With a Poisson model it is the point-process filter of Eden et al. (2004), with a Gaussian one the Kalman filter; both
in information form, so that the cost grows with the units and not with their square.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.kernels import decoding_filter, evidence, state_filter, unit_blocks


class VelocityFilter:
    """Random-walk velocity, integrated position, evidence from every unit.

    The velocity prior is ``v <- keep v + noise`` with ``keep = exp(-bin_s / velocity_time_constant_s)`` and the noise
    that makes ``velocity_sd_m_s`` its stationary standard deviation; position integrates velocity.

    Parameters
    ----------
    model : EncodingModel
        Read on every bin, so that adaptation changes the next decode. Give a copy for a frozen decoder.
    velocity_time_constant_s, velocity_sd_m_s : float
        The velocity prior.
    parameter_trust : float
        1: units with uncertain weights are trusted less (see `poisson_evidence`); 0: weights are taken as exact.
    """

    failure = ""
    """A filter of our own does not raise; it may answer what is not finite."""

    def __init__(
        self,
        model: EncodingModel,
        velocity_time_constant_s: float = 0.5,
        velocity_sd_m_s: float = 0.15,
        parameter_trust: float = 1.0,
        history: np.ndarray | None = None,
    ):
        self.model = model
        n, d = model.n_units, model.n_regressors
        self.trust = float(parameter_trust)
        self.keep = math.exp(-model.bin_s / velocity_time_constant_s)
        self.noise = velocity_sd_m_s**2 * (1.0 - self.keep**2)
        self.stationary = velocity_sd_m_s**2
        self.n_axes = model.n_axes
        self.state = np.zeros(2 * self.n_axes)
        self.covariance = np.zeros((2 * self.n_axes, 2 * self.n_axes))
        self.variance = self.covariance.diagonal()
        self.largest = 0.0
        self._workspace = np.zeros(decoding_filter.workspace_shape(self.n_axes))
        self._position = np.zeros(self.n_axes)
        self._placed: Any = self._position.data  # the same, written faster one by one
        self._scratch = np.empty((max(d + 2, 4), unit_blocks.BLOCK))
        self._all_valid = np.ones(n)
        self._history = unit_blocks.NO_HISTORY if history is None else history
        kinds = model.regressors
        self._fused = kinds.velocity_common
        self.click = 0.0  # probability of a click in the next bin, where the units speak of clicks
        observed = 2 * self.n_axes if "position" in kinds.names else self.n_axes
        common = kinds.n_common - 1
        self._regressors, self._jacobian = np.ones(kinds.n_common), np.zeros((common, 2 * self.n_axes))
        self._about = self._jacobian[:, -observed:]  # the part of the state that the units say something about
        self._score, self._information = np.zeros((2, common)), np.zeros((2, common, common))
        self._state_score, self._state_information = np.zeros(observed), np.zeros((observed, observed))
        self._project = np.zeros((common, observed))
        self._work = np.zeros((observed + 2 * self.n_axes, 2 * observed + 1))
        self._poisson = model.likelihood == "poisson"
        self.reset()

    def reset(self) -> None:
        """Forget position and velocity."""
        self.state[:] = 0.0
        self.covariance[:] = 0.0
        np.fill_diagonal(self.covariance[self.n_axes :, self.n_axes :], self.stationary)

    def predict(
        self,
        counts: np.ndarray,
        valid: np.ndarray | None = None,
        features: np.ndarray | None = None,
        features_valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Process one bin and return positions (m), then velocities (m/s), the decoder's own array.

        Parameters
        ----------
        counts : ndarray, (units,)
        valid : ndarray, (units,), optional
            0 where a unit's count is missing.
        features, features_valid : ndarray, (features,), optional
            Of the model's features, in a bin in which they came.
        """
        if features is not None or not self._fused:
            return self._predict_from_blocks(counts, valid, features, features_valid)
        model, valid = self.model, self._all_valid if valid is None else valid
        if not self._poisson:
            return self._predict_gaussian(counts, valid)
        self.largest = decoding_filter.decode_poisson(
            self.state,
            self.covariance,
            model.weights,
            model.covariance,
            counts,
            valid,
            self._history,
            model.bin_s,
            self.trust,
            self.keep,
            self.noise,
            DM_PER_M,
            self._workspace,
            self._scratch,
        )
        return self.state

    def _predict_gaussian(self, features: np.ndarray, valid: np.ndarray) -> np.ndarray:
        model = self.model
        seen = (self.state, self.covariance, model.weights, model.covariance, features, valid, model.bin_s)
        prior = (self.trust, self.keep, self.noise, DM_PER_M, self._workspace, self._scratch)
        self.largest = decoding_filter.decode_gaussian(*seen, model.noise_variance, *prior)
        return self.state

    def _predict_from_blocks(self, counts, valid, features, features_valid) -> np.ndarray:
        """Sum the evidence of all blocks at the predicted state and condition on it once.

        The multiscale filter (Hsieh and Shanechi 2016): a point-process update in every bin and a Gaussian one when
        features come. Regressors that are not linear in the state are linearised there (extended filter).
        """
        model, kinds, n = self.model, self.model.regressors, self.n_axes
        valid = self._all_valid if valid is None else valid
        state_filter.predict_state(self.state, self.covariance, model.bin_s, self.keep, self.noise, 0.0)
        predicted = [DM_PER_M * value for value in self.state.tolist()]
        kinds.fill(self._regressors, predicted[n:], predicted[:n], self.click)
        score, information = self._score[0], self._information[0]
        at = (model.weights, model.covariance, counts, valid, self._regressors)
        out = (self.trust, score, information, self._scratch)
        if self._poisson:
            own = (*at, self._history, model.bin_s, *out)
            self.largest = evidence.poisson_evidence_own(*own)
        else:
            self.largest = evidence.gaussian_evidence(*at, model.noise_variance, *out)
        if features is not None:
            self._add_features(features, features_valid)
        scale, work = DM_PER_M, self._work
        if kinds.velocity_common:
            state_filter.update_state(self.state, self.covariance, score, information, scale, work)
            return self.state
        kinds.jacobian(np.array(predicted[n:]), self._jacobian)
        about = (self._state_score, self._state_information)
        evidence.project_evidence(score, information, self._about.copy(), *about, self._project)
        state_filter.update_state(self.state, self.covariance, *about, scale, work)
        return self.state

    def _add_features(self, features: np.ndarray, valid: np.ndarray) -> None:
        model, common = self.model.features, self._regressors
        assert model is not None
        at = (model.weights, model.covariance, features, valid, common[: model.n_regressors])
        told = model.n_regressors - 1  # features know nothing of clicks, whose regressor comes last
        out = (self._score[1, :told], self._information[1, :told, :told], self._scratch)
        evidence.gaussian_evidence(*at, model.noise_variance, self.trust, *out)
        self._score[0, :told] += self._score[1, :told]
        self._information[0, :told, :told] += self._information[1, :told, :told]

    def coast(self) -> None:
        """Advance one bin on the prior alone (no data)."""
        state_filter.predict_state(self.state, self.covariance, self.model.bin_s, self.keep, self.noise, 0.0)

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def on_done(self) -> None:
        """Notify the decoder that a trial ended; this filter carries on."""

    def set_position(self, *position_m: float) -> None:
        """Put the position where the cursor is (assist, walls), with certainty; the velocity stays as decoded."""
        for axis, place in enumerate(position_m):
            self._placed[axis] = place
        state_filter.place(self.state, self.covariance, self._position)

    def is_kin_of(self, other: Any) -> bool:
        """Return whether another decoder's snapshot can be restored here."""
        return type(other) is type(self)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return copies of what the next bin depends on."""
        return {"state": self.state.copy(), "covariance": self.covariance.copy()}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.state[:] = snapshot["state"]
        self.covariance[:] = snapshot["covariance"]
