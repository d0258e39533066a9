"""The table of intentions. A new one is a file with a class, a row here (or an entry point), and a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from bmi_runtime import registry
from bmi_runtime.config import AdapterConfig

INTENTIONS = {
    "optimal-control": "bmi_runtime.intention.infer:OptimalControlIntention",
    "rotated": "bmi_runtime.intention.infer:RotatedIntention",
    "inferred-target": "bmi_runtime.intention.inferred_target:InferredTargetIntention",
}
RECORDED = "recorded"
"""Needs no class: the kinematics of the bin."""
TABLE = registry.Table(
    "intention", INTENTIONS, "bmi_runtime.intentions", ("infer(cursor, target, trial_state)", "snapshot()", "restore()")
)


@runtime_checkable
class Intention(Protocol):
    """What the subject is taken to want, bin by bin. Made with the section ``[adapter]``, the bin (s), and the axes."""

    def infer(self, cursor: Sequence[float], target: Sequence[float], trial_state: int) -> Sequence[float]:
        """Return the intended velocity (m/s), one number per axis.

        Parameters
        ----------
        cursor : sequence of float
            Position (m), then velocity (m/s): what the subject saw.
        target : sequence of float
            Position and radius, m.
        trial_state : int
            `messages.TrialState`.
        """

    def snapshot(self) -> Any:
        """Return what the next bin depends on: numbers, lists and dicts of them, arrays."""

    def restore(self, snapshot: Any) -> None:
        """Restore state saved by :meth:`snapshot`."""


class BaseIntention:
    """A start for an intention without a memory: only :meth:`infer` is left to write.

    Parameters
    ----------
    config : AdapterConfig
    bin_s : float
    n_axes : int

    Attributes
    ----------
    options : Options
        What ``adapter.intention_options`` says, checked.
    """

    class Options(registry.Options):
        """What ``adapter.intention_options`` may say: nothing. An intention with options has typed fields here."""

    def __init__(self, config: AdapterConfig, bin_s: float, n_axes: int = 2):
        self.config, self.bin_s, self.n_axes = config, bin_s, n_axes
        self.options = registry.checked_options(type(self), config.intention_options, "adapter.intention_options")

    def infer(self, cursor: Sequence[float], target: Sequence[float], trial_state: int) -> Sequence[float]:
        """Return the intended velocity (m/s)."""
        raise NotImplementedError

    def snapshot(self) -> Any:
        """Return what the next bin depends on: nothing."""
        return []

    def restore(self, snapshot: Any) -> None:
        """Restore state saved by :meth:`snapshot`."""


def names() -> list[str]:
    """Return the names of all intentions, those of other packages included."""
    return [*TABLE.names(), RECORDED]


def make_intention(kind: str, config: AdapterConfig, bin_s: float, n_axes: int) -> Intention | None:
    """Return the intention of this name; None when the recorded kinematics are it.

    Raises
    ------
    BadInput
        When there is none of that name (``adapter.intention``), or it cannot be made.
    """
    if kind == RECORDED:
        return None
    if kind not in TABLE.names():
        raise registry.unknown("intention", kind, names())
    found = TABLE.find(kind)
    if kind != config.intention:  # chosen live: the options are those of another
        config = config.model_copy(update={"intention_options": {}})
    registry.checked_options(found, config.intention_options, "adapter.intention_options")
    return registry.made_recordable("intention", kind, found, config, bin_s, n_axes)
