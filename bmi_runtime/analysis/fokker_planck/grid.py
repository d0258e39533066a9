"""Grids that resolve the reset, the threshold and the boundary layer below it, and refine smoothly."""

import dataclasses
import itertools

import numpy as np

from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput

LEAST_CELLS, MOST_CELLS = 20, 1_000_000
GRADING = 0.12  # growth of neighbouring cells away from a layer, before refinement


def check_halved(cells: int) -> None:
    """Refuse so few cells that half of them, the coarser of two grids, cannot resolve a density.

    Raises
    ------
    BadInput
    """
    if cells // 2 < LEAST_CELLS:
        raise BadInput(f"{cells} cells, and half of them, cannot resolve a density: use at least {2 * LEAST_CELLS}")


@dataclasses.dataclass(frozen=True)
class Grid:
    """Nodes of cells and the edges that join them.

    Attributes
    ----------
    v : float64 array (n,)
        Nodes. V_R is one of them; V_F is the end of the last edge (sharp threshold) or a node (random threshold).
    edges : float64 array (3, n)
        Middle and length of the edge to the right of every node, and the width of its cell. The last edge ends at
        V_F, or has length 0 where nothing leaves.
    table : float64 array (7, n)
        The edges and what the kernels need of them (see :mod:`bmi_runtime.kernels.fokker_planck_fluxes`).
    sink : float64 array (n,)
        Rate of firing of the neurons of every cell (random threshold), else 0.
    reset : int
        Index of the node V_R.
    """

    v: np.ndarray
    edges: np.ndarray
    table: np.ndarray
    sink: np.ndarray
    reset: int

    @property
    def width(self) -> np.ndarray:
        """Return the widths of the cells (n,)."""
        return self.edges[2]

    @property
    def gap_at_threshold(self) -> float:
        """Return the length of the edge that ends at V_F."""
        gap = self.edges[1]
        return float(gap[-1] if gap[-1] > 0 else gap[np.flatnonzero(self.sink)[0] - 1])


def build(
    model: Model, cells: int = 400, v_min: float = -6.0, v_max: float | None = None, finest: float | None = None
) -> Grid:
    """Return a grid of about `cells` cells on [v_min, V_F], or [v_min, v_max] with a random threshold.

    The local size follows a smooth density of nodes, the sum of a constant and of ``1 / (size + GRADING distance)``
    about V_F and V_R, so doubling `cells` halves every cell: convergence tables make sense.

    Parameters
    ----------
    model : Model
    cells : int
        Number of cells.
    v_min, v_max : float
        Ends of the domain.
    finest : float, optional
        Wanted size at V_F (and ten times that at V_R) when `cells` is 400; by default the grid is nearly uniform.

    Raises
    ------
    BadInput
        When there are too few or too many cells, or the domain does not hold the reset and the threshold.
    """
    if cells < LEAST_CELLS:
        raise BadInput(f"{cells} cells cannot resolve a density: use at least {LEAST_CELLS}")
    if cells > MOST_CELLS:
        raise BadInput(f"{cells} cells are more than a run can hold: use at most {MOST_CELLS}")
    soft = model.threshold_eps > 0
    top = model.v_threshold if not soft else (v_max if v_max is not None else model.v_threshold + 7.0)
    if v_min >= model.v_reset or (soft and top <= model.v_threshold):
        raise BadInput(
            f"the domain [{v_min:g}, {top:g}] must hold V_R = {model.v_reset:g} and V_F = {model.v_threshold:g} inside"
        )
    layers = [] if finest is None else [(model.v_threshold, finest), (model.v_reset, 10 * finest)]
    knots = [v_min, model.v_reset, model.v_threshold] + ([top] if soft else [])
    nodes = _place(knots, layers, cells)
    return of_nodes(model, nodes, soft)


def _place(knots, layers, cells):
    """Return nodes with the wanted density, every knot among them."""
    pieces = [np.unique(np.concatenate([_fine(lo, hi, layers), [lo, hi]])) for lo, hi in itertools.pairwise(knots)]
    counts = [np.r_[0.0, np.cumsum(np.diff(_count(piece, layers)))] for piece in pieces]
    total = sum(count[-1] for count in counts)
    share = sum(np.diff(knots))
    nodes = [np.array([knots[0]])]
    for piece, count in zip(pieces, counts):
        length = piece[-1] - piece[0]
        weight = count + 400.0 / share * (piece - piece[0])
        wanted = max(4, round(cells * (count[-1] + 400.0 * length / share) / (total + 400.0)))
        from scipy.interpolate import PchipInterpolator

        distinct = _distinct(weight)  # sample points of two ladders may differ by rounding alone
        inverse = PchipInterpolator(weight[distinct], piece[distinct])
        here = inverse(np.linspace(0.0, weight[-1], wanted + 1))
        here[-1] = piece[-1]
        nodes.append(here[1:])
    return np.concatenate(nodes)


def _distinct(weight):
    """Return which samples of a growing function to keep, the ends among them, so that it grows strictly."""
    step = 1e-12 * weight[-1]
    kept = np.r_[True, np.diff(np.floor(weight / step)) > 0]
    kept[-1] = True
    kept[:-1] &= weight[:-1] < weight[-1] - step
    return kept


def _fine(lo, hi, layers):
    """Return sample points of [lo, hi], geometric towards every layer."""
    points = [np.linspace(lo, hi, 2001)]
    for centre, size in layers:
        ladder = size * np.expm1(np.linspace(0.0, np.log1p((hi - lo + abs(centre)) / size), 4001))
        points += [centre - ladder, centre + ladder]
    every = np.concatenate(points)
    return every[(every >= lo) & (every <= hi)]


def _count(v, layers):
    """Return the antiderivative of the density of extra nodes of the layers at the points `v`."""
    total = np.zeros_like(v)
    for centre, size in layers:
        total += np.sign(v - centre) * np.log1p(GRADING * np.abs(v - centre) / size) / GRADING
    return total


def of_nodes(model: Model, nodes: np.ndarray, soft: bool) -> Grid:
    """Return the grid of nodes (n,) that end at V_F, or at the upper end with a random threshold (`soft`)."""
    gap = np.diff(nodes)
    if soft:
        v = nodes
        gap = np.r_[gap, 0.0]
        before = np.r_[0.0, gap[:-1]]
    else:
        v = nodes[:-1]
        before = np.r_[0.0, gap[:-1]]
    width = 0.5 * (before + gap)
    sink = np.zeros(v.size)
    if soft:
        at = int(np.argmin(np.abs(v - model.v_threshold)))
        sink[at + 1 :] = 1.0 / model.threshold_eps
        sink[at] = 0.5 * gap[at] / width[at] / model.threshold_eps
    reset = int(np.argmin(np.abs(v - model.v_reset)))
    edges = np.ascontiguousarray([v + 0.5 * gap, gap, width])
    return Grid(v, edges, _table(edges), sink, reset)


def _table(edges):
    """Return the table of the kernels: the edges, and the constant parts of the two transfer rates of each."""
    _, gap, width = edges
    inverse = np.divide(1.0, gap, out=np.zeros_like(gap), where=gap > 0)
    after = np.r_[1.0 / width[1:], 0.0]  # no cell lies beyond the last edge: nothing comes back through it
    return np.vstack([edges, inverse / width, 0.25 * gap / width, inverse * after, 0.25 * gap * after])
