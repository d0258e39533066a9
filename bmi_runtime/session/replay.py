"""Replay: a recording's bins and commands through the same step, compared with what was recorded."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.config import Config
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import OUTPUT_DTYPE
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.core import Session, warm_up


def recorded_config(recording: Recording, overrides=()) -> Config:
    """Return the configuration in the recording's header, with ``section.key=value`` overrides."""
    data = recording.header.get("config")
    if not isinstance(data, dict):
        raise BadInput(f"{recording.path} has no configuration in its header, so it cannot be replayed")
    for text in overrides:
        configuration.override(data, text)
    return configuration.from_dict(data, str(recording.path))


def first_snapshot(recording: Recording) -> dict[str, Any]:
    """Return the session's state before the first bin."""
    for _, snapshot in recording.messages("snapshot"):
        return snapshot
    raise BadInput(f"{recording.path} ends before its first snapshot, so it cannot be replayed")


def session_from(recording: Recording, overrides=()) -> Session:
    """Return a session in the state in which the recording began.

    With overrides the parameters that they change come from them, everything else from the recording.
    """
    config = recorded_config(recording, overrides)
    snapshot = first_snapshot(recording)
    state = snapshot["model"]
    model = EncodingModel(
        state["weights"].copy(),
        state["covariance"].copy(),
        config.session.likelihood,
        config.bin_s,
        state["noise_variance"],
    )
    session = Session(config, model)
    if overrides:  # what may change live comes from the new configuration
        live = [session.adapting, session.assist, session.hold]
        fresh = session.oversight.snapshot()["rate"]
        watched = snapshot["oversight"] | {"rate": fresh}
        chosen = {"task_kind": session.task_kind, "decoder_settings": session.decoder_settings()}
        snapshot = snapshot | {"live": live, "oversight": watched, **chosen}
    try:
        session.restore(snapshot)
    except KeyError as error:
        raise BadInput(
            f"{recording.path} was made by another version (its snapshot has no {error}); replay it with the version "
            "that `bmi inspect` names"
        ) from None
    return session


def compared(recorded: np.ndarray, velocity_m_s: np.ndarray) -> dict[str, float | None]:
    """Return what another setting decoded from the same spikes, beside what was decoded in the session.

    The measure is the root mean square distance of the decoded velocity from the intention that was recorded (and which
    the other setting did not change: a subject would have answered to the other cursor).

    Parameters
    ----------
    recorded : structured ndarray, (bins,)
        Outputs of the session.
    velocity_m_s : ndarray, (bins, 2)
        Decoded with the other setting; not a number where nothing was.

    Returns
    -------
    dict
        ``error_recorded_m_s`` and ``error_replayed_m_s``, the same of the last half as ``..._last_half_m_s``, and
        ``changed_m_s``, the root mean square of the difference; None where no bin has all of them.
    """
    was, meant = recorded["decoded"][:, 2:], recorded["intended"]
    apart = {"error_recorded": was - meant, "error_replayed": velocity_m_s - meant, "changed": velocity_m_s - was}
    known = np.isfinite(np.hstack(list(apart.values()))).all(axis=1)
    half = known & (np.arange(len(known)) >= len(known) // 2)
    answer = {f"{name}_m_s": _rms(rows[known]) for name, rows in apart.items()}
    return answer | {f"{name}_last_half_m_s": _rms(apart[name][half]) for name in ("error_recorded", "error_replayed")}


def _rms(rows: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(np.sum(rows**2, axis=1)))) if len(rows) else None


class Replay:
    """Steps a session through a recording.

    Parameters
    ----------
    recording : Recording
    overrides : sequence of str
        What if: ``adapter.learning_rate=1e-5`` and the like. They hold throughout: commands of the recording that set
        the same are left out.
    """

    def __init__(self, recording: Recording, overrides=()):
        self.recording, self.asks = recording, bool(overrides)
        self.session = session_from(recording, overrides)
        self.steps = recording.steps()
        if self.steps.dtype != self.session.record.dtype:
            raise BadInput(
                f"{recording.path} was made by another version (its steps are laid out otherwise); replay it with the "
                "version that `bmi inspect` names"
            )
        self.commands: dict[int, list[dict]] = {}
        named = {text.partition("=")[0].strip() for text in overrides}
        for _, message in recording.messages("command"):
            if "set" in message and message["set"] not in named:
                self.commands.setdefault(int(message["bin"]), []).append(
                    {"set": message["set"], "value": message["new"]}
                )
        self.position = 0
        fields: Any = self.steps.dtype.fields
        self._middle, self._end = fields["output"][1], fields["timing"][1]
        dtype = self.steps.dtype
        self._raw = np.ascontiguousarray(self.steps).data.cast("B") if len(self.steps) else memoryview(b"")
        self._size = dtype.itemsize

    def next(self) -> bool:
        """Step one bin; return whether the output is identical to the recorded one."""
        start = self.position * self._size
        for command in self.commands.get(self.session.bins, ()):
            self.session.apply(command)
        record = self.session.step(self._raw[start : start + self._middle])
        self.session.events.clear()
        self.position += 1
        return bytes(record.output_bytes) == bytes(self._raw[start + self._middle : start + self._end])

    def run(self, verify: bool = True, advance=None) -> dict[str, Any]:
        """Replay everything; with `verify` stop at the first bin that differs.

        Returns
        -------
        dict
            ``bins, identical, first_divergence, output_digest, realtime_factor``; with overrides also
            `decoded`, see `compared` (not to verify).
        """
        warm_up(self.session.config)
        asks = self.asks and not verify
        velocity_m_s = np.full((len(self.steps) if asks else 0, 2), np.nan)
        begin, digest, divergence = time.perf_counter(), hashlib.blake2b(digest_size=16), None
        for index in range(len(self.steps)):
            same = self.next()
            digest.update(self.session.record.output_bytes)
            if asks:
                velocity_m_s[index] = self.session.record.array["output"][0]["decoded"][2:]
            if not same and divergence is None:
                divergence = self.difference(index)
                if verify:
                    break
            if advance and index % 1000 == 999:
                advance(1000)
        seconds = max(time.perf_counter() - begin, 1e-9)
        result = {
            "bins": self.position,
            "identical": divergence is None,
            "first_divergence": divergence,
            "output_digest": digest.hexdigest(),
            "realtime_factor": self.position * self.session.config.bin_s / seconds,
        }
        return result | ({"decoded": compared(self.steps["output"], velocity_m_s)} if asks else {})

    def difference(self, index: int) -> dict[str, Any]:
        """Return the bin and the first field whose bits differ, with both values."""
        recorded, replayed = self.steps[index]["output"], self.session.record.array["output"][0]
        for name in OUTPUT_DTYPE.names or ():
            if recorded[name].tobytes() != replayed[name].tobytes():
                values = {"recorded": recorded[name].tolist(), "replayed": replayed[name].tolist()}
                return {"bin": index, "field": name, **values}
        return {"bin": index, "field": "padding"}
