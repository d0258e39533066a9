"""An ONNX model as a decoder: networks that were trained elsewhere, in comparisons and in live sessions.

The model's first input takes the newest counts, of shape (1, units); or those of the last bins, oldest first, of shape
(1, bins, units) with a fixed number of bins. Its first output has one number a bin for every axis, the velocity, or
two, position and velocity; where it answers a row for every bin of its window, the last row counts. Every further input
is a state: it is zero at the start, and then what the further output in its place answered in the bin before (recurrent
networks). Its metadata may say ``bin_s`` and ``velocity_unit_m_s``.
"""

from __future__ import annotations

import hashlib
import math
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.decoding.base import NotFinite
from bmi_runtime.decoding.batch_decoder import DecoderBase
from bmi_runtime.decoding.fitted_model import Fitted
from bmi_runtime.decoding.recorded_files import content_of
from bmi_runtime.errors import BadInput, first_line

NUMBERS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxDecoder(DecoderBase):
    """A model in ONNX form, one run of onnxruntime per bin, on one thread of the processor.

    Parameters
    ----------
    name : str
        Its file, for messages.
    model : bytes
        Serialised.
    n_axes : int, optional
        Of the session; told from the answer where it is not given: four numbers are position and velocity on two axes.

    Raises
    ------
    BadInput
        When onnxruntime is not installed, cannot load the model, or its inputs or outputs are not those of a decoder.
    """

    PARAMETERS = ("name", "model")
    STATE = ("_window", "_states")

    def __init__(self, name: str, model: bytes, n_axes: int | None = None):
        super().__init__(n_axes or 2)
        self.name, self.model, self._told_axes = name, model, n_axes
        self._session = _session(name, model)
        given, *states = self._session.get_inputs()
        outputs = self._session.get_outputs()
        self.window, self.units, self._flat = _window(name, given)
        if len(outputs) != 1 + len(states):
            raise BadInput(
                f"{name} has {len(states)} state inputs beside the counts and {len(outputs) - 1} state outputs beside "
                "the decoded one; each state needs both"
            )
        self._names = [given.name, *(state.name for state in states)]
        self._kinds = [_number(name, item) for item in (given, *states)]
        self._shapes = [tuple(size if isinstance(size, int) else 1 for size in state.shape) for state in states]
        self.reset()
        self._try()

    def _try(self):
        """Run once, so that a model that answers something else is refused before a session begins."""
        self.predict(np.zeros(self.units))
        self.reset()

    @property
    def metadata(self) -> dict[str, str]:
        """What the model's maker wrote beside it."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def reset(self) -> None:
        """Forget the counts before and the states."""
        self._window = np.zeros((self.window, self.units))
        self._states = [np.zeros(shape, kind) for shape, kind in zip(self._shapes, self._kinds[1:], strict=True)]

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return position and velocity, the position NaN where only a velocity is answered."""
        self._window[:-1] = self._window[1:]
        self._window[-1] = counts
        inputs = [self._window if self._flat else self._window[None], *self._states]
        fed = {key: value.astype(kind) for key, value, kind in zip(self._names, inputs, self._kinds, strict=True)}
        try:
            answer, *states = self._session.run(None, fed)
        except Exception as error:  # onnxruntime raises kinds of its own
            raise BadInput(f"{self.name} cannot be run: {first_line(error)}") from None
        self._states = self._checked_states(states)
        return self._checked(np.asarray(answer))

    def _checked(self, answer: np.ndarray) -> np.ndarray:
        n = self._told_axes or (_axes_of(answer.shape[-1]) if answer.ndim else 0)
        if answer.dtype.kind != "f" or answer.ndim < 1 or not n or answer.shape[-1] not in (n, 2 * n):
            n = self._told_axes or 2
            raise BadInput(
                f"{self.name} answers {answer.dtype} of shape {answer.shape}; a decoder of {n} "
                f"{'axis' if n == 1 else 'axes'} gives (1, {n}), the velocity, or (1, {2 * n}), position and velocity"
            )
        if n != self.n_axes:
            super().__init__(n)
        rows = answer.reshape(-1, answer.shape[-1])
        if len(rows) not in (1, self.window):
            raise BadInput(f"{self.name} answers {len(rows)} rows for a window of {self.window} bins")
        last = rows[-1].astype(float)
        if not np.isfinite(last).all():
            raise NotFinite(f"{self.name} answered a value that is not finite")
        return last if len(last) == 2 * n else np.concatenate([np.full(n, np.nan), last])

    def _checked_states(self, states):
        for state, shape in zip(states, self._shapes, strict=True):
            if np.shape(state) != shape:
                raise BadInput(f"{self.name} takes a state of shape {shape} and answers one of shape {np.shape(state)}")
        return states

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._window[:] = snapshot["_window"]
        self._states = [np.array(state) for state in snapshot["_states"]]

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {"_window": self._window.copy(), "_states": [state.copy() for state in self._states]}


def _axes_of(numbers: int) -> int:
    """Return how many axes an answer of so many numbers is taken to have where no session says it; 0: none fits."""
    if numbers in (1, 2, 3, 5, 7):
        return numbers
    return numbers // 2 if numbers % 2 == 0 and 4 <= numbers <= 16 else 0


def load_onnx(path: pathlib.Path) -> Fitted:
    """Read a model; it is tried once.

    Raises
    ------
    BadInput
        As :class:`OnnxDecoder`, and when the file cannot be read.
    """
    try:
        model = content_of(path)
    except OSError as error:
        raise BadInput(f"the ONNX model {path} cannot be read: {error.strerror}") from None
    decoder = OnnxDecoder(str(path), model)
    bin_s, unit_m_s = (_positive(path, decoder.metadata, key) for key in ("bin_s", "velocity_unit_m_s"))
    digest = hashlib.blake2b(model, digest_size=8).hexdigest()
    return Fitted(str(path), "onnx", {"name": str(path), "model": model}, decoder.units, bin_s, unit_m_s, None, digest)


def _positive(path, metadata, key: str) -> float | None:
    if key not in metadata:
        return None
    try:
        value = float(metadata[key])
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise BadInput(f"{path}: its metadata say {key} = '{metadata[key]}', which is not a positive number")
    return value


def _session(name: str, model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BadInput(f"{name} needs onnxruntime to be run; install bmi-runtime[onnx]") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the loop owns its thread; sums keep their order
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own
        raise BadInput(f"{name} is not a model that onnxruntime can load: {first_line(error)}") from None


def _window(name: str, given: Any) -> tuple[int, int, bool]:
    """Return bins and units of the input of counts, and whether it has no axis of bins."""
    shape = list(given.shape or [])
    rest = shape[1:]
    fixed = all(isinstance(size, int) and size > 0 for size in rest)
    many = bool(shape) and isinstance(shape[0], int) and shape[0] != 1
    if len(shape) not in (2, 3) or not fixed or many:
        shown = " x ".join(str(size) for size in shape) or "nothing"
        raise BadInput(
            f"{name} takes '{given.name}' of shape {shown}; a decoder takes counts of shape 1 x units, or 1 x bins x "
            "units, with fixed numbers of bins and units"
        )
    return (1, rest[0], True) if len(rest) == 1 else (rest[0], rest[1], False)


def _number(name: str, item: Any) -> Any:
    if item.type not in NUMBERS:
        raise BadInput(f"{name} takes '{item.name}' as {item.type}; give it as {' or '.join(NUMBERS)}")
    return NUMBERS[item.type]
