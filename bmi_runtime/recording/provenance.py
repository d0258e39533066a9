"""Which code, packages and machine made a recording."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from bmi_runtime import __version__

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "pyzmq", "msgpack", "pydantic", "mcap", "pyqtgraph", "PyQt5")

GIT_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")


@functools.cache
def provenance() -> dict:
    """Return code version, package versions, Python, platform and processor; asked once per process.

    Returns
    -------
    dict
        ``code_version``; ``git_commit`` and ``git_dirty`` (None outside a checkout); ``packages`` (name to version of
        those installed); ``python``, ``platform``, ``cpu``, ``cpu_count``.
    """
    commit, dirty = _git_state(Path(__file__).resolve().parents[2])
    return {
        "code_version": __version__,
        "git_commit": commit,
        "git_dirty": dirty,
        "packages": _package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
    }


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout at `folder` and whether tracked files differ from it."""
    if not (folder / ".git").exists():
        return None, None
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *GIT_STATUS], capture_output=True, text=True, timeout=2
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    lines = answer.stdout.splitlines()
    commits = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
    if answer.returncode or not commits:
        return None, None
    return commits[0], any(not line.startswith("#") for line in lines)


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
