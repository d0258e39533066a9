"""What the shell around the step reads: recording, sockets, guard, pacing."""

from typing import Literal

from pydantic import Field

from bmi_runtime.schema.section import Section


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
    hung_after_s: float = Field(
        10.0, ge=0.0, description="a runtime that completes no bin for so long is killed and started again; 0: never"
    )
    late_policy: Literal["next", "drop"] = "next"
    miss_policy: Literal["skip-adaptation", "coast", "hold"] = "skip-adaptation"
