"""The decoder of a session: made, tried on the newest bins, exchanged, and replaced where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bmi_runtime.config import Config, DecoderConfig
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.base import SessionDecoder
from bmi_runtime.decoding.hosting import HostedDecoder, make_decoder
from bmi_runtime.decoding.tables import FILTER_OF, OWN, decoder_class
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import soundness
from bmi_runtime.session.inputs import Inputs
from bmi_runtime.session.learning import Learning
from bmi_runtime.session.live_parameters import DECODER_SETTINGS, shown, why_these_kinds
from bmi_runtime.session.safety import Safety
from bmi_runtime.session.start_checks import frozen_copy

RESTARTED_LOG_RATE = math.log(10.0)  # of a unit that learns again, log Hz: nothing that it was is to be believed


class PreparedDecoder(NamedTuple):
    """A decoder that may take over, with the settings and the model that it was made from."""

    section: DecoderConfig
    model: EncodingModel
    decoder: SessionDecoder


class DecoderStage:
    """The decoder, its settings and the model it reads; every change is prepared first and then taken.

    Parameters
    ----------
    config : Config
    live_model : EncodingModel
        Which the session adapts.
    inputs : Inputs
        What is decoded.
    safety : Safety
        Hears of answers that cannot be.
    cursor : list of float
        Position and velocity of the session's cursor, by reference.
    events : list of dict
        The session's, by reference.
    learning : Learning
        Whose units' own past decoders may read, and which hears of units that start again.
    repair : callable
        Starts units again whose covariance is lost.

    Attributes
    ----------
    decoder : SessionDecoder
    section : DecoderConfig
        The settings of this moment.
    model : EncodingModel
        The live one, or a frozen copy.
    """

    def __init__(
        self,
        config: Config,
        live_model: EncodingModel,
        inputs: Inputs,
        safety: Safety,
        cursor: list[float],
        events: list[dict[str, Any]],
        learning: Learning,
        repair: Callable[[], None],
    ):
        self.live_model, self.inputs, self.safety, self.cursor, self.events = live_model, inputs, safety, cursor, events
        self._learning, self._history, self._repair = learning, learning.history, repair
        self._n, self._poisson = config.space.n_axes, not config.continuous
        self._rate_limit = math.log(config.safety.max_rate_hz * config.bin_s)
        self._restarts = self._poisson and config.safety.exploded_units == "restart"
        self._initial_variance = config.encoding.initial_sd**2
        self.section, self._configured, frozen = config.decoder, config.decoder, config.decoder.frozen_model
        self.model = frozen_copy(frozen, config, live_model) if frozen else live_model
        self.decoder: SessionDecoder = self._made(self.section, self.model)
        self._untold: SessionDecoder | None = None  # whose snapshots are known to be without its state

    def _made(self, section: DecoderConfig, model: EncodingModel) -> SessionDecoder:
        if model.features and section.kind not in OWN:
            raise BadInput(
                f"decoder.kind = '{section.kind}' decodes spiking units alone; a session with features beside them "
                f"needs {' or '.join(OWN)}"
            )
        history = {"history": self._history.traces} if self._history else {}
        return make_decoder(decoder_class(section.kind), section, model, **history)

    def decode(self, may_decode: bool) -> np.ndarray:
        """Return the decoded state; coast on the prior when the bin cannot be used, start again when it went wrong."""
        decoder, inputs = self.decoder, self.inputs
        if not may_decode:
            decoder.coast()
        else:
            features = inputs.features
            if features and features.came:
                state = decoder.predict(inputs.counts, inputs.valid, features.values, features.valid).tolist()
            else:
                state = decoder.predict(inputs.counts, inputs.valid).tolist()
            sound = math.isfinite(sum(state)) and self.safety.plausible(state[self._n :])
            exploded = self._poisson and decoder.largest > self._rate_limit
            if exploded or not sound or self.safety.exploded:
                self._judge(state, exploded, not sound)
        if decoder.failure:
            self._failed(decoder.failure)
        return self.decoder.state

    def learn(self, velocity_m_s: Sequence[float], learning_rate: float) -> None:
        """Let a decoder that learns by itself learn from this bin; one that was frozen does not."""
        if isinstance(self.decoder, HostedDecoder) and self.model is self.live_model:
            self.decoder.learn(self.inputs.counts, self.inputs.valid, velocity_m_s, learning_rate)

    def _judge(self, state: list[float], exploded: bool, broken: bool) -> None:
        """Start a decoder again whose answer cannot be, and let the safety states know."""
        decoder = self.decoder
        if broken and not decoder.failure:
            finite = math.isfinite(sum(state))
            self.events.append({"name": "decoder-implausible" if finite else "decoder-not-finite"})
            self._repair()
            decoder.reset()
            decoder.set_position(*self.cursor[: self._n])
        self.safety.after_decoding(exploded, broken)
        if exploded and self._restarts and self.safety.untrusted:
            self._restart_exploded(state)

    def _restart_exploded(self, state: list[float]) -> None:
        """Start units again whose predicted rate explodes while the output is not trusted; those of a live model learn.

        Nothing else would end it: a frozen output teaches nothing, and a rate that explodes now and then forbids the
        run of good bins that brings the output back. It is the model that is wrong where a rate explodes at rest. At
        the decoded velocity the strongest sound units explode, too, after one wild bin; they are left alone until that
        must have faded.
        """
        model = self.model
        kinds, still = model.regressors, [0.0] * self._n
        velocities = [still, [DM_PER_M * v for v in state[self._n :]]][: 1 + self.safety.hopeless]
        common = np.ones((len(velocities), kinds.n_common))
        where = [DM_PER_M * x for x in state[: self._n]]
        for row, velocity in zip(common, velocities, strict=True):
            if all(math.isfinite(x) for x in (*where, *velocity)):
                kinds.fill(row, velocity, where)
            else:
                kinds.fill(row, still, still)
        own = (model.weights[kinds.n_common :] * self._history.traces).sum(axis=0) if self._history else 0.0
        log_counts = (common @ model.weights[: kinds.n_common]).max(axis=0) + own + math.log(model.bin_s)
        units = np.flatnonzero(~(log_counts <= self._rate_limit))
        if units.size:
            self.restart(units)
            self.safety.troubled = 0
            self.events.append({"name": "rates-exploded", "units": units.tolist()})

    def restart(self, units: np.ndarray) -> None:
        """Start these units (int64) of the model that is decoded with again, without tuning."""
        weights, covariance = self.model.weights, self.model.covariance
        soundness.restart_units(weights, covariance, units, RESTARTED_LOG_RATE, self._initial_variance)
        if self.model is self.live_model:
            self._learning.take_restarted(units)

    def _failed(self, error: str) -> None:
        """Go on with the project's own filter: a decoder that raised is asked nothing any more."""
        kind = FILTER_OF[self.live_model.likelihood]
        self.events.append(self.safety.part_failed("decoder", self.section.kind, error, kind))
        section = self._section(kind=kind)
        self.take(PreparedDecoder(section, self.model, self._made(section, self.model)))

    def settings(self) -> dict[str, Any]:
        """Return the decoder's settings of this moment, the project's own filter by the name of what it is."""
        settings = {name: getattr(self.section, name) for name in DECODER_SETTINGS}
        return settings | ({"kind": FILTER_OF[self.live_model.likelihood]} if settings["kind"] in OWN else {})

    def prepare(self, settings: dict[str, Any], bins: int, kinds: list[str]) -> PreparedDecoder:
        """Make the decoder that these settings ask for, try it on the newest bins, and change nothing.

        Parameters
        ----------
        settings : dict
            Keys of ``[decoder]``.
        bins : int
            Done so far.
        kinds : list of str
            That a session may change to.

        Raises
        ------
        BadInput
            When it is not of this session, cannot be made, or fails on the bins.
        """
        kind = settings.get("kind")
        if kind is not None and kind not in kinds:
            why = why_these_kinds(self.live_model.likelihood)
            raise BadInput(f"decoder.kind cannot change to {shown(kind)}: {why}; choose from {', '.join(kinds)}")
        return self._prepared(self._section(**settings), bins)

    def prepare_fitted(self, file: str, bins: int) -> PreparedDecoder:
        """Make the decoder of a file and try it on the newest bins; an empty name goes back to the units' own filter.

        Raises
        ------
        BadInput
            When the file cannot be read, is not for this session, or its decoder fails on the bins.
        """
        kind = "fitted" if file else FILTER_OF[self.live_model.likelihood]
        return self._prepared(self._section(fitted_file=file, kind=kind), bins)

    def _section(self, **settings: Any) -> DecoderConfig:
        """Return the settings of this moment with some of them changed; the options are those of the kind."""
        section = self.section.model_copy(update=settings)
        if section.kind == self.section.kind:
            return section
        configured = self._configured
        of_file = configured.fitted_file and section.fitted_file
        options = configured.options if section.kind == configured.kind or of_file else {}
        return section.model_copy(update={"options": options})

    def prepare_frozen(self, frozen: bool) -> PreparedDecoder:
        """Make a decoder with the parameters of this moment, or one with the live ones."""
        model = self.live_model.copy() if frozen else self.live_model
        return PreparedDecoder(self.section, model, self._made(self.section, model))

    def _prepared(self, section: DecoderConfig, bins: int) -> PreparedDecoder:
        self._try(self._made(section, self.model), section.kind, bins)
        return PreparedDecoder(section, self.model, self._made(section, self.model))

    def _try(self, decoder: SessionDecoder, kind: str, bins: int) -> None:
        """Step a decoder over the newest bins; raise `BadInput` when it fails or answers what cannot be."""
        decoder.set_position(*self.cursor[: self._n])
        for counts in self.inputs.newest(bins):
            state = decoder.predict(counts)
            plausible = self.safety.plausible(state.tolist()[self._n :])
            why = decoder.failure or ("" if plausible else "its answer cannot be")
            if why:
                raise BadInput(f"the decoder {shown(kind)} does not take over: on the newest bins, {why}")

    def take(self, prepared: PreparedDecoder) -> None:
        """Let a prepared decoder take over: from the state of the old one where it is of its kind."""
        before = self.decoder
        self.section, self.model, self.decoder = prepared
        if self.decoder.is_kin_of(before) and not before.failure:
            self.decoder.restore(before.snapshot())
        else:
            self.decoder.set_position(*self.cursor[: self._n])

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on; a decoder that cannot tell its state is an event, once."""
        decoder, kept = self.decoder, self.decoder.snapshot()
        if isinstance(decoder, HostedDecoder) and decoder.untold and decoder is not self._untold:
            self._untold = decoder
            event = {"name": "decoder-not-in-snapshot", "kind": self.section.kind, "error": decoder.untold}
            self.events.append(event)
        return {
            "decoder_model": None if self.model is self.live_model else self.model.state(),
            "decoder": kept,
            "decoder_settings": self.settings(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Make the decoder of a session's snapshot, with its model where that was frozen, and restore its state."""
        settings, named = snapshot.get("decoder_settings", {}), isinstance(snapshot["live"], dict)
        if not named and settings.get("kind") in OWN:  # older recordings call every decoder of ours so
            settings = settings | {"kind": self.section.kind}
        section, model = self._section(**settings), self.live_model
        if snapshot["decoder_model"] is not None:
            model = self.live_model.copy()
            model.restore(snapshot["decoder_model"])
        if section != self.section or model is not self.model:
            self.section, self.model = section, model
            self.decoder = self._made(section, model)
        self.decoder.restore(snapshot["decoder"])
