"""Replay: a recording's bins and commands through the same step, compared with what was recorded."""

from __future__ import annotations

import copy
import functools
import hashlib
import time
from typing import Any

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.config import Config
from bmi_runtime.decoding.recorded_files import offer
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import BLOCK_STEPS, Recording
from bmi_runtime.session import processes
from bmi_runtime.session.core import Session, warm_up
from bmi_runtime.session.open_loop import ASKS_INTENTION, SET_AT_ONCE, OpenLoopSession, refuse_unknowable
from bmi_runtime.session.paired import compared, hardly_follows, paired_errors


def recorded_config(recording: Recording, overrides=()) -> Config:
    """Return the configuration in the recording's header, with ``section.key=value`` overrides.

    Raises
    ------
    BadInput
        When the recording has none.
    """
    data = recording.header.get("config")
    if not isinstance(data, dict):
        raise BadInput(f"{recording.path} has no configuration in its header, so it cannot be replayed")
    data = configuration.as_recorded(copy.deepcopy(data))  # the header stays as it was recorded
    for text in overrides:
        configuration.override(data, text)
    return configuration.from_dict(data, str(recording.path))


def first_snapshot(recording: Recording) -> dict[str, Any]:
    """Return the session's state before the first bin.

    Raises
    ------
    BadInput
        When the recording ends before it.
    """
    for _, snapshot in recording.messages("snapshot"):
        return snapshot
    raise BadInput(f"{recording.path} ends before its first snapshot, so it cannot be replayed")


def session_from(recording: Recording, overrides=(), snapshot: dict[str, Any] | None = None) -> Session:
    """Return a session in the state in which the recording began, or in that of a snapshot.

    With overrides the parameters that they change come from them, everything else from the recording, and the session
    is an `OpenLoopSession`: it must be shown the recorded output of each bin.

    Raises
    ------
    BadInput
        When the effect of an override cannot be known from a recording, or the recording is another version's.
    """
    refuse_unknowable(overrides, str(recording.path))
    at_once = [text for text in overrides if _key(text) in SET_AT_ONCE]
    config = recorded_config(recording, [text for text in overrides if text not in at_once])
    snapshot = first_snapshot(recording) if snapshot is None else snapshot
    state = snapshot["model"]
    model = EncodingModel.of_state(state, config)
    if not overrides:
        session = Session(config, model)
    else:
        named = {_key(text) for text in overrides}
        session = OpenLoopSession(config, model, infers=not named.isdisjoint(ASKS_INTENTION))
        snapshot = _asked(session, snapshot, named)
    try:
        session.restore(snapshot)
    except KeyError as error:
        raise BadInput(
            f"{recording.path} was made by another version (its snapshot has no {error}); replay it with the version "
            "that `bmi inspect` names"
        ) from None
    for text in at_once:
        session.apply({"set": _key(text), "value": configuration.value_of(text)})
    return session


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


OTHER_DECODER = ("decoder.kind", "decoder.fitted_file", "decoder.options")
FRESH = {  # setting that is named: the parts of a snapshot that are taken from the new session then
    **dict.fromkeys(ASKS_INTENTION, ("intention_kind", "intention")),
    **dict.fromkeys(OTHER_DECODER, ("decoder_settings",)),
    "decoder.frozen_model": ("decoder_model",),
}


def _asked(session: Session, snapshot: dict[str, Any], named: set[str]) -> dict[str, Any]:
    """Return a recorded snapshot with what the settings of these names change taken from the new session."""
    fresh = session.snapshot()
    given = snapshot | {
        "live": _asked_live(snapshot["live"], session, named),
        "oversight": _asked_oversight(snapshot["oversight"], fresh["oversight"], named),
        "decoder_settings": snapshot.get("decoder_settings", fresh["decoder_settings"])
        | {name: value for name, value in fresh["decoder_settings"].items() if f"decoder.{name}" in named},
    }
    given |= {part: fresh[part] for setting in named for part in FRESH.get(setting, ())}
    if not named.isdisjoint(OTHER_DECODER):  # its state is its own; it begins where the cursor is
        session.decoder.set_position(*snapshot["cursor"][: session.space.n_axes])
        given["decoder"] = session.decoder.snapshot()
    if any(name.startswith("encoding.") for name in named):
        given |= {"model": _initial_model(session.config).state(), "oversight": fresh["oversight"]}
    return given


def _asked_live(recorded: Any, session: Session, named: set[str]) -> Any:
    """Return the recorded live parameters without those that the settings of these names change."""
    live = _fresh_live(recorded, session) if "adapter.enabled" in named else recorded
    if "session.left_out" in named and isinstance(live, dict):
        live = {key: value for key, value in live.items() if key != "session.left_out"}
    return live


def _asked_oversight(recorded: dict[str, Any], fresh: dict[str, Any], named: set[str]) -> dict[str, Any]:
    """Return the recorded learning rate and schedule, or the new session's where the settings name them."""
    settings = {"adapter.learning_rate": "rate", "adapter.schedule": "schedule"}
    return recorded | {part: fresh[part] for setting, part in settings.items() if setting in named}


def _fresh_live(recorded: Any, session: Session) -> Any:
    """Return the recorded live parameters with adaptation as the new session has it."""
    if isinstance(recorded, dict):
        return recorded | {"adapter.enabled": session.adapting}
    return [session.adapting, *recorded[1:]]


def _initial_model(config: Config) -> EncodingModel:
    """Return the model that a session of this configuration begins with."""
    from bmi_runtime.session.assemble import initial_model
    from bmi_runtime.sources.base import source_class

    source = source_class(config.source.kind)(config) if config.source.kind == "simulated" else None
    return initial_model(config, source)


def _first_bin(recording: Recording, n_bins: int, from_s: float) -> int:
    """Return the bin that a time of the recording falls into.

    Raises
    ------
    BadInput
        When the recording has ended by then.
    """
    bin_s = recorded_config(recording).bin_s
    first = round(from_s / bin_s) if np.isfinite(from_s) else -1
    if not 0 <= first < max(n_bins, 1):
        raise BadInput(f"{recording.path} holds {n_bins * bin_s:g} s; a setting cannot begin to hold at {from_s:g} s")
    return first


def _state_at(recording: Recording, bin_index: int) -> dict[str, Any]:
    """Return the recorded session's state before a bin: replayed from the nearest snapshot before it."""
    snapshots = [snapshot for _, snapshot in recording.messages("snapshot")]
    begin = int(snapshots[0]["bins"])
    near = max((s for s in snapshots if int(s["bins"]) - begin <= bin_index), key=lambda s: int(s["bins"]))
    replay = Replay(recording)
    replay.session.restore(near)
    replay.position = int(near["bins"]) - begin
    while replay.position < bin_index:
        replay.next()
    return replay.session.snapshot()


def recorded_files(recording: Recording) -> list[tuple[str, bytes]]:
    """Return name and content of every decoder's file that a recording holds; older ones hold none."""
    if not recording.stream_counts.get("decoder_file"):
        return []
    return [(message["path"], message["content"]) for _, message in recording.messages("decoder_file")]


class Replay:
    """Steps a session through a recording.

    Parameters
    ----------
    recording : Recording
    overrides : sequence of str
        What if: ``adapter.learning_rate=1e-5`` and the like. They hold to the end: commands of the recording that set
        the same are left out. Whatever the subject saw and meant is that of the recording (`OpenLoopSession`).
    from_s : float
        When in the recording the settings begin to hold (s); until then it is as it was recorded.
    """

    recorder = None  # nothing is written

    def __init__(self, recording: Recording, overrides=(), from_s: float = 0.0):
        self.recording, self.asks = recording, bool(overrides)
        self.first = _first_bin(recording, recording.n_steps, from_s) if overrides else 0
        for name, content in recorded_files(recording):
            offer(name, content)
        snapshot = _state_at(recording, self.first) if self.first else None
        self.session = session_from(recording, overrides, snapshot)
        if recording.dtype != self.session.record.dtype:
            raise BadInput(
                f"{recording.path} was made by another version (its steps are laid out otherwise); replay it with the "
                "version that `bmi inspect` names"
            )
        self.commands: dict[int, list[dict]] = {}
        named = {_key(text) for text in overrides}
        for _, message in recording.messages("command"):
            if "set" in message and message["set"] not in named:
                self.commands.setdefault(int(message["bin"]), []).append(
                    {"set": message["set"], "value": message["new"]}
                )
        self.position = self.first
        fields: Any = recording.dtype.fields
        self._middle, self._end = fields["output"][1], fields["timing"][1]
        self._load(self.first)

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """All recorded steps, for whoever looks at a session as a whole; a replay itself reads a block at a time."""
        return self.recording.steps()

    def _load(self, position: int) -> None:
        """Read the block of steps that begins at a bin, and let go of the one before."""
        self._window = self.recording.steps(position, position + BLOCK_STEPS)
        self._begin, self._size = position, self.recording.dtype.itemsize
        self._raw = self._window.data.cast("B") if len(self._window) else memoryview(b"")
        self._outputs = self._window["output"]
        self.recording.release()

    def next(self) -> bool:
        """Step one bin; return whether the output is identical to the recorded one."""
        if not self._begin <= self.position < self._begin + len(self._window):
            self._load(self.position)
        start = (self.position - self._begin) * self._size
        for command in self.commands.get(self.session.bins, ()):
            self.session.apply(command)
        if isinstance(self.session, OpenLoopSession):
            self.session.show(self._outputs[self.position - self._begin])
        record = self.session.step(self._raw[start : start + self._middle])
        processes.leave_if_copied()
        self.session.events.clear()
        self.position += 1
        return bytes(record.output_bytes) == bytes(self._raw[start + self._middle : start + self._end])

    def run(self, verify: bool = True, advance=None) -> dict[str, Any]:
        """Replay everything; with `verify` stop at the first bin that differs.

        Returns
        -------
        dict
            ``bins, identical, first_divergence, output_digest, realtime_factor``; with overrides also
            `decoded`, see `compared` and `paired_errors` (not to
            verify).
        """
        warm_up(self.session.config)
        asks = self.asks and not verify
        decoded = self.steps["output"]["decoded"].copy() if asks else np.empty(0)
        begin, digest, divergence = time.perf_counter(), hashlib.blake2b(digest_size=16), None
        with processes.watched(self):
            for index in range(self.first, self.recording.n_steps):
                same = self.next()
                digest.update(self.session.record.output_bytes)
                if asks:
                    decoded[index] = self.session.record.array["output"][0]["decoded"]
                if not same and divergence is None:
                    divergence = self.difference(index)
                    if verify:
                        break
                if advance and index % 1000 == 999:
                    advance(1000)
        seconds = max(time.perf_counter() - begin, 1e-9)
        result = {
            "bins": self.position - self.first,
            "identical": divergence is None,
            "first_divergence": divergence,
            "output_digest": digest.hexdigest(),
            "realtime_factor": (self.position - self.first) * self.session.config.bin_s / seconds,
        }
        return result | ({"decoded": self._compared(decoded)} if asks else {})

    def _compared(self, decoded: np.ndarray) -> dict[str, Any]:
        """Return how this setting compares with what was recorded, since it began to hold."""
        recorded = self.steps["output"][self.first :]
        dimensions, bin_s = recorded["intended"].shape[1], self.session.config.bin_s
        velocity_m_s = decoded[self.first :, -dimensions:]
        was = recorded["decoded"][:, -dimensions:]
        found = paired_errors(recorded["intended"], was, velocity_m_s, bin_s, self.first * bin_s)
        answer = compared(recorded, velocity_m_s) | {name: found[name] for name in ("interval_m_s", "parts")}
        return answer | {"hardly_follows": hardly_follows(recorded["intended"], answer["error_replayed_m_s"])}

    def difference(self, index: int) -> dict[str, Any]:
        """Return the bin and the first field whose bits differ, with both values."""
        recorded, replayed = self.recording.steps(index, index + 1)[0]["output"], self.session.record.array["output"][0]
        for name in recorded.dtype.names or ():
            if recorded[name].tobytes() != replayed[name].tobytes():
                values = {"recorded": recorded[name].tolist(), "replayed": replayed[name].tolist()}
                return {"bin": index, "field": name, **values}
        return {"bin": index, "field": "padding"}
