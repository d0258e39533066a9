"""What an intention, or a task beside it, can do more than infer a velocity: small protocols that the step asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class OffersCandidates(Protocol):
    """A task that can say where its targets may stand, without saying which one is meant."""

    @property
    def candidates(self) -> Sequence[Sequence[float]]:
        """Positions (m, one number per axis)."""


@runtime_checkable
class WeighsLabels(Protocol):
    """An intention that is not sure, and says how the bin is to be learned from."""

    def offer(self, candidates: Sequence[Sequence[float]], workspace_m: float) -> None:
        """Take the candidates that task and screen offer; none: the whole workspace."""

    def labels(self) -> list[tuple[list[float], float]]:
        """Return intended velocities (m/s) with their probabilities, the likeliest last; none to learn nothing."""

    def news(self) -> dict[str, Any] | None:
        """Return an event when the labels have become too uncertain to teach, or known again."""


@runtime_checkable
class TeachesLate(Protocol):
    """An intention whose labels are those of an earlier bin: what came since has told which goal was meant."""

    lag_bins: int
    """How many bins ago; 0: of this bin."""

    @property
    def lost(self) -> bool:
        """Whether hardly any label is known."""


@runtime_checkable
class TellsOfRest(Protocol):
    """An intention of late labels that knows when the cursor dwelt on its goal."""

    @property
    def dwells(self) -> bool:
        """Whether it did in the earlier bin, which has no label."""

    @property
    def dwelling_aim(self) -> list[float]:
        """What was meant while it did, m/s: hardly more than nothing."""
