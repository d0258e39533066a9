"""A kept Fokker-Planck run: p(v, t) as a surface, N(t), and the density at the moment of a slider."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtWidgets

from bmi_runtime.errors import BadInput
from gui import plots, theme
from gui.panels.file_panel import FilePanel, mismatch

PIXELS = 300  # of the image, along potential
LEAST_SHOWN = 1e-3  # of the largest density: potentials that never hold as much are out of the picture


class DensityPanel(FilePanel):
    """The density of a population of neurons over time."""

    title = "Population density"
    about = (
        "A run of the Fokker-Planck equation of a population of neurons. Above the density p(v, t): time to the right, "
        "potential upward, brighter is denser. Below left the density at the moment of the slider, below right the "
        "firing rate N(t) with that moment marked. Drag the slider, or move it with the arrow keys. Time is in "
        "membrane time constants."
    )
    needs = ("v", "times", "density", "rate_times", "rate")
    made_by = "bmi fokker-planck run ... --out RUN.npz"

    def check(self, arrays, name):
        """Refuse a density that does not fit its axes."""
        v, times = arrays["v"], arrays["times"]
        if v.ndim != 1 or times.ndim != 1 or v.size < 2 or times.size < 1:
            raise BadInput(f"{name}: v and times must be lists of numbers, not {v.shape} and {times.shape}")
        mismatch(arrays, {"density": (times.size, v.size), "rate": arrays["rate_times"].shape}, name)
        if not np.isfinite(arrays["density"]).all() or not arrays["density"].max() > 0.0:
            raise BadInput(f"{name}: the density must be finite and somewhere positive")

    def build(self) -> None:
        """Make the three plots and the slider."""
        grid = QtWidgets.QGridLayout(self.body)
        grid.setContentsMargins(0, 0, 0, 6)
        grid.setSpacing(0)
        self.surface_plot = plots.Plot("potential v", "")
        self.image = pyqtgraph.ImageItem()
        self.surface_plot.addItem(self.image)
        self.slice_plot, self.rate_plot = plots.Plot("density p", "potential v"), plots.Plot("rate N", "time")
        self.slice_line, self.rate_line = self.slice_plot.plot(), self.rate_plot.plot()
        self.markers = [pyqtgraph.InfiniteLine(angle=90) for _ in range(2)]
        self.surface_plot.addItem(self.markers[0])
        self.rate_plot.addItem(self.markers[1])
        for plot in (self.surface_plot, self.slice_plot, self.rate_plot):
            plot.setMouseEnabled(False, False)
        self.slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.slider.setToolTip("The moment that is shown")
        self.slider.valueChanged.connect(self.show_time)
        self.label = plots.caption("")
        grid.addWidget(self.surface_plot, 0, 0, 1, 2)
        grid.addWidget(self.slice_plot, 1, 0)
        grid.addWidget(self.rate_plot, 1, 1)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(12, 2, 8, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        grid.addLayout(row, 2, 0, 1, 2)
        grid.setRowStretch(0, 5)
        grid.setRowStretch(1, 4)

    def fill(self) -> None:
        """Draw the surface and the rate; go to a third of the run."""
        arrays = self.arrays
        self.image.setImage(self._uniform())
        self.image.setColorMap(pyqtgraph.colormap.get("viridis"))
        v, times = arrays["v"], arrays["times"]
        width = max(float(times[-1] - times[0]), 1e-12)
        self.image.setRect(QtCore.QRectF(float(times[0]), float(v[0]), width, float(v[-1] - v[0])))
        self.surface_plot.setXRange(float(times[0]), float(times[0]) + width, padding=0)
        low, high = v[np.flatnonzero(arrays["density"].max(axis=0) > LEAST_SHOWN * arrays["density"].max())[[0, -1]]]
        self.surface_plot.setYRange(float(low), float(high), padding=0)
        self.rate_line.setData(arrays["rate_times"], arrays["rate"])
        self.rate_plot.autoRange(padding=0.04)
        self.slice_plot.setXRange(float(low), float(high), padding=0)
        self.slice_plot.setYRange(0, 1.05 * float(np.nanmax(arrays["density"])), padding=0)
        self.slider.setMaximum(times.size - 1)
        self.slider.setValue(self.slider.maximum() // 3)
        self.show_time(self.slider.value())

    def _uniform(self) -> np.ndarray:
        """Return the density (times, PIXELS) on even potentials: an image needs equal pixels."""
        v = self.arrays["v"]
        even = np.linspace(v[0], v[-1], PIXELS)
        return np.array([np.interp(even, v, row) for row in self.arrays["density"]])

    def show_time(self, index: int) -> None:
        """Show the density at one of the kept times, and mark it in the other two plots."""
        arrays = self.arrays
        time = float(arrays["times"][index])
        self.slice_line.setData(arrays["v"], arrays["density"][index])
        for marker in self.markers:
            marker.setValue(time)
        rate = float(np.interp(time, arrays["rate_times"], arrays["rate"]))
        self.label.setText(f"t = {time:.4g} &nbsp; N = {rate:.4g}")

    def summary(self) -> str:
        """Return how long the run is, and what became of the rate."""
        times, rate = self.arrays["times"], self.arrays["rate"]
        return f"{times.size} moments up to t = {times[-1]:.4g}; N from {rate[0]:.4g} to {rate[-1]:.4g}"

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        if self.built:
            plots.restyled(self.slice_line, "first", 2.2)
            plots.restyled(self.rate_line, "first", 2.2)
            for marker in self.markers:
                marker.setPen(theme.pen("second", 2, dashed=True))
            self.surface_plot.getAxis("left").setGrid(False)
            self.surface_plot.getAxis("bottom").setGrid(False)

    def table(self):
        """Return the rate over time."""
        return {name: self.arrays[name] for name in ("rate_times", "rate")} if self.built else {}
