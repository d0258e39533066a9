"""Pictures of a fit: filters with bands, coupling matrix by area, network graph, KS plots, tuning."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime import drawing
from bmi_runtime.constants import Z_95
from bmi_runtime.drawing import BLUE, GREEN, ORANGE, PURPLE, RED, SKY

KINDS = ("filters", "matrix", "network", "areas", "ks", "tuning")
AREA_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
INK = "#222222"


def pyplot():
    """Return matplotlib's pyplot in the style of these pictures; BadInput when it is not installed."""
    return drawing.pyplot(**{"font.size": 9, "axes.titlesize": 9, "figure.dpi": 110})


def filter_sums(model) -> np.ndarray:
    """Return each filter summed over lags (change of log-rate by one spike), minus-infinite lags left out."""
    return np.where(np.isneginf(model.coupling_), 0.0, model.coupling_).sum(axis=2)


def filter_scores(model) -> np.ndarray:
    """Return the largest ratio of filter to standard error over lags, (targets, sources); zero where unknown."""
    errors = model.file_.get("filter_standard_errors")
    if errors is None:
        return np.abs(filter_sums(model))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(np.isneginf(model.coupling_), 0.0, np.abs(model.coupling_)) / errors
    return np.nan_to_num(np.where(np.isfinite(ratio), ratio, 0.0)).max(axis=2)


def plot_filters(model, panels: int = 12):
    """Draw the best-determined filters (own history first) with 95 % bands; minus-infinite lags are marked."""
    plt = pyplot()
    pairs = _chosen_pairs(model, panels)
    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.6 * columns, 1.9 * rows + 0.5), squeeze=False, sharex=True)
    milliseconds = 1e3 * (model.bin_s_ or 1e-3) * np.arange(1, model.coupling_.shape[2] + 1)
    for axis, (target, source) in zip(axes.flat, pairs):
        _draw_filter(axis, model, milliseconds, target, source)
    for axis in axes.flat[len(pairs) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel("log-rate change")
    for axis in axes[-1]:
        axis.set_xlabel("lag (ms)")
    figure.suptitle("Coupling filters with 95 % bands (effective connectivity: may be indirect)", fontsize=10)
    figure.tight_layout()
    return figure


def _chosen_pairs(model, panels: int) -> list[tuple[int, int]]:
    score = filter_scores(model)
    units = len(score)
    own = np.argsort(-score.diagonal())[: min(units, max(1, panels // 3))]
    off = np.where(np.eye(units, dtype=bool), -1.0, score)
    order = np.dstack(np.unravel_index(np.argsort(-off, axis=None), off.shape))[0]
    others = [(int(i), int(j)) for i, j in order if off[i, j] > 0][: panels - len(own)]
    return [(int(unit), int(unit)) for unit in own] + others


def _draw_filter(axis, model, milliseconds, target, source) -> None:
    values = model.coupling_[target, source]
    finite = np.isfinite(values)
    colour = AREA_COLOURS[2] if target == source else AREA_COLOURS[0]
    errors = model.file_.get("filter_standard_errors")
    axis.axhline(0, color="#999999", linewidth=0.8)
    if errors is not None:
        half = Z_95 * errors[target, source]
        axis.fill_between(
            milliseconds, values - half, values + half, where=finite, color=colour, alpha=0.25, linewidth=0
        )
    axis.plot(milliseconds[finite], values[finite], color=colour, linewidth=1.4)
    if (~finite).any():
        axis.axvspan(0, milliseconds[~finite].max(), color="#bbbbbb", alpha=0.5, linewidth=0)
    low = np.nanmin(values[finite], initial=-0.1)
    high = np.nanmax(values[finite], initial=0.1)
    axis.set_ylim(max(1.25 * low, -8) - 0.15, 1.25 * high + 0.15)
    names = model.unit_names_
    axis.set_title(f"{names[source]} own history" if target == source else f"{names[source]} → {names[target]}")


def _order_by_area(model) -> tuple[np.ndarray, list]:
    areas = model.areas_ or ["all"] * len(model.intercept_)
    order = np.argsort(areas, kind="stable")
    return order, [areas[unit] for unit in order]


def plot_matrix(model):
    """Draw the summed filters as a matrix, units ordered by area, own history left blank."""
    plt = pyplot()
    order, areas = _order_by_area(model)
    sums = filter_sums(model)[np.ix_(order, order)]
    np.fill_diagonal(sums, np.nan)
    limit = np.nanquantile(np.abs(sums), 0.98) or 1.0 if sums.size > 1 else 1.0
    figure, axis = plt.subplots(figsize=(5.4, 4.6))
    image = axis.imshow(sums, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axis.set_facecolor("#dddddd")
    edges = [k for k in range(1, len(areas)) if areas[k] != areas[k - 1]]
    for edge in edges:
        axis.axhline(edge - 0.5, color=INK, linewidth=1)
        axis.axvline(edge - 0.5, color=INK, linewidth=1)
    middles = [(a + b - 1) / 2 for a, b in zip([0, *edges], [*edges, len(areas)])]
    labels = [areas[int(m)] for m in middles]
    axis.set_xticks(middles, labels)
    axis.set_yticks(middles, labels)
    axis.set_xlabel("source unit (by area)")
    axis.set_ylabel("target unit (by area)")
    axis.set_title("Coupling: log-rate change summed over lags\n(own history left out)")
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="summed filter (log-rate)", shrink=0.85, extend="both")
    figure.tight_layout()
    return figure


def plot_areas(model):
    """Draw the filters of every ordered pair of areas: mean over pairs with its standard error, and the share of pairs
    whose filter leaves its 95 % band at each lag; own histories are left out.
    """
    plt = pyplot()
    labels = np.asarray(model.areas_ or ["all"] * len(model.intercept_))
    areas = sorted(set(labels))
    figure, axes = plt.subplots(
        len(areas), len(areas), figsize=(2.9 * len(areas) + 0.6, 2.2 * len(areas) + 0.6), squeeze=False, sharex=True,
        sharey=True,
    )  # fmt: skip
    milliseconds = 1e3 * (model.bin_s_ or 1e-3) * np.arange(1, model.coupling_.shape[2] + 1)
    errors = model.file_.get("filter_standard_errors")
    off = ~np.eye(len(labels), dtype=bool)
    for row, target in enumerate(areas):
        for column, source in enumerate(areas):
            axis = axes[row, column]
            pairs = (labels[:, None] == target) & (labels == source) & off
            values = np.where(np.isneginf(model.coupling_[pairs]), np.nan, model.coupling_[pairs])
            if not len(values):
                axis.axis("off")
                continue
            counted = np.maximum(np.isfinite(values).sum(axis=0), 1)
            mean = np.nansum(values, axis=0) / counted
            half = np.sqrt(np.nansum((values - mean) ** 2, axis=0)) / counted
            colour = AREA_COLOURS[row % len(AREA_COLOURS)]
            axis.axhline(0, color="#999999", linewidth=0.8)
            axis.fill_between(milliseconds, mean - half, mean + half, color=colour, alpha=0.25, linewidth=0)
            axis.plot(milliseconds, mean, color=colour, linewidth=1.5)
            outside = ""
            if errors is not None:
                with np.errstate(invalid="ignore"):
                    known = np.isfinite(values) & (errors[pairs] > 0)
                    share = np.mean((np.abs(values) > Z_95 * errors[pairs])[known]) if known.any() else np.nan
                outside = f", {share:.0%} of lags outside 95 %"
            axis.set_title(f"{source} → {target}: {len(values)} pairs{outside}", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("lag (ms)")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean log-rate change")
    figure.suptitle("Coupling between areas (effective connectivity: may be indirect)", fontsize=10)
    figure.tight_layout()
    return figure


def plot_network(model, level: float = 4.0, most: int = 60):
    """Draw units on a circle, by area, with arrows for the couplings that pass `level` standard errors at some lag."""
    plt = pyplot()
    order, areas = _order_by_area(model)
    score, sums = filter_scores(model), filter_sums(model)
    angle = np.empty(len(order))
    angle[order] = np.pi / 2 - 2 * np.pi * np.arange(len(order)) / len(order)
    place = np.c_[np.cos(angle), np.sin(angle)]
    off = np.where(np.eye(len(order), dtype=bool), 0.0, score)
    pairs = [(i, j) for i, j in zip(*np.nonzero(off > level))]
    pairs = sorted(pairs, key=lambda pair: -off[pair])[:most]
    figure, axis = plt.subplots(figsize=(5.2, 5.4))
    strongest = max((abs(sums[pair]) for pair in pairs), default=1.0) or 1.0
    for target, source in pairs:
        colour = "#E66101" if sums[target, source] > 0 else "#5E3C99"
        style = {"arrowstyle": "-|>", "color": colour, "alpha": 0.75, "shrinkA": 9, "shrinkB": 9, "mutation_scale": 9}
        style |= {"linewidth": 0.6 + 2.2 * abs(sums[target, source]) / strongest, "connectionstyle": "arc3,rad=0.15"}
        axis.annotate("", place[target], place[source], arrowprops=style)
    for k, area in enumerate(dict.fromkeys(areas)):
        inside = [unit for unit, name in zip(order, areas) if name == area]
        axis.scatter(*place[inside].T, s=150, color=AREA_COLOURS[k % 6], zorder=3, label=area, edgecolor="white")
    for unit in range(len(order)):
        axis.annotate(str(unit), place[unit], ha="center", va="center", fontsize=6.5, color="white", zorder=4)
    lines = [plt.Line2D([], [], color=colour, linewidth=2) for colour in ("#E66101", "#5E3C99")]
    handles, labels = axis.get_legend_handles_labels()
    axis.legend([*handles, *lines], [*labels, "raises rate", "lowers rate"], ncol=4, loc="lower center", fontsize=8)
    axis.set_title(f"{len(pairs)} couplings beyond {level:g} standard errors at some lag\n(effective; may be indirect)")
    axis.set_aspect("equal")
    axis.set_xlim(-1.2, 1.2)
    axis.set_ylim(-1.45, 1.2)
    axis.axis("off")
    figure.tight_layout()
    return figure


def plot_ks(results):
    """Draw the KS plot of every unit against its 95 % band, and the autocorrelation of the rescaled intervals."""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7))
    known = [result for result in results if len(result.quantiles)]
    fewest = min((len(result.quantiles) for result in known), default=2)
    band = 1.358 / np.sqrt(fewest)
    line = np.array([0.0, 1.0])
    left.fill_between(
        line, line - band, line + band, color="#cccccc", alpha=0.6, linewidth=0, label="95 % (fewest spikes)"
    )
    left.plot(line, line, color="#777777", linewidth=0.8)
    for result in known:
        n = len(result.quantiles)
        colour = AREA_COLOURS[0] if result.passes else AREA_COLOURS[5]
        left.plot((np.arange(n) + 0.5) / n, np.sort(result.quantiles), color=colour, linewidth=0.9, alpha=0.8)
    passed = sum(result.passes for result in known)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="uniform quantile", ylabel="rescaled intervals' quantile")
    left.set_title(f"Time rescaling: {passed} of {len(known)} units inside their 95 % band")
    left.plot([], [], color=AREA_COLOURS[0], label="inside its own band")
    left.plot([], [], color=AREA_COLOURS[5], label="outside")
    left.legend(loc="upper left", fontsize=8)
    for result in known:
        lags = np.arange(1, len(result.autocorrelation) + 1)
        right.plot(lags, result.autocorrelation, ".", color=INK, markersize=3, alpha=0.5)
    bound = max((result.autocorrelation_bound for result in known), default=0.1)
    right.axhspan(-bound, bound, color="#cccccc", alpha=0.6, linewidth=0)
    right.set(xlabel="lag (intervals)", ylabel="autocorrelation", title="Rescaled intervals made Gaussian, all units")
    figure.tight_layout()
    return figure


def plot_tuning(counts, velocity, rate, bin_s: float, names, panels: int = 8):
    """Draw firing rate against direction of movement: recorded (mean and standard error) and predicted by the model."""
    plt = pyplot()
    direction = np.degrees(np.arctan2(velocity[:, 1], velocity[:, 0]))
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    good = np.isfinite(rate).all(axis=1) & (speed > np.median(speed))
    sector = np.round(direction / 45).astype(int) % 8
    empirical, error, predicted = _by_sector(counts, rate, sector, good, bin_s)
    depth = np.ptp(empirical, axis=0) / np.maximum(error.mean(axis=0), 1e-9)
    depth = np.where(counts.sum(axis=0) >= 200, depth, 0.0)  # the clearest tuning in the recording, not in the model
    chosen = np.sort(np.argsort(-depth)[: min(panels, counts.shape[1])])
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.5 * columns, 2.1 * rows + 0.5), squeeze=False, sharex=True)
    angles = np.arange(-180, 181, 45)
    wrap = (angles // 45) % 8
    for axis, unit in zip(axes.flat, chosen):
        axis.errorbar(
            angles, empirical[wrap, unit], error[wrap, unit], fmt="o", color=INK, markersize=3, label="recorded"
        )
        axis.plot(angles, predicted[wrap, unit], color=AREA_COLOURS[0], linewidth=1.6, label="model")
        axis.set_title(names[unit])
        axis.set_xticks([-180, 0, 180])
    for axis in axes.flat[len(chosen) :]:
        axis.axis("off")
    for axis in axes[-1]:
        axis.set_xlabel("direction (degrees)")
    for axis in axes[:, 0]:
        axis.set_ylabel("rate (Hz)")
    axes[0, 0].legend(fontsize=7)
    figure.suptitle("Directional tuning at above-median speed: recorded (± s.e.) and predicted", fontsize=10)
    figure.tight_layout()
    return figure


def _by_sector(counts, rate, sector, good, bin_s):
    empirical, error, predicted = (np.full((8, counts.shape[1]), np.nan) for _ in range(3))
    for k in range(8):
        inside = good & (sector == k)
        if inside.sum() > 1:
            empirical[k] = counts[inside].mean(axis=0) / bin_s
            error[k] = counts[inside].std(axis=0) / np.sqrt(inside.sum()) / bin_s
            predicted[k] = rate[inside].mean(axis=0) / bin_s
    return empirical, error, predicted


def save(figure, path: pathlib.Path) -> str:
    """Write a figure and close it; returns its path."""
    figure.savefig(path, bbox_inches="tight")
    pyplot().close(figure)
    return str(path)
