"""``bmi inspect``: what is in a recording or data file, and what is odd."""

import importlib
from pathlib import Path

import click
from rich.markup import escape

from bmi_runtime.cli.common import answer, answer_options
from bmi_runtime.errors import BadInput

RECORDING = "bmi_runtime.cli.inspect:inspect_recording"
SPIKES, BINS = "bmi_runtime.cli.inspect_data:inspect_spikes", "bmi_runtime.cli.inspect_data:inspect_bins"
INSPECTORS = {
    ".mcap": RECORDING,
    ".npz": BINS,
    **dict.fromkeys((".mat", ".csv", ".tsv", ".parquet"), BINS),
    **dict.fromkeys((".nwb", ".gdf"), SPIKES),
}
"""Which function looks into files of a suffix, as ``module:function``; of all others that of spikes. It takes a path
and returns the facts (a dict that JSON can hold) and something that rich can print."""

MCAP_MAGIC = b"\x89MCAP0\r\n"


@click.command()
@click.argument("file", metavar="REC", type=click.Path(path_type=Path))
@click.option("--mapping", type=click.Path(path_type=Path), help="A TOML file: what is what; shows what is decoded.")
@click.option("--tick-s", type=float, default=None, help="What a tick of a .gdf file is, s.  [default: 0.001]")
@answer_options
def inspect(file: Path, mapping: Path | None, tick_s: float | None, as_json: bool):
    """Show what is in REC (a recording, whole or truncated, or a data file), and what is odd."""
    inspector = _inspector(file)
    if mapping is not None:
        if inspector == RECORDING:
            raise BadInput(f"{file}: a recording says itself what is what; leave --mapping out")
        inspector = BINS
    module, _, function = inspector.partition(":")
    if tick_s is not None and inspector != SPIKES:
        raise BadInput(f"{file}: --tick-s is for .gdf files; this one says itself what its times are")
    settings = {"mapping": mapping} if mapping else {"tick_s": tick_s} if tick_s is not None else {}
    facts, view = getattr(importlib.import_module(module), function)(file, **settings)
    if as_json:
        answer(facts, as_json)
        return
    from rich.console import Console

    Console().print(view)


def has_reader(file: Path) -> bool:
    """Return whether another package brings a reader of files of this suffix."""
    from bmi_runtime.sources.datafile import READERS

    return file.suffix.lower().removeprefix(".") in READERS.names()


def _inspector(file: Path) -> str:
    """Return which function looks into `file`: by its first bytes, else by its suffix."""
    if file.is_dir():
        return SPIKES
    if not file.is_file():
        raise BadInput(f"{file} is not a file; give a recording, a data file or an acquisition system's folder")
    with open(file, "rb") as opened:
        if opened.read(len(MCAP_MAGIC)) == MCAP_MAGIC:
            return RECORDING
    if file.suffix.lower() in (".h5", ".hdf5"):
        from bmi_runtime.sources.array_file import holds_spike_times

        return SPIKES if holds_spike_times(file) else BINS
    return INSPECTORS.get(file.suffix.lower()) or (BINS if has_reader(file) else SPIKES)


def inspect_recording(file: Path):
    """Return the facts of a recording and a view of them for a person."""
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.recording.summary import summarise

    facts = summarise(Recording(file, past_damage=True))
    return facts, _view(file, facts)


def _view(file: Path, facts: dict):
    from rich.console import Group

    parts = [_overview(file, facts)]
    if facts["blocks"]:
        parts.append(_blocks(facts))
    if facts["latency_us"]:
        parts.append(_latencies(facts))
    parts.append(_provenance(facts))
    return Group(*parts)


def _table(title: str, *columns: str):
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", show_header=bool(columns), expand=False)
    for column in columns or ("", ""):
        table.add_column(column, justify="right" if columns and column != columns[0] else "left")
    return table


def _overview(file: Path, facts: dict):
    """Return the table of what was recorded."""
    table = _table(str(file))
    for name, text in _overview_rows(facts):
        if text:
            table.add_row(name, text)
    return table


def _overview_rows(facts: dict):
    yield "state", _state(facts)
    for offset, size_bytes, reason in facts["damage"]:
        yield "damage", f"[red]byte {offset}, {size_bytes} bytes: {escape(reason)}[/red]"
    bin_text = f" of {facts['bin_s'] * 1e3:g} ms" if facts["bin_s"] else ""
    yield "bins", f"{facts['bins']:,}{bin_text}, {facts['duration_s']:.3f} s, {facts['size_bytes'] / 1e6:.2f} MB"
    if facts["missing_bins"]:
        yield "missing bins", f"[red]{facts['missing_bins']:,} between the first and the last[/red]"
    rate = f", {facts['mean_rate_hz']:.2f} Hz on average" if facts["mean_rate_hz"] is not None else ""
    beside = f", and {facts['features']} features" if facts["features"] else ""
    yield "units", f"{facts['units']} ({'features' if facts['continuous'] else 'spike counts'}){rate}{beside}"
    yield "brain state", ", ".join(facts["axes"]) + (", and a click" if facts["click"] else "")
    success = f" ({facts['success_rate']:.1%})" if facts["success_rate"] is not None else ""
    yield "trials", f"{facts['trials']}: {facts['successes']} reached{success}, {facts['timeouts']} timed out"
    if facts["adapting"] is not None:
        first, last = facts["learning_rate"]
        rate = f"{last:g}" if first == last else f"{first:g} to {last:g}"
        yield "adaptation", f"on in {facts['adapting']:.1%} of bins, learning rate {rate} per bin"
    yield "safety states", _counted(facts["safety_states"])
    yield "events", _counted(facts["events"]) or "none"
    yield "commands", str(facts["commands"])
    faults = {name.replace("_", " "): count for name, count in facts["input_faults"].items() if name != "segments"}
    yield "input faults", _counted({name: count for name, count in faults.items() if count}) or "none"
    yield "messages", _counted(facts["streams"])
    if facts["odd"]:
        yield "odd", "\n".join(f"[yellow]{escape(sentence)}[/yellow]" for sentence in facts["odd"])
    for name, value in facts["metadata"].items():
        yield name.replace("_", " "), escape(", ".join(value) if isinstance(value, list | tuple) else str(value))
    if facts["parent"]:
        yield (
            "continues",
            f"{escape(str(facts['parent'].get('path')))} after bin {facts['parent'].get('last_bin_index')}",
        )
    if facts["recovered"]:
        recovered = facts["recovered"]
        yield "recovered from", f"{escape(str(recovered['source']))}, {recovered['lost_bytes']} bytes lost"


def _state(facts: dict) -> str:
    if facts["complete"]:
        return "[green]complete[/green]"
    if facts["damage"]:
        return f"[red]incomplete[/red]: {facts['lost_bytes']} bytes cannot be read (bmi recover saves the rest)"
    return "[yellow]never closed[/yellow]: the session was killed, or is still running; every byte can be read"


def _counted(counts: dict) -> str:
    return escape(", ".join(f"{name} {count:,}" for name, count in counts.items()))


def _blocks(facts: dict):
    """Return the table of the blocks."""
    columns = ("block", "s", "trials", "reached", "hits/min", "adapts", "assist", "ended by")
    table = _table("blocks", *columns)
    for row in facts["blocks"]:
        reached = f"{row['success_rate']:.0%}" if row["trials"] else "-"
        seconds = f"{row['duration_s']:.1f}" if row["duration_s"] is not None else "-"
        hits = f"{row['hits_per_minute']:.1f}" if row["trials"] else "-"
        shares = [f"{row[name]:.0%}" if row[name] is not None else "-" for name in ("adapting", "assist")]
        kind = f" ({row['kind']})" if row["name"] != row["kind"] else ""
        name = escape(f"{row['block']} {row['name']}{kind}")
        table.add_row(name, seconds, str(row["trials"]), reached, hits, *shares, row["ended"] or "-")
    return table


def _latencies(facts: dict):
    """Return the table of the time spent on a bin."""
    latency = facts["latency_us"]
    table = _table(
        f"time per bin, us ({facts['deadline_misses']} deadlines missed)", "stage", "p50", "p99", "p99.9", "max"
    )
    # The latency leaves out what the source does before the data arrive and what follows the command.
    rows = {**latency["stages"], "bin to cursor": latency}
    for name, values in rows.items():
        table.add_row(name, *(f"{values[key]:.1f}" for key in ("p50", "p99", "p99_9", "max")))
    return table


def _provenance(facts: dict):
    """Return the table of what made the recording."""
    table = _table("made by")
    for name, value in (facts["provenance"] or {"unknown": "the recording does not say"}).items():
        table.add_row(name, escape(_counted_words(value) if isinstance(value, dict) else str(value)))
    return table


def _counted_words(value: dict) -> str:
    return ", ".join(f"{name} {item}" for name, item in value.items())
