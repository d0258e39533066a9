"""A window on a Fokker-Planck run: p(v, t) as a surface, N(t), and the density at the time of a slider."""

import numpy as np
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtWidgets


class DensityWindow(QtWidgets.QWidget):
    """The window of one kept run.

    Parameters
    ----------
    run : dict of arrays
        ``v`` (n,), ``times`` (s,), ``density`` (s, n), ``rate_times`` and ``rate`` (k,).
    """

    def __init__(self, run: dict[str, np.ndarray]):
        super().__init__()
        self.run = run
        self.setWindowTitle("Population density")
        self.resize(900, 640)
        self.surface, self.slice_line, self.rate_line = self._plots()
        self.slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.slider.setMaximum(run["times"].size - 1)
        self.label = QtWidgets.QLabel()
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.canvas)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.slider)
        row.addWidget(self.label)
        column.addLayout(row)
        self.slider.valueChanged.connect(self.show_time)
        self.show_time(0)

    def _plots(self):
        """Lay out the three plots; return the image of the surface and the curves of the slice and of the rate."""
        self.canvas = pg.GraphicsLayoutWidget()
        image_plot = self.canvas.addPlot(row=0, col=0, colspan=2)
        image_plot.setLabels(bottom="time (membrane time constants)", left="potential v")
        image = pg.ImageItem(self._uniform())
        image.setColorMap(pg.colormap.get("viridis"))
        image.setRect(QtCore.QRectF(*self._rectangle()))
        image_plot.addItem(image)
        self.marker = pg.InfiniteLine(angle=90, pen=pg.mkPen("w", width=2))
        image_plot.addItem(self.marker)
        slice_plot = self.canvas.addPlot(row=1, col=0)
        slice_plot.setLabels(bottom="potential v", left="density p")
        slice_plot.setYRange(0, float(self.run["density"].max()))
        rate_plot = self.canvas.addPlot(row=1, col=1)
        rate_plot.setLabels(bottom="time (membrane time constants)", left="rate N")
        rate = rate_plot.plot(self.run["rate_times"], self.run["rate"], pen=pg.mkPen("#56B4E9", width=2))
        self.rate_marker = pg.InfiniteLine(angle=90, pen=pg.mkPen("#E69F00", width=1))
        rate_plot.addItem(self.rate_marker)
        return image, slice_plot.plot(pen=pg.mkPen("#56B4E9", width=2)), rate

    def _rectangle(self):
        """Return left, bottom, width and height of the surface."""
        v, times = self.run["v"], self.run["times"]
        return float(times[0]), float(v[0]), float(times[-1] - times[0]), float(v[-1] - v[0])

    def _uniform(self):
        """Return the density (s, 300) on even potentials: an image needs equal pixels."""
        v = np.linspace(self.run["v"][0], self.run["v"][-1], 300)
        return np.array([np.interp(v, self.run["v"], row) for row in self.run["density"]])

    def show_time(self, index: int) -> None:
        """Show the density at one of the kept times, and mark it in the other two plots."""
        time = float(self.run["times"][index])
        self.slice_line.setData(self.run["v"], self.run["density"][index])
        self.marker.setValue(time)
        self.rate_marker.setValue(time)
        rate = float(np.interp(time, self.run["rate_times"], self.run["rate"]))
        self.label.setText(f"t = {time:.4g}   N = {rate:.4g}")


def show(run: dict[str, np.ndarray]) -> int:
    """Open the window and return when it is closed."""
    application = pg.mkQApp("bmi fokker-planck")
    window = DensityWindow(run)
    window.show()
    return application.exec()
