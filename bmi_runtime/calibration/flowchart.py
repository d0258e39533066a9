"""Figure 2: the calibration as a flow chart, each box with the formula that this package uses and where it stands."""

from bmi_runtime.calibration.plots import COLOURS, pyplot

BOXES = {
    "wish": (0.5, 0.93, "what is wanted?\nan error bound or a convergence-time bound"),
    "task": (0.2, 0.74, "the task: states $u_t = [1, v_t]$\nover a period or a sample"),
    "units": (0.8, 0.74, "the units: noise variance $Z$,\nor rates $\\lambda_t$ from a pilot"),
    "information": (0.5, 0.565, "information per bin\n$M = E[u u'/Z]$  or  $E[u u' \\lambda \\Delta]$"),
    "modes": (0.5, 0.42, "its eigenvalues $m_i$; the smallest decides"),
    "error": (0.22, 0.26, "error bound $E$:\n$s = 4 m E^2 / (1 - m^2 E^2)$"),
    "time": (
        0.78,
        0.26,
        "convergence bound $C$ (to $\\epsilon$):\n$k = 1 - \\epsilon^{1/C}$,  $s = k^2 / (m (1 - k))$",
    ),
    "filter": (0.5, 0.09, "learning rate $s$ or $r$: run the adaptive filter;\nthe other quantity follows from it"),
}
ARROWS = (
    ("wish", "task"), ("wish", "units"), ("task", "information"), ("units", "information"), ("information", "modes"),
    ("modes", "error"), ("modes", "time"), ("error", "filter"), ("time", "filter"),
)  # fmt: skip


def flowchart(note: str):
    """Return the flow chart."""
    plt = pyplot()
    figure = plt.figure(figsize=(7.2, 6.2))
    axis = figure.add_axes((0.02, 0.07, 0.96, 0.9))
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    drawn = {}
    for name, (x, y, words) in BOXES.items():
        ask = name in ("wish", "error", "time")
        style = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": COLOURS[1] if ask else COLOURS[0], "lw": 1.4}
        drawn[name] = axis.text(x, y, words, ha="center", va="center", size=9, bbox=style)
    figure.canvas.draw()
    for first, second in ARROWS:
        style = {"arrowstyle": "-|>", "color": "0.35", "lw": 1.1}
        boxes = {"patchA": drawn[first].get_bbox_patch(), "patchB": drawn[second].get_bbox_patch()}
        axis.annotate("", BOXES[second][:2], BOXES[first][:2], arrowprops=style | boxes | {"shrinkA": 3, "shrinkB": 3})
    figure.text(0.01, 0.01, note, fontsize=6.5, color="0.35")
    return figure
