"""``bmi recover``: salvage a truncated or damaged recording."""

from pathlib import Path

import click

from bmi_runtime.cli.common import answer, answer_options


@click.command()
@click.argument("recording", metavar="REC", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file to write; REC.recovered.mcap by default.")
@answer_options
def recover(recording: Path, out: Path | None, as_json: bool):
    """Write everything that is readable in REC to a new, complete recording; REC itself is never changed."""
    from bmi_runtime.recording.recover import recover as salvage

    result = salvage(recording, out or recording.with_suffix(".recovered.mcap"))
    answer(result, as_json, _text(result))


def _text(result: dict) -> str:
    lines = [f"{result['recording']}: {result['bins']} bins"]
    if result["complete"]:
        lines.append("the recording was complete; this is a copy")
    else:
        lines.append(
            f"bytes that could not be read: {result['lost_bytes']}; bins missing in between: {result['missing_bins']}"
        )
    lines += [f"  at byte {item['offset']}, {item['size_bytes']} bytes: {item['reason']}" for item in result["damage"]]
    return "\n".join(lines)
