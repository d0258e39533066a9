"""One page: what to expect of every setting, and how the fitted world compares with the pilot."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.sessions import UNRELATED

PANELS = (
    ("hits_per_min", "hits per minute"),
    ("time_to_target_s", "time to target (s)"),
    ("path_efficiency", "path efficiency"),
    ("velocity_error_m_s", "velocity error (m/s)"),
)


def page(result: dict[str, Any], path: str) -> None:
    """Draw the answer of a rehearsal.

    Parameters
    ----------
    result : dict
        As ``bmi rehearse --json`` gives it.
    path : str
        ``.png``, ``.pdf`` or ``.svg``.

    Raises
    ------
    BadInput
        When there is no matplotlib, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("--figure needs matplotlib; install bmi-runtime[plots]") from None
    entries = result["settings"]
    names = [" ".join(f"{k.partition('.')[2]}={v}" for k, v in e["settings"].items()) or "as it is" for e in entries]
    below = 2.4 if (result["world"].get("agreement") or {}).get("decoders") else 1.2
    figure = Figure(figsize=(11, 2.8 + 0.28 * len(entries) + below), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.0 + 0.28 * len(entries), below])
    upper, lower = parts
    axes = upper.subplots(1, len(PANELS), sharey=True)
    for axis, (key, title) in zip(axes, PANELS, strict=True):
        _measure(axis, entries, key, result["recommended"]["number"])
        axis.set_xlabel(title)
    _without_the_units(axes[0], entries)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    _agreement(lower, result["world"])
    figure.suptitle(
        f"{result['pilot']}: {result['seeds']} sessions of {result['duration_s']:g} s per setting", fontsize=10
    )
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be written: {error}") from None


def _measure(axis, entries, key: str, chosen: int) -> None:
    for row, entry in enumerate(entries):
        found = entry[key]
        colour = "tab:blue" if row == chosen else "0.35"
        seeds = np.array([np.nan if v is None else v for v in found["per_seed"]], float)
        axis.plot(seeds, np.full(len(seeds), row), ".", color=colour, alpha=0.35, markersize=4)
        if found["mean"] is None:
            continue
        if found["interval"]:
            axis.plot(found["interval"], [row, row], color=colour, linewidth=1)
        if found["mean_interval"]:
            axis.plot(found["mean_interval"], [row, row], color=colour, linewidth=3)
        axis.plot([found["mean"]], [row], "o", color=colour, markersize=5)
    axis.grid(axis="x", alpha=0.3)


def _without_the_units(axis, entries) -> None:
    """Mark the hits with counts that know nothing of the target."""
    reached = [(entry[UNRELATED], row) for row, entry in enumerate(entries) if entry.get(UNRELATED) is not None]
    if reached:
        axis.plot(*zip(*reached, strict=True), "x", color="tab:red", markersize=5)
        axis.set_title("x: with counts that know nothing\nof the target", fontsize=8, color="tab:red")


def _agreement(part, world: dict[str, Any]) -> None:
    found = world.get("agreement") or {}
    decoders = found.get("decoders") or {}
    if decoders:
        left, right = part.subplots(1, 2)
        _scores(left, decoders)
    else:
        right = part.subplots()
    right.axis("off")
    subject = [
        f"{name}: {one['value']:.3g} ± {one['sd']:.2g}{' (assumed)' if one['assumed'] else ''}"
        for name, one in world["subject"].items()
    ]
    agreed = [
        f"{name}: r = {one['correlation']:.2f}"
        for name, one in found.items()
        if isinstance(one, dict) and one.get("correlation") is not None
    ]
    width = 80 if decoders else 150
    notes = [textwrap.fill(f"note: {text}", width, subsequent_indent="   ") for text in world["notes"]]
    right.text(0.0, 1.0, "\n".join([*subject, "", *agreed, "", *notes]), va="top", fontsize=8)


def _scores(axis, decoders: dict[str, Any]) -> None:
    """Draw the scores of decoders on real and on simulated counts."""
    for shift, which, colour in ((-0.2, "real", "0.35"), (0.2, "simulated", "tab:blue")):
        heights = [decoders[name][which] for name in decoders]
        axis.bar(np.arange(len(decoders)) + shift, heights, 0.38, color=colour, label=which)
    axis.set_xticks(range(len(decoders)), list(decoders))
    axis.set_ylabel("velocity R²")
    axis.set_title("decoders on the pilot's counts and on the world's", fontsize=9)
    axis.legend(fontsize=8)
