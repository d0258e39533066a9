"""From arrays to an open-loop recording: trials unfolded, axes that never move and bins without counts left out."""

from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.array_checks import (
    MIN_BINS,
    check_counts,
    check_turned,
    checked_kinematics,
    checked_starts,
    checked_width_s,
    table_of_counts,
)
from bmi_runtime.sources.gaps import difference, held_every, without_held
from bmi_runtime.sources.lost_samples import described, far_samples, jumps, lost_samples
from bmi_runtime.sources.open_loop import OpenLoopRecording, axes_called


def recording_from_arrays(
    name, counts, bin_s, velocity=None, position=None, trial_start=None, restart=None, **known: Any
) -> OpenLoopRecording:
    """Check arrays and make a recording of them.

    Parameters
    ----------
    name : str
        For error messages.
    counts : array, shape (bins, units)
        Finite numbers of at most :data:`MAX_COUNT` in size.
    bin_s : float
        Bin width, s.
    velocity, position : array, shape (bins, axes) with 1 to 8 axes, optional
        At least one. A missing velocity is the backward difference of the position, a missing position stays missing.
    trial_start : array, optional
        Bins at which the trajectory jumps; or one value a bin: whether it jumps there, or the number of its trial.
    restart : array of bool, shape (bins,), optional
        Bins before which no counts are known; by default the first one.
    **known
        ``targets``, ``velocity_unit``, ``position_unit``, ``origins`` where they are known.

    Raises
    ------
    BadInput
        When a shape or a value is impossible.
    """
    counts, velocity, position, trial_start, restart = _unfolded(counts, velocity, position, trial_start, restart)
    check_turned(name, counts, {"velocity": velocity, "position": position})
    counts = table_of_counts(name, counts)
    bins = len(counts)
    width_s = checked_width_s(name, bin_s)
    starts = checked_starts(name, trial_start, bins)
    position = checked_kinematics(name, "position", position, bins)
    velocity = checked_kinematics(name, "velocity", velocity, bins)
    if velocity is None and position is None:
        raise BadInput(f"{name}: neither velocity nor position is given")
    if velocity is not None and position is not None and velocity.shape != position.shape:
        raise BadInput(
            f"{name}: velocity has {velocity.shape[1]} columns and position {position.shape[1]}; each has one for "
            "every axis"
        )
    velocity, position, told = _moving_axes(velocity, position, known)
    restarts = np.zeros(bins, dtype=bool) if restart is None else np.array(restart)
    counts, velocity, position, starts, restarts, odd = _without_unrecorded(
        counts, velocity, position, starts, restarts
    )
    check_counts(name, counts)
    known["odd"] = (*known.get("odd", ()), *told, *odd)
    known["velocity_derived"] = velocity is None
    velocity, position, starts, odd = _cleaned(velocity, position, starts, width_s)
    for what, values in (("velocity", velocity), ("position", position)):
        if values is not None and np.isfinite(values).all(axis=1).sum() < MIN_BINS // 2:
            raise BadInput(f"{name}: fewer than {MIN_BINS // 2} bins have a recorded {what}")
    known["odd"] = (*known["odd"], *odd)
    return OpenLoopRecording(counts, width_s, velocity, position, starts, restarts, name=name, **known)


def _moving_axes(velocity, position, known: dict[str, Any]) -> tuple[Any, Any, list[str]]:
    """Return kinematics without the axes in which nothing ever moves, and what was left out; `known` gets the names.

    A hand that is held to a plane, or a marker whose height was not recorded, does not keep the other axes from being
    decoded. Where no axis moves, and where targets stand beside them, all are kept.
    """
    table = position if velocity is None else velocity
    lost = ~np.isfinite(table).any(axis=0)
    still = lost | (np.nanmax(np.where(lost, 0.0, table), axis=0) == np.nanmin(np.where(lost, 0.0, table), axis=0))
    if not still.any() or still.all() or "targets" in known:
        return velocity, position, []
    names = known.get("axes") or axes_called(len(still))
    known["given_axes"], known["axes"] = names, tuple(n for n, off in zip(names, still, strict=True) if not off)
    known["unrecorded_axes"] = tuple(name for name, gone in zip(names, lost, strict=True) if gone)
    what = "position" if velocity is None else "velocity"
    told = [
        f"the {what} {'has no value' if gone else 'never changes'} in {name}: left out"
        for name, off, gone in zip(names, still, lost, strict=True)
        if off
    ]
    velocity, position = (None if each is None else each[:, ~still] for each in (velocity, position))
    return velocity, position, told


def _unfolded(counts, velocity, position, trial_start, restart) -> tuple[Any, Any, Any, Any, Any]:
    """Return counts of one unit as a table, and counts and kinematics of trials x bins one trial after the other."""
    shape, tables = np.shape(counts), [np.shape(table) for table in (velocity, position) if table is not None]
    if len(shape) == 1 and tables and all(table[:1] == shape for table in tables):
        return np.asarray(counts)[:, None], velocity, position, trial_start, restart
    if (
        len(shape) != 3
        or trial_start is not None
        or not all(table[:2] == shape[:2] and len(table) in (2, 3) for table in tables)
    ):
        return counts, velocity, position, trial_start, restart
    starts, bins = np.arange(shape[0]) * shape[1], shape[0] * shape[1]
    joined = [None if table is None else np.reshape(table, (bins, -1)) for table in (counts, velocity, position)]
    return *joined, starts, np.isin(np.arange(bins), starts)


def _without_unrecorded(counts, velocity, position, starts, restarts):
    """Return everything without the bins in which every count is NaN (trials filled up to one length), and a sentence.

    What follows such bins starts again, as does the first bin of all.
    """
    kept = ~np.isnan(counts).all(axis=1)
    after = np.r_[True, ~kept[:-1]]
    trial = np.cumsum(starts)[kept]  # a trial whose first bins are not there begins at its first that is
    starts = np.r_[True, trial[1:] != trial[:-1]][: len(trial)] | after[kept]
    restarts = np.array(restarts) | after
    if kept.all():
        return counts, velocity, position, starts, restarts, ()
    said = f"{int((~kept).sum())} bins have no counts (NaN for every unit): left out, what follows starts again"
    velocity, position = (None if table is None else table[kept] for table in (velocity, position))
    return counts[kept], velocity, position, starts, restarts[kept], (said,)


def _cleaned(velocity, position, starts, bin_s: float) -> tuple[Any, Any, np.ndarray, list[str]]:
    """Return velocity and position without lost markers, the starts of trials, and what was odd.

    Where there is no velocity it is the change of the position, which is none where the position jumps: there the
    trajectory starts again.
    """
    odd = []
    if position is not None:
        lost = lost_samples(position, starts)
        if lost.any():
            odd.append(described(lost, position, "position"))
            position = np.where(lost[:, None], np.nan, position)
            beside = lost | np.r_[lost[1:], False] | np.r_[False, lost[:-1]]
            velocity = None if velocity is None else np.where(beside[:, None], np.nan, velocity)
    if velocity is not None:
        far = far_samples(velocity)
        if far.any():
            odd.append(described(far, velocity, "velocity"))
            velocity = np.where(far[:, None], np.nan, velocity)
        return velocity, position, starts, odd
    held = held_every(position)
    if held > 1:
        odd.append(
            f"the position changes only once in {held} bins (sampled at {1 / (held * bin_s):.3g} Hz and held): the "
            "velocity is its change from sample to sample, and the bins between are not scored"
        )
    sampled = without_held(position) if held > 1 else position
    joined = jumps(sampled, np.arange(len(sampled)))
    joined = joined[~starts[joined]]
    if len(joined):
        starts = starts.copy()
        starts[joined] = True
        odd.append(
            f"the position jumps before {len(joined)} bins ({', '.join(map(str, joined[:5]))}"
            f"{', ...' if len(joined) > 5 else ''}): taken for starts of trials"
        )
    return difference(sampled, starts, bin_s), position, starts, odd
