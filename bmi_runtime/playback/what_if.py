"""The recorded spikes through two settings side by side, in pieces small enough to answer a window in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.paired import paired_errors, where_it_arises
from bmi_runtime.session.replay import Replay

MOST_ROWS = 1500  # of the curves, as many as a screen is wide
BEGIN = "from_s"
"""Beside ``section.key=value``: when in the recording the settings begin to hold."""


def split_begin(settings: Sequence[str]) -> tuple[list[str], float]:
    """Return the settings without ``from_s=...``, and when they begin to hold (s).

    Raises
    ------
    BadInput
        When that is not a number.
    """
    begins = [text for text in settings if text.partition("=")[0].strip() == BEGIN]
    kept = [text for text in settings if text not in begins]
    try:
        return kept, float(begins[-1].partition("=")[2]) if begins else 0.0
    except ValueError:
        raise BadInput(f"{BEGIN} takes seconds of the recording, got '{begins[-1]}'") from None


class WhatIf:
    """Two settings on the same spikes, each compared with the recorded intention, and both with each other.

    Everything that the subject saw and meant is that of the recording (`OpenLoopSession`). A recorded command to a
    parameter that a setting names is left out on that side, so that the setting holds to the end.

    Parameters
    ----------
    recording : Recording
    first, second : sequence of str
        ``section.key=value``, and ``from_s=SECONDS`` where they are to hold from a later moment on; an empty one is
        the session as it was recorded.

    Raises
    ------
    BadInput
        When a setting cannot be, or its effect cannot be known from a recording.
    """

    def __init__(self, recording: Recording, first: Sequence[str], second: Sequence[str]):
        self.settings = [list(first), list(second)]
        self.sides = [_side(recording, settings) for settings in self.settings]
        self._recorded = recording.steps()["output"]
        self.position = 0
        self.every = max(-(-len(self._recorded) // MOST_ROWS), 1)
        dimensions = self._recorded["intended"].shape[1]
        self._velocity = np.empty((2, len(self._recorded), dimensions))

    @property
    def done(self) -> bool:
        """Whether the whole recording has been replayed."""
        return self.position >= len(self._recorded)

    def grow(self) -> None:
        """Replay as many bins as one row of the answer stands for."""
        dimensions = self._velocity.shape[2]
        for index in range(self.position, min(self.position + self.every, len(self._recorded))):
            for side, velocity in zip(self.sides, self._velocity, strict=True):
                output = self._recorded[index]
                if side is not None and index >= side.first:
                    side.next()
                    output = side.session.record.array["output"][0]
                velocity[index] = output["decoded"][-dimensions:]
            self.position = index + 1

    def answer(self, bin_s: float) -> dict[str, Any]:
        """Return the curves of both settings, as far as they have been replayed.

        Returns
        -------
        dict
            ``settings``, two lists of str; ``time_s`` (n,); ``error_m_s`` (2, n), the root mean square error of the
            decoded velocity against the recorded intention; ``velocity_m_s`` (2, n, dimensions), as decoded in the last
            bin of each row; ``apart_m_s`` (n,), the root mean square distance between the two; and ``paired``, see
            `paired_errors`, with ``where``, a sentence or None where the interval holds zero.
        """
        meant, velocity = self._recorded["intended"][: self.position], self._velocity[:, : self.position]
        starts = np.arange(0, self.position, self.every)
        ends = np.minimum(starts + self.every, self.position)
        squares = np.sum((velocity - meant) ** 2, axis=2)
        apart = np.sum((velocity[1] - velocity[0]) ** 2, axis=1)
        paired = paired_errors(meant, velocity[0], velocity[1], bin_s)
        counts = ends - starts
        return {
            "settings": self.settings,
            "time_s": ends * bin_s,
            "error_m_s": np.sqrt(np.add.reduceat(squares, starts, axis=1) / counts) if len(starts) else squares,
            "velocity_m_s": velocity[:, ends - 1],
            "apart_m_s": np.sqrt(np.add.reduceat(apart, starts) / counts) if len(starts) else apart,
            "paired": paired | {"where": where_it_arises(paired["parts"]) if _apart(paired) else None},
        }


def _apart(paired: dict[str, Any]) -> bool:
    interval = paired["interval_m_s"]
    return interval is not None and interval[0] * interval[1] > 0.0


def _side(recording: Recording, settings: Sequence[str]) -> Replay | None:
    """Return the replay of one setting; None for the recording itself, which need not be stepped again."""
    overrides, from_s = split_begin(settings)
    return Replay(recording, overrides, from_s) if overrides else None
