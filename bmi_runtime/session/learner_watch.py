"""Whether the learner beside the loop is still there: it says when it will be heard of again."""

from __future__ import annotations

from typing import Any

from bmi_runtime.errors import BadInput
from bmi_runtime.session.live_parameters import shown

LONGEST_SILENCE_S = 600.0  # that a learner may announce


class LearnerWatch:
    """When a learner beside the loop is to be heard of again."""

    def __init__(self) -> None:
        self._due_ns = 0

    def heard(self, within_s: Any, now_ns: int) -> str:
        """Note that a learner will report again within so many seconds; 0 says that it ends.

        Returns
        -------
        str
            The name of the event that this is, empty for one that only goes on.

        Raises
        ------
        BadInput
            When that is not a number of seconds up to `LONGEST_SILENCE_S`.
        """
        number = isinstance(within_s, int | float) and not isinstance(within_s, bool)
        if not (number and 0.0 <= within_s <= LONGEST_SILENCE_S):
            raise BadInput(
                f"learner takes the seconds within which it will be heard of again, up to {LONGEST_SILENCE_S:g}, 0 at "
                f"its end; got {shown(within_s)}"
            )
        before, self._due_ns = self._due_ns, now_ns + round(1e9 * within_s) if within_s else 0
        if not within_s:
            return "learner-ended" if before else ""
        return "" if before else "learner-began"

    def lost(self, now_ns: int) -> bool:
        """Return once whether a learner was not heard of in time."""
        if not 0 < self._due_ns < now_ns:
            return False
        self._due_ns = 0
        return True
