"""Sweeps: one command over a grid of settings or a random search, on local processes or a Dask cluster, resumable.

Every finished task is appended to a journal (one JSON line, flushed) before the next result is looked at, so a sweep
that was killed goes on where it stopped and does nothing twice.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import math
import os
import pathlib
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bmi_runtime.cluster import connected, lost
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import whole_text

MOST_TASKS = 1_000_000  # more are a mistake in the grid
_SPACES: dict[str, Callable[..., Any]] = {
    "range": lambda a, b, *s: range(int(a), int(b), *(int(v) for v in s)),
    "linspace": lambda a, b, n: np.linspace(a, b, int(min(n, MOST_TASKS + 1))).tolist(),
    "logspace": lambda a, b, n: np.geomspace(a, b, int(min(n, MOST_TASKS + 1))).tolist(),
}
_DRAWS: dict[str, Callable[..., Any]] = {
    "uniform": lambda rng, a, b: float(rng.uniform(a, b)),
    "loguniform": lambda rng, a, b: float(np.exp(rng.uniform(np.log(a), np.log(b)))),
    "integers": lambda rng, a, b: int(rng.integers(int(a), int(b))),
}
_CALL = re.compile(r"(\w+)\(([^()]*)\)$")


RunTask = Callable[[list[str]], dict[str, Any]]


def grid_values(text: str) -> tuple[str, list[str]]:
    """Return key and values of one ``KEY=V1,V2,...`` or ``KEY=logspace(1e-7,1e-3,5)`` (range, linspace, logspace).

    Raises
    ------
    BadInput
        When there is no key, no value, or the space is not one of those.
    """
    key, equals, body = text.partition("=")
    if not equals or not key or not body:
        raise BadInput(f"--grid takes KEY=V1,V2 or KEY=logspace(1e-7,1e-3,5), got '{text}'")
    called = _CALL.match(body)
    if not called:
        return key, body.split(",")
    name, arguments = called[1], called[2]
    if name not in _SPACES:
        raise BadInput(f"--grid {key}: there is no space '{name}'; choose from {', '.join(_SPACES)}")
    values = _call(_SPACES[name], arguments, f"--grid {text}")
    if len(values) > MOST_TASKS:
        raise BadInput(f"--grid {key}: {body} has more values than a sweep has tasks ({MOST_TASKS:,} at most)")
    return key, [_text(value) for value in values]


def random_draw(text: str) -> tuple[str, Callable[[np.random.Generator], str]]:
    """Return key and sampler of one ``KEY=loguniform(1e-7,1e-3)`` (uniform, loguniform, integers) or ``KEY=V1,V2``.

    Raises
    ------
    BadInput
        When the text is not of that form.
    """
    key, equals, body = text.partition("=")
    if not equals or not key or not body:
        raise BadInput(f"--random takes KEY=loguniform(1e-7,1e-3) or KEY=V1,V2, got '{text}'")
    called = _CALL.match(body)
    if not called:
        choices = body.split(",")
        return key, lambda rng: choices[int(rng.integers(len(choices)))]
    if called[1] not in _DRAWS:
        raise BadInput(f"--random {key}: there is no distribution '{called[1]}'; choose from {', '.join(_DRAWS)}")
    arguments = called[2]
    return key, lambda rng: _text(_call(lambda *v: _DRAWS[called[1]](rng, *v), arguments, f"--random {text}"))


def _call(function: Callable[..., Any], arguments: str, where: str) -> Any:
    try:
        return function(*(float(value) for value in arguments.split(",")))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{where}: {error}") from None


def _text(value: Any) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def settings(grids: list[str], draws: list[str], samples: int, seed: int) -> list[dict[str, str]]:
    """Return the settings of every task: the product of the grids, each with `samples` random draws if any.

    Raises
    ------
    BadInput
        When a text is not of its form, or there would be more tasks than a journal is meant for.
    """
    spaces = [grid_values(text) for text in grids]
    samplers = [random_draw(text) for text in draws]
    tasks = math.prod(len(values) for _, values in spaces) * (samples if samplers else 1)
    if tasks > MOST_TASKS:
        raise BadInput(f"{tasks:,} tasks are more than the {MOST_TASKS:,} of a sweep; make the grid coarser")
    product = [dict(zip((key for key, _ in spaces), values, strict=True)) for values in _product(spaces)]
    if not samplers:
        return product
    rng = np.random.default_rng(seed)
    return [point | {key: draw(rng) for key, draw in samplers} for point in product for _ in range(samples)]


def _product(spaces: list[tuple[str, list[str]]]) -> Iterator[tuple[str, ...]]:
    return itertools.product(*(values for _, values in spaces))


def command_line(command: list[str], point: dict[str, str]) -> list[str]:
    """Return the arguments of one task: options for keys that begin with ``--``, ``--set`` for ``section.key``."""
    arguments = list(command)
    for key, value in point.items():
        arguments += [key, value] if key.startswith("--") else ["--set", f"{key}={value}"]
    return arguments if "--json" in arguments else [*arguments, "--json"]


def task_key(arguments: list[str]) -> str:
    """Return what names a task in the journal."""
    return hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:20]


def local(tasks: list[list[str]], jobs: int, run_task: RunTask) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run tasks on local processes; yield (index, outcome) as they finish; a dead process fails its own task only.

    Parameters
    ----------
    tasks : list of list of str
        Arguments of ``bmi``.
    jobs : int
        Processes.
    run_task : callable
        Runs one task and never raises (`cli.run_task`); a function of a module, as it is called in other processes.
    """
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(tasks))
    while waiting:
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
            running: dict[Any, tuple[int, list[str]]] = {}
            broken = False
            while (waiting or running) and not broken:
                while waiting and len(running) < 2 * jobs:
                    item = waiting.pop(0)
                    running[pool.submit(run_task, item[1])] = item
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        broken = True
                        continue
                    yield running.pop(future)[0], outcome
        if broken:  # those that ran when it died: each once more, alone, so that the guilty one is known
            for index, arguments in running.values():
                yield index, _alone(arguments, context, run_task)


def _end_with_parent() -> None:
    """Have this process end when the sweep is killed: it would wait for a task for ever."""
    import multiprocessing
    from multiprocessing.connection import wait
    from threading import Thread

    parent = multiprocessing.parent_process()

    def watch():
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _alone(arguments: list[str], context: Any, run_task: RunTask) -> dict[str, Any]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            return pool.submit(run_task, arguments).result()
        except BrokenProcessPool:
            return {"result": None, "error": "the process that ran it died", "seconds": None}


def dask_cluster(tasks: list[list[str]], cluster: str, run_task: RunTask) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run tasks on a Dask cluster (:func:`connected`).

    Raises
    ------
    BmiError
        When the scheduler is lost under way.
    """
    with connected(cluster) as client:
        yield from _gathered(client, tasks, cluster, run_task)


def _gathered(
    client: Any, tasks: list[list[str]], cluster: str, run_task: RunTask
) -> Iterator[tuple[int, dict[str, Any]]]:
    from distributed import as_completed

    futures = {client.submit(run_task, task, pure=False, retries=2): index for index, task in enumerate(tasks)}
    for future in as_completed(list(futures)):
        if future.status == "error":
            yield futures[future], {"result": None, "error": f"worker: {future.exception()}", "seconds": None}
        else:
            try:
                outcome = future.result(timeout=60)
            except Exception as error:  # cancelled, or lost with its worker: tasks themselves never raise
                raise lost(cluster, error, "what was finished is kept, run the same line again to go on") from None
            yield futures[future], outcome
        future.release()


class Journal:
    """The append-only list of finished tasks.

    Parameters
    ----------
    path : str or Path
        One JSON object per line; a half line at the end (a kill) is dropped.

    Raises
    ------
    BadInput
        When it cannot be written.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.done: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    self.done[entry["key"]] = entry
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"the journal of the sweep cannot be written: {self.path}: {error.strerror}") from None
        if not whole:
            self._file.write("\n")

    def has(self, key: str, successes_only: bool = False) -> bool:
        """Return whether a task is done (or done without an error)."""
        return key in self.done and not (successes_only and self.done[key]["error"])

    def add(self, key: str, point: dict[str, str], outcome: dict[str, Any]) -> None:
        """Append one finished task and force it out of the process."""
        entry = {"key": key, "settings": point, **outcome}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self.done[key] = entry

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_table(path, points: list[dict[str, str]], entries: list[dict[str, Any]]) -> None:
    """Write the tidy table as CSV: a row per task; columns for settings, results (dotted), error, seconds."""
    rows = []
    for point, entry in zip(points, entries, strict=True):
        rows.append(
            {**point, **_flat(entry["result"] or {}), "error": entry["error"] or "", "seconds": entry["seconds"]}
        )
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    with whole_text(path) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _flat(result: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in result.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(value) if isinstance(value, list) else value
    return flat


def split_command(text: str) -> list[str]:
    """Return the words of the command to sweep, without a leading ``bmi``.

    Raises
    ------
    BadInput
        When it is empty, or its quotes do not match.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"the command '{text}' cannot be read: {error}") from None
    if words[:1] == ["bmi"]:
        words = words[1:]
    if not words:
        raise BadInput("say which command to sweep, for example: bmi sweep 'run --headless --speed max --duration 60'")
    return words
