"""Our own decoders, fitted to a training part: the adaptive history decoder and the point-process filter.

References
----------
Eden, Frank, Barbieri, Solo, Brown (2004) Neural Computation 16:971 (point-process filter).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.batch_decoder import LEADS, DecoderBase, Delay, Training, best_of, paired_rows
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel

NEWTON_STEPS = 25  # before a fit is taken as it is
LARGEST_LOG_RATE_STEP = 2.0  # of Newton: a unit with few spikes would jump


class LearnedHistoryDecoder(HistoryDecoder):
    """The adaptive history decoder after it has streamed through the training part, frozen."""

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the decoder after one pass over `training`, bin by bin as in a session."""
        n = training.n_axes
        decoder = cls(training.counts.shape[1], training.bin_s, len(training.columns) == 2 * n, n)
        for index, counts in enumerate(training.counts):
            if training.restart[index]:
                decoder.reset()
            elif training.trial_start[index]:
                decoder.on_done()
            decoder.predict(counts)
            decoder.learn(counts, training.kinematics[index])
        decoder.freeze()
        return decoder

    def parameters(self) -> dict[str, Any]:
        """Return what was published last, of every expert and of their mixture."""
        starts = np.array(self._starts).reshape(-1, self.n_axes)
        own: dict[str, Any] = {"units": self.layout.units, "bin_s": self.bin_s, "dims": self.dims, "axes": self.n_axes}
        own |= {"mixture": self._mixture.weights, "mean_counts": self._mean_counts}
        own |= {"mean_kinematics": self._mean_kinematics, "starts": starts}
        own |= {f"bending.{name}": value for name, value in self._cubic.parameters().items()}
        for number, (_, expert) in enumerate(self._experts):
            own |= {f"expert{number}.{name}": value for name, value in expert.parameters().items()}
        return own

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Return the decoder whose :meth:`parameters` these are; it decodes, and learns no more."""
        axes = int(parameters.get("axes", 2))  # files of the time before there were others do not say
        has_position = int(parameters["dims"]) == 2 * axes
        decoder = cls(int(parameters["units"]), float(parameters["bin_s"]), has_position, axes)
        decoder._moments = []
        decoder._mixture.weights[:] = parameters["mixture"]
        decoder._mean_counts, decoder._mean_kinematics = parameters["mean_counts"], parameters["mean_kinematics"]
        decoder._starts = [start.copy() for start in parameters["starts"]]
        decoder._cubic.take(_of("bending.", parameters))
        for number, (_, expert) in enumerate(decoder._experts):
            expert.take(_of(f"expert{number}.", parameters))
        decoder._published = True
        decoder.reset()
        return decoder

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        experts = [expert.snapshot() for _, expert in self._experts]
        return {"ring": self._ring.copy(), "head": self._head, "experts": experts}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._ring[:], self._head = snapshot["ring"], snapshot["head"]
        for (_, expert), kept in zip(self._experts, snapshot["experts"], strict=True):
            expert.restore(kept)


def _of(prefix: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def poisson_tuning(counts: np.ndarray, velocity: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Return the maximum-likelihood weights of ``log mean count = w [1, velocity, own]``, shape (1 + axes + k, units).

    By Newton's method; a penalty of a hundredth of a bin keeps units without spikes finite.

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    velocity : ndarray, shape (bins, axes)
    own : ndarray, shape (bins, k, units), optional
        What each unit depends on besides: traces of its own past.
    """
    common = np.hstack([np.ones((len(velocity), 1)), velocity])
    if own is None:
        return _poisson_weights(counts, common)
    units = range(counts.shape[1])
    return np.hstack([_poisson_weights(counts[:, [n]], np.hstack([common, own[:, :, n]])) for n in units])


def _poisson_weights(counts: np.ndarray, regressors: np.ndarray) -> np.ndarray:
    d = regressors.shape[1]
    weights = np.zeros((d, counts.shape[1]))
    weights[0] = np.log(counts.mean(axis=0) + 1.0 / len(counts))
    for _ in range(NEWTON_STEPS):
        mean = np.exp(np.clip(regressors @ weights, -30.0, 10.0))
        gradient = regressors.T @ (counts - mean)
        gradient[1:] -= 0.01 * weights[1:]
        information = np.einsum("ti,tn,tj->nij", regressors, mean, regressors, optimize=True)
        information += np.diag([1e-9, *([0.01] * (d - 1))])
        step = np.linalg.solve(information, gradient.T[:, :, None])[:, :, 0].T
        weights += np.clip(step, -LARGEST_LOG_RATE_STEP, LARGEST_LOG_RATE_STEP)
        if np.abs(step).max() < 1e-9:
            break
    return weights


class PointProcessDecoder(DecoderBase):
    """Point-process filter with units tuned to velocity by maximum likelihood, and a velocity prior from the data.

    Velocity is brought to a standard deviation of 1 dm/s inside, whatever its unit. The prior keeps the recorded
    velocity's variance and its correlation from bin to bin.

    Parameters
    ----------
    weights : ndarray, shape (1 + axes, units)
        Log rate in log Hz at velocity 0, and per unit of velocity.
    bin_s, constant_s : float
        Bin width and time constant of the velocity prior.
    lead : int
        Bins by which the counts lead.
    unit : float
        Of the velocity, in its own unit.
    mean : ndarray, shape (axes,)
        Mean velocity.
    blank : ndarray, shape (units,)
        Counts in place of those before the first bin.
    """

    PARAMETERS = ("weights", "bin_s", "constant_s", "lead", "unit", "mean", "blank")
    STATE = ("filter", "_delay")

    def __init__(self, weights, bin_s: float, constant_s: float, lead: int, unit: float, mean, blank):
        super().__init__(len(weights) - 1)
        self.weights, self.bin_s, self.constant_s = weights, float(bin_s), float(constant_s)
        self.lead, self.unit, self.mean, self.blank = int(lead), float(unit), mean, blank
        model = EncodingModel.untrained(np.ones(weights.shape[1]), "poisson", self.bin_s, 1e-6, None, self.n_axes)
        model.weights[:] = weights
        self.filter = VelocityFilter(model, self.constant_s, 1.0 / DM_PER_M, parameter_trust=0.0)
        self._delay = Delay(self.lead, blank)
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the decoder with the lead (0 to 4 bins) that validates best."""
        return cls.with_lead(training, best_of(LEADS, cls.with_lead, training))

    @classmethod
    def with_lead(cls, training: Training, lead: int) -> Self:
        """Return the decoder with a given lead."""
        velocity = training.velocity
        known = np.isfinite(velocity).all(axis=1)
        rows = paired_rows(training.restart, lead)
        used = np.flatnonzero(known & (rows >= 0))
        mean = velocity[used].mean(axis=0)
        unit = float(velocity[used].std()) or 1.0  # of the file's unit in 1 dm/s
        inside = (velocity - mean) / unit
        counts = training.counts[rows[used]]
        weights = poisson_tuning(counts, inside[used])
        weights[0] -= np.log(training.bin_s)
        after = np.flatnonzero(known[1:] & known[:-1] & ~training.trial_start[1:]) + 1
        keep = float((inside[after] * inside[after - 1]).sum() / (inside[after - 1] ** 2).sum())
        constant_s = -training.bin_s / np.log(np.clip(keep, 0.05, 0.999))
        return cls(weights, training.bin_s, constant_s, lead, unit, mean, counts.mean(axis=0))

    def reset(self) -> None:
        """Forget the state and the counts that wait."""
        self.filter.reset()
        self._delay.reset()

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return NaN for the positions, then velocities."""
        state = self.filter.predict(self._delay(np.asarray(counts, dtype=float)))
        n = self.n_axes
        self.variance[n:] = self.filter.variance[n:] * (DM_PER_M * self.unit) ** 2
        return np.concatenate([np.full(n, np.nan), state[n:] * DM_PER_M * self.unit + self.mean])
