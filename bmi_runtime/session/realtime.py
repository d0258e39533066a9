"""Real time, as far as a stock kernel goes: core, scheduler and memory, each asked for and reported honestly."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import time

import numpy as np

from bmi_runtime.config import RealtimeConfig

_MCL_CURRENT_AND_FUTURE = 3  # of <sys/mman.h>, as the next
_MCL_ONFAULT = 4  # pages are locked when first touched: address space that is only reserved takes no memory


def apply(config: RealtimeConfig) -> list[str]:
    """Pin, raise and lock as configured; return what was not available, one sentence each."""
    missing = []
    if config.core >= 0:
        missing += _attempt(lambda: os.sched_setaffinity(0, {config.core}), f"realtime.core = {config.core}")
    if config.fifo_priority > 0:
        parameters = os.sched_param(config.fifo_priority)
        missing += _attempt(
            lambda: os.sched_setscheduler(0, os.SCHED_FIFO, parameters),
            f"realtime.fifo_priority = {config.fifo_priority}",
        )
    if config.lock_memory:
        missing += _attempt(lock_memory, "realtime.lock_memory")
    return missing


def raise_threads_to_come(config: RealtimeConfig) -> None:
    """Let the threads that are started from now on (sockets, recording) run just below the loop's priority.

    A loop under SCHED_FIFO whose socket threads wait for the stock scheduler gets its data late on a busy machine. What
    is not allowed here is said by :func:`apply`.
    """
    if config.fifo_priority > 0:
        parameters = os.sched_param(max(config.fifo_priority - 1, 1))
        _attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, parameters), "realtime.fifo_priority")


def _attempt(action, what: str) -> list[str]:
    try:
        action()
    except (OSError, ValueError, AttributeError) as error:
        return [f"{what} is not available: {error}"]
    return []


def lock_memory() -> None:
    """Keep every page of this process in memory.

    Raises
    ------
    OSError
        When the system does not allow it (``ulimit -l``).
    """
    import resource

    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        # with a finite limit, later allocations would fail instead of being pageable: worse than not locking
        raise OSError("the limit on locked memory is finite (ulimit -l unlimited lifts it)")
    library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    flags = _MCL_CURRENT_AND_FUTURE | (_MCL_ONFAULT if sys.platform.startswith("linux") else 0)
    if library.mlockall(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unlock_memory() -> None:
    """Let pages of this process be swapped again."""
    ctypes.CDLL(ctypes.util.find_library("c")).munlockall()


def wake_up_lateness_us(period_s: float = 0.005, repeats: int = 200) -> tuple[float, float]:
    """Return the median and the 99th percentile of how late a sleep to an absolute deadline wakes up, microseconds."""
    late = np.empty(repeats)
    deadline = time.monotonic_ns()
    for k in range(repeats):
        deadline += round(period_s * 1e9)
        time.sleep(max(deadline - time.monotonic_ns(), 0) * 1e-9)
        late[k] = time.monotonic_ns() - deadline
    return float(np.median(late) / 1e3), float(np.percentile(late, 99) / 1e3)


def clock_step_ns(repeats: int = 2000) -> int:
    """Return the median step of the monotonic clock as read from Python, in ns."""
    reads = np.array([time.monotonic_ns() for _ in range(repeats)])
    steps = np.diff(reads)
    return int(np.median(steps[steps > 0])) if (steps > 0).any() else 0
