"""Who drives whom in a coupled GLM: the matrix of summed filters, and the filter of the chosen pair."""

from __future__ import annotations

import numpy as np

from bmi_runtime.constants import Z_95
from bmi_runtime.errors import BadInput
from gui import plots, theme
from gui.matrix import MatrixPlot, PairPicker
from gui.panels.file_panel import FilePanel, mismatch

STANDS_OUT = 4.0  # largest filter to standard error, over lags


class CouplingsPanel(FilePanel):
    """The coupling matrix of a fitted GLM and its filters."""

    title = "Couplings (GLM)"
    about = (
        "A fitted coupled GLM. The matrix holds, for every pair, the change of the target's log rate by one spike of "
        "the source, summed over lags; + and – mark filters that reach 4 standard errors at some lag. Click a cell (or "
        "choose from the boxes) to see that filter over time with its 95 % band. Couplings are effective "
        "connectivity: they may be indirect, or due to common input that was not recorded."
    )
    needs = ("coupling", "intercept", "unit_names", "bin_s")
    made_by = "bmi glm fit DATA --out FIT.npz"

    def check(self, arrays, name):
        """Refuse couplings that are no (targets, sources, lags) of these units."""
        coupling = arrays["coupling"]
        if coupling.ndim != 3 or coupling.shape[0] != coupling.shape[1] or coupling.size == 0:
            raise BadInput(f"{name}: coupling has shape {coupling.shape}; this view needs (units, units, lags)")
        shapes = {"filter_standard_errors": coupling.shape, "unit_names": coupling.shape[:1]}
        mismatch(arrays, shapes, name)

    def build(self) -> None:
        """Make the matrix, the filter's plot and the boxes."""
        column, row = self.stacked()
        self.matrix, self.plot, self.picker = MatrixPlot(), plots.Plot("change of log rate", "lag (ms)"), PairPicker()
        self.plot.setMouseEnabled(False, False)
        self.band = plots.Band(self.plot, "second", 0.25)
        self.curve = self.plot.plot()
        self.zero = self.plot.addLine(y=0)
        row.addWidget(self.matrix, 5)
        row.addWidget(self.plot, 5)
        column.addLayout(row, 1)
        column.addWidget(self.picker)
        for part in (self.matrix, self.picker):
            part.chosen.connect(self.choose)

    def fill(self) -> None:
        """Draw the matrix and the filter that stands out most between two units."""
        arrays = self.arrays
        self.filters = np.where(np.isneginf(arrays["coupling"]), 0.0, arrays["coupling"])
        self.sums, self.scores = self.filters.sum(axis=2), self._scores()
        self.names = [str(name) for name in arrays["unit_names"]]
        self.matrix.show_matrix(self.sums, self.scores >= STANDS_OUT, self.names)
        self.picker.offer(self.names, self.names)
        between = self.scores - np.diag(np.full(len(self.sums), np.inf))
        target, source = np.unravel_index(np.argmax(between if len(self.sums) > 1 else self.scores), self.sums.shape)
        self.choose(int(target), int(source))

    def _scores(self) -> np.ndarray:
        errors = self.arrays.get("filter_standard_errors")
        if errors is None:
            return np.zeros(self.sums.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(np.abs(self.filters) / errors, nan=0.0, posinf=0.0).max(axis=2)

    def choose(self, target: int, source: int) -> None:
        """Show the filter of one pair."""
        self.pair = target, source
        self.matrix.choose(target, source)
        kernel, errors = self.filters[target, source], self.arrays.get("filter_standard_errors")
        bin_s = float(self.arrays["bin_s"])
        lag_ms = 1e3 * (bin_s if bin_s > 0 else 1e-3) * np.arange(1, kernel.size + 1)
        self.curve.setData(lag_ms, kernel)
        half = Z_95 * errors[target, source] if errors is not None else np.full(kernel.size, np.nan)
        self.band.show(lag_ms, kernel - half, kernel + half)
        self.plot.setXRange(0, lag_ms[-1], padding=0)
        self.picker.show_pair(target, source, self._pair_in_words(target, source))

    def _pair_in_words(self, target: int, source: int) -> str:
        total, score = self.sums[target, source], self.scores[target, source]
        never = int(np.isneginf(self.arrays["coupling"][target, source]).sum())
        text = f"summed {total:+.3g} (rate × {np.exp(np.clip(total, -50, 50)):.3g})"
        text += f", at most {score:.1f} standard errors" if score else ""
        return text + (f"; {never} lags without a single spike are left out" if never else "")

    def summary(self) -> str:
        """Return sizes and how many pairs stand out."""
        off = ~np.eye(len(self.sums), dtype=bool)
        found = int(np.sum((self.scores >= STANDS_OUT) & off))
        text = f"{len(self.sums)} units, {self.filters.shape[2]} lags"
        if "filter_standard_errors" not in self.arrays:
            return f"{text}; fitted without the standard errors of filters, so none is marked"
        return f"{text}; {found} of {int(off.sum())} pairs reach {STANDS_OUT:g} standard errors (+ –)"

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        if self.built:
            self.band.restyle()
            plots.restyled(self.curve, "second", 2.2)
            self.zero.setPen(theme.pen("muted", 1))

    def table(self):
        """Return the chosen filter."""
        if not self.built:
            return {}
        target, source = self.pair
        return {"lag_bins": np.arange(1, self.filters.shape[2] + 1), "filter": self.filters[target, source]}
