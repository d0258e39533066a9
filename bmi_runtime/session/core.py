"""The session: one pure transition per bin. No clock, no input or output, no random numbers but its own generators'.

Live runs, simulation, replay, sweeps and tests all drive :meth:`Session.step`; that is why a replay is identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bmi_runtime.config import Config, DecoderConfig
from bmi_runtime.decoding.base import SessionDecoder
from bmi_runtime.decoding.click import ClickFilter
from bmi_runtime.decoding.hosting import make_decoder
from bmi_runtime.decoding.tables import FILTER_OF, OWN, decoder_class
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.identity import carry, load_model
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.inferred_target import OffersCandidates, WeighsLabels
from bmi_runtime.intention.registry import Intention, make_intention
from bmi_runtime.kernels import filters
from bmi_runtime.messages import MISSING, STAGES, Bin, StepRecord, TrialState, output_dtype, struct_of
from bmi_runtime.session.adaptation_control import AdaptationController
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.features import FeatureBlock
from bmi_runtime.session.live_parameters import (
    DECODER_SETTINGS,
    LIVE_PARAMETERS,
    checked,
    decoder_kinds,
    kept,
    put_back,
    shown,
    why_these_kinds,
)
from bmi_runtime.session.safety import Happening, Safety
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.click import CentreOutClick
from bmi_runtime.tasks.registry import make_task

PROBATION_BINS = 20  # newest bins that a decoder is tried on before it takes over
FALLBACK_TASK, FALLBACK_INTENTION = "centre-out", "optimal-control"
COVARIANCE_CHECK_S = 1.0  # how often lost covariances are looked for
DECODE, TASK, ADAPT = (STAGES.index(name) for name in ("decode", "task", "adapt"))


class PreparedDecoder(NamedTuple):
    """A decoder that may take over, with the settings and the model that it was made from."""

    section: DecoderConfig
    model: EncodingModel
    decoder: SessionDecoder


def _stimulation(config: Config) -> Any:
    """Return the drawn schedule of stimulation, or None when there is none."""
    section = config.stimulation
    if not section.enabled:
        return None
    from bmi_runtime.analysis.perturbation.schedule import StimulationDesign

    if max(section.units, default=0) >= config.session.units:
        raise BadInput(f"stimulation.units names unit {max(section.units)}, there are {config.session.units} (from 0)")
    design = section.model_dump(exclude={"enabled"}) | {"per_trial": section.per_trial or None}
    return StimulationDesign(**design).draw()


def _left_out(units: Iterable[int], n: int) -> np.ndarray:
    """Return the units that neither decode nor are learned, of `n`."""
    left_out = np.array(sorted(set(units)), np.int64)
    if left_out.size and not (left_out[0] >= 0 and left_out[-1] < n):
        raise BadInput(
            f"session.left_out names unit {left_out[-1 if left_out[-1] >= n else 0]}, there are {n} (from 0)"
        )
    if left_out.size == n:
        raise BadInput(f"session.left_out names all {n} units; at least one must be left to decode with")
    return left_out


def _no_mark(stage: int) -> None:
    """Ignore the end of a stage; the shell puts its stopwatch here, and nothing of it comes back into the step."""


class Session:
    """Decoder, task, intention and adapter around one encoding model.

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

    model: EncodingModel
    decoder_model: EncodingModel
    task_kind: str
    adaptation: AdaptationController
    safety: Safety
    hold: bool
    adapting: bool
    assist: float
    task: ReachTask
    intention: Intention | None
    intention_kind: str

    def __init__(self, config: Config, model: EncodingModel):
        if model.n_units != config.session.units or model.likelihood != config.session.likelihood:
            raise BadInput(
                f"the encoding model has {model.n_units} {model.likelihood} units, the configuration wants "
                f"{config.session.units} {config.session.likelihood} (session.units, session.likelihood)"
            )
        self.space = space = config.space
        self.blocks: Blocks | None = None
        if model.n_axes != space.n_axes:
            raise BadInput(
                f"the encoding model is of {model.n_axes} axes, the brain state has {space.n_axes}: "
                f"{', '.join(space.axes)} (state.axes)"
            )
        wanted = Regressors.of(config)
        if model.regressors != wanted and (model.regressors.names != wanted.names or "history" in wanted.names):
            raise BadInput(
                f"the encoding model depends on {', '.join(model.regressors.names)}, the configuration wants "
                f"{', '.join(config.encoding.regressors)} (encoding.regressors)"
            )
        if bool(model.features) != bool(config.session.features):
            raise BadInput("an encoding model of features and session.features go together")
        self.config, self.model = config, model
        n, self._n = model.n_units, space.n_axes
        self.record = StepRecord(*config.layout)
        self._write_output = struct_of(output_dtype(space)).pack_into
        self.rng = np.random.default_rng(np.random.SeedSequence([config.session.seed, 0]))
        self.task = make_task(config.task, config.bin_s, self.rng, space.n_axes)
        self.task_kind = config.task.kind
        self.adapter = Adapter(model, config.adapter.learning_rate)
        self.adaptation, self.adapting = AdaptationController(config, self.adapter), config.adapter.enabled
        self.features = FeatureBlock(config, model.features) if model.features else None
        self.history = History(model.regressors, n, config.bin_s) if model.regressors.n_history else None
        if self.history:
            self.adapter.history = self.history.traces
        self._needs_position = "position" in model.regressors.names
        self._skips_missing_axes = config.adapter.missing_axis == "skip"
        self.decoder_config, frozen = config.decoder, config.decoder.frozen_model
        self.decoder_model = frozen_copy(frozen, config, model) if frozen else model
        self.decoder: SessionDecoder = self._make_decoder(self.decoder_config, self.decoder_model)
        self._use_intention(config.adapter.intention)
        self.click: ClickFilter | None = None
        self._clicked, self._intended_click = False, 0.0
        if space.click != self._wants_click():
            raise BadInput(
                f"state.click = {str(space.click).lower()} does not go with task.kind = '{config.task.kind}': a click "
                "is decoded where the task asks for one, as 'centre-out-click' does"
            )
        if space.click:
            if config.continuous:
                raise BadInput("a click is decoded from spiking units; session.likelihood = 'gaussian' has none")
            traces = self.history.traces if self.history else None
            self.click = ClickFilter(self.decoder_model, config.state.click_threshold, traces)
        self.cursor = [0.0] * (2 * space.n_axes)
        self.assist, self.hold, self.bins = config.task.assist, False, 0
        self._learned = False  # whether this bin was adapted to and is still to be settled
        self.safety = Safety(config.safety, config.bin_s)
        self.stimulation = _stimulation(config)
        self._check_every = max(round(COVARIANCE_CHECK_S / config.bin_s), 1)
        self.events: list[dict[str, Any]] = []
        self.mark: Callable[[int], None] = _no_mark
        self._counts, self._valid = np.zeros(n), np.ones(n)
        self._recent = np.zeros((PROBATION_BINS, n))
        self._most_squared = config.safety.max_speed**2
        self.left_out: np.ndarray = _left_out(config.session.left_out, n)
        self._largest = config.safety.max_feature if config.continuous else float(config.safety.max_count)
        self._miss_policy = config.realtime.miss_policy
        self._rate_limit = math.log(config.safety.max_rate_hz * config.bin_s)
        self._bin_s, self._workspace_m, self._poisson = config.bin_s, config.task.workspace_m, not config.continuous
        self._fade, self._fade_s = config.task.assist_fade, config.task.assist_fade_s
        self._fade_from = (0, 0, 0)  # bins, successes and timeouts when the block began
        if config.block:
            self.blocks = Blocks(config)
            self.begin_block(1, "")

    def _make_decoder(self, section: DecoderConfig, model: EncodingModel) -> SessionDecoder:
        if model.features and section.kind not in OWN:
            raise BadInput(
                f"decoder.kind = '{section.kind}' decodes spiking units alone; a session with features beside them "
                f"wants {' or '.join(OWN)}"
            )
        history = {"history": self.history.traces} if self.history else {}
        return make_decoder(decoder_class(section.kind), section, model, **history)

    def _use_intention(self, kind: str) -> None:
        self.take_intention(*self.prepare_intention(kind))

    def prepare_intention(self, kind: str) -> tuple[str, Intention | None]:
        """Make the intention of this name; raise `BadInput` when there is none, or it cannot be made."""
        return kind, make_intention(kind, self.config.adapter, self.config.bin_s, self._n)

    def take_intention(self, kind: str, intention: Intention | None) -> None:
        """Let a prepared intention take over."""
        self.intention_kind, self.intention = kind, intention
        self._labels = intention if isinstance(intention, WeighsLabels) else None
        self._offer_candidates()

    def _offer_candidates(self) -> None:
        """Tell an intention that infers the goal where it may be (not which one it is)."""
        if self._labels:
            asked = isinstance(self.task, OffersCandidates) and not (self.blocks and self.blocks.section.kind == "free")
            places = self.task.candidates if asked and isinstance(self.task, OffersCandidates) else ()
            self._labels.offer(places, self.config.task.workspace_m)

    def prepare_block(self, number: float) -> int:
        """Return the number of a block that may begin.

        Raises
        ------
        BadInput
            When the session has no blocks, or none of that number.
        """
        if not self.blocks:
            raise BadInput("this session has no blocks; give [[block]] tables in its configuration")
        if not (number.is_integer() and 1 <= number <= len(self.blocks.sections)):
            raise BadInput(f"there is no block {number:g}, only blocks 1 to {len(self.blocks.sections)}")
        return int(number)

    def begin_block(self, number: int, why: str) -> None:
        """Let a block begin with the next bin: what it sets is set as by commands, a trial under way is given up."""
        blocks = self.blocks
        assert blocks
        first = not blocks.scores
        blocks.begin(number, self.bins, self.task.successes, self.task.timeouts, why)
        changed, refused = {}, {}
        for key, value in blocks.settings().items():
            parameter = LIVE_PARAMETERS[key]
            if parameter.get(self) == value:
                continue
            try:
                parameter.commit(self, parameter.prepare(self, value))
                changed[key] = value
            except BadInput as error:
                refused[key] = str(error)
        if not first and "task.kind" not in changed:
            self.task.begin()
        self._offer_candidates()
        self._fade_from = (self.bins, self.task.successes, self.task.timeouts)
        score = blocks.scores[-1]
        event = {"name": "block", "block": number, "kind": score.kind, "title": score.name, "first_bin": self.bins}
        before = blocks.scores[-2].facts() if len(blocks.scores) > 1 else None
        self.events.append({**event, "why": why, "settings": changed, "before": before})
        self.events += [{"name": "block-setting-refused", "set": key, "error": text} for key, text in refused.items()]

    def _go_through_blocks(self, moved: bool) -> None:
        """Count the bin in its block; let the next one begin when it is over, and the session end after the last."""
        blocks = self.blocks
        assert blocks
        why = blocks.after_bin(moved, self.task.successes, self.task.timeouts)
        if not why or blocks.over:
            return
        if blocks.number < len(blocks.sections):
            self.begin_block(blocks.number + 1, why)
        else:
            blocks.over, blocks.scores[-1].ended = True, why
            self.events.append({"name": "blocks-done", "blocks": len(blocks.sections), "why": why})

    def step(self, input_bytes) -> StepRecord:
        """Take one bin in, whole: :meth:`respond`, then :meth:`settle`. Returns the session's one record."""
        record = self.respond(input_bytes)
        self.settle()
        return record

    def settle(self) -> None:
        """Do what follows from the bin and may wait until its command has left: predicted against achieved.

        A live loop calls it between sending the command and the next bin.
        """
        if self._learned:
            self._learned = False
            self.events += self.adaptation.update(self._counts, self._valid, self.bins - 1)
            if self.features:
                self.events += self.features.settle(self.bins - 1)
        if self.history:
            self.history.take(self._counts)

    def respond(self, input_bytes) -> StepRecord:
        """Take one bin in: infer the intention, decode, move the cursor, adapt; the bin's record is complete then.

        Parameters
        ----------
        input_bytes : bytes-like
            The ``input`` part of a step (`messages.input_dtype`).
        """
        record = self.record
        record.input_bytes[:] = input_bytes
        given = record.input
        # what the subject saw while it produced these counts is the cursor and target of the bin before
        intended = self._intend(given)
        position = self._encoded_position(given) if self._needs_position else ()
        usable = self._take_units(given)
        if self.features:
            usable = self._take_features(given, usable)
        safety, behind = self.safety, given.behind.item() > 0
        safety.before_decoding(usable)
        may_decode = usable and not (behind and self._miss_policy == "coast")
        decoded = self._decode(may_decode)
        if self.click:
            self._decode_click(self.click, may_decode, decoded)
        self.mark(DECODE)
        may_move = safety.moves and not self.hold and not (behind and self._miss_policy == "hold")
        assist = self._assist_now()
        self._move(decoded, intended, not may_move, assist if self._plausible(intended) else 0.0)
        if may_move and not (self.blocks and self.blocks.without_targets):
            self._advance_task()
        self.mark(TASK)
        may_adapt = self.adapting and usable and safety.adapts and not (self.hold or behind)
        may_adapt = may_adapt and self._teaches(intended)
        likelihood = self._adapt(intended, position) if may_adapt else math.nan
        if self.features and not may_adapt:
            self.features.learn(False, intended, position)
        if self.bins % self._check_every == 0:
            self._repair()
            if self._labels and (news := self._labels.news()):
                self.events.append(news)
        if safety.events:
            self.events += safety.drain()
        stimulated = self._stimulate() if self.stimulation and safety.moves and not self.hold else False
        self._fill(decoded, intended, assist, likelihood, may_adapt, stimulated)
        self.bins += 1
        if self.blocks:
            self._go_through_blocks(may_move)
        self.mark(ADAPT)
        return record

    def _wants_click(self) -> bool:
        return isinstance(self.task, CentreOutClick)

    def _decode_click(self, click: ClickFilter, usable: bool, decoded: np.ndarray) -> None:
        """Decode whether a click begins, and note whether one was intended while these counts were produced."""
        task = self.task
        self._intended_click = float(task.inside(self.cursor[: self._n])) if self._wants_click() else 0.0
        self._clicked = click.predict(self._counts, self._valid, decoded) if usable else click.coast()
        self._tell_decoder(click)
        if isinstance(task, CentreOutClick):
            task.clicked = self._clicked and self.safety.moves and not self.hold

    def _tell_decoder(self, click: ClickFilter) -> None:
        if isinstance(self.decoder, VelocityFilter):
            self.decoder.click = click.expected

    def _take_units(self, given) -> bool:
        """Take in the units' counts; return whether the bin can be decoded from them."""
        refused = filters.clean_counts(given.counts, self._largest, self._counts, self._valid)
        missing = 0
        if refused:
            missing = int(np.count_nonzero(given.counts == MISSING)) if self._poisson else 0
            if refused > missing:
                self.events.append({"name": "refused-counts", "units": int(refused - missing)})
        if self.left_out.size:
            self._valid[self.left_out] = 0.0
        self._recent[self.bins % PROBATION_BINS] = self._counts
        there = self._counts.size - missing
        return 2 * (refused - missing) < there and given.stale.item() == 0

    def _encoded_position(self, given) -> list[float]:
        """Return where the cursor was seen while the counts were produced (recorded intentions: where the hand was)."""
        return given.kinematics[: self._n].tolist() if self.intention is None else self.cursor[: self._n]

    def _take_features(self, given, usable: bool) -> bool:
        """Take in the features beside the units; return whether the bin can be decoded, from them alone if need be."""
        assert self.features
        if not self.features.take(given.features, self.events) or given.stale.item():
            return usable
        if not usable:  # the units are missing, the features are there
            self._valid[:] = 0.0
        return True

    def _teaches(self, intended: Sequence[float]) -> bool:
        """Return whether a bin can be learned from: its intention is known, in one axis at least, and can be."""
        known = [v for v in intended if math.isfinite(v)]
        enough = len(known) == self._n or (bool(known) and not self._skips_missing_axes)
        return enough and self._plausible(known)

    def _intend(self, given) -> Sequence[float]:
        """Return the intended velocity (m/s); whoever infers it may fail."""
        try:
            intended = self._infer_intention(given)
            if len(intended) != self._n:
                raise ValueError(f"infer gave {len(intended)} numbers for {self._n} axes")
            return intended
        except Exception as error:
            self._part_failed("intention", self.intention_kind, error, FALLBACK_INTENTION)
            self._use_intention(FALLBACK_INTENTION)
            return [math.nan] * self._n

    def _plausible(self, velocity: Sequence[float]) -> bool:
        """Return whether a velocity (m/s) is finite and within ``safety.max_speed``."""
        return sum([v * v for v in velocity]) <= self._most_squared  # not so for NaN

    def _infer_intention(self, given) -> Sequence[float]:
        if self.intention is None:
            return given.kinematics[self._n :].tolist()
        if self.blocks and self.blocks.without_targets and not self._labels:
            return [math.nan] * self._n  # nobody is asked for anything: what is wanted is not known
        return self.intention.infer(self.cursor, self.task.target, self.task.trial_state)

    def _decode(self, may_decode: bool) -> np.ndarray:
        """Return the decoded state; coast on the prior when the bin cannot be used, start again when it went wrong."""
        decoder = self.decoder
        if not may_decode:
            decoder.coast()
        else:
            features = self.features
            if features and features.came:
                state = decoder.predict(self._counts, self._valid, features.values, features.valid).tolist()
            else:
                state = decoder.predict(self._counts, self._valid).tolist()
            finite = math.isfinite(sum(state))
            broken = not (finite and self._plausible(state[self._n :]))
            if broken and not decoder.failure:
                self.events.append({"name": "decoder-implausible" if finite else "decoder-not-finite"})
                self._repair()
                decoder.reset()
                decoder.set_position(*self.cursor[: self._n])
            exploded = self._poisson and decoder.largest > self._rate_limit
            self.safety.after_decoding(exploded, broken)
        if decoder.failure:
            self._decoder_failed(decoder.failure)
        return self.decoder.state

    def _decoder_failed(self, error: str) -> None:
        """Go on with the project's own filter: a decoder that raised is asked nothing any more."""
        kind = FILTER_OF[self.model.likelihood]
        self._part_failed("decoder", self.decoder_config.kind, error, kind)
        section = self.decoder_config.model_copy(update={"kind": kind})
        self.take_decoder(PreparedDecoder(section, self.decoder_model, self._make_decoder(section, self.decoder_model)))

    def _part_failed(self, part: str, kind: str, error: Any, goes_on_with: str) -> None:
        """Say that somebody's part failed, and freeze the output until it can be trusted again."""
        said = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        event = {"name": f"{part}-failed", "kind": kind, "error": said[:300], "goes_on_with": goes_on_with}
        self.events.append(event)
        self.safety.happen(Happening.FAULT)

    def _advance_task(self) -> None:
        """Advance the task by the cursor; one that fails, or whose target cannot be, is followed by the plainest."""
        try:
            event = self.task.advance(*self.cursor[: self._n])
            target = self.task.target
            if len(target) != self._n + 1 or not math.isfinite(sum(target)):
                raise ValueError(f"its target is {target}")
        except Exception as error:
            self._task_failed(error)
            return
        if event:
            self.events.append(event)
            self.decoder.on_done()

    def _task_failed(self, error: Exception) -> None:
        self._part_failed("task", self.task_kind, error, FALLBACK_TASK)
        section = self.config.task.model_copy(update={"kind": FALLBACK_TASK, "options": {}})
        task = make_task(section, self.config.bin_s, self.rng, self._n)
        task.trial, task.successes, task.timeouts = self.task.trial, self.task.successes, self.task.timeouts
        task.begin()
        self.task_kind, self.task = FALLBACK_TASK, task

    def _adapt(self, intended: Sequence[float], position: Sequence[float]) -> float:
        """Learn from this bin; return its log likelihood before the update. An axis that is missing is at rest."""
        self._learned = True
        velocity = [v if v - v == 0.0 else 0.0 for v in intended]  # v - v: 0 for finite numbers alone
        position = [x if x - x == 0.0 else 0.0 for x in position]
        labels: list[tuple[list[float], float]] = self._labels.labels() if self._labels else []
        if len(labels) > 1:
            self._learned = False  # predicted against achieved is for bins whose label is known
            likelihood = self.adapter.update_weighted(self._counts, self._valid, labels, position)
        else:
            likelihood = self.adapter.update(
                self._counts, self._valid, *velocity, position_m=position, click=self._intended_click
            )
        return likelihood + self.features.learn(True, velocity, position) if self.features else likelihood

    def _repair(self) -> None:
        """Start units again whose weights or covariance are lost; a session must outlive one broken unit."""
        model, sd = self.model, self.config.encoding.initial_sd
        lost = filters.repair(model.weights, model.covariance, sd * sd)
        if self.features:
            lost += filters.repair(self.features.model.weights, self.features.model.covariance, sd * sd)
        if lost:
            self.events.append({"name": "covariance-lost", "units": int(lost)})
            self.safety.happen(Happening.FAULT)

    def _move(self, decoded: np.ndarray, intended: Sequence[float], still: bool, assist: float) -> None:
        """Move the cursor by the decoded velocity blended with the assist; keep it inside the workspace."""
        cursor, dt, limit, n = self.cursor, self._bin_s, self._workspace_m, self._n
        velocity = decoded.tolist()[n:]
        if still:
            velocity = [0.0] * n
        elif assist:
            velocity = [(1.0 - assist) * v + assist * goal for v, goal in zip(velocity, intended)]
        cursor[:n] = [min(max(x + dt * v, -limit), limit) for x, v in zip(cursor, velocity)]
        cursor[n:] = velocity
        self.decoder.set_position(*cursor[:n])

    def _assist_now(self) -> float:
        if not self.assist or self._fade == "none":
            return self.assist
        bins, successes, timeouts = self._fade_from
        if self._fade == "time":
            return self.assist * max(0.0, 1.0 - (self.bins - bins) * self._bin_s / self._fade_s)
        succeeded = self.task.successes - successes
        done = succeeded + self.task.timeouts - timeouts
        return self.assist * (1.0 - succeeded / done) if done else self.assist

    def _stimulate(self) -> bool:
        """Ask for the stimulation trials whose onset falls into the next bin; return whether there was one."""
        start = (self.bins + 1) * self.config.bin_s
        due = list(self.stimulation.events_between(start, start + self.config.bin_s))
        self.events += [{"name": "stimulation", **event} for event in due]
        return bool(due)

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
        task = self.task
        self._write_output(
            self.record.output_bytes,
            0,
            *decoded.tolist(),
            *self.decoder.variance.tolist(),
            *self.cursor,
            *task.target,
            *intended,
            task.hold_fraction,
            assist,
            self.adaptation.learning_rate,
            likelihood,
            self._checksum(),
            task.trial,
            task.successes,
            task.timeouts,
            TrialState.PAUSE if self.hold or (self.blocks and self.blocks.without_targets) else task.trial_state,
            self.safety.state,
            adapting,
            stimulated,
            0,
            *self._click_output(),
        )

    def _click_output(self) -> tuple[float, ...]:
        if not self.click:
            return ()
        return *self.click.posterior.tolist(), self._intended_click, int(self._clicked)

    def _checksum(self) -> int:
        own = filters.checksum(self.model.weights)
        return own ^ filters.checksum(self.features.model.weights) if self.features else own

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """Apply a command between two bins; return the answer, with the old and new value and the bin it takes effect.

        Raises
        ------
        BadInput
            When the command is not one of `LIVE_PARAMETERS` or its value is out of bounds; nothing has changed then.
        """
        key: Any = command.get("set")
        value, parameter = checked(key, command.get("value")), LIVE_PARAMETERS[key]
        old, prepared = parameter.get(self), parameter.prepare(self, value)
        parameter.commit(self, prepared)
        return {"set": key, "old": old, "new": value, "bin": self.bins}

    def decoder_settings(self) -> dict[str, Any]:
        """Return the decoder's settings of this moment, the project's own filter by the name of what it is."""
        settings = {name: getattr(self.decoder_config, name) for name in DECODER_SETTINGS}
        return settings | ({"kind": FILTER_OF[self.model.likelihood]} if settings["kind"] in OWN else {})

    def prepare_decoder(self, settings: dict[str, Any]) -> PreparedDecoder:
        """Make the decoder that these settings ask for, try it on the newest bins, and leave the session as it is.

        Raises
        ------
        BadInput
            When it is not of this session, cannot be made, or fails on the bins.
        """
        kind = settings.get("kind")
        if kind is not None and kind not in decoder_kinds(self):
            kinds, why = ", ".join(decoder_kinds(self)), why_these_kinds(self.model.likelihood)
            raise BadInput(f"decoder.kind cannot change to {shown(kind)}: {why}; choose from {kinds}")
        section = self.decoder_config.model_copy(update=settings)
        self._try(self._make_decoder(section, self.decoder_model), section.kind)
        return PreparedDecoder(section, self.decoder_model, self._make_decoder(section, self.decoder_model))

    def prepare_fitted(self, file: str) -> PreparedDecoder:
        """Make the decoder of a file and try it on the newest bins; an empty name goes back to the units' own filter.

        Raises
        ------
        BadInput
            When the file cannot be read, is not for this session, or its decoder fails on the bins.
        """
        kind = "fitted" if file else FILTER_OF[self.model.likelihood]
        section = self.decoder_config.model_copy(update={"fitted_file": file, "kind": kind})
        self._try(self._make_decoder(section, self.decoder_model), section.kind)
        return PreparedDecoder(section, self.decoder_model, self._make_decoder(section, self.decoder_model))

    def prepare_frozen(self, frozen: bool) -> PreparedDecoder:
        """Make a decoder with the parameters of this moment, or one with the live ones."""
        model = self.model.copy() if frozen else self.model
        return PreparedDecoder(self.decoder_config, model, self._make_decoder(self.decoder_config, model))

    def take_decoder(self, prepared: PreparedDecoder) -> None:
        """Let a prepared decoder take over: from the state of the old one where it is of its kind."""
        before, n = self.decoder, self._n
        self.decoder_config, self.decoder_model, self.decoder = prepared.section, prepared.model, prepared.decoder
        if self.decoder.is_kin_of(before) and not before.failure:
            self.decoder.restore(before.snapshot())
        else:
            self.decoder.set_position(*self.cursor[:n])

    def _try(self, decoder: SessionDecoder, kind: str) -> None:
        """Step a decoder over the newest bins; raise `BadInput` when it fails or answers what cannot be."""
        bins = min(self.bins, PROBATION_BINS)
        decoder.set_position(*self.cursor[: self._n])
        for number in range(self.bins - bins, self.bins):
            state = decoder.predict(self._recent[number % PROBATION_BINS])
            why = decoder.failure or ("" if self._plausible(state.tolist()[self._n :]) else "its answer cannot be")
            if why:
                raise BadInput(f"the decoder {shown(kind)} does not take over: on the newest bins, {why}")

    def prepare_left_out(self, text: str) -> np.ndarray:
        """Return the units of a list such as ``3, 17``.

        Raises
        ------
        BadInput
            When it is no list of units, or none would be left.
        """
        try:
            units = [int(part) for part in text.replace(",", " ").split()]
        except ValueError:
            raise BadInput(f"session.left_out wants numbers of units with commas, got '{text[:40]}'") from None
        return _left_out(units, self.model.n_units)

    def leave_out(self, units: np.ndarray) -> None:
        """Leave these units out of decoding and learning from the next bin on, and take all others in."""
        self.left_out = units

    def prepare_task(self, kind: str) -> tuple[str, ReachTask]:
        """Make another task that goes on counting from the one that runs.

        Raises
        ------
        BadInput
            When there is none of that name.
        """
        rng_state = self.rng.bit_generator.state
        options = self.config.task.options if kind == self.config.task.kind else {}
        section = self.config.task.model_copy(update={"kind": kind, "options": options})
        try:
            task = make_task(section, self.config.bin_s, self.rng, self._n)
            task.restore(self.task.snapshot())
            task.begin()
        except Exception as error:
            self.rng.bit_generator.state = rng_state
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"the task {shown(kind)} cannot begin: {type(error).__name__}: {error}") from None
        return kind, task

    def take_task(self, prepared: tuple[str, ReachTask]) -> None:
        """Let a prepared task take over."""
        self.task_kind, self.task = prepared
        self._offer_candidates()

    def snapshot(self) -> dict[str, Any]:
        """Return copies of everything that the next step depends on: a session restored from it goes on to the bit."""
        return {
            "bins": self.bins,
            "model": self.model.state(),
            "decoder_model": None if self.decoder_model is self.model else self.decoder_model.state(),
            "decoder": self.decoder.snapshot(),
            "decoder_settings": self.decoder_settings(),
            "intention_kind": self.intention_kind,
            "intention": self.intention.snapshot() if self.intention else [],
            "task_kind": self.task_kind,
            "task": self.task.snapshot(),
            "cursor": list(self.cursor),
            "oversight": self.adaptation.snapshot(),
            "safety": self.safety.snapshot(),
            "live": kept(self),
            "rng": _rng_state(self.rng),
            **({"features": self.features.snapshot()} if self.features else {}),
            **({"history": self.history.traces.copy()} if self.history else {}),
            **({"click": self.click.snapshot()} if self.click else {}),
            **({"blocks": self.blocks.snapshot() | {"fade_from": list(self._fade_from)}} if self.blocks else {}),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put a :meth:`snapshot` back."""
        self.bins = snapshot["bins"]
        self.model.restore(snapshot["model"])
        self._restore_decoder(snapshot)
        if snapshot.get("intention_kind", self.intention_kind) != self.intention_kind:
            self._use_intention(snapshot["intention_kind"])
        if snapshot["task_kind"] != self.task_kind:
            self.take_task(self.prepare_task(snapshot["task_kind"]))
        if self.intention:  # behind the task, which offers candidates anew
            self.intention.restore(snapshot["intention"])
        if self.blocks:
            self.blocks.restore(snapshot["blocks"])
            self._fade_from = tuple(snapshot["blocks"]["fade_from"])
        self.task.restore(snapshot["task"])
        self.cursor[:] = snapshot["cursor"]
        self.adaptation.restore(snapshot["oversight"])
        self.safety.restore(snapshot["safety"])
        put_back(self, snapshot["live"])
        self.rng.bit_generator.state = _rng_parse(snapshot["rng"])
        if self.features:
            self.features.restore(snapshot["features"])
        if self.history:
            self.history.traces[...] = snapshot["history"]
        if self.click:
            self.click.restore(snapshot["click"])
            self.click.model = self.decoder_model
            self._tell_decoder(self.click)

    def _restore_decoder(self, snapshot: dict[str, Any]) -> None:
        """Make the decoder of a snapshot, with its model where that was frozen, and put its state back."""
        settings, named = snapshot.get("decoder_settings", {}), isinstance(snapshot["live"], dict)
        if not named and settings.get("kind") in OWN:  # older recordings call every decoder of ours so
            settings = settings | {"kind": self.decoder_config.kind}
        section = self.decoder_config.model_copy(update=settings)
        model = self.model
        if snapshot["decoder_model"] is not None:
            model = self.model.copy()
            model.restore(snapshot["decoder_model"])
        if section != self.decoder_config or model is not self.decoder_model:
            self.decoder_config, self.decoder_model = section, model
            self.decoder = self._make_decoder(section, model)
        self.decoder.restore(snapshot["decoder"])


def frozen_copy(path: str, config: Config, model: EncodingModel) -> EncodingModel:
    """Return the model of a file for the units of this session, to decode with and never to be adapted.

    Raises
    ------
    BadInput
        When it does not fit; units that nobody named are matched by their order, so there must be as many of them.
    """
    found = load_model(path)
    unnamed = found.names == tuple(f"unit {unit}" for unit in range(found.n_units))
    if unnamed and found.n_units != model.n_units:
        raise BadInput(
            f"{path} is a model of {found.n_units} units without names, this session has {model.n_units}: which is "
            "which cannot be known (decoder.frozen_model; name them with session.unit_names)"
        )
    fresh = untrained_model(config).named(model.names, config.state.axes)
    carry(found, fresh, 0.0, path)
    return fresh


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
