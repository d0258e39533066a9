"""What a learning rate does to decoding and to the task: velocity error, time to target, hits per minute.

The pilot's own bins are decoded with weights that are as wrong as the rate makes them: the fitted ones plus errors
drawn from the measured covariance, the same draws at every rate. What the decoder makes of an intended velocity is then
fitted,

    decoded(t) = a decoded(t - 1) + b intended(t) + noise

and a subject with the aim of the configuration steers a cursor through it, trial after trial. Nothing is tuned to the
closed loop; tests/calibration/test_outcomes.py holds the numbers against sessions of the simulated worlds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import steady_state
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.config import Config
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import aim_gains

MOST_BINS = 12_000  # of the pilot, that are decoded
DRAWS = 3
STEERED_S = 600.0
RATES = tuple(10.0 ** (step / 2) for step in range(-18, -3))
"""Half decades from 1e-9 to 1e-2, among which a wish is looked for."""


@dataclass(frozen=True)
class Outcome:
    """What is expected at a learning rate.

    Attributes
    ----------
    velocity_error_m_s : float
        Root mean square of the length of decoded minus intended velocity.
    time_to_target_s : float
        Mean over successful trials, hold included; NaN without one.
    hits_per_minute, success_rate : float
    """

    velocity_error_m_s: float
    time_to_target_s: float
    hits_per_minute: float
    success_rate: float


class Outcomes:
    """Decodes a pilot at any rate; everything random is drawn once.

    Parameters
    ----------
    scores : MeasuredScores
    config : Config
        Its sections decoder, subject and task are used; the defaults where the pilot is a data file.
    seed : int
    """

    def __init__(self, scores: MeasuredScores, config: Config, seed: int = 1):
        self.scores, self.config = scores, config
        rng = np.random.default_rng(seed)
        design = scores.design
        rows = slice(0, MOST_BINS)
        self.states = np.ascontiguousarray(scores.regressors[rows, 1:]) / DM_PER_M
        noise_or_expected = (
            scores.innovation.T[rows] * design.noise + scores.regressors[rows] @ design.weights.T
            if design.likelihood == "gaussian"
            else scores.innovation.T[rows] + design.expected_counts(rows)
        )
        self.counts = np.ascontiguousarray(noise_or_expected)
        self.normal = rng.standard_normal((DRAWS, *design.weights.shape))
        self.steering = rng.standard_normal((round(STEERED_S / design.bin_s), 2, self.states.shape[1]))

    def at(self, rate: float) -> Outcome:
        """Return what is expected at a learning rate."""
        state = steady_state(self.scores.info, rate)
        error = self.scores.error_covariance(state, scatter=True)
        values, vectors = np.linalg.eigh(error)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        wrong = self.scores.design.weights + np.einsum("nij,knj->kni", root, self.normal)
        decoded = np.array([self._decode(weights, state.filter_covariance) for weights in wrong])
        away = decoded - self.states
        squares = float((away**2).sum(axis=2).mean())
        return self._steer(math.sqrt(squares), *_smoothing(decoded, self.states))

    def _decode(self, weights: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        design, section = self.scores.design, self.config.decoder
        kinds = Regressors(self.states.shape[1])
        model = EncodingModel(
            weights.T, pack(covariance), design.likelihood, design.bin_s, design.noise_variance, regressors=kinds
        )
        decoder = VelocityFilter(
            model, section.velocity_time_constant_s, section.velocity_sd_m_s, section.parameter_trust
        )
        axes, out = self.states.shape[1], np.empty_like(self.states)
        for t, counts in enumerate(self.counts):
            out[t] = decoder.predict(counts)[axes:]
        return out

    def _steer(self, velocity_error: float, smoothing: float, passed: float, error: float) -> Outcome:
        from bmi_runtime.kernels.steering import steer

        subject, task, bin_s = self.config.subject, self.config.task, self.scores.design.bin_s
        keep, pull = aim_gains(2.0 * math.pi * subject.natural_frequency_hz, bin_s)
        delay, axes = round(subject.feedback_delay_s / bin_s), self.states.shape[1]
        outcome = np.zeros((int(STEERED_S / bin_s) + 1, 2))
        trials = steer(
            keep, pull, delay, subject.intention_noise, smoothing, passed, error, 1.0, bin_s,
            task.distance_m * _ring(task.targets, axes), task.target_radius_m, round(task.hold_s / bin_s),
            round(task.timeout_s / bin_s), round(task.pause_s / bin_s), self.steering, np.zeros((delay + 1, axes)),
            outcome,
        )  # fmt: skip
        done = outcome[:trials]
        hits = done[:, 1] > 0
        time_s = float(done[hits, 0].mean()) if hits.any() else math.nan
        rate = float(hits.mean()) if trials else 0.0
        return Outcome(velocity_error, time_s, 60.0 * float(hits.sum()) / STEERED_S, rate)

    def fastest(self, wanted: float, measure: str) -> float:
        """Return the fastest rate at which a measure is still as wished.

        Parameters
        ----------
        wanted : float
        measure : {"velocity_error_m_s", "time_to_target_s", "hits_per_minute"}
            At most `wanted`, or at least for hits.

        Raises
        ------
        BadInput
            If even exact weights do not give it, or every rate does.
        """
        sign = -1.0 if measure == "hits_per_minute" else 1.0

        def excess(rate: float) -> float:
            value = getattr(self.at(rate), measure)
            return math.inf if math.isnan(value) else sign * (value - wanted)

        if excess(RATES[0]) > 0:
            best = getattr(self.at(RATES[0]), measure)
            raise BadInput(
                f"no learning rate gives {_spoken(measure, wanted)}: with weights that hardly err the expected value "
                f"is {_spoken(measure, best)}; more units, or another decoder or task, would"
            )
        low, high = 0, len(RATES) - 1
        if excess(RATES[high]) <= 0:
            return RATES[high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if excess(RATES[middle]) <= 0 else (low, middle)
        slow, fast = math.log(RATES[low]), math.log(RATES[high])
        for _ in range(4):
            middle_log = 0.5 * (slow + fast)
            slow, fast = (middle_log, fast) if excess(math.exp(middle_log)) <= 0 else (slow, middle_log)
        return math.exp(slow)


def _spoken(measure: str, value: float) -> str:
    if measure == "velocity_error_m_s":
        return f"a decoded velocity error of {100 * value:.3g} cm/s"
    return f"{value:.3g} s to the target" if measure == "time_to_target_s" else f"{value:.3g} hits per minute"


def _smoothing(decoded: np.ndarray, intended: np.ndarray) -> tuple[float, float, float]:
    """Fit decoded(t) = a decoded(t - 1) + b intended(t) + noise over draws and axes; return a, b, sd of the noise."""
    past, now, meant = decoded[:, :-1].ravel(), decoded[:, 1:].ravel(), np.broadcast_to(intended, decoded.shape)
    regressors = np.column_stack([past, meant[:, 1:].ravel()])
    (a, b), *_ = np.linalg.lstsq(regressors, now, rcond=None)
    return float(a), float(b), float((now - regressors @ [a, b]).std())


def _ring(targets: int, axes: int) -> np.ndarray:
    """Return unit goals of a centre-out task, (targets, axes): a ring in the first two axes, both ends on a line."""
    if axes == 1:
        return np.array([[1.0], [-1.0]])
    angle = 2.0 * np.pi * np.arange(targets) / targets
    return np.column_stack([np.cos(angle), np.sin(angle), *np.zeros((axes - 2, targets))])
