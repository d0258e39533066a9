"""Decoders in the simulated closed loop: the same subjects, the same time to learn, the same task.

Fitted decoders learn from a block in which the cursor is moved for the subject (full assist) toward the inferred
intention, then are frozen. ReFIT spends the second half of that time in control with a velocity Kalman filter, and is
fitted to both halves' rotated intentions. SmoothBatch and recursive maximum likelihood take a seed from the first half,
adapt in control in the second, and go on adapting. ``adaptive`` starts untrained, is in control all the time, and goes
on adapting; ``adaptive-history`` is the same with every unit's own recent spikes among what its rate depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.analysis.metrics import Trial, paired_interval, summary
from bmi_runtime.calibration.aim_fit import Screen
from bmi_runtime.calibration.answer_gain import gain_of_answers
from bmi_runtime.config import Config
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.closed_loop_decoder import ClosedLoopDecoder
from bmi_runtime.decoding.fitting import fit_decoder
from bmi_runtime.decoding.hosting import HostedDecoder
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.network_kinds import KINDS, trained
from bmi_runtime.decoding.tables import ADAPTED
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import rotated_to_target
from bmi_runtime.messages import Bin, TrialState
from bmi_runtime.rehearsal.world import FittedWorld
from bmi_runtime.session.core import Session
from simulators.rehearsal_source import RehearsalSource
from simulators.rehearsed import adopted
from simulators.source import SimulatedSource

ADAPTIVE = {  # our filter as it runs live: what its sessions have beside the configuration
    "adaptive": (),
    "adaptive-history": ("encoding.regressors=['velocity', 'history']",),
}
BIN_S = 0.02  # of the compared sessions, unless a fitted world gives its own
CONTROL_S = 60.0  # with counts that know nothing of the target
GAIN_PILOT_S = 60.0  # steered with a decoder before its gain is calculated


class Subject:
    """One simulated subject with its units, a session around it, and what was seen so far."""

    def __init__(self, config, world=None):
        self.source = SimulatedSource(config) if world is None else RehearsalSource(config, world)
        self.config, self.session = config, Session(config, self.source.world.initial_model())
        self._given = Bin(config.session.units, config.continuous)
        self._adapting: Any = None
        self.answers = np.empty((0, 2))  # decoded velocity of the last run, m/s, before any gain

    def run(self, seconds: float, unrelated: np.ndarray | None = None) -> tuple[Training, list[Trial]]:
        """Run; return counts with the cursor and the targets, and the trials that ended.

        Counts that are given, (bins, units), take the place of the units' own, which know where the target is.
        """
        session, task, bin_s = self.session, self.session.task, self.config.bin_s
        bins = round(seconds / bin_s)
        counts = np.empty((bins, self.config.session.units))
        cursor, targets = np.empty((bins, 4)), np.empty((bins, 3))
        self.answers = np.empty((bins, 2))
        trials: list[Trial] = []
        path = [tuple(session.cursor[:2])]
        for index in range(bins):
            target, trial, seen = task.target, task.trial, np.array(session.cursor)
            self.source.next_bin(self._given, session.cursor, target)
            if unrelated is not None:
                self._given.fields.counts[:] = unrelated[index]
            self.answers[index] = session.step(self._given.bytes).output.decoded[2:]
            counts[index] = self._given.fields.counts
            cursor[index], targets[index] = session.cursor, target[:3]
            if self._adapting is not None:
                self._adapting.adapt(counts[index], toward(seen, targets[index]))
            pausing = task.trial_state >= TrialState.SUCCESS
            path.append(tuple(session.cursor[:2]))
            trials += [self._trial(path, target, event) for event in session.events if event.get("name") == "trial"]
            session.events.clear()
            if pausing or task.trial != trial:
                path = [tuple(session.cursor[:2])]
        starts = np.zeros(bins, bool)
        starts[0] = True
        return Training(counts, cursor, starts, starts.copy(), bin_s, targets), trials

    def _trial(self, path, target, event) -> Trial:
        hold_s = self.config.task.hold_s
        return Trial(np.array(path), target[:2], target[2], self.config.bin_s, hold_s, event["result"] == "success")

    def tune_gain(self) -> None:
        """Steer for a while, and move the cursor from now on by the gain that is calculated from it."""
        seen, _ = self.run(GAIN_PILOT_S)
        assert seen.targets is not None
        screen = Screen(seen.position, seen.targets[:, :2], np.ones(len(seen.counts), bool))
        self.session.gain = gain_of_answers(self.answers, seen.counts, screen, self.config).gain

    def hand_over(self, decoder: Any) -> None:
        """Give control to a decoder, without assist and without adaptation of the session's own model."""
        session = self.session
        session.decoder = HostedDecoder(
            ClosedLoopDecoder(decoder), "fitted", session.model.n_units, session.space.n_axes
        )
        learns = isinstance(decoder, JoinedDecoder)  # from the session's own intention, as `adaptive`
        self._adapting = decoder if hasattr(decoder, "adapt") and not learns else None
        self.session.assist, self.session.adapting = 0.0, learns


def toward(seen: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return what was intended from a cursor that was seen: its speed, turned to the target; nothing within it."""
    inside = np.hypot(*(seen[:2] - target[:2])) <= target[2]
    return rotated_to_target(seen[None], target[None, :2], np.array([inside]))[0, 2:]


def learn(name: str, subject: Subject, seconds: float, half_life_s: float | None = None) -> None:
    """Let a decoder have its time to learn with a subject, and put it in control."""
    if name in ADAPTIVE:
        subject.run(seconds)
        return
    subject.session.assist, subject.session.adapting = 1.0, False
    if name in ADAPTED:
        subject.hand_over(fit_decoder(name, subject.run(seconds / 2)[0], half_life_s=half_life_s))
        subject.run(seconds / 2)
    elif name == "refit-kalman":
        first = subject.run(seconds / 2)[0]
        subject.hand_over(fit_decoder("kalman-velocity", first))
        subject.hand_over(fit_decoder(name, Training.joined([first, subject.run(seconds / 2)[0]])))
    elif name in KINDS:
        subject.hand_over(trained(name, subject.run(seconds)[0], for_loop=True))
    else:
        subject.hand_over(fit_decoder(name, subject.run(seconds)[0]))


def compare_closed_loop(
    names: Sequence[str], options: dict[str, Any], advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return the table: every measure of every decoder over simulated subjects, and paired differences from the first.

    Parameters
    ----------
    names : sequence of str
        Rows of `ADAPTIVE` and of the table of fitted decoders; the first is the reference.
    options : dict
        ``seeds``, ``seed``, ``calibration_s``, ``test_s``, ``config_path``, ``overrides``; ``calculated_gain``: after
        learning each decoder is steered with for a minute, and then has the gain that follows from it.

    Raises
    ------
    BadInput
        When a number makes no sense or the configuration is wrong.
    """
    if options["seeds"] < 1 or not (20 <= options["calibration_s"] < np.inf and 10 <= options["test_s"] < np.inf):
        raise BadInput(
            "a closed-loop comparison needs a seed, 20 s to learn (--calibration) and 10 s to score (--test)"
        )
    if (options.get("half_life_s") or 1.0) <= 0.0:
        raise BadInput(f"a half life of {options['half_life_s']:g} s makes no sense; give a positive number of seconds")
    seeds = range(options["seed"], options["seed"] + options["seeds"])
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            config, world = _config(options, seed, ADAPTIVE.get(name, ()))
            subject = Subject(config, world)
            learn(name, subject, options["calibration_s"], options.get("half_life_s"))
            if options.get("calculated_gain"):
                subject.tune_gain()
            seen, trials = subject.run(options["test_s"])
            per_minute = 60.0 * sum(trial.success for trial in trials) / options["test_s"]
            measured = {"successes_per_min": per_minute, **summary(trials, config.task.targets)}
            measured["unrelated_per_min"] = _reached_without(subject, seen.counts, min(options["test_s"], CONTROL_S))
            runs[name].append(measured | {"gain": subject.session.gain})
            advance()
    return {
        "mode": "closed-loop",
        "seeds": len(seeds),
        "bin_s": config.bin_s,
        "calibration_s": options["calibration_s"],
        "test_s": options["test_s"],
        "reference": names[0],
        "table": [table_row(name, runs[name], runs[names[0]]) for name in names],
    }


def _reached_without(subject: Subject, counts: np.ndarray, seconds: float) -> float:
    """Return the targets reached per minute with earlier counts, in reverse order.

    They know nothing of the target: what is reached, the decoder reached by chance, or its teacher for it.
    """
    trials = subject.run(seconds, counts[::-1])[1]
    return 60.0 * sum(trial.success for trial in trials) / seconds


def _config(options: dict[str, Any], seed: int, own: Sequence[str]) -> tuple[Config, FittedWorld | None]:
    """Return the configuration of a seed and a decoder, and the fitted world, drawn for it, where there is one."""
    world, seeded = options.get("world"), [*options["overrides"], f"session.seed={seed}", *own]
    if world is None:
        return configuration.load(options["config_path"], [f"session.bin_s={BIN_S}", *seeded]), None
    config = adopted(configuration.load(options["config_path"], seeded), world)
    return config, world.draw(np.random.default_rng([seed, 11]))


def table_row(name, runs, reference) -> dict[str, Any]:
    """Return the row of a decoder: every measure's mean over subjects, and the paired difference from the first."""
    values = {key: np.array([run[key] for run in runs]) for key in runs[0]}
    first = {key: np.array([run[key] for run in reference]) for key in runs[0]}
    return {
        "decoder": name,
        "mean": {
            key: float(np.mean(v[np.isfinite(v)])) if np.isfinite(v).any() else np.nan for key, v in values.items()
        },
        "difference": {key: list(paired_interval(values[key], first[key])) for key in values},
        "runs": runs,
    }
