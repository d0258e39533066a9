"""Ways to keep a decoder working for weeks, in simulated lives: the same subjects, units and nights for every one.

On the first day everything is calibrated with known targets. Every later day begins after a night
(`simulators.nights`) with what the day before left, and nobody says what is wanted, but for ``supervised``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.analysis.metrics import paired_interval
from bmi_runtime.cli.compare_closed_loop import BIN_S, Subject
from bmi_runtime.config import Config
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.retrospective_targets import infer_targets, refitted
from bmi_runtime.decoding.subspace_stabiliser import SubspaceStabiliser
from bmi_runtime.encoding.identity import carry
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.capabilities import OffersCandidates
from bmi_runtime.intention.inferred_target import InferredTargetIntention
from bmi_runtime.session.core import Session
from simulators.nights import Night

MINUTE_S = 60.0  # of a part of a day, for which hits are counted
CARRY_SD = 0.15
"""Root mean square change of a weight in a default night: turn and gain of a depth of 0.75, and the baseline."""
RATE_PER_S = 2e-3
"""The default learning rate, per second: the variance by which a depth of 0.75 walks in the hard world."""


class Supervised:
    """Adapts all the time; the task says which target is meant.

    Parameters
    ----------
    config : Config
        Of the whole life.
    """

    intention = "optimal-control"
    adapts = True
    minutes = 1
    """How many of the last ones :meth:`between` is given."""

    def __init__(self, config: Config):
        self.config = config
        self.model: EncodingModel | None = None

    def calibrate(self, subject: Subject, seconds: float) -> None:
        """Learn on the first day, with known targets."""
        subject.run(seconds)
        self.model = subject.session.model

    def begin_day(self, subject: Subject, seed: int) -> None:
        """Make the session of a day with what the day before left."""
        assert self.model
        section = {"intention": self.intention, "enabled": self.adapts}
        update = {
            "adapter": self.config.adapter.model_copy(update=section),
            "session": self.config.session.model_copy(update={"seed": seed}),
        }
        config = self.config.model_copy(update=update)
        fresh = untrained_model(config)
        carry(self.model, fresh, config.encoding.carry_sd if self.adapts else 0.0, "the day before")
        subject.session = Session(config, fresh)
        self.model = fresh

    def between(self, subject: Subject, recent: Training) -> None:
        """Do what is done every minute, with the data of the last ones."""


class Inferred(Supervised):
    """Adapts all the time; the target is inferred as the cursor moves."""

    intention = "inferred-target"


class Frozen(Supervised):
    """Decodes with the first day's model for ever."""

    adapts = False


class RetrospectiveRefit(Frozen):
    """Infers the targets of the last minutes afterwards and refits the model to them (PRI-T)."""

    minutes = 2  # of 1, 2 and 4 the best for a subject that is not in the benchmark

    def between(self, subject: Subject, recent: Training) -> None:
        """Refit."""
        session, section = subject.session, self.config.adapter
        intention = InferredTargetIntention(section, self.config.bin_s, session.space.n_axes)
        offered = session.task.candidates if isinstance(session.task, OffersCandidates) else ()
        intention.offer(offered, self.config.task.workspace_m)
        labels = infer_targets(recent, intention.candidates, section.goal_s)
        likelihood, sd = self.config.session.likelihood, self.config.encoding.initial_sd
        found = refitted(recent, labels, intention.candidates, likelihood, sd)
        session.model.weights[:], session.model.covariance[:] = found.weights, found.covariance


class Stabilised(Frozen):
    """A fixed decoder of latents, turned into place without labels every minute."""

    decoder: SubspaceStabiliser
    minutes = 4  # the same

    def calibrate(self, subject: Subject, seconds: float) -> None:
        """Learn while the cursor is moved for the subject, then fit."""
        subject.session.assist, subject.session.adapting = 1.0, False
        self.decoder = SubspaceStabiliser.fit(subject.run(seconds)[0])
        self.model = subject.session.model

    def begin_day(self, subject: Subject, seed: int) -> None:
        """Put the decoder in control."""
        super().begin_day(subject, seed)
        self.decoder.reset()
        subject.hand_over(self.decoder)

    def between(self, subject: Subject, recent: Training) -> None:
        """Align."""
        self.decoder.stabilise(recent.counts)


METHODS = {
    "inferred": Inferred,
    "supervised": Supervised,
    "frozen": Frozen,
    "pri-t": RetrospectiveRefit,
    "stabiliser": Stabilised,
}


def compare_days(
    names: Sequence[str], days: int, options: dict[str, Any], advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return how every method did over the days of every subject, with paired differences from the first.

    Parameters
    ----------
    names : sequence of str
        Of `METHODS`.
    days : int
        After the first one.
    options : dict
        ``seeds``, ``seed``, ``calibration_s``, ``test_s`` (of a day), ``config_path``, ``overrides``; ``bin_s`` where
        it is not the usual one.

    Raises
    ------
    BadInput
        When a number makes no sense or the configuration is wrong.
    """
    if days < 1 or options["seeds"] < 1 or options["test_s"] < MINUTE_S or options["calibration_s"] < 20:
        raise BadInput("a comparison over days needs a day, a subject, 20 s to calibrate and days of 60 s (--test)")
    runs: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in names}
    for seed in range(options["seed"], options["seed"] + options["seeds"]):
        for name in names:
            runs[name].append(life(METHODS[name], days, options, seed))
            advance()
    return {
        "mode": "days",
        "days": days,
        "seeds": options["seeds"],
        "day_s": options["test_s"],
        "calibration_s": options["calibration_s"],
        "reference": names[0],
        "table": [compared(name, runs[name], runs[names[0]]) for name in names],
    }


def _configured(options: dict[str, Any], seed: int) -> Config:
    bin_s = options.get("bin_s", BIN_S)
    usual = [f"session.bin_s={bin_s}", f"adapter.learning_rate={RATE_PER_S * bin_s}", f"encoding.carry_sd={CARRY_SD}"]
    path = options["config_path"] or "hard_world"
    config = configuration.load(path, [*usual, *options["overrides"], f"session.seed={seed}"])
    if config.source.kind != "simulated" or config.session.features or config.state.click or config.space.n_axes != 2:
        raise BadInput("a comparison over days is simulated, in the plane, with spiking units or features alone")
    return config


def life(method: type[Supervised], days: int, options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Return successes and trials of every day, and of its first minute, each (days,)."""
    config = _configured(options, seed)
    subject, way = Subject(config), method(config)
    way.calibrate(subject, options["calibration_s"])
    found = {name: np.zeros(days) for name in ("hits", "trials", "first_hits", "first_trials", "seconds")}
    population = subject.source.world.population
    for day in range(days):
        Night().pass_over(population, np.random.default_rng([seed, day, 5]))
        population.rng = np.random.default_rng([seed, day, 7])
        way.begin_day(subject, 1000 * seed + day + 1)
        left_s = options["test_s"]
        recent: list[Training] = []
        while left_s > 0.0:
            part_s = min(MINUTE_S, left_s)
            training, trials = subject.run(part_s)
            hits = sum(trial.success for trial in trials)
            if left_s == options["test_s"]:
                found["first_hits"][day], found["first_trials"][day] = hits, len(trials)
            found["hits"][day] += hits
            found["trials"][day] += len(trials)
            found["seconds"][day] += part_s
            left_s -= part_s
            recent = [*recent, training][-method.minutes :]
            way.between(subject, Training.joined(recent))
    return found


MEASURES: dict[str, Callable[[dict[str, np.ndarray]], float]] = {
    "hits_per_min": lambda run: 60.0 * float(run["hits"].sum() / run["seconds"].sum()),
    "success_rate": lambda run: float(run["hits"].sum() / max(run["trials"].sum(), 1)),
    "first_minute_hits": lambda run: float(run["first_hits"].mean()),
    "first_minute_success": lambda run: float(run["first_hits"].sum() / max(run["first_trials"].sum(), 1)),
    "worst_day_success": lambda run: float((run["hits"] / np.maximum(run["trials"], 1)).min()),
}


def compared(name: str, runs: list[dict[str, np.ndarray]], reference: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Return the row of a method: means over subjects, and paired differences from the reference's runs."""
    values = {key: np.array([measure(run) for run in runs]) for key, measure in MEASURES.items()}
    first = {key: np.array([measure(run) for run in reference]) for key, measure in MEASURES.items()}
    return {
        "decoder": name,
        "mean": {key: float(value.mean()) for key, value in values.items()},
        "difference": {key: list(paired_interval(values[key], first[key])) for key in values},
        "ratio_of_hits": list(_ratio(first["hits_per_min"], values["hits_per_min"])),
        "ratio_of_success": list(_ratio(first["success_rate"], values["success_rate"])),
        "success_by_day": [float(x) for x in _by_day(runs)],
    }


def _ratio(first: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return what the first method has over what this one has: mean over subjects, and the bounds of its interval."""
    ratio = first / np.maximum(values, 1e-9)
    return paired_interval(ratio, np.zeros(len(ratio)))


def _by_day(runs: list[dict[str, np.ndarray]]) -> np.ndarray:
    hits, trials = sum(run["hits"] for run in runs), sum(run["trials"] for run in runs)
    return hits / np.maximum(trials, 1)


def table(result: dict[str, Any]) -> str:
    """Return the answer for a person."""
    heads = {"hits_per_min": "hits/min", "success_rate": "success", "first_minute_success": "1st minute"}
    heads |= {"worst_day_success": "worst day"}
    lines = [
        f"{result['days']} days of {result['day_s']:g} s after a calibration of {result['calibration_s']:g} s, "
        f"{result['seeds']} simulated subjects; mean over subjects",
        f"{'method':<12}" + "".join(f"{head:>11}" for head in heads.values()),
    ]
    for row in result["table"]:
        cells = (f"{row['mean'][key]:>11.{1 if key == 'hits_per_min' else 3}f}" for key in heads)
        lines.append(f"{row['decoder']:<12}" + "".join(cells))
    lines += ["", f"difference from {result['reference']} [95 % over pairs of the same subject]"]
    for row in result["table"]:
        if row["decoder"] != result["reference"]:
            gaps = []
            for key, head in heads.items():
                mean, low, high = row["difference"][key]
                interval = f" [{low:+.3f}, {high:+.3f}]" if low == low else " (one subject)"
                gaps.append(f"{head} {mean:+.3f}{interval}")
            lines.append(f"{row['decoder']:<12}" + "; ".join(gaps))
    return "\n".join(lines)
