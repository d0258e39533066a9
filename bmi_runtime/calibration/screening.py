"""Which units of a pilot can be calibrated, and what about the others and the pilot itself is to be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.design import UnusableUnits
from bmi_runtime.calibration.pilot import LEAST_SPIKES, Pilot, PilotFit, fit_pilot
from bmi_runtime.errors import BadInput

FASTEST_RMS = 15.0  # dm/s along an axis: 1.5 m/s, faster than hands and cursors move on average
HARDLY = 0.005  # of the strongest axis' rms, below which an axis is not moved along
GLITCH = 6.0  # times the speed that 99 bins in 100 keep below: no movement, but its measurement


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


def check_even(states: np.ndarray) -> None:
    """Refuse states (bins, dims) that hardly move along an axis: no rate teaches gains that are hardly shown.

    Raises
    ------
    BadInput
        Naming the axis.
    """
    rms = np.sqrt(np.nanmean(states**2, axis=0))
    axis = int(np.argmin(rms))
    if 0 < rms[axis] < HARDLY * rms.max():
        raise BadInput(
            f"the pilot hardly moves along axis {axis} (rms {rms[axis] / 10:.2g} m/s, {rms.max() / 10:.2g} m/s along "
            "another): gains along it cannot be learned; leave that axis out of the file, or vary the task"
        )


def _rounded(value: float) -> float:
    """Return a value rounded to one significant digit."""
    return float(f"{value:.0e}")


def without_glitches(states: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the states with bins that are no movement as NaN, and how many: a single one would decide every gain."""
    speed = np.linalg.norm(states, axis=1)
    known = np.isfinite(speed)
    moving = speed[known & (speed > 0)]
    if not moving.size:
        return states, 0
    off = known & (speed > GLITCH * np.quantile(moving, 0.99))
    return np.where(off[:, None], np.nan, states), int(off.sum())
