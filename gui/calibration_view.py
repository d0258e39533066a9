"""The calibration as a view: both trade-off curves, a rate to drag, bounds to drag, and the adaptation they predict.

Stand-alone under ``bmi calibrate --gui``, docked in the operator's console otherwise. It computes nothing itself: it
asks an object like :class:`bmi_runtime.calibration.curves.Curves`.
"""

import numpy as np
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtWidgets

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#808080"
FORBIDDEN, ALLOWED = (213, 94, 0, 40), (0, 158, 115, 45)


def _darken(plot):
    """Give a plot dark axes in plain numbers."""
    for name in ("bottom", "left"):
        axis = plot.getAxis(name)
        axis.setPen("#303030")
        axis.setTextPen("#303030")
        axis.enableAutoSIPrefix(False)
        axis.setStyle(maxTextLevel=0)


class CalibrationView(QtWidgets.QWidget):
    """Trade-off curves with a draggable rate and draggable bounds.

    Parameters
    ----------
    curves : object
        With ``at``, ``curve``, ``exact_errors``, ``allowed``, ``profile``, ``choose``, ``unit_names`` and ``bin_s``.
    rate : float, optional
        To start from; the middle of the curves by default.
    max_error_sd, max_convergence_s : float, optional
        Bounds to start from.

    Signals
    -------
    rate_changed(float)
        While the rate is dragged.
    rate_accepted(float)
        When the operator presses the button.
    """

    rate_changed = QtCore.Signal(float)
    rate_accepted = QtCore.Signal(float)

    def __init__(
        self, curves, rate=None, max_error_sd=None, max_convergence_s=None, accept_text="Use this rate", parent=None
    ):
        super().__init__(parent)
        self.curves = curves
        self.rate = float(curves.rates[len(curves.rates) // 2] if rate is None else rate)
        self.setWindowTitle("Learning-rate calibration")
        self._build(accept_text)
        point = curves.at(self.rate)
        self._bound_error = self._bound(self.error_plot, max_error_sd or 2.0 * point.error_sd)
        self._bound_time = self._bound(self.time_plot, max_convergence_s or 2.0 * point.convergence_s)
        self._draw_curves()
        self.set_rate(self.rate)

    def set_rate(self, rate: float) -> None:
        """Move to a rate, kept on the curves."""
        self.rate = float(np.clip(rate, self.curves.rates[0], self.curves.rates[-1]))
        for line in self._rate_lines:
            line.blockSignals(True)
            line.setValue(np.log10(self.rate))
            line.blockSignals(False)
        self._show_point()
        self._show_profile()
        self.rate_changed.emit(self.rate)

    def set_bounds(self, max_error_sd: float, max_convergence_s: float) -> None:
        """Move both bounds."""
        self._bound_error.setValue(np.log10(max_error_sd))
        self._bound_time.setValue(np.log10(max_convergence_s))

    def bounds(self) -> tuple[float, float]:
        """Return the bounds: error standard deviation, convergence time (s)."""
        return 10.0 ** self._bound_error.value(), 10.0 ** self._bound_time.value()

    def fastest_allowed(self) -> None:
        """Go to the fastest rate that keeps the error bound."""
        high = self.curves.allowed(*self.bounds())[1]
        self.set_rate(high)

    def _build(self, accept_text):
        self.error_plot = self._plot("steady error sd, worst direction")
        self.time_plot = self._plot("convergence time (s)")
        self.profile_plot = pg.PlotWidget(background="w")
        self.profile_plot.setLabel("bottom", "time (s)")
        self.profile_plot.setLabel("left", "slowest weight's error")
        _darken(self.profile_plot)
        self.profile_plot.addLegend(offset=(-10, 10), labelTextColor="k")
        self.units = QtWidgets.QComboBox()
        self.units.addItem("worst of all units")
        self.units.addItems([f"unit {name}" for name in self.curves.unit_names])
        self.units.currentIndexChanged.connect(self._choose_unit)
        self.fastest_button = QtWidgets.QPushButton("Fastest within the error bound")
        self.fastest_button.clicked.connect(self.fastest_allowed)
        self.accept_button = QtWidgets.QPushButton(accept_text)
        self.accept_button.clicked.connect(lambda: self.rate_accepted.emit(self.rate))
        self.text = QtWidgets.QLabel()
        self.text.setWordWrap(True)
        self.text.setMinimumHeight(52)
        self._lay_out()
        self._rate_lines = [self._rate_line(plot) for plot in (self.error_plot, self.time_plot)]
        self._allowed = [self._region(plot) for plot in (self.error_plot, self.time_plot)]

    def _lay_out(self):
        grid = QtWidgets.QGridLayout(self)
        bar = QtWidgets.QHBoxLayout()
        bar.addWidget(self.units)
        bar.addWidget(self.fastest_button)
        bar.addStretch(1)
        bar.addWidget(self.accept_button)
        grid.addLayout(bar, 0, 0, 1, 2)
        grid.addWidget(self.error_plot, 1, 0)
        grid.addWidget(self.time_plot, 1, 1)
        grid.addWidget(self.text, 2, 0, 1, 2)
        grid.addWidget(self.profile_plot, 3, 0, 1, 2)
        grid.setRowStretch(1, 5)
        grid.setRowStretch(3, 4)

    @staticmethod
    def _plot(label):
        plot = pg.PlotWidget(background="w")
        plot.setLogMode(x=True, y=True)
        plot.setLabel("bottom", "learning rate per bin")
        plot.setLabel("left", label)
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.setMenuEnabled(False)
        _darken(plot)
        return plot

    def _rate_line(self, plot):
        line = pg.InfiniteLine(angle=90, movable=True, pen=pg.mkPen(BLUE, width=2), hoverPen=pg.mkPen(BLUE, width=4))
        line.sigPositionChanged.connect(lambda moved: self.set_rate(10.0 ** moved.value()))
        plot.addItem(line)
        return line

    @staticmethod
    def _region(plot):
        region = pg.LinearRegionItem(movable=False, brush=ALLOWED, pen=pg.mkPen(None))
        region.setZValue(-20)
        plot.addItem(region)
        return region

    def _bound(self, plot, value):
        """Add a draggable bound with all above it shaded; return its line."""
        line = pg.InfiniteLine(
            np.log10(value), angle=0, movable=True, pen=pg.mkPen(ORANGE, width=1.5, style=QtCore.Qt.DashLine)
        )
        shade = pg.LinearRegionItem(orientation="horizontal", movable=False, brush=FORBIDDEN, pen=pg.mkPen(None))
        shade.setZValue(-10)

        def follow():
            shade.setRegion((line.value(), line.value() + 30))
            if hasattr(self, "_bound_time"):
                self._show_allowed()

        line.sigPositionChanged.connect(follow)
        plot.addItem(shade, ignoreBounds=True)
        plot.addItem(line)
        follow()
        return line

    def _choose_unit(self, index):
        self.curves.choose(None if index == 0 else index - 1)
        self._draw_curves()
        self.set_rate(self.rate)

    def _draw_curves(self):
        for item in getattr(self, "_curve_items", []):
            item[0].removeItem(item[1])
        rates, errors, times = self.curves.curve()
        exact_rates, exact = self.curves.exact_errors()
        dots = {"pen": None, "symbol": "o", "symbolSize": 6, "symbolBrush": None, "symbolPen": pg.mkPen(GREY)}
        self._curve_items = [
            (self.error_plot, self.error_plot.plot(rates, errors, pen=pg.mkPen("k", width=1.5))),
            (self.error_plot, self.error_plot.plot(exact_rates, exact, **dots)),
            (self.time_plot, self.time_plot.plot(rates, times, pen=pg.mkPen("k", width=1.5))),
        ]
        for plot, values in ((self.error_plot, errors), (self.time_plot, times)):
            plot.setXRange(np.log10(rates[0]), np.log10(rates[-1]), padding=0.01)
            plot.setYRange(np.log10(values.min()), np.log10(values.max()), padding=0.05)
        self._show_allowed()

    def _show_allowed(self):
        low, high = self._limits = self.curves.allowed(*self.bounds())
        ends = np.log10(np.clip([low, high], self.curves.rates[0] / 10, self.curves.rates[-1] * 10))
        for region in self._allowed:
            region.setVisible(low <= high)
            region.setRegion((ends[0], max(ends)))
        self.fastest_button.setEnabled(bool(low <= high and np.isfinite(high)))
        self._show_point()

    def _show_point(self):
        point = self.curves.at(self.rate)
        low, high = self._limits
        if low > high:
            verdict = "no rate keeps both bounds: loosen one, or use a schedule"
        elif low <= self.rate <= high:
            verdict = "within both bounds"
        else:
            verdict = "too fast for the error bound" if self.rate > high else "too slow for the time bound"
        trust = (
            "closed form trusted"
            if point.trustworthy
            else "closed form not trusted here, see the exact values (circles)"
        )
        self.text.setText(
            f"<b>rate {self.rate:.3g}</b> per bin of {1e3 * self.curves.bin_s:g} ms: error sd "
            f"<b>{point.error_sd:.3g}</b> "
            f"(unit {point.worst_unit}), converges in <b>{point.convergence_s:.3g} s</b>; {verdict}.<br>"
            f"Task's sweep over the filter's memory: {point.sweep_over_memory:.2g}; {trust}."
        )

    def _show_profile(self):
        profile = self.curves.profile(self.rate)
        self.profile_plot.clear()
        time, mean, sd = profile["time_s"], profile["mean"], profile["sd"]
        low = self.profile_plot.plot(time, mean - 1.96 * sd, pen=pg.mkPen(BLUE, width=0.5))
        high = self.profile_plot.plot(time, mean + 1.96 * sd, pen=pg.mkPen(BLUE, width=0.5))
        self.profile_plot.addItem(pg.FillBetweenItem(low, high, brush=(0, 114, 178, 50)))
        self.profile_plot.plot(time, mean, pen=pg.mkPen(BLUE, width=2), name="mean error, 95 % bounds")
        self.profile_plot.plot(
            time, profile["schedule_sd"], pen=pg.mkPen(GREEN, width=2, style=QtCore.Qt.DashLine),
            name="rms error, best schedule ending at this rate",
        )  # fmt: skip
        self.profile_plot.addLine(y=0, pen=pg.mkPen(GREY, width=0.5))
        self.profile_plot.setXRange(0, time[-1], padding=0.01)
        self.profile_plot.setYRange(min(-0.1, float((mean - 1.96 * sd).min())), 1.1, padding=0.02)


def show(curves, title: str, on_accept=None, **options) -> int:
    """Open the view in its own window until it is closed; `on_accept` takes the rate that is accepted."""
    application = pg.mkQApp("Learning-rate calibration")
    view = CalibrationView(curves, **options)
    view.setWindowTitle(title)
    if on_accept is None:
        view.accept_button.hide()
    else:
        view.rate_accepted.connect(on_accept)
    view.resize(1000, 760)
    view.show()
    return application.exec()


def picture(curves, path, **options) -> None:
    """Render the view into a picture, without a window on the screen."""
    application = pg.mkQApp("Learning-rate calibration")
    view = CalibrationView(curves, **options)
    view.resize(1000, 760)
    view.setAttribute(QtCore.Qt.WA_DontShowOnScreen)
    view.show()
    application.processEvents()
    view.grab().save(str(path))
    view.close()
