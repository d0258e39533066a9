"""The table of tasks. A new one is a file with a class, a row here, and a test."""

import numpy as np

from bmi_runtime.config import TaskConfig
from bmi_runtime.errors import BadInput
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.centre_out import CentreOut, RandomCentreOut
from bmi_runtime.tasks.pursuit import Pursuit
from bmi_runtime.tasks.random_target import RandomTarget

TASKS = {
    "centre-out": CentreOut,
    "random-centre-out": RandomCentreOut,
    "random-target": RandomTarget,
    "pursuit": Pursuit,
}


def make_task(config: TaskConfig, bin_s: float, rng: np.random.Generator, n_axes: int = 2) -> ReachTask:
    """Return the task that the configuration names, or raise `BadInput`."""
    if config.kind not in TASKS:
        raise BadInput(f"there is no task '{config.kind}' (task.kind); choose from {', '.join(TASKS)}")
    return TASKS[config.kind](config, bin_s, rng, n_axes)
