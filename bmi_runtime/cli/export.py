"""``bmi export``: a recording to NWB or to tables."""

import click

from bmi_runtime.cli.common import answer, answer_options

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
@answer_options
def export(recording, form, out, as_json):
    """Export REC to an NWB file, or to Parquet tables for pandas and polars. Nothing is ever written over."""
    import importlib
    import pathlib
    import time

    from bmi_runtime.recording.reader import Recording

    module, function, suffix = FORMATS[form]
    opened = Recording(recording, past_damage=True)
    target = out or str(pathlib.Path(recording).with_suffix(suffix or ".tables"))
    begin = time.perf_counter()
    result = getattr(importlib.import_module(module), function)(opened, target)
    result |= {"complete": opened.complete, "lost_bytes": opened.lost_bytes, "seconds": time.perf_counter() - begin}
    answer(result, as_json)
