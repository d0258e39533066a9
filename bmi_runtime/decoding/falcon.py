"""Bring your own: a class with the verbs of the FALCON benchmark, in another package, by an entry point.

``pyproject.toml`` of the other package says ``[project.entry-points."bmi_runtime.decoders"]`` and
``mine = "package.module:Class"``. The class has ``predict(counts)``, and where it likes ``reset``, ``observe``,
``on_done``, and ``fit(training)``, a class method that returns a fitted decoder. Counts come as (1, units), answers go
as (1, 2) velocity or (1, 4) position and velocity (Karpowicz et al. 2024, "Few-shot Algorithms for Consistent Neural
Decoding (FALCON) Benchmark", NeurIPS Datasets and Benchmarks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.base import NotFinite, Observes, Resets
from bmi_runtime.decoding.falcon_agent import TaskFacts
from bmi_runtime.errors import BadInput

if TYPE_CHECKING:
    from bmi_runtime.decoding.batch_decoder import Training


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
        self.of_session = False  # takes counts (units,) and answers in m/s, as in a session
        self.unit, self.mean = 1.0, np.zeros(n_axes)
        self.variance = np.full(2 * n_axes, np.nan)

    @classmethod
    def fitted(cls, plugin: Any, name: str, training: Training) -> FalconDecoder:
        """Return the decoder of a plugin class.

        By its ``fit`` if it has one; made with an encoding model that was fitted to the training part if it takes one,
        as it would in a session; else as it comes.
        """
        try:
            if hasattr(plugin, "fit"):
                return cls(plugin.fit(training), name, training.n_axes)
            named, _ = registry.keywords(plugin)
            if "task_config" in named:
                return cls.of_task(plugin, name, training.counts.shape[1], training.n_axes, training.bin_s)
            if "model" not in named:
                return cls(plugin(), name, training.n_axes)
            from bmi_runtime.decoding.adaptive_decoders import PointProcessDecoder  # a session needs none of it

            tuned = PointProcessDecoder.with_lead(training, 0)
            made = plugin(tuned.filter.model)
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(f"the decoder '{name}' failed to be made: {type(error).__name__}: {error}") from None
        decoder = cls(made, name, training.n_axes)
        decoder.of_session, decoder.unit, decoder.mean = True, DM_PER_M * tuned.unit, tuned.mean
        return decoder

    @classmethod
    def of_task(cls, plugin: Any, name: str, n_units: int, n_axes: int, bin_s: float) -> FalconDecoder:
        """Return the decoder of a class that is made with a ``task_config``, as FALCON's ``BCIDecoder`` is."""
        facts = TaskFacts(n_units, n_axes, bin_s * 1e3)
        named, _ = registry.keywords(plugin)
        batch = {"batch_size": 1} if "batch_size" in named else {}
        return cls(registry.made("decoder", name, plugin, task_config=facts, **batch), name, n_axes)

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
        takes, _ = registry.keywords(self.decoder.reset) if isinstance(self.decoder, Resets) else (set(), False)
        self._call("reset", *([[self.name]] if takes else []))  # FALCON: which data set begins

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities; NaN positions where only velocities are answered."""
        given, n = np.asarray(counts, dtype=float), self.n_axes
        answer = np.asarray(self._call("predict", given if self.of_session else given[None, :]))
        if answer.dtype.kind not in "iuf" or answer.size not in (n, 2 * n):
            raise BadInput(
                f"the decoder '{self.name}' answers {answer.dtype} of shape {answer.shape}; give (1, {n} or {2 * n})"
            )
        answer = answer.astype(float).ravel()
        if not np.isfinite(answer).all():
            raise NotFinite(f"the decoder '{self.name}' answered a value that is not finite")
        if self.of_session:  # in the unit of the data that it was fitted to
            return np.concatenate([np.full(n, np.nan), self.unit * answer[-n:] + self.mean])
        return answer if len(answer) == 2 * n else np.concatenate([np.full(n, np.nan), answer])

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        if isinstance(self.decoder, Observes):
            given = np.asarray(counts, dtype=float)
            self._call("observe", given if self.of_session else given[None, :])
        else:
            self.predict(counts)

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""
        takes, _ = registry.keywords(self.decoder.on_done) if hasattr(self.decoder, "on_done") else (set(), False)
        self._call("on_done", *([np.array([True])] if takes else []))  # FALCON: which of a batch have ended
