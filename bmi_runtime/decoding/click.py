"""Idle, move or click: the discrete part of the brain state, beside the continuous filter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.kernels import evidence, unit_blocks

IDLE, MOVE, CLICK = range(3)
STAY_S = (1.0, 1.0, 0.3)
"""How long each state lasts, in the mean."""
GOES_TO = ((0.0, 0.9, 0.1), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
"""Where each state goes when it ends."""
RELEASED = 0.5  # of the posterior: a click is over below it
LEAST_APART_S = 0.3  # of two clicks


class ClickFilter:
    """A hidden Markov model over idle, move and click, whose emissions are the units' own counts.

    In each state the units' rates are those of the encoding model: at rest (idle), at the decoded velocity (move), and
    at the decoded velocity with the click's own gains (click). The forward recursion (Rabiner 1989) gives the posterior
    of the three. A click is told once, when its posterior rises above the threshold.

    Parameters
    ----------
    model : EncodingModel
        With the regressor ``click``; read on every bin, so that it decodes clicks as they are learned.
    threshold : float
        Posterior at which a click is told.
    history : ndarray, (histories, units), optional
        Each unit's own recent counts, where they are regressors.

    Attributes
    ----------
    posterior : ndarray, (3,)
        Of idle, move, click.
    """

    def __init__(self, model: EncodingModel, threshold: float, history: np.ndarray | None = None):
        self.model, self.threshold, self.bin_s = model, threshold, model.bin_s
        leave = 1.0 - np.exp(-self.bin_s / np.array(STAY_S))
        self.transition = np.diag(1.0 - leave) + leave[:, None] * np.array(GOES_TO)
        self.posterior = np.array([0.5, 0.5, 0.0])
        self._history = unit_blocks.NO_HISTORY if history is None else history
        self._regressors = np.ones((3, model.regressors.n_common))
        self._likelihood, self._scratch = np.zeros(3), np.empty((2, unit_blocks.BLOCK))
        self._pressed, self._since_s = False, math.inf

    @property
    def expected(self) -> float:
        """Probability of a click in the next bin, before its counts are seen."""
        return float(self.posterior @ self.transition[:, CLICK])

    def predict(self, counts: np.ndarray, valid: np.ndarray, state: np.ndarray) -> bool:
        """Take a bin with its decoded state (positions m, velocities m/s); return whether a click begins."""
        kinds, n = self.model.regressors, self.model.n_axes
        position, velocity = [DM_PER_M * x for x in state[:n]], [DM_PER_M * v for v in state[n:]]
        kinds.fill(self._regressors[IDLE], [0.0] * n, position, 0.0)
        kinds.fill(self._regressors[MOVE], velocity, position, 0.0)
        kinds.fill(self._regressors[CLICK], velocity, position, 1.0)
        evidence.poisson_likelihoods(
            self.model.weights, counts, valid, self._regressors, self._history, self.bin_s, self._likelihood,
            self._scratch,
        )  # fmt: skip
        predicted = (self.posterior @ self.transition) * np.exp(self._likelihood - self._likelihood.max())
        self.posterior[:] = predicted / predicted.sum()
        return self._told()

    def coast(self) -> bool:
        """Take a bin without data; no click begins in it."""
        self.posterior[:] = self.posterior @ self.transition
        self._since_s += self.bin_s
        self._pressed = self._pressed and self.posterior[CLICK] > RELEASED
        return False

    def _told(self) -> bool:
        self._since_s += self.bin_s
        certain = self.posterior[CLICK]
        if self._pressed:
            self._pressed = certain > RELEASED
            return False
        if certain <= self.threshold or self._since_s < LEAST_APART_S:
            return False
        self._pressed, self._since_s = True, 0.0
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {"posterior": self.posterior.copy(), "pressed": self._pressed, "since_s": self._since_s}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.posterior[:] = snapshot["posterior"]
        self._pressed, self._since_s = snapshot["pressed"], snapshot["since_s"]
