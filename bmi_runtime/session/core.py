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
from bmi_runtime.session import block_control, live_parameters, session_state
from bmi_runtime.session.adaptation_control import AdaptationController
from bmi_runtime.session.assist import Assist
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.click_stage import ClickStage, make_click
from bmi_runtime.session.decoder_stage import DecoderStage
from bmi_runtime.session.goal import Goal
from bmi_runtime.session.inputs import Inputs
from bmi_runtime.session.learning import Learning
from bmi_runtime.session.safety import Safety, SafetyEvent
from bmi_runtime.session.start_checks import check_model, stimulation_due, stimulation_schedule
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.numbers import why_unwritten

COVARIANCE_CHECK_S = 1.0  # how often lost covariances are looked for
DECODE, TASK, ADAPT = (STAGES.index(name) for name in ("decode", "task", "adapt"))


def _no_mark(stage: int) -> None:
    """Ignore the end of a stage; the shell puts its stopwatch here, and nothing of it comes back into the step."""


def _no_position(given: Any) -> Sequence[float]:
    """Return the position that units encode where none does."""
    return ()


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
        self.assist, self.gain, self.hold, self.bins = config.task.assist, config.decoder.gain, False, 0
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
        self.decoding = DecoderStage(config, model, self.inputs, *shared, self.learning, self._repair)
        self.fading = Assist(config.task, config.bin_s)
        self.click = make_click(config, self.goal.task, self.decoding.model, self.learning.history)
        self.stimulation = stimulation_schedule(config)

    def _keep_constants(self, config: Config) -> None:
        """Take out of the configuration what every bin needs."""
        self._n = self.space.n_axes
        self._write_output = struct_of(output_dtype(self.space)).pack_into
        self._check_every = max(round(COVARIANCE_CHECK_S / config.bin_s), 1)
        self._miss_policy = config.realtime.miss_policy
        self._bin_s, self._workspace_m = config.bin_s, config.task.workspace_m
        self.intend: Callable[[Any], Sequence[float]] = self.goal.intend
        position = "position" in self.model.regressors.names
        self.shown_target: Callable[[], Sequence[float]] = self.goal.target_for_source
        self.encoded_position = self.goal.encoded_position if position else _no_position

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

        Three gates, each asked when it is reached, as what was decoded may freeze the output: `may_decode`, `may_move`,
        `may_adapt`. A bin that is behind teaches nothing: the subject did not see what its intention is inferred from.

        Parameters
        ----------
        input_bytes : bytes-like
            The ``input`` part of a step (`messages.input_dtype`).
        """
        self.record.input_bytes[:] = input_bytes
        given = self.record.input
        # what the subject saw while it produced these counts is the cursor and target of the bin before
        intended = self.intend(given)
        position = self.encoded_position(given)
        usable, behind = self.inputs.take(given, self.bins), given.behind.item() > 0
        self.safety.before_decoding(usable)

        may_decode = usable and not (behind and self._miss_policy == "coast")
        decoded = self.decoding.decode(may_decode)
        if self.click:
            self.click.respond(self, may_decode, decoded)
        self.mark(DECODE)

        may_move = self.safety.moves and not self.hold and not (behind and self._miss_policy == "hold")
        assist = self._move(decoded, intended, may_move)
        self.mark(TASK)

        may_adapt = self.adapting and usable and self.safety.adapts and not (self.hold or behind)
        adapted, likelihood = self._adapt(intended, position, may_adapt)
        self._gather_events()
        stimulated = self._stimulate()
        self._write(decoded, intended, assist, likelihood, adapted, stimulated)
        self.bins += 1
        if self.blocks:
            block_control.after_bin(self, self.blocks, may_move)
        self.mark(ADAPT)
        return self.record

    def settle(self) -> None:
        """Do what may wait until the bin's command has left, before the next bin: predicted against achieved."""
        self.events += self.learning.settle(self.inputs, self.bins - 1)

    def _move(self, decoded: np.ndarray, intended: Sequence[float], may_move: bool) -> float:
        """Move the cursor, or let it stand, and advance the task by it; return the assist of the bin."""
        assist, goal = self._assist_now(), self.goal
        blended = assist if assist and self.safety.plausible(intended) else 0.0
        self._place_cursor(decoded, intended, not may_move, blended)
        if may_move and not (self.blocks and goal.asks_nothing) and goal.advance():
            self.decoding.decoder.on_done()
        return assist

    def _place_cursor(self, decoded: np.ndarray, intended: Sequence[float], still: bool, assist: float) -> None:
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

    def _adapt(self, intended: Sequence[float], position: Sequence[float], may_adapt: bool) -> tuple[bool, float]:
        """Learn from the bin, or from the one whose label is known now; return whether, and its log likelihood."""
        goal, learning = self.goal, self.learning
        teaches = may_adapt and goal.teaches(intended)
        if goal.lag_bins:
            likelihood = learning.adapt_late(self.inputs, position, may_adapt, goal.lag_bins, *goal.late_labels())
            adapted = not math.isnan(likelihood)
        elif adapted := teaches:
            click = self.click.intended if self.click else 0.0
            likelihood = learning.adapt(self.inputs, intended, position, goal.weighed_labels(), click)
        else:
            likelihood = learning.pass_by(intended, position)
        if teaches:
            self.decoding.learn(intended, learning.control.learning_rate)
        return adapted, likelihood

    def _gather_events(self) -> None:
        """Collect what happened in the bin; now and then look for lost covariances."""
        if self.bins % self._check_every == 0:
            self._repair()
            self.events += self.goal.news()
        if self.safety.events:
            self.events += self.safety.drain()

    def _stimulate(self) -> bool:
        """Let the pulses that are due in the next bin be events, unless the output stands still; return whether any."""
        if not self.stimulation or self.hold or not self.safety.moves:
            return False
        pulses = stimulation_due(self.stimulation, self.bins + 1, self._bin_s)  # of this bin they have been sent
        self.events += pulses
        return bool(pulses)

    def _assist_now(self) -> float:
        return self.assist and self.fading.faded(self.assist, self.bins, self.goal.task)

    def _repair(self) -> None:
        if lost := self.learning.repair():
            self.events.append({"name": "covariance-lost", "units": lost})
            self.safety.handle(SafetyEvent.FAULT)

    def _write(self, *produced: Any) -> None:
        """Write the bin's output into the record (the arguments of :meth:`_fill`)."""
        try:
            self._fill(*produced)
        except BaseException as error:  # what a task says of itself is not what the record can hold
            self.goal.task_failed(why_unwritten(self.goal.task, error))
            self._fill(*produced)

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

    def snapshot(self) -> dict[str, Any]:
        """Return copies of everything that the next step depends on: a session restored from it goes on to the bit."""
        return session_state.snapshot(self)

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        session_state.restore(self, snapshot)


def warm_up(config: Config) -> None:
    """Run a throw-away session, with data and without, so that every kernel is compiled before a real one."""
    model = untrained_model(config)
    decoder = config.decoder.model_copy(update={"frozen_model": ""})
    session = Session(config.model_copy(update={"decoder": decoder}), model)
    empty = Bin(*config.layout)
    for stale in (0, 0, 0, 1):
        empty.fields.stale[0] = stale
        session.step(empty.bytes)
    session.decoding.restart(np.empty(0, np.int64))  # a session that needs it has trouble enough
