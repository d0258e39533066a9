"""``bmi export``: a recording to NWB or to tables."""

import click

from bmi_runtime.cli.common import answer, answer_options, say

FORMATS = {
    "nwb": ("bmi_runtime.recording.nwb", "export_nwb", ".nwb"),
    "tables": ("bmi_runtime.recording.tables", "export_tables", ""),
}


@click.command()
@click.argument("recording", metavar="REC")
@click.option("--to", "form", type=click.Choice(list(FORMATS)), default="nwb", show_default=True, help="Format.")
@click.option(
    "-o", "--out", default=None, help="File (nwb) or folder (tables) to write; default: beside the recording."
)
@click.option("--subject", default=None, metavar="FILE", help="TOML file with the keys of [metadata] (nwb).")
@answer_options
def export(recording, form, out, subject, as_json):
    """Export REC to an NWB file, or to Parquet tables for pandas and polars. Existing files are never overwritten.

    Of the subject an NWB file says what the session's [metadata] or FILE says, and nothing that was not given.
    """
    import importlib
    import pathlib
    import time

    from bmi_runtime.config import read_metadata
    from bmi_runtime.errors import BadInput
    from bmi_runtime.recording.reader import Recording

    if subject and form != "nwb":
        raise BadInput("--subject is for NWB; tables carry the recording's configuration as it is")
    given = {"subject": read_metadata(subject)} if subject else {}
    module, function, suffix = FORMATS[form]
    opened = Recording(recording, past_damage=True)
    target = out or str(pathlib.Path(recording).with_suffix(suffix or ".tables"))
    begin = time.perf_counter()
    result = getattr(importlib.import_module(module), function)(opened, target, **given)
    result |= {"complete": opened.complete, "lost_bytes": opened.lost_bytes, "seconds": time.perf_counter() - begin}
    if missing := result.get("missing_metadata"):
        say(
            f"the recording lacks what archives such as DANDI require: {', '.join(missing)}; export again with "
            "--subject FILE to give them",
            as_json,
        )
    answer(result, as_json)
