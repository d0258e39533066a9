"""The history decoder: adapts to recorded kinematics bin by bin, uses spike history and lagged tuning.

Three kinds of experts read the same recursively updated moments (:mod:`bmi_runtime.decoding.moments`): encoding models
whose tuning spans a window of kinematics, inverted by a Kalman filter; plain Kalman filters with a lead; regressions on
windows of past counts. Each comes with all bins weighed alike and with recent bins weighing more. What the session
decodes with is *published* from the moments at geometrically spaced bins (a quarter more data each time), so that every
bin but the first few is decoded by parameters that did not see it, as late as in use; the errors made there set the
weights of the mixture (`decoding.expert_mixture`). No hyper-parameter is set by anything but those bins.
"""

import numpy as np

from bmi_runtime.decoding.cubic_correction import CubicCorrection
from bmi_runtime.decoding.expert_mixture import Mixture
from bmi_runtime.decoding.history_experts import DelayedKalman, DirectRegression, LaggedTuning, Layout
from bmi_runtime.decoding.moments import JointMoments
from bmi_runtime.kernels.history import box_windows, simplex_weights

LEAD_S, LAG_S = 0.2, 0.15  # of kinematics ahead of and behind the counts, to which units are tuned
WIDER_EDGES_S = (0.25, 0.35, 0.5)  # of the windows after three single bins of 50 ms
LARGEST_INPUT = 1500  # windows times units; fewer windows where there are many units
PENALTIES = (0.05, 0.3, 2.0)  # of ridge regressions, side by side
GROWTH = 1.25  # of the data from one publication to the next
FIRST_PUBLICATION_BINS = 40  # before which the mean is answered
RECENT = 3.0  # exponent of (i / n), by which bin i of n weighs in the second set of moments


def window_edges_bins(bin_s: float, units: int) -> np.ndarray:
    """Return the edges of the count windows, in bins: single bins first, then wider ones, half a second in all."""
    edges = [0, 1, 2, 3]
    scale = max(bin_s, 0.05) / bin_s
    for edge_s in WIDER_EDGES_S:
        edges.append(max(edges[-1] + 1, round(edge_s / 0.05 * scale)))
    windows = int(np.clip(LARGEST_INPUT // units, 1, len(edges) - 1))
    if windows < len(edges) - 1:
        edges = [*edges[:windows], edges[-1]]
    return np.array(edges, dtype=np.int64)


class HistoryDecoder:
    """Causal adaptive decoder of position and velocity from spike counts.

    Parameters
    ----------
    units : int
        Number of units.
    bin_s : float
        Bin width, s.
    has_position : bool
        Whether kinematics hold a position; without it the decoded position is NaN.
    n_axes : int
        Of the movement.
    """

    def __init__(self, units: int, bin_s: float, has_position: bool = True, n_axes: int = 2):
        self.bin_s, self.n_axes, self.has_position = bin_s, n_axes, has_position
        self.dims = 2 * n_axes if has_position else n_axes
        self.variance = np.full(2 * n_axes, np.nan)
        edges = window_edges_bins(bin_s, units)
        lead = int(np.clip(round(LEAD_S / bin_s), 4, 10))
        lag = int(np.clip(round(LAG_S / bin_s), 3, 8))
        self.layout = Layout(self.dims, lead, lag, units, len(edges) - 1)
        self._edges = edges
        self._scale = 1.0 / np.sqrt(np.diff(edges))
        self._ring = np.zeros((int(edges[-1]), units))
        self._head = 0
        self._windows = np.zeros(self.layout.windows * units)
        self._make_experts()
        plain = [i for i, (_, expert) in enumerate(self._experts) if isinstance(expert, DelayedKalman)]
        self._mixture = Mixture(len(self._experts), self.dims, plain)
        self._cubic = CubicCorrection(self.dims)
        self._learned, self._next_publication = 0, FIRST_PUBLICATION_BINS
        self._published = False
        self._mean_counts, self._seen = np.zeros(units), 0
        self._mean_kinematics, self._known = np.zeros(self.dims), None
        self._kinematics: list[np.ndarray] = []
        self._past_windows: list[np.ndarray] = []
        self._offsets: list[np.ndarray] = []
        self._offset = np.zeros(n_axes)
        self._starting = False
        self._step_ratio = np.array([0.0, 1e-12])
        self._starts: list[np.ndarray] = []

    def _make_experts(self):
        layout, lead, lag = self.layout, self.layout.lead_bins, self.layout.lag_bins
        size = 1 + layout.kinematic_size + layout.windows * layout.units
        self._moments = [JointMoments(size, 0.0), JointMoments(size, RECENT)]
        velocity = list(range(self.dims))[-self.n_axes :]
        order = 4
        self._experts: list[tuple[int, LaggedTuning | DirectRegression]] = []
        for memory in (0, 1):
            group: list[LaggedTuning | DirectRegression] = [LaggedTuning(layout, lead, lag, order)]
            if layout.windows >= 3:
                group.append(LaggedTuning(layout, lead, lag, order, history=2))
            if self.has_position:
                group.append(LaggedTuning(layout, lead, lag, order, tuned=velocity))
                group.append(LaggedTuning(layout, lead, lag, order, history=min(2, layout.windows - 1), tuned=velocity))
            group += [DirectRegression(layout, penalty) for penalty in PENALTIES]
            if memory == 0:
                group += [DelayedKalman(layout, delay) for delay in range(min(lead, 4) + 1)]
            self._experts += [(memory, expert) for expert in group]

    def warm_up(self) -> None:
        """Compile (or load) the kernels, so that the first bin is as quick as the rest."""
        box_windows(self._ring, self._head, self._edges, self._scale, self._windows)
        simplex_weights(np.eye(2), 1, np.full(2, 0.5), np.empty(2))

    def reset(self) -> None:
        """Forget the state and the counts before; keep the parameters."""
        self._ring[:] = self._mean_counts
        for _, expert in self._experts:
            expert.reset()
        self._kinematics, self._past_windows, self._offsets = [], [], []
        self._starting = True

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: the trajectory jumps before the next bin."""
        self._starting = True
        if self.has_position and self._published and len(self._starts) >= max(5, self.n_axes + 2):
            starts = np.array(self._starts)
            for _, expert in self._experts:
                expert.jump(starts.mean(axis=0), np.atleast_2d(np.cov(starts.T)))

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin of counts in and return positions, then velocities."""
        self._head = (self._head + 1) % len(self._ring)
        self._ring[self._head] = counts
        box_windows(self._ring, self._head, self._edges, self._scale, self._windows)
        state = np.full(2 * self.n_axes, np.nan)
        if not self._published:
            state[-self.dims :] = self._mean_kinematics
            return state
        self._estimates = np.array([expert.step(self._windows) for _, expert in self._experts])
        self._combined = self._mixture.combine(self._estimates)
        state[-self.dims :] = self._cubic.apply(self._combined)
        return state

    def learn(self, counts: np.ndarray, kinematics: np.ndarray) -> None:
        """Learn from the recorded positions and velocities of the bin that was just predicted."""
        truth = np.array(kinematics[-self.dims :], dtype=float)  # a copy: what came may be the memory of one bin
        self._seen += 1
        self._mean_counts += (counts - self._mean_counts) / self._seen
        known = bool(np.isfinite(truth).all())
        if known and self._published:
            self._mixture.learn(self._estimates, truth)
            self._cubic.learn(self._combined, truth)
        self._remember(truth, known)
        if self._learned >= self._next_publication:
            self._publish()
            self._next_publication = int(np.ceil(self._learned * GROWTH))

    def _remember(self, truth, known):
        """Put the bin at the end of the window; a whole window gives the counts in its middle their regressors."""
        layout = self.layout
        if not known:
            self._kinematics, self._past_windows, self._offsets, self._known = [], [], [], None
            self._starting = True
            return
        self._mean_kinematics += (truth - self._mean_kinematics) / max(self._learned + 1, 1)
        unwrapped, n = truth.copy(), self.n_axes
        if self.has_position:
            position, velocity = truth[:n], truth[n:]
            if self._starting:
                self._starts.append(position.copy())
            if self._kinematics and self._starting:
                expected = self._kinematics[0][:n] + self._step_s() * velocity
                self._offset = position - expected
            elif not self._kinematics:
                self._offset = np.zeros(n)
            elif self._known is not None:
                self._step_ratio += [(position - self._known[:n]) @ velocity, velocity @ velocity]
            unwrapped[:n] -= self._offset
        self._starting, self._known = False, truth
        self._kinematics.insert(0, unwrapped)
        self._offsets.insert(0, self._offset.copy())
        self._past_windows.insert(0, self._windows.copy())
        if len(self._kinematics) < layout.window_bins:
            return
        window = np.array(self._kinematics)
        if self.has_position:
            window[:, :n] += self._offsets[layout.lead_bins]
        z = np.concatenate([[1.0], window.ravel(), self._past_windows[layout.lead_bins]])
        for moments in self._moments:
            moments.add(z)
        self._learned += 1
        for queue in (self._kinematics, self._offsets, self._past_windows):
            queue.pop()

    def _step_s(self):
        return self._step_ratio[0] / self._step_ratio[1] if self._step_ratio[0] > 0 else self.bin_s

    def _publish(self):
        for memory, moments in enumerate(self._moments):
            centred = moments.centred()
            for owner, expert in self._experts:
                if owner == memory:
                    expert.publish(*centred)
        self._mixture.refresh()
        self._cubic.publish()
        self._published = True
        if self._known is not None:
            for _, expert in self._experts:
                expert.anchor(self._known)

    def freeze(self) -> None:
        """End learning: publish what was learned so far, and start from the last kinematics that are known."""
        if self._learned >= 2:
            self._publish()
