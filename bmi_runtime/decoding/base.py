"""What a decoder is: the protocols that the step asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bmi_runtime.errors import BadInput


class NotFinite(BadInput):
    """A decoder's answer is not finite: it may recover, so the session freezes and starts it again."""


@runtime_checkable
class Decoder(Protocol):
    """What every decoder can do; the other protocols of this module are what it may be able to do (FALCON's verbs).

    Sizes: counts are (units,), the answer is a velocity (m/s, one number per axis) or position (m) and velocity.
    """

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return velocity, or position and velocity. May take ``valid`` (units,) beside it."""


@runtime_checkable
class Resets(Protocol):
    """Forgets its state when asked."""

    def reset(self) -> None:
        """Forget the state; keep the parameters."""


@runtime_checkable
class Observes(Protocol):
    """Takes bins in that nobody wants decoded."""

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin."""


@runtime_checkable
class NotesTrials(Protocol):
    """Wants to know when a trial ended."""

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""


@runtime_checkable
class Coasts(Protocol):
    """Knows what to do in a bin without data; otherwise the velocity is kept."""

    def coast(self) -> None:
        """Go on one bin without data; ``state`` is read afterwards where it has one."""


@runtime_checkable
class TakesPosition(Protocol):
    """Wants to know where the cursor is (assist and walls move it, too)."""

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known, one number per axis."""


@runtime_checkable
class Snapshots(Protocol):
    """Says itself what its next bin depends on; otherwise its arrays, numbers and texts are taken."""

    def snapshot(self) -> dict[str, Any]:
        """Return copies: arrays, numbers, texts, and lists and dicts of them."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""


@runtime_checkable
class Learns(Protocol):
    """Learns from what was meant, bin after bin, while the session adapts."""

    def learn(self, counts: np.ndarray, valid: np.ndarray, velocity_m_s: Sequence[float], learning_rate: float) -> None:
        """Learn from the bin that was just decoded: its counts, the velocity that was meant, the units' rate."""


@runtime_checkable
class ReportsLargestRate(Protocol):
    """Has a model of the units' rates that can explode."""

    largest: float
    """The largest log expected count per bin of the newest one."""


class SessionDecoder(Protocol):
    """What the step asks for: the project's own filter has it, a host (`decoding.hosting`) gives it to any other."""

    state: np.ndarray
    variance: np.ndarray
    failure: str

    @property
    def largest(self) -> float:
        """The largest log expected count per bin of the newest one."""

    def predict(
        self,
        counts: np.ndarray,
        valid: np.ndarray | None = None,
        features: np.ndarray | None = None,
        features_valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Process one bin and return position (m) and velocity (m/s)."""

    def coast(self) -> None:
        """Go on one bin without data."""

    def reset(self) -> None:
        """Forget the state."""

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known."""

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""

    def is_kin_of(self, other: Any) -> bool:
        """Return whether another decoder's snapshot can be restored here."""

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
