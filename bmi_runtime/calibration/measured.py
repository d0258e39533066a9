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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import Information, SteadyState, information, rotate, steady_state
from bmi_runtime.calibration.exact_recursion import alike_bins, pack
from bmi_runtime.calibration.pilot import PilotFit

SESSION_S = 300.0  # the error is around the best fixed weights of a session this long, or of a longer pilot
LEAST_MEMORIES = 3.0  # of a mode within the pilot: below, a slower rate inherits the inflation of this one
NOISE = 0.5  # what shrinkage takes for SAMPLING; of 0.5, 1 and 2 the best on recordings
SAMPLING = 2.0  # variance of a mode's estimate, relative, times k T (of white scores; derived)
STRETCH_S = 60.0  # within which a drifting unit's scatter is told from its changes
DRIFT_MEMORIES = 6.0  # of the slow memory within the pilot, that drift is looked for at
DRIFT_RATIOS = ((15.0, 4.0), (1.5, 10.0))  # memory (s), and how much that one's inflation exceeds this one's then
SHORTEST_S = 240.0  # pilots in which drift is looked for
BLOCK_GAIN = 0.03  # scores are added up over so many bins that the largest gain times that many stays below this
AT_ONCE = 32  # units whose scores are added up at a time
MOST_KEPT = 64_000_000  # bytes of added-up scores that are kept for the next rate
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


@dataclass(frozen=True)
class Stretch:
    """Some bins that the filter runs along from the pilot's best weights on, and in which its weights are looked at.

    Attributes
    ----------
    burn, bins : int
        Left out at its start, and looked at.
    own : bool
        Whether these are the pilot's own bins, whose best weights the filter then starts from.
    """

    burn: int
    bins: int
    own: bool

    def share(self, gain: np.ndarray, pilot_bins: int) -> np.ndarray:
        """Return the variance of weights around their mean in the stretch, as a share of the error's in steady state.

        Of a mode with gain k whose scores are white over its memory, started at t = 0 without error: cov(s, t) =
        e^(-k|t-s|) - e^(-k(s+t)), averaged over the bins looked at, minus that of their mean. The pilot's best weights
        err by 2 / (k pilot_bins) of the steady variance, which decays as e^(-kt) where the bins are others. In its own
        bins they are the best: scores then sum to zero, which takes the same off (derived: a bridge). Checked by
        simulation in the tests.

        Parameters
        ----------
        gain : ndarray
        pilot_bins : int
        """
        k = np.maximum(gain, 1e-12)
        begin, end, length = k * self.burn, k * (self.burn + self.bins), np.maximum(k * self.bins, 1e-6)
        mean = (np.exp(-begin) - np.exp(-end)) / length
        square = (np.exp(-2.0 * begin) - np.exp(-2.0 * end)) / (2.0 * length)
        around = 2.0 / length * (1.0 + np.expm1(-length) / length)
        start = 2.0 / (k * pilot_bins) * (-1.0 if self.own else 1.0)
        return np.maximum(1.0 - square - around + mean**2 + start * (square - mean**2), 1e-9)


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
        self._summed: dict[int, np.ndarray] = {}

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
        shrunk, uncertainty = _shrunk(x, noise, np.log1p(SAMPLING / (gain * self.bins)))
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
        return np.exp(_shrunk(np.log(np.maximum(found, 1e-6)), noise, noise)[0])

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
            factor *= np.sqrt(stretch.share(state.gain, self.bins) / _left(self._shown(state.gain) * self.session_bins))
        covariance = rotate(found.in_modes * factor[:, :, None] * factor[:, None, :], state.information.directions)
        if averaging:
            root = np.sqrt(self.averaging_ratio(state))
            covariance = covariance * root[:, :, None] * root[:, None, :]
        return covariance

    def largest_scatter(self, state: SteadyState) -> np.ndarray:
        """Return each unit's error variance in its worst direction, without what drift adds, (units,)."""
        return np.linalg.eigvalsh(self.error_covariance(state, scatter=True))[:, -1]

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
        from bmi_runtime.kernels.scores import scatter_ratio

        state = self.at(10.0 ** (step / GRID_PER_DECADE))
        every = alike_bins(self.design, state)
        burn = burn_in_bins(self.bins, state) // every
        ratio, covariance = np.empty(self.design.weights.shape), pack(state.filter_covariance)
        directions = state.information.directions.transpose(1, 2, 0)
        for units, regressors in self.pilot.alike():
            gains, some, modes, variance, kept = (
                np.ascontiguousarray(a[..., units])
                for a in (self._gains.T, covariance, directions, state.filter_variance.T, state.kept.T)
            )
            scatter_ratio(
                np.ascontiguousarray(_added(regressors.T, every).T) / every, _added(self.innovation[units], every),
                gains, every * self._scale[units], every * state.rate[units], some, modes, variance, kept**every, burn,
                ratio[units],
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
        out = np.empty((*gain.shape, gain.shape[1]))
        block = _block(gain)
        for some, sums in self._blocks(block):
            out[some] = self._products(sums, block, self.bins, some, gain)
        seen = np.sqrt(_left(gain * self.bins) / _left(gain * self.session_bins))
        return out / (seen[:, :, None] * seen[:, None, :])

    def _sums(self, regressors: np.ndarray, innovation: np.ndarray, some, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags of some units' scores, as they are, (units, d, d)."""
        block = _block(gain)
        return self._products(summed(regressors, innovation, block), block, len(regressors), some, gain)

    def _products(self, sums: np.ndarray, block: int, bins: int, some, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags of some units' scores that are added up over blocks, (units, d, d)."""
        from bmi_runtime.kernels.scores import lagged_products

        d, directions = gain.shape[1], np.ascontiguousarray(self.info.directions[some])
        out = np.empty((len(sums), d, d))
        lagged_products(sums, directions, 1.0 - gain[some], block, bins, np.zeros(d), np.zeros(d), out)
        return out

    def _blocks(self, block: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield units with their scores added up over blocks; kept where many calls want the same of few numbers."""
        known = self._summed.get(block)
        if known is not None:
            yield slice(None), known
            return
        parts = []
        for units, regressors in self.pilot.alike():
            some = range(*units.indices(self.design.units))
            for first in range(0, len(some), AT_ONCE):
                chosen = slice(some[first], some[min(first + AT_ONCE, len(some)) - 1] + 1)
                parts.append(summed(regressors, self.innovation[chosen], block))
                yield chosen, parts[-1]
                if parts[-1].nbytes * self.design.units > MOST_KEPT * len(parts[-1]):
                    parts.pop()
        if parts:
            self._summed[block] = np.concatenate(parts)

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
                sums = self._sums(u, left, some, gain)
                total += len(u) * np.diagonal(sums, axis1=1, axis2=2)
            out[some] = total / self.bins / _left(gain[some] * self.bins / stretches)
        return out


def summed(regressors: np.ndarray, innovation: np.ndarray, block: int) -> np.ndarray:
    """Return the scores of units (units, bins) added up over blocks of bins, (units, blocks, d)."""
    from bmi_runtime.kernels.scores import summed_scores

    out = np.empty((len(innovation), -(-len(regressors) // block), regressors.shape[1]))
    summed_scores(regressors, innovation, block, out)
    return out


def _added(rows: np.ndarray, every: int) -> np.ndarray:
    """Return rows (n, bins) added up over every so many bins; what is left over at the end is left out."""
    bins = rows.shape[1] // every
    return rows if every == 1 else rows[:, : bins * every].reshape(len(rows), bins, every).sum(axis=2)


def _block(gain: np.ndarray) -> int:
    """Return over how many bins, a power of two, scores are added up for these gains."""
    return 2 ** int(np.log2(max(1.0, BLOCK_GAIN / gain.max())))


def _both(k: np.ndarray) -> np.ndarray:
    """Return 1 - (1 - k_a)(1 - k_b) without cancellation, (units, d, d)."""
    return k[:, :, None] + k[:, None, :] - k[:, :, None] * k[:, None, :]


def _left(x: np.ndarray) -> np.ndarray:
    """Return the share of the scatter that is left after a stretch's own mean is taken out, x memories long."""
    x = np.maximum(x, 1e-3)
    return np.maximum(1.0 - 2.0 / x * (1.0 + np.expm1(-x) / x), 1e-9)


def _shrunk(values: np.ndarray, noise: np.ndarray, sampling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw every column of values toward its mean over units; return the result and its standard error.

    Normal values around a common mean with an unknown variance between units, found so that the weighted squares equal
    their degrees of freedom (Paule and Mandel 1982). The logarithm of a variance is low by half of its sampling
    variance on average, which is added. The standard error is for `sampling`, which may be larger than the `noise` by
    which values are drawn.
    """
    units, columns = values.shape
    centred = values + 0.5 * noise
    if units < 2:
        return centred, np.sqrt(sampling)
    out, error = np.empty_like(values), np.empty_like(values)
    for column in range(columns):
        x, v = centred[:, column], noise[:, column]
        between = _between(x, v)
        weight = 1.0 / (v + between)
        mean = (weight * x).sum() / weight.sum()
        own = between / (between + v)
        out[:, column] = mean + own * (x - mean)
        error[:, column] = np.sqrt(own**2 * sampling[:, column] + (1.0 - own) ** 2 * (between + 1.0 / weight.sum()))
    return out, error


def _between(x: np.ndarray, v: np.ndarray) -> float:
    """Return the variance between units of values x with sampling variances v."""

    def excess(between):
        weight = 1.0 / (v + between)
        mean = (weight * x).sum() / weight.sum()
        return (weight * (x - mean) ** 2).sum() - (len(x) - 1)

    low, high = 0.0, float(x.var() * 4 + 1e-6)
    if excess(low) <= 0:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return 0.5 * (low + high)
