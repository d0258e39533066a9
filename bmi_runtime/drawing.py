"""What the pictures of the offline modules share: colours, style, files, graphs and matrices. Needs matplotlib (extra
``plots``).
"""

import pathlib
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666"
SKY = "#56B4E9"  # these seven are the colours of Okabe and Ito: they are told apart by everyone
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "legend.frameon": False,
    "savefig.dpi": 110,
}


def canvas(rows: int, columns: int, size: tuple[float, float], **settings):
    """Return a figure and its axes (pyplot is never touched, so that no display is needed).

    Raises
    ------
    BadInput
        When matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("pictures need matplotlib: install bmi-runtime[plots]") from None
    matplotlib.rcParams.update(STYLE)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **settings)


def pyplot(**style: Any):
    """Return matplotlib's pyplot drawing to files, in the common style with these changes to it.

    Raises
    ------
    BadInput
        When matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise BadInput("figures need matplotlib; install it with: pip install 'bmi-runtime[plots]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE | {"font.size": 10, "axes.titlesize": 11, "figure.dpi": 100} | style)
    return plt


def save(figure, path) -> str:
    """Write the figure to `path` and close it; returns the path as text.

    Raises
    ------
    BadInput
        When there is no such folder, or no such format.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} to write {path.name} into")
    try:
        figure.savefig(path, dpi=100, bbox_inches="tight")
    except ValueError as error:
        raise BadInput(f"cannot write {path}: {error}") from None
    pyplot().close(figure)
    if path.suffix == ".png":
        from PIL import Image  # comes with matplotlib

        with Image.open(path) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return str(path)


def draw_graph(axes, connectivity: np.ndarray) -> None:
    """Draw neurons on a circle and an arrow per positive connection (row = target), darker when stronger."""
    n = len(connectivity)
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    strongest = connectivity.max()
    for target, source in np.argwhere(connectivity > 0.02 * strongest):
        strength = connectivity[target, source] / strongest
        style = {"arrowstyle": "-|>", "color": "0.15", "alpha": float(max(strength, 0.04)), "lw": 0.6 + 1.6 * strength}
        if target == source:
            axes.add_patch(
                pyplot().Circle(1.14 * places[source], 0.11, fill=False, alpha=strength, color="0.15", lw=1.4)
            )
            continue
        arrow = {"connectionstyle": "arc3,rad=0.12", "shrinkA": 9, "shrinkB": 9, "mutation_scale": 13, **style}
        axes.annotate("", places[target], places[source], arrowprops=arrow)
    axes.scatter(*places.T, s=210, color=BLUE, zorder=3)
    for k, place in enumerate(places):
        axes.text(*place, str(k), color="white", ha="center", va="center", zorder=4, fontsize=9)
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    axes.axis("off")


def draw_matrix(figure, axes, matrix: np.ndarray, title: str, label: str) -> None:
    """Draw a connectivity matrix (row = target) as a heat-map, white at 0."""
    limit = np.abs(matrix).max()
    image = axes.imshow(matrix, vmin=-limit, vmax=limit, cmap="RdBu_r")
    axes.set(title=title, xlabel="connection from neuron", ylabel="connection to neuron")
    if len(matrix) <= 12:
        axes.set(xticks=range(matrix.shape[1]), yticks=range(len(matrix)))
    figure.colorbar(image, ax=axes, shrink=0.75, label=label)
