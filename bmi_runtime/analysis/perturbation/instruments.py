"""The randomisation that a session already contains as an instrument: which target came when was drawn by lot.

A target moves the units that are tuned to it, and these may move others. With the target (one indicator per target) as
instrument for what a source fired early in a trial, the targets' agreement gives the effect of one spike on what
another unit fired later, whatever drives both, *if* the target reaches the other unit through that source alone. That
condition fails for most pairs of tuned units, and unlike the strength of the instrument it can only be refuted, never
proved: with more targets than sources, the targets must agree on the effect (Sargan 1958; here in Hansen's form, which
allows unequal variances). Weak instruments are named, and every effect has the interval that remains true when they
are weak (Anderson & Rubin 1949).
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from scipy import stats

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import without_missing

STRONG_F = 23.1  # Montiel Olea & Pflueger 2013: bias below a tenth of the worst, at 5 %, one effective instrument
FEW_PER_TARGET = 5


@dataclasses.dataclass(frozen=True)
class Trials:
    """One row per trial: ``instrument`` (trials,) int, ``early`` and ``late`` counts (trials, units)."""

    instrument: np.ndarray
    early: np.ndarray
    late: np.ndarray


@dataclasses.dataclass(frozen=True)
class Instrumented:
    """Effects of one early spike of a source on the late count of a target, (sources, targets) but `first_stage_f`.

    Attributes
    ----------
    effect, error : ndarray
        On which the targets agree best, and its heteroskedastic standard error by two-stage least squares.
    low, high : ndarray
        Anderson-Rubin interval: all effects that the data do not refute. Unbounded where the instrument says nothing,
        NaN where every effect is refuted (then the target reached the unit by another way).
    first_stage_f : (sources,) ndarray
        How strongly targets move the source.
    p_other_ways : ndarray
        Hansen's J: small where the targets disagree on the effect, so reach the unit by other ways as well.
    """

    effect: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first_stage_f: np.ndarray
    p_other_ways: np.ndarray
    trials: int
    targets: int

    @property
    def weak(self) -> np.ndarray:
        """Whether each source is moved too little (sources,)."""
        return self.first_stage_f < STRONG_F


def of_targets(trials: Trials, confidence: float = 0.95) -> Instrumented:
    """Return the effects of all units on all others with the target as instrument.

    Raises
    ------
    BadInput
        When there are fewer than three targets (nothing could be refuted), or too few trials of one.
    """
    labels, which = np.unique(trials.instrument, return_inverse=True)
    if len(labels) < 3:
        raise BadInput(f"there are {len(labels)} different targets; at least 3 are needed to refute an instrument")
    least = np.bincount(which).min()
    if least < FEW_PER_TARGET:
        raise BadInput(f"one target came {least} times; at least {FEW_PER_TARGET} trials of each are needed")
    if not 0 < confidence < 1:
        raise BadInput(f"the confidence is {confidence:g}: it must lie between 0 and 1")
    indicator = (which[:, None] == np.arange(1, len(labels))).astype(float)
    instrument = indicator - indicator.mean(axis=0)
    late = trials.late - trials.late.mean(axis=0)
    rows = [_one_source(instrument, x - x.mean(), late, confidence) for x in trials.early.T.astype(float)]
    effect, error, low, high, strength, other = (np.array(part) for part in zip(*rows))
    np.fill_diagonal(effect, np.nan)
    return Instrumented(effect, error, low, high, strength, other, len(late), len(labels))


def _one_source(z: np.ndarray, x: np.ndarray, y: np.ndarray, confidence: float):
    """Return (effect, error, low, high, first-stage F, p of other ways) of one source on all units."""
    n, k = z.shape
    gram = np.linalg.inv(z.T @ z)
    slope = gram @ (z.T @ x)
    left = x - z @ slope
    scores = z * left[:, None]
    spread = gram @ (scores.T @ scores) @ gram * n / (n - k - 1)
    strength = float(slope @ np.linalg.pinv(spread) @ slope / k)
    fitted = z @ slope
    size = fitted @ x
    if not size > 0:
        nothing = np.full(y.shape[1], np.nan)
        return nothing, nothing, -np.inf * np.ones_like(nothing), np.inf * np.ones_like(nothing), 0.0, nothing
    effect = np.where(np.ptp(y, axis=0) > 0, fitted @ y / size, np.nan)
    residual = y - x[:, None] * effect
    error = np.sqrt(n / (n - k - 1) * (fitted**2) @ residual**2) / size
    found = [_compatible(z, x, y[:, i], effect[i], error[i], confidence) for i in range(y.shape[1])]
    effect, low, high, agree = np.array(found).T
    return effect, error, low, high, strength, agree


def _compatible(z, x, y, effect: float, error: float, confidence: float) -> tuple[float, float, float, float]:
    """Return the effect on which the targets agree best, the least and largest with which they are compatible, and the
    p-value that they agree at all.

    At an effect b the moments ``z'(y - b x)`` are zero but for chance; their size over the variance that ``y - b x``
    itself has is chi-square. Its least value is Hansen's J, where it is least is the estimate (continuous updating:
    Hansen, Heaton & Yaron 1996), and where it is below the limit is the interval (Anderson & Rubin 1949, as a score).
    Taken over the variance of what the targets leave, 95 % intervals of 60 to 108 trials of eight targets held 68 to
    85 % (counts of a few spikes: at some target a unit is silent by chance, and seems certain); this way 93 to 98 %.
    """
    if np.ptp(y) == 0 or not error > 0:
        return effect, np.nan, np.nan, np.nan  # a unit that always fires the same has nothing to explain
    b = effect + 40 * error * np.linspace(-1, 1, 401)
    outer = z[:, :, None] * z[:, None, :]
    of_y, of_both, of_x = (np.tensordot(part, outer, 1) for part in (y * y, x * y, x * x))
    variance = of_y - 2.0 * b[:, None, None] * of_both + (b * b)[:, None, None] * of_x
    moment = z.T @ y - b[:, None] * (z.T @ x)
    size = np.einsum("bi,bij,bj->b", moment, np.linalg.pinv(variance, hermitian=True), moment)
    best, limit = int(size.argmin()), stats.chi2.ppf(confidence, z.shape[1])
    agree, where = float(stats.chi2.sf(size[best], z.shape[1] - 1)), _lowest(b, size, best)
    inside = np.flatnonzero(size <= limit)
    if not inside.size:
        return where, np.nan, np.nan, agree
    low, high = (_crossing(b, size - limit, int(end), side) for end, side in ((inside[0], -1), (inside[-1], 1)))
    return where, low, high, agree


def _lowest(b: np.ndarray, size: np.ndarray, best: int) -> float:
    """Return where a curve is lowest, by the parabola through its lowest point and the two beside it.

    NaN where it still falls at an end: of so weak an instrument no effect is the likeliest.
    """
    if not 0 < best < len(b) - 1:
        return np.nan
    before, at, after = size[best - 1 : best + 2]
    bend = before - 2.0 * at + after
    return float(b[best] + (0.5 * (before - after) / bend * (b[1] - b[0]) if bend > 0.0 else 0.0))


def _crossing(b: np.ndarray, above: np.ndarray, end: int, side: int) -> float:
    """Return where a curve crosses zero beyond its last point `end` below it; infinite where the grid ends before."""
    if not 0 <= end + side < len(b):
        return side * np.inf
    share = -above[end] / (above[end + side] - above[end])
    return float(b[end] + share * (b[end + side] - b[end]))


def read_trials(path, early_s: tuple[float, float], late_s: tuple[float, float]) -> Trials:
    """Return the trials of a session (``.mcap``) or an ``.npz`` with the target of each and the counts of two windows.

    Parameters
    ----------
    path : path
        An ``.npz`` holds ``counts`` (bins x units), ``bin_s``, ``trial_start`` (bins) and ``target`` (a row per trial).
    early_s, late_s : (float, float)
        Windows after the target came: what the source fired, and what the others fired after it.

    Raises
    ------
    BadInput
        When something is missing, or the windows do not follow each other.
    """
    if not 0 <= early_s[0] < early_s[1] <= late_s[0] < late_s[1]:
        raise BadInput(f"the windows must follow each other: early {early_s}, late {late_s} s after the target came")
    path = pathlib.Path(path)
    counts, bin_s, starts, targets = _of_session(path) if path.suffix == ".mcap" else _of_arrays(path)
    _, which = np.unique(np.round(targets.reshape(len(targets), -1), 6), axis=0, return_inverse=True)
    edges = [round(edge / bin_s) for edge in (*early_s, *late_s)]
    if edges[0] == edges[1] or edges[2] == edges[3]:
        raise BadInput(f"a window is shorter than one bin ({bin_s:g} s)")
    ends = np.append(starts[1:], len(counts))
    whole = (starts >= 0) & (starts + edges[3] <= ends)
    if whole.sum() < 3 * FEW_PER_TARGET:
        raise BadInput(f"only {int(whole.sum())} trials last for {late_s[1]:g} s; choose earlier windows")
    summed = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0, dtype=float)])
    kept = starts[whole]
    early, late = (summed[kept + edges[k + 1]] - summed[kept + edges[k]] for k in (0, 2))
    return Trials(which.ravel()[whole], early, late)


def _of_arrays(path: pathlib.Path):
    from bmi_runtime.analysis.glm.files import open_npz

    arrays = open_npz(str(path), ("counts", "bin_s", "trial_start", "target"))
    starts, targets = np.asarray(arrays["trial_start"], int), np.asarray(arrays["target"], float)
    if arrays["counts"].ndim != 2 or len(targets) != len(starts) or (np.diff(starts) <= 0).any():
        raise BadInput(f"{path}: counts must be bins x units, trial_start ascend, target have a row per trial")
    return arrays["counts"], float(arrays["bin_s"]), starts, targets


def _of_session(path: pathlib.Path):
    from bmi_runtime.recording.reader import Recording

    steps = Recording(path).steps()
    trial, inputs = steps["output"]["trial"], steps["input"]
    starts = np.flatnonzero(np.diff(trial)) + 1
    if starts.size < 3:
        raise BadInput(f"{path} holds {starts.size + 1} trials; targets that were drawn by lot need more")
    bin_s = float(np.median(np.diff(inputs["device_time_s"])))
    return without_missing(inputs["counts"]), bin_s, starts, steps["output"]["target"][starts, :-1]
