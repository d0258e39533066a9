"""Targets to the left and to the right, and a task that breaks."""

from bmi_runtime.registry import Options
from bmi_runtime.tasks.base import ReachTask


class Line(ReachTask):
    class Options(Options):
        half_length_m: float = 0.1

    def next_target(self):
        side = self.options.half_length_m
        return (side if self.trial % 2 else -side), 0.0


class Breaking(Line):
    def advance(self, *position_m):
        if self.bins_in_trial > 20:
            raise KeyError("target")
        return super().advance(*position_m)
