"""How much of the command is blended toward the target, and how that fades."""

from __future__ import annotations

from bmi_runtime.config import TaskConfig
from bmi_runtime.tasks.base import ReachTask


class Assist:
    """The fading of the assist, counted from the beginning of the session or of a block.

    Parameters
    ----------
    config : TaskConfig
    bin_s : float
    """

    def __init__(self, config: TaskConfig, bin_s: float):
        self._fade, self._fade_s, self._bin_s = config.assist_fade, config.assist_fade_s, bin_s
        self.start = (0, 0, 0)
        """Bins, successes and timeouts from which it is counted."""

    def begin(self, bins: int, task: ReachTask) -> None:
        """Fade from here on."""
        self.start = (bins, task.successes, task.timeouts)

    def faded(self, level: float, bins: int, task: ReachTask) -> float:
        """Return what is left of `level`."""
        if not level or self._fade == "none":
            return level
        first_bin, successes, timeouts = self.start
        if self._fade == "time":
            return level * max(0.0, 1.0 - (bins - first_bin) * self._bin_s / self._fade_s)
        succeeded = task.successes - successes
        done = succeeded + task.timeouts - timeouts
        return level * (1.0 - succeeded / done) if done else level
