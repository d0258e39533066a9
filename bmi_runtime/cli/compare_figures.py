"""The figure of ``bmi compare``: every decoder with its interval."""

from __future__ import annotations

import pathlib
from typing import Any

from bmi_runtime.drawing import BLUE, GREY
from bmi_runtime.errors import BadInput

OURS = ("history", "adaptive", "point-process")
CLOSED = {  # measure: (label, scale)
    "success_rate": ("success rate", 1.0),
    "time_to_target_s": ("time to target (s)", 1.0),
    "path_efficiency": ("path efficiency", 1.0),
    "throughput_bits_s": ("Fitts throughput (bits/s)", 1.0),
    "bit_rate_bits_s": ("achieved bit rate (bits/s)", 1.0),
}


def check_writable(path: str) -> None:
    """Refuse a figure that could not be written, before the work.

    Raises
    ------
    BadInput
        When matplotlib is absent, does not write such files, or the folder is not there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("a figure needs matplotlib; pip install 'bmi-runtime[plots]'") from None
    kinds = Figure().canvas.get_supported_filetypes()
    file = pathlib.Path(path)
    if file.suffix.lower().removeprefix(".") not in kinds:
        raise BadInput(f"the figure cannot be written to {path}: give it the suffix .png, .pdf or .svg")
    if not file.parent.is_dir():
        raise BadInput(f"the figure cannot be written to {path}: there is no folder {file.parent}")


def draw(result: dict[str, Any], path: str) -> str:
    """Write the figure of a comparison; return its path.

    Raises
    ------
    BadInput
        When matplotlib is absent or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("a figure needs matplotlib; pip install 'bmi-runtime[plots]'") from None
    panels = _open_panels(result) if result["mode"] == "open-loop" else _closed_panels(result)
    rows = max(len(points) for _, points in panels)
    wide = 4.2 if result["mode"] == "open-loop" else 2.3
    figure = Figure(figsize=(1.6 + wide * len(panels), 1.1 + 0.28 * rows), layout="constrained")
    shared = result["mode"] != "open-loop"
    for axes, (label, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(axes, label, points, named=not shared or axes.get_subplotspec().colspan.start == 0)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise BadInput(f"the figure cannot be written to {path}: {error}") from None
    return str(path)


def _open_panels(result):
    return [
        (f"held-out velocity R² (95 % interval)\n{name}", [(r["decoder"], [], r["r2"], *r["interval"]) for r in rows])
        for name, rows in result["tables"].items()
    ]


def _closed_panels(result):
    import numpy as np

    from bmi_runtime.analysis.metrics import paired_interval

    panels = []
    for key, (label, scale) in CLOSED.items():
        points = []
        for row in result["table"]:
            values = scale * np.array([run[key] for run in row["runs"]], dtype=float)
            points.append((row["decoder"], values, *paired_interval(values, np.zeros_like(values))))
        panels.append((label, points))
    return panels


def _panel(axes, label, points, named: bool) -> None:
    """Draw one line per decoder: single subjects as light dots, mean and 95 % interval on top."""
    for height, (name, values, mean, low, high) in enumerate(points):
        colour = BLUE if name in OURS else GREY
        axes.plot(values, [height] * len(values), "o", markersize=3, color=colour, alpha=0.3)
        if low == low:
            axes.plot([low, high], [height, height], color=colour, linewidth=2)
        axes.plot([mean], [height], "o" if name in OURS else "s", markersize=6, color=colour)
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_yticks(range(len(points)), [point[0] for point in points] if named else [""] * len(points))
    axes.set_xlabel(label, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
