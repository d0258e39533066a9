"""What real devices do and tidy stand-ins do not: blocks of any length, jitter, pauses, a clock that starts again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError

LET_GO_TRIES, LET_GO_S = 100, 0.02  # to open an address that was just closed


@dataclasses.dataclass(frozen=True)
class Habits:
    """What ``source.options`` of a stand-in may say, whatever its protocol.

    Attributes
    ----------
    block_s : float
        What the device has is sent in blocks of so long, whatever a bin is (23.2 ms: 697 samples of 30 kHz). 0: bins.
    jitter_s : float
        Each block leaves up to so much late, drawn uniformly.
    pause_every_s, pause_s : float
        Every so often nothing is sent for so long, and what was not sent is lost. 0: never.
    restart_every_s : float
        Every so often the device is switched off and on: it connects again, and its clock begins again. 0: never.
    """

    block_s: float = 0.0
    jitter_s: float = 0.0
    pause_every_s: float = 0.0
    pause_s: float = 0.5
    restart_every_s: float = 0.0

    @classmethod
    def of(cls, config: Config) -> Habits:
        """Return the habits that a configuration names; raise `BadInput` for one that is no number of seconds."""
        values = {}
        for field in dataclasses.fields(cls):
            value = config.source.options.get(field.name, field.default)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 3600:
                raise BadInput(f"source.options.{field.name} must be a number of seconds from 0, got {value!r}")
            values[field.name] = float(value)
        return cls(**values)


class WithHabits:
    """A stand-in with bad habits.

    Parameters
    ----------
    make : callable
        Makes the stand-in; called again when the device is switched off and on.
    habits : Habits
    continuous : bool
        Features, which are averaged over a block, rather than counts, which are shared out.
    rng : numpy.random.Generator
    sleep : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        habits: Habits,
        continuous: bool,
        rng: np.random.Generator,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.make, self.habits, self.continuous, self.rng, self.sleep = make, habits, continuous, rng, sleep
        self.inner = make()
        self.restarts = self._messages = self._spikes = 0
        self._pending: list[tuple[int, int, np.ndarray]] = []
        self._sent_until: int | None = None
        self._first_ns = self._began_ns = 0  # what the clock said at the very first, and at the newest start

    @property
    def messages(self) -> int:
        """Messages sent so far."""
        return self._messages + self.inner.messages

    @property
    def spikes(self) -> int:
        """Spikes sent so far."""
        return self._spikes + self.inner.spikes

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Take the counts or features (units,) of a piece of device time; send what makes whole blocks."""
        if self._sent_until is None:
            self._sent_until = self._first_ns = self._began_ns = from_ns
        self._pending.append((from_ns, until_ns, values))
        block_ns = self._whole_entries(round(self.habits.block_s * 1e9)) or until_ns - self._sent_until
        while self._sent_until + block_ns <= until_ns:
            self._block(self._sent_until, self._sent_until + block_ns)
            self._sent_until += block_ns

    def _whole_entries(self, block_ns: int) -> int:
        """Return the length of a block; of a protocol whose entries have a width of their own it holds whole ones."""
        entry_ns = getattr(self.inner, "entry_ns", None)
        return block_ns if not entry_ns else round(block_ns / entry_ns) * entry_ns

    def _block(self, from_ns: int, until_ns: int) -> None:
        values = self._taken(from_ns, until_ns)
        if self._due(self.habits.restart_every_s, from_ns - self._began_ns):
            self._restart(from_ns)
        elapsed_s = (from_ns - self._first_ns) * 1e-9
        every_s = self.habits.pause_every_s
        if every_s and elapsed_s >= every_s and elapsed_s % every_s < self.habits.pause_s:
            return
        if self.habits.jitter_s:
            self.sleep(float(self.rng.uniform(0.0, self.habits.jitter_s)))
        shift = self._began_ns - self._first_ns
        self.inner.emit(from_ns - shift, until_ns - shift, values)

    @staticmethod
    def _due(every_s: float, elapsed_ns: int) -> bool:
        return every_s > 0 and elapsed_ns >= every_s * 1e9

    def _taken(self, from_ns: int, until_ns: int) -> np.ndarray:
        """Take out of what is pending what lies in a piece of time; a count is shared out spike by spike."""
        total, kept = np.zeros(self._pending[0][2].shape, float), []
        for start, end, values in self._pending:
            inside = max(min(end, until_ns) - max(start, from_ns), 0)
            share = inside / (end - start)
            if self.continuous:
                total += values * inside / (until_ns - from_ns)
                taken = values * 0
            else:
                taken = values if share >= 1.0 else self.rng.binomial(values, share)
                total += taken
            if end > until_ns:
                kept.append((max(start, until_ns), end, values - taken))
        self._pending = kept
        return total if self.continuous else total.astype(np.int64)

    def _restart(self, from_ns: int) -> None:
        self._messages, self._spikes = self.messages, self.spikes
        self.inner.close()
        self.inner, self._began_ns = self._made_again(), from_ns
        self.restarts += 1

    def _made_again(self) -> Any:
        """Return a new one; a socket that was closed lets go of its address a moment later."""
        for _ in range(LET_GO_TRIES):
            try:
                return self.make()
            except BmiError:
                self.sleep(LET_GO_S)
        return self.make()

    def watch(self, target: list[float]) -> None:
        """See the target that is on the screen now."""
        if (watch := getattr(self.inner, "watch", None)) is not None:
            watch(target)

    @property
    def done(self) -> bool:
        """Whether a file that is played has ended."""
        return bool(getattr(self.inner, "done", False))

    def close(self) -> None:
        """Let go of sockets."""
        self.inner.close()
