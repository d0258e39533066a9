"""Reach a target, then click inside it."""

from __future__ import annotations

from typing import Any

from bmi_runtime.messages import TrialState
from bmi_runtime.tasks.centre_out import CentreOut


class CentreOutClick(CentreOut):
    """Centre-out-and-back in which a click within the target selects it; staying there does nothing.

    A click outside is a false one: it is counted, and the trial goes on. ``clicked`` is set before :meth:`advance`.
    """

    STATE: tuple[str, ...] = (*CentreOut.STATE, "clicks", "false_clicks")

    def __init__(self, *arguments: Any):
        self.clicked, self.clicks, self.false_clicks = False, 0, 0
        super().__init__(*arguments)

    @property
    def hold_fraction(self) -> float:
        """Nothing is held."""
        return 0.0

    def advance(self, *position_m: float) -> dict[str, Any] | None:
        """Advance one bin with the cursor there; return the event of a trial that ended, or None."""
        if self.trial_state >= TrialState.SUCCESS:
            self._pause()
            return None
        self.bins_in_trial += 1
        inside = self.inside(position_m)
        self.trial_state = TrialState.HOLD if inside else TrialState.REACH
        if self.clicked:
            self.clicks += 1
            if inside:
                self.successes += 1
                return self._end(TrialState.SUCCESS)
            self.false_clicks += 1
        if self.bins_in_trial >= self.timeout_bins:
            self.timeouts += 1
            return self._end(TrialState.TIMEOUT)
        return None
