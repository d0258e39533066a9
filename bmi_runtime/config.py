"""The configuration: one strict schema (TOML in, immutable object out), every key with its unit in its name.

``configs/default.toml`` shows every key with a comment. Overrides are ``section.key=value`` strings.
"""

import difflib
import os
import pathlib
import re
import tomllib
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import StateSpace, fault_of_axes


class Section(pydantic.BaseModel):
    """A group of keys: unknown keys are errors, nothing changes after loading."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    IN_STEP: ClassVar[bool] = True
    """Whether the step reads it, so that a session that is resumed must keep it; otherwise it is the shell's."""
    OTHERWISE: ClassVar[tuple[str, ...]] = ()
    """Keys for which the opposite holds."""


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


class SessionConfig(Section):
    """The session as a whole."""

    OTHERWISE = ("duration_s",)

    likelihood: Literal["poisson", "gaussian"] = "poisson"
    bin_s: float | None = Field(
        None, gt=0.0, le=1.0, description="bin width; null: 0.005 for poisson, 0.05 for gaussian"
    )
    units: int = Field(96, ge=0, le=100_000, description="spiking units (features, where the likelihood is gaussian)")
    features: int = Field(0, ge=0, le=10_000, description="continuous features beside the spiking units")
    feature_bin_s: float = Field(0.05, gt=0.0, le=1.0, description="how often features come: a whole number of bins")
    duration_s: float = Field(0.0, ge=0.0, description="0: until stopped")
    seed: int = Field(1, ge=0, lt=2**63)
    unit_names: tuple[str, ...] = Field(
        (), description="what the units are called, where the source does not say: models are loaded by it"
    )
    left_out: tuple[int, ...] = Field((), description="units (from 0) that neither decode nor are learned")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _features_alone(cls, data: Any) -> Any:
        """Features without spiking units are a session of gaussian units."""
        if isinstance(data, dict) and data.get("units") == 0 and isinstance(data.get("features"), int):
            given = {"bin_s": data["feature_bin_s"]} if data.get("feature_bin_s") else {}
            return given | data | {"likelihood": "gaussian", "units": data["features"], "features": 0}
        return data

    @pydantic.model_validator(mode="after")
    def _blocks(self):
        if not self.units:
            raise ValueError("a session without units decodes nothing; give session.units, session.features or both")
        if self.unit_names and len(set(self.unit_names)) != self.units:
            raise ValueError(f"session.unit_names must be {self.units} different names, one of each unit")
        if self.features and self.likelihood == "gaussian":
            raise ValueError(
                "session.features stand beside spiking units; with gaussian units all are features already"
            )
        bin_s = self.bin_s or 0.005
        bins = self.feature_bin_s / bin_s
        if self.features and (abs(bins - round(bins)) > 1e-6 or round(bins) < 1):
            raise ValueError(f"feature_bin_s = {self.feature_bin_s:g} is not a whole number of bins of {bin_s:g} s")
        return self


class StateConfig(Section):
    """The brain state that is decoded."""

    axes: tuple[str, ...] = Field(("x", "y"), description="names of 1 to 8 continuous axes")
    click: bool = Field(False, description="decode a click beside the movement: idle, move, click")
    click_threshold: float = Field(0.95, gt=0.5, lt=1.0, description="posterior at which a click is told")
    units: tuple[str, ...] = Field((), description="of each axis' position; empty: metres")

    @pydantic.model_validator(mode="after")
    def _axes_are_a_state(self):
        if fault := fault_of_axes(self.axes, self.units):
            raise ValueError(fault)
        return self


class SourceConfig(Section):
    """Where spikes come from."""

    kind: str = "simulated"
    address: str = "tcp://127.0.0.1:5571"
    command_address: str = "tcp://127.0.0.1:5572"
    stale_after_s: float = Field(0.25, gt=0.0)
    options: dict[str, Any] = Field(default_factory=dict)


class SubjectConfig(Section):
    """The simulated subject: an optimal-feedback-control user of a double integrator."""

    natural_frequency_hz: float = Field(
        6.0 / 6.283185307179586, gt=0.0, description="omega / 2 pi of the critically damped aim"
    )
    feedback_delay_s: float = Field(0.0, ge=0.0, le=2.0)
    intention_noise: float = Field(
        0.0, ge=0.0, description="signal-dependent noise: sd as a fraction of the intended speed"
    )
    max_speed_m_s: float = Field(1.0, gt=0.0)


class PopulationConfig(Section):
    """The simulated units."""

    baseline_hz: RateRange = (5.0, 15.0)
    depth: Range = Field((0.5, 1.0), description="modulation depth per dm/s: log rate (poisson), feature (gaussian)")
    gaussian_baseline: Range = (-2.0, 2.0)
    noise_variance: float = Field(1.0, gt=0.0)
    position_depth: Range = Field((0.0, 0.0), description="as depth, per dm of the cursor's position")
    speed_depth: Range = Field((0.0, 0.0), description="as depth, per dm/s of speed in any direction")
    history_gain: Range = Field((0.0, 0.0), description="log rate per recent spike of the unit itself, each history")
    click_depth: Range = Field((0.5, 1.0), description="of the log rate while a click is intended, random sign")
    untuned_fraction: float = Field(0.0, ge=0.0, le=1.0)
    direction_walk_rad_per_root_s: float = Field(
        0.0, ge=0.0, description="preferred directions random-walk: sd after one second"
    )
    burst_extra: float = Field(0.0, ge=0.0, description="mean extra spikes per spike (geometric bursts)")
    noise_sd: float = Field(0.0, ge=0.0, le=3.0, description="fluctuation that no movement explains (log rate)")
    noise_time_constant_s: float = Field(0.3, gt=0.0)
    noise_shared: float = Field(0.0, ge=0.0, le=1.0, description="share of the fluctuation's variance common to units")
    noise_factors: int = Field(3, ge=1, le=100, description="how many common processes there are")
    baseline_walk_per_root_s: float = Field(0.0, ge=0.0, description="baselines random-walk: sd after one second")
    dying_fraction: float = Field(0.0, ge=0.0, le=1.0, description="of the tuned units")
    dying_at_s: float = Field(180.0, ge=0.0)
    step_fraction: float = Field(0.0, ge=0.0, le=1.0)
    step_log_rate: float = Field(0.7, description="size of the baseline step, random sign (log rate or feature)")
    step_at_s: float = Field(240.0, ge=0.0)


class EncodingConfig(Section):
    """The encoding model before it has seen anything."""

    initial: str = Field(
        "untrained", description="untrained, truth (simulation only), or a model .npz or recording .mcap to go on from"
    )
    carry_sd: float = Field(
        0.0, ge=0.0, le=10.0, description="how much a weight may have changed since that model (log rate, per dm/s)"
    )
    baseline_error: float = Field(2.0, ge=1.0, description="untrained baselines are right within this factor")
    noise_variance: float = Field(
        0.0, ge=0.0, description="first guess for Gaussian features; 0: the truth in a simulation, 1 otherwise"
    )
    initial_sd: float = Field(0.5, gt=0.0, description="sd of every weight around its start (log rate, per dm/s)")
    regressors: tuple[Literal["velocity", "position", "speed", "history"], ...] = Field(
        ("velocity",), description="what rates depend on"
    )
    history_s: tuple[Annotated[float, Field(gt=0.0, le=10.0)], ...] = Field(
        (0.01, 0.1), min_length=1, max_length=4, description="time constants of a unit's own recent counts"
    )

    @pydantic.model_validator(mode="after")
    def _regressors_decode(self):
        if len(set(self.regressors)) < len(self.regressors):
            raise ValueError(f"a regressor is there twice: {', '.join(self.regressors)}")
        if not {"velocity", "position"} & set(self.regressors):
            raise ValueError("units must depend on velocity or position, or nothing can be decoded from them")
        return self


class AdapterConfig(Section):
    """The adaptive filter."""

    enabled: bool = True
    learning_rate: float = Field(1e-6, ge=0.0, le=1.0, description="r or s per bin, velocity in dm/s")
    feature_learning_rate: float = Field(1e-4, ge=0.0, le=1.0, description="s of features beside spiking units")
    schedule: Literal["fixed", "floor"] = "fixed"
    intention: str = "optimal-control"
    intention_frequency_hz: float = Field(6.0 / 6.283185307179586, gt=0.0)
    candidates: Literal["task", "grid"] = Field(
        "task", description="inferred-target: where the goal may be: where the task's targets may stand, or anywhere"
    )
    goal_s: float = Field(2.0, gt=0.0, description="inferred-target: how long a goal is held, on average")
    label_confidence: float = Field(
        0.6, gt=0.0, le=1.0, description="inferred-target: a bin teaches when its likeliest goal has this probability"
    )
    missing_axis: Literal["rest", "skip"] = Field(
        "rest", description="a recorded axis that is missing: taken as at rest, or the bin is not learned from"
    )
    estimate_noise: bool = Field(False, description="learn the noise variance of Gaussian features as well")
    drift_tracking: bool = False
    drift_max_learning_rate: float = Field(1e-4, gt=0.0)


class DecoderConfig(Section):
    """The decoder."""

    kind: str = "point-process"
    velocity_time_constant_s: float = Field(0.5, gt=0.0, description="how long the velocity prior remembers")
    velocity_sd_m_s: float = Field(0.15, gt=0.0, description="stationary sd of the velocity prior")
    parameter_trust: float = Field(
        1.0, ge=0.0, le=1.0, description="1: uncertain units are trusted less; 0: weights taken as exact"
    )
    frozen_model: str = Field("", description="path of a model .npz to decode with, never adapted")
    fitted_file: str = Field("", description="of bmi compare --write or bmi train, or an .onnx model")
    options: dict[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _file_goes_with_kind(self):
        if bool(self.fitted_file) != (self.kind in ("fitted", "recurrent")):
            raise ValueError(
                f"kind = 'fitted' (or 'recurrent') and fitted_file = 'FILE' go together, here are '{self.kind}' and "
                f"'{self.fitted_file}'"
            )
        return self


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


class RecordingConfig(Section):
    """The recording."""

    IN_STEP = False

    path: str = Field("", description="empty: a new file in recordings/ named by date and time")
    enabled: bool = True
    snapshot_s: float = Field(10.0, gt=0.0)


class TelemetryConfig(Section):
    """Sockets toward viewers and the operator."""

    IN_STEP = False

    enabled: bool = True
    publish_address: str = "tcp://127.0.0.1:5581"
    control_address: str = "tcp://127.0.0.1:5582"
    output_address: str = Field(
        "tcp://127.0.0.1:5583", description="decoded state for effectors and simulated subjects; empty: none"
    )
    output_lsl: str = Field("", description="name of an LSL stream for the decoded state; empty: none")
    key_folder: str = Field("", description="CURVE keys; needed off loopback")


class OutputConfig(Section):
    """Which values leave for other people's programs, beside the fixed ones of our own wire."""

    values: list[str] = Field(
        default_factory=list, max_length=64, description="names in order, for example cursor_x; empty: all"
    )
    unit: Literal["m", "dm", "cm", "mm", "px"] = Field("m", description="of every length and speed among them")
    pixels_per_m: float = Field(5000.0, gt=0.0, description="for unit px")
    rate_hz: float = Field(0.0, ge=0.0, description="at most so many a second, by bins; 0: every bin")


class SafetyConfig(Section):
    """When the output stops being trusted."""

    calibrating_s: float = Field(0.0, ge=0.0)
    max_rate_hz: float = Field(2000.0, gt=0.0, description="a predicted rate above this is taken as exploded")
    max_count: int = Field(60, ge=1, description="a count per bin above this is refused")
    max_feature: float = Field(1e6, gt=0.0)
    max_speed: float = Field(
        10.0, gt=0.0, le=1e6, description="m/s; a decoded or intended velocity above this cannot be"
    )
    degraded_after_bins: int = Field(3, ge=1)
    frozen_after_s: float = Field(1.0, gt=0.0)
    recover_after_bins: int = Field(20, ge=1)


class GuardConfig(Section):
    """The last look at what leaves for an effector; all axes together, in m (or the state's own unit) and s."""

    IN_STEP = False

    enabled: bool = Field(False, description="guard the session's own output, too (bmi guard always does)")
    max_speed: float = Field(2.0, gt=0.0, description="m/s")
    max_acceleration: float = Field(200.0, gt=0.0, description="m/s^2")
    max_age_s: float = Field(0.25, gt=0.0, description="data older than this move nothing")
    heartbeat_s: float = Field(0.1, gt=0.0, description="no message for so long stops the output")
    healthy_bins: int = Field(20, ge=1, description="sound messages in a row before anything leaves")
    output_address: str = Field("tcp://127.0.0.1:5593", description="where bmi guard publishes what leaves")
    control_address: str = Field("tcp://127.0.0.1:5592", description="where bmi guard takes the operator's stop")


class RealtimeConfig(Section):
    """The pacing of the live loop."""

    IN_STEP = False
    OTHERWISE = ("miss_policy",)

    spin_s: float = Field(150e-6, ge=0.0)
    max_wait_s: float = Field(0.005, ge=0.0, description="how long a bin waits for late data, at least")
    wait_limit_s: float = Field(
        0.1, ge=0.0, le=2.0, description="the wait grows up to this where the blocks that a device sends need it"
    )
    core: int = Field(-1, ge=-1)
    fifo_priority: int = Field(0, ge=0, le=99)
    lock_memory: bool = True
    late_policy: Literal["next", "drop"] = "next"
    miss_policy: Literal["skip-adaptation", "coast", "hold"] = "skip-adaptation"


class StimulationConfig(Section):
    """A randomised schedule of simulated stimulation (events on the wire, never hardware)."""

    enabled: bool = False
    units: tuple[int, ...] = Field((0, 1, 2, 3), description="which units are perturbed")
    trials: int = Field(200, ge=4)
    per_trial: int = Field(0, ge=0, description="units taking part in each trial; 0: all")
    sham_fraction: float = Field(0.5, gt=0.0, lt=1.0)
    first_s: float = Field(1.0, ge=0.0)
    interval_s: float = Field(0.5, gt=0.0)
    jitter_s: float = Field(0.1, ge=0.0)
    pulses: int = Field(1, ge=1, le=100, description="spikes that the simulated effector adds")
    seed: int = Field(0, ge=0)


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
        return self.session.bin_s or (0.05 if self.continuous else 0.005)

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
    return from_dict(data, origin)


def from_dict(data: dict, origin: str = "configuration") -> Config:
    """Validate a nested dictionary; raise `BadInput` naming every bad key and its nearest valid neighbour."""
    try:
        return Config.model_validate(data)
    except pydantic.ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        raise BadInput(f"{origin}: " + "; ".join(lines)) from None


def as_recorded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration in a recording's header with what was so before there was a key for it."""
    if "state" in data:
        return data
    adapter = {"missing_axis": "skip", **data.get("adapter", {})}
    return {**data, "adapter": adapter}


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Return what a TOML file says of subject and session: the keys of ``[metadata]``, with or without that heading.

    Raises
    ------
    BadInput
        When it cannot be read, or a key or value of it is none of these.
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
    """Set one ``section.key=value`` in a nested dictionary."""
    key, equals, _ = text.partition("=")
    if not equals or ("." not in key and key.strip() not in TABLES):
        raise BadInput(f"--set wants section.key=value, got '{text}'")
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
    if item["type"] != "extra_forbidden":
        return f"{where}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r})"
    known = valid_keys()
    near = difflib.get_close_matches(where, known, 1, 0.4) or difflib.get_close_matches(
        where.rpartition(".")[2], [key.rpartition(".")[2] for key in known], 1, 0.4
    )
    return f"unknown key '{where}'" + (f", the nearest valid key is '{near[0]}'" if near else "")


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
