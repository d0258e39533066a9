"""A calibration from data: weights, noise and states estimated from a pilot, and what its shortness leaves open."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import Information, information
from bmi_runtime.calibration.design import Design, alike, check_movement, linear_predictor
from bmi_runtime.calibration.poisson_regression import poisson_weights
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput

BLOCK_S = 2.0  # of the bootstrap: about a reach, so that what is correlated within one stays together
LEAST_BLOCKS = 8  # whose scatter gives the intervals
LEAST_SPIKES = 30  # of a unit that is calibrated
MOST_BINS = 4_000  # of the states that a bootstrap's information is averaged over


@dataclass(frozen=True)
class Pilot:
    """Counts or features with the state that the units encoded meanwhile.

    Attributes
    ----------
    counts : ndarray, (bins, units)
    states : ndarray, (bins, dims)
        In the unit of the encoding model (velocity in dm/s).
    bin_s : float
    likelihood : {"gaussian", "poisson"}
    names : tuple of str
        Their index by default.
    left_out : tuple of str
        Units to leave out, by name.
    set_aside : tuple of (str, str)
        Units that nothing can be said about, with the reason; see :mod:`bmi_runtime.calibration.screening`.
    usable : ndarray of bool, (recorded bins,)
        Which of the bins that were given are kept: those with finite counts and states.
    told : tuple of str
        What was noticed, and done about it, when the pilot was read.
    kinds : Regressors, optional
        What the columns of `states` are, and which histories of its own a unit depends on; velocity by default.
    own : ndarray, (bins, histories, units), optional
        Those histories.
    """

    counts: np.ndarray
    states: np.ndarray
    bin_s: float
    likelihood: str
    names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    set_aside: tuple[tuple[str, str], ...] = ()
    usable: np.ndarray | None = None
    told: tuple[str, ...] = ()
    kinds: Regressors | None = None
    own: np.ndarray | None = None

    def __post_init__(self):
        counts, states = np.asarray(self.counts, dtype=np.float64), np.asarray(self.states, dtype=np.float64)
        if counts.ndim != 2 or len(counts) != len(states):
            raise BadInput(
                f"the pilot has counts of shape {counts.shape} for {len(states)} bins of states; they must agree"
            )
        usable = np.isfinite(states).all(axis=1) & np.isfinite(counts).all(axis=1)
        object.__setattr__(self, "states", states[usable])
        of_all = np.array(np.ones(len(counts)) if self.usable is None else self.usable, dtype=bool)
        of_all[np.flatnonzero(of_all)] = usable
        object.__setattr__(self, "usable", of_all)
        names = self.names or tuple(str(unit) for unit in range(counts.shape[1]))
        unknown = [name for name in self.left_out if name not in names]
        if unknown:
            raise BadInput(
                f"the pilot has no unit '{unknown[0]}' to leave out; its units are {names[0]} to {names[-1]}"
            )
        kept = [i for i, name in enumerate(names) if name not in self.left_out]
        if not kept:
            raise BadInput("every unit of the pilot is left out; keep at least one")
        object.__setattr__(self, "counts", counts[usable][:, kept])
        object.__setattr__(self, "names", tuple(names[i] for i in kept))
        if self.own is not None:
            object.__setattr__(self, "own", np.ascontiguousarray(self.own[usable][:, :, kept]))
        if self.kinds is None:
            object.__setattr__(self, "kinds", Regressors(self.states.shape[1]))
        seconds = len(self.states) * self.bin_s
        if seconds < LEAST_BLOCKS * BLOCK_S:
            raise BadInput(
                f"the pilot holds {seconds:.3g} s of usable bins; at least {LEAST_BLOCKS * BLOCK_S:g} s are needed"
            )
        check_movement(self.states)
        self._check_units()

    @property
    def regressors(self) -> np.ndarray:
        """(1, state) of every bin, (bins, 1 + dims); without what is a unit's own."""
        return np.column_stack([np.ones(len(self.states)), self.states])

    def alike(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the units that have all regressors in common, with those regressors, (bins, regressors)."""
        return alike(self.regressors, self.own, self.counts.shape[1])

    def linear_predictor(self, weights: np.ndarray) -> np.ndarray:
        """Return u'w of every bin and unit, (bins, units), for weights (units, regressors)."""
        return linear_predictor(self.regressors, self.own, weights)

    @property
    def velocity(self) -> slice:
        """Which columns of `states` are the velocity; none where rates do not depend on it."""
        assert self.kinds
        found = self.kinds.places.get("velocity", slice(1, 1))
        return slice(found.start - 1, found.stop - 1)

    @property
    def single(self) -> bool:
        """Whether no bin holds more than one spike."""
        return self.likelihood == "poisson" and bool(self.counts.max() <= 1)

    def _check_units(self):
        if self.likelihood == "gaussian":
            flat = np.flatnonzero(self.counts.std(axis=0) == 0)
            if flat.size:
                raise BadInput(f"unit {self.names[flat[0]]} never changes in the pilot; leave it out")
            return
        if self.counts.min() < 0 or np.any(self.counts != np.round(self.counts)):
            raise BadInput("the pilot's counts are not whole numbers of spikes; say --likelihood gaussian for features")
        few = [self.names[i] for i in np.flatnonzero(self.counts.sum(axis=0) < LEAST_SPIKES)]
        if few:
            spikes = self.counts[:, self.names.index(few[0])].sum()
            raise BadInput(
                f"unit {few[0]} has {spikes:g} spikes in the pilot, at least {LEAST_SPIKES} are needed; "
                f"use --leave-out {','.join(few)}"
            )


@dataclass(frozen=True)
class PilotFit:
    """The design that a pilot gives, with what is needed to resample it.

    Attributes
    ----------
    design : Design
    curvature : ndarray, (blocks, units, regressors, regressors)
        Information about the weights in each block of the pilot.
    score : ndarray, (blocks, units, regressors)
        Gradient of the log likelihood in each block, at the fitted weights.
    residual : ndarray, (blocks, units)
        Sum of squared residuals of each block (Gaussian).
    bins : ndarray, (blocks,)
    """

    design: Design
    pilot: Pilot
    curvature: np.ndarray
    score: np.ndarray
    residual: np.ndarray
    bins: np.ndarray

    def interval(
        self, quantity: Callable[[Design, Information], float], draws: int = 100, level: float = 0.9, seed: int = 1
    ) -> tuple[float, float]:
        """Return the interval of a calibration's quantity that reflects the pilot's uncertainty.

        A bootstrap over blocks of the pilot: each draw weighs the blocks as often as they are drawn, moves the weights
        by one Newton step (the one-step bootstrap) and averages the information again over the drawn states. The
        interval is moved, in the logarithm, so that its middle is the estimate itself: unequal blocks make the worst
        direction of a draw worse than that of the whole pilot, which would shift all draws to one side.

        Parameters
        ----------
        quantity : callable
            Takes a design and its information; returns a positive number, NaN where a draw has no answer.
        draws : int
        level : float
        seed : int

        Raises
        ------
        BadInput
            If fewer than half of the draws have an answer.
        """
        return self.intervals([quantity], draws, level, seed)[0]

    def intervals(
        self,
        quantities: Sequence[Callable[[Design, Information], float]],
        draws: int = 100,
        level: float = 0.9,
        seed: int = 1,
    ) -> list[tuple[float, float]]:
        """Return :meth:`interval` of several quantities, from the same draws."""
        rng = np.random.default_rng(seed)
        blocks = len(self.bins)
        values = np.full((len(quantities), draws), np.nan)
        for draw in range(draws):
            weight = rng.multinomial(blocks, np.full(blocks, 1 / blocks)).astype(np.float64)
            try:
                drawn = self._draw(weight)
            except (BadInput, np.linalg.LinAlgError):
                continue
            for row, quantity in zip(values, quantities, strict=True):
                with contextlib.suppress(BadInput, np.linalg.LinAlgError):
                    row[draw] = quantity(*drawn)
        whole = self.design, information(self.design)
        return [self._around(quantity(*whole), row, level) for quantity, row in zip(quantities, values, strict=True)]

    @staticmethod
    def _around(estimate: float, values: np.ndarray, level: float) -> tuple[float, float]:
        known = values[np.isfinite(values) & (values > 0)]
        if len(known) < len(values) / 2:
            raise BadInput(
                "the pilot is too short: most of its resamplings have no answer; record more, or leave units out"
            )
        low, middle, high = np.quantile(np.log(known), [(1 - level) / 2, 0.5, (1 + level) / 2])
        return float(estimate * np.exp(low - middle)), float(estimate * np.exp(high - middle))

    @functools.cached_property
    def _thinned(self) -> Design:
        """The design with as many states as a resampling's information is averaged over."""
        own = self.design.own
        return self.design.replaced(
            states=self.design.states[self._rows], own=None if own is None else np.ascontiguousarray(own[self._rows])
        )

    @property
    def _rows(self) -> slice:
        return slice(None, None, max(1, len(self.design.states) // MOST_BINS))

    def _draw(self, weight: np.ndarray) -> tuple[Design, Information]:
        """Return the design and information of one resampling."""
        design, bins = self._thinned, (weight * self.bins).sum()
        curvature = np.einsum("b,bnij->nij", weight, self.curvature)
        step = np.linalg.solve(curvature, np.einsum("b,bni->ni", weight, self.score)[:, :, None])[:, :, 0]
        if design.likelihood == "gaussian":
            noise = (
                np.einsum("b,bn->n", weight, self.residual) / bins
                - np.einsum("ni,nij,nj->n", step, curvature, step) * design.noise / bins
            )
            mean = curvature * (design.noise / noise)[:, None, None] / bins
            score = mean
            drawn = design.near(design.weights + step, noise)
        else:
            drawn = design.near(design.weights + step)
            mean, score = self._information(drawn, weight)
        values, directions = np.linalg.eigh(mean)
        return drawn, Information(mean, score, values, directions)

    def _information(self, design: Design, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return M and N of resampled spikes, averaged over some of the bins."""
        of_bin = np.repeat(weight, self.bins.astype(int))[self._rows]
        of_bin /= of_bin.sum()
        expected, d = design.expected_counts(), design.weights.shape[1]
        design.check_ceiling(expected.max(axis=0) / design.bin_s)
        lower, upper = np.tril_indices(d)
        full = np.zeros((2, design.units, d, d))
        for units, u in design.alike():
            products = u[:, lower] * u[:, upper] * of_bin[:, None]
            sums = [expected[:, units].T @ products]
            fewer = (expected[:, units] ** 2).T @ products if design.counts == "bernoulli" else 0.0
            for matrix, values in zip(full, (sums[0], sums[0] - fewer)):
                matrix[units][:, lower, upper] = values
                matrix[units][:, upper, lower] = values
        return full[0], full[1]


def fit_pilot(pilot: Pilot, counts: str | None = None) -> PilotFit:
    """Estimate every unit's weights by maximum likelihood, and what a bootstrap needs.

    Parameters
    ----------
    pilot : Pilot
    counts : {"bernoulli", "poisson"}, optional
        By default Bernoulli where no bin of the pilot holds more than one spike.

    Raises
    ------
    BadInput
        If the states do not span every direction, or a unit's weights do not converge (it fires in one direction only).
    """
    y = pilot.counts
    kind = counts or ("bernoulli" if pilot.single else "poisson")
    if pilot.likelihood == "gaussian":
        weights = np.concatenate([np.linalg.lstsq(u, y[:, units], rcond=None)[0].T for units, u in pilot.alike()])
        residual = y - pilot.linear_predictor(weights)
        noise = (residual**2).sum(axis=0) / max(1, len(y) - weights.shape[1])
        design = Design(pilot.states, weights, pilot.bin_s, "gaussian", noise, names=pilot.names, own=pilot.own)
        scalar, innovation = np.broadcast_to(1 / noise, y.shape), residual / noise
    else:
        weights = poisson_weights(pilot.regressors, y, pilot.bin_s, pilot.names, pilot.own)
        assert pilot.kinds
        past_s = pilot.kinds.history_s[: pilot.kinds.n_history]
        design = Design(pilot.states, weights, pilot.bin_s, "poisson", None, kind, pilot.names, pilot.own, past_s)
        scalar = design.expected_counts()
        residual = innovation = y - scalar
    bins, d = len(y), weights.shape[1]
    starts = np.arange(0, bins, max(1, round(BLOCK_S / pilot.bin_s)))
    lower, upper = np.tril_indices(d)
    curvature = np.zeros((len(starts), design.units, d, d))
    score, squares = np.zeros((len(starts), design.units, d)), np.zeros((len(starts), design.units))
    ends = np.append(starts[1:], bins)
    for units, u in pilot.alike():
        for block, (start, end) in enumerate(zip(starts, ends)):
            rows = slice(start, end)
            values = scalar[rows, units].T @ (u[rows][:, lower] * u[rows][:, upper])
            curvature[block, units][:, lower, upper] = values
            curvature[block, units][:, upper, lower] = values
            score[block, units] = innovation[rows, units].T @ u[rows]
            squares[block, units] = (residual[rows, units] ** 2).sum(axis=0)
    return PilotFit(design, pilot, curvature, score, squares, np.diff(np.append(starts, bins)).astype(np.float64))
