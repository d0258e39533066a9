"""What every section of the configuration is."""

from typing import Annotated, Any, ClassVar

import pydantic
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

LONGEST_S = 1e9  # thirty years: a time beyond it is a mistake, and overflows a count of nanoseconds or bins


class Section(pydantic.BaseModel):
    """A group of keys: unknown keys are errors, nothing changes after loading."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    IN_STEP: ClassVar[bool] = True
    """Whether the step reads it, so that a session that is resumed must keep it; otherwise it is the shell's."""
    OTHERWISE: ClassVar[tuple[str, ...]] = ()
    """Keys for which the opposite holds."""

    @pydantic.field_validator("*", mode="after")
    @classmethod
    def _time_that_can_be(cls, value: Any, field: pydantic.ValidationInfo) -> Any:
        name = field.field_name or ""
        is_time = name.endswith("_s") and not name.endswith(("_m_s", "_per_root_s"))
        if is_time and isinstance(value, float) and value > LONGEST_S:
            raise PydanticCustomError("time", "A time is at most {most} s", {"most": f"{LONGEST_S:g}"})
        return value


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise PydanticCustomError("range", "A range goes from its lower to its upper end")
    return ends


def _rates(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] < 0 or ends[1] == 0:
        raise PydanticCustomError("range", "Rates are drawn from above zero: their logarithm is a weight")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
RateRange = Annotated[Range, AfterValidator(_rates)]
