"""Success in numbers: by block, task, assist and target, with intervals; for panel and summary. No Qt here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from bmi_runtime.constants import Z_95


@dataclasses.dataclass(frozen=True)
class Group:
    """The trials of one block, task, assist or target.

    Attributes
    ----------
    label : str
    trials, successes : int
    low, high : float
        95 % interval of the success rate (Wilson).
    median_s : float
        Time to target of the trials that reached it; not a number when none did.
    inside : float
        Share of the time on the target, for pursuit; not a number for other tasks.
    """

    label: str
    trials: int
    successes: int
    low: float
    high: float
    median_s: float
    inside: float

    @property
    def rate(self) -> float:
        """Success rate, 0 to 1."""
        return self.successes / self.trials if self.trials else math.nan


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a success rate.

    Wilson EB (1927), J Am Stat Assoc 22:209: the values of p for which the observed share lies within z standard
    errors.
    """
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_95 * Z_95
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def group(label: str, rows: np.ndarray) -> Group:
    """Return the figures of some trials."""
    good = rows["success"] != 0
    pursued = np.isfinite(rows["inside_s"])
    inside = rows["inside_s"][pursued].sum() / max(rows["time_s"][pursued].sum(), 1e-9) if pursued.any() else math.nan
    reached = rows["time_s"][good & ~pursued]
    median_s = float(np.median(reached)) if len(reached) else math.nan
    low, high = wilson(int(good.sum()), len(rows))
    return Group(label, len(rows), int(good.sum()), low, high, median_s, float(inside))


def block_name(block) -> str:
    """Return a block as text."""
    parts = [block.name] if block.name else []
    parts += [block.task or "task", "adapting" if block.adapting else "not adapting"]
    parts += ["decoder frozen"] if block.frozen else []
    return f"{block.number}: {', '.join(parts)}"


def _by_block(trials: np.ndarray, blocks) -> list[str]:
    return [block_name(blocks[index]) if index < len(blocks) else f"{index + 1}" for index in trials["block"]]


def _by_task(trials: np.ndarray, blocks) -> list[str]:
    return [blocks[index].task if index < len(blocks) else "unknown" for index in trials["block"]]


def _by_assist(trials: np.ndarray, blocks) -> list[str]:
    return [f"assist {100 * assist:.0f} %" for assist in trials["assist"]]


def _by_target(trials: np.ndarray, blocks) -> list[str]:
    return [
        ", ".join(f"{100 * value + 0.0:.1f}" for value in target) + " cm" for target in np.round(trials["target"], 4)
    ]


WAYS: dict[str, Callable] = {"block": _by_block, "task": _by_task, "assist": _by_assist, "target": _by_target}
MOST_GROUPS = 40  # rows of the table


def grouped(trials: np.ndarray, blocks, by: str) -> list[Group]:
    """Return the figures of a session's trials, one group for each block, task, assist or target, then all together.

    Parameters
    ----------
    trials : ndarray of `store.trial_row`
    blocks : sequence of `store.Block`
    by : {"block", "task", "assist", "target"}
    """
    labels = WAYS[by](trials, blocks)
    names = list(dict.fromkeys(labels))
    found = np.array(labels, object)
    groups = [group(name, trials[found == name]) for name in names[:MOST_GROUPS]]
    return [*groups, group("all trials", trials)] if len(trials) else groups
