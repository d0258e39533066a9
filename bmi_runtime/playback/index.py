"""The model and the truth along a whole recording, and whether its replay is identical."""

from __future__ import annotations

import bisect

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.messages import Bin
from bmi_runtime.playback.position import Position
from bmi_runtime.recording.reader import Recording
from bmi_runtime.sources.base import source_class

MODEL_EVERY_S = 0.5  # between two models that are kept
MOST_MODELS = 400  # of a recording; a longer one is sampled more coarsely


class World:
    """The simulated world of a recording, made again from its seed; believed while its counts are the recorded ones.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        self.source = source_class("simulated")(config) if config.source.kind == "simulated" else None
        self._bin = Bin(*config.layout)

    def advance(self, cursor, target, recorded_counts: np.ndarray) -> None:
        """Make one bin, as it was made in the session."""
        if self.source is None:
            return
        self.source.next_bin(self._bin, cursor, target)
        if not np.array_equal(self._bin.fields.counts, recorded_counts):
            self.source = None

    def truth(self) -> np.ndarray | None:
        """Return the units' true weights of this moment, or None where they are not known."""
        return None if self.source is None else np.array(self.source.truth())


class Index:
    """The model and the truth along the whole recording, and whether the replay is identical; grows in small pieces."""

    def __init__(self, recording: Recording, config: Config):
        self.position = Position(recording)
        n_bins = len(self.position.replay.steps)
        self.every = max(round(MODEL_EVERY_S / config.bin_s), -(-n_bins // MOST_MODELS), 1)
        self.world = World(config)
        self._counts = self.position.replay.steps["input"]["counts"]
        self.bins: list[int] = []
        self.weights: list[np.ndarray] = []
        self.sd: list[np.ndarray] = []
        self.predicted: list[np.ndarray] = []
        self.truths: list[np.ndarray | None] = []
        self._keep()

    @property
    def done(self) -> bool:
        """Whether the whole recording has been replayed once."""
        return self.position.bin >= len(self.position.replay.steps)

    def grow(self) -> None:
        """Replay up to the next model that is kept."""
        position = self.position
        for _ in range(min(self.every - position.bin % self.every, len(self._counts) - position.bin)):
            session = position.session
            self.world.advance(session.cursor, session.task.target, self._counts[position.bin])
            position.advance(1)
        self._keep()

    def grow_to(self, bin_index: int) -> None:
        """Replay at least up to a bin."""
        while self.position.bin < bin_index and not self.done:
            self.grow()

    def _keep(self) -> None:
        model = self.position.session.model
        rows = np.arange(model.n_regressors)
        self.bins.append(self.position.bin)
        self.weights.append(model.weights.astype(np.float32))
        self.sd.append(np.sqrt(model.covariance[rows * (rows + 3) // 2]).astype(np.float32))
        self.predicted.append(self.position.session.adaptation.monitor.error_sd().astype(np.float32))
        self.truths.append(self.world.truth())

    def truth_at(self, bin_index: int) -> np.ndarray | None:
        """Return the true weights at the last kept model up to a bin, or None where they are not known."""
        return self.truths[max(bisect.bisect_right(self.bins, bin_index) - 1, 0)]

    def until(self, bin_index: int) -> dict[str, np.ndarray]:
        """Return the models up to a bin: ``bins, weights, sd, truth`` (NaN where it is not known), ``predicted_sd``."""
        count = max(bisect.bisect_right(self.bins, bin_index), 1)
        unknown = np.full_like(self.weights[0], np.nan)
        truths = [unknown if truth is None else truth for truth in self.truths[:count]]
        return {
            "bins": np.array(self.bins[:count]),
            "weights": np.stack(self.weights[:count]),
            "sd": np.stack(self.sd[:count]),
            "truth": np.stack(truths).astype(np.float32),
            "predicted_sd": np.stack(self.predicted[:count]),
        }
