"""Reading a pilot: what the units did while the subject saw a cursor and a target, or while an arm moved."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.artifacts import artifact_bins, mostly_missing, recorded_artifacts
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import known_counts

LEAST_S = 10.0  # of usable bins
LEAST_SPIKES = 20  # of a unit, that tell its tuning
REHEARSED_SPEED_M_S = 0.1  # of a velocity whose unit is not known
CLICKS = "-click"  # ends the name of a task that asks for clicks, behind that of the same without them


@dataclasses.dataclass(frozen=True)
class Pilot:
    """What a rehearsal is fitted to.

    Attributes
    ----------
    counts : ndarray, (bins, units)
    bin_s : float
    likelihood : {"poisson", "gaussian"}
    usable : ndarray of bool, (bins,)
    seen, target : ndarray, (bins, axes), or None
        Cursor and target (m) on the screen while the counts arose; None in an open-loop recording.
    velocity : ndarray, (bins, axes), or None
        Of the arm, in m/s as scaled by `scale`; None in a session, where it is the subject's to intend.
    position : ndarray, (bins, axes), or None
    config : Config, or None
        Of the session.
    name : str
    notes : tuple of str
    """

    counts: np.ndarray
    bin_s: float
    likelihood: str
    usable: np.ndarray
    seen: np.ndarray | None
    target: np.ndarray | None
    velocity: np.ndarray | None
    position: np.ndarray | None
    config: Config | None
    name: str
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> int:
        """Number of axes of the movement."""
        moved = self.target if self.velocity is None else self.velocity
        assert moved is not None
        return moved.shape[1]

    @property
    def seconds(self) -> float:
        """Usable time, s."""
        return float(self.usable.sum() * self.bin_s)


def read_pilot(path) -> Pilot:
    """Read a session's recording (``.mcap``) or an open-loop recording as `bmi decode` reads it.

    Raises
    ------
    BadInput
        When it cannot be read, or holds too little time, too few spikes or no movement: which part is said.
    """
    path = pathlib.Path(path)
    pilot = _session(path) if path.suffix.lower() == ".mcap" else _open_loop(path)
    if pilot.config is None and pilot.likelihood == "poisson":
        pilot = _without_artifacts(pilot, artifact_bins(pilot.counts, pilot.bin_s, pilot.usable))
    if pilot.seconds < LEAST_S:
        raise BadInput(f"{path} holds {pilot.seconds:.3g} s that can be used; a world needs at least {LEAST_S:g} s")
    return _without_silent(pilot)


def _without_artifacts(pilot: Pilot, artifacts: np.ndarray) -> Pilot:
    """Leave bins out in which all units fired at once, and note how many there were."""
    if not artifacts.any():
        return pilot
    note = f"in {artifacts.sum()} bins all units fired at once: taken as artifacts and left out"
    counts = np.where(artifacts[:, None], 0.0, pilot.counts)
    return dataclasses.replace(pilot, counts=counts, usable=pilot.usable & ~artifacts, notes=(*pilot.notes, note))


def _session(path: pathlib.Path) -> Pilot:
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session.replay import recorded_config

    recording = Recording(path)
    config, said = _without_clicks(recorded_config(recording))
    if not recording.n_steps:
        raise BadInput(f"{path} holds no bin, so no world can be fitted to it")
    steps = recording.steps()
    given, output = steps["input"], steps["output"]
    if config.session.features:
        raise BadInput(f"{path} holds spikes and features together; a world is fitted to one kind of unit")
    axes = output["intended"].shape[1]
    seen, target = (np.vstack([rows[:1], rows[:-1]])[:, :axes] for rows in (output["cursor"], output["target"]))
    usable = given["stale"] == 0
    usable[0] = False  # what was on the screen before the first bin is not in the recording
    artifacts = recorded_artifacts(given["counts"], config.bin_s, usable, recording.header["config"])
    counts, notes = _without_gone(known_counts(given["counts"]), usable)
    most = config.safety.max_feature if config.continuous else config.safety.max_count
    whole = (np.abs(np.where(np.isfinite(counts), counts, np.inf)) <= most).all(axis=1)
    if (usable & ~whole & ~artifacts).any():
        lacking = int((usable & ~whole & ~artifacts).sum())
        notes = (*notes, f"in {lacking} bins a count is missing, or above what is believed: left out")
    usable &= whole
    pilot = Pilot(
        np.where(usable[:, None], counts, 0.0), config.bin_s, config.session.likelihood, usable, seen, target, None,
        None, config, str(path), (*said, *notes),
    )  # fmt: skip
    return _without_artifacts(pilot, artifacts)


def _without_gone(counts: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return counts without those of units that are missing in most bins, which are silent then, and what to say."""
    gone = mostly_missing(counts[usable])
    if not gone.size:
        return counts, ()
    named = ", ".join(map(str, gone[:6])) + (", ..." if gone.size > 6 else "")
    counts = counts.copy()
    counts[:, gone] = 0.0
    are = "units are" if gone.size > 1 else "units is"
    return counts, (f"{gone.size} of {counts.shape[1]} {are} missing in most bins ({named}): taken as silent",)


def _without_clicks(config: Config) -> tuple[Config, tuple[str, ...]]:
    """Return a configuration that decodes no clicks, and what is to be said of it: no world is fitted to them."""
    from bmi_runtime.config import from_dict

    if not config.state.click:
        return config, ()
    data = config.model_dump()
    data["state"]["click"] = False
    for task in (data["task"], *(block for block in data["block"] if block.get("task"))):
        name = "kind" if task is data["task"] else "task"
        task[name] = task[name].removesuffix(CLICKS)
    note = (
        "what units do while a click is intended is not fitted: sessions are rehearsed (and written) without clicks, "
        "targets are selected by staying in them"
    )
    return from_dict(data, "the recorded configuration without clicks"), (note,)


def _open_loop(path: pathlib.Path) -> Pilot:
    from bmi_runtime.sources.datafile import load_recording

    data = load_recording(path)
    data, rests = data.moving_in(data.n_bins)
    velocity, position = data.velocity, data.position
    usable = np.isfinite(velocity).all(axis=1)
    if not usable.any() or not np.ptp(velocity[usable], axis=0).all():
        raise BadInput(f"{path}: the movement never changes, so nothing can be fitted to it")
    notes = [*data.odd, *(f"the velocity rests in {name}: left out" for name in rests)]
    speed = float(np.sqrt((velocity[usable] ** 2).sum(axis=1).mean()))
    scale = 1.0
    if data.velocity_unit != "m/s":
        scale = REHEARSED_SPEED_M_S / speed
        notes.append(
            f"the velocity is in {data.velocity_unit}: its root mean square was taken as {REHEARSED_SPEED_M_S:g} m/s "
            "of the cursor"
        )
    elif not 0.02 < speed < 0.5:
        scale = REHEARSED_SPEED_M_S / speed
        notes.append(f"the arm moved at {speed:.3g} m/s rms; it stands for {REHEARSED_SPEED_M_S:g} m/s of the cursor")
    whole = bool((data.counts == np.round(data.counts)).all() and data.counts.min() >= 0)
    place = None
    if position is not None and np.isfinite(position[usable]).all():
        place = scale * (position - np.median(position[usable], axis=0))
    return Pilot(
        data.counts, data.bin_s, "poisson" if whole else "gaussian", usable, None, None, scale * velocity, place, None,
        str(path), tuple(notes),
    )  # fmt: skip


def _without_silent(pilot: Pilot) -> Pilot:
    """Refuse a pilot without spikes; note the units that hardly fire."""
    counts = pilot.counts[pilot.usable]
    if pilot.likelihood == "gaussian":
        if not np.ptp(counts, axis=0).any():
            raise BadInput(f"{pilot.name}: no feature ever changes, so no unit can be fitted")
        return pilot
    spikes = counts.sum(axis=0)
    few = np.flatnonzero(spikes < LEAST_SPIKES)
    if few.size == len(spikes):
        raise BadInput(
            f"{pilot.name}: no unit has {LEAST_SPIKES} spikes (the busiest has {spikes.max():g}), so none can be fitted"
        )
    if not few.size:
        return pilot
    named = ", ".join(map(str, few[:6])) + (", ..." if few.size > 6 else "")
    note = f"{few.size} of {len(spikes)} units have fewer than {LEAST_SPIKES} spikes ({named}): taken as untuned"
    return dataclasses.replace(pilot, notes=(*pilot.notes, note))


def velocity_dm_s(velocity_m_s: np.ndarray) -> np.ndarray:
    """Return velocities in the unit of the encoding model."""
    return DM_PER_M * velocity_m_s


def note(pilot: Pilot, text: str) -> Pilot:
    """Return the pilot with one more note."""
    return dataclasses.replace(pilot, notes=(*pilot.notes, text))


def quiet(values: Any) -> np.ndarray:
    """Return an array in which what is not finite is zero."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), values, 0.0)
