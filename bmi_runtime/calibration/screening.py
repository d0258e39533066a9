"""Which units of a pilot can be calibrated, and what about the others and the pilot itself is to be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.design import UnusableUnits
from bmi_runtime.calibration.pilot import LEAST_SPIKES, Pilot, PilotFit, fit_pilot
from bmi_runtime.errors import BadInput

FASTEST_RMS = 15.0  # dm/s along an axis: 1.5 m/s, faster than hands and cursors move on average
SLOWEST_RMS = 0.01  # dm/s: 1 mm/s
OUTLIER_SPREADS = 10.0  # of the middle half's width, from the median
OUTLIER_SHARE = 0.1  # of a feature's variance, that outliers carry before they are worth a word
UNSTEADY_Z = 6.0  # of the difference between the halves' means, in standard errors over blocks
UNSTEADY_BLOCK_S = 10.0
NAMED = 5


def usable_units(counts: np.ndarray, names: tuple[str, ...], likelihood: str) -> dict[str, str]:
    """Return the units that cannot be calibrated at all, with the reason: silent ones, features that never change."""
    if likelihood == "gaussian":
        flat = np.flatnonzero(np.nanstd(counts, axis=0) == 0)
        return {names[i]: "never changes" for i in flat}
    spikes = np.nansum(counts, axis=0)
    few = np.flatnonzero(spikes < LEAST_SPIKES)
    return {names[i]: f"{spikes[i]:g} spikes, fewer than {LEAST_SPIKES}" for i in few}


def fit_usable(pilot: Pilot, counts: str | None = None) -> PilotFit:
    """Fit a pilot, setting aside units whose weights cannot be found (never fired in some direction, say).

    Raises
    ------
    BadInput
        If no unit is left.
    """
    while True:
        try:
            fit = fit_pilot(pilot, counts)
            information(fit.design)
            return fit
        except UnusableUnits as error:
            if len(error.units) >= len(pilot.names):
                raise BadInput(f"no unit of the pilot can be calibrated: {error}") from None
            aside = tuple(
                (name, "its weights cannot be found: it fires in some directions only") for name in error.units
            )
            pilot = replace(pilot, left_out=error.units, set_aside=pilot.set_aside + aside)


def check_speed(states: np.ndarray, scale: float, unit: str = "the file's unit") -> None:
    """Refuse states (bins, dims), in dm/s, that no hand or cursor reaches: a velocity in another unit than was said.

    Raises
    ------
    BadInput
        Naming ``--velocity-scale`` and the values that would fit.
    """
    rms = np.sqrt(np.nanmean(states**2, axis=0)).max()
    if not np.isfinite(rms) or rms <= FASTEST_RMS:
        return
    file_rms = rms / scale
    fitting = [f"{10 * per_m:g} if it is in {name}" for name, per_m in (("cm/s", 1e-2), ("mm/s", 1e-3)) if
               10 * per_m * file_rms <= FASTEST_RMS and 10 * per_m != scale]  # fmt: skip
    fitting.append(f"{_rounded(1.0 / file_rms):g} (speeds of order one) if its unit is arbitrary")
    raise BadInput(
        f"the pilot's velocity has an rms of {file_rms:.3g} in {unit}, which --velocity-scale {scale:g} makes "
        f"{rms / 10:.3g} m/s, faster than a hand or a cursor moves; give --velocity-scale {', '.join(fitting)}"
    )


def _rounded(value: float) -> float:
    """Return a value rounded to one significant digit."""
    return float(f"{value:.0e}")


def remarks(fit: PilotFit) -> list[str]:
    """Return what about a pilot is to be told: units set aside, slow states, outliers, units that changed."""
    pilot = fit.pilot
    told = [f"unit {name} set aside: {why}" for name, why in pilot.set_aside[:NAMED]]
    if len(pilot.set_aside) > NAMED:
        told.append(f"{len(pilot.set_aside) - NAMED} more units set aside (all in the JSON)")
    slow = np.sqrt((pilot.states**2).mean(axis=0)).max()
    if slow < SLOWEST_RMS:
        told.append(f"the velocity's rms is {slow / 10:.2g} m/s; if the file is in another unit give --velocity-scale")
    told += _outliers(pilot) if pilot.likelihood == "gaussian" else []
    return told + _unsteady(fit)


def _outliers(pilot: Pilot) -> list[str]:
    low, middle, high = np.quantile(pilot.counts, [0.25, 0.5, 0.75], axis=0)
    off = np.abs(pilot.counts - middle) > OUTLIER_SPREADS * np.maximum(high - low, 1e-300)
    carried = (off * (pilot.counts - pilot.counts.mean(axis=0)) ** 2).sum(axis=0) / (
        len(off) * pilot.counts.var(axis=0)
    )
    found = np.flatnonzero(carried > OUTLIER_SHARE)
    told = [
        f"unit {pilot.names[i]}: {off[:, i].sum()} bins far from all others carry {100 * carried[i]:.0f} % of its "
        f"variance; its noise, and so its rate, is theirs"
        for i in found[:NAMED]
    ]
    return told + ([f"{len(found) - NAMED} more features with outliers"] if len(found) > NAMED else [])


def _unsteady(fit: PilotFit) -> list[str]:
    """Return the units whose mean score differs between the halves of the pilot by more than chance."""
    pilot, design = fit.pilot, fit.design
    if design.likelihood == "gaussian":
        left = pilot.counts - pilot.regressors @ design.weights.T
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
    names = ", ".join(pilot.names[i] for i in found[:NAMED]) + (" ..." if len(found) > NAMED else "")
    return [
        f"{len(found)} of {design.units} units changed between the halves of the pilot ({names}): their error holds "
        f"some drift as well as scatter"
    ]
