"""The calibration as a view: both trade-off curves, a rate to drag, bounds to drag, and the adaptation they predict.

Stand-alone under ``bmi calibrate --gui``, docked in the operator's console otherwise: one view, one style. It computes
nothing itself: it asks an object like :class:`bmi_runtime.calibration.trade_off_curves.Curves`, whoever made it.
"""

import numpy as np
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtWidgets

from bmi_runtime.constants import Z_95
from gui import plots, theme

ROOMY_PX = 400  # height from which there is room for every plot
DECADES = [(power, f"1e{power}" if abs(power) > 3 else f"{10.0**power:g}") for power in range(-14, 9)]


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
    rate_released(float)
        When the rate's line is let go.
    rate_accepted(float)
        When the operator presses the button.
    """

    rate_changed = QtCore.Signal(float)
    rate_released = QtCore.Signal(float)
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
        self.restyle()

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

    def set_curves(self, curves) -> None:
        """Show other curves, of as many units or of others; the rate and the bounds stay where they are."""
        chosen = self.units.currentIndex()
        self.curves = curves
        self.units.blockSignals(True)
        self.units.clear()
        self.units.addItems(["worst of all units", *(f"unit {name}" for name in curves.unit_names)])
        self.units.setCurrentIndex(chosen if 0 <= chosen < self.units.count() else 0)
        self.units.blockSignals(False)
        self._choose_unit(self.units.currentIndex())

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
        self.error_plot = self._plot("steady error sd")
        self.time_plot = self._plot("convergence time (s)")
        self.profile_plot = plots.Plot("slowest weight's error", "time (s)")
        self.profile_plot.setMouseEnabled(False, False)
        self.profile_key = plots.caption()
        self.units = QtWidgets.QComboBox()
        self.units.addItems(["worst of all units", *(f"unit {name}" for name in self.curves.unit_names)])
        self.units.currentIndexChanged.connect(self._choose_unit)
        self.fastest_button = QtWidgets.QPushButton("Fastest in bounds")
        self.fastest_button.setToolTip("The fastest rate whose error and convergence time stay within the level lines")
        self.fastest_button.clicked.connect(self.fastest_allowed)
        self.accept_button = QtWidgets.QPushButton(accept_text)
        self.accept_button.clicked.connect(lambda: self.rate_accepted.emit(self.rate))
        self.text = QtWidgets.QLabel()
        self.text.setWordWrap(True)
        self.text.setMinimumHeight(52)
        self.text.setContentsMargins(10, 2, 10, 2)
        self._lay_out()
        self._allowed = [self._region(plot) for plot in (self.error_plot, self.time_plot)]
        self._curves = [plot.plot() for plot in (self.error_plot, self.time_plot)]
        self._exact = self.error_plot.plot(pen=None, symbol="o", symbolSize=6)
        self._rate_lines = [self._rate_line(plot) for plot in (self.error_plot, self.time_plot)]
        self._bounds, self._shades = [], []
        self.band = plots.Band(self.profile_plot, "first", 0.22)
        self._mean, self._schedule = self.profile_plot.plot(), self.profile_plot.plot()
        self._zero = self.profile_plot.addLine(y=0)

    def _lay_out(self):
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(4, 4, 4, 6)
        grid.setVerticalSpacing(2)
        bar = QtWidgets.QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self.units)
        bar.addWidget(self.fastest_button)
        bar.addStretch(1)
        bar.addWidget(self.accept_button)
        grid.addLayout(bar, 0, 0, 1, 2)
        grid.addWidget(self.error_plot, 1, 0)
        grid.addWidget(self.time_plot, 1, 1)
        grid.addWidget(self.text, 2, 0, 1, 2)
        grid.addWidget(self.profile_key, 3, 0, 1, 2)
        grid.addWidget(self.profile_plot, 4, 0, 1, 2)
        grid.setRowStretch(1, 5)
        grid.setRowStretch(4, 4)

    @staticmethod
    def _plot(label):
        plot = plots.Plot(label, "learning rate per bin")
        plot.setLogMode(x=True, y=True)
        plot.setMouseEnabled(False, False)
        for side in ("left", "bottom"):
            plot.getAxis(side).setTicks([DECADES])
        return plot

    def _rate_line(self, plot):
        line = pg.InfiniteLine(angle=90, movable=True)
        line.sigPositionChanged.connect(lambda moved: self.set_rate(10.0 ** moved.value()))
        line.sigPositionChangeFinished.connect(lambda _: self.rate_released.emit(self.rate))
        plot.addItem(line)
        return line

    @staticmethod
    def _region(plot):
        region = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
        region.setZValue(-20)
        plot.addItem(region)
        return region

    def _bound(self, plot, value):
        """Add a draggable bound with all above it shaded; return its line."""
        line = pg.InfiniteLine(np.log10(value), angle=0, movable=True)
        shade = pg.LinearRegionItem(orientation="horizontal", movable=False, pen=pg.mkPen(None))
        shade.setZValue(-10)

        def follow():
            shade.setRegion((line.value(), line.value() + 30))
            if len(self._bounds) == 2:
                self._show_allowed()

        line.sigPositionChanged.connect(follow)
        plot.addItem(shade, ignoreBounds=True)
        plot.addItem(line)
        self._bounds.append(line)
        self._shades.append(shade)
        shade.setRegion((line.value(), line.value() + 30))
        return line

    def restyle(self):
        """Take the fonts and colours of the current theme."""
        for plot in (self.error_plot, self.time_plot, self.profile_plot):
            plot.restyle()
        for curve in self._curves:
            plots.restyled(curve, "text", 1.8)
        self._exact.setSymbolPen(theme.pen("muted", 1.2))
        self._exact.setSymbolBrush(None)
        for lines, role, dashed in ((self._rate_lines, "second", False), (self._bounds, "bad", True)):
            for line in lines:
                line.setPen(theme.pen(role, 2.5, dashed=dashed))
                line.setHoverPen(theme.pen(role, 5))
        for regions, role, alpha in ((self._allowed, "good", 0.18), (self._shades, "bad", 0.14)):
            for region in regions:
                region.setBrush(theme.colour(role, alpha))
        self.band.restyle()
        plots.restyled(self._mean, "first", 2.2)
        plots.restyled(self._schedule, "third", 2.0, dashed=True)
        self._zero.setPen(theme.pen("muted", 1))
        self.profile_key.setText(
            plots.key(
                (("first", "▬", "mean error, 95 % bounds"), ("third", "– –", "rms error under the best schedule"))
            )
        )

    def resizeEvent(self, event):
        """Leave the lower picture out where there is no room for it, and decades where their numbers would touch."""
        super().resizeEvent(event)
        roomy = self.height() >= ROOMY_PX
        for part in (self.profile_plot, self.profile_key):
            part.setVisible(roomy)
        self.layout().setRowStretch(4, 4 if roomy else 0)
        self.text.setMinimumHeight(52 if roomy else 34)
        decades = np.log10(self.curves.rates[-1] / self.curves.rates[0])
        every = max(int(np.ceil(decades * 44 / max(self.width() / 2 - 70, 1))), 1)
        for plot in (self.error_plot, self.time_plot):
            plot.getAxis("bottom").setTicks([[tick for tick in DECADES if tick[0] % every == 0]])

    def _choose_unit(self, index):
        self.curves.choose(None if index == 0 else index - 1)
        self._draw_curves()
        self.set_rate(self.rate)

    def _draw_curves(self):
        rates, errors, times = self.curves.curve()
        self._exact.setData(*self.curves.exact_errors())
        for curve, plot, values in zip(self._curves, (self.error_plot, self.time_plot), (errors, times), strict=True):
            curve.setData(rates, values)
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
            "the closed form (line) holds"
            if point.trustworthy
            else "too slow for the closed form (line): read the exact values (circles)"
        )
        self.text.setText(
            f"<b>rate {self.rate:.3g}</b> per bin of {1e3 * self.curves.bin_s:g} ms: error sd "
            f"<b>{point.error_sd:.3g}</b> "
            f"(unit {point.worst_unit}), converges in <b>{point.convergence_s:.3g} s</b>; {verdict}.<br>"
            f"The movements go through all directions in {point.sweep_over_memory:.2g} of the filter's memory: {trust}."
        )

    def _show_profile(self):
        profile = self.curves.profile(self.rate)
        time, mean, sd = profile["time_s"], profile["mean"], profile["sd"]
        self.band.show(time, mean - Z_95 * sd, mean + Z_95 * sd)
        self._mean.setData(time, mean)
        self._schedule.setData(time, profile["schedule_sd"])
        self.profile_plot.setXRange(0, time[-1], padding=0.01)
        self.profile_plot.setYRange(min(-0.1, float((mean - Z_95 * sd).min())), 1.1, padding=0.02)


def show(curves, title: str, on_accept=None, **options) -> int:
    """Open the view in its own window until it is closed; `on_accept` takes the rate that is accepted."""
    from gui.application import application

    app = application()
    view = _window(curves, **options)
    view.setWindowTitle(title)
    if on_accept is None:
        view.accept_button.hide()
    else:
        view.rate_accepted.connect(on_accept)
    view.show()
    return app.exec() if hasattr(app, "exec") else app.exec_()


def picture(curves, path, **options) -> None:
    """Render the view into a picture, without a window on the screen."""
    from gui.application import application

    app = application()
    view = _window(curves, **options)
    view.setAttribute(QtCore.Qt.WidgetAttribute.WA_DontShowOnScreen)
    view.show()
    app.processEvents()
    view.grab().save(str(path))
    view.close()


def _window(curves, **options) -> CalibrationView:
    view = CalibrationView(curves, **options)
    view.setObjectName("CalibrationWindow")
    view.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
    view.setStyleSheet(f"#CalibrationWindow {{ background: {theme.current().panel}; }}")
    view.resize(1000, 760)
    return view
