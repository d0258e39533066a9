"""Experts of the history decoder: what each computes from the joint moments, and its step from bin to bin.

:class:`LaggedTuning` is an encoding model. Counts are tuned to the kinematics of several bins around them (motor cortex
leads the hand) and, if wanted, to the counts just before; a Kalman filter over the window of kinematics inverts it.
:class:`DirectRegression` is a ridge regression from windows of past counts to the kinematics.
"""

import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.decoding.linear_systems import solve_positive


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where things stand in the vector z of the moments (without its leading one).

    The window of kinematics comes first, newest bin first (``lead_bins`` ahead of the counts down to ``lag_bins``
    behind), `dims` numbers a bin; the windows of counts follow, `units` numbers each, the present bin's first.
    """

    dims: int
    lead_bins: int
    lag_bins: int
    units: int
    windows: int

    @property
    def window_bins(self) -> int:
        """Bins in the window of kinematics."""
        return self.lead_bins + self.lag_bins + 1

    @property
    def kinematic_size(self) -> int:
        """Numbers in the window of kinematics."""
        return self.dims * self.window_bins

    def counts(self, first: int, last: int) -> slice:
        """Return where the count windows first..last-1 stand."""
        return slice(self.kinematic_size + first * self.units, self.kinematic_size + last * self.units)

    def now(self) -> slice:
        """Return where the kinematics of the present bin stand."""
        return slice(self.lead_bins * self.dims, (self.lead_bins + 1) * self.dims)


def regress(gram: np.ndarray, inputs, outputs, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ridge weights (inputs x outputs) and the residual sum of squares (outputs x outputs).

    `gram` is a centred sum of squares; `inputs` and `outputs` index it; `penalty` is added to the inputs' diagonal.
    """
    own = gram[np.ix_(inputs, inputs)]
    cross = gram[np.ix_(inputs, outputs)]
    weights = solve_positive(own, penalty, cross)
    fitted = weights.T @ cross
    residual = gram[np.ix_(outputs, outputs)] - fitted - fitted.T + weights.T @ own @ weights
    return weights, residual


class LaggedTuning:
    """Kalman filter over a window of kinematics whose counts are tuned to several bins of it.

    With the window ``s = [k(t + lead), ..., k(t - lag)]`` and h the counts of the `history` windows before the present,
    ``y(t) = B s(t) + H h(t) + e, e ~ N(0, R)`` with a full, slightly shrunk R, and ``k(t + 1 + lead)`` an
    autoregression on the window. Information-form update: the cost of a bin grows with the units only in one product.

    Parameters
    ----------
    layout : Layout
    lead_bins, lag_bins : int
        Window of the tuning, inside the layout's.
    order : int
        Bins of the autoregression.
    history : int
        Count windows before the present one that the encoding model takes into account.
    tuned : sequence of int
        Dimensions of a bin's kinematics to which units are tuned.
    """

    TUNING_PENALTY = 1e-3  # relative to the mean sum of squares of a kinematic regressor
    HISTORY_PENALTY_BINS = 100.0  # as many bins of evidence that past counts do not matter
    TRANSIENT_BINS = 48  # after a jump or a start; then the covariance is taken as settled
    DOUBLINGS = 10
    SHRINK = True
    PARAMETERS: tuple[str, ...] = (
        "_transition", "_drive", "_information", "_evidence", "_evidence_offset", "_prior", "_settled", "_centre",
    )  # fmt: skip

    def __init__(self, layout: Layout, lead_bins: int, lag_bins: int, order: int, history: int = 0, tuned=None):
        self.layout = layout
        self.lead_bins, self.lag_bins, self.order, self.history = lead_bins, lag_bins, order, history
        self.window_bins = max(lead_bins + lag_bins + 1, order)
        dims = layout.dims
        self.size = dims * self.window_bins
        self.tuned = np.array(
            [bin_ * dims + d for bin_ in range(lead_bins + lag_bins + 1) for d in (tuned or range(dims))]
        )
        self._now = slice(lead_bins * dims, (lead_bins + 1) * dims)
        self._ready = False
        self._centre = np.zeros(self.size)

    def publish(self, weight: float, mean: np.ndarray, gram: np.ndarray) -> None:
        """Take parameters from the moments; the state goes on."""
        layout, window = self.layout, self._window()
        self._fit_dynamics(weight, gram)
        self._fit_tuning(weight, mean, gram, self._tuning_window())
        centre = np.tile(mean[window[: layout.dims]], self.window_bins)
        prior = gram[np.ix_(window, window)] / weight
        self._prior = prior + np.eye(self.size) * 1e-9 * np.trace(prior) / self.size
        self._settled = self._updated(
            settled_covariance(self._transition, self._drive, self._information, self.DOUBLINGS)
        )
        self._after_jump: list[np.ndarray] | None = None
        self._path: list[np.ndarray] | None = None
        if not self._ready:
            self._mean = np.zeros(self.size)
        else:
            self._mean += self._centre - centre
        self._centre = centre
        self._ready = True

    def parameters(self) -> dict[str, np.ndarray]:
        """Return what was published."""
        return {name: getattr(self, name) for name in self.PARAMETERS}

    def take(self, parameters: dict[str, np.ndarray]) -> None:
        """Take :meth:`parameters` of before, in place of publishing from moments."""
        for name in self.PARAMETERS:
            setattr(self, name, parameters[name])
        self._after_jump = self._path = None
        self._ready = True
        self.reset()

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        path = None if self._path is None else [self._path[self._along].copy(), self._along]
        return {"mean": self._mean.copy(), "path": path}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._mean[:], self._path = snapshot["mean"], None
        if snapshot["path"] is not None:
            covariance, self._along = snapshot["path"]
            self._path = [covariance.copy()] * (self._along + 1)

    def _window(self):
        return (self.layout.lead_bins - self.lead_bins) * self.layout.dims + np.arange(self.size)

    def _tuning_window(self):
        return self._window()

    def _fit_dynamics(self, weight, gram):
        dims = self.layout.dims
        newest = np.arange(dims)
        past = np.arange(dims, dims * (self.order + 1))
        scale = np.diag(gram)[past]
        weights, residual = regress(gram, past, newest, 1e-6 * scale + 1e-12 * scale.max() + 1e-300)
        self._transition = np.zeros((self.size, self.size))
        self._transition[:dims, : dims * self.order] = weights.T
        self._transition[dims:, :-dims] = np.eye(self.size - dims)
        self._drive = np.zeros_like(self._transition)
        self._drive[:dims, :dims] = residual / weight

    def _fit_tuning(self, weight, mean, gram, window):
        layout = self.layout
        units = np.arange(layout.units) + layout.kinematic_size
        past = np.arange(layout.units * self.history) + layout.kinematic_size + layout.units
        inputs = np.concatenate([window[self.tuned], past])
        diagonal = np.diag(gram)
        kinematic = self.TUNING_PENALTY * diagonal[window[self.tuned]].mean()
        history = self.HISTORY_PENALTY_BINS * diagonal[units].mean() / weight
        penalty = np.concatenate([np.full(len(self.tuned), kinematic), np.full(len(past), history)]) + 1e-300
        weights, residual = regress(gram, inputs, units, penalty)
        noise = _shrunk(residual / weight, weight) if self.SHRINK else _plain(residual / weight)
        tuning = np.zeros((layout.units, self.size))
        tuning[:, self.tuned] = weights[: len(self.tuned)].T
        gain = solve_positive(noise, 0.0, tuning).T
        self._information = gain @ tuning
        self._evidence = np.hstack([gain, -gain @ weights[len(self.tuned) :].T])
        self._evidence_offset = self._evidence @ mean[np.concatenate([units, past])]

    def reset(self) -> None:
        """Forget the state, keep the parameters."""
        if self._ready:
            self._mean = np.zeros(self.size)
            self._follow([self._prior])

    def jump(self, shift_mean: np.ndarray, shift_covariance: np.ndarray) -> None:
        """The position jumps to around `shift_mean` (both of the position): all bins of the window shift together.

        The covariance just before a jump is taken as settled, so that its path after a jump is computed once per
        publication and every bin costs the same.
        """
        if not self._ready:
            return
        dims, now = self.layout.dims, self._now.start
        axes = len(shift_mean)
        pattern = np.zeros((self.size, axes))
        for axis in range(axes):
            pattern[axis::dims, axis] = 1.0
        forget = np.eye(self.size) - pattern @ np.eye(self.size)[now : now + axes]
        self._mean = forget @ self._mean + pattern @ (shift_mean - self._centre[:axes])
        if self._after_jump is None:
            start = forget @ self._settled @ forget.T + pattern @ shift_covariance @ pattern.T
            self._after_jump = [0.5 * (start + start.T)]
        self._follow(self._after_jump)

    def step(self, windows: np.ndarray) -> np.ndarray:
        """Process one bin and return the kinematics of the present bin, shape (dims,)."""
        used = windows[: self.layout.units * (self.history + 1)]
        evidence = self._evidence @ used - self._evidence_offset
        predicted = self._transition @ self._mean
        self._mean = predicted + self._next_covariance() @ (evidence - self._information @ predicted)
        return self._mean[self._now] + self._centre[self._now]

    def _follow(self, path):
        """Let the covariance follow `path`, which is made as far as it is needed, and settle at its end."""
        self._path, self._along = path, 0

    def _next_covariance(self):
        if self._path is None:
            return self._settled
        if self._along + 1 == len(self._path):
            before = self._path[-1]
            self._path.append(self._updated(self._transition @ before @ self._transition.T + self._drive))
        self._along += 1
        covariance = self._path[self._along]
        if self._along == self.TRANSIENT_BINS:
            self._path = None
        return covariance

    def _updated(self, predicted):
        """Return the covariance after a bin of evidence, from the one before it."""
        after = np.linalg.solve(np.eye(self.size) + predicted @ self._information, predicted)
        return 0.5 * (after + after.T)

    def anchor(self, known: np.ndarray) -> None:
        """Condition on the known kinematics of the present bin (the last one that was recorded)."""
        if not self._ready:
            return
        covariance = self._settled if self._path is None else self._path[self._along]
        noise = 1e-6 * np.diag(self._prior)[self._now]
        block = covariance[:, self._now]
        gain = np.linalg.solve(block[self._now] + np.diag(noise + 1e-300), block.T).T
        self._mean = self._mean + gain @ (known - self._centre[self._now] - self._mean[self._now])
        after = covariance - gain @ block.T
        self._follow([0.5 * (after + after.T)])


def settled_covariance(transition, drive, information, doublings: int) -> np.ndarray:
    """Return the predicted covariance of a Kalman filter after ``2 ** doublings`` bins, started at certainty.

    The doubling algorithm for ``P <- A (P^-1 + M)^-1 A' + Q`` (Anderson 1978, Int. J. Control 28:295), which stays
    finite where some direction is never observed.

    Parameters
    ----------
    transition, drive, information : ndarray, shape (n, n)
        A, Q and the information M of one bin.
    """
    through, seen, covariance = transition.T, information, drive
    identity = np.eye(len(drive))
    for _ in range(doublings):
        both = np.linalg.solve(identity + seen @ covariance, np.hstack([through, seen @ through.T]))
        left, right = both[:, : len(drive)], both[:, len(drive) :]
        covariance = covariance + through.T @ covariance @ left
        seen = seen + through @ right
        through = through @ left
        covariance, seen = 0.5 * (covariance + covariance.T), 0.5 * (seen + seen.T)
    return covariance


def _shrunk(noise, weight):
    """Return the noise covariance pulled toward its diagonal, the more the fewer bins per unit; never singular."""
    units = len(noise)
    toward = min(1.0, 0.03 + units / (units + weight))
    diagonal = np.diag(noise)
    floor = 1.0 / weight + 1e-3 * diagonal.mean() + 1e-12
    return (1.0 - toward) * noise + np.diag(toward * diagonal + floor)


def _plain(noise):
    """Return the noise covariance as it is, but for what makes it invertible with silent or duplicate units."""
    return noise + np.eye(len(noise)) * (1e-6 * np.trace(noise) / len(noise) + 1e-9)


class DelayedKalman(LaggedTuning):
    """The plain Kalman filter: state of one bin, counts of `delay_bins` ago, first-order dynamics."""

    TUNING_PENALTY = 1e-9
    SHRINK = False
    PARAMETERS = (*LaggedTuning.PARAMETERS, "_blank")

    def __init__(self, layout: Layout, delay_bins: int):
        super().__init__(layout, 0, 0, 1)
        self.delay_bins = delay_bins
        self._queue: list[np.ndarray] = []

    def publish(self, weight, mean, gram):
        """Take parameters from the moments; the tuning is to the kinematics `delay_bins` ahead of the counts."""
        super().publish(weight, mean, gram)
        self._blank = mean[self.layout.counts(0, 1)]

    def _tuning_window(self):
        return (self.layout.lead_bins - self.delay_bins) * self.layout.dims + np.arange(self.layout.dims)

    def reset(self):
        """Forget the state and the counts that wait."""
        super().reset()
        self._queue = []

    def snapshot(self):
        """Return copies of what the next bin depends on, the counts that wait among it."""
        return super().snapshot() | {"queue": [counts.copy() for counts in self._queue]}

    def restore(self, snapshot):
        """Restore state saved by :meth:`snapshot`."""
        super().restore(snapshot)
        self._queue = [counts.copy() for counts in snapshot["queue"]]

    def step(self, windows):
        """Process one bin."""
        self._queue.append(windows[: self.layout.units].copy())
        ready = self._queue.pop(0) if len(self._queue) > self.delay_bins else self._blank
        return super().step(ready)


class DirectRegression:
    """Ridge regression from the windows of past counts to the kinematics of the present bin.

    Parameters
    ----------
    layout : Layout
    penalty : float
        Relative to the mean sum of squares of an input.
    """

    def __init__(self, layout: Layout, penalty: float):
        self.layout = layout
        self.penalty = penalty

    def publish(self, weight, mean, gram):
        """Take parameters from the moments."""
        layout = self.layout
        inputs, now = layout.counts(0, layout.windows), layout.now()
        own = gram[inputs, inputs]
        scale = self.penalty * np.trace(own) / len(own) + 1e-12
        weights = solve_positive(own, scale, gram[inputs, now])
        self._weights = weights.T.copy()
        self._offset = mean[now] - self._weights @ mean[inputs]

    def parameters(self) -> dict[str, np.ndarray]:
        """Return what was published."""
        return {"_weights": self._weights, "_offset": self._offset}

    def take(self, parameters: dict[str, np.ndarray]) -> None:
        """Take :meth:`parameters` of before, in place of publishing from moments."""
        self._weights, self._offset = parameters["_weights"], parameters["_offset"]

    def snapshot(self) -> dict[str, Any]:
        """Return nothing: no state."""
        return {}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Do nothing: no state."""

    def reset(self):
        """Nothing to forget: the windows of counts are kept by the decoder."""

    def jump(self, shift_mean, shift_covariance):
        """Nothing to forget."""

    def anchor(self, known):
        """Nothing to set."""

    def step(self, windows):
        """Return the kinematics of the present bin, shape (dims,)."""
        return self._weights @ windows + self._offset
