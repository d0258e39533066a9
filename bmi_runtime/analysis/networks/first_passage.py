"""One neuron under white noise and Poisson trains of finite jumps: rate, regularity, spectrum, and what moves them.

The voltage follows ``dv = (E_0 - v) / tau dt + sigma / sqrt(tau) dB + sum_q J_q dN_q(t)``, N_q Poisson at rate nu_q,
with threshold, reset and refractory time. A diffusion that replaces the jumps by their mean and variance is wrong by
tens of percent when a jump is a sizeable part of the distance from reset to threshold; here the jumps are kept. The
voltage stands on a grid, on which drift and diffusion become rates of an exponentially fitted (Scharfetter-Gummel)
Markov chain, and every quantity follows from a banded solve with its generator L (backward: acting on functions of the
start):

* mean time to threshold ``L T = -1``, its square from ``L T2 = -2 T``, the density ``L' p = -r delta_reset``;
* transform of the interval density ``(L - i w) g = -e`` (e: rates of passing threshold), and with it the spectrum of
  the renewal train ``r (1 - |f|^2) / |1 - f|^2``;
* response of the rate to modulated nu_q: ``p'(g(v + J) - g(v)) / (1 - f)`` with g = 1 beyond threshold;
* the second-order shift of the mean rate by a slow or fast fluctuation of the input.

(Textbook first-passage theory on a grid, put together here; each is tested against differences and simulation.)
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.linalg import solve_banded

from bmi_runtime.analysis.networks.neuron import LIFNeuron

CELLS = 48  # between reset and threshold: rates are then good to a few parts in a thousand
REACH_SD = 6.0  # how many standard deviations below its mean the voltage is followed
STEP_MV = 0.05  # of the numerical derivative with respect to the mean input


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return ``x / (exp(x) - 1)``, 1 at 0."""
    small = np.abs(x) < 1e-6
    return np.where(small, 1 - x / 2, x / np.expm1(np.where(small, 1.0, np.minimum(x, 600.0))))


class FirstPassage:
    """The neuron at one input.

    Parameters
    ----------
    neuron : LIFNeuron
    external_mv : float
        E_0, the mean input without the jumps.
    jumps_mv, rates_hz : (q,) array
        Sizes of the jumps (signed) and their rates.
    resolution : int
        Cells between reset and threshold.
    """

    def __init__(self, neuron: LIFNeuron, external_mv: float, jumps_mv, rates_hz, resolution: int = CELLS):
        used = np.asarray(rates_hz, float) > 0
        self.neuron, self.external_mv = neuron, float(external_mv)
        self.jumps_mv, self.rates_hz = np.asarray(jumps_mv, float)[used], np.asarray(rates_hz, float)[used]
        self.tau_s, self.refractory_s = neuron.tau_ms / 1e3, neuron.refractory_ms / 1e3
        self.reset = resolution - 1
        self.cell_mv = (neuron.v_threshold_mv - neuron.v_reset_mv) / resolution
        mean = external_mv + self.tau_s * (self.jumps_mv @ self.rates_hz)
        variance = neuron.sigma_mv**2 / 2 + self.tau_s / 2 * (self.jumps_mv**2 @ self.rates_hz)
        spread = np.sqrt(variance)
        low = min(neuron.v_reset_mv - 0.5 * REACH_SD * spread, mean - REACH_SD * spread)
        self.cells = int(np.ceil((neuron.v_threshold_mv - low) / self.cell_mv))
        self.voltage_mv = neuron.v_threshold_mv - self.cell_mv * np.arange(1, self.cells + 1)
        widths = np.minimum(np.rint(np.abs(self.jumps_mv) / self.cell_mv).astype(int) + 1, self.cells - 2)
        self._below = max([1, *widths[self.jumps_mv > 0].tolist()])
        self._above = max([1, *widths[self.jumps_mv < 0].tolist()])
        self._bands = self._drift(self.external_mv)
        for jump, rate in zip(self.jumps_mv, self.rates_hz):
            self._add_jumps(jump, rate)

    def _drift(self, external_mv: float) -> np.ndarray:
        """Return the bands of drift and diffusion (row ``above + i - j``, column j)."""
        bands = np.zeros((self._below + self._above + 1, self.cells))
        h, spread = self.cell_mv, self.neuron.sigma_mv**2 / 2 / self.tau_s
        half = h / self.tau_s / spread
        up = spread / h**2 * _bernoulli(-(external_mv - self.voltage_mv - h / 2) * half)
        down = spread / h**2 * _bernoulli((external_mv - self.voltage_mv + h / 2) * half)
        down[-1] = 0.0
        bands[self._above] = -(up + down)
        bands[self._above + 1, :-1] = up[1:]
        bands[self._above - 1, 1:] = down[:-1]
        return bands

    def _parts(self, jump: float) -> list[tuple[int, float]]:
        """Return the cells (towards threshold, signed) that a jump goes, and their shares.

        Three neighbours keep its mean and its square, however small it is against a cell.
        """
        way = min(abs(jump) / self.cell_mv, self.cells - 3)
        whole = round(way)
        rest, sign = way - whole, 1 if jump > 0 else -1
        shares = ((whole - 1, rest * (rest - 1) / 2), (whole, 1 - rest**2), (whole + 1, rest * (rest + 1) / 2))
        return [(sign * cells, share) for cells, share in shares if share != 0]

    def _add_jumps(self, jump: float, rate: float) -> None:
        self._bands[self._above] -= rate
        cells = np.arange(self.cells)
        for way, share in self._parts(jump):
            ends = np.minimum(cells - way, self.cells - 1)  # jumps below the grid end in its lowest cell
            inside = ends >= 0
            rows = self._above + cells[inside] - ends[inside]
            np.add.at(self._bands, (rows, ends[inside]), rate * share)

    def _solved(self, bands: np.ndarray, right: np.ndarray) -> np.ndarray:
        return solve_banded((self._below, self._above), bands, right)

    def _solved_transposed(self, bands: np.ndarray, right: np.ndarray) -> np.ndarray:
        return solve_banded((self._above, self._below), self._transposed(bands), right)

    def _transposed(self, bands: np.ndarray) -> np.ndarray:
        out = np.zeros_like(bands)
        for shift in range(-self._below, self._above + 1):
            row = bands[self._above - shift]
            if shift >= 0:
                out[self._below + shift, : self.cells - shift] = row[shift:]
            else:
                out[self._below + shift, -shift:] = row[:shift]
        return out

    def _times(self, bands: np.ndarray, x: np.ndarray) -> np.ndarray:
        out = np.zeros(self.cells, np.result_type(bands, x))
        for shift in range(-self._below, self._above + 1):
            row = bands[self._above - shift]
            if shift >= 0:
                out[: self.cells - shift] += row[shift:] * x[shift:]
            else:
                out[-shift:] += row[:shift] * x[:shift]
        return out

    @functools.cached_property
    def _time(self) -> np.ndarray:
        """Mean time to threshold from every cell (s)."""
        return self._solved(self._bands, -np.ones(self.cells))

    @functools.cached_property
    def rate_hz(self) -> float:
        """The stationary rate."""
        return 1 / (self.refractory_s + self._time[self.reset])

    @functools.cached_property
    def cv2(self) -> float:
        """The squared coefficient of variation of the intervals."""
        second = self._solved(self._bands, -2 * self._time)[self.reset]
        return float((second - self._time[self.reset] ** 2) * self.rate_hz**2)

    @functools.cached_property
    def _density(self) -> np.ndarray:
        """Probability of every cell outside the refractory time."""
        right = np.zeros(self.cells)
        right[self.reset] = -self.rate_hz
        return self._solved_transposed(self._bands, right)

    def _after(self, values: np.ndarray, jump: float, beyond: float) -> np.ndarray:
        """Return ``values(v + jump)``, `beyond` where that is over threshold."""
        out = np.zeros(self.cells, values.dtype)
        cells = np.arange(self.cells)
        for way, share in self._parts(jump):
            ends = np.minimum(cells - way, self.cells - 1)
            out += share * np.where(ends >= 0, values[np.maximum(ends, 0)], beyond)
        return out

    def gain(self, jump: float) -> float:
        """Return the change of the rate per Hz of jumps of this size."""
        return float(self.rate_hz * self._density @ (self._time - self._after(self._time, jump, 0.0)))

    def at(self, angular: float) -> Transformed:
        """Return what is known at the angular frequency (1/s, positive)."""
        bands = self._bands.astype(complex)
        bands[self._above] -= 1j * angular
        passing = -self._times(self._bands, np.ones(self.cells))
        return Transformed(self, angular, bands, self._solved(bands, -passing))

    @functools.cached_property
    def _shift(self) -> np.ndarray:
        """The change of the generator per mV of mean input."""
        both = self._drift(self.external_mv + STEP_MV) - self._drift(self.external_mv - STEP_MV)
        return both / (2 * STEP_MV)


def extrapolated_rate(fine: FirstPassage) -> float:
    """Return the rate (Hz) in the limit of a fine grid: errors are of second order (Richardson)."""
    coarse = FirstPassage(fine.neuron, fine.external_mv, fine.jumps_mv, fine.rates_hz, (fine.reset + 1) // 2)
    return max(fine.rate_hz + (fine.rate_hz - coarse.rate_hz) / 3, 0.0)


class Transformed:
    """A neuron at one frequency; made by :meth:`FirstPassage.at`."""

    def __init__(self, neuron: FirstPassage, angular: float, bands: np.ndarray, passage: np.ndarray):
        self._of, self._bands, self._passage = neuron, bands, passage
        self._delayed = np.exp(-1j * angular * neuron.refractory_s)
        self._rest = 1 - passage[neuron.reset] * self._delayed

    def spectrum(self) -> float:
        """Return the spectrum of the spike train (Hz; the rate if it were Poisson)."""
        return float(self._of.rate_hz * (1 - abs(1 - self._rest) ** 2) / abs(self._rest) ** 2)

    def gain(self, jump: float) -> complex:
        """Return the modulation of the rate per Hz of modulated jumps of this size."""
        moved = self._of._after(self._passage, jump, 1.0) - self._passage
        return complex(self._of._density @ moved / self._rest)

    def second_order(self) -> float:
        """Return the shift of the mean rate (Hz) per mV^2 of variance of the mean input at this frequency."""
        of = self._of
        shift = of._shift
        moved = FirstPassage._times(of, shift, np.ones(of.cells))
        pushed = self._pushed(shift)
        first = (self._passage @ pushed - moved @ of._density) / self._rest
        right = -pushed.astype(complex)
        right[of.reset] -= first * self._delayed
        density = of._solved_transposed(self._bands, right)
        return float(-of.rate_hz * density.real @ of._times(shift, of._time))

    def _pushed(self, shift: np.ndarray) -> np.ndarray:
        """Return the transpose of the shifted generator times the density."""
        of, out = self._of, np.zeros(self._of.cells)
        for way in (-1, 0, 1):
            row = shift[of._above - way]
            if way >= 0:
                out[way:] += row[way:] * of._density[: of.cells - way]
            else:
                out[:way] += row[:way] * of._density[-way:]
        return out
