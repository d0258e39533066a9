"""``bmi inspect`` of files that are not recordings of ours: spike trains and binned counts, and what is odd in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHOWN = 12  # entries of a list
FIRST_STRETCHES = 5  # of a recording, that are listed


def inspect_spikes(file: Path, tick_s: float | None = None) -> tuple[dict[str, Any], Any]:
    """Return the facts of a file of spike trains, and a view of them for a person."""
    from bmi_runtime.sources.oddities import of_spikes
    from bmi_runtime.sources.spike_file import distinct, read_spikes

    found = read_spikes(file, tick_s)
    number, whole = found.spikes, found.counts is None or bool((found.counts % 1 == 0).all())
    recorded_s = sum(stop - start for start, stop in found.segments_s)
    rates = [count / recorded_s if recorded_s else 0.0 for count in number]
    facts: dict[str, Any] = {
        "format": found.kind,
        "units": len(number),
        "spikes": sum(number) if whole else None,
        "recorded_s": recorded_s,
        "segments_s": [list(segment) for segment in found.segments_s],
        "rates_hz": dict(zip(distinct(found.names), rates, strict=True)) if whole else {},
        "signals": found.signals,
        "events": found.events,
        "notes": found.notes,
        "odd": of_spikes(found),
    }
    return facts, _view(file, _spike_rows(facts, sorted(rates) if whole else []), facts["odd"])


def _spike_rows(facts, rates):
    yield "format", facts["format"]
    spans = facts["segments_s"]
    segments = [f"{start:.3f} to {stop:.3f} s" for start, stop in spans[:FIRST_STRETCHES]]
    if len(spans) > FIRST_STRETCHES:
        segments.append(f"... {len(spans)} stretches in all, the last to {spans[-1][1]:.3f} s")
    yield "recorded", f"{facts['recorded_s']:.3f} s ({', '.join(segments)})"
    yield "units", str(facts["units"])
    yield "spikes", "none: these are features" if facts["spikes"] is None else f"{facts['spikes']:,}"
    if rates:
        yield "rates", f"{rates[0]:.2f} to {rates[-1]:.2f} Hz, median {rates[len(rates) // 2]:.2f} Hz"
    yield "signals", _shortened(facts["signals"])
    yield "events", _shortened([f"{name} {count:,}" for name, count in facts["events"].items()])
    yield from facts["notes"].items()


def _shortened(texts: list[str]) -> str:
    return "; ".join(texts[:SHOWN]) + (f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def inspect_bins(file: Path, mapping: Path | None = None) -> tuple[dict[str, Any], Any]:
    """Return the facts of binned counts with kinematics, and a view of them for a person."""
    import numpy as np

    from bmi_runtime.sources.datafile import beside, load_recording, read_mat
    from bmi_runtime.sources.oddities import of_bins

    layout = None
    if file.suffix.lower() == ".mat":
        layout, recording = read_mat(file, mapping or beside(file))
    else:
        recording = load_recording(file, mapping=mapping)
    speed = np.linalg.norm(recording.velocity, axis=1)
    rates = recording.counts.mean(axis=0) / recording.bin_s
    odd = of_bins(recording)
    facts = {
        "format": file.suffix.lower().removeprefix(".") or "folder",
        "mapping": layout.name if layout else None,
        "bins": recording.n_bins,
        "bin_s": recording.bin_s,
        "duration_s": recording.n_bins * recording.bin_s,
        "units": recording.n_units,
        "rates_hz": rates,
        "trial_starts": int(recording.trial_start.sum()),
        "velocity_unit": recording.velocity_unit,
        "position_unit": recording.position_unit if recording.position is not None else None,
        "origins": recording.origins,
        "fastest": float(np.nanmax(speed)),
        "odd": odd,
    }
    return facts, _view(file, _bin_rows(facts), odd)


def _bin_rows(facts):
    yield "format", f".{facts['format']}" + (f", {facts['mapping']}" if facts["mapping"] else "")
    yield "bins", f"{facts['bins']:,} of {facts['bin_s'] * 1e3:g} ms, {facts['duration_s']:.2f} s"
    rates = sorted(facts["rates_hz"])
    rate = f"{rates[0]:.2f} to {rates[-1]:.2f} Hz, median {rates[len(rates) // 2]:.2f} Hz"
    yield "units", f"{facts['units']}, {rate}"
    yield "starts", f"{facts['trial_starts']:,} (bins at which the trajectory starts again)"
    origin = {what: f" ({name})" for what, name in facts["origins"].items()}
    derived = " (the change of the position)" if "position" in origin else ""
    yield "velocity", f"in {facts['velocity_unit']}, fastest {facts['fastest']:.3g}{origin.get('velocity', derived)}"
    yield "position", f"in {facts['position_unit']}{origin.get('position', '')}" if facts["position_unit"] else "none"


def _view(file: Path, rows, odd: list[str]):
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, expand=False)
    for name, text in rows:
        if text:
            table.add_row(name, Text(str(text)))
    table.add_row("odd", Text("\n".join(odd), style="yellow") if odd else "nothing")
    return Group(Text(str(file), style="bold", overflow="fold"), table)
