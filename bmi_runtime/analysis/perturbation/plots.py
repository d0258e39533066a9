"""Pictures of connectivity, of estimates against truth, of methods compared, and of plans. Needs matplotlib (extra
``plots``).
"""

import numpy as np

from bmi_runtime.analysis.perturbation import planning
from bmi_runtime.analysis.perturbation.simulate import Comparison
from bmi_runtime.analysis.perturbation.tutorial import Tutorial
from bmi_runtime.drawing import BLUE, ORANGE, RED, SKY, draw_graph, draw_matrix, pyplot, save

METHOD_COLOURS = {
    "perturbing all": BLUE,
    "perturbing a random half": SKY,
    "regression": ORANGE,
    "correlation": RED,
}
METHOD_STYLES = dict(zip(METHOD_COLOURS, ("o-", "s-", "^-", "v--")))


def tutorial_figure(done: Tutorial, path) -> str:
    """Draw the true and the estimated connectivity, as graphs and as heat-maps."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(8.6, 8.0), layout="constrained")
    draw_graph(axes[0, 0], done.connectivity)
    axes[0, 0].set_title("true connections")
    draw_matrix(figure, axes[0, 1], done.connectivity, "true connectivity $A$", "strength")
    draw_graph(axes[1, 0], done.all_estimate.T)
    axes[1, 0].set_title("estimated connections")
    known = f" (correlation with $A$: {done.all_correlation:.4f})" if done.all_correlation is not None else ""
    title = f"estimate $R^T${known}"
    draw_matrix(figure, axes[1, 1], done.all_estimate.T, title, "correlation")
    return save(figure, path)


def single_neuron_figure(done: Tutorial, path) -> str:
    """Draw activity with and without perturbation, and the estimated against the true effects of one neuron."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.4), width_ratios=[1, 1, 1.2])
    for axis, activity, title in zip(axes, (done.activity, done.perturbed), ("free", "clamped at even steps")):
        image = axis.imshow(activity[:, :12], vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axis.set(title=title, xlabel="time step", ylabel="neuron", xticks=range(0, 12, 2))
    figure.colorbar(image, ax=axes[1], label="activity")
    neurons = np.arange(len(done.connectivity))
    slope = done.connectivity[:, done.selected_neuron]
    axes[2].bar(neurons - 0.2, slope, 0.4, color="0.7", label="true connection $A$")
    axes[2].bar(neurons + 0.2, done.single_estimate, 0.4, color=BLUE, label="difference in means")
    axes[2].axhline(0, color="0.3", lw=0.8)
    axes[2].set(title=f"effects of neuron {done.selected_neuron}", xlabel="target neuron", xticks=neurons)
    axes[2].set(ylabel="strength, or change of activity")
    axes[2].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return save(figure, path)


def comparison_figure(comparisons: list[Comparison], path) -> str:
    """Draw recovery against data for each method, one panel per strength of the hidden common input."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(comparisons), figsize=(4.4 * len(comparisons), 3.7), sharey=True, squeeze=False)
    for axis, comparison in zip(axes[0], comparisons):
        for name, values in comparison.agreement.items():
            axis.plot(comparison.steps, values, METHOD_STYLES[name], ms=4.5, color=METHOD_COLOURS[name], label=name)
        hidden = comparison.hidden_strength
        axis.set(xscale="log", ylim=(-0.05, 1.02), xlabel="time steps")
        axis.set_title("every input recorded" if hidden == 0 else f"hidden common input (strength {hidden:g})")
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("correlation with true connections")
    axes[0, 0].legend(frameon=False, fontsize=8.5)
    figure.tight_layout()
    return save(figure, path)


def fit_figure(fit: dict[str, np.ndarray], path) -> str:
    """Draw a fit: the effects that stand as a graph, all of them as a heat-map, and the truth against them if known.

    `fit` holds ``estimate`` and ``discoveries`` (sources, targets) and perhaps ``connectivity`` (targets, sources).
    """
    plt = pyplot()
    effects, stands = fit["estimate"].T, fit["discoveries"].T.astype(bool)
    truth, square = fit.get("connectivity"), effects.shape[0] == effects.shape[1]
    drawn = [square and len(effects) <= 30, True, truth is not None]
    figure, axes = plt.subplots(1, sum(drawn), figsize=(4.4 * sum(drawn), 3.9), layout="constrained", squeeze=False)
    left = list(axes[0])
    if drawn[0]:
        axis = left.pop(0)
        draw_graph(axis, np.where(stands & (effects > 0), effects, 0.0))
        axis.set_title("effects above 0 that stand")
    draw_matrix(figure, left[0], effects, "all effects; dots: they stand", "change of the outcome")
    left[0].set(xlabel="effect of neuron", ylabel="effect on neuron")
    for axis, count in ((left[0].xaxis, effects.shape[1]), (left[0].yaxis, effects.shape[0])):
        axis.set_ticks(np.arange(0, count, max(1, -(-count // 10))))  # neurons are whole numbers
    rows, columns = np.nonzero(stands)
    left[0].plot(columns, rows, ".", color="0.1", ms=max(1.0, 60 / max(effects.shape)))
    if truth is not None:
        left[1].axhline(0, color="0.7", lw=0.8)
        for rest, colour, word in ((~stands, SKY, "do not stand"), (stands, BLUE, "stand")):
            left[1].plot(truth[rest], effects[rest], "o", ms=3, alpha=0.6, color=colour, label=word)
        left[1].set(xlabel="true connection", ylabel="estimated effect", title="estimates against truth")
        left[1].legend(frameon=False, fontsize=8.5)
    return save(figure, path)


def plan_figure(system: planning.System, wanted: float, path, measured: tuple | None = None) -> str:
    """Draw the expected correlation against the number of perturbations; `measured` is (samples, correlations) to lay
    over it.
    """
    plt = pyplot()
    needed = planning.samples_for_correlation(system, wanted)
    samples = np.geomspace(needed / 300, needed * 10, 200)
    figure, axis = plt.subplots(figsize=(5.6, 3.7))
    curve = [planning.expected_correlation(system, count) for count in samples]
    axis.plot(samples, curve, color=BLUE, label="expected")
    if measured is not None:
        axis.plot(*measured, "o", color=RED, ms=5, label="simulated")
    axis.plot([needed, needed, samples[0]], [0, wanted, wanted], ls=":", color="0.4")
    axis.annotate(f"{needed:,}", (needed, 0.03), xytext=(5, 0), textcoords="offset points", color="0.3")
    axis.set(xscale="log", ylim=(0, 1.02), xlim=(samples[0], samples[-1]))
    axis.set(xlabel="clamped samples per neuron", ylabel="correlation with true connections")
    axis.legend(frameon=False)
    axis.grid(alpha=0.25)
    return save(figure, path)


def schedule_figure(schedule, path, trials: int = 40) -> str:
    """Draw the first trials of a stimulation schedule: who is stimulated, who is sham, when."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(8.5, 0.9 + 0.28 * max(len(schedule.units), 4)))
    shown = schedule.assignments[:trials]
    for value, colour, label in ((1, RED, "stimulated"), (0, SKY, "sham")):
        rows, columns = np.nonzero(shown == value)
        face = colour if value else "none"
        axis.scatter(schedule.onsets_s[rows], columns, s=32, facecolors=face, edgecolors=colour, label=label)
    axis.set(xlabel="time (s)", ylabel="unit", yticks=range(len(schedule.units)), yticklabels=schedule.units)
    axis.set_ylim(-0.6, len(schedule.units) - 0.4)
    axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return save(figure, path)
