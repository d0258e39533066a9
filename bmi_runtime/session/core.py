"""The session: one pure transition per bin. No clock, no input or output, no random numbers but its own generators'.

Live runs, simulation, replay, sweeps and tests all drive :meth:`Session.step`; that is why a replay is identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.decoding.base import SessionDecoder
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.intention.registry import Intention
from bmi_runtime.messages import STAGES, Bin, StepRecord, TrialState, output_dtype, struct_of
from bmi_runtime.session import block_control, live_parameters
from bmi_runtime.session.adaptation_control import AdaptationController
from bmi_runtime.session.assist import Assist
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.click_stage import ClickStage, make_click
from bmi_runtime.session.decoder_stage import DecoderStage
from bmi_runtime.session.goal import Goal
from bmi_runtime.session.inputs import Inputs
from bmi_runtime.session.learning import Learning
from bmi_runtime.session.live_parameters import kept, put_back
from bmi_runtime.session.safety import Safety, SafetyEvent
from bmi_runtime.session.start_checks import check_model, stimulation_due, stimulation_schedule
from bmi_runtime.tasks.base import ReachTask

COVARIANCE_CHECK_S = 1.0  # how often lost covariances are looked for
DECODE, TASK, ADAPT = (STAGES.index(name) for name in ("decode", "task", "adapt"))


def _no_mark(stage: int) -> None:
    """Ignore the end of a stage; the shell puts its stopwatch here, and nothing of it comes back into the step."""


class Session:
    """Decoder, task, intention and adapter around one encoding model.

    Each part owns its state: `inputs` what came, `decoding` the decoder, `goal` task and intention, `learning` the
    adaptive filter, `safety` what is allowed. They share the cursor and the list of events by reference.

    Parameters
    ----------
    config : Config
    model : EncodingModel
        Adapted in place.

    Attributes
    ----------
    record : StepRecord
        What the newest step consumed and produced.
    events : list of dict
        What happened since the shell last emptied it.
    """

    safety: Safety
    blocks: Blocks | None
    learning: Learning
    adapting: bool
    inputs: Inputs
    goal: Goal
    decoding: DecoderStage
    click: ClickStage | None
    hold: bool
    assist: float
    model: EncodingModel
    bins: int
    gain: float

    def __init__(self, config: Config, model: EncodingModel):
        check_model(config, model)
        self.config, self.model, self.space = config, model, config.space
        self.record = StepRecord(*config.layout)
        self.rng = np.random.default_rng(np.random.SeedSequence([config.session.seed, 0]))
        self.events: list[dict[str, Any]] = []
        self.cursor = [0.0] * (2 * self.space.n_axes)
        self.mark: Callable[[int], None] = _no_mark
        self.assist, self.hold, self.bins = config.task.assist, False, 0
        self.gain = config.decoder.gain
        self._make_parts(config, model)
        self._keep_constants(config)
        if self.blocks:
            self.begin_block(1, "")

    def _make_parts(self, config: Config, model: EncodingModel) -> None:
        self.safety = Safety(config.safety, config.bin_s)
        self.blocks = Blocks(config) if config.block else None
        self.learning, self.adapting = Learning(config, model), config.adapter.enabled
        shared = (self.safety, self.cursor, self.events)
        self.inputs = Inputs(config, self.learning.features, self.events)
        self.goal = Goal(config, self.blocks, self.rng, *shared)
        self.decoding = DecoderStage(config, model, self.inputs, *shared, self.learning.history, self._repair)
        self.fading = Assist(config.task, config.bin_s)
        self.click = make_click(config, self.goal.task, self.decoding.model, self.learning.history)
        self.stimulation = stimulation_schedule(config)

    def _keep_constants(self, config: Config) -> None:
        """Take out of the configuration what every bin needs."""
        self._n = self.space.n_axes
        self._write_output = struct_of(output_dtype(self.space)).pack_into
        self._needs_position = "position" in self.model.regressors.names
        self._check_every = max(round(COVARIANCE_CHECK_S / config.bin_s), 1)
        self._miss_policy = config.realtime.miss_policy
        self._bin_s, self._workspace_m = config.bin_s, config.task.workspace_m
        self.intend: Callable[[Any], Sequence[float]] = self.goal.intend

    # -- the parts by the names that others know them by -----------------------------------------------------------

    @property
    def task(self) -> ReachTask:
        """The task that runs."""
        return self.goal.task

    @property
    def intention(self) -> Intention | None:
        """What infers the intended velocity; None where the source brings it."""
        return self.goal.intention

    @property
    def adaptation(self) -> AdaptationController:
        """What watches over the learning rate."""
        return self.learning.control

    @property
    def decoder(self) -> SessionDecoder:
        """The decoder that runs."""
        return self.decoding.decoder

    @decoder.setter
    def decoder(self, decoder: SessionDecoder) -> None:
        self.decoding.decoder = decoder

    @property
    def decoder_model(self) -> EncodingModel:
        """The model that the decoder reads: the live one, or a frozen copy."""
        return self.decoding.model

    @property
    def left_out(self) -> np.ndarray:
        """Units that neither decode nor are learned."""
        return self.inputs.left_out

    def decoder_settings(self) -> dict[str, Any]:
        """Return the decoder's settings of this moment."""
        return self.decoding.settings()

    # -- the step --------------------------------------------------------------------------------------------------

    def step(self, input_bytes) -> StepRecord:
        """Process one bin: :meth:`respond`, then :meth:`settle`. Returns the session's one record."""
        record = self.respond(input_bytes)
        self.settle()
        return record

    def respond(self, input_bytes) -> StepRecord:
        """Infer the intention, decode, move the cursor, adapt; the bin's record is complete then.

        Parameters
        ----------
        input_bytes : bytes-like
            The ``input`` part of a step (`messages.input_dtype`).
        """
        record, goal, safety = self.record, self.goal, self.safety
        record.input_bytes[:] = input_bytes
        given = record.input
        # what the subject saw while it produced these counts is the cursor and target of the bin before
        intended = self.intend(given)
        position = goal.encoded_position(given) if self._needs_position else ()
        usable = self.inputs.take(given, self.bins)
        behind = given.behind.item() > 0
        safety.before_decoding(usable)
        may_decode = usable and not (behind and self._miss_policy == "coast")
        decoded = self.decoding.decode(may_decode)
        if self.click:
            self.click.decode(may_decode, self.inputs, decoded, goal.task, self.cursor[: self._n])
            self.click.tell(self.decoding.decoder, goal.task, safety.moves and not self.hold)
        self.mark(DECODE)
        may_move = safety.moves and not self.hold and not (behind and self._miss_policy == "hold")
        assist = self._assist_now()
        self._move(decoded, intended, not may_move, assist and (assist if safety.plausible(intended) else 0.0))
        if may_move and not (self.blocks and goal.asks_nothing) and goal.advance():
            self.decoding.decoder.on_done()
        self.mark(TASK)
        may_adapt = self.adapting and usable and safety.adapts and not (self.hold or behind)
        teaches = may_adapt and goal.teaches(intended)
        if goal.lag_bins:
            likelihood = self.learning.adapt_late(self.inputs, position, may_adapt, goal.lag_bins, *goal.late_labels())
            may_adapt = not math.isnan(likelihood)
        elif may_adapt := teaches:
            click = self.click.intended if self.click else 0.0
            likelihood = self.learning.adapt(self.inputs, intended, position, goal.weighed_labels(), click)
        else:
            likelihood = self.learning.pass_by(intended, position)
        if teaches:
            self.decoding.learn(intended, self.learning.control.learning_rate)
        if self.bins % self._check_every == 0:
            self._repair()
            self.events += goal.news()
        if safety.events:
            self.events += safety.drain()
        due = self.stimulation and safety.moves and not self.hold
        pulses = stimulation_due(self.stimulation, self.bins + 1, self._bin_s) if due else []
        self.events += pulses
        produced = (decoded, intended, assist, likelihood, may_adapt, bool(pulses))
        try:
            self._fill(*produced)
        except BaseException as error:  # what a task says of itself is not what the record can hold
            goal.task_failed(error)
            self._fill(*produced)
        self.bins += 1
        if self.blocks:
            block_control.after_bin(self, self.blocks, may_move)
        self.mark(ADAPT)
        return record

    def settle(self) -> None:
        """Do what may wait until the bin's command has left, before the next bin: predicted against achieved."""
        self.events += self.learning.settle(self.inputs, self.bins - 1)

    def _move(self, decoded: np.ndarray, intended: Sequence[float], still: bool, assist: float) -> None:
        """Move the cursor by the decoded velocity, times the gain, blended with the assist; keep it in the workspace.

        The gain is of the cursor alone: what was decoded, and what units are taken to encode, stays in its own unit.
        """
        cursor, dt, limit, n, gain = self.cursor, self._bin_s, self._workspace_m, self._n, self.gain
        for axis, velocity in enumerate(decoded.tolist()[n:]):
            velocity = 0.0 if still else gain * velocity
            if assist and not still:
                velocity = (1.0 - assist) * velocity + assist * intended[axis]
            place = cursor[axis] + dt * velocity
            cursor[axis] = limit if place > limit else -limit if place < -limit else place
            cursor[n + axis] = velocity
        if n == 2:  # handed over one by one in half the time
            self.decoding.decoder.set_position(cursor[0], cursor[1])
        else:
            self.decoding.decoder.set_position(*cursor[:n])

    def _assist_now(self) -> float:
        return self.assist and self.fading.faded(self.assist, self.bins, self.goal.task)

    def _repair(self) -> None:
        if lost := self.learning.repair():
            self.events.append({"name": "covariance-lost", "units": lost})
            self.safety.handle(SafetyEvent.FAULT)

    def _fill(
        self,
        decoded: np.ndarray,
        intended: Sequence[float],
        assist: float,
        likelihood: float,
        adapting: bool,
        stimulated: bool,
    ) -> None:
        """Write the output part of the record in one call; the order is that of `messages.output_dtype`."""
        task = self.goal.task
        self._write_output(
            self.record.output_bytes,
            0,
            *decoded.tolist(),
            *self.decoding.decoder.variance.tolist(),
            *self.cursor,
            *task.target,
            *intended,
            task.hold_fraction,
            assist,
            self.learning.control.learning_rate,
            likelihood,
            self.learning.checksum(),
            task.trial,
            task.successes,
            task.timeouts,
            TrialState.PAUSE if self.hold or (self.blocks and self.goal.asks_nothing) else task.trial_state,
            self.safety.state,
            adapting,
            stimulated,
            0,
            *(self.click.output() if self.click else ()),
        )

    # -- commands and blocks ---------------------------------------------------------------------------------------

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """Apply a command between two bins; return the answer, with the old and new value and the bin it takes effect.

        Raises
        ------
        BadInput
            When the command is not one of `LIVE_PARAMETERS` or its value is out of bounds; nothing has changed then.
        """
        return live_parameters.apply(self, command)

    def begin_block(self, number: int, why: str) -> None:
        """Let a block begin with the next bin: what it sets is set as by commands, a trial under way is given up."""
        assert self.blocks
        events = block_control.begin(self, self.blocks, number, why)
        self.fading.begin(self.bins, self.goal.task)
        self.events += events

    # -- state -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return copies of everything that the next step depends on: a session restored from it goes on to the bit."""
        return {
            "bins": self.bins,
            **self.learning.snapshot(),
            **self.decoding.snapshot(),
            **self.goal.snapshot(),
            "cursor": list(self.cursor),
            "safety": self.safety.snapshot(),
            "live": kept(self),
            "rng": _rng_state(self.rng),
            **({"click": self.click.filter.snapshot()} if self.click else {}),
            **({"blocks": self.blocks.snapshot() | {"fade_from": list(self.fading.start)}} if self.blocks else {}),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.bins = snapshot["bins"]
        self.learning.restore_model(snapshot)
        self.decoding.restore(snapshot)
        self.goal.restore_kinds(snapshot)
        if self.blocks:
            self.blocks.restore(snapshot["blocks"])
            self.fading.start = tuple(snapshot["blocks"]["fade_from"])
        if snapshot["task"] is not None:
            self.goal.task.restore(snapshot["task"])
        self.cursor[:] = snapshot["cursor"]
        self.learning.restore(snapshot)
        self.safety.restore(snapshot["safety"])
        put_back(self, snapshot["live"])
        self.rng.bit_generator.state = _rng_parse(snapshot["rng"])
        if self.click:
            self.click.restore(snapshot["click"], self.decoding.model, self.decoding.decoder)


def warm_up(config: Config) -> None:
    """Run a throw-away session for a few bins, so that every kernel is compiled before the first real one."""
    model = untrained_model(config)
    decoder = config.decoder.model_copy(update={"frozen_model": ""})
    session = Session(config.model_copy(update={"decoder": decoder}), model)
    empty = Bin(*config.layout)
    for _ in range(3):
        session.step(empty.bytes)


def _rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state with its 128-bit integers as text (msgpack holds 64 bits)."""
    state = dict(rng.bit_generator.state)
    return state | {"state": {key: str(value) for key, value in state["state"].items()}}


def _rng_parse(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"state": {key: int(value) for key, value in state["state"].items()}}
