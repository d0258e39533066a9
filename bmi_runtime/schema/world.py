"""Where spikes come from: the source, the simulated subject and its units, simulated stimulation."""

from typing import Any

from pydantic import Field

from bmi_runtime.schema.section import Range, RateRange, Section


class SourceConfig(Section):
    """Where spikes come from."""

    kind: str = "simulated"
    address: str = "tcp://127.0.0.1:5571"
    stale_after_s: float = Field(0.25, gt=0.0)
    options: dict[str, Any] = Field(default_factory=dict)


class SubjectConfig(Section):
    """The simulated subject: an optimal-feedback-control user of a double integrator."""

    natural_frequency_hz: float = Field(
        6.0 / 6.283185307179586, gt=0.0, le=100.0, description="omega / 2 pi of the critically damped aim"
    )
    feedback_delay_s: float = Field(0.0, ge=0.0, le=2.0)
    intention_noise: float = Field(
        0.0, ge=0.0, le=10.0, description="signal-dependent noise: sd as a fraction of the intended speed"
    )
    max_speed_m_s: float = Field(1.0, gt=0.0, le=1e6)


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
    participation: tuple[int, ...] = Field((), description="trials each unit takes part in; empty: all alike")
