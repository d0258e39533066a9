"""Sessions simulated in a fitted world: the session's own step, a world in place of the laboratory, and a score."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Protocol

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.analysis.metrics import Trial, bit_rate_bits_s, path_efficiency
from bmi_runtime.config import Config
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.messages import Bin, TrialState
from bmi_runtime.rehearsal.world import FittedWorld
from bmi_runtime.session.assemble import initial_model
from bmi_runtime.session.core import Session
from simulators.rehearsed import RehearsedWorld

MEASURES = {  # name: (whether more is better, unit)
    "hits_per_min": (True, "per minute"),
    "success_rate": (True, ""),
    "time_to_target_s": (False, "s"),
    "path_efficiency": (True, ""),
    "bit_rate_bits_s": (True, "bits/s"),
    "velocity_error_m_s": (False, "m/s"),
}
UNRELATED = "unrelated_hits_per_min"
"""Hits with counts that know nothing of the target: what the teacher reaches by itself."""


class Acting(Protocol):
    """A world that a session is closed through: a fitted one, or `simulators.world.World`."""

    intended: list[float]

    def counts(self, cursor, target) -> np.ndarray:
        """Return the next bin, given the cursor and target (positions first) on the screen."""

    def initial_model(self) -> EncodingModel:
        """Return the model that a session starts with."""


@dataclasses.dataclass
class _World:
    """What `initial_model` asks of a source."""

    world: Acting


class _Overheard:
    """A world, and the counts that it gave."""

    def __init__(self, world: Acting):
        self.world, self.intended = world, world.intended
        self.rows: list[np.ndarray] = []

    def counts(self, cursor, target) -> np.ndarray:
        self.rows.append(np.array(self.world.counts(cursor, target)))
        self.intended = self.world.intended
        return self.rows[-1]

    def initial_model(self) -> EncodingModel:
        return self.world.initial_model()


class _Unrelated:
    """The counts of another session, whatever the cursor and the target are."""

    def __init__(self, heard: _Overheard):
        self.world, self.intended = heard.world, [0.0] * len(heard.intended)
        self._rows = iter(heard.rows[::-1])

    def counts(self, cursor, target) -> np.ndarray:
        return next(self._rows)

    def initial_model(self) -> EncodingModel:
        return self.world.initial_model()


def simulate_session(config: Config, world: FittedWorld, seconds: float, control: bool = False) -> dict[str, float]:
    """Run a session in a fitted world, as drawn; return `MEASURES` as :func:`session_in` does.

    With ``control``, also `UNRELATED`, from the session's own counts in the reverse order. A filter that learns within
    a reach learns that the present activity means the present label: then the teacher moves the cursor, not the units.
    """
    acting = RehearsedWorld(config, world)
    if not control:
        return session_in(config, acting, seconds)
    heard = _Overheard(acting)
    measures = session_in(config, heard, seconds)
    return measures | {UNRELATED: session_in(config, _Unrelated(heard), seconds)["hits_per_min"]}


def session_in(config: Config, acting: Acting, seconds: float) -> dict[str, float]:
    """Run a session closed through a world; return `MEASURES`, NaN where no trial gives one.

    Parameters
    ----------
    config : Config
        ``session.seed`` sets every random number; two configurations of one seed meet the same noise.
    acting : Acting
    seconds : float
    """
    session = Session(config, initial_model(config, _World(acting)))
    given, n = Bin(*config.layout), config.space.n_axes
    fields, task = given.fields, session.task
    bins = round(seconds / config.bin_s)
    path, trials, squares = [session.cursor[:n]], [], 0.0
    run = session.step if _settles(session) else session.respond
    for _ in range(bins):
        target, trial = task.target, task.trial
        fields.counts[:] = acting.counts(session.cursor, target)
        run(given.bytes)
        squares += sum((a - b) ** 2 for a, b in zip(session.decoder.state.tolist()[n:], acting.intended, strict=True))
        path.append(session.cursor[:n])
        for event in session.events:
            if event.get("name") == "trial":
                trials.append(
                    Trial(np.array(path), target[:n], target[n], config.bin_s, config.task.hold_s,
                          event["result"] == "success")
                )  # fmt: skip
        session.events.clear()
        if task.trial != trial or task.trial_state >= TrialState.SUCCESS:
            path = [session.cursor[:n]]
    return _measures(trials, config, seconds) | {"velocity_error_m_s": math.sqrt(squares / max(bins, 1))}


def _settles(session: Session) -> bool:
    """Return whether what may wait until a command has left changes the next bin; otherwise it is left out."""
    learning = session.learning
    return bool(learning.control.steers or learning.features or learning.history)


def _measures(trials: list[Trial], config: Config, seconds: float) -> dict[str, float]:
    reached = [trial for trial in trials if trial.success]

    def mean(values) -> float:
        values = [value for value in values if math.isfinite(value)]
        return float(np.mean(values)) if values else math.nan

    return {
        "hits_per_min": 60.0 * len(reached) / seconds,
        "success_rate": len(reached) / len(trials) if trials else math.nan,
        "time_to_target_s": mean(trial.duration_s for trial in reached),
        "path_efficiency": mean(path_efficiency(trial) for trial in reached),
        "bit_rate_bits_s": bit_rate_bits_s(trials, config.task.targets),
    }


def session_config(base: dict, settings: dict[str, str], seed: int) -> Config:
    """Return the configuration of one simulated session.

    Parameters
    ----------
    base : dict
        As `Config.model_dump` gives it.
    settings : dict
        ``section.key`` to value, as text; ``block`` to a list of tables.
    """
    data = copy.deepcopy(base)
    for key, value in settings.items():
        configuration.override(data, f"{key}={value}")
    data["session"]["seed"] = seed
    return configuration.from_dict(data, "the settings of a rehearsal")
