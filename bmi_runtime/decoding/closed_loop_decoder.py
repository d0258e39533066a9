"""A fitted decoder in closed loop: what the step asks of a decoder, around one that only decodes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.decoding.fitted_model import Fitted
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.recorded_files import stamp_of
from bmi_runtime.errors import BadInput


class ClosedLoopDecoder:
    """A fitted decoder in control: its velocity moves the cursor, which is where it is seen.

    A new target does not move the cursor, so the decoder is not told of the ends of trials.

    Parameters
    ----------
    decoder : FittedDecoder
    blank : ndarray, shape (units,), optional
        Taken for counts that are missing; zeros by default.
    velocity_unit_m_s : float
        What the decoder's unit of velocity is, in m/s.
    file, digest : str
        Where the decoder came from, and what names its parameters, for snapshots.
    """

    largest = 0.0
    """The highest rate that a model of the units predicts; a fitted decoder has none to explode."""

    def __init__(
        self,
        decoder: Any,
        blank: np.ndarray | None = None,
        velocity_unit_m_s: float = 1.0,
        file: str = "",
        digest: str = "",
    ):
        self.decoder, self.blank, self.unit = decoder, blank, float(velocity_unit_m_s)
        self.file, self.digest = file, digest
        self._takes_missing = getattr(decoder, "TAKES_MISSING", False)
        n = self.n_axes = len(decoder.variance) // 2
        self.state, self.variance = np.zeros(2 * n), np.full(2 * n, np.nan)
        decoder.reset()

    def predict(self, counts: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Process one bin and return the cursor's position (m) and the decoded velocity (m/s), the decoder's own array.

        Parameters
        ----------
        counts : ndarray, shape (units,)
        valid : ndarray, shape (units,), optional
            0 where a count is missing.
        """
        if valid is not None and not valid.all():
            if self._takes_missing:
                return self._moved(self.decoder.predict(counts, valid))
            counts = np.where(valid > 0, counts, 0.0 if self.blank is None else self.blank)
        return self._moved(self.decoder.predict(counts))

    def _moved(self, decoded: np.ndarray) -> np.ndarray:
        n = self.n_axes
        self.state[n:] = self.unit * decoded[n:]
        self.variance[n:] = self.unit**2 * self.decoder.variance[n:]
        return self.state

    def learn(self, counts: np.ndarray, valid: np.ndarray, velocity_m_s: Sequence[float], learning_rate: float) -> None:
        """Let a decoder that adapts learn from the bin that was just decoded."""
        if isinstance(self.decoder, JoinedDecoder):
            self.decoder.adapt(counts, np.divide(velocity_m_s, self.unit), learning_rate, valid)

    def coast(self) -> None:
        """Go on one bin without data: as the decoder does where it can, otherwise with the velocity that it had."""
        if isinstance(self.decoder, JoinedDecoder) and self.decoder.coasts:
            self._moved(self.decoder.coast())

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def reset(self) -> None:
        """Forget the state."""
        self.state[:] = 0.0
        self.decoder.reset()

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known."""
        self.state[: self.n_axes] = position_m
        if hasattr(self.decoder, "set_position"):
            self.decoder.set_position(*(x_m / self.unit for x_m in position_m))

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: the decoder goes on."""

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on, and the name of the parameters.

        The covariance is for another decoder that goes on from here in a "what if" replay: certain, and it recovers.
        """
        return {
            "state": self.state.copy(),
            "covariance": np.zeros((2 * self.n_axes, 2 * self.n_axes)),
            "decoder": self.decoder.snapshot(),
            "file": self.file,
            "digest": self.digest,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore a :meth:`snapshot`; one of another decoder gives the cursor's position alone (a "what if").

        Raises
        ------
        BadInput
            When the file is the one that was recorded by name, but its parameters are not.
        """
        if snapshot.get("digest") == self.digest:
            self.state[:] = snapshot["state"]
            self.decoder.restore(snapshot["decoder"])
        elif snapshot.get("file") == self.file:
            raise BadInput(
                f"{self.file} is not the fitted decoder that was recorded: its parameters have the digest "
                f"{self.digest}, the recorded ones {snapshot['digest']}; give decoder.fitted_file the old file"
            )
        else:
            self.set_position(*snapshot["state"][: self.n_axes])


def fitted_from_file(
    model: Any, fitted_file: str = "", velocity_unit_m_s: float | None = None, **_options: Any
) -> ClosedLoopDecoder:
    """Return the decoder of a file, ready for closed loop: ``decoder.kind = "fitted"``.

    Parameters
    ----------
    model : EncodingModel
        Of the session: how many units, and how wide a bin is. It adapts beside the decoder, which does not read it.
    fitted_file : str
        What ``bmi compare --write`` wrote, or an ONNX model.
    velocity_unit_m_s : float, optional
        The decoder's unit of velocity in m/s, where the file does not know it (``decoder.options``).

    Raises
    ------
    BadInput
        When the file is missing or damaged, or does not fit the session.
    """
    if not fitted_file:
        raise BadInput("decoder.kind = 'fitted' needs decoder.fitted_file, a file of 'bmi compare --write'")
    fitted = _loaded(fitted_file, _stamp(fitted_file))
    unit = velocity_unit_m_s if velocity_unit_m_s is not None else fitted.velocity_unit_m_s
    if unit is None or not unit > 0.0:
        raise BadInput(
            f"{fitted_file} does not say in which unit it decodes velocity; give it in m/s: "
            "decoder.options = {velocity_unit_m_s = 0.01}"
        )
    decoder = fitted.suited(model.n_units, model.bin_s, model.n_axes)
    return ClosedLoopDecoder(decoder, fitted.blank, unit, fitted_file, fitted.digest)


def recurrent_from_file(model: Any, fitted_file: str = "", **options: Any) -> ClosedLoopDecoder:
    """Return the network of a file of ``bmi train``, ready for closed loop: ``decoder.kind = "recurrent"``.

    Raises
    ------
    BadInput
        As :func:`fitted_from_file`, and when the file holds another decoder.
    """
    if not fitted_file:
        raise BadInput("decoder.kind = 'recurrent' needs decoder.fitted_file, a file of 'bmi train DATA --out FILE'")
    kind = _loaded(fitted_file, _stamp(fitted_file)).kind
    if kind not in ("recurrent", "onnx"):
        raise BadInput(f"{fitted_file} holds the decoder '{kind}'; use it with decoder.kind = 'fitted'")
    return fitted_from_file(model, fitted_file, **options)


def joined_from_file(model: Any, fitted_file: str = "", **options: Any) -> ClosedLoopDecoder:
    """Return the joined decoder of a file of ``bmi train --kind joined``: ``decoder.kind = "joined"``.

    Raises
    ------
    BadInput
        As :func:`fitted_from_file`, and when the file holds another decoder.
    """
    if not fitted_file:
        raise BadInput("decoder.kind = 'joined' needs decoder.fitted_file, a file of 'bmi train DATA --kind joined'")
    kind = _loaded(fitted_file, _stamp(fitted_file)).kind
    if kind != "joined":
        raise BadInput(f"{fitted_file} holds the decoder '{kind}'; use it with decoder.kind = 'fitted'")
    return fitted_from_file(model, fitted_file, **options)


def _stamp(path: str) -> tuple[int, int]:
    try:
        return stamp_of(path)
    except OSError as error:
        raise BadInput(f"the fitted decoder {path} cannot be read: {error.strerror}") from None


@functools.lru_cache(maxsize=4)
def _loaded(path: str, _stamp: tuple[int, int]) -> Fitted:
    """Read a file once: a command to the session makes its decoder again, between two bins."""
    return load_fitted(path)
