"""One ``bmi`` command of a sweep, run in this process."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import Any

from bmi_runtime.errors import BmiError


def run_task(arguments: list[str]) -> dict[str, Any]:
    """Run one ``bmi`` command in this process; return its JSON, or the sentence with which it failed. Never raises."""
    import click

    from bmi_runtime.cli.group import bmi

    out, begin = io.StringIO(), time.perf_counter()
    failure = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            bmi.main(arguments, standalone_mode=False)
    except click.exceptions.Exit as stop:
        failure = f"exit code {stop.exit_code}" if stop.exit_code else None
    except click.ClickException as error:
        failure = error.format_message()
    except BmiError as error:
        failure = str(error)
    except Exception as error:  # one task that fails must not lose the others
        failure = f"{type(error).__name__}: {error}"
    lines = out.getvalue().strip().splitlines()
    result = None
    if lines:
        with contextlib.suppress(ValueError):
            result = json.loads(lines[-1])
    if result is None and failure is None:
        failure = "the command printed no JSON"
    return {"result": result, "error": failure, "seconds": time.perf_counter() - begin}
