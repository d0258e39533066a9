"""The host of somebody else's decoder in a session: what the step asks for, around whatever the decoder can do.

The step asks a decoder to predict, to coast, to take the cursor's position, to note the end of a trial, and to be
snapshotted. A decoder that can only predict is enough: the host does the rest. Nothing that the decoder raises comes
through: the failure is noted, and the session goes on without it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.codec import pack, unpack, why_not_recordable
from bmi_runtime.config import DecoderConfig
from bmi_runtime.decoding.base import (
    Coasts,
    Learns,
    NotesTrials,
    NotFinite,
    ReportsLargestRate,
    Resets,
    SessionDecoder,
    Snapshots,
    TakesPosition,
)
from bmi_runtime.decoding.falcon import FalconDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput, described, is_fault_of_part

PLAIN = (bool, int, float, str)
METHODS = ("predict", "observe", "reset", "coast", "set_position", "on_done", "learn", "snapshot", "restore")


class HostedDecoder:
    """A decoder of another make in a session.

    Parameters
    ----------
    decoder : object
        With ``predict(counts)`` or ``predict(counts, valid)``; the answer is a velocity, or position and velocity, of
        any shape. Everything else (`decoding.base`: `Resets`, `Coasts`, ...) is optional.
    name : str
        For messages.
    n_units, n_axes : int

    Attributes
    ----------
    state : ndarray, (2 axes,)
        Position (m) and velocity (m/s).
    variance : ndarray, (2 axes,)
        Of the state, NaN where the decoder does not say.
    failure : str
        What the decoder raised, as text; empty while it is sound.
    untold : str
        Why its newest snapshot does not hold its state; empty where it does.
    largest : float
        The largest log expected count per bin, where the decoder has a model that can explode.
    """

    def __init__(self, decoder: Any, name: str, n_units: int, n_axes: int):
        registry.check_methods("decoder", name, decoder, METHODS)
        self.decoder, self.name, self.n_axes = decoder, name, n_axes
        self.state, self.variance = np.zeros(2 * n_axes), np.full(2 * n_axes, np.nan)
        self.failure = self.untold = ""
        self.largest = -np.inf
        self._coasts, self._resets = isinstance(decoder, Coasts), isinstance(decoder, Resets)
        self._placed, self._told = isinstance(decoder, TakesPosition), isinstance(decoder, NotesTrials)
        self.learns = isinstance(decoder, Learns)
        self._explodes = isinstance(decoder, ReportsLargestRate)
        self._blank = np.zeros(n_units)
        self._takes_valid = _takes_two(decoder.predict)

    def _guarded(self, doing: str, act: Callable[..., Any], *arguments: Any) -> bool:
        """Return whether something was done without a failure of the decoder, which is asked nothing after one."""
        if self.failure:
            return False
        try:
            act(*arguments)
            return True
        except NotFinite:
            self.state[self.n_axes :] = np.nan
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            kind, _, text = described(error).partition(": ")
            self.failure = f"{kind} in {doing}: {text}"
        return False

    def predict(
        self,
        counts: np.ndarray,
        valid: np.ndarray | None = None,
        features: np.ndarray | None = None,
        features_valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Process one bin and return position (m) and velocity (m/s), the host's own array.

        The decoder gets copies: what it writes into them reaches nobody else.

        Parameters
        ----------
        counts : ndarray, (units,)
        valid : ndarray, (units,), optional
            0 where a count is missing; a decoder that does not take it sees zeros there.
        features, features_valid : ndarray, optional
            Not for a hosted decoder: a session with features beside its units refuses to host one.
        """
        if not self._takes_valid and valid is not None and not valid.all():
            counts = np.where(valid > 0, counts, self._blank)
        given = (counts.copy(), None if valid is None else valid.copy()) if self._takes_valid else (counts.copy(),)
        self._guarded("predict", self._predict, *given)
        return self.state

    def _predict(self, *given: Any) -> None:
        self._take(self.decoder.predict(*given))
        if self._explodes:
            self.largest = float(self.decoder.largest)

    def _take(self, answer: Any) -> None:
        """Copy an answer into the state; one of another size or kind is a failure."""
        values = np.asarray(answer)
        wanted = f"a velocity has {self.n_axes} numbers, position and velocity have {2 * self.n_axes}"
        if answer is None or isinstance(answer, np.ma.MaskedArray):
            self.failure = f"predict answers {'nothing' if answer is None else 'a masked array'}; {wanted}"
            return
        if values.dtype.kind not in "iuf" or values.size not in (self.n_axes, 2 * self.n_axes):
            self.failure = f"predict answers {values.dtype} of shape {values.shape}; {wanted}"
            return
        values = values.ravel()
        self.state[self.n_axes :] = values[-self.n_axes :]
        if values.size > self.n_axes:
            known = ~np.isnan(values[: self.n_axes])  # a position that is not decoded is where the cursor is
            self.state[: self.n_axes][known] = values[: self.n_axes][known]
        variance = getattr(self.decoder, "variance", None)
        if isinstance(variance, np.ndarray) and variance.size == self.variance.size and variance.dtype.kind in "iuf":
            self.variance[:] = variance.ravel()

    def coast(self) -> None:
        """Go on one bin without data: as the decoder does, or with the velocity that it had."""
        if self._coasts:
            self._guarded("coast", self._coast)

    def _coast(self) -> None:
        self.decoder.coast()
        self._read_state()

    def learn(self, counts: np.ndarray, valid: np.ndarray, velocity_m_s: Sequence[float], learning_rate: float) -> None:
        """Let the decoder learn from the bin that was just decoded, where it can."""
        if self.learns:
            given = (counts.copy(), valid.copy(), list(velocity_m_s), learning_rate)
            self._guarded("learn", self.decoder.learn, *given)

    def _read_state(self) -> None:
        state = getattr(self.decoder, "state", None)
        if isinstance(state, np.ndarray) and state.size == self.state.size and state.dtype.kind == "f":
            self.state[:] = state.ravel()

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def reset(self) -> None:
        """Forget the state."""
        self.state[:] = 0.0
        if self._resets:
            self._guarded("reset", self.decoder.reset)

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known."""
        self.state[: self.n_axes] = position_m
        if self._placed:
            self._guarded("set_position", self.decoder.set_position, *position_m)

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""
        if self._told:
            self._guarded("on_done", self.decoder.on_done)

    def is_kin_of(self, other: Any) -> bool:
        """Return whether another decoder's snapshot can be restored here."""
        return isinstance(other, HostedDecoder) and type(other.decoder) is type(self.decoder)

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on: what the decoder says, or its numbers and arrays.

        A decoder without a `snapshot` of its own is taken to keep its state in attributes that are arrays, numbers or
        texts; the encoding model is not among them. When it raises, or says what no recording can hold, `untold` says
        why, and the snapshot holds what the host knows. That is not a failure: a replay takes no snapshots.
        """
        own = {"hosted_state": self.state.copy(), "hosted_variance": self.variance.copy()}
        try:
            taken = self._told_by_decoder()
            self.untold = why_not_recordable(taken)
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            self.untold = described(error)
        return own | {"hosted_untold": self.untold} if self.untold else taken | own

    def _told_by_decoder(self) -> dict[str, Any]:
        if not isinstance(self.decoder, Snapshots):
            return {"state": self.state.copy(), "attributes": _plain_attributes(self.decoder)}
        taken = self.decoder.snapshot()
        return taken if isinstance(taken, dict) else {"snapshot": taken}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`.

        Raises
        ------
        BadInput
            When the decoder cannot take it.
        """
        own = {key: value for key, value in snapshot.items() if not key.startswith("hosted_")}
        given = copy.deepcopy(own)  # arrays of a recording are read-only, and a decoder may keep what it is given
        try:
            if "hosted_untold" not in snapshot:
                self._restore_decoder(given)
            self._read_state()
        except BadInput:
            raise
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            raise BadInput(
                f"the decoder '{self.name}' cannot be restored from its snapshot: {described(error)}"
            ) from None
        for key, into in (("hosted_state", self.state), ("hosted_variance", self.variance)):
            if key in snapshot and np.shape(snapshot[key]) == into.shape:
                into[:] = snapshot[key]

    def _restore_decoder(self, given: dict[str, Any]) -> None:
        if isinstance(self.decoder, Snapshots):
            self.decoder.restore(given.get("snapshot", given) if set(given) == {"snapshot"} else given)
            return
        for name, value in given.get("attributes", {}).items():
            _restore_attribute(self.decoder, name, value)


def make_decoder(maker: Any, section: DecoderConfig, model: EncodingModel, **session: Any) -> SessionDecoder:
    """Return the decoder that a configuration asks for, in its host unless it is the project's own filter.

    A class gets the model, and of the section's settings and options those that it takes by name.

    Parameters
    ----------
    maker : type or callable
        What `decoding.tables.decoder_class` returned for ``section.kind``.
    section : DecoderConfig
    model : EncodingModel
    **session
        What of the session the decoder may read, by name.

    Raises
    ------
    BadInput
        When an option is unknown, the decoder cannot be made, or it cannot predict.
    """
    settings = section.model_dump(exclude={"kind", "frozen_model", "options", "gain"})
    named, any_name = registry.keywords(maker)
    if "task_config" in named:  # a decoder of the FALCON benchmark
        theirs = FalconDecoder.of_task(maker, section.kind, model.n_units, model.n_axes, model.bin_s)
        return _hosted(theirs, section.kind, model)
    if hasattr(maker, "Options"):
        typed = registry.checked_options(maker, section.options, "decoder.options").model_dump()
        options = {name: typed[name] for name in typed if any_name or name in named or name in section.options}
    else:
        options = section.options
        free = named - {"self", "model", "history", *settings}
        for name in options:
            if name not in free:
                raise registry.unknown_option("decoder.options", name, free)
    offered = {**settings, **session}
    given = {name: value for name, value in offered.items() if any_name or name in named} | options
    read = model if registry.is_own(maker) else model.read_only()
    decoder = registry.made("decoder", section.kind, maker, read, **given)
    if type(decoder) is VelocityFilter:
        return decoder
    if not callable(getattr(decoder, "predict", None)):
        raise BadInput(f"the decoder '{section.kind}' has no predict(counts), which every decoder needs")
    return _hosted(decoder, section.kind, model)


def _hosted(decoder: Any, kind: str, model: EncodingModel) -> HostedDecoder:
    """Return a decoder in its host; one whose state no recording can hold is refused now, not in the session."""
    hosted: HostedDecoder = registry.made("decoder", kind, HostedDecoder, decoder, kind, model.n_units, model.n_axes)
    hosted.snapshot()
    if hosted.untold:
        raise registry.unrecordable("decoder", kind, hosted.untold)
    hosted.restore(unpack(pack(hosted.snapshot())))  # as a replay and a restart will do
    return hosted


def _takes_two(predict: Any) -> bool:
    """Return whether a method takes counts and, beside them, which of them are valid."""
    try:
        parameters = list(inspect.signature(predict).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    return len(places) >= 2 or any(item.kind is item.VAR_POSITIONAL for item in parameters)


def _plain_attributes(decoder: Any) -> dict[str, Any]:
    """Return copies of the attributes of an object that a recording can hold."""
    found: dict[str, Any] = {}
    for name, value in getattr(decoder, "__dict__", {}).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            found[name] = value.copy()
        elif isinstance(value, PLAIN) or value is None:
            found[name] = value
        elif isinstance(value, np.generic) and value.dtype.kind in "biuf":
            found[name] = value.item()
    return found


def _restore_attribute(decoder: Any, name: str, value: Any) -> None:
    own = getattr(decoder, name, None)
    if isinstance(own, np.ndarray) and np.shape(value) == own.shape and own.flags.writeable:
        own[...] = value  # in place: other attributes may be views of it
    else:
        setattr(decoder, name, value.copy() if isinstance(value, np.ndarray) else value)
