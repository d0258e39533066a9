"""The table of tasks. A new one is a file with a class, a row here (or an entry point), and a test."""

import numpy as np

from bmi_runtime import registry
from bmi_runtime.config import TaskConfig
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.numbers import check_numbers

TASKS = {
    "centre-out": "bmi_runtime.tasks.centre_out:CentreOut",
    "random-centre-out": "bmi_runtime.tasks.centre_out:RandomCentreOut",
    "centre-out-click": "bmi_runtime.tasks.click:CentreOutClick",
    "random-target": "bmi_runtime.tasks.random_target:RandomTarget",
    "pursuit": "bmi_runtime.tasks.pursuit:Pursuit",
}
TABLE = registry.Table(
    "task",
    TASKS,
    "bmi_runtime.tasks",
    ("advance(*position_m)", "next_target()", "begin()", "target", "hold_fraction", "snapshot()", "restore()"),
)


def names() -> list[str]:
    """Return the names of all tasks, those of other packages included."""
    return TABLE.names()


def make_task(config: TaskConfig, bin_s: float, rng: np.random.Generator, n_axes: int = 2) -> ReachTask:
    """Return the task that the configuration names.

    Raises
    ------
    BadInput
        When there is none of that name, an option is not one of its own, or it cannot be made.
    """
    kind = TABLE.find(config.kind)
    task = registry.made_recordable("task", config.kind, kind, config, bin_s, rng, n_axes)
    if not registry.is_own(kind):
        registry.made("task", config.kind, check_numbers, task)
    return task
