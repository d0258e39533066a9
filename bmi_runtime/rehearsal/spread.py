"""Simulated sessions over processes or a cluster; a journal keeps finished ones, so a killed rehearsal goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.study import Rehearsal

Task = tuple[int, int]


def run_spread(
    plan: Rehearsal, jobs: int, cluster: str | None, journal: str | None, advance: Callable[[], None]
) -> dict[Task, dict[str, float]]:
    """Run every session of a rehearsal; return the measures by (seed, setting)."""
    found = _kept(plan, journal)
    for _ in found:
        advance()
    todo = [task for task in plan.tasks() if task not in found]
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(_opened(journal)) if journal else None
        for task, measures in _outcomes(plan, todo, jobs, cluster):
            found[task] = measures
            if kept:
                kept.write(json.dumps({"key": _key(plan, task), "measures": measures}) + "\n")
                kept.flush()
            advance()
    return found


def _opened(journal: str) -> Any:
    try:
        return open(journal, "a", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"the journal {journal} cannot be written: {error.strerror}") from None


def _outcomes(plan: Rehearsal, todo: list[Task], jobs: int, cluster: str | None):
    if cluster is None and jobs == 1:
        for task in todo:
            yield task, plan.run(*task)
        return
    try:
        import joblib
    except ImportError:
        raise BadInput("--jobs and --cluster need joblib; install bmi-runtime[sweep]") from None
    from bmi_runtime.cluster import joblib_on

    with joblib_on(cluster):
        pool = joblib.Parallel(n_jobs=jobs if cluster is None else -1, return_as="generator")
        yield from zip(todo, pool(joblib.delayed(plan.run)(*task) for task in todo), strict=True)


def _key(plan: Rehearsal, task: Task) -> str:
    """Return what names a session in the journal: its world, its configuration and its seed."""
    world = hashlib.sha256(plan.world.population.weights.tobytes() + plan.world.subject.mean.tobytes()).hexdigest()[:16]
    text = json.dumps([world, plan.base, plan.settings[task[1]], task[0], plan.seconds], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _kept(plan: Rehearsal, journal: str | None) -> dict[Task, dict[str, float]]:
    if not journal or not pathlib.Path(journal).exists():
        return {}
    rows: dict[str, Any] = {}
    for number, line in enumerate(pathlib.Path(journal).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row["key"]] = row["measures"]
        except (ValueError, KeyError, TypeError):
            if number and os.path.getsize(journal) and line.startswith("{"):
                continue  # the line in which a killed rehearsal stopped
            raise BadInput(f"{journal} is not the journal of a rehearsal (line {number})") from None
    return {task: rows[_key(plan, task)] for task in plan.tasks() if _key(plan, task) in rows}
