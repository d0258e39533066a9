"""Bring your own: a class with the verbs of the FALCON benchmark, in another package, by an entry point.

``pyproject.toml`` of the other package says ``[project.entry-points."bmi_runtime.decoders"]`` and
``mine = "package.module:Class"``. The class has ``predict(counts)``, and where it likes ``reset``, ``observe``,
``on_done``, and ``fit(training)``, a class method that returns a fitted decoder. Counts come as (1, units), answers go
as (1, 2) velocity or (1, 4) position and velocity (Karpowicz et al. 2024, "Few-shot Algorithms for Consistent Neural
Decoding (FALCON) Benchmark", NeurIPS Datasets and Benchmarks).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.decoding.base import NotFinite
from bmi_runtime.decoding.fitted import Training
from bmi_runtime.errors import BadInput


class FalconDecoder:
    """Makes someone else's decoder one of ours; what it does wrong is said in one sentence that names it.

    Parameters
    ----------
    decoder : object
        With ``predict``.
    name : str
        For messages.

    Raises
    ------
    BadInput
        When it cannot predict, raises, or answers something of another shape or not finite.
    """

    def __init__(self, decoder: Any, name: str, n_axes: int = 2):
        if not callable(getattr(decoder, "predict", None)):
            raise BadInput(f"the decoder '{name}' has no predict(counts), so it cannot decode")
        self.decoder, self.name, self.n_axes = decoder, name, n_axes
        self.variance = np.full(2 * n_axes, np.nan)

    @classmethod
    def fitted(cls, plugin: Any, name: str, training: Training) -> FalconDecoder:
        """Return the decoder of a plugin class: by its ``fit`` if it has one, else as it comes."""
        try:
            made = plugin.fit(training) if hasattr(plugin, "fit") else plugin()
        except Exception as error:
            raise BadInput(f"the decoder '{name}' failed to be made: {type(error).__name__}: {error}") from None
        return cls(made, name, training.n_axes)

    def _call(self, verb: str, *arguments: Any) -> Any:
        function = getattr(self.decoder, verb, None)
        if function is None:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            raise BadInput(f"the decoder '{self.name}' raised in {verb}: {type(error).__name__}: {error}") from None

    def reset(self) -> None:
        """Forget the state."""
        self._call("reset")

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in; return positions, then velocities; NaN positions where only velocities are answered."""
        answer = np.asarray(self._call("predict", np.asarray(counts, dtype=float)[None, :]))
        n = self.n_axes
        if answer.dtype.kind not in "iuf" or answer.size not in (n, 2 * n):
            raise BadInput(
                f"the decoder '{self.name}' answers {answer.dtype} of shape {answer.shape}; give (1, {n} or {2 * n})"
            )
        answer = answer.astype(float).ravel()
        if not np.isfinite(answer).all():
            raise NotFinite(f"the decoder '{self.name}' answered a value that is not finite")
        return answer if len(answer) == 2 * n else np.concatenate([np.full(n, np.nan), answer])

    def observe(self, counts: np.ndarray) -> None:
        """Take one bin in; nothing is wanted back."""
        if hasattr(self.decoder, "observe"):
            self._call("observe", np.asarray(counts, dtype=float)[None, :])
        else:
            self.predict(counts)

    def on_done(self) -> None:
        """Take note that a trial ended."""
        self._call("on_done")
