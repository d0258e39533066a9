"""The blocks of a session: which one runs, when it ends, how it went. Counted in bins: a replay does the same."""

from __future__ import annotations

import dataclasses
from typing import Any

from bmi_runtime.config import BlockConfig, Config
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.registry import names as intention_names
from bmi_runtime.registry import unknown
from bmi_runtime.schema.task import BLOCK_KINDS
from bmi_runtime.tasks.registry import names as task_names

INFERRED = "inferred-target"


@dataclasses.dataclass
class BlockScore:
    """How one block went.

    Attributes
    ----------
    block : int
        Its number in the configuration, from 1; one that the operator came back to has several scores.
    name, kind : str
    first_bin : int
    bins : int
        In which the cursor could move.
    trials, successes : int
        That ended in it.
    ended : str
        Why: ``length``, ``trials``, ``criterion`` (its success rate), ``operator``; empty while it runs.
    """

    block: int
    name: str
    kind: str
    first_bin: int
    bins: int = 0
    trials: int = 0
    successes: int = 0
    ended: str = ""

    def facts(self) -> dict[str, Any]:
        """Return everything, with the success rate (None without a trial)."""
        rate = self.successes / self.trials if self.trials else None
        return dataclasses.asdict(self) | {"success_rate": rate}


class Blocks:
    """Which block of the configuration runs, and whether it is over.

    A block whose length is over ends with the trial that is under way, at the latest when that would have timed out.

    Parameters
    ----------
    config : Config
        With at least one block.

    Attributes
    ----------
    scores : list of BlockScore
        Of every block that has begun, the newest last.
    over : bool
        Whether the last one has ended by itself: the session is done.

    Raises
    ------
    BadInput
        When a block names a task or an intention that there is not.
    """

    def __init__(self, config: Config):
        self.sections, self.bin_s = config.block, config.bin_s
        for section in self.sections:
            for word, name, known in (
                ("task", section.task, task_names()),
                ("intention", section.intention, intention_names()),
            ):
                if name and name not in known:
                    raise unknown(word, name, known)
        self.usual_intention = config.adapter.intention
        self.latest_s = config.task.timeout_s + config.task.pause_s
        self.scores: list[BlockScore] = []
        self.recent: list[bool] = []
        self.over = False
        self._counted = (0, 0)

    @property
    def number(self) -> int:
        """Number of the block that runs, from 1."""
        return self.scores[-1].block

    @property
    def section(self) -> BlockConfig:
        """What the configuration says of the block that runs."""
        return self.sections[self.number - 1]

    @property
    def without_targets(self) -> bool:
        """Whether the task stands still, because nobody is asked for anything."""
        return self.section.kind == "free" and not self.section.task

    def begin(self, number: int, first_bin: int, successes: int, timeouts: int, why: str) -> None:
        """Let a block begin, `why` the one before it has ended; the task has counted so many trials so far."""
        if self.scores:
            self.scores[-1].ended = why
        section = self.sections[number - 1]
        self.scores.append(BlockScore(number, section.shown_name, section.kind, first_bin))
        self.recent, self._counted = [], (successes, timeouts)

    def settings(self) -> dict[str, Any]:
        """Return the live parameters that the block sets, by key, in the order in which they are to be set."""
        block = self.section
        assist, adapt = BLOCK_KINDS[block.kind]
        adapts = adapt if block.adapt is None else block.adapt
        usual = INFERRED if block.kind == "free" and adapts else self.usual_intention
        decoder = "decoder.fitted_file" if "." in block.decoder or "/" in block.decoder else "decoder.kind"
        wanted = {
            "task.kind": block.task or None,
            decoder: block.decoder or None,
            "decoder.frozen": block.freeze,
            "adapter.intention": block.intention or usual,
            "adapter.learning_rate": block.learning_rate,
            "adapter.enabled": adapts,
            "task.assist": assist if block.assist is None else block.assist,
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def after_bin(self, moved: bool, successes: int, timeouts: int) -> str:
        """Count a bin; return why the block is over, or nothing while it goes on."""
        score, before = self.scores[-1], self._counted
        score.bins += moved
        ended = successes + timeouts - sum(before)
        if ended:
            succeeded = successes - before[0]
            score.trials += ended
            score.successes += succeeded
            self.recent = [*self.recent, *[True] * succeeded, *[False] * (ended - succeeded)]
            self.recent = self.recent[-self.section.success_trials :]
            self._counted = (successes, timeouts)
        return self._why_over(score, bool(ended))

    def _why_over(self, score: BlockScore, trial_ended: bool) -> str:
        section = self.section
        if section.trials and score.trials >= section.trials:
            return "trials"
        whole = len(self.recent) >= section.success_trials
        if section.success_rate and whole and sum(self.recent) >= section.success_rate * len(self.recent):
            return "criterion"
        if section.length_s and score.bins >= round(section.length_s / self.bin_s):
            latest = round((section.length_s + self.latest_s) / self.bin_s)
            if trial_ended or self.without_targets or score.bins >= latest:
                return "length"
        return ""

    def facts(self) -> list[dict[str, Any]]:
        """Return how every block went."""
        return [score.facts() for score in self.scores]

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on, and the scores so far."""
        scores = [dataclasses.asdict(score) for score in self.scores]
        return {"scores": scores, "recent": list(self.recent), "counted": list(self._counted), "over": self.over}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.scores = [BlockScore(**score) for score in snapshot["scores"]]
        self.recent, self._counted = [bool(x) for x in snapshot["recent"]], tuple(snapshot["counted"])
        self.over = bool(snapshot["over"])


def checked_number(blocks: Blocks | None, number: float) -> int:
    """Return the number of a block that may begin.

    Raises
    ------
    BadInput
        When the session has no blocks, or none of that number.
    """
    if not blocks:
        raise BadInput("this session has no blocks; give [[block]] tables in its configuration")
    if not (number.is_integer() and 1 <= number <= len(blocks.sections)):
        raise BadInput(f"there is no block {number:g}, only blocks 1 to {len(blocks.sections)}")
    return int(number)
