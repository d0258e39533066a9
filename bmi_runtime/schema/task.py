"""What is asked of the subject: the task, and the blocks of a session."""

from typing import Any, Literal

import pydantic
from pydantic import Field

from bmi_runtime.schema.section import Section


class TaskConfig(Section):
    """The task."""

    kind: str = "centre-out"
    targets: int = Field(8, ge=1, le=64, description="on a ring")
    places: Literal["auto", "ring", "corners", "axes"] = Field(
        "auto", description="where targets stand; auto: a ring (2 axes), corners of a cube (3), both ends of every axis"
    )
    distance_m: float = Field(0.1, gt=0.0)
    target_radius_m: float = Field(0.017, gt=0.0)
    hold_s: float = Field(0.3, ge=0.0)
    timeout_s: float = Field(8.0, gt=0.0)
    pause_s: float = Field(0.2, ge=0.0)
    workspace_m: float = Field(0.2, gt=0.0, description="the cursor stays within plus or minus this")
    assist: float = Field(0.0, ge=0.0, le=1.0)
    assist_fade: Literal["none", "success", "time"] = "none"
    assist_fade_s: float = Field(60.0, gt=0.0)
    options: dict[str, Any] = Field(default_factory=dict)


BLOCK_KINDS: dict[str, tuple[float, bool]] = {
    "observe": (1.0, True),
    "assisted": (0.5, True),
    "adapt": (0.0, True),
    "fixed": (0.0, False),
    "free": (0.0, False),
}
"""Of each kind of block: the assist, and whether the model is adapted, where the block does not say."""


class BlockConfig(Section):
    """A stretch of the session: what is done in it, and when it ends (the first of its conditions; none: when told)."""

    kind: Literal["observe", "assisted", "adapt", "fixed", "free"] = Field(
        description="observe: the cursor follows the aim, the model learns; assisted; adapt: without assist; fixed: "
        "nothing is learned; free: no targets"
    )
    name: str = Field("", max_length=60, description="what it is called; empty: its kind")
    length_s: float = Field(0.0, ge=0.0, description="in which the cursor may move; the trial under way is finished")
    trials: int = Field(0, ge=0, description="ends after so many trials")
    success_rate: float = Field(0.0, ge=0.0, le=1.0, description="ends when this share of the last trials succeeded")
    success_trials: int = Field(10, ge=1, le=1000, description="how many last trials that share is of")
    task: str = Field("", description="task.kind; empty: as it was (free: no targets)")
    decoder: str = Field("", description="decoder.kind, or a fitted file; empty: as it was")
    freeze: bool | None = Field(None, description="decode with the parameters of its beginning; not given: as it was")
    assist: float | None = Field(None, ge=0.0, le=1.0)
    adapt: bool | None = None
    learning_rate: float | None = Field(None, ge=0.0, le=1.0, description="not given: as it was")
    intention: str = Field(
        "", description="empty: adapter.intention; in a free block that adapts: inferred-target over a grid"
    )

    @pydantic.model_validator(mode="after")
    def _does_what_its_kind_says(self):
        if self.kind in ("adapt", "fixed", "free") and self.assist:
            raise ValueError(f"a block of kind '{self.kind}' has no assist; 'assisted' has")
        if self.kind in ("observe", "assisted") and self.assist == 0.0:
            raise ValueError(f"a block of kind '{self.kind}' is assisted; without assist it is 'adapt' or 'fixed'")
        if self.kind == "fixed" and self.adapt:
            raise ValueError("a block of kind 'fixed' does not adapt; 'adapt' does")
        if self.kind == "free" and not self.task and (self.trials or self.success_rate):
            raise ValueError("a free block without a task has no trials to end by; give length_s, a task, or neither")
        return self

    @property
    def shown_name(self) -> str:
        """What the block is called."""
        return self.name or self.kind
