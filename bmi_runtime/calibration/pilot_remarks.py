"""What about a pilot is to be told before its answer is believed: movements, stretches and units that are odd."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmi_runtime.calibration.decodable import gain_covariance, why_not_steered
from bmi_runtime.calibration.pilot import Pilot, PilotFit
from bmi_runtime.calibration.pilot_states import past_counts

SLOWEST_RMS, FAST_RMS = 0.01, 5.0  # dm/s along an axis: 1 mm/s, and 0.5 m/s
ONE_SIDED = 0.98  # of the movement along an axis, that goes one way
EVEN = 0.02  # of the strongest axis' rms, that the weakest has
OUTLIER_SPREADS = 10.0  # of the middle half's width, from the median
OUTLIER_SHARE = 0.1  # of a unit's variance, that outliers carry before they are worth a word
UNSTEADY_Z = 6.0  # of the difference between the halves' means, in standard errors over blocks
UNSTEADY_BLOCK_S = 10.0  # of which mean counts are compared
EXPECTED = 30.0  # spikes whose absence is not chance, even for units far from Poisson
SILENT_SHARE, SILENT_S = 0.05, 5.0  # of a pilot, or time, that a silence lasts before it is one
MOST_COUNTED = 10_000  # spikes in a bin, up to which how often each number occurs is counted
FEW_FOLLOW = 0.1  # of the units: fewer would follow movements that are not theirs
FOLLOWS_P = 0.01  # at which a unit follows the movement
PAST_S = 0.2  # over which what a unit has fired fades: the longer of the default `encoding.history_s`
PAST_Z, PAST_SHARE = 5.0, 0.25  # of a unit's score on its past, in standard errors; of the units, worth a word
LEAST_TO_JUDGE = 4  # units, of which one may seem to follow
NAMED = 5  # units in a remark


def remarks(fit: PilotFit) -> list[str]:
    """Return what about a pilot is to be told, in sentences; every unit that is odd is named, or counted."""
    pilot = fit.pilot
    told = list(pilot.told)
    told += [f"unit {name} set aside: {why}" for name, why in pilot.set_aside[:NAMED]]
    if len(pilot.set_aside) > NAMED:
        told.append(f"{len(pilot.set_aside) - NAMED} more units set aside (all in the JSON)")
    told += _movement(pilot.states[:, pilot.velocity])
    told += _outliers(pilot)
    told += _twins(pilot)
    if pilot.likelihood == "poisson":
        told += _silences(pilot)
        told += _one_direction(fit)
        told += _past(fit)
    return told + _unsteady(fit) + _untuned(fit)


def _named(pilot: Pilot, units) -> str:
    """Return up to five units' names."""
    return ", ".join(pilot.names[i] for i in units[:NAMED]) + (" ..." if len(units) > NAMED else "")


def _movement(states: np.ndarray) -> list[str]:
    rms = np.sqrt((states**2).mean(axis=0))
    told = []
    if rms.max() < SLOWEST_RMS:
        told.append(
            f"the velocity's rms is {rms.max() / 10:.2g} m/s; if the file is in another unit give --velocity-scale"
        )
    elif rms.max() > FAST_RMS:
        told.append(
            f"the velocity's rms is {rms.max() / 10:.2g} m/s, fast for a hand or a cursor; if the file is in cm/s give "
            "--velocity-scale 0.1"
        )
    for axis in range(states.shape[1]):
        one_way = np.maximum(states[:, axis], 0.0).sum() / max(np.abs(states[:, axis]).sum(), 1e-300)
        if max(one_way, 1.0 - one_way) > ONE_SIDED:
            sign = "positive" if one_way > 0.5 else "negative"
            told.append(
                f"the velocity along axis {axis} is {sign} nearly throughout: what units do in movements the other way "
                "is extrapolated (speeds in the place of velocities?)"
            )
        if rms[axis] < EVEN * rms.max():
            told.append(
                f"the movement along axis {axis} is {100 * rms[axis] / rms.max():.2g} % of that along the strongest: "
                "gains along it are hardly taught, and decide the rate; leave that axis out"
            )
    return told


def _outliers(pilot: Pilot) -> list[str]:
    low, middle, high = _quartiles(pilot)
    width = np.maximum(high - low, 1e-300)
    if pilot.likelihood == "poisson":
        width = np.maximum(width, np.sqrt(middle + 1.0))
    off = np.abs(pilot.counts - middle) > OUTLIER_SPREADS * width
    variance = np.maximum(len(off) * pilot.counts.var(axis=0), 1e-300)
    rows, units = np.nonzero(off)
    squares = (pilot.counts[rows, units] - pilot.counts.mean(axis=0)[units]) ** 2
    carried = np.bincount(units, squares, len(variance)) / variance
    found = np.flatnonzero(carried > OUTLIER_SHARE)
    told = [
        f"unit {pilot.names[i]}: {off[:, i].sum()} bins far from all others carry {100 * carried[i]:.0f} % of its "
        f"variance; its noise, and so its rate, is theirs"
        for i in found[:NAMED]
    ]
    return told + ([f"{len(found) - NAMED} more units with outliers"] if len(found) > NAMED else [])


def _quartiles(pilot: Pilot) -> np.ndarray:
    """Return the quartiles of every unit, (3, units); of counts from how often each occurs, which takes no sorting."""
    shares = np.array([0.25, 0.5, 0.75])
    if pilot.likelihood == "gaussian" or pilot.counts.max() > MOST_COUNTED:
        return np.quantile(pilot.counts, shares, axis=0)
    places = shares * (len(pilot.counts) - 1)
    out = np.empty((3, pilot.counts.shape[1]))
    for unit, column in enumerate(pilot.counts.T):
        up_to = np.cumsum(np.bincount(column.astype(np.int64)))
        below, above = (np.searchsorted(up_to, rank, side="right") for rank in (np.floor(places), np.ceil(places)))
        out[:, unit] = below + (places - np.floor(places)) * (above - below)
    return out


def _twins(pilot: Pilot) -> list[str]:
    """Return which units are the same in every bin: one unit twice teaches nothing twice."""
    seen: dict[bytes, int] = {}
    told = []
    for unit, column in enumerate(np.ascontiguousarray(pilot.counts.T)):
        first = seen.setdefault(column.tobytes(), unit)
        if first != unit:
            told.append(f"units {pilot.names[first]} and {pilot.names[unit]} are the same in every bin; leave one out")
    return told[:NAMED] + ([f"{len(told) - NAMED} more pairs of equal units"] if len(told) > NAMED else [])


def _silences(pilot: Pilot) -> Iterator[str]:
    """Yield stretches in which the array, or a unit, did not fire though it should have."""
    bin_s, bins = pilot.bin_s, len(pilot.counts)
    total = pilot.counts.sum(axis=1)
    start, length = _longest_silence(total)
    dead = np.zeros(0, dtype=int)
    if total.mean() * length > EXPECTED and length * bin_s > 1.0:
        yield (
            f"no unit fired from {start * bin_s:.4g} to {(start + length) * bin_s:.4g} s of the usable bins: a lost "
            "signal, taken as rest; cut it out"
        )
    else:
        dead = np.array([i for i in range(pilot.counts.shape[1]) if _died(pilot.counts[:, i], bin_s, bins)], dtype=int)
    if dead.size:
        yield f"{_plural(dead.size, 'unit')} fell silent for long though they fired before ({_named(pilot, dead)})"


def _died(counts: np.ndarray, bin_s: float, bins: int) -> bool:
    length = _longest_silence(counts)[1]
    return float(counts.mean()) * length > EXPECTED and length > max(SILENT_SHARE * bins, SILENT_S / bin_s)


def _longest_silence(counts: np.ndarray) -> tuple[int, int]:
    """Return where the longest run of zeros begins and how long it is."""
    edges = np.flatnonzero(np.concatenate([[True], counts > 0, [True]]))
    runs = np.diff(edges) - 1
    at = int(np.argmax(runs))
    return int(edges[at]), int(runs[at])


def _one_direction(fit: PilotFit) -> list[str]:
    """Return which units never fire in movements one way, though the fit expects it."""
    pilot, states = fit.pilot, fit.pilot.states[:, fit.pilot.velocity]
    expected, odd = fit.design.expected_counts(), set()
    for axis in range(states.shape[1]):
        for sign in (1.0, -1.0):
            rows = sign * states[:, axis] > 0.5 * states[:, axis].std()
            fired, wanted = pilot.counts[rows].sum(axis=0), expected[rows].sum(axis=0)
            odd |= set(np.flatnonzero((fired < 0.02 * pilot.counts.sum(axis=0)) & (wanted > fired + 10.0)).tolist())
    units = sorted(odd)
    if not units:
        return []
    return [
        f"{_plural(len(units), 'unit')} hardly fire in movements one way ({_named(pilot, units)}): a log-linear rate "
        "does not fit them, and their slow gains decide the rate; leave them out"
    ]


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" + ("s" if number != 1 else "")


def _past(fit: PilotFit) -> list[str]:
    """Return that many units depend on their own past, where the design leaves it out.

    The score test of one more regressor, a unit's own recent spikes: the sum of its product with what the fit leaves of
    the counts, over its standard deviation for Poisson counts, with the rate's mean of the past taken off.
    """
    pilot, design = fit.pilot, fit.design
    if design.own is not None:
        return []
    expected, past = design.expected_counts(), past_counts(pilot.counts, [PAST_S], pilot.bin_s)[:, 0]
    past -= (expected * past).sum(axis=0) / expected.sum(axis=0)
    score = ((pilot.counts - expected) * past).sum(axis=0) / np.sqrt((expected * past**2).sum(axis=0) + 1e-12)
    depend = int((np.abs(score) > PAST_Z).sum())
    if depend <= PAST_SHARE * len(score):
        return []
    return [
        f"{depend} of {len(score)} units fire by what they fired in the last {PAST_S:g} s, too: with "
        "encoding.regressors = ['velocity', 'history'] their bursts are not taken for movement; `bmi rehearse` with "
        "this pilot says what that is worth"
    ]


def _unsteady(fit: PilotFit) -> list[str]:
    """Return the units whose mean score differs between the halves of the pilot by more than chance."""
    pilot, design = fit.pilot, fit.design
    if design.likelihood == "gaussian":
        left = pilot.counts - pilot.linear_predictor(design.weights)
    else:
        left = pilot.counts - design.expected_counts()
    block = max(1, round(UNSTEADY_BLOCK_S / pilot.bin_s))
    blocks = len(left) // block
    if blocks < 8:
        return []
    means = left[: blocks * block].reshape(blocks, block, -1).mean(axis=1)
    halves = means[: blocks // 2], means[blocks // 2 :]
    error = np.sqrt(sum(half.var(axis=0, ddof=1) / len(half) for half in halves))
    difference = halves[1].mean(axis=0) - halves[0].mean(axis=0)
    found = np.flatnonzero(np.abs(difference) > UNSTEADY_Z * error)
    if not found.size:
        return []
    return [
        f"{len(found)} of {design.units} units changed between the halves of the pilot ({_named(pilot, found)}): their "
        f"error holds some drift as well as scatter"
    ]


def _untuned(fit: PilotFit) -> list[str]:
    """Say so where no more units follow the movement than would by chance.

    Wald's test of the gains, with their covariance from the scores of blocks (the sandwich), whatever the noise.
    """
    from scipy.special import chdtrc

    moving = slice(1, 1 + fit.pilot.states.shape[1])  # what a unit's own past says does not follow the movement
    gains = fit.design.weights[:, moving]
    covariance = gain_covariance(fit)[:, moving, moving]
    wald = np.einsum("ni,nij,nj->n", gains, np.linalg.pinv(covariance, hermitian=True), gains)
    follow = int((chdtrc(gains.shape[1], wald) < FOLLOWS_P).sum())
    by_chance = 1 if len(gains) >= LEAST_TO_JUDGE else 0
    if follow > max(by_chance, FEW_FOLLOW * len(gains)):
        why = why_not_steered(fit)
        return [f"{why}; no cursor can be steered that way"] if why else []
    return [
        f"{_plural(follow, 'unit')} of {len(gains)} follow the velocity beyond chance: nothing can be decoded from "
        "such a pilot (were units and movement recorded in step?)"
    ]
