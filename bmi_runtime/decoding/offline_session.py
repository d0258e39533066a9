"""Decoding a recording: learn in its first part, decode the rest causally, score both kinematic dimensions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.config import from_dict
from bmi_runtime.messages import StepRecord

LARGEST_WIRE_COUNT = 65535  # of 16 bits


class OpenLoopSession:
    """The transition per bin of an open-loop recording, for the live loop in place of a closed-loop session.

    Parameters
    ----------
    config : Config
    decoder
        An object with ``reset``, ``predict``, ``learn``, ``on_done`` and ``freeze``.
    trial_start, restart : ndarray of bool, shape (bins,)
        Where the trajectory jumps, and where the counts before are unknown.
    bins_train : int
        The decoder is shown the kinematics of the bins before this one, each after its prediction.
    teach_delay : int, optional
        Go on teaching after them: what comes as the kinematics of a bin is then that of `teach_delay` bins before.

    Attributes
    ----------
    states : ndarray, shape (bins, 2 axes)
        Decoded so far; NaN after.
    """

    def __init__(self, config, decoder, trial_start, restart, bins_train: int, teach_delay: int = 0):
        units = config.session.units
        self.config, self.decoder, self.bins_train = config, decoder, bins_train
        self.trial_start, self.restart, self.teach_delay = trial_start, restart, teach_delay
        self.learning_rate = 0.0
        self.record = StepRecord(*config.layout)
        n = config.space.n_axes
        self.states = np.full((len(trial_start), 2 * n), np.nan)
        self.model, self.task = _Units(units), _NoTask(n)
        self.cursor, self.blocks = [0.0] * (2 * n), None  # a recording has no blocks to go through
        self.events: list[dict] = []
        self.mark: Callable[[int], None] = lambda stage: None
        self.bins = 0
        self._counts = np.empty(units)

    def respond(self, input_bytes) -> StepRecord:
        """Process one bin (the ``input`` part of a step): predict, and in the training part learn."""
        record = self.record
        record.input_bytes[:] = input_bytes
        self._counts[:] = record.input.counts
        state = self.advance(self._counts, record.input.kinematics)
        record.output.decoded[:] = state
        return record

    def decoder_settings(self) -> dict[str, Any]:
        """Return what decodes, as a closed-loop session says it: no decoder of a file."""
        return {"kind": self.config.decoder.kind, "fitted_file": ""}

    def shown_target(self) -> tuple[float, ...]:
        """Return the target that a source is told of: a recording has none."""
        return self.task.target

    def settle(self) -> None:
        """Do what may wait until the command has left: nothing here."""

    def advance(self, counts: np.ndarray, kinematics: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        index, decoder = self.bins, self.decoder
        if self.restart[index]:
            decoder.reset()
        elif self.trial_start[index]:
            decoder.on_done()
        if index == self.bins_train:
            decoder.freeze()
            if self.teach_delay:
                self.learning_rate = decoder.teach_from(len(self.states) - index, self.teach_delay)
        self.states[index] = decoder.predict(counts)
        if index < self.bins_train:
            decoder.learn(counts, kinematics)
        elif self.teach_delay and index - self.teach_delay >= self.bins_train:
            decoder.teach(index - self.teach_delay - self.bins_train, kinematics[len(kinematics) // 2 :])
        self.bins += 1
        return self.states[index]


class _NoTask:
    """An open loop has no targets."""

    successes = timeouts = 0

    def __init__(self, n_axes: int):
        self.target = (0.0,) * (n_axes + 1)


class _Units:
    def __init__(self, n_units):
        self.n_units = n_units


def open_loop_config(recording, address: str = "tcp://127.0.0.1:5571"):
    """Return the configuration of a session that receives this recording bin by bin over ZeroMQ, without loss."""
    whole = bool((recording.counts == np.round(recording.counts)).all() and recording.counts.min() >= 0.0)
    poisson = whole and recording.counts.max() <= LARGEST_WIRE_COUNT
    return from_dict(
        {
            "session": {
                "likelihood": "poisson" if poisson else "gaussian",
                "bin_s": recording.bin_s,
                "units": recording.n_units,
            },
            "state": {"axes": recording.axes},
            "source": {"kind": "zeromq", "address": address, "options": {"mode": "pull"}},
        },
        recording.name,
    )


def scores(recording, states: np.ndarray, bins_train: int) -> dict[str, list[float]]:
    """Return ``r2_velocity`` and ``r2_position`` of the bins after `bins_train`.

    Where the recording holds no position, the truth is the displacement since the last trial start, both integrated
    from the velocity.
    """
    true_position = recording.position
    n = recording.n_axes
    decoded_position = states[:, :n]
    if true_position is None:
        true_position = displacement(recording.velocity, recording.trial_start, recording.bin_s, bins_train)
        decoded_position = displacement(states[:, n:], recording.trial_start, recording.bin_s, bins_train)
    return {
        "r2_velocity": r2(recording.velocity[bins_train:], states[bins_train:, n:]).tolist(),
        "r2_position": r2(true_position[bins_train:], decoded_position[bins_train:]).tolist(),
    }


def displacement(velocity: np.ndarray, trial_start: np.ndarray, bin_s: float, first: int) -> np.ndarray:
    """Return the integral of the velocity since the last trial start, or since bin `first`, shape (bins, axes)."""
    total = np.cumsum(np.nan_to_num(velocity), axis=0) * bin_s
    starts = trial_start.copy()
    starts[first] = True
    last = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
    return total - total[last]
