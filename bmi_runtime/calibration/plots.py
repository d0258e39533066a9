"""Drawing the figures: one function per kind, colour-blind safe, the protocol written under each."""

import csv
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmi_runtime import drawing
from bmi_runtime.calibration.experiments import Table, kinds, parameters
from bmi_runtime.constants import Z_95
from bmi_runtime.drawing import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from bmi_runtime.outputs import whole_text

COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^")


def pyplot():
    """Return matplotlib's pyplot in the small print of these figures; BadInput when it is not installed."""
    small = {"font.size": 8, "axes.titlesize": 9, "legend.fontsize": 7, "figure.dpi": 110, "svg.hashsalt": "bmi"}
    return drawing.pyplot(**small)


def protocol_note(figure, text: str) -> None:
    """Write the protocol under a figure."""
    width = int(figure.get_figwidth() * 19)
    figure.text(0.01, 0.005, "\n".join(textwrap.wrap(text, width)), fontsize=6.5, color="0.35", va="bottom")


def _column(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _values(rows, key):
    return np.array([row[key] for row in rows])


def _curves(axis, rows, names, x, y, kind):
    """Draw computed lines and true markers of every parameter: quantities x and y are prefixes of the columns."""
    for name, colour, marker in zip(names, COLOURS, MARKERS):
        own = sorted(_column(rows, kind=kind, parameter=name), key=lambda row: row["rate"])

        def column(prefix, which, own=own):
            return _values(own, "rate") if prefix == "rate" else _values(own, prefix.format(which))

        axis.plot(column(x, "closed_form"), column(y, "closed_form"), color=colour, lw=1.1, label=name)
        axis.plot(column(x, "exact"), column(y, "exact"), color=colour, lw=1.0, ls=(0, (3, 2)))
        axis.plot(column(x, "true"), column(y, "true"), marker, mfc="none", color=colour, ms=5)
    axis.set(xscale="log", yscale="log")


ERROR, TIME = "error_{}", "time_{}_s"


def tradeoff_figure(number: int, table: Table, noise: Table, note: str):
    """Figures 3 and 5: error, convergence time and learning rate against each other, and the noise variance."""
    plt = pyplot()
    figure = plt.figure(figsize=(9.5, 9.4))
    grid = figure.add_gridspec(4, 6, height_ratios=[1.7, 1.25, 0.7, 0.7], hspace=0.55, wspace=1.1,
                               left=0.075, right=0.98, top=0.94, bottom=0.115)  # fmt: skip
    names, kind = parameters(table.extra["protocol"]), "all channels"
    _three_dimensional(figure.add_subplot(grid[0, :3], projection="3d"), table.rows, names, kind)
    labels = {ERROR: "steady error variance", TIME: "convergence time (s)", "rate": "learning rate s"}
    for place, (x, y) in ((grid[0, 3:], ("rate", ERROR)), (grid[1, :3], ("rate", TIME)), (grid[1, 3:], (TIME, ERROR))):
        axis = figure.add_subplot(place)
        _curves(axis, table.rows, names, x, y, kind)
        axis.set(xlabel=labels[x], ylabel=labels[y])
        if y is ERROR and x == "rate":
            axis.legend(handles=_handles(names), loc="best")
    for column, rate in enumerate(sorted({row["rate"] for row in noise.rows})):
        _noise_panels(figure, grid, column, _column(noise.rows, rate=rate), rate, noise.extra["truth"])
    figure.text(0.012, 0.955, "A", weight="bold", size=12)
    figure.text(0.012, 0.44, "B", weight="bold", size=12)
    figure.suptitle(f"Figure {number}. Computed and true error and convergence time, continuous features", size=10)
    protocol_note(figure, note)
    return figure


def _handles(names):
    """Return the legend of parameters and line styles."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, label=name) for name, colour in zip(names, COLOURS)]
    return [
        *handles,
        Line2D([], [], color="0.3", label="computed, closed form"),
        Line2D([], [], color="0.3", ls=(0, (3, 2)), label="computed, exact"),
        Line2D([], [], color="0.3", marker="o", mfc="none", ls="", label="true (closed loop)"),
    ]


def _three_dimensional(axis, rows, names, kind):
    """Draw rate, time and error against each other, seen across the curves, with their shadows on floor and walls."""
    ends = {}
    for key in ("rate", TIME, ERROR):
        values = [np.log10(_values(rows, key.format(which))) for which in ("closed_form", "true")]
        every = np.concatenate([each[np.isfinite(each)] for each in values])
        ends[key] = every.min() - 0.2, every.max() + 0.2
    for name, colour, marker in zip(names, COLOURS, MARKERS):
        own = sorted(_column(rows, kind=kind, parameter=name), key=lambda row: row["rate"])
        for which, style in (
            ("closed_form", {"lw": 1.4}),
            ("true", {"ls": "", "marker": marker, "mfc": "none", "ms": 5}),
        ):
            x, y, z = (np.log10(_values(own, key.format(which))) for key in ("rate", TIME, ERROR))
            axis.plot(x, y, z, color=colour, **style)
            if which == "closed_form":
                shadow = {"color": colour, "lw": 0.8, "alpha": 0.35}
                axis.plot(x, y, np.full_like(z, ends[ERROR][0]), **shadow)
                axis.plot(x, np.full_like(y, ends[TIME][1]), z, **shadow)
                axis.plot(np.full_like(x, ends["rate"][1]), y, z, **shadow)
    for which, key, label in (("x", "rate", "learning rate"), ("y", TIME, "time (s)"), ("z", ERROR, "error variance")):
        low, high = ends[key]
        ticks = np.arange(np.ceil(low), np.floor(high) + 1, 2 if high - low > 4 else 1)
        axis.set(**{f"{which}lim": (low, high), f"{which}ticks": ticks, f"{which}label": label})
        axis.set(**{f"{which}ticklabels": [f"$10^{{{int(tick)}}}$" for tick in ticks]})
    axis.tick_params(pad=-1, labelsize=7)
    axis.view_init(18, -135)
    axis.set_box_aspect((1.5, 1.5, 1.0), zoom=1.15)


def _noise_panels(figure, grid, column, rows, rate, truth):
    time = _values(rows, "time_s")
    for level, (row, end) in enumerate(((2, time[-1]), (3, 15.0))):
        axis = figure.add_subplot(grid[row, 2 * column : 2 * column + 2])
        axis.axhline(truth, color="0.4", lw=0.8, ls="--")
        axis.plot(time, _values(rows, "channel_0"), color=COLOURS[5], lw=0.7, label="one channel")
        axis.plot(time, _values(rows, "mean"), color=COLOURS[0], lw=1.2, label="mean of channels")
        axis.set_xlim(0, end)
        if level == 0:
            axis.set_title(f"s = {rate:g}: ends at {rows[-1]['mean']:.4f}")
        else:
            axis.set_xlabel("time (s)")
        if column == 0:
            axis.set_ylabel("noise variance")
        if level == 0 and column == 2:
            axis.legend(loc="upper right")


def spikes_figure(number: int, tables: dict[str, Table], note: str):
    """Figure 6: error and convergence time against the learning rate for spikes, periodic and random targets."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 4, figsize=(10.5, 5.8))
    figure.subplots_adjust(left=0.065, right=0.985, top=0.88, bottom=0.215, hspace=0.42, wspace=0.36)
    for row, (order, table) in enumerate(tables.items()):
        protocol = table.extra["protocol"]
        for column, kind in enumerate(kinds(protocol)):
            for offset, (quantity, label) in enumerate(
                ((ERROR, "steady error variance"), (TIME, "convergence time (s)"))
            ):
                axis = axes[row, 2 * offset + column]
                _curves(axis, table.rows, parameters(protocol), "rate", quantity, kind)
                axis.set_title(f"{order}, {kind}")
                axis.set(xlabel="learning rate r" if row else "", ylabel=label if column == 0 else "")
    figure.legend(handles=_handles(parameters(protocol)), loc="lower center", ncols=6, bbox_to_anchor=(0.5, 0.095))
    for letter, y in (("A", 0.9), ("B", 0.5)):
        figure.text(0.01, y, letter, weight="bold", size=12)
    figure.suptitle(f"Figure {number}. Computed and true error and convergence time, spikes", size=10)
    protocol_note(figure, note)
    return figure


def profiles_figure(number: int, table: Table, symbol: str, note: str):
    """Figures 4 and 7: one unit's weights over time with the computed 95 % bounds."""
    plt = pyplot()
    rates = sorted({row["rate"] for row in table.rows})
    figure, axes = plt.subplots(3, len(rates), figsize=(10, 5.6), sharex="col", sharey="row")
    figure.subplots_adjust(left=0.065, right=0.985, top=0.88, bottom=0.17, hspace=0.12, wspace=0.06)
    truth = table.extra["protocol"].weights[table.extra["unit"]]
    for column, rate in enumerate(rates):
        rows = _column(table.rows, rate=rate)
        time, sd = _values(rows, "time_s"), table.extra["sd"][rate]
        for i, name in enumerate(("baseline", "gain_x", "gain_y")):
            axis = axes[i, column]
            axis.axhspan(truth[i] - Z_95 * sd[i], truth[i] + Z_95 * sd[i], color=COLOURS[4], alpha=0.3, lw=0)
            axis.axhline(truth[i], color="0.2", lw=0.8)
            axis.plot(time, _values(rows, name), color=COLOURS[0], lw=0.7)
            if column == 0:
                axis.set_ylabel(name.replace("_", " "))
        axes[0, column].set_title(
            f"{'ABC'[column]}   {symbol} = {rate:g}: {100 * table.extra['coverage'][rate]:.1f} % inside"
        )
        axes[2, column].set_xlabel("time (s)")
    widest = table.extra["sd"][rates[-1]]
    for i in range(3):
        axes[i, 0].set_ylim(truth[i] - 3.5 * widest[i], truth[i] + 3.5 * widest[i])
    figure.suptitle(
        f"Figure {number}. Adaptation of one unit's weights (blue), truth (black), computed 95 % bounds", size=10
    )
    protocol_note(figure, note)
    return figure


def schedule_figure(table: Table, note: str):
    """The best schedule against fixed rates: on the trade-off plot, and over time."""
    plt = pyplot()
    figure, (tradeoff, course) = plt.subplots(1, 2, figsize=(9, 3.9))
    figure.subplots_adjust(left=0.08, right=0.985, top=0.88, bottom=0.23, wspace=0.25)
    for kind, colour, marker in (("fixed", COLOURS[0], "o"), ("schedule", COLOURS[2], "s")):
        rows = _column(table.rows, kind=kind)
        label = "fixed rates" if kind == "fixed" else "best schedules, ending at the same rates"
        tradeoff.loglog(
            _values(rows, "convergence_s"), _values(rows, "steady_error"), marker + "-", color=colour, ms=4, label=label
        )
    tradeoff.set(xlabel="convergence time (s)", ylabel="steady mean squared error", title="the trade-off")
    tradeoff.legend()
    rates = sorted({rate for _, rate in table.extra["traces"]})
    for rate in rates[::2]:
        error = table.extra["traces"]["fixed", rate]
        course.loglog(np.arange(1, len(error)) * table.extra["bin_s"], error[1:], color=COLOURS[0], lw=0.8,
                      label="fixed rates" if rate == rates[0] else None)  # fmt: skip
    error = table.extra["traces"]["schedule", rates[2]]
    course.loglog(np.arange(1, len(error)) * table.extra["bin_s"], error[1:], color=COLOURS[2], lw=2,
                  label=f"schedule with floor {rates[2]:.2g}, predicted")  # fmt: skip
    course.loglog(
        *table.extra["simulated"], "s", mfc="none", color=COLOURS[1], ms=4, label="schedule, live filter simulated"
    )
    course.set(xlabel="time (s)", ylabel="mean squared error", title="over time", xlim=(0.05, 300), ylim=(2e-4, 4))
    course.legend(loc="lower left")
    protocol_note(figure, note)
    return figure


def save(figure, folder: pathlib.Path, stem: str) -> list[pathlib.Path]:
    """Write a figure as PNG and SVG, the same bytes each time, and close it; return both paths.

    Parameters
    ----------
    figure : matplotlib Figure
    folder : Path
        Made if missing.
    stem : str
        Of the files' names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{stem}.{kind}" for kind in ("png", "svg")]
    _save_png(figure, files[0])
    figure.savefig(files[1], metadata={"Date": None})
    pyplot().close(figure)
    return files


def save_table(path: pathlib.Path, rows: Sequence[Mapping[str, Any]], digits: int) -> pathlib.Path:
    """Write rows as CSV, floats with so many significant digits; return the path."""
    with whole_text(path) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: v if isinstance(v, str | int) else f"{float(v):.{digits}g}" for k, v in row.items()} for row in rows
        )
    return path


def _save_png(figure, path) -> None:
    """Save a figure as a small PNG (an adaptive palette of 256 colours)."""
    from PIL import Image

    figure.savefig(path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
