"""Targets inferred afterwards from how the cursor moved, and a model refitted to them: what PRI-T does between blocks.

A hidden Markov model: the state is which candidate target is meant, kept from step to step with a high probability; the
direction of the cursor's velocity is von Mises around the direction to the target, the more concentrated the farther it
is. The likeliest path of targets labels the past, weighted by the squared posterior of each label. Written for the
comparison over days, from the description of the method, with the encoding model and the filter of the other methods in
the place of a linear decoder; step, concentrations, distances and the speed of a label are this module's choices.

References
----------
Wilson GH, Stein EA, Kamdar F, et al. (2025) Long-term unsupervised recalibration of cursor-based intracortical
brain-computer interfaces using a hidden Markov model. Nature Biomedical Engineering.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import i0e

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.encoding.model import EncodingModel, pair_indices

STEP_S = 0.1  # of the hidden Markov model
CONCENTRATIONS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Of which the one with the largest likelihood is taken."""
HALFWAY_M = 0.03  # the concentration is half of that far away
SLOPE_PER_M = 60.0  # of how fast directions become telling with the distance
LEAST_RATE_HZ = 0.5  # of a baseline that a fit starts from
NEWTON_STEPS, HALVINGS = 8, 6  # of the refit, and of a step that went too far


@dataclasses.dataclass(frozen=True)
class Labels:
    """What was probably meant.

    Attributes
    ----------
    target : ndarray of int, (bins,)
        Index of the candidate on the likeliest path.
    weight : ndarray, (bins,)
        Squared posterior of that candidate.
    concentration : float
    """

    target: np.ndarray
    weight: np.ndarray
    concentration: float


def infer_targets(training: Training, candidates: np.ndarray, goal_s: float) -> Labels:
    """Return the labels of a stretch of cursor movement; its own targets are not read.

    Parameters
    ----------
    training : Training
    candidates : ndarray, (candidates, axes)
        m; two axes.
    goal_s : float
        How long a target is meant, on average.
    """
    per = max(round(STEP_S / training.bin_s), 1)
    steps = len(training.counts) // per
    if not steps:
        return Labels(np.zeros(len(training.counts), int), np.zeros(len(training.counts)), CONCENTRATIONS[0])
    shape = (steps, per, training.n_axes)
    position = training.position[: steps * per].reshape(shape).mean(axis=1)
    velocity = training.velocity[: steps * per].reshape(shape).mean(axis=1)
    change = min(STEP_S / goal_s, 0.5)
    fits = [(_forward_backward(_log_emission(position, velocity, candidates, c), change), c) for c in CONCENTRATIONS]
    (_, posterior), concentration = max(fits, key=lambda fit: fit[0][0])
    path = _likeliest_path(_log_emission(position, velocity, candidates, concentration), change)
    weight = posterior[np.arange(steps), path] ** 2
    index = np.minimum(np.arange(len(training.counts)) // per, steps - 1)
    return Labels(path[index], weight[index], concentration)


def _log_emission(position, velocity, candidates, concentration: float) -> np.ndarray:
    """Return the log density of each velocity's direction under each candidate, (steps, candidates)."""
    toward = candidates[None] - position[:, None]
    distance = np.linalg.norm(toward, axis=2)
    speed = np.linalg.norm(velocity, axis=1)
    cosine = (toward * velocity[:, None]).sum(axis=2) / np.maximum(distance * speed[:, None], 1e-12)
    kappa = concentration / (1.0 + np.exp(-(distance - HALFWAY_M) * SLOPE_PER_M))
    return kappa * (cosine - 1.0) - np.log(2.0 * np.pi * i0e(kappa))


def _forward_backward(emission: np.ndarray, change: float) -> tuple[float, np.ndarray]:
    """Return the log likelihood, and the posterior of every candidate in every step, (steps, candidates)."""
    steps, n = emission.shape
    top = emission.max(axis=1, keepdims=True)
    likely = np.exp(emission - top)
    forward, scale = np.empty_like(likely), np.empty(steps)
    prior = np.full(n, 1.0 / n)
    for step in range(steps):
        joint = prior * likely[step]
        scale[step] = joint.sum()
        forward[step] = joint / scale[step]
        prior = (1.0 - change) * forward[step] + change / n
    backward, posterior = np.ones(n), forward.copy()
    for step in range(steps - 2, -1, -1):
        ahead = likely[step + 1] * backward / scale[step + 1]
        backward = (1.0 - change) * ahead + change * ahead.sum() / n
        posterior[step] = forward[step] * backward
        posterior[step] /= posterior[step].sum()
    return float(np.log(scale).sum() + top.sum()), posterior


def _likeliest_path(emission: np.ndarray, change: float) -> np.ndarray:
    """Return the most probable sequence of candidates (Viterbi), (steps,)."""
    steps, n = emission.shape
    stay, leave = np.log1p(-change + change / n), np.log(change / n)
    came_from = np.empty((steps, n), np.int64)
    score = emission[0].copy()
    for step in range(1, steps):
        best = int(np.argmax(score))
        moved = score[best] + leave
        stays = score + stay >= moved
        came_from[step] = np.where(stays, np.arange(n), best)
        score = np.where(stays, score + stay, moved) + emission[step]
    path = np.empty(steps, np.int64)
    path[-1] = np.argmax(score)
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def refitted(training: Training, labels: Labels, candidates: np.ndarray, likelihood: str, sd: float) -> EncodingModel:
    """Return an encoding model fitted to a stretch with inferred labels, from nothing.

    The intended velocity is the cursor's speed, pointed at the labelled target (one that lies behind the right target
    then teaches the right thing); bins nearer to it than `HALFWAY_M` teach nothing. Weighted maximum a posteriori,
    by Newton's method for counts.

    Parameters
    ----------
    sd : float
        Prior standard deviation of every weight.
    """
    poisson, bin_s, counts = likelihood == "poisson", training.bin_s, training.counts.astype(float)
    mean = counts.mean(axis=0)
    start = np.maximum(mean / bin_s, LEAST_RATE_HZ) if poisson else mean
    model = EncodingModel.untrained(start, likelihood, bin_s, sd, dimensions=training.n_axes)
    toward = candidates[labels.target] - training.position
    distance = np.linalg.norm(toward, axis=1)
    intended = toward * (np.linalg.norm(training.velocity, axis=1) / np.maximum(distance, 1e-9))[:, None]
    known = (distance >= HALFWAY_M) & np.isfinite(intended).all(axis=1)
    if known.any():
        regressors = np.column_stack([np.ones(known.sum()), DM_PER_M * intended[known]])
        _fit(model, regressors, counts[known], labels.weight[known], sd, poisson)
    return model


def _fit(model: EncodingModel, u: np.ndarray, y: np.ndarray, weight: np.ndarray, sd: float, poisson: bool) -> None:
    """Fit the weights of all units to regressors (bins, d) and counts (bins, units), with a prior around the start."""
    rows, columns = pair_indices(u.shape[1])
    products, start, units = u[:, rows] * u[:, columns], model.weights.copy(), y.shape[1]
    information, w = np.empty((units, u.shape[1], u.shape[1])), weight[:, None]

    def objective(weights: np.ndarray) -> np.ndarray:
        """Return the log posterior of every unit, but for constants."""
        predictor, prior = u @ weights, 0.5 * ((weights - start) ** 2).sum(axis=0) / sd**2
        if poisson:
            return (w * (y * predictor - model.bin_s * np.exp(np.minimum(predictor, 50.0)))).sum(axis=0) - prior
        return -0.5 * (w * (y - predictor) ** 2).sum(axis=0) / model.noise_variance - prior

    for _ in range(NEWTON_STEPS):
        predictor = u @ model.weights
        expected = model.bin_s * np.exp(np.minimum(predictor, 50.0)) if poisson else predictor
        scale = np.ones(units) if poisson else 1.0 / model.noise_variance
        pairs = products.T @ (w * (expected if poisson else np.ones_like(y))) * scale
        information[:, rows, columns] = information[:, columns, rows] = pairs.T
        information += np.eye(u.shape[1]) / sd**2
        score = u.T @ (w * (y - expected)) * scale - (model.weights - start) / sd**2
        step = np.linalg.solve(information, score.T[:, :, None])[:, :, 0].T
        here, size = objective(model.weights), np.ones(units)
        for _ in range(HALVINGS):
            worse = objective(model.weights + size * step) < here
            size = np.where(worse, 0.5 * size, size)
        model.weights += np.where(worse, 0.0, size) * step
        if not poisson:
            model.noise_variance[:] = np.maximum(np.average((y - u @ model.weights) ** 2, axis=0, weights=weight), 1e-6)
    model.covariance[:] = np.linalg.inv(information)[:, rows, columns].T
