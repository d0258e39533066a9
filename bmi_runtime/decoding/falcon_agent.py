"""Our decoders in other people's evaluators: a decoder of a file with the verbs of the FALCON benchmark, in batches."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class TaskFacts:
    """What a FALCON decoder is told about its task, by the names of their ``FalconConfig``.

    Attributes
    ----------
    n_channels, out_dim : int
        Units, and numbers to be decoded.
    bin_size_ms : float
    task : str
    """

    n_channels: int
    out_dim: int
    bin_size_ms: float
    task: str = "bmi-runtime"


class FalconAgent:
    """A fitted decoder as a ``BCIDecoder`` of the FALCON benchmark (Karpowicz et al. 2024).

    Every row of a batch is a session of its own with a decoder of its own.

    Parameters
    ----------
    task_config : object
        With ``n_channels``, ``out_dim`` and ``bin_size_ms``.
    batch_size : int
    file : str or Path
        What ``bmi compare --write`` or ``bmi train`` wrote, or an ONNX model.

    Raises
    ------
    BadInput
        When the file does not fit the task.
    """

    def __init__(self, task_config: Any, batch_size: int = 1, *, file):
        self._task_config, self.batch_size = task_config, int(batch_size)
        fitted = load_fitted(file)
        self._first = fitted.suited(task_config.n_channels, task_config.bin_size_ms * 1e-3)
        self._first.reset()
        self.decoders: list[Any] = []
        self.set_batch_size(batch_size)

    def set_batch_size(self, batch_size: int) -> None:
        """Restart with so many rows."""
        self.batch_size = int(batch_size)
        self.decoders = [copy.deepcopy(self._first) for _ in range(self.batch_size)]

    def reset(self, dataset_tags: list[str] | None = None) -> None:
        """Forget the state of every row: another file begins."""
        for decoder in self.decoders:
            decoder.reset()

    def predict(self, neural_observations: np.ndarray) -> np.ndarray:
        """Return what is decoded from one bin, shape (batch, out_dim).

        Parameters
        ----------
        neural_observations : ndarray, shape (batch, channels)
        """
        rows = self._rows(neural_observations)
        decoded = [decoder.predict(row) for decoder, row in zip(self.decoders, rows, strict=False)]
        size = self._task_config.out_dim
        if decoded and len(decoded[0]) // 2 != size:
            raise BadInput(f"the decoder gives {len(decoded[0]) // 2} velocities, the task needs {size}")
        return np.array([answer[-size:] for answer in decoded])

    def observe(self, neural_observations: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        for decoder, row in zip(self.decoders, self._rows(neural_observations), strict=False):
            decoder.observe(row)

    def on_done(self, dones: np.ndarray) -> None:
        """Tell the rows whose trial has ended."""
        for decoder, done in zip(self.decoders, np.atleast_1d(dones), strict=False):
            if done:
                decoder.on_done()

    def _rows(self, observations: np.ndarray) -> np.ndarray:
        rows = np.asarray(observations, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != self._task_config.n_channels or len(rows) > self.batch_size:
            raise BadInput(
                f"observations of shape {rows.shape}; give up to {self.batch_size} rows of "
                f"{self._task_config.n_channels} channels"
            )
        return rows
