"""What is asked of the subject and what it is taken to want: task and intention, and what follows one that fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.codec import why_not_recordable
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, described, is_fault_of_part
from bmi_runtime.intention.capabilities import OffersCandidates, TeachesLate, TellsOfRest, WeighsLabels
from bmi_runtime.intention.registry import Intention, make_intention
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.event_limiter import checked_event
from bmi_runtime.session.live_parameters import shown
from bmi_runtime.session.safety import Safety
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.numbers import check_numbers
from bmi_runtime.tasks.registry import make_task

FALLBACK_TASK, FALLBACK_INTENTION = "centre-out", "optimal-control"
FARTHEST = 1e6  # in the unit of the axes: a target beyond is a mistake of the task that sets it


class Goal:
    """Task and intention of a session; every change is prepared first and then taken.

    Parameters
    ----------
    config : Config
    blocks : Blocks or None
        In a free block nobody is asked for anything.
    rng : numpy.random.Generator
        The session's: targets are drawn from it.
    safety : Safety
    cursor : list of float
        Position and velocity as the subject sees them, by reference.
    events : list of dict
        The session's, by reference.

    Attributes
    ----------
    task : ReachTask
    intention : Intention or None
        None: the source brings recorded kinematics.
    labels : WeighsLabels or None
        The intention, where it weighs several candidates.
    lag_bins : int
        How many bins ago the bin was that these labels are of.
    recorded : bool
        The task is that of a recording: it is not exchanged.
    """

    task: ReachTask
    task_kind: str
    intention: Intention | None
    intention_kind: str

    def __init__(
        self,
        config: Config,
        blocks: Blocks | None,
        rng: np.random.Generator,
        safety: Safety,
        cursor: list[float],
        events: list[dict[str, Any]],
    ):
        self.config, self.blocks, self.rng = config, blocks, rng
        self.safety, self.cursor, self.events = safety, cursor, events
        self._n = config.space.n_axes
        self._skips_missing_axes = config.adapter.missing_axis == "skip"
        self.recorded = False
        self._checked: tuple[float, ...] | None = None  # the position whose target was looked at last
        self._seen: tuple[float, ...] | None = None  # the target that a task of another kind said last
        self.labels: WeighsLabels | None = None
        self._foreign_intention = False
        self._untold: list[Any] = []  # parts whose snapshots are known to fail
        self.task_kind, self.task = config.task.kind, make_task(config.task, config.bin_s, rng, self._n)
        self.take_intention(*self.prepare_intention(config.adapter.intention))
        self.shown_target()

    @property
    def asks_nothing(self) -> bool:
        """Whether the task stands still because a free block runs."""
        return bool(self.blocks and self.blocks.scores and self.blocks.without_targets)

    # -- intention -------------------------------------------------------------------------------------------------

    def intend(self, given: Any) -> Sequence[float]:
        """Return the intended velocity (m/s) of a bin: inferred from the cursor and the target that the subject saw.

        Whoever infers it may fail; without an intention the source brings it.
        """
        try:
            if self.intention is None:
                return given.kinematics[self._n :].tolist()
            if self.blocks and self.asks_nothing and not self.labels:
                return [math.nan] * self._n  # nobody is asked for anything: what is wanted is not known
            target = self.shown_target()
            intended = self.intention.infer(tuple(self.cursor), target, self.task.trial_state)
            if self._foreign_intention:
                intended = [float(v) for v in islice(intended, self._n + 1)]  # what never ends takes all memory
            if len(intended) != self._n:
                raise ValueError(f"infer gave {len(intended)} numbers for {self._n} axes")
            return intended
        except BaseException as error:
            self._intention_failed(error)
            return [math.nan] * self._n

    def _intention_failed(self, error: BaseException) -> None:
        if not is_fault_of_part(error):
            raise error
        self.events.append(self.safety.part_failed("intention", self.intention_kind, error, FALLBACK_INTENTION))
        self.take_intention(*self.prepare_intention(FALLBACK_INTENTION))

    def weighed_labels(self) -> list[tuple[list[float], float]]:
        """Return the velocities among which the intention is not sure, with their probabilities; none where it is."""
        if not self.labels:
            return []
        try:
            labels = self.labels.labels()
            if self._foreign_intention:
                labels = [([float(v) for v in velocity], float(share)) for velocity, share in labels]
                if not all(0.0 <= share <= 1.0 and self._possible(velocity) for velocity, share in labels):
                    raise ValueError(f"its labels are {labels}")
            return labels
        except BaseException as error:
            self._intention_failed(error)
            return []

    def _possible(self, velocity: Sequence[float]) -> bool:
        return len(velocity) == self._n and self.safety.plausible(velocity)

    def news(self) -> list[dict[str, Any]]:
        """Return what an intention that weighs labels has to tell."""
        if not self.labels:
            return []
        try:
            news = self.labels.news()
            return [checked_event(news)] if news else []
        except BaseException as error:
            self._intention_failed(error)
            return []

    def teaches(self, intended: Sequence[float]) -> bool:
        """Return whether a bin can be learned from: its intention is known, in one axis at least, and can be."""
        if self.safety.plausible(intended):
            return True
        known = [v for v in intended if math.isfinite(v)]
        return bool(known) and not self._skips_missing_axes and self.safety.plausible(known)

    def late_labels(self) -> tuple[list[tuple[list[float], float]], bool, list[float] | None]:
        """Return the labels of an earlier bin, whether hardly any is known, and the aim if it dwelt on a goal (m/s)."""
        labels, late = self.weighed_labels(), self._late
        dwelling = late.dwelling_aim if isinstance(late, TellsOfRest) and late.dwells else None
        return labels, bool(late and late.lost), dwelling if dwelling and self._possible(dwelling) else None

    def encoded_position(self, given: Any) -> list[float]:
        """Return where the cursor was seen while the counts were produced (recorded intentions: where the hand was)."""
        return given.kinematics[: self._n].tolist() if self.intention is None else self.cursor[: self._n]

    def prepare_intention(self, kind: str) -> tuple[str, Intention | None]:
        """Make the intention of this name; raise `BadInput` when there is none, or it cannot be made."""
        config, section = self.config, self.config.adapter
        if config.session.features or config.state.click or "history" in config.encoding.regressors:
            section = section.model_copy(update={"label_lag_s": 0.0})  # they are learned with the bin that has come
        return kind, make_intention(kind, section, config.bin_s, self._n)

    def take_intention(self, kind: str, intention: Intention | None) -> None:
        """Let a prepared intention take over."""
        self.intention_kind, self.intention = kind, intention
        self.labels = intention if isinstance(intention, WeighsLabels) else None
        self._foreign_intention = not registry.is_own(type(intention)) if intention else False
        self._late = intention if self.labels and isinstance(intention, TeachesLate) else None
        self.lag_bins = self._late.lag_bins if self._late else 0
        self.offer_candidates()

    def offer_candidates(self) -> None:
        """Tell an intention that infers the goal where it may be (not which one it is)."""
        if not self.labels:
            return
        free = bool(self.blocks and self.blocks.scores and self.blocks.section.kind == "free")
        places = self.task.candidates if isinstance(self.task, OffersCandidates) and not free else ()
        try:
            self.labels.offer(places, self.config.task.workspace_m)
        except BaseException as error:
            self._intention_failed(error)

    # -- task ------------------------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Advance the task by the cursor; return whether a trial ended.

        A task that fails, or whose target cannot be, is followed by the plainest one.
        """
        task, cursor = self.task, self.cursor
        try:  # two numbers are handed over one by one in half the time
            event = task.advance(cursor[0], cursor[1]) if self._n == 2 else task.advance(*cursor[: self._n])
            own = isinstance(task, ReachTask) and type(task).target is ReachTask.target  # made of its position
            if not own or task.position is not self._checked:
                self._check_target(task, own)
            if event:
                self.events.append(checked_event(event))
        except BaseException as error:
            self.task_failed(error)
            return False
        return event is not None

    def shown_target(self) -> Sequence[float]:
        """Return position and radius of the target, as the subject sees it; a task that cannot say is exchanged."""
        try:
            target = self.task.target
            if len(target) == self._n + 1:
                self._seen = tuple(target)
                return target
            raise ValueError(f"its target is {target}")
        except BaseException as error:
            self.task_failed(error)
            return self.task.target

    def target_for_source(self) -> Sequence[float]:
        """Return the shown target outside of the step: of somebody's task as the step, which alone replays, read it."""
        own = isinstance(self.task, ReachTask) and type(self.task).target is ReachTask.target
        return self.shown_target() if own or self._seen is None else self._seen

    def _check_target(self, task: ReachTask, own: bool) -> None:
        target, position = task.target, task.position if own else None
        self._seen = tuple(target)
        if len(target) != self._n + 1 or not all(abs(x) <= FARTHEST for x in target):
            raise ValueError(f"its target is {target}")
        # a tuple cannot change, and need not be looked at again; a task may keep its position in something that can
        self._checked = position if type(position) is tuple else None

    def task_failed(self, error: BaseException) -> None:
        """Go on with the plainest task after an error of the one that runs."""
        if not is_fault_of_part(error):
            raise error
        self.events.append(self.safety.part_failed("task", self.task_kind, error, FALLBACK_TASK))
        section = self.config.task.model_copy(update={"kind": FALLBACK_TASK, "options": {}})
        task = make_task(section, self.config.bin_s, self.rng, self._n)
        for name in ("trial", "successes", "timeouts"):
            counted = getattr(self.task, name, 0)
            setattr(task, name, counted if type(counted) is int and 0 <= counted < 2**31 else 0)
        task.begin()
        self.task_kind, self.task, self._seen = FALLBACK_TASK, task, None

    def without_others(self, why: str) -> None:
        """Let the project's own task and intention take over from those of other packages, with an event each."""
        if self._foreign_intention:
            self._intention_failed(RuntimeError(why))
        if not registry.is_own(type(self.task)):
            self.task_failed(RuntimeError(why))

    def prepare_task(self, kind: str) -> tuple[str, ReachTask]:
        """Make another task that goes on counting from the one that runs; raise `BadInput` when it cannot."""
        rng_state = self.rng.bit_generator.state
        options = self.config.task.options if kind == self.config.task.kind else {}
        section = self.config.task.model_copy(update={"kind": kind, "options": options})
        try:
            task = make_task(section, self.config.bin_s, self.rng, self._n)
            task.restore(self.task.snapshot())
            task.begin()
            check_numbers(task)
        except BaseException as error:
            self.rng.bit_generator.state = rng_state  # a refused change leaves no trace in what is drawn later
            if isinstance(error, BadInput) or not is_fault_of_part(error):
                raise
            raise BadInput(f"the task {shown(kind)} cannot begin: {described(error)}") from None
        return kind, task

    def prepare_trial(self, what: str) -> str:
        """Check that a trial can be told to begin or to end; raise `BadInput` when not."""
        if what not in ("begin", "end"):
            raise BadInput(f"task.trial must be 'begin' or 'end', got {shown(what)}")
        if not isinstance(self.task, ReachTask):
            raise BadInput(f"the task '{self.task_kind}' cannot be told when a trial begins or ends")
        return what

    def take_task(self, prepared: tuple[str, ReachTask]) -> None:
        """Let a prepared task take over."""
        if self.recorded:
            return
        self.task_kind, self.task = prepared
        self.shown_target()
        self.offer_candidates()

    # -- state -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {
            "intention_kind": self.intention_kind,
            "intention": self._told("intention", self.intention_kind, self.intention) if self.intention else [],
            "task_kind": self.task_kind,
            "task": self._told("task", self.task_kind, self.task),
        }

    def _told(self, part: str, kind: str, teller: Any) -> Any:
        """Return a part's snapshot; None, and once an event, where it tells nothing that can be recorded."""
        try:
            taken = teller.snapshot()
            why = "" if registry.is_own(type(teller)) else why_not_recordable(taken)
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            why = described(error)
        if why and not any(teller is known for known in self._untold):
            self._untold.append(teller)
            self.events.append({"name": f"{part}-not-in-snapshot", "kind": kind, "error": why})
        return None if why else taken

    def restore_kinds(self, snapshot: dict[str, Any]) -> None:
        """Make task and intention those of a session's snapshot, and restore the intention."""
        if snapshot.get("intention_kind", self.intention_kind) != self.intention_kind:
            self.take_intention(*self.prepare_intention(snapshot["intention_kind"]))
        if snapshot["task_kind"] != self.task_kind:
            self.take_task(self.prepare_task(snapshot["task_kind"]))
        if self.intention and snapshot["intention"] is not None:  # after the task, which offers candidates again
            self.intention.restore(snapshot["intention"])
