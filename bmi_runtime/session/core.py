"""The session: one pure transition per bin. No clock, no input or output, no random numbers but its own generators'.

Live runs, simulation, replay, sweeps and tests all drive :meth:`Session.step`; that is why a replay is identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.decoding.base import DECODERS, decoder_class
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.identity import carry, load_model
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import INTENTIONS
from bmi_runtime.kernels import filters
from bmi_runtime.messages import MISSING, STAGES, Bin, StepRecord, TrialState, output_dtype, struct_of
from bmi_runtime.session.commands import DECODER_SETTINGS, FILTER_OF, checked, decoder_kinds, shown, why_these_kinds
from bmi_runtime.session.features import FeatureBlock
from bmi_runtime.session.oversight import Oversight
from bmi_runtime.session.safety import Happening, Safety
from bmi_runtime.tasks.registry import make_task

COVARIANCE_CHECK_S = 1.0  # how often lost covariances are looked for
DECODE, TASK, ADAPT = (STAGES.index(name) for name in ("decode", "task", "adapt"))


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


def _left_out(config: Config) -> np.ndarray:
    """Return the units that neither decode nor are learned."""
    left_out, n = np.array(sorted(set(config.session.left_out)), np.int64), config.session.units
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

    def __init__(self, config: Config, model: EncodingModel):
        if model.n_units != config.session.units or model.likelihood != config.session.likelihood:
            raise BadInput(
                f"the encoding model has {model.n_units} {model.likelihood} units, the configuration wants "
                f"{config.session.units} {config.session.likelihood} (session.units, session.likelihood)"
            )
        self.space = space = config.space
        if model.n_axes != space.n_axes:
            raise BadInput(
                f"the encoding model is of {model.n_axes} axes, the brain state has {space.n_axes}: "
                f"{', '.join(space.axes)} (state.axes)"
            )
        if model.regressors != Regressors.of(config):
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
        self.oversight, self.adapting = Oversight(config, self.adapter), config.adapter.enabled
        self.features = FeatureBlock(config, model.features) if model.features else None
        self.history = History(model.regressors, n, config.bin_s) if model.regressors.n_history else None
        if self.history:
            self.adapter.history = self.history.traces
        self._needs_position = "position" in model.regressors.names
        self._skips_missing_axes = config.adapter.missing_axis == "skip"
        self.decoder_config, frozen = config.decoder, config.decoder.frozen_model
        self.decoder_model = frozen_copy(frozen, config, model) if frozen else model
        self.decoder = self._make_decoder(self.decoder_model)
        kind = INTENTIONS.get(config.adapter.intention)
        self.intention: Any = kind(config.adapter, config.bin_s, space.n_axes) if kind else None
        self.cursor = [0.0] * (2 * space.n_axes)
        self.assist, self.hold, self.bins = config.task.assist, False, 0
        self._learned = False  # whether this bin was adapted to and is still to be settled
        self.safety = Safety(config.safety, config.bin_s)
        self.stimulation = _stimulation(config)
        self._check_every = max(round(COVARIANCE_CHECK_S / config.bin_s), 1)
        self.events: list[dict[str, Any]] = []
        self.mark: Callable[[int], None] = _no_mark
        self._counts, self._valid = np.zeros(n), np.ones(n)
        self._left_out = _left_out(config)
        self._largest = config.safety.max_feature if config.continuous else float(config.safety.max_count)
        self._miss_policy = config.realtime.miss_policy
        self._rate_limit = math.log(config.safety.max_rate_hz * config.bin_s)
        self._bin_s, self._workspace_m, self._poisson = config.bin_s, config.task.workspace_m, not config.continuous
        self._fade, self._fade_s = config.task.assist_fade, config.task.assist_fade_s

    def _make_decoder(self, model: EncodingModel) -> Any:
        section = self.decoder_config
        options = section.model_dump(exclude={"kind", "frozen_model", "options"}) | section.options
        if model.features and section.kind not in FILTER_OF.values():
            raise BadInput(
                f"decoder.kind = '{section.kind}' decodes spiking units alone; a session with features beside them "
                f"wants {' or '.join(FILTER_OF.values())}"
            )
        if self.history:
            options["history"] = self.history.traces
        return decoder_class(section.kind)(model, **options)

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
            self.events += self.oversight.update(self._counts, self._valid, self.bins - 1)
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
        intended = self._infer_intention(given)
        position = self._encoded_position(given) if self._needs_position else ()
        usable = self._take_units(given)
        if self.features and self.features.take(given.features, self.events) and given.stale.item() == 0:
            if not usable:  # the units are missing, the features are there
                self._valid[:] = 0.0
            usable = True
        safety, behind = self.safety, given.behind.item() > 0
        safety.before_decoding(usable)
        decoded = self._decode(usable and not (behind and self._miss_policy == "coast"))
        self.mark(DECODE)
        still = self.hold or not safety.moves or (behind and self._miss_policy == "hold")
        assist = self._assist_now()
        self._move(decoded, intended, still, assist)
        event = None if still else self.task.advance(*self.cursor[: self._n])
        if event:
            self.events.append(event)
            self.decoder.on_done()
        self.mark(TASK)
        adapting = self.adapting and usable and safety.adapts and not (self.hold or behind)
        adapting = adapting and self._teaches(intended)
        likelihood = self._adapt(intended, position) if adapting else math.nan
        if self.features and not adapting:
            self.features.learn(False, intended, position)
        if self.bins % self._check_every == 0:
            self._repair()
        if safety.events:
            self.events += safety.drain()
        stimulated = self._stimulate() if self.stimulation and safety.moves and not self.hold else False
        self._fill(decoded, intended, assist, likelihood, adapting, stimulated)
        self.bins += 1
        self.mark(ADAPT)
        return record

    def _take_units(self, given) -> bool:
        """Take in the units' counts; return whether the bin can be decoded from them."""
        refused = filters.clean_counts(given.counts, self._largest, self._counts, self._valid)
        missing = 0
        if refused:
            missing = int(np.count_nonzero(given.counts == MISSING)) if self._poisson else 0
            if refused > missing:
                self.events.append({"name": "refused-counts", "units": int(refused - missing)})
        if self._left_out.size:
            self._valid[self._left_out] = 0.0
        there = self._counts.size - missing
        return 2 * (refused - missing) < there and given.stale.item() == 0

    def _encoded_position(self, given) -> list[float]:
        """Return where the cursor was seen while the counts were produced (recorded intentions: where the hand was)."""
        return given.kinematics[: self._n].tolist() if self.intention is None else self.cursor[: self._n]

    def _teaches(self, intended: list[float]) -> bool:
        """Return whether a bin can be learned from: its intention is known, in one axis at least."""
        if math.isfinite(sum(intended)):
            return True
        return not self._skips_missing_axes and any(math.isfinite(v) for v in intended)

    def _infer_intention(self, given) -> list[float]:
        if self.intention is None:
            return given.kinematics[self._n :].tolist()
        return self.intention.infer(self.cursor, self.task.target, self.task.trial_state)

    def _decode(self, usable: bool) -> np.ndarray:
        """Return the decoded state; coast on the prior when the bin cannot be used, start again when it went wrong."""
        decoder = self.decoder
        if not usable:
            decoder.coast()
            return decoder.state
        features = self.features
        if features and features.came:
            decoded = decoder.predict(self._counts, self._valid, features.values, features.valid)
        else:
            decoded = decoder.predict(self._counts, self._valid)
        broken = not math.isfinite(sum(decoded.tolist()))
        if broken:
            self.events.append({"name": "decoder-not-finite"})
            self._repair()
            decoder.reset()
            decoder.set_position(*self.cursor[: self._n])
        exploded = self._poisson and decoder.largest > self._rate_limit
        self.safety.after_decoding(exploded, broken)
        return decoder.state

    def _adapt(self, intended: list[float], position: Sequence[float]) -> float:
        """Learn from this bin; return its log likelihood before the update. An axis that is missing is at rest."""
        self._learned = True
        velocity = [v if v - v == 0.0 else 0.0 for v in intended]  # v - v: 0 for finite numbers alone
        position = [x if x - x == 0.0 else 0.0 for x in position]
        likelihood = self.adapter.update(self._counts, self._valid, *velocity, position_m=position)
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

    def _move(self, decoded: np.ndarray, intended: list[float], still: bool, assist: float) -> None:
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
        if self._fade == "time":
            return self.assist * max(0.0, 1.0 - self.bins * self._bin_s / self._fade_s)
        done = self.task.successes + self.task.timeouts
        return self.assist * (1.0 - self.task.successes / done) if done else self.assist

    def _stimulate(self) -> bool:
        """Ask for the stimulation trials whose onset falls into the next bin; return whether there was one."""
        start = (self.bins + 1) * self.config.bin_s
        due = list(self.stimulation.events_between(start, start + self.config.bin_s))
        self.events += [{"name": "stimulation", **event} for event in due]
        return bool(due)

    def _fill(
        self,
        decoded: np.ndarray,
        intended: list[float],
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
            self.oversight.learning_rate,
            likelihood,
            self._checksum(),
            task.trial,
            task.successes,
            task.timeouts,
            TrialState.PAUSE if self.hold else task.trial_state,
            self.safety.state,
            adapting,
            stimulated,
            0,
        )

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
        key = command.get("set")
        if not isinstance(key, str):
            raise BadInput(f"'set' wants the name of a live parameter, got {shown(key)}")
        value = checked(key, command.get("value"))
        section, _, name = key.partition(".")
        if section == "decoder" and name in DECODER_SETTINGS:
            old = self._set_decoder(name, value)
        else:
            old = getattr(self, f"_set_{section}_{name}")(value)
        return {"set": key, "old": old, "new": value, "bin": self.bins}

    def _set_adapter_learning_rate(self, value: float) -> float:
        old = self.oversight.learning_rate
        self.oversight.set_learning_rate(value)
        return old

    def _set_adapter_enabled(self, value: bool) -> bool:
        old, self.adapting = self.adapting, value
        return old

    def _set_task_assist(self, value: float) -> float:
        old, self.assist = self.assist, value
        return old

    def _set_session_stopped(self, value: bool) -> bool:
        if value:
            self.safety.happen(Happening.STOP)
        return False

    def _set_session_hold(self, value: bool) -> bool:
        old, self.hold = self.hold, value
        return old

    def _set_decoder_frozen(self, value: bool) -> bool:
        old = self.decoder_model is not self.model
        self.decoder_model = self.model.copy() if value else self.model
        kept = self.decoder.snapshot()
        self.decoder = self._make_decoder(self.decoder_model)
        self.decoder.restore(kept)
        return old

    def _set_decoder(self, name: str, value: Any) -> Any:
        """Change one setting of the decoder; another filter of the same class goes on from the state of the old one."""
        if name == "kind" and value not in decoder_kinds(self.model.likelihood):
            kinds, why = ", ".join(decoder_kinds(self.model.likelihood)), why_these_kinds(self.model.likelihood)
            raise BadInput(f"decoder.kind cannot change to {shown(value)}: {why}; choose from {kinds}")
        old = self.decoder_settings()[name]
        self._use_decoder({name: value})
        return old

    def decoder_settings(self) -> dict[str, Any]:
        """Return the decoder's settings of this moment, the project's own filter by the name that fits the units."""
        settings = {name: getattr(self.decoder_config, name) for name in DECODER_SETTINGS}
        own = settings["kind"] in DECODERS
        return settings | ({"kind": FILTER_OF[self.model.likelihood]} if own else {})

    def _use_decoder(self, settings: dict[str, Any]) -> None:
        before = self.decoder
        self.decoder_config = self.decoder_config.model_copy(update=settings)
        self.decoder = self._make_decoder(self.decoder_model)
        if type(self.decoder) is type(before):
            self.decoder.restore(before.snapshot())
        else:
            self.decoder.set_position(*self.cursor[: self._n])

    def _set_task_kind(self, value: str) -> str:
        task = make_task(self.config.task.model_copy(update={"kind": value}), self.config.bin_s, self.rng, self._n)
        task.restore(self.task.snapshot())
        task.begin()
        old, self.task, self.task_kind = self.task_kind, task, value
        return old

    def snapshot(self) -> dict[str, Any]:
        """Return copies of everything that the next step depends on: a session restored from it goes on to the bit."""
        return {
            "bins": self.bins,
            "model": self.model.state(),
            "decoder_model": None if self.decoder_model is self.model else self.decoder_model.state(),
            "decoder": self.decoder.snapshot(),
            "decoder_settings": self.decoder_settings(),
            "intention": self.intention.snapshot() if self.intention else [],
            "task_kind": self.task_kind,
            "task": self.task.snapshot(),
            "cursor": list(self.cursor),
            "oversight": self.oversight.snapshot(),
            "safety": self.safety.snapshot(),
            "live": [self.adapting, self.assist, self.hold],
            "rng": _rng_state(self.rng),
            **({"features": self.features.snapshot()} if self.features else {}),
            **({"history": self.history.traces.copy()} if self.history else {}),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put a :meth:`snapshot` back."""
        self.bins = snapshot["bins"]
        self.model.restore(snapshot["model"])
        if snapshot.get("decoder_settings", self.decoder_settings()) != self.decoder_settings():
            self._use_decoder(snapshot["decoder_settings"])
        if snapshot["decoder_model"] is not None:
            self._set_decoder_frozen(True)
            self.decoder_model.restore(snapshot["decoder_model"])
        self.decoder.restore(snapshot["decoder"])
        if self.intention:
            self.intention.restore(snapshot["intention"])
        if snapshot["task_kind"] != self.task_kind:
            self._set_task_kind(snapshot["task_kind"])
        self.task.restore(snapshot["task"])
        self.cursor[:] = snapshot["cursor"]
        self.oversight.restore(snapshot["oversight"])
        self.safety.restore(snapshot["safety"])
        self.adapting, self.assist, self.hold = snapshot["live"]
        self.rng.bit_generator.state = _rng_parse(snapshot["rng"])
        if self.features:
            self.features.restore(snapshot["features"])
        if self.history:
            self.history.traces[...] = snapshot["history"]


def frozen_copy(path: str, config: Config, model: EncodingModel) -> EncodingModel:
    """Return the model of a file for the units of this session, to decode with and never to be adapted."""
    fresh = untrained_model(config).named(model.names, config.state.axes)
    carry(load_model(path), fresh, 0.0, path)
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
