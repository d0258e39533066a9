"""Pictures of the f-I curve, of networks, of steady states against strength, of heterogeneity. Needs matplotlib
(extra ``plots``).
"""

import numpy as np

from bmi_runtime.analysis.networks.continuation import Branch
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.study import LinearFit, groups
from bmi_runtime.drawing import BLUE, GREEN, PURPLE, RED, draw_graph, pyplot, save

GREY = "0.6"


def rate_curve_figure(neuron: LIFNeuron, trace, spike_times_s, measured, path) -> str:
    """Draw a voltage trace, the f-I curve with simulated rates on it, and its slope.

    Parameters
    ----------
    neuron : LIFNeuron
        The neuron.
    trace : tuple
        Times (s) and voltages (mV) of a simulation.
    spike_times_s : (k,) ndarray
        Its spikes.
    measured : tuple
        Inputs (mV), simulated rates and their standard errors (Hz).
    path : path-like
        File to write.
    """
    plt = pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.3), width_ratios=[1.3, 1, 1], layout="constrained")
    times, voltages = trace
    axes[0].plot(1e3 * times, voltages, color=BLUE, lw=0.8)
    axes[0].vlines(1e3 * spike_times_s, neuron.v_threshold_mv, neuron.v_threshold_mv + 15, color="0.15", lw=1)
    axes[0].axhline(neuron.v_threshold_mv, color=GREY, ls=":", lw=1)
    axes[0].set(xlabel="time (ms)", ylabel="voltage (mV)", title="integrate and fire")
    inputs = np.linspace(neuron.v_threshold_mv - 25, neuron.v_threshold_mv + 60, 400)
    rates, slopes = neuron.rate_and_slope(inputs)
    axes[1].plot(inputs, rates, color=BLUE, label="Siegert's formula")
    axes[1].errorbar(*measured[:2], yerr=2 * measured[2], fmt="o", ms=4, color=RED, label="simulated, ± 2 s.e.")
    axes[1].set(xlabel="mean input $E$ (mV)", ylabel="rate $r(E)$ (Hz)", title="f-I curve")
    axes[1].legend(frameon=False, fontsize=8)
    axes[2].plot(inputs, slopes, color=GREEN)
    where, value = neuron.steepest
    axes[2].plot(where, value, "o", color=GREEN)
    axes[2].annotate(f"steepest: {value:.2f}", (where, value), xytext=(8, -3), textcoords="offset points", fontsize=9)
    axes[2].set(xlabel="mean input $E$ (mV)", ylabel="slope $dr/dE$ (Hz per mV)", title="its slope")
    return save(figure, path)


def graphs_figure(networks: dict[str, np.ndarray], path) -> str:
    """Draw each weight matrix (n, n) as a graph (E in blue, I in orange) and as a matrix."""
    plt = pyplot()
    figure, axes = plt.subplots(len(networks), 2, figsize=(7, 3.4 * len(networks)), squeeze=False, layout="constrained")
    for (name, weights), (left, right) in zip(networks.items(), axes):
        _signed_graph(left, weights)
        left.set_title(name)
        limit = np.abs(weights).max()
        image = right.imshow(1e3 * weights, vmin=-1e3 * limit, vmax=1e3 * limit, cmap="RdBu_r")
        right.set(xlabel="connection from neuron", ylabel="connection to neuron")
        right.set(xticks=range(0, len(weights), 5), yticks=range(0, len(weights), 5))
        figure.colorbar(image, ax=right, shrink=0.8, label="weight (µV per Hz)")
    return save(figure, path)


def _signed_graph(axes, weights: np.ndarray) -> None:
    n = len(weights)
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    for target, source in np.argwhere(weights):
        colour = BLUE if weights[target, source] > 0 else RED
        style = {"arrowstyle": "-|>", "mutation_scale": 7, "lw": 0.5, "alpha": 0.55, "shrinkA": 5, "shrinkB": 5}
        arrow = {"connectionstyle": "arc3,rad=0.1", "color": colour, **style}
        axes.annotate("", places[target], places[source], arrowprops=arrow)
    inhibitory = (weights < 0).any(axis=0)
    axes.scatter(*places.T, s=60, c=np.where(inhibitory, RED, BLUE), zorder=3)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.axis("off")


def strength_figure(panels: dict[str, tuple], path) -> str:
    """Draw the steady input of every neuron against strength; each panel is (strengths in uV per Hz, inputs,
    converged).

    `inputs` (k, n) is where the iteration ended; strengths at which it did not converge from any start are shaded and
    left empty.
    """
    plt = pyplot()
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(9.2, 3.2 * rows), squeeze=False, layout="constrained")
    for axis, (name, (strengths, inputs, converged)) in zip(axes.ravel(), panels.items()):
        shown = np.where(converged[:, None], inputs, np.nan)
        axis.plot(strengths, shown, color=BLUE, lw=0.5, alpha=0.55)
        axis.plot(strengths, shown.mean(axis=1), color="0.1", lw=1.8)
        if not converged.all():
            top = axis.get_ylim()
            axis.fill_between(strengths, *top, where=~converged, color=RED, alpha=0.18, lw=0, label="no convergence")
            axis.set_ylim(top)
            axis.legend(frameon=False, loc="upper left", fontsize=9)
        axis.set(title=name, xlabel="connection strength (µV per Hz)", ylabel="mean input $E_i$ (mV)")
    return save(figure, path)


def branch_figure(
    panels: dict[str, list[Branch]], scale: float, path, unit: str = "connection strength (µV per Hz)"
) -> str:
    """Draw branch diagrams: mean rate against strength, solid where stable, by kind of instability where not."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(4.9 * len(panels), 3.9), squeeze=False, layout="constrained")
    for axis, (name, branches) in zip(axes[0], panels.items()):
        for branch in branches:
            _draw_branch(axis, branch, scale)
        axis.set(title=name, xlabel=unit, ylabel="mean rate (Hz)", xlim=(0, None))
    handles = [
        plt.Line2D([], [], color=BLUE, lw=2, label="stable (iteration converges)"),
        plt.Line2D([], [], color=GREEN, lw=2, label="stable in time, iteration diverges"),
        plt.Line2D([], [], color=RED, lw=1.5, ls="--", label="unstable"),
        plt.Line2D([], [], color="0.1", marker="o", ls="", ms=5, label="fold"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return save(figure, path)


def _draw_branch(axis, branch: Branch, scale: float) -> None:
    strengths, rates = scale * branch.strengths, branch.rates_hz.mean(axis=1)
    kind = np.where(branch.stable, 0, np.where(branch.stable_in_time, 1, 2))
    styles = ({"color": BLUE, "lw": 2}, {"color": GREEN, "lw": 2}, {"color": RED, "lw": 1.3, "ls": "--"})
    start = 0
    for stop in [*(np.flatnonzero(np.diff(kind)) + 1), len(kind)]:
        piece = slice(start, min(stop + 1, len(kind)))
        axis.plot(strengths[piece], rates[piece], **styles[kind[start]])
        start = stop
    axis.plot(strengths[branch.folds], rates[branch.folds], "o", color="0.1", ms=4)


def heterogeneity_figure(table: dict[str, np.ndarray], rows: np.ndarray, title: str, path) -> str:
    """Draw spread (standard deviation, variance) of rate and of input current against that of in-degree, a point per
    network.
    """
    plt = pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 6.2), layout="constrained")
    rows = rows & table["solved"].astype(bool)
    degree = table["in_degree_sd"][rows]
    quantities = (("rate_sd_hz", "firing rate", "Hz", BLUE), ("input_sd_mv", "input current", "mV", RED))
    for column, (key, name, unit, colour) in enumerate(quantities):
        spread = table[key][rows]
        for row, (x, y, word, square) in enumerate(
            ((degree, spread, "s.d.", ""), (degree**2, spread**2, "variance", "²"))
        ):
            axis = axes[row, column]
            axis.plot(x, y, "o", ms=3.5, alpha=0.6, color=colour)
            line = np.polyfit(x, y, 1)
            ends = np.array([x.min(), x.max()])
            axis.plot(ends, np.polyval(line, ends), color="0.2", lw=1)
            axis.set_title(f"$R^2$ = {np.corrcoef(x, y)[0, 1] ** 2:.2f}", fontsize=9, loc="right")
            axis.set(xlabel=f"{word} of in-degree", ylabel=f"{word} of {name} ({unit}{square})")
    figure.suptitle(title)
    return save(figure, path)


def motif_figure(fits: dict[str, LinearFit], scales: dict[str, np.ndarray], path) -> str:
    """Draw the three-cell motifs and how the spread of rates depends on each statistic (per standard deviation of it,
    95 %).
    """
    plt = pyplot()
    figure = plt.figure(figsize=(9.2, 4.6), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 4.2])
    for k, (name, edges) in enumerate(
        {"chain": [(0, 1), (1, 2)], "convergent": [(0, 1), (2, 1)], "divergent": [(1, 0), (1, 2)]}.items()
    ):
        axis = figure.add_subplot(grid[k, 0])
        connected = np.zeros((3, 3))
        for source, target in edges:
            connected[target, source] = 1
        draw_graph(axis, connected)
        axis.set_title(name, fontsize=9)
    axis = figure.add_subplot(grid[:, 1])
    for k, (name, fit) in enumerate(fits.items()):
        motifs = fit.names[1:]
        size = np.array([scales[name][m] for m in range(len(motifs))])
        places = np.arange(len(motifs)) + 0.16 * (k - (len(fits) - 1) / 2)
        colour = (BLUE, GREEN, RED, PURPLE)[k % 4]
        label = f"{name} ($R^2$ = {fit.r2:.2f})"
        axis.errorbar(
            places, fit.coefficients[1:] * size, fit.half_widths[1:] * size, fmt="o", color=colour, label=label
        )
    axis.axhline(0, color="0.4", lw=0.8)
    axis.set(xticks=range(len(motifs)), xticklabels=motifs, xlabel="motif statistic")
    axis.set_ylabel("change of the s.d. of rate (Hz)\nper s.d. of the statistic")
    axis.legend(frameon=False, fontsize=8.5)
    return save(figure, path)


def theory_figure(theory_hz: np.ndarray, measured_hz: np.ndarray, error_hz: np.ndarray, path) -> str:
    """Draw every neuron's simulated rate (± 2 standard errors) against the rate theory."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(4.8, 4.3), layout="constrained")
    axis.errorbar(theory_hz, measured_hz, 2 * error_hz, fmt="o", ms=3, lw=0.7, color=BLUE, alpha=0.7)
    ends = [0, 1.05 * max(theory_hz.max(), measured_hz.max())]
    axis.plot(ends, ends, color="0.3", lw=1)
    axis.set(xlim=ends, ylim=ends, xlabel="rate at the fixed point (Hz)", ylabel="simulated rate (Hz), ± 2 s.e.")
    return save(figure, path)


def states_figure(arrays: dict[str, np.ndarray], path) -> str:
    """Draw every neuron of every steady state on the f-I curve, and the rates of each state, neuron by neuron.

    `arrays` holds ``curve_input_mv`` and ``curve_rate_hz``, ``state_input_mv`` and ``state_rate_hz`` (states, neurons)
    and ``state_stable`` (1, 0 or not-a-number).
    """
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    left.plot(arrays["curve_input_mv"], arrays["curve_rate_hz"], color="0.6", lw=1.2, zorder=1)
    words = {1.0: "stable", 0.0: "unstable"}
    states = zip(arrays["state_input_mv"], arrays["state_rate_hz"], arrays["state_stable"])
    for k, (inputs, rates, stable) in enumerate(states):
        face = (BLUE, RED, GREEN, PURPLE)[k % 4]
        label = f"state {k}: {words.get(float(stable), 'stability unknown')}, mean {rates.mean():.3g} Hz"
        style = {"color": face, "mfc": face if stable == 1 else "none", "ms": 5}
        left.plot(inputs, rates, "osD^"[k // 4 % 4], label=label if k < 12 else None, **style)
        right.plot(np.sort(rates), ".-" if stable == 1 else ".--", color=face, lw=0.8, ms=4)
    left.set(xlabel="mean input $E$ (mV)", ylabel="rate $r(E)$ (Hz)", title="steady states on the f-I curve")
    right.set(xlabel="neuron, by its rate in the state", ylabel="rate (Hz)", title="rates in each state")
    right.xaxis.get_major_locator().set_params(integer=True)
    count = len(arrays["state_rate_hz"])
    if count:
        more = f"{count} states, the first 12 named" if count > 12 else None
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5, title=more)
    return save(figure, path)


def study_figures(table: dict[str, np.ndarray], folder) -> list[str]:
    """Write the heterogeneity figures of a study (largest Erdos-Renyi E and mixed networks) and its motif figure."""
    from bmi_runtime.analysis.networks.graphs import MOTIFS
    from bmi_runtime.analysis.networks.study import linear_fit
    from bmi_runtime.errors import BadInput

    kinds = groups(table)
    size = table["size"].max()
    files = []
    for kind, label in (("E", "excitatory"), ("mixed", "mixed")):
        name = f"ER {kind} n={size}"
        if name in kinds and (kinds[name] & table["solved"].astype(bool)).sum() > 2:
            path = folder / f"networks_heterogeneity_{label}.png"
            files.append(heterogeneity_figure(table, kinds[name], f"{label} Erdős-Rényi networks, n = {size}", path))
    fits, scales = {}, {}
    for name, rows in kinds.items():
        good = rows & table["solved"].astype(bool)
        if name.startswith("SONET"):
            columns = {motif: table[motif][good] for motif in MOTIFS}
            try:
                fits[name] = linear_fit(columns, table["rate_sd_hz"][good])
            except BadInput:
                continue
            scales[name] = np.array([column.std() for column in columns.values()])
    if fits:
        files.append(motif_figure(fits, scales, folder / "networks_motifs.png"))
    return files
