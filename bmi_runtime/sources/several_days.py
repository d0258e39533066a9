"""Recordings of several days that are learned from together: the same units, bins, units of velocity and axes."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.open_loop import OpenLoopRecording


def check_same(recordings: list[OpenLoopRecording], files: Sequence[str]) -> None:
    """Refuse recordings of other units, bins or units of velocity than the first.

    Parameters
    ----------
    recordings : list of OpenLoopRecording
    files : sequence of str
        What to call each: days in folders of their own often have one name.

    Raises
    ------
    BadInput
        Naming the first that differs.
    """
    first = recordings[0]
    for one, file in zip(recordings, files):  # those that were read so far
        if one.n_units != first.n_units:
            raise BadInput(f"{file} has {one.n_units} units, {files[0]} {first.n_units}")
        if abs(one.bin_s - first.bin_s) > 1e-9:
            raise BadInput(f"{file} has bins of {1e3 * one.bin_s:g} ms, {files[0]} of {1e3 * first.bin_s:g} ms")
    units = {one.velocity_unit for one in recordings}
    if len(units) > 1:
        raise BadInput(f"the recordings give velocity in different units: {', '.join(sorted(units))}")


def in_the_same_axes(recordings: list[OpenLoopRecording], files: Sequence[str]) -> list[OpenLoopRecording]:
    """Return recordings with the axes that move in any of them; one in which such an axis rests has it at rest.

    Parameters as of :func:`check_same`.

    Raises
    ------
    BadInput
        When their files have other axes, or an axis of one was not recorded in another.
    """
    first, names = recordings[0], {name for one in recordings for name in one.axes}
    found = []
    for one, file in zip(recordings, files, strict=True):
        missing = names.intersection(one.unrecorded_axes)
        if one.given_axes != first.given_axes or missing:
            has = f"has no value in {', '.join(sorted(missing))}" if missing else f"has {', '.join(one.given_axes)}"
            raise BadInput(f"{file} {has}, {files[0]} has the axes {', '.join(first.given_axes)}: not the same")
        found.append(one if names == set(one.axes) else _with_axes_at_rest(one, names))
    return found


def _with_axes_at_rest(recording: OpenLoopRecording, names: set[str]) -> OpenLoopRecording:
    """Return a recording with axes that were left out of it as nothing moves in them; where they rest is not known."""
    axes = tuple(name for name in recording.given_axes if name in names)
    own = [axes.index(name) for name in recording.axes]
    velocity, position = np.zeros((recording.n_bins, len(axes))), np.full((recording.n_bins, len(axes)), np.nan)
    velocity[:, own] = recording.velocity
    velocity[~np.isfinite(recording.velocity).all(axis=1)] = np.nan
    if recording.position is not None:
        position[:, own] = recording.position
    kept = None if recording.position is None else position
    return dataclasses.replace(recording, velocity=velocity, position=kept, axes=axes)
