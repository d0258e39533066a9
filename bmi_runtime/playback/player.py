"""Plays a recording as telemetry, so that the windows of a live session serve a replay alike.

The replay steps the same session as `bmi replay`; what it publishes are the recorded bytes and the model that the
replay arrives at. An index of the whole recording (the model twice a second, and whether every output is identical to
the recorded one) grows while the player is idle.
"""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import STREAMS, WIRE_VERSION, latency_ns, pack, unpack, without_missing
from bmi_runtime.playback.index import Index
from bmi_runtime.playback.position import Position
from bmi_runtime.playback.what_if import WhatIf
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.trials import is_whole_trial
from bmi_runtime.session.live_parameters import live_parameters
from bmi_runtime.session.replay import recorded_config

FRAME_S = 1.0 / STREAMS["step"].publish_hz
PAST_S, PAST_COUNTS_S = 60.0, 10.0  # of steps, and of counts, that a window is given of the past
SPEEDS = (0.1, 100.0)  # slowest and fastest, times real time


class Player:
    """A recording with a position, and the messages that a window needs of it.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path):
        self.recording = recording = Recording(path)
        if not recording.n_steps:
            raise BadInput(f"{recording.path} holds no bin, so there is nothing to play")
        self.config = recorded_config(recording)
        self.bin_s = self.config.bin_s
        self.position = Position(recording)
        self.index = Index(recording, self.config)
        self.steps = self.position.replay.steps
        timing = self.steps["timing"]
        self._latency_us = latency_ns(timing["stage_ns"], timing["lateness_ns"]) / 1e3
        self.past = self._read_past()
        self._trial_bins = {at for at, _, body in self.past if unpack(body).get("name") == "trial"}
        self._named_marks = [[at + 1, stream, _name(unpack(body))] for at, stream, body in self.past]
        self.playing, self.speed, self.epoch = False, 1.0, 1
        self.publish = lambda stream, bin_index, message: None
        self._owed_bins = 0.0
        self.what_if: WhatIf | None = None

    def _read_past(self) -> list[tuple[int, str, bytes]]:
        """Return events and commands of the recording as ``(bin, stream, packed)``, by bin."""
        past = []
        for stream in ("event", "command"):
            if self.recording.stream_counts.get(stream):
                for _, message in self.recording.messages(stream):
                    at = self.recording.place(message.get("bin", message.get("bins", 0)))
                    message["bin"] = at
                    if "first_bin" in message:
                        message["first_bin"] = self.recording.place(message["first_bin"])
                    if is_whole_trial(message, self.config.space.n_axes):
                        message |= self._path_of(message)
                    past.append((at, stream, pack({"v": WIRE_VERSION, **message})))
        return sorted(past, key=lambda item: item[0])

    def _path_of(self, trial: dict[str, Any]) -> dict[str, Any]:
        """Return where the cursor of a trial began and how far it went, which a window that jumped has not seen."""
        last = min(int(trial["bin"]), len(self.steps) - 1)
        first = max(last + 1 - round(float(trial["time_to_target_s"]) / self.bin_s), 0)
        if last <= first:
            return {}
        where = self.steps["output"]["cursor"][first : last + 1, : self.config.space.n_axes]
        path_m = float(np.linalg.norm(np.diff(where, axis=0), axis=1).sum())
        return {"start_m": where[0].tolist(), "path_m": path_m}

    @property
    def bin(self) -> int:
        """The bin that is shown."""
        return self.position.bin

    # -- what a window asks ----------------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Return everything about this moment: configuration, model, and the past as far as a window shows it."""
        self.index.grow_to(self.bin)
        return {
            "config": self.config.model_dump(),
            "bin": self.bin,
            "elapsed_s": self.bin * self.bin_s,
            "recording": str(self.recording.path),
            "simulated": False,
            "epoch": self.epoch,
            "live_parameters": live_parameters(self.position.session),
            "model": self.model_message(),
            "model_history": self.index.until(self.bin),
            "recent": self._recent(),
            "health": self.health(),
            "replay": self.status(),
        }

    def status(self) -> dict[str, Any]:
        """Return where the player is."""
        return {
            "bins": len(self.steps),
            "bin": self.bin,
            "paused": not self.playing,
            "speed": self.speed,
            "indexed_bins": self.index.position.bin,
            "first_difference": self.index.position.first_difference,
            "complete": self.recording.complete,
            "lost_bytes": self.recording.lost_bytes,
            "growing": self.recording.path.stat().st_size > self.recording.size_bytes,
            "was_simulated": self.config.source.kind == "simulated",
            "what_if_running": self.what_if is not None and not self.what_if.done,
            "marks": self._marks(),
        }

    def health(self) -> dict[str, Any]:
        """Return the latencies of the recorded bins up to this moment."""
        total_us = self._latency_us[: self.bin]
        if not len(total_us):
            return {"bins": 0}
        values = np.percentile(total_us, (50.0, 99.0, 99.9, 100.0)).tolist()
        misses = int(np.count_nonzero(self.steps["timing"]["deadline_missed"][: self.bin]))
        latency_us = dict(zip(("p50", "p99", "p99_9", "max"), values, strict=True))
        return {"bins": self.bin, "latency_us": latency_us, "deadline_misses": misses}

    def _marks(self) -> list[list[Any]]:
        """Return where something has just happened: ``[bins done, stream, what]``."""
        return self._named_marks

    def _recent(self) -> list[list[Any]]:
        """Return the past, oldest first, as ``[stream, packed message]``: all events, a minute of steps."""
        recent: list[list[Any]] = []
        start = max(self.bin - round(PAST_S / self.bin_s), 0)

        def steps_until(stop: int) -> None:
            nonlocal start
            if stop > start:
                message = {"v": WIRE_VERSION, "bin": stop, **self.step_message(start, stop)}
                recent.append(["step", pack(message)])
                start = stop

        for at, stream, body in self.past:
            if at >= self.bin:
                break
            if at >= start and at in self._trial_bins:  # a window looks at the spikes before a trial's end when it ends
                steps_until(at + 1)
            recent.append([stream, body])
        steps_until(self.bin)
        return recent

    def step_message(self, start: int, stop: int) -> dict[str, Any]:
        """Return bins `start` to `stop` as one message: a picture's worth, the last bin whole, its counts summed.

        Longer stretches (a fast replay, the past) are cut into pictures of the same length, so that a second is as wide
        on the screen at every speed: ``past_steps`` holds the last bins of the earlier ones, ``past_counts`` and
        ``past_bins`` the counts of the newest of them.
        """
        every = max(round(FRAME_S / self.bin_s), 1)
        stops = np.arange(stop, start, -every)[::-1]
        starts = np.maximum(stops - every, start)
        message: dict[str, Any] = {"step": self.steps[stop - 1].tobytes(), "bins": int(stops[-1] - starts[-1])}
        counts = self.steps["input"]["counts"]
        shown_counts = without_missing(counts[starts[-1] : stop]).sum(axis=0, dtype=float)
        message |= {"counts": shown_counts, "epoch": self.epoch}
        if len(stops) > 1:
            shown = max(len(stops) - 1 - round(PAST_COUNTS_S / FRAME_S), 0)
            ends = stops[shown:-1]
            message["past_steps"] = self.steps[stops[:-1] - 1].tobytes()
            message |= {
                "past_at": stops[:-1],
                "past_counts": _summed(counts, starts[shown:-1], ends),
                "past_bins": ends - starts[shown:-1],
            }
        return message

    def model_message(self) -> dict[str, Any]:
        """Return weights and covariances at this moment, and the truth where it is known."""
        session = self.position.session
        message = session.model.state()
        message["predicted_sd"] = session.adaptation.monitor.error_sd()
        truth = self.index.truth_at(self.bin)
        if truth is not None:
            message["truth"] = truth
        return message

    # -- moving ----------------------------------------------------------------------------------------------------

    def seek(self, bin_index: int) -> None:
        """Go to a bin; windows are told to ask for the state again."""
        self.position.go_to(int(bin_index))
        self.epoch += 1
        self._owed_bins = 0.0
        self.show_model()

    def show_model(self) -> None:
        """Publish the model of this moment."""
        self.publish("model", self.bin, {**self.model_message(), "epoch": self.epoch})

    def step(self, bins: int) -> None:
        """Play a few bins on, or jump a few back."""
        if bins < 0:
            self.seek(self.bin + bins)
            return
        start = self.bin
        self.position.advance(bins)
        if self.bin > start:
            self._publish_range(start, self.bin)
        else:
            self.playing = False

    def _publish_range(self, start: int, stop: int) -> None:
        self.publish("step", stop, self.step_message(start, stop))
        first = bisect.bisect_left(self.past, start, key=lambda item: item[0])
        last = bisect.bisect_left(self.past, stop, key=lambda item: item[0])
        for at, stream, body in self.past[first:last]:
            self.publish(stream, at, {**_opened(body), "epoch": self.epoch})

    def tick(self, elapsed_s: float) -> None:
        """Play on for `elapsed_s` of wall time."""
        if not self.playing:
            return
        self._owed_bins += elapsed_s * self.speed / self.bin_s
        every = max(round(FRAME_S / self.bin_s), 1)
        bins = int(self._owed_bins) // every * every  # whole pictures: all columns of a raster are equally wide
        self._owed_bins -= bins
        if bins:
            self.step(bins)

    def work(self) -> bool:
        """Do a small piece of what waits (a what if, else the index); return whether more waits."""
        if self.what_if is not None and not self.what_if.done:
            self.what_if.grow()
            return True
        if not self.index.done:
            self.index.grow()
            return True
        return False

    # -- commands --------------------------------------------------------------------------------------------------

    def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Answer one command of a window.

        Raises
        ------
        BadInput
            When the command is not one of a replay's.
        """
        if command.get("get") == "hello":
            return self.hello()
        if command.get("get") == "replay":
            return {"replay": self.status()}
        if command.get("get") == "what-if":
            if self.what_if is None:
                raise BadInput("no other setting has been asked for yet")
            return {"what_if": self.what_if.answer(self.bin_s), "done": self.what_if.done}
        name = command.get("do")
        if name == "play":
            self.playing = True
        elif name in ("pause", "stop"):
            self.playing = False
        elif name == "step":
            self.playing = False
            self.step(_whole(command.get("bins", 1), "bins"))
        elif name == "seek":
            self.seek(_whole(command.get("bin"), "bin"))
        elif name == "what-if":
            sides = ([str(text) for text in command.get(side, ())] for side in ("first", "second"))
            self.what_if = WhatIf(self.recording, *sides)
        elif name == "speed":
            self.speed = _speed(command.get("value"))
        elif "set" in command or "note" in command:
            raise BadInput("a recording cannot be changed; ask what another setting would have done with What if")
        else:
            raise BadInput("a replay knows play, pause, step, seek, speed, what-if, and {'get': 'hello'}")
        return {"replay": self.status()}


def _name(message: dict[str, Any]) -> str:
    """Return what a message tells of, in a few words to search for."""
    if message.get("name") == "trial":
        return f"trial {message.get('trial')}"
    return str(message.get("note") or message.get("set") or message.get("name") or message.get("do") or "")[:80]


def _summed(counts: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the counts of consecutive stretches, (stretches, units)."""
    inside = without_missing(counts[starts[0] : stops[-1]])
    return np.add.reduceat(inside, starts - starts[0], axis=0, dtype=np.float32)


def _opened(body: bytes) -> dict[str, Any]:
    return {key: value for key, value in unpack(body).items() if key not in ("v", "bin", "seq")}


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int | float) or value != value:
        raise BadInput(f"'{name}' must be a whole number, got {value!r}")
    return int(value)


def _speed(value: Any) -> float:
    if not isinstance(value, int | float) or not SPEEDS[0] <= value <= SPEEDS[1]:
        raise BadInput(
            f"the speed of a replay lies between {SPEEDS[0]:g} and {SPEEDS[1]:g} times real time, got {value!r}"
        )
    return float(value)
