"""The figure `real`: predicted against achieved scatter of the weights on recordings or recorded sessions."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.calibration.plots import COLOURS, protocol_note, pyplot, save, save_table
from bmi_runtime.calibration.recordings import RATES, Comparison, compare, standardised
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.calibration.statistics import MEMORIES_S, pilot_statistics

NOTE = (
    "The live adaptive filter run along each recording from the weights that fit it best (24 busiest units, velocity "
    "divided by its standard deviation); variance of the weights around their mean over its prediction, summed over a "
    "unit's weights, after three memories or a fifth of the recording. Dots are units, bars the median. Left of each "
    "pair: the closed form, which takes scores as white; right: with the recording's own score autocovariance. Grey: "
    "0.85 to 1.15."
)


def draw_real(
    named: Sequence[tuple[str, Pilot]], folder: pathlib.Path, advance: Callable[[str], object]
) -> tuple[list[pathlib.Path], list[dict]]:
    """Compare on every recording at every rate; return the files written (PNG, SVG, two CSV) and the table's rows.

    Parameters
    ----------
    named : sequence of (str, Pilot)
    folder : path
        Made if missing.
    advance : callable
        Called `len(RATES)` times a recording.
    """
    comparisons = [item for name, pilot in named for item in compare(name, pilot, advance=advance)]
    rows = [item.row() for item in comparisons]
    files = save(_figure(comparisons, [name for name, _ in named]), folder, "real")
    files.append(save_table(folder / "real.csv", rows, digits=4))
    statistics = [_statistics(name, pilot) for name, pilot in named]
    files.append(save_table(folder / "real_statistics.csv", statistics, digits=4))
    return files, rows


def recorded(paths: Sequence[str], likelihood: str | None = None) -> list[tuple[str, Pilot]]:
    """Return the recordings of some files, by name."""
    return [(pathlib.Path(path).stem, standardised(path, likelihood)) for path in paths]


def _figure(comparisons: list[Comparison], names: list[str]):
    plt = pyplot()
    figure, axes = plt.subplots(
        len(names), 1, figsize=(7.5, 1.6 + 1.9 * len(names)), squeeze=False, sharex=True, sharey=True
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.axhspan(0.85, 1.15, color="0.88", lw=0)
        axis.axhline(1.0, color="0.5", lw=0.8)
        for item in (item for item in comparisons if item.name == name):
            place = RATES.index(item.rate)
            for offset, predicted, colour in ((-0.17, "closed", COLOURS[1]), (0.17, "measured", COLOURS[0])):
                ratio = np.sort(item.ratio(predicted))
                spread = np.linspace(-0.1, 0.1, len(ratio))
                axis.plot(place + offset + spread, ratio, ".", color=colour, ms=3)
                middle = float(np.median(ratio))
                axis.plot([place + offset - 0.13, place + offset + 0.13], [middle] * 2, color=colour, lw=2)
                axis.annotate(f"{middle:.2f}", (place + offset, 0.97), xycoords=("data", "axes fraction"), ha="center",
                              va="top", fontsize=7, color=colour)  # fmt: skip
        axis.set(yscale="log", ylabel="achieved / predicted")
        axis.set_title(name, loc="left")
        axis.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
        axis.minorticks_off()
    axes[-1, 0].set_xticks(range(len(RATES)), [f"{rate:g}" for rate in RATES])
    axes[-1, 0].set_xlabel("learning rate per bin")
    figure.tight_layout(rect=(0, 0.5 / figure.get_figheight(), 1, 1))
    protocol_note(figure, NOTE)
    return figure


def _statistics(name: str, pilot: Pilot) -> dict:
    """Return a line of what a recording's units are like; depths are per standard deviation of the velocity."""
    found = pilot_statistics(MeasuredScores(fit_usable(pilot)))
    row: dict = {"recording": name, "bin_s": pilot.bin_s, "seconds": len(pilot.states) * pilot.bin_s}
    for key in ("rate_hz", "depth", "dispersion"):
        for percentile, value in zip((10, 50, 90), np.atleast_1d(found.get(key, [np.nan] * 3)), strict=True):
            row[f"{key}_{percentile}"] = float(value)
    inflation = np.asarray(found["inflation"])
    row |= {f"inflation_{memory:g}_s": float(value) for memory, value in zip(MEMORIES_S, inflation[:, 1], strict=True)}
    return row | {"noise_correlation": found["noise_correlation"]}
