"""What ``bmi doctor`` looks at, one function per check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Any

from bmi_runtime.config import Config


def examine(config: Config) -> list[dict[str, Any]]:
    """Return every check: name, ok, needed (False: a live session works without), found, advice."""
    machine = (python, clock, scheduler_jitter, kernels, step_time, disk, memory_lock, fifo, governor, qt, display)
    return [check(config) for check in (*machine, parts)]


def _check(name: str, ok: bool, found: str, advice: str, needed: bool = True) -> dict[str, Any]:
    return {"name": name, "ok": bool(ok), "needed": needed, "found": found, "advice": advice}


def python(config: Config) -> dict[str, Any]:
    """Look at the interpreter's version."""
    version = sys.version.split()[0]
    return _check("python", sys.version_info >= (3, 11), version, "use Python 3.11 or newer")


def clock(config: Config) -> dict[str, Any]:
    """Look at the resolution of the monotonic clock."""
    from bmi_runtime.session.realtime import clock_step_ns

    step = clock_step_ns()
    advice = "the kernel's clock source is coarse; see /sys/devices/system/clocksource"
    return _check("monotonic clock", 0 < step < 10_000, f"reads {step} ns apart", advice)


def scheduler_jitter(config: Config) -> dict[str, Any]:
    """Measure how late a sleeping loop wakes up, against the bin."""
    from bmi_runtime.session.realtime import wake_up_lateness_us

    median, p99 = wake_up_lateness_us(min(config.bin_s, 0.005))
    limit = config.bin_s * 1e6 / 2
    found = f"wakes {median:.0f} us late at the median, {p99:.0f} us at p99 (half a bin is {limit:.0f} us)"
    return _check(
        "scheduler", p99 < limit, found, "close other programs, or set realtime.core and realtime.fifo_priority"
    )


def kernels(config: Config) -> dict[str, Any]:
    """Load (or compile) the kernels."""
    from bmi_runtime.session.core import warm_up

    begin = time.perf_counter()
    warm_up(config)
    seconds = time.perf_counter() - begin
    found = (
        f"ready after {seconds:.1f} s ({'from the cache' if seconds < 5 else 'compiled now; the next start is quick'})"
    )
    return _check("compiled kernels", True, found, "")


def step_time(config: Config) -> dict[str, Any]:
    """Measure one bin of decoding and adaptation for the configured number of units, against the bin."""
    import numpy as np

    from bmi_runtime.encoding.model import EncodingModel
    from bmi_runtime.messages import Bin
    from bmi_runtime.session.core import Session

    units = config.session.units
    session = Session(
        config, EncodingModel.untrained(np.full(units, 5.0), config.session.likelihood, config.bin_s, 0.3)
    )
    given, durations = Bin(*config.layout), np.empty(500)
    for k in range(500):
        begin = time.perf_counter_ns()
        session.step(given.bytes)
        durations[k] = (time.perf_counter_ns() - begin) / 1e3
    median, p99 = np.median(durations), np.percentile(durations, 99)
    found = (
        f"{median:.0f} us at the median, {p99:.0f} us at p99, for {units} units in bins of {config.bin_s * 1e6:.0f} us"
    )
    good = bool(p99 < config.bin_s * 1e6 / 2)
    return _check("time of a step", good, found, "fewer units, wider bins, or a faster machine")


def disk(config: Config) -> dict[str, Any]:
    """Look at the room for recordings."""
    free = shutil.disk_usage(
        os.path.dirname(os.path.abspath(config.recording.path)) if config.recording.path else "."
    ).free
    hours = free / ((600 + 2 * config.session.units) / config.bin_s * 3600)
    return _check("disk", hours > 2, f"{free / 1e9:.0f} GB free, {hours:.0f} hours of recording", "make room")


def memory_lock(config: Config) -> dict[str, Any]:
    """Look whether memory may be locked."""
    from bmi_runtime.session import realtime

    try:
        realtime.lock_memory()
        realtime.unlock_memory()
    except (OSError, AttributeError) as error:
        return _check("memory lock", False, str(error), "ulimit -l unlimited, or limits.conf: memlock unlimited", False)
    return _check("memory lock", True, "allowed", "", False)


def fifo(config: Config) -> dict[str, Any]:
    """Look whether a real-time scheduler is allowed, in a process of its own."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    found = "allowed" if done.returncode == 0 else "not allowed"
    return _check("SCHED_FIFO", done.returncode == 0, found, "limits.conf: rtprio 50, or CAP_SYS_NICE", False)


def governor(config: Config) -> dict[str, Any]:
    """Look at the frequency governor of the first core."""
    try:
        with open("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", encoding="ascii") as file:
            name = file.read().strip()
    except OSError:
        return _check("frequency governor", True, "not shown by this machine", "", False)
    return _check("frequency governor", name == "performance", name, "cpupower frequency-set -g performance", False)


def qt(config: Config) -> dict[str, Any]:
    """Open an off-screen Qt application in a process of its own."""
    code = "from pyqtgraph.Qt import QtWidgets, QtCore; QtWidgets.QApplication([]); print(QtCore.qVersion())"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return _check("Qt", True, f"Qt {done.stdout.strip()}", "")
    last = (done.stderr.strip().splitlines() or ["it died without a word"])[-1]
    return _check(
        "Qt", False, last, "install the shared libraries that `make run` names, or run with --headless", False
    )


def display(config: Config) -> dict[str, Any]:
    """Look for a display."""
    name = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    return _check("display", bool(name), name or "none", "sessions run with --headless", False)


def parts(config: Config) -> dict[str, Any]:
    """Look for parts of other packages that no name reaches: it is the project's own, or several packages use it."""
    from bmi_runtime.decoding import tables
    from bmi_runtime.intention import registry as intentions
    from bmi_runtime.sources import base, datafile
    from bmi_runtime.tasks import registry as tasks

    every = (tables.TABLE, base.TABLE, tasks.TABLE, intentions.TABLE, datafile.READERS)
    unused = [sentence for table in every for sentence in table.collisions()]
    found = "; ".join(unused) or "every name means one part"
    return _check("parts", not unused, found, "rename the entry point", False)
