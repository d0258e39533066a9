"""The two usual static decoders, fitted on the training part in one go: what an adaptive decoder must not fall below.

Both choose their one hyper-parameter (the ridge penalty, the lead of the spikes over the hand) on the last fifth of the
training part, and are then fitted again on all of it.
"""

import dataclasses

import numpy as np

from bmi_runtime.analysis.metrics import r2

HISTORY_BINS = 10  # of counts that ridge regression reads
PENALTIES = 10.0 ** np.arange(-3.0, 2.1, 0.5)  # relative to the mean variance of a count
LEADS_BINS = range(5)
VALIDATION_FRACTION = 0.2  # of the training part, at its end


def count_history(counts: np.ndarray, restart: np.ndarray, bins: int = HISTORY_BINS) -> np.ndarray:
    """Return counts of each bin and the ``bins - 1`` before it, shape (bins, units * bins); zero before a restart."""
    n_bins, units = counts.shape
    first = np.maximum.accumulate(np.where(restart, np.arange(n_bins), 0))
    history = np.zeros((n_bins, bins, units))
    for lag in range(bins):
        rows = np.arange(n_bins) - lag >= first
        history[rows, lag] = counts[np.flatnonzero(rows) - lag]
    return history.reshape(n_bins, bins * units)


def mean_r2(true, decoded):
    """Return the coefficient of determination, mean over columns; 0 of one that never changes."""
    return float(np.nanmean(np.nan_to_num(r2(true, decoded), nan=0.0)))


def ridge_states(recording, bins_train: int) -> np.ndarray:
    """Return position and velocity by causal ridge regression on ten bins of counts, shape (bins, 2 axes).

    The penalty is relative to the mean variance of a count, the same for every weight; the intercept is free.
    """
    features = count_history(recording.counts, recording.restart)
    target = recording.kinematics
    columns = np.isfinite(target).any(axis=0)
    rows = np.flatnonzero(np.isfinite(target[:bins_train][:, columns]).all(axis=1))
    inner = rows[: int((1.0 - VALIDATION_FRACTION) * len(rows))]
    outer = rows[len(inner) :]
    n = target.shape[1] // 2
    velocity = np.flatnonzero(columns) >= n
    best, penalty = -np.inf, PENALTIES[-1]
    for candidate, weights in ridge_path(features[inner], target[inner][:, columns], PENALTIES):
        score = mean_r2(target[outer][:, n:], (with_intercept(features[outer]) @ weights)[:, velocity])
        if score > best:
            best, penalty = score, candidate
    ((_, weights),) = ridge_path(features[rows], target[rows][:, columns], [penalty])
    states = np.full(target.shape, np.nan)
    states[:, columns] = with_intercept(features) @ weights
    return states


def with_intercept(features):
    """Return features (bins, n) with a column of ones behind them."""
    return np.hstack([features, np.ones((len(features), 1))])


def ridge_path(features, target, penalties):
    """Yield (penalty, weights) with the intercept as the last row.

    With fewer bins than features the weights are ``X' (X X' + p I)^-1 y``, the same ones from a smaller system.
    """
    from bmi_runtime.decoding.linear_systems import solve_positive  # scipy takes a tenth of a session's start

    mean, target_mean = features.mean(axis=0), target.mean(axis=0)
    centred = features - mean
    bins, inputs = centred.shape
    scale = max(float((centred**2).sum()) / inputs, 1e-12)
    few = bins < inputs
    gram = centred @ centred.T if few else centred.T @ centred
    right = target - target_mean if few else centred.T @ (target - target_mean)
    for penalty in penalties:
        solved = solve_positive(gram, penalty * scale, right)
        weights = centred.T @ solved if few else solved
        yield penalty, np.vstack([weights, target_mean - mean @ weights])


@dataclasses.dataclass(frozen=True)
class StaticKalman:
    """A linear-Gaussian state-space model of centred kinematics x and centred counts y, fitted in closed form.

    ``x[t] = A x[t-1] + w, w ~ N(0, Q)`` and ``y[t] = C x[t] + q, q ~ N(0, R)``, least squares and residual covariances
    (Wu et al. 2006, Neural Computation 18:80).
    """

    mean: np.ndarray
    count_mean: np.ndarray
    transition: np.ndarray
    transition_covariance: np.ndarray
    observation: np.ndarray
    observation_covariance: np.ndarray
    start_mean: np.ndarray
    start_covariance: np.ndarray

    def filter(self, counts, trial_start, state=None) -> np.ndarray:
        """Return the filtered states, shape (bins, dims); `state` is the known one before the first bin, if any."""
        gain_form = np.linalg.solve(self.observation_covariance, self.observation).T
        information = gain_form @ self.observation
        evidence = (counts - self.count_mean) @ gain_form.T
        mean, covariance = self.start_mean, self.start_covariance
        if state is not None:
            mean, covariance = state - self.mean, np.zeros_like(covariance)
        states = np.empty((len(counts), len(self.mean)))
        identity = np.eye(len(self.mean))
        for index in range(len(counts)):
            if trial_start[index] and (index > 0 or state is None):
                mean, covariance = self.start_mean, self.start_covariance
            else:
                mean = self.transition @ mean
                covariance = self.transition @ covariance @ self.transition.T + self.transition_covariance
            covariance = np.linalg.solve(identity + covariance @ information, covariance)
            covariance = 0.5 * (covariance + covariance.T)
            mean = mean + covariance @ (evidence[index] - information @ mean)
            states[index] = mean + self.mean
        return states


def fit_kalman(counts, kinematics, trial_start, count_rows) -> StaticKalman:
    """Fit :class:`StaticKalman`; `count_rows`: for each bin the row of `counts` paired with it (negative: none)."""
    usable = np.isfinite(kinematics).all(axis=1)
    rows = np.flatnonzero(usable & (count_rows >= 0))
    mean, count_mean = kinematics[rows].mean(axis=0), counts[count_rows[rows]].mean(axis=0)
    states = kinematics - mean
    after = np.flatnonzero(usable[1:] & usable[:-1] & ~trial_start[1:]) + 1
    transition, transition_covariance = _least_squares(states[after - 1], states[after], 1e-9)
    observation, noise = _least_squares(states[rows], counts[count_rows[rows]] - count_mean, 1e-9)
    noise += np.eye(len(noise)) * (1e-6 * np.trace(noise) / len(noise) + 1e-9)
    starts = np.flatnonzero(trial_start & usable)
    spread = np.atleast_2d(np.cov(states[rows].T))
    start_mean, start_covariance = np.zeros(len(mean)), spread
    if len(starts) >= 5:
        start_mean = states[starts].mean(axis=0)
        start_covariance = np.atleast_2d(np.cov(states[starts].T)) + 1e-6 * spread
    return StaticKalman(
        mean, count_mean, transition, transition_covariance, observation, noise, start_mean, start_covariance
    )


def _least_squares(regressors, targets, relative_ridge):
    gram = regressors.T @ regressors
    gram += np.eye(len(gram)) * (relative_ridge * np.trace(gram) / len(gram) + 1e-300)
    weights = np.linalg.solve(gram, regressors.T @ targets).T
    residual = targets - regressors @ weights.T
    return weights, residual.T @ residual / max(len(residual), 1)


def kalman_states(recording, bins_train: int) -> np.ndarray:
    """Return position and velocity by a plain Kalman filter, shape (bins, 2 axes).

    The state is position and velocity (velocity alone where no position was recorded); the counts lead it by 0 to 4
    bins, whichever decodes the last fifth of the training part best. Units that never change there are left out.
    """
    inner = int((1.0 - VALIDATION_FRACTION) * bins_train)
    best, lead = -np.inf, 0
    for candidate in LEADS_BINS:
        states = _decode_with_lead(recording, inner, bins_train, candidate)
        score = mean_r2(recording.velocity[inner:bins_train], states[inner:bins_train, recording.n_axes :])
        if score > best:
            best, lead = score, candidate
    return _decode_with_lead(recording, bins_train, recording.n_bins, lead)


def _decode_with_lead(recording, bins_train, stop, lead):
    columns = np.isfinite(recording.kinematics).any(axis=0)
    first = np.maximum.accumulate(np.where(recording.restart, np.arange(recording.n_bins), 0))
    rows = np.arange(recording.n_bins) - lead
    rows = np.where(rows >= first, rows, -1)
    counts = recording.counts[:, recording.counts[:bins_train].std(axis=0) > 0]
    kinematics = recording.kinematics[:, columns]
    model = fit_kalman(counts, kinematics[:bins_train], recording.trial_start[:bins_train], rows[:bins_train])
    paired = np.where(rows[:, None] >= 0, counts[rows], model.count_mean)
    known = kinematics[bins_train - 1]
    continues = not recording.trial_start[bins_train] and np.isfinite(known).all()
    states = np.full((recording.n_bins, 2 * recording.n_axes), np.nan)
    test = slice(bins_train, stop)
    states[test, columns] = model.filter(paired[test], recording.trial_start[test], known if continues else None)
    return states
