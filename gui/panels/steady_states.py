"""The steady states of a rate network on the f-I curve of its neurons, and what each neuron does in them."""

from __future__ import annotations

import numpy as np
import pyqtgraph

from bmi_runtime.errors import BadInput
from gui import plots, theme
from gui.panels.file_panel import FilePanel, mismatch

ROLES = ("first", "second", "third", "fourth")
SYMBOLS = ("o", "s", "t1", "d")
MOST_STATES = len(ROLES)


class SteadyStatesPanel(FilePanel):
    """The f-I curve with the fixed points on it."""

    title = "Fixed points"
    about = (
        "A network of integrate-and-fire neurons and its steady states. Left the f-I curve: the rate of one neuron "
        "against its mean input; the symbols on it are the neurons in each steady state that was found, the large one "
        "is their mean (filled: the state is stable in time, hollow: it is not). Right the neurons' rates in each "
        "state, sorted. At most four states are drawn; the line above says how many there are, and whether it is "
        "proved that there are no others."
    )
    needs = ("curve_input_mv", "curve_rate_hz", "state_input_mv", "state_rate_hz", "state_stable")
    made_by = "bmi networks solve NETWORK.npz --out STATES.npz"

    def check(self, arrays, name):
        """Refuse states that do not fit each other."""
        states = arrays["state_input_mv"].shape
        if len(states) != 2 or arrays["curve_input_mv"].ndim != 1:
            raise BadInput(f"{name}: the states have shape {states}; this view needs (states, neurons)")
        shapes = {"state_rate_hz": states, "state_stable": states[:1]}
        mismatch(arrays, {**shapes, "curve_rate_hz": arrays["curve_input_mv"].shape}, name)

    def build(self) -> None:
        """Make both plots."""
        column, row = self.stacked()
        self.curve_plot = plots.Plot("rate (Hz)", "mean input E (mV)")
        self.sorted_plot = plots.Plot("rate (Hz)", "neurons, sorted")
        for plot in (self.curve_plot, self.sorted_plot):
            row.addWidget(plot, 1)
        column.addLayout(row, 1)
        self.legend = plots.caption("")
        column.addWidget(self.legend)
        self.curve = self.curve_plot.plot()
        self.dots = [pyqtgraph.ScatterPlotItem(symbol=symbol) for symbol in SYMBOLS]
        self.means = [pyqtgraph.ScatterPlotItem(symbol=symbol, size=17) for symbol in SYMBOLS]
        for item in (*self.dots, *self.means):
            self.curve_plot.addItem(item)
        self.ranks = [self.sorted_plot.plot() for _ in ROLES]

    def fill(self) -> None:
        """Draw the curve and the states."""
        arrays = self.arrays
        self.curve.setData(arrays["curve_input_mv"], arrays["curve_rate_hz"])
        for slot in range(MOST_STATES):
            shown = slot < len(arrays["state_input_mv"])
            inputs = arrays["state_input_mv"][slot] if shown else np.empty(0)
            rates = arrays["state_rate_hz"][slot] if shown else np.empty(0)
            self.dots[slot].setData(inputs, rates)
            self.means[slot].setData([inputs.mean()], [rates.mean()]) if shown else self.means[slot].setData([], [])
            self.ranks[slot].setData(np.arange(rates.size), np.sort(rates))
        self.curve_plot.autoRange(padding=0.04)
        self.sorted_plot.autoRange(padding=0.04)

    def _stable(self, slot: int) -> str:
        value = float(self.arrays["state_stable"][slot])
        return "stability unknown" if np.isnan(value) else "stable" if value else "unstable"

    def summary(self) -> str:
        """Return how many states there are and what is proved of their number."""
        states, neurons = self.arrays["state_input_mv"].shape
        statement = str(self.arrays["statement"]) if "statement" in self.arrays else ""
        return f"{neurons} neurons, {states} steady state{'' if states == 1 else 's'}. {statement}"

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        if not self.built:
            return
        plots.restyled(self.curve, "muted", 1.8)
        states = self.arrays["state_rate_hz"]
        for slot, role in enumerate(ROLES):
            self.dots[slot].setBrush(theme.colour(role, 0.7))
            self.dots[slot].setPen(None)
            self.dots[slot].setSize(6)
            stable = slot < len(states) and self._stable(slot) == "stable"
            self.means[slot].setBrush(theme.colour(role) if stable else theme.colour("panel"))
            self.means[slot].setPen(theme.pen("text" if stable else role, 2.5))
            plots.restyled(self.ranks[slot], role, 2.2, dashed=slot < len(states) and not stable)
        signs = "●■▲◆"
        self.legend.setText(
            plots.key(
                (ROLES[k], signs[k], f"mean {rates.mean():.3g} Hz, {self._stable(k)}")
                for k, rates in enumerate(states[:MOST_STATES])
            )
        )

    def table(self):
        """Return the neurons' rates in each state."""
        if not self.built:
            return {}
        return {f"state_{k}_rate_hz": rates for k, rates in enumerate(self.arrays["state_rate_hz"])}
