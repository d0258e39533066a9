"""Who was recorded, by whom and why."""

import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from bmi_runtime.schema.section import Section


def _age(text: str) -> str:
    if text and not AGE.fullmatch(text):
        raise PydanticCustomError("age", "An age is an ISO 8601 duration, such as P7Y, P90D, or P60Y/P65Y for a range")
    return text


AGE_PART = r"P(?=\d)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?"
AGE = re.compile(f"{AGE_PART}(/({AGE_PART})?)?")


class MetadataConfig(Section):
    """Who was recorded, by whom and why: written into the recording and its exports as it is given, never guessed."""

    IN_STEP = False

    model_config = pydantic.ConfigDict(coerce_numbers_to_str=True)

    subject_id: str = Field("", description="what the laboratory calls the subject")
    species: str = Field("", description="Latin binomial, such as Macaca mulatta or Homo sapiens")
    sex: Literal["", "M", "F", "O", "U"] = Field("", description="M, F, O (other), U (unknown)")
    age: Annotated[str, AfterValidator(_age)] = Field("", description="ISO 8601 duration, such as P7Y")
    experimenter: Annotated[tuple[str, ...], pydantic.BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = ()
    lab: str = ""
    institution: str = ""
    session_description: str = ""
    notes: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """What was given, by name."""
        return {name: value for name, value in self.model_dump().items() if value}
