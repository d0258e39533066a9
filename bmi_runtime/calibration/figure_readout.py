"""The figure `readout`: what rates of a network's read-out cost along its validation part, expected and measured."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bmi_runtime.calibration.plots import COLOURS, protocol_note, pyplot, save, save_table
from bmi_runtime.calibration.readout_halves import BLOCKS_S, Cost, cost_of

RATES = tuple(10.0 ** np.arange(-7.0, -3.9, 0.5))
NOTE = (
    "Two corrections of the read-out along the last fifth of the training part, which the network was not trained on: "
    f"each is taught every other block of {min(BLOCKS_S):g} to {max(BLOCKS_S):g} s. Dots: half the mean squared "
    "difference of what they read out, over the variance of what the best fixed read-out leaves. Line: expected from "
    "the autocovariance of the scores; dashed: if scores were white. Grey: the expected one within a quarter."
)


class Stretch(NamedTuple):
    """The validation part of one network.

    Attributes
    ----------
    name : str
    features, residual : ndarray, shape (bins, p) and (bins, outputs)
    noise : float
        Variance of what the best fixed read-out leaves.
    bin_s : float
    """

    name: str
    features: np.ndarray
    residual: np.ndarray
    noise: float
    bin_s: float


def draw_readout(
    stretches: Sequence[Stretch], folder: pathlib.Path, advance: Callable[[], object]
) -> tuple[list[pathlib.Path], list[dict]]:
    """Measure at every rate; return the files written (PNG, SVG, CSV) and the table's rows.

    Parameters
    ----------
    stretches : sequence of Stretch
    folder : path
        Made if missing.
    advance : callable
        Called `len(RATES)` times a stretch.
    """
    costs: list[list[Cost]] = []
    for stretch in stretches:
        costs.append([])
        for rate in RATES:
            costs[-1].append(cost_of(stretch.features, stretch.residual, rate, stretch.bin_s))
            advance()
    files = save(_figure(stretches, costs), folder, "readout")
    rows = [
        {
            "network": stretch.name, "rate": cost.rate, "measured": cost.measured / stretch.noise,
            "expected": cost.expected / stretch.noise, "white": cost.white / stretch.noise,
            "measured_over_expected": cost.measured / cost.expected,
        }
        for stretch, each in zip(stretches, costs, strict=True)
        for cost in each
    ]  # fmt: skip
    return [*files, save_table(folder / "readout.csv", rows, digits=4)], rows


def _figure(stretches: Sequence[Stretch], costs: list[list[Cost]]):
    plt = pyplot()
    figure, axes = plt.subplots(
        1, len(stretches), figsize=(1.2 + 3.4 * len(stretches), 4.0), squeeze=False, sharey=True
    )
    for axis, stretch, each in zip(axes[0], stretches, costs, strict=True):
        measured, expected, white = (
            np.array([getattr(cost, name) for cost in each]) / stretch.noise
            for name in ("measured", "expected", "white")
        )
        axis.fill_between(RATES, 0.75 * expected, 1.25 * expected, color="0.88", lw=0)
        axis.plot(RATES, expected, color=COLOURS[0], label="expected")
        axis.plot(RATES, white, "--", color=COLOURS[1], label="if scores were white")
        axis.plot(RATES, measured, "o", color="0.2", ms=4, label="measured, two halves")
        axis.set(xscale="log", yscale="log", xlabel="learning rate per bin")
        axis.set_title(stretch.name, loc="left")
    axes[0, 0].set_ylabel("excess error / residual variance")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.16, 1, 1))
    protocol_note(figure, NOTE)
    return figure
