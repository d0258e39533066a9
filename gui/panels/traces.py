"""The parameters of the selected unit over the session, with the predicted and the achieved bounds of their error."""

from __future__ import annotations

import numpy as np

from bmi_runtime.constants import Z_95
from gui import axis_ranges, marks, plots, steady_state_error
from gui.panels.base import Panel

NAMES = ("baseline", "gain x", "gain y")
UNITS = {False: ("log Hz", "per dm/s", "per dm/s"), True: ("feature", "per dm/s", "per dm/s")}
ACHIEVED_S = 20.0  # of the past that the achieved band is over, at every moment


class TracesPanel(Panel):
    """Baseline and gains of the first selected unit."""

    title = "Parameter traces"
    about = (
        "The encoding parameters of the selected unit as adaptation moves them. The wide band with dashed edges is "
        "the predicted one: where 95 % of the estimates should lie around the truth (for real units: around the "
        "estimate) in the steady state, calculated from the learning rate and the filter's covariance. The inner "
        "band is the achieved one: 1.96 times the root mean square of the error over the last 20 s (for real units: "
        "of the scatter around the mean of these 20 s, the truth being unknown). What has been drawn does not "
        "change later. If the achieved band is much wider than the predicted one, the units change faster than the "
        "learning rate allows for."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.plots = []
        for index, name in enumerate(NAMES):
            last = index == len(NAMES) - 1
            plot = plots.Plot(name, "session time (s)" if last else "")
            plot.setMouseEnabled(True, False)
            plot.setLimits(xMin=0)
            if index:
                plot.follow_x(self.plots[0])
            if not last:
                plot.getAxis("bottom").setStyle(showValues=False)
            self.plots.append(plot)
            self.column.addWidget(plot, 5 if last else 4)
        self.predicted = [plots.Band(plot, "second", 0.10, edge=True) for plot in self.plots]
        self.achieved = [plots.Band(plot, "third", 0.25) for plot in self.plots]
        self.truths = [plot.curve() for plot in self.plots]
        self.estimates = [plot.curve(connect="finite") for plot in self.plots]
        self.marks = [marks.MarkLines(plot, words=plot is self.plots[0]) for plot in self.plots]
        self._spans: list[tuple[float, float] | None] = [None] * len(NAMES)
        self.restyle()
        context.selection.changed.connect(self.refresh)

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        for lines in self.marks:
            lines.restyle()
        for index in range(len(NAMES)):
            self.predicted[index].restyle()
            self.achieved[index].restyle()
            plots.restyled(self.estimates[index], "first", 2)
            plots.restyled(self.truths[index], "text", 1.3, dashed=True)

    def refresh(self) -> None:
        """Draw the history of the first selected unit."""
        store = self.store
        units = self.context.selection.within(store.n_units)
        rows, times = store.model_rows.view, store.model_times_s.view
        if not units or len(rows) == 0 or rows.ndim != 4:
            self.words.setText(self.waits_for("the runtime's first model"))
            self._show_numbers(False)
            return
        self._show_numbers(True)
        unit = units[0]
        for index in range(len(NAMES)):
            history = rows[:, :, index, unit].astype(float)
            self._draw(index, times, history)
        self.plots[0].show_ranges(x=(0.0, axis_ranges.round_range(0.0, max(float(times[-1]), 1.0))[1]))
        for lines in self.marks:
            lines.refresh(store)
        self._label()
        self.words.setText(self._key(unit) + self._coverage())

    def _show_numbers(self, shown: bool) -> None:
        """Show numbers on the axes, or none while nothing is drawn; those of time stand under the last plot alone."""
        for plot in self.plots:
            plot.show_numbers(shown, ("left", "bottom") if plot is self.plots[-1] else ("left",))

    def _draw(self, index: int, times: np.ndarray, history: np.ndarray) -> None:
        estimate, _, truth, predicted_sd = history.T
        known = np.isfinite(truth).any()
        mean, spread = trailing(times, estimate - truth if known else estimate, ACHIEVED_S)
        centre = truth if known else estimate
        predicted = centre - Z_95 * predicted_sd, centre + Z_95 * predicted_sd
        achieved = Z_95 * (np.sqrt(mean**2 + spread**2) if known else spread)
        middle = truth if known else mean
        self.estimates[index].setData(times, estimate)
        self.truths[index].setData(*((times, truth) if known else ([], [])))
        self.predicted[index].show(times, *predicted)
        self.achieved[index].show(times, middle - achieved, middle + achieved)
        shown = axis_ranges.extremes(estimate, *predicted)
        self._spans[index] = axis_ranges.round_range(*shown, self._spans[index])
        self.plots[index].show_ranges(y=self._spans[index])

    def _learning_rate(self) -> float:
        if self.store.step is not None:
            return float(self.store.step["output"]["learning_rate"])
        return float(self.store.config.get("adapter", {}).get("learning_rate", 0.0))

    def _label(self) -> None:
        for plot, name, measure in zip(self.plots, NAMES, UNITS[self.store.continuous]):
            plot.name_axis("left", f"{name} ({measure})")

    def _key(self, unit: int) -> str:
        entries = [("first", "▬", f"<b>unit {unit}</b> estimate")]
        if self.store.truth is not None:
            entries.append(("text", "– –", "true"))
        entries += [("second", "– –", "predicted 95 %"), ("third", "█", "achieved 95 %")]
        return plots.key(entries)

    def _coverage(self) -> str:
        """Return how many of all units' parameters lie within their predicted bounds now."""
        share = self.coverage()
        if share is None:
            return ""
        return f"&nbsp;&nbsp;&nbsp; {100 * share:.0f}&nbsp;% of all parameters inside the predicted 95 %"

    def coverage(self) -> float | None:
        """Return the share of parameters of all units within the predicted 95 % bounds, None without a truth."""
        store = self.store
        if store.truth is None or store.weights is None or not np.isfinite(store.truth).all():
            return None
        sd = store.predicted_sd
        if sd is None:
            full = steady_state_error.dense(store.covariance, store.weights.shape[0])
            sd = np.sqrt(steady_state_error.steady_error_variance(full, self._learning_rate())).T
        return float(np.mean(np.abs(store.weights - store.truth) <= Z_95 * sd))

    def table(self):
        """Return the history of the selected unit."""
        rows, units = self.store.model_rows.view, self.context.selection.within(self.store.n_units)
        if not units or rows.ndim != 4 or not len(rows):
            return {}
        columns = {"time_s": self.store.model_times_s.view}
        for index, name in enumerate(NAMES):
            for part, what in enumerate(("estimate", "filter_sd", "true", "predicted_sd")):
                columns[f"{name.replace(' ', '_')}_{what}"] = rows[:, part, index, units[0]]
        return columns


def trailing(times: np.ndarray, values: np.ndarray, window_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the values of the last `window_s` at each moment.

    What is drawn for a moment does not change when later moments are known.
    """
    finite = np.where(np.isfinite(values), values, 0.0)
    sums, squares, counts = (
        np.concatenate([[0.0], np.cumsum(part)]) for part in (finite, finite**2, np.isfinite(values).astype(float))
    )
    last = np.arange(1, len(values) + 1)
    first = np.searchsorted(times, times - window_s)
    count = np.maximum(counts[last] - counts[first], 1.0)
    mean = (sums[last] - sums[first]) / count
    return mean, np.sqrt(np.maximum((squares[last] - squares[first]) / count - mean**2, 0.0))
