"""Goes on where a recording ends: its last snapshot, and every bin behind it through the same step again.

The state after that is the state that the session had after its last recorded bin, to the bit.
"""

from __future__ import annotations

import dataclasses
import mmap
import time
from pathlib import Path
from typing import Any

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.config import Config
from bmi_runtime.decoding.tables import FILTER_OF
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin, unpack
from bmi_runtime.recording import frames
from bmi_runtime.recording.opening import read_opening
from bmi_runtime.recording.scan import Contents, scan
from bmi_runtime.session.core import Session


@dataclasses.dataclass
class Tail:
    """The end of a recording: its last snapshot and what follows it.

    Attributes
    ----------
    header : dict
        The recording's configuration message.
    snapshot : dict
        The last one.
    steps : ndarray
        The steps behind it, shape (bins,), of the recording's own layout.
    commands : dict
        Lists of commands behind it, by the bin before which each took effect.
    last_bin_index : int or None
        Of the last step in the file; None when there is none.
    last_segment : int
        Segment of the device's clock in that step.
    last_host_ns : int
        Host time at which that step began, ns.
    last_decoder_kept : bool
        False when the last change of decoder was left out.
    """

    header: dict[str, Any]
    snapshot: dict[str, Any]
    steps: np.ndarray
    commands: dict[int, list[dict[str, Any]]]
    last_bin_index: int | None
    last_segment: int
    last_host_ns: int
    last_decoder_kept: bool = True


@dataclasses.dataclass
class Resumption:
    """A session brought back, and where it stands in time.

    Attributes
    ----------
    session : Session
    parent : dict
        For the header of the new recording: ``path``, ``last_bin_index``.
    replayed : ndarray
        The recorded steps that were taken again, shape (bins,).
    figures : dict
        What the shell had counted at the snapshot (`Loop.figures`).
    next_bin_index : int
        Of the first bin to come.
    next_segment : int
        A new segment: the device's clock may have started again.
    last_host_ns : int
        Host time of the last recorded bin, ns.
    """

    session: Session
    parent: dict[str, Any]
    replayed: np.ndarray
    figures: dict[str, Any]
    next_bin_index: int
    next_segment: int
    last_host_ns: int

    def missed_bins(self, paced: bool) -> int:
        """Return how many bins of a source that does not wait have gone by since the last recorded one."""
        if paced or not self.last_host_ns:
            return 0
        elapsed_s = (time.monotonic_ns() - self.last_host_ns) * 1e-9
        return max(round(elapsed_s / self.session.config.bin_s) - 1, 0) if elapsed_s > 0 else 0

    def shift(self, given: Bin, missed: int) -> None:
        """Number a bin of the new process on from the recording: a source that starts again counts from 0."""
        given.fields.bin_index[0] += self.next_bin_index + missed
        given.fields.segment[0] += self.next_segment


def read_tail(path, snapshot_offset: int | None = None) -> Tail:
    """Read the end of a recording that may be cut off anywhere.

    Parameters
    ----------
    path : path-like
    snapshot_offset : int, optional
        First byte of a snapshot (as the process that wrote it reported): only what follows is read, which takes the
        same short time after an hour as after a second. Without it, or when no whole snapshot is there, the whole file
        is read.

    Raises
    ------
    BadInput
        When the file is not a recording, or holds no whole snapshot.
    """
    data = _mapped(Path(path))
    if snapshot_offset is not None:
        opening = read_opening(data)
        if opening.messages_start < snapshot_offset < len(data):
            short = bytes(data[: opening.messages_start]) + bytes(data[snapshot_offset:])
            tail = _tail(short, scan(short))
            if tail:
                return tail
    try:
        tail = _tail(data, scan(data))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if tail is None:
        raise BadInput(f"{path} ends before its first snapshot, so no session can go on from it")
    return tail


def _mapped(path: Path):
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is empty"
        raise BadInput(f"{path} cannot be read: {why}") from None


def _tail(data, contents: Contents) -> Tail | None:
    opening = contents.opening
    topics = {number: channel.topic for number, channel in opening.channels.items()}
    found = [place for place in contents.messages if topics[place[0]] == "snapshot"]
    if not found:
        return None
    start = found[-1][1]
    snapshot = _content(data, found[-1])
    later = [_content(data, place) for place in contents.messages if place[1] > start and topics[place[0]] == "command"]
    steps, newest = _steps_behind(data, contents, start)
    known = snapshot.get("shell", {})
    return Tail(
        opening.header,
        snapshot,
        steps,
        _settings(later),
        known.get("last_bin_index") if newest is None else int(newest["bin_index"]),
        known.get("last_segment", 0) if newest is None else int(newest["segment"]),
        known.get("last_host_ns", 0) if newest is None else int(newest["host_time_ns"]),
    )


def _content(data, place: tuple[int, int, int]) -> dict[str, Any]:
    """Return what the message at one place (channel, first byte, size) says."""
    _, offset, size = place
    return unpack(bytes(data[offset + frames.MESSAGE_HEAD.size : offset + size]))


def _settings(commands: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Return the commands that set something, by the bin that they took effect in."""
    by_bin: dict[int, list[dict[str, Any]]] = {}
    for command in commands:
        if "set" in command:
            by_bin.setdefault(int(command["bin"]), []).append({"set": command["set"], "value": command["new"]})
    return by_bin


def _steps_behind(data, contents: Contents, start: int) -> tuple[np.ndarray, Any]:
    """Return the steps behind one byte, and the input of the newest step of all (None where there is none)."""
    layout = contents.opening.layout.dtype
    frame = np.dtype([("head", f"V{frames.MESSAGE_HEAD.size}"), ("step", layout)])
    runs = [np.frombuffer(data, frame, length, offset)["step"] for offset, length in contents.step_runs]
    behind = [run for run, (offset, _) in zip(runs, contents.step_runs, strict=True) if offset > start]
    return np.concatenate(behind) if behind else np.empty(0, layout), runs[-1][-1]["input"] if runs else None


def session_at(config: Config, snapshot: dict[str, Any]) -> Session:
    """Return a session in the state of a snapshot."""
    state, kind = snapshot["model"], snapshot.get("task_kind", config.task.kind)
    if kind != config.task.kind:  # a command changed it before the snapshot
        config = config.model_copy(update={"task": config.task.model_copy(update={"kind": kind})})
    model = EncodingModel.of_state(state, config)
    session = Session(config, model)
    session.restore(snapshot)
    return session


def with_own_filter(config: Config) -> Config:
    """Return a configuration with the project's own filter in place of its decoder."""
    kind = FILTER_OF[config.session.likelihood]
    decoder = config.decoder.model_copy(update={"kind": kind, "fitted_file": "", "options": {}})
    return config.model_copy(update={"decoder": decoder})


def resume(path, config: Config, snapshot_offset: int | None = None, cautious: bool = False) -> Resumption:
    """Return the session of a recording as it was after its last whole bin.

    Parameters
    ----------
    path : path-like
        A recording, complete or cut off at any byte.
    config : Config
        The recording's own configuration (`replay.recorded_config`); keys of the shell may differ.
    snapshot_offset : int, optional
        See `read_tail`.
    cautious : bool
        The decoder at the end is taken to end processes: the session goes on with the one before it. That is the one
        that completed a bin before the last change of decoder; the project's own filter where there was no change.

    Raises
    ------
    BadInput
        When nothing can be resumed from the file, or its units do not fit the configuration.
    """
    tail = read_tail(path, snapshot_offset)
    if cautious:
        _leave_out_last_decoder(tail)
    session = session_at(config, tail.snapshot)
    size = tail.steps.dtype["input"].itemsize
    inputs = np.ascontiguousarray(tail.steps["input"])
    raw = memoryview(inputs.tobytes())
    if session.record.input_bytes.nbytes != size:
        raise BadInput(f"{path} has steps of another layout than this configuration (session.units)")
    for number in range(len(inputs)):
        _apply(session, tail.commands)
        session.step(raw[number * size : (number + 1) * size])
    _apply(session, tail.commands)  # one that was answered before the bin in flight
    if cautious and tail.last_decoder_kept:
        session.apply({"set": "decoder.kind", "value": FILTER_OF[session.model.likelihood]})
    session.events.clear()
    parent = {"path": str(path), "last_bin_index": tail.last_bin_index}
    first = 0 if tail.last_bin_index is None else tail.last_bin_index + 1
    segment = 0 if tail.last_bin_index is None else tail.last_segment + 1
    figures = tail.snapshot.get("shell", {})
    return Resumption(session, parent, tail.steps, figures, first, segment, tail.last_host_ns)


def _leave_out_last_decoder(tail: Tail) -> None:
    """Drop the last change of decoder when no bin was completed after it."""
    done = tail.snapshot["bins"] + len(tail.steps)
    pending = tail.commands.get(done, [])
    kept = [command for command in pending if not command["set"].startswith("decoder.")]
    tail.last_decoder_kept = len(kept) == len(pending)
    tail.commands[done] = kept


def _apply(session: Session, commands: dict[int, list[dict[str, Any]]]) -> None:
    for command in commands.get(session.bins, ()):
        session.apply(command)


def next_path(path) -> Path:
    """Return a free name for what continues `path`: ``a_part2.mcap``, ``a_part3.mcap`` after ``a.mcap``."""
    path = Path(path)
    stem, mark, number = path.stem.rpartition("_part")
    if not (mark and number.isdigit()):
        stem, number = path.stem, "1"
    count = int(number) + 1
    while (candidate := path.with_name(f"{stem}_part{count}{path.suffix}")).exists():
        count += 1
    return candidate


def configuration_of(path, overrides) -> tuple[Config, int]:
    """Return the configuration of a session that goes on from a recording, and how many bins are done.

    The duration counts from now when it is given again; otherwise what is left of the old one remains, and when nothing
    is left the session runs until it is stopped.

    Raises
    ------
    BadInput
        When an override would change the session itself: that is what commands to the running session are for.
    """
    for text in overrides:
        if configuration.belongs_to_step(text.partition("=")[0].strip()):
            raise BadInput(
                f"--set {text} would change the session that is resumed: the step reads it; only the shell's keys may "
                "differ (recording, telemetry, guard, realtime but miss_policy, session.duration_s); send a command "
                "once it runs"
            )
    tail = read_tail(path)
    data = tail.header.get("config")
    if not isinstance(data, dict):
        raise BadInput(f"{path} has no configuration in its header, so it cannot be resumed")
    given = any(text.startswith("session.duration_s") for text in overrides)
    data = configuration.as_recorded(data)
    data = {**data, "recording": {**data["recording"], "path": ""}}
    for text in overrides:
        configuration.override(data, text)
    config, done = configuration.from_dict(data, str(path)), tail.snapshot["bins"] + len(tail.steps)
    if not given and done * config.bin_s >= config.session.duration_s > 0.0:
        config = config.model_copy(update={"session": config.session.model_copy(update={"duration_s": 0.0})})
    return config, done if given else 0
