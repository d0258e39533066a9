"""What the step reads: session, brain state, encoding model, adapter, decoder, safety."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from bmi_runtime.constants import NARROWEST_BIN_S, USUAL_BIN_S, WIDEST_BIN_S
from bmi_runtime.schema.section import Section
from bmi_runtime.state_space import fault_of_axes


class SessionConfig(Section):
    """The session as a whole."""

    OTHERWISE = ("duration_s",)

    likelihood: Literal["poisson", "gaussian"] = "poisson"
    bin_s: float | None = Field(
        None, ge=NARROWEST_BIN_S, le=WIDEST_BIN_S, description="bin width; null: 0.005 for poisson, 0.05 for gaussian"
    )
    units: int = Field(96, ge=0, le=100_000, description="spiking units (features, where the likelihood is gaussian)")
    features: int = Field(0, ge=0, le=10_000, description="continuous features beside the spiking units")
    feature_bin_s: float = Field(
        0.05, ge=NARROWEST_BIN_S, le=WIDEST_BIN_S, description="how often features come: a whole number of bins"
    )
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
        bin_s = self.bin_s or USUAL_BIN_S["poisson"]
        bins = self.feature_bin_s / bin_s
        if self.features and (abs(bins - round(bins)) > 1e-6 or round(bins) < 1):
            raise ValueError(f"feature_bin_s = {self.feature_bin_s:g} is not a whole number of bins of {bin_s:g} s")
        return self


class StateConfig(Section):
    """The brain state that is decoded."""

    axes: tuple[str, ...] = Field(("x", "y"), description="names of 1 to 8 continuous axes")
    click: bool = Field(False, description="decode a click beside the movement: idle, move, click")
    click_threshold: float = Field(0.95, gt=0.5, lt=1.0, description="posterior at which a click is decoded")
    units: tuple[str, ...] = Field((), description="of each axis' position; empty: metres")

    @pydantic.model_validator(mode="after")
    def _axes_are_a_state(self):
        if fault := fault_of_axes(self.axes, self.units):
            raise ValueError(fault)
        return self


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
    initial_sd: float = Field(
        0.5, gt=0.0, le=1e3, description="sd of every weight around its start (log rate, per dm/s)"
    )
    regressors: tuple[Literal["velocity", "position", "speed", "history"], ...] = Field(
        ("velocity",), description="what rates depend on"
    )
    history_s: tuple[Annotated[float, Field(gt=0.0, le=10.0)], ...] = Field(
        (0.01, 0.1), min_length=1, max_length=4, description="time constants of a unit's own recent counts"
    )

    @pydantic.model_validator(mode="after")
    def _regressors_decode(self):
        if len(set(self.regressors)) < len(self.regressors):
            raise ValueError(f"regressors: one is there twice: {', '.join(self.regressors)}")
        if not {"velocity", "position"} & set(self.regressors):
            raise ValueError("regressors: without velocity or position nothing can be decoded from the units")
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
        0.9, gt=0.0, le=1.0, description="inferred-target: a bin teaches when its likeliest goal has this probability"
    )
    label_lag_s: float = Field(
        0.5,
        ge=0.0,
        le=5.0,
        description="inferred-target: a bin teaches so late, when what followed says which goal it had",
    )
    unlabelled: Literal["aim", "rest", "skip"] = Field(
        "aim", description="inferred-target: a bin that dwells on a goal teaches its small aim, or rest, or nothing"
    )
    label_noise: Literal["assumed", "learned"] = Field(
        "learned",
        description="inferred-target: the cursor's noise around aims and how long it lasts are learned, or assumed",
    )
    label_gain: Literal["assumed", "learned"] = Field(
        "learned",
        description="inferred-target: the cursor moves as fast as the aim, or with a share of it that is learned",
    )
    label_misfit: Literal["aim", "noise"] = Field(
        "aim",
        description="inferred-target: labels teach while the movement is near an aim; noise: while learned noise is "
        "small, as in older recordings",
    )
    large_steps: Literal["mode", "newton"] = Field(
        "mode", description="where a count is far from what was expected: to the posterior's mode, or by Newton's step"
    )
    intention_options: dict[str, Any] = Field(default_factory=dict, description="what only one intention knows")
    missing_axis: Literal["rest", "skip"] = Field(
        "rest", description="a recorded axis that is missing: taken as at rest, or the bin is not learned from"
    )
    estimate_noise: bool = Field(False, description="learn the noise variance of Gaussian features as well")
    drift_tracking: bool = False
    drift_max_learning_rate: float = Field(1e-4, gt=0.0)
    drift_scores: Literal["correlated", "white"] = Field(
        "correlated", description="drift_tracking: scores of real units repeat themselves without drift, or are white"
    )
    rate_search: bool = Field(False, description="filters at other rates run beside; the best predictor's is taken")
    search_range: tuple[float, float] = Field((1e-10, 1e-2), description="rate_search: the rate stays within it")
    search_lag_s: float = Field(
        1.0, ge=0, le=60, description="rate_search: weights of so long ago predict a bin; 0 for those of the bin before"
    )
    search_ladder: Literal["five", "nine"] = Field(
        "five", description='rate_search: filters that run beside, a factor of 4 apart; "nine": as in older recordings'
    )
    search_restarts: bool = Field(
        True, description="rate_search: a unit that starts again does so in all filters; false: as in older recordings"
    )

    @pydantic.model_validator(mode="after")
    def _one_hand_on_the_rate(self):
        if not self.rate_search:
            return self
        if self.drift_tracking or self.schedule != "fixed":
            raise ValueError("rate_search, drift_tracking and schedule = 'floor' each set the rate: choose one")
        low, high = self.search_range
        if not (0.0 < low < high <= 1.0 and low <= self.learning_rate <= high):
            raise ValueError(
                f"a search from learning_rate = {self.learning_rate:g} needs it inside search_range, above 0"
            )
        return self


FROM_FILE = ("fitted", "recurrent", "joined")
"""Kinds of decoders that are read from ``decoder.fitted_file``."""


class DecoderConfig(Section):
    """The decoder."""

    kind: str = "point-process"
    velocity_time_constant_s: float = Field(0.5, gt=0.0, description="how long the velocity prior remembers")
    velocity_sd_m_s: float = Field(0.15, gt=0.0, le=1e6, description="stationary sd of the velocity prior")
    parameter_trust: float = Field(
        1.0, ge=0.0, le=1.0, description="1: uncertain units are trusted less; 0: weights taken as exact"
    )
    gain: float = Field(1.0, ge=0.0, le=10.0, description="the cursor moves by this times the decoded velocity")
    frozen_model: str = Field("", description="path of a model .npz to decode with, never adapted")
    fitted_file: str = Field("", description="of bmi compare --write or bmi train, or an .onnx model")
    options: dict[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _file_goes_with_kind(self):
        reads_file = self.kind in FROM_FILE
        if self.fitted_file and not reads_file:
            kinds = ", ".join(f"'{kind}'" for kind in FROM_FILE)
            raise ValueError(
                f"fitted_file = '{self.fitted_file}' is not for kind = '{self.kind}'; a file runs as kind = {kinds}"
            )
        if reads_file and not self.fitted_file:
            raise ValueError(f"kind = '{self.kind}' needs fitted_file = 'FILE', of bmi train or bmi compare --write")
        return self


class SafetyConfig(Section):
    """When the output stops being trusted."""

    calibrating_s: float = Field(0.0, ge=0.0)
    max_rate_hz: float = Field(2000.0, gt=0.0, description="a predicted rate above this is taken as exploded")
    max_count: int = Field(60, ge=1, description="a count per bin above this is refused")
    artifact_sd: float = Field(
        10.0, ge=0.0, le=1e6, description="all counts so far above their usual sum are an artifact; 0: never"
    )
    artifact_rule: Literal["present", "whole"] = Field(
        "present",
        description="what is judged: the units, or features, that are there; or bins of counts that lack none (older)",
    )
    exploded_units: Literal["restart", "freeze"] = Field(
        "restart", description="a unit whose predicted rate stays exploded learns again, or the output stays frozen"
    )
    exploded_after_s: float = Field(
        3.0,
        ge=0.0,
        le=3600.0,
        description="one that explodes at the decoded velocity alone, when the output has not been trusted for so long",
    )
    max_feature: float = Field(1e6, gt=0.0)
    max_speed: float = Field(
        10.0, gt=0.0, le=1e6, description="m/s; a decoded or intended velocity above this cannot be"
    )
    degraded_after_bins: int = Field(3, ge=1)
    frozen_after_s: float = Field(1.0, gt=0.0)
    recover_after_bins: int = Field(20, ge=1)
