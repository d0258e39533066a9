"""The configuration: one strict schema (TOML in, immutable object out), every key with its unit in its name.

``configs/default.toml`` shows every key with a comment. Overrides are ``section.key=value`` strings.
"""

import difflib
import os
import pathlib
import tomllib
import warnings
from typing import Any

import pydantic
from pydantic import Field

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import StateSpace
from bmi_runtime.schema.metadata import MetadataConfig
from bmi_runtime.schema.section import Section
from bmi_runtime.schema.shell import GuardConfig, OutputConfig, RealtimeConfig, RecordingConfig, TelemetryConfig
from bmi_runtime.schema.step import (
    AdapterConfig,
    DecoderConfig,
    EncodingConfig,
    SafetyConfig,
    SessionConfig,
    StateConfig,
)
from bmi_runtime.schema.task import BlockConfig, TaskConfig
from bmi_runtime.schema.world import PopulationConfig, SourceConfig, StimulationConfig, SubjectConfig
from bmi_runtime.toml_text import toml_value


class Config(Section):
    """Everything that a session is made from."""

    session: SessionConfig = SessionConfig()
    state: StateConfig = StateConfig()
    source: SourceConfig = SourceConfig()
    subject: SubjectConfig = SubjectConfig()
    population: PopulationConfig = PopulationConfig()
    encoding: EncodingConfig = EncodingConfig()
    adapter: AdapterConfig = AdapterConfig()
    decoder: DecoderConfig = DecoderConfig()
    task: TaskConfig = TaskConfig()
    block: tuple[BlockConfig, ...] = Field((), max_length=1000)
    recording: RecordingConfig = RecordingConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    output: OutputConfig = OutputConfig()
    safety: SafetyConfig = SafetyConfig()
    guard: GuardConfig = GuardConfig()
    realtime: RealtimeConfig = RealtimeConfig()
    stimulation: StimulationConfig = StimulationConfig()
    metadata: MetadataConfig = MetadataConfig()

    @property
    def continuous(self) -> bool:
        """True when the units give real-valued features."""
        return self.session.likelihood == "gaussian"

    @property
    def bin_s(self) -> float:
        """Width of a bin in seconds."""
        return self.session.bin_s or USUAL_BIN_S[self.session.likelihood]

    @property
    def space(self) -> StateSpace:
        """The brain state of the session."""
        return StateSpace(self.state.axes, self.state.click, self.state.units)

    @property
    def layout(self) -> tuple[int, bool, StateSpace, int]:
        """What the layout of a step depends on: arguments of `messages.step_dtype`, `Bin` and `StepRecord`."""
        return self.session.units, self.continuous, self.space, self.session.features

    @property
    def feature_bins(self) -> int:
        """How many bins go by from one set of features to the next."""
        return round(self.session.feature_bin_s / self.bin_s)


TABLES = ("block",)
"""Sections of which there are several: each is ``[[block]]`` in a file, and a list of tables in an override."""


LONGEST_GOT = 200  # characters of a wrong value that are repeated

RETIRED = {
    "source.command_address": "no source ever read it: `bmi simulate` hears of the cursor at telemetry.output_address",
}
"""Keys of former versions, and why each is gone: read without them, with one sentence for who still writes them."""


def folder() -> pathlib.Path:
    """Return the folder of the shipped configurations (in the checkout or in the installed package)."""
    here = pathlib.Path(__file__).resolve().parent
    installed = here / "configs"
    return installed if installed.is_dir() else here.parent / "configs"


def load(path: str | os.PathLike | None = None, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    """Load a configuration file and apply ``section.key=value`` overrides.

    Parameters
    ----------
    path : path-like, optional
        A TOML file, or the name of a shipped one (``hard_world``). None: the defaults.
    overrides : sequence of str
        Values are read as TOML, and as text where that fails.

    Raises
    ------
    BadInput
        All mistakes at once, each with the file, the key, and the nearest valid key.
    """
    origin: str = "the defaults"
    data: dict[str, Any] = {}
    if path is not None:
        origin, data = _read(path)
    for text in overrides:
        override(data, text)
        origin = f"{origin} with --set" if "--set" not in origin else origin
    data, gone = _without_retired(data)
    for key in gone:
        warnings.warn(f"{origin}: {key} is not read any more, delete it ({RETIRED[key]})", stacklevel=2)
    return from_dict(data, origin)


def _without_retired(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the data without keys of former versions, and those that there were."""
    gone = []
    for key in RETIRED:
        section, _, name = key.partition(".")
        if isinstance(data.get(section), dict) and name in data[section]:
            data = {**data, section: {other: value for other, value in data[section].items() if other != name}}
            gone.append(key)
    return data, gone


def from_dict(data: dict, origin: str = "configuration") -> Config:
    """Validate a nested dictionary; raise `BadInput` naming every bad key and its nearest valid neighbour."""
    try:
        return Config.model_validate(data)
    except pydantic.ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        raise BadInput(f"{origin}: " + "; ".join(lines)) from None


def as_recorded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration in a recording's header with what was so before there was a key for it."""
    data, _ = _without_retired(data)
    before = {"drift_scores": "white", "label_lag_s": 0.0, "unlabelled": "skip", "large_steps": "newton"}
    before |= {"label_noise": "assumed", "label_gain": "assumed", "search_lag_s": 0.0, "search_ladder": "nine"}
    before |= {"search_restarts": False, "label_misfit": "noise"}
    before |= {} if "state" in data else {"missing_axis": "skip"}
    safety = {"artifact_sd": 0.0, "artifact_rule": "whole", "exploded_units": "freeze", "exploded_after_s": 0.0}
    safety |= data.get("safety", {})
    return {**data, "adapter": {**before, **data.get("adapter", {})}, "safety": safety}


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Return what a TOML file says of subject and session: the keys of ``[metadata]``, with or without that heading.

    Raises
    ------
    BadInput
        When it cannot be read, or one of its keys or values is not allowed.
    """
    file = pathlib.Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"there is no file '{path}' with the subject's metadata") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} is not readable as TOML: {error}") from None
    table = data["metadata"] if isinstance(data.get("metadata"), dict) else data
    return from_dict({"metadata": table}, str(path)).metadata.given


def _read(path: str | os.PathLike) -> tuple[str, dict]:
    file = pathlib.Path(path)
    if not file.exists() and (folder() / f"{path}.toml").exists():
        file = folder() / f"{path}.toml"
    try:
        return str(path), tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        shipped = ", ".join(sorted(item.stem for item in folder().glob("*.toml")))
        raise BadInput(f"there is no configuration file '{path}'; give a path or one of: {shipped}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} is not readable as TOML: {error}") from None


def override(data: dict, text: str) -> None:
    """Set one ``section.key=value`` in a nested dictionary.

    Raises
    ------
    BadInput
        When it is not section.key=value.
    """
    key, equals, _ = text.partition("=")
    if not equals or ("." not in key and key.strip() not in TABLES):
        raise BadInput(f"--set needs section.key=value, got '{text}'")
    *parents, last = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise BadInput(f"--set {text}: '{parent}' is not a section")
    data[last] = value_of(text)


def value_of(text: str) -> Any:
    """Return the value of a ``section.key=value``: read as TOML, and as text where that fails."""
    value = text.partition("=")[2]
    try:
        return tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return value.strip()


def _sentence(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "value_error" and isinstance(item["input"], dict):
        return f"{where}: {item['msg'].removeprefix('Value error, ')}"
    if item["type"] != "extra_forbidden":
        said, got = item["msg"].removeprefix("Value error, "), repr(item["input"])
        got = got if len(got) <= LONGEST_GOT else f"{got[:LONGEST_GOT]}..."
        said = said.replace("a valid tuple", "a list in square brackets")
        return f"{where}: {said[0].lower()}{said[1:]} (got {got})"
    return _unknown(where)


def _unknown(key: str) -> str:
    known = valid_keys()
    near = difflib.get_close_matches(key, known, 1, 0.4) or difflib.get_close_matches(
        key.rpartition(".")[2], [key.rpartition(".")[2] for key in known], 1, 0.6
    )
    return f"unknown key '{key}'" + (f", the nearest valid key is '{near[0]}'" if near else "")


def refuse_unknown(key: str) -> None:
    """Refuse a key that no configuration has.

    Raises
    ------
    BadInput
        With the nearest one.
    """
    if key in Config.model_fields and key not in TABLES:
        first = next(known for known in valid_keys() if known.startswith(f"{key}."))
        raise BadInput(f"'{key}' is a section: name one of its keys, such as '{first}'")
    if ".".join(key.split(".")[:2]) not in valid_keys():
        raise BadInput(_unknown(key))


def belongs_to_step(key: str) -> bool:
    """Return whether the step reads a key (``section.key``): a session that is resumed must keep its value."""
    section, _, rest = key.partition(".")
    field = Config.model_fields.get(section)
    if field is None or section in TABLES:
        return True  # no key at all: whoever reads it next says so
    kind: Any = field.annotation
    return (rest.partition(".")[0] in kind.OTHERWISE) != kind.IN_STEP


def valid_keys() -> list[str]:
    """Return every ``section.key`` of the schema, and every section."""
    keys = []
    for name, field in Config.model_fields.items():
        keys.append(name)
        section: Any = BlockConfig if name in TABLES else field.annotation
        keys.extend(f"{name}.{key}" for key in section.model_fields)
    return keys


def as_toml(config: Config) -> str:
    """Return what a configuration says beyond the defaults, as TOML that `load` reads back as it was."""
    data, fresh = config.model_dump(), load(None).model_dump()
    lines: list[str] = []
    for name in TABLES:
        for table in data.pop(name):
            lines += ["", f"[[{name}]]", *(f"{key} = {toml_value(v)}" for key, v in table.items() if v is not None)]
    for name, values in data.items():
        differing = {key: value for key, value in values.items() if value != fresh[name].get(key)}
        if differing:
            lines += ["", f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in differing.items())]
    return "\n".join(lines[1:]) + "\n" if lines else ""
