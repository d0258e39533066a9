"""The panels: one file each, one row each in `REGISTRY`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata

from bmi_runtime.errors import BadInput, described, is_fault_of_part

GROUP = "bmi_runtime.panels"
"""Entry points of this group add panels from other packages: ``name = module:Class``."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Where a panel comes from."""

    module: str
    name: str


REGISTRY = {
    "subject": Row("gui.panels.subject", "SubjectPanel"),
    "raster": Row("gui.panels.raster", "RasterPanel"),
    "array": Row("gui.panels.array_map", "ArrayMapPanel"),
    "psth": Row("gui.panels.psth", "PsthPanel"),
    "neural_state": Row("gui.panels.psth", "NeuralStatePanel"),
    "trajectories": Row("gui.panels.trajectories", "TrajectoriesPanel"),
    "tuning": Row("gui.panels.tuning", "TuningPanel"),
    "traces": Row("gui.panels.traces", "TracesPanel"),
    "error": Row("gui.panels.decoder_error", "DecoderErrorPanel"),
    "performance": Row("gui.panels.performance", "PerformancePanel"),
    "latency": Row("gui.panels.latency", "LatencyPanel"),
    "health": Row("gui.panels.health", "HealthPanel"),
    "events": Row("gui.panels.events", "EventsPanel"),
    "controls": Row("gui.panels.controls", "ControlsPanel"),
    "calibration": Row("gui.panels.calibration", "CalibrationPanel"),
    "summary": Row("gui.panels.summary", "SummaryPanel"),
    "recordings": Row("gui.panels.recordings", "RecordingsPanel"),
    "replay": Row("gui.panels.replay", "ReplayPanel"),
    "couplings": Row("gui.panels.couplings", "CouplingsPanel"),
    "causal": Row("gui.panels.causal", "CausalPanel"),
    "steady_states": Row("gui.panels.steady_states", "SteadyStatesPanel"),
    "density": Row("gui.panels.density", "DensityPanel"),
}


def available() -> dict[str, Row]:
    """Return the registry's rows, then those of other packages."""
    rows = dict(REGISTRY)
    for point in importlib.metadata.entry_points(group=GROUP):
        module, _, name = point.value.partition(":")
        rows.setdefault(point.name, Row(module, name))
    return rows


def panel_class(row: Row):
    """Return the class of a row."""
    return getattr(importlib.import_module(row.module), row.name)


def _check(panel, context) -> None:
    """Refuse what the console cannot show and refresh."""
    from gui.panels.base import Panel

    if not isinstance(panel, Panel) or getattr(panel, "context", None) is not context:
        raise BadInput("it is not a gui.panels.base.Panel whose __init__ calls Panel.__init__(context)")
    for attribute in ("title", "about"):
        if not isinstance(getattr(panel, attribute), str):
            raise BadInput(f"its {attribute} is {getattr(panel, attribute)!r}: it must be text")
    if not panel.refresh_hz > 0.0:
        raise BadInput(f"its refresh_hz is {panel.refresh_hz}: above 0 is wanted")


def made(name: str, row: Row, context):
    """Return the panel of a row; one of another package that cannot be made is a panel that says why."""
    try:
        panel = panel_class(row)(context)
        _check(panel, context)
        return panel
    except BaseException as error:
        if name in REGISTRY or not is_fault_of_part(error):
            raise
        why = described(error)
    from gui.panels.base import failed_panel

    return failed_panel(context, name, f"the panel '{name}' of {row.module} cannot be shown: {why}")
