"""Our own decoders, fitted to a training part: the adaptive history decoder and the point-process filter.

References
----------
Eden, Frank, Barbieri, Solo, Brown (2004) Neural Computation 16:971 (point-process filter).
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.fitted import LEADS, Delay, Training, Verbs, best_of, paired_rows
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import DM_PER_M, EncodingModel

NEWTON_STEPS = 25
LARGEST_LOG_RATE_STEP = 2.0


class LearnedHistoryDecoder(HistoryDecoder):
    """The adaptive history decoder after it has streamed through the training part, frozen."""

    variance = np.full(4, np.nan)

    @classmethod
    def fit(cls, training: Training) -> LearnedHistoryDecoder:
        """Return the decoder after one pass over `training`, bin by bin as in a session."""
        decoder = cls(training.counts.shape[1], training.bin_s, len(training.columns) == 4)
        for index, counts in enumerate(training.counts):
            if training.restart[index]:
                decoder.reset()
            elif training.trial_start[index]:
                decoder.on_done()
            decoder.predict(counts)
            decoder.learn(counts, training.kinematics[index])
        decoder.freeze()
        return decoder


def poisson_tuning(counts: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood weights of ``log mean count = w [1, vx, vy]``, shape (3, units).

    By Newton's method; a penalty of a hundredth of a bin keeps units without spikes finite.
    """
    regressors = np.hstack([np.ones((len(velocity), 1)), velocity])
    weights = np.zeros((3, counts.shape[1]))
    weights[0] = np.log(counts.mean(axis=0) + 1.0 / len(counts))
    for _ in range(NEWTON_STEPS):
        mean = np.exp(np.clip(regressors @ weights, -30.0, 10.0))
        gradient = regressors.T @ (counts - mean)
        gradient[1:] -= 0.01 * weights[1:]
        information = np.einsum("ti,tn,tj->nij", regressors, mean, regressors, optimize=True)
        information += np.diag([1e-9, 0.01, 0.01])
        step = np.linalg.solve(information, gradient.T[:, :, None])[:, :, 0].T
        weights += np.clip(step, -LARGEST_LOG_RATE_STEP, LARGEST_LOG_RATE_STEP)
        if np.abs(step).max() < 1e-9:
            break
    return weights


class PointProcessDecoder(Verbs):
    """Point-process filter with units tuned to velocity by maximum likelihood, and a velocity prior from the data.

    Velocity is brought to a standard deviation of 1 dm/s inside, whatever its unit. The prior keeps the recorded
    velocity's variance and its correlation from bin to bin.
    """

    def __init__(self, filter_: VelocityFilter, lead: int, unit: float, mean: np.ndarray, blank: np.ndarray):
        super().__init__()
        self.filter, self.unit, self.mean = filter_, unit, mean
        self._delay = Delay(lead, blank)
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> PointProcessDecoder:
        """Return the decoder with the lead (0 to 4 bins) that validates best."""
        return cls.with_lead(training, best_of(LEADS, cls.with_lead, training))

    @classmethod
    def with_lead(cls, training: Training, lead: int) -> PointProcessDecoder:
        """Return the decoder with a given lead."""
        velocity = training.kinematics[:, 2:]
        known = np.isfinite(velocity).all(axis=1)
        rows = paired_rows(training.restart, lead)
        used = np.flatnonzero(known & (rows >= 0))
        mean = velocity[used].mean(axis=0)
        unit = float(velocity[used].std()) or 1.0  # of the file's unit in 1 dm/s
        inside = (velocity - mean) / unit
        counts = training.counts[rows[used]]
        weights = poisson_tuning(counts, inside[used])
        weights[0] -= np.log(training.bin_s)
        model = EncodingModel.untrained(np.ones(counts.shape[1]), "poisson", training.bin_s, 1e-6)
        model.weights[:] = weights
        after = np.flatnonzero(known[1:] & known[:-1] & ~training.trial_start[1:]) + 1
        keep = float((inside[after] * inside[after - 1]).sum() / (inside[after - 1] ** 2).sum())
        constant_s = -training.bin_s / np.log(np.clip(keep, 0.05, 0.999))
        chosen = VelocityFilter(model, float(constant_s), 1.0 / DM_PER_M, parameter_trust=0.0)
        return cls(chosen, lead, unit, mean, counts.mean(axis=0))

    def reset(self) -> None:
        """Forget the state and the counts that wait."""
        self.filter.reset()
        self._delay.reset()

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in; return NaN, NaN, vx, vy."""
        state = self.filter.predict(self._delay(np.asarray(counts, dtype=float)))
        self.variance[2:] = self.filter.variance[2:] * (DM_PER_M * self.unit) ** 2
        return np.concatenate([[np.nan, np.nan], state[2:] * DM_PER_M * self.unit + self.mean])
