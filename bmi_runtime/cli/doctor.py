"""``bmi doctor``: is this machine fit for a live session?"""

import click

from bmi_runtime.cli.common import answer, answer_options


@click.command()
@click.option("--config", "path", default=None, help="Check for this configuration (bin width, units).")
@answer_options
def doctor(path, as_json):
    """Check clock, scheduler, memory lock, Qt, compiled kernels and disk; exit 1 if a live session would suffer."""
    from bmi_runtime import config as configuration
    from bmi_runtime.session import diagnosis

    checks = diagnosis.examine(configuration.load(path))
    ok = all(check["ok"] for check in checks if check["needed"])
    answer({"ok": ok, "checks": checks}, as_json, describe(checks, ok))
    if not ok:
        click.get_current_context().exit(1)


def describe(checks: list[dict], ok: bool) -> str:
    """Return the checks as lines for a person: good, missing but optional, or bad, each with what to do."""
    lines = []
    for check in checks:
        mark = "ok     " if check["ok"] else ("BAD    " if check["needed"] else "missing")
        lines.append(f"{mark}  {check['name']}: {check['found']}")
        if not check["ok"]:
            lines.append(f"         -> {check['advice']}")
    lines.append("fit for a live session" if ok else "not fit for a live session: see BAD above")
    return "\n".join(lines)
