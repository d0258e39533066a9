"""``bmi lineage``: the sessions of a folder as a chain."""

import datetime
from pathlib import Path

import click

from bmi_runtime.cli.common import answer, answer_options, say


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Draw the chain into this .png.")
@answer_options
def lineage(folder: Path, out: Path | None, as_json: bool):
    """The sessions of FOLDER in their order: what was carried, how it went, how stable the array and its units were."""
    from bmi_runtime.session.lineage import lineage as chain

    found = chain(folder)
    if out:
        _draw(found, out)
        say(f"wrote {out}", as_json)
    answer(found, as_json, _text(found))


def _text(found: dict) -> str:
    lines = [f"{len(found['sessions'])} sessions"]
    for one in found["sessions"]:
        when = datetime.datetime.fromtimestamp(one["created_s"]).strftime("%Y-%m-%d %H:%M")
        success = "no trial" if one["success_rate"] is None else f"{100 * one['success_rate']:.0f} % of {one['trials']}"
        parts = [f"{when}  {one['file']}: {one['duration_s']:.0f} s, {success}"]
        parts += [f"began with {one['carried_from']}"] if one["carried_from"] else []
        if one["score"] is not None:
            parts.append(f"against the one before: score {one['score']:.1f} (p = {one['p']:.2g})")
        lines.append(", ".join(parts))
    moved = sorted((u for u in found["units"] if u["change"] is not None), key=lambda u: -u["change"])
    if moved:
        named = ", ".join(f"{u['unit']} ({u['change']:.2f})" for u in moved[:5])
        lines.append(
            f"weights change by {found['carry_sd']:.2g} a session (a value for encoding.carry_sd); most: {named}"
        )
    lines += [f"not read: {one['file']}: {one['why']}" for one in found["unread"]]
    return "\n".join(lines)


def _draw(found: dict, out: Path) -> None:
    from bmi_runtime.drawing import pyplot, save

    figure, (above, below) = pyplot().subplots(2, 1, sharex=True, figsize=(8, 5), constrained_layout=True)
    numbers = range(1, len(found["sessions"]) + 1)
    rates = [one["success_rate"] for one in found["sessions"]]
    above.plot(numbers, [float("nan") if rate is None else 100 * rate for rate in rates], "o-")
    above.set_ylabel("success (%)")
    above.set_ylim(0, 105)
    scores = [one["score"] for one in found["sessions"]]
    below.plot(numbers, [float("nan") if score is None else score for score in scores], "o-")
    below.axhline(1.0, linestyle=":", color="grey")
    below.set_ylabel("change of the array\nsince the session before")
    below.set_xlabel("session")
    save(figure, out)
