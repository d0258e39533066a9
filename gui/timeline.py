"""What belongs on every curve: marks, blocks, and the way of the cursor in the trial under way. No Qt here."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Mark:
    """Something that belongs on every curve: a change of a parameter, a hold, a marker, a change of safety state."""

    bin: int
    t_s: float
    kind: str  # change, hold, marker, safety
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """A stretch of the session in which task, adaptation and decoder were the same."""

    number: int
    t_s: float
    task: str
    adapting: bool
    frozen: bool
    name: str = ""


@dataclasses.dataclass
class Path:
    """The way of the cursor since the trial began, as far as this window saw it.

    Attributes
    ----------
    start : tuple of float or None
        Where it began, m; None before the first step of a trial.
    length_m : float
    last_target : tuple of float or None
        Of the trial before, where a trial begins when nothing was seen of its start.
    """

    start: tuple[float, ...] | None = None
    length_m: float = math.nan
    last_target: tuple[float, ...] | None = None
