"""The steady error with the scores that a pilot really has: overdispersed, correlated in time, and not the model's.

The closed form takes a unit's score s_t (the gradient of a bin's log likelihood) as white with the model's covariance.
On real neurons it is neither. With gains k, the filter's variances p, and the measured autocovariance G(l) of the
scores in the modes of the information, G_ab(l) = E s_a(t + l) s_b(t), the averaged filter's error covariance is

    E_ab = p_a p_b / (1 - (1-k_a)(1-k_b)) * [G_ab(0) + sum_(l>=1) ((1-k_b)^l G_ab(l) + (1-k_a)^l G_ba(l))]

(derived: the error in a mode is the sum of (1-k_a)^q p_a s_a(t-q)). Five choices make it hold on recordings; each was
tried on several (`bmi figures real`; docs/calibration.md says with what result):

**Lags and taper.** All lags, weighted with 1/bins: the filter's own memory (1-k)^l is the lag window. A shorter one
changes little at fast rates, and at slow ones it leaves out correlations that the weights do follow.

**The length of the pilot.** Weights fitted to the pilot take out what is slower than it. Of white scores the share
1 - f(k T), f(x) = 1 - (2/x)(1 - (1 - e^-x)/x), is missing after T bins; it is put back, up to a session of
`SESSION_S`, as the error is that around the best fixed weights of such a session: slower wandering is drift, not
scatter. Below `LEAST_MEMORIES` of a mode in the pilot, the inflation is that of the slowest memory that it shows.

**Drift.** A unit whose scores stay correlated over minutes has changed. Its weights follow, which the covariance above
counts as scatter, as anybody would who looks at them. A wish is solved with the scatter alone (`scatter=True`): of such
a unit, the scores left by the best weights of every `STRETCH_S` (one Newton step from those of the whole pilot) say how
much it scatters, with what so short a stretch hides put back.

**Shrinkage.** Each unit's inflation over the closed form is drawn, in the logarithm, toward that of the other units,
the more the fewer memories of a mode the pilot holds and the less units differ (empirical Bayes, variance between units
by the method of Paule and Mandel 1982). White scores would give a relative sampling variance of 2 / (k T); taken as
four times smaller it does better on the same bins, whose chance is in them as well. Intervals, which are about other
bins, take the whole.

**The averaging.** At fast rates a filter's gain rises and falls within a reach, and the scores with it. The ratio of
the scatter through the actual gains to that through the averaged ones, driven by the same scores, is applied last.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.beyond_linear import Departure, largest_error
from bmi_runtime.calibration.closed_form import Information, SteadyState, information, rotate, steady_state
from bmi_runtime.calibration.exact_recursion import alike_bins, pack
from bmi_runtime.calibration.pilot import PilotFit
from bmi_runtime.calibration.score_sums import ScoreSums
from bmi_runtime.calibration.shrinkage import shrunk_toward_mean
from bmi_runtime.calibration.stretches import Stretch, share_left

SESSION_S = 300.0  # the error is around the best fixed weights of a session this long, or of a longer pilot
LEAST_MEMORIES = 3.0  # of a mode within the pilot: below, a slower rate inherits the inflation of this one
NOISE = 0.5  # what shrinkage takes for SAMPLING; of 0.5, 1 and 2 the best on recordings
SAMPLING = 2.0  # variance of a mode's estimate, relative, times k T (of white scores; derived)
STRETCH_S = 60.0  # within which a drifting unit's scatter is told from its changes
DRIFT_MEMORIES = 6.0  # of the slow memory within the pilot, that drift is looked for at
DRIFT_RATIOS = ((15.0, 4.0), (1.5, 10.0))  # memory (s), and how much that one's inflation exceeds this one's then
SHORTEST_S = 240.0  # pilots in which drift is looked for
BURN_MEMORIES, MOST_BURN = 3.0, 0.2  # left out at the start: times the longest memory, at most this share
RATIO_LIMITS = (0.1, 10.0)  # to which the ratio of the actual to the averaged scatter is held
GRID_PER_DECADE = 2  # rates at which the averaging is checked


def burn_in_bins(bins: int, state: SteadyState) -> int:
    """Return how many bins pass until the start is forgotten, of so many that there are."""
    return int(min(MOST_BURN * bins, BURN_MEMORIES / state.gain.min()))


@dataclass(frozen=True)
class Inflation:
    """How much larger the error is than the closed form says, in the modes of every unit.

    Attributes
    ----------
    in_modes : ndarray, (units, d, d)
        The measured error covariance in the modes, before shrinkage and averaging.
    log_ratio, noise, shrunk, uncertainty : ndarray, (units, d)
        Logarithm of measured over closed form in every mode, its sampling variance, the value after shrinkage, and the
        standard error of that.
    memories : ndarray, (units, d)
        Memories of each mode within the pilot.
    """

    in_modes: np.ndarray
    log_ratio: np.ndarray
    noise: np.ndarray
    shrunk: np.ndarray
    uncertainty: np.ndarray
    memories: np.ndarray


class MeasuredScores:
    """A pilot's scores, and the errors that they lead to at any learning rate.

    Parameters
    ----------
    fit : PilotFit
    session_s : float
        Length of the session whose best fixed weights the error is around (at least the pilot's).
    """

    def __init__(self, fit: PilotFit, session_s: float = SESSION_S):
        design, pilot = fit.design, fit.pilot
        self.design = design
        self.info: Information = information(design)
        self.pilot = pilot
        self.bins = len(pilot.counts)
        self.session_bins = max(session_s / design.bin_s, self.bins)
        if design.likelihood == "gaussian":
            self._gains, self._scale = np.zeros_like(design.weights), 1.0 / design.noise
            innovation = (pilot.counts - pilot.linear_predictor(design.weights)) / design.noise
        else:
            self._gains, self._scale = design.weights, np.full(design.units, design.bin_s)
            innovation = pilot.counts - design.expected_counts()
        self.innovation = np.ascontiguousarray(innovation.T)
        self._ratios: dict[int, np.ndarray] = {}
        self._sums = ScoreSums(pilot, self.info, self.innovation)

    def inflation(self, state: SteadyState, scatter: bool = False) -> Inflation:
        """Return the inflation of every mode at a steady state, shrunk toward that of the other units.

        Parameters
        ----------
        state : SteadyState
        scatter : bool
            Of drifting units (:attr:`drifting`), leave out what their changes add.
        """
        memories = state.gain * self.bins
        gain = self._shown(state.gain)
        sums = self._lagged(gain)
        p, k = state.filter_variance, state.gain
        in_modes = p[:, :, None] * p[:, None, :] * sums / _both(k)
        closed = p / (2.0 - k)
        log_ratio = np.log(np.maximum(np.diagonal(in_modes, axis1=1, axis2=2) / closed, 1e-6))
        noise, x = np.log1p(NOISE / (gain * self.bins)), log_ratio
        if scatter:
            x = np.where(self.drifting[:, None], np.log(self._ratio_within(state.gain)), x)
        shrunk, uncertainty = shrunk_toward_mean(x, noise, np.log1p(SAMPLING / (gain * self.bins)))
        return Inflation(in_modes, log_ratio, noise, shrunk, uncertainty, memories)

    def _shown(self, gain: np.ndarray) -> np.ndarray:
        """Return the gains of modes, or of the slowest memory that the pilot shows, whose inflation they inherit."""
        return np.clip(np.maximum(gain, LEAST_MEMORIES / self.bins), 0.0, 1.0)

    def block_inflation(self, bins: float) -> np.ndarray:
        """Return the variance of the scores' sum over a block over the model's, in every mode, (units, d).

        Shrunk toward the other units', as :meth:`inflation`, without what drift adds. A block of which the pilot holds
        fewer than `LEAST_MEMORIES` inherits the inflation of the longest that it shows.
        """
        gain = np.full_like(self.info.eigenvalues, min(max(2.0 / bins, LEAST_MEMORIES / self.bins), 1.0))
        found = np.diagonal(self._lagged(gain), axis1=1, axis2=2) / self.info.eigenvalues
        found = np.where(self.drifting[:, None], self._ratio_within(gain), found)
        noise = np.log1p(NOISE / (gain * self.bins))
        return np.exp(shrunk_toward_mean(np.log(np.maximum(found, 1e-6)), noise, noise)[0])

    @functools.cached_property
    def drifting(self) -> np.ndarray:
        """Which units' scores stay correlated for so long that their tuning must have changed meanwhile, (units,)."""
        slow, flat = DRIFT_MEMORIES / self.bins, np.ones_like(self.info.eigenvalues)
        found = np.zeros(self.design.units, dtype=bool)
        if self.bins * self.design.bin_s < SHORTEST_S:
            return found
        over = np.diagonal(self._lagged(slow * flat), axis1=1, axis2=2)
        for memory_s, ratio in DRIFT_RATIOS:
            quick = np.diagonal(self._lagged(min(self.design.bin_s / memory_s, 1.0) * flat), axis1=1, axis2=2)
            found |= (over > ratio * quick).any(axis=1)
        return found

    def error_covariance(
        self, state: SteadyState, averaging: bool = True, scatter: bool = False, stretch: Stretch | None = None
    ) -> np.ndarray:
        """Return the error covariance of every unit at a steady state, (units, d, d).

        Parameters
        ----------
        state : SteadyState
            Of :attr:`info`, at any rate.
        averaging : bool
            Whether to apply what the averaging over bins leaves out (one or two passes over the pilot).
        scatter : bool
            Of drifting units, leave out what their changes add.
        stretch : Stretch, optional
            Return the scatter around the weights' own mean in it, instead of the error in a session of `session_s`.
        """
        found = self.inflation(state, scatter)
        factor = np.exp(0.5 * (found.shrunk - found.log_ratio))
        if stretch is not None:
            factor *= np.sqrt(
                stretch.share(state.gain, self.bins) / share_left(self._shown(state.gain) * self.session_bins)
            )
        covariance = rotate(found.in_modes * factor[:, :, None] * factor[:, None, :], state.information.directions)
        if averaging:
            root = np.sqrt(self.averaging_ratio(state))
            covariance = covariance * root[:, :, None] * root[:, None, :]
        return covariance

    def largest_scatter(self, state: SteadyState, beyond: Departure | None = None) -> np.ndarray:
        """Return each unit's error variance in its worst direction, without what drift adds, (units,)."""
        return largest_error(self.error_covariance(state, scatter=True), state.rate, beyond)

    def averaging_ratio(self, state: SteadyState) -> np.ndarray:
        """Return the variance of every weight through the actual gains over that through averaged ones, (units, d).

        One pass over the pilot at each of two rates, half a decade apart, and a straight line between their logarithms.
        """
        step = GRID_PER_DECADE * float(np.log10(state.rate).mean())
        low = int(np.floor(step + 1e-9))
        share = max(step - low, 0.0)
        below = self._averaging_at(low)
        return below if share < 1e-6 else below ** (1.0 - share) * self._averaging_at(low + 1) ** share

    def _averaging_at(self, step: int) -> np.ndarray:
        """Return :meth:`averaging_ratio` at a rate of the grid, kept for the next call."""
        if step in self._ratios:
            return self._ratios[step]
        from bmi_runtime.kernels.calibration import NO_OWN
        from bmi_runtime.kernels.scores import scatter_ratio

        state = self.at(10.0 ** (step / GRID_PER_DECADE))
        every = alike_bins(self.design, state)
        burn = burn_in_bins(self.bins, state) // every
        ratio, covariance = np.empty(self.design.weights.shape), pack(state.filter_covariance)
        directions = state.information.directions.transpose(2, 1, 0)  # of modes
        pilot, own = self.pilot, NO_OWN if self.pilot.own is None else self.pilot.own  # own: then `every` is one
        modes, variance, kept = (
            np.ascontiguousarray(a) for a in (directions, state.filter_variance.T, state.kept.T**every)
        )
        scatter_ratio(
            np.ascontiguousarray(_added(pilot.regressors.T, every).T) / every, own, _added(self.innovation, every),
            self._gains.T.copy(), every * self._scale, every * state.rate, covariance, modes, variance, kept, burn,
            ratio,
        )  # fmt: skip
        self._ratios[step] = np.clip(ratio, *RATIO_LIMITS)
        return self._ratios[step]

    def interval(self, state: SteadyState, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Return the factors on a unit's error variance that the pilot's length leaves open, (units,) each.

        From the uncertainty of the inflation after shrinkage, in the logarithm, of each unit's least certain mode.
        """
        from scipy.special import ndtri

        spread = ndtri(0.5 + level / 2) * self.inflation(state).uncertainty.max(axis=1)
        return np.exp(-spread), np.exp(spread)

    def at(self, rate: float | np.ndarray) -> SteadyState:
        """Return the closed form's steady state at a rate, which the other methods take."""
        return steady_state(self.info, rate)

    def dispersion(self) -> np.ndarray:
        """Return the variance of each unit's score over the model's, (units,): 1 for Poisson counts, bursts above."""
        units, d = self.design.weights.shape
        lower, upper = np.tril_indices(d)
        squares = np.empty((units, d, d))
        for some, u in self.pilot.alike():
            sums = self.innovation[some] ** 2 @ (u[:, lower] * u[:, upper]) / self.bins
            squares[some][:, lower, upper] = squares[some][:, upper, lower] = sums
        inverse = np.linalg.inv(self.info.mean)
        return np.trace(inverse @ squares, axis1=1, axis2=2) / d

    def _lagged(self, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags in every mode, what the pilot's length hides put back, (units, d, d)."""
        out = self._sums.over_lags(gain)
        seen = np.sqrt(share_left(gain * self.bins) / share_left(gain * self.session_bins))
        return out / (seen[:, :, None] * seen[:, None, :])

    def _ratio_within(self, gain: np.ndarray) -> np.ndarray:
        """Return the inflation of drifting units by what they do within stretches, (units, d); 1 for the others."""
        return self._within(gain) / self.info.eigenvalues

    def _within(self, gain: np.ndarray) -> np.ndarray:
        """Return every mode's sum over lags within stretches of `STRETCH_S`, of drifting units, (units, d).

        A stretch's own best weights are taken off, one Newton step away, and what that hides is put back. The others
        have the information's eigenvalue, the sum of white scores.
        """
        stretches = max(int(self.bins * self.design.bin_s / STRETCH_S), 1)
        edges = np.linspace(0, self.bins, stretches + 1).astype(int)
        gain = np.minimum(np.maximum(gain, LEAST_MEMORIES * stretches / self.bins), 1.0)
        out = self.info.eigenvalues.copy()
        for group, regressors in self.pilot.alike():
            some = np.arange(self.design.units)[group]
            some = some[self.drifting[some]]
            if not some.size:
                continue
            gains, total = self._gains[some], np.zeros((len(some), gain.shape[1]))
            for rows in map(slice, edges[:-1], edges[1:]):
                u = np.ascontiguousarray(regressors[rows])
                weight = self._scale[some] * np.exp(u @ gains.T)
                x = self.innovation[some, rows]
                curvature = np.einsum("ti,tn,tj->nij", u, weight, u)
                step = np.linalg.pinv(curvature, hermitian=True) @ (x @ u)[:, :, None]
                left = np.ascontiguousarray(x - weight.T * (step[:, :, 0] @ u.T))
                sums = self._sums.over_lags_of(u, left, some, gain)
                total += len(u) * np.diagonal(sums, axis1=1, axis2=2)
            out[some] = total / self.bins / share_left(gain[some] * self.bins / stretches)
        return out


def _added(rows: np.ndarray, every: int) -> np.ndarray:
    """Return rows (n, bins) added up over every so many bins; what is left over at the end is left out."""
    bins = rows.shape[1] // every
    return rows if every == 1 else rows[:, : bins * every].reshape(len(rows), bins, every).sum(axis=2)


def _both(k: np.ndarray) -> np.ndarray:
    """Return 1 - (1 - k_a)(1 - k_b) without cancellation, (units, d, d)."""
    return k[:, :, None] + k[:, None, :] - k[:, :, None] * k[:, None, :]
