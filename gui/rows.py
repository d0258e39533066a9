"""What the window keeps of every step and of every trial: layouts, and rows made from what arrives. No Qt here."""

from __future__ import annotations

import functools

import numpy as np

from bmi_runtime.messages import STAGES, SafetyState, TrialState

MOVING = (SafetyState.CALIBRATING, SafetyState.ACTIVE, SafetyState.DEGRADED)
FROM_OUTPUT = ("cursor", "decoded", "target", "intended", "hold_fraction", "assist", "learning_rate")
FROM_OUTPUT += ("log_likelihood", "trial", "trial_state", "safety", "adapting")
FROM_INPUT = ("data_age_s", "clock_offset_s", "clock_uncertainty_s")


@functools.lru_cache(maxsize=8)
def step_row(n_axes: int) -> np.dtype:
    """Return the layout of what is kept of a step, for a brain state of so many axes."""
    return np.dtype(
        [
            ("t_s", "f8"),
            ("cursor", "f8", (2 * n_axes,)),
            ("decoded", "f8", (2 * n_axes,)),
            ("target", "f8", (n_axes + 1,)),
            ("intended", "f8", (n_axes,)),
            ("hold_fraction", "f8"),
            ("assist", "f8"),
            ("learning_rate", "f8"),
            ("log_likelihood", "f8"),
            ("trial", "u4"),
            ("trial_state", "u1"),
            ("safety", "u1"),
            ("adapting", "u1"),
            ("deadline_missed", "u1"),
            ("behind", "u1"),  # the bin before missed its deadline: this one does not teach
            ("still", "u1"),  # the cursor was held, frozen or stopped, or there was no target: an error means nothing
            ("stage_us", "f4", (len(STAGES),)),
            ("lateness_us", "f4"),
            ("data_age_s", "f8"),
            ("clock_offset_s", "f8"),
            ("clock_uncertainty_s", "f8"),
        ]
    )


@functools.lru_cache(maxsize=8)
def trial_row(n_axes: int) -> np.dtype:
    """Return the layout of what is kept of a trial."""
    return np.dtype(
        [
            ("trial", "u4"),
            ("t_s", "f8"),
            ("success", "u1"),
            ("time_s", "f8"),
            ("efficiency", "f8"),
            ("bits", "f8"),
            ("target", "f8", (n_axes,)),
            ("inside_s", "f8"),  # of a pursuit: time on the target; not a number for other tasks
            ("assist", "f8"),
            ("block", "u2"),  # index into `Store.blocks`
        ]
    )


def rows_of(steps: np.ndarray, times_s, dtype: np.dtype) -> np.ndarray:
    """Return what is kept of some steps.

    Parameters
    ----------
    steps : ndarray of `messages.step_dtype`, (n,)
    times_s : array_like, (n,)
        Session time of each.
    dtype : numpy dtype
        Of :func:`step_row`.
    """
    rows, given, out, timing = np.zeros(len(steps), dtype), steps["input"], steps["output"], steps["timing"]
    for name in FROM_OUTPUT:
        rows[name] = out[name]
    for name in FROM_INPUT:
        rows[name] = given[name]
    rows["t_s"] = times_s
    rows["stage_us"], rows["lateness_us"] = timing["stage_ns"] / 1e3, timing["lateness_ns"] / 1e3
    rows["deadline_missed"], rows["behind"] = timing["deadline_missed"] != 0, given["behind"] != 0
    unseen = (out["trial_state"] >= TrialState.SUCCESS) | ~np.isfinite(out["target"]).all(axis=1)
    rows["still"] = unseen | ~np.isin(out["safety"], MOVING)
    return rows
