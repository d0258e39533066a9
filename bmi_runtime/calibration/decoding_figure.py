"""Figures 8 and 9: decoders fixed after some adaptation, their trajectories and errors, and the errors computed."""

import numpy as np

from bmi_runtime.calibration.experiments import Table
from bmi_runtime.calibration.plots import COLOURS, protocol_note, pyplot

ROWS = (0, 2, 3, 4, -2, -1)  # of the adaptation times: growing, then two close stops
SHOWN = {"s": (5e-5, 5e-4, 5e-3, 5e-2, 5e-1), "r": (1e-7, 1e-5, 1e-3, 1e-2, 1e-1)}
"""Rates whose trajectories are drawn: the caption's three, and more of the fast ones."""
HALF = 0.27  # m: what a panel shows, the whole workspace
STUCK = 0.02  # m: a cursor that moves less in a period is marked, or its panel would look empty


def decoding_figure(number: int, table: Table, examined: Table | None, symbol: str, note: str):
    """Draw a figure: trajectories in rows of adaptation times and colours of rates; the error against the rate,
    coloured by adaptation time; the same at close stops; the error computed and simulated over both.
    """
    plt = pyplot()
    rates = sorted({row["rate"] for row in table.rows})
    times = sorted({row["adaptation_s"] for row in table.rows})
    figure = plt.figure(figsize=(12, 9.0))
    _trajectories(figure, table, rates, times, symbol)
    grid = figure.add_gridspec(3, 2, height_ratios=[1.25, 1.0, 1.0], hspace=0.5, wspace=0.4,
                               left=0.56, right=0.945, top=0.925, bottom=0.14)  # fmt: skip
    error = _errors(table, rates, times, "rmse_m")
    _against_rate(figure.add_subplot(grid[0, :]), rates, times[:5], error[:, :5], symbol)
    _close_stops(figure.add_subplot(grid[1, 0]), rates, error[:, 4:], symbol)
    if examined is None:
        _ratio(figure.add_subplot(grid[1, 1]), rates, times, error, _errors(table, rates, times, "rmse_computed_m"))
    else:
        _units(figure.add_subplot(grid[1, 1]), examined, symbol)
    surfaces = (("simulated", error), ("computed", _errors(table, rates, times, "rmse_computed_m")))
    _surfaces(figure, grid, surfaces, rates, times, symbol)
    for letter, x, y in (("A", 0.012, 0.935), ("B", 0.525, 0.935), ("C", 0.525, 0.605), ("D", 0.525, 0.33)):
        figure.text(x, y, letter, weight="bold", size=12)
    figure.suptitle(f"Figure {number}. Decoding after adaptation is stopped and the decoder fixed", size=10)
    protocol_note(figure, note)
    return figure


def _errors(table, rates, times, column):
    """Return the errors (rates, times, realisations) in cm."""
    found: dict[tuple[float, float], list[float]] = {}
    for row in table.rows:
        found.setdefault((row["rate"], row["adaptation_s"]), []).append(100 * row[column])
    return np.array([[found[rate, time] for time in times] for rate in rates])


def _trajectories(figure, table, rates, times, symbol):
    """Draw the cursor's last period: rows of adaptation times, columns of rates, in the rate's colour."""
    chosen = [rate for rate in SHOWN[symbol] if rate in rates] or rates
    grid = figure.add_gridspec(len(ROWS), len(chosen), hspace=0.06, wspace=0.04,
                               left=0.065, right=0.49, top=0.915, bottom=0.11)  # fmt: skip
    for row, index in enumerate(ROWS):
        time = times[index]
        for column, rate in enumerate(chosen):
            axis = figure.add_subplot(grid[row, column])
            colour = COLOURS[column % len(COLOURS)]  # of the rates that are drawn, so that no two are alike
            cursor = table.extra["cursor"][rate, time]
            axis.plot(*table.extra["perfect"].T, color="0.75", lw=0.5)
            axis.plot(*cursor.T, color=colour, lw=0.6)
            if np.ptp(cursor, axis=0).max() < STUCK:
                axis.plot(*cursor[-1], "o", ms=4, color=colour, clip_on=False)
            axis.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), aspect="equal", xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(visible=True, color="0.85", lw=0.5)
            if row == 0:
                axis.set_title(f"{symbol} = {rate:g}", color=colour, size=8)
            if column == 0:
                axis.set_ylabel(f"after {time:.3g} s", size=7)
    axis.plot([0.14, 0.24], [-0.24, -0.24], color="k", lw=1.5)
    axis.text(0.19, -0.23, "10 cm", ha="center", va="bottom", size=6)


def _plain_numbers(axis):
    """Label a logarithmic axis of errors 1, 2, 5, 10: over less than a decade powers of ten leave it without labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _shades(count):
    return pyplot().get_cmap("viridis")(np.linspace(0.05, 0.9, count))


def _against_rate(axis, rates, times, error, symbol):
    """Draw the error against the rate, one line an adaptation time."""
    for k, (time, shade) in enumerate(zip(times, _shades(len(times)), strict=True)):
        axis.plot(rates, np.median(error[:, k], axis=1), "o-", ms=3.5, color=shade, label=f"{time:.3g} s")
        axis.fill_between(rates, *np.quantile(error[:, k], [0.25, 0.75], axis=1), color=shade, alpha=0.15, lw=0)
    axis.set(xscale="log", yscale="log", xlabel=f"learning rate {symbol}", ylabel="RMSE of the cursor (cm)")
    _plain_numbers(axis)
    title = "adapted for (median and quartiles over realisations)"
    axis.legend(title=title, title_fontsize=8, ncols=len(times), loc="lower center", bbox_to_anchor=(0.5, 0.98))


def _close_stops(axis, rates, error, symbol):
    """Draw the error of one realisation at close stops: where it depends on the moment of the stop, points spread."""
    for k, shade in enumerate(_shades(error.shape[1])):
        axis.plot(rates, error[:, k, 0], "o", ms=3, mfc="none", color=shade)
    axis.set(xscale="log", yscale="log", xlabel=f"learning rate {symbol}", ylabel="RMSE (cm)")
    _plain_numbers(axis)
    axis.set_title("one realisation, stopped at close times", size=8)


def _ratio(axis, rates, times, simulated, computed):
    """Draw simulated over computed error after the longest adaptation times."""
    for k, shade in zip((2, 3, 4), _shades(5)[2:], strict=True):
        ratio = np.median(simulated[:, k], axis=1) / np.median(computed[:, k], axis=1)
        axis.plot(rates, ratio, "o-", ms=3.5, color=shade, label=f"{times[k]:.3g} s")
    axis.axhline(1.0, color="0.5", lw=0.8, ls="--")
    axis.set(xscale="log", yscale="log", xlabel="learning rate s", ylabel="ratio")
    _plain_numbers(axis)
    axis.set_title("simulated over computed", size=8)
    axis.legend(fontsize=6)


def _units(axis, examined, symbol):
    """Draw how much the error depends on the moment of the stop, against the rate, for fewer and more units."""
    for units, colour in zip(sorted({row["units"] for row in examined.rows}), COLOURS, strict=False):
        rows = [row for row in examined.rows if row["units"] == units]
        axis.plot([row["rate"] for row in rows], [row["oscillation"] for row in rows], "o-", ms=3.5, color=colour,
                  label=f"{units} units")  # fmt: skip
    axis.axhline(1.0, color="0.5", lw=0.8, ls="--")
    axis.set(xscale="log", yscale="log", xlabel=f"learning rate {symbol}", ylabel="90th / 10th percentile")
    _plain_numbers(axis)
    axis.set_title("RMSE over stops every 2 s", size=8)
    axis.legend(fontsize=6)


def _surfaces(figure, grid, surfaces, rates, times, symbol):
    """Draw the median error over rate and adaptation time, simulated beside computed, on one scale."""
    from matplotlib.colors import LogNorm

    grids = [np.median(error[:, :5], axis=2).T for _, error in surfaces]
    norm = LogNorm(min(each.min() for each in grids), max(each.max() for each in grids))
    for column, ((name, _), values) in enumerate(zip(surfaces, grids, strict=True)):
        axis = figure.add_subplot(grid[2, column])
        image = axis.pcolormesh(np.arange(len(rates) + 1), np.arange(6), values, norm=norm, cmap="magma")
        axis.set(xticks=np.arange(len(rates)) + 0.5, yticks=np.arange(5) + 0.5, xlabel=f"learning rate {symbol}")
        axis.set_xticklabels([f"{rate:.0e}".replace("e-0", "e-") for rate in rates], size=6, rotation=45)
        axis.set_yticklabels([f"{time:.3g}" for time in times[:5]] if column == 0 else [], size=6)
        axis.set_title(f"{name}: RMSE (cm)", size=8)
        if column == 0:
            axis.set_ylabel("adapted for (s)")
        for i, line in enumerate(values):
            for j, value in enumerate(line):
                axis.text(j + 0.5, i + 0.5, f"{value:.2g}", ha="center", va="center", size=5,
                          color="w" if norm(value) < 0.6 else "k")  # fmt: skip
    figure.colorbar(image, cax=figure.add_axes((0.955, 0.14, 0.01, 0.17)))
