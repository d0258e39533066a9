"""Labels that follow from the decoder's own errors: how long they hold up, and the largest rate at which they do.

Along one axis a goal u = +1 or -1 is held for a run of L bins, and the label h of the run is the sign of what the
current weights decode from it. A wrong label moves all units together, back along their own tuning; if that happens
often enough before right labels have undone it, the decoder turns round and the labels with it: from then on they are
all wrong, and hold each other up as well as before. No rate makes that impossible. The question is how long it takes.

With gains w (true, mean square s), noise variance Z, N units and weights a w + e (alignment a; scatter e of variance E,
private to each unit), a run of u = 1 shows the weights x = 1 + zeta along w, var zeta = Z / (L N s), and (derived)::

    h = sign(a x + xi),      var xi = E / (N s) (1 + Z / (L s))
    a <- (1 - kappa) a + kappa h x,      kappa = 1 - (1 - k)^L

with p and k of the Gaussian filter at information 1 / Z, and E = p (1 - k) / (2 - k). This is a Markov chain on the
line; the mean number of runs until a falls below zero solves (I - Q) t = 1, Q its transitions above zero (standard).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bmi_runtime.errors import BadInput

LOWEST_RATE = 1e-12  # where a search for the largest begins
GRID, MOST = 601, 1.8  # points, and the largest alignment on the grid
FINEST = 2.0  # steps of the grid that a run must move: below it the answer is that of a rate that does
NODES = 25  # of the quadrature over zeta


@dataclasses.dataclass(frozen=True)
class LabelLoop:
    """Gaussian units that adapt to labels read from their own decoder.

    Attributes
    ----------
    units : int
    gain_variance : float
        Mean square gain of a unit, for goals of length one.
    noise_variance : float
    run_bins : int
        How long a goal is held, L.
    """

    units: int
    gain_variance: float
    noise_variance: float
    run_bins: int

    def __post_init__(self):
        """Refuse what cannot be."""
        if min(self.units, self.run_bins) < 1 or min(self.gain_variance, self.noise_variance) <= 0:
            raise BadInput("a loop of labels needs units, bins, and variances above zero")

    def gain(self, rate: float) -> tuple[float, float]:
        """Return the filter's steady covariance p (before a bin) and its gain k."""
        z = self.noise_variance
        p = 0.5 * (rate + math.sqrt(rate * rate + 4.0 * rate * z))
        return p, p / (z + p)

    def wrong(self, rate: float, alignment: float = 1.0) -> float:
        """Return the share of wrong labels at an alignment."""
        nodes, weights, spread = self._noise(rate)
        return float(weights @ _below(alignment * nodes / spread))

    def _noise(self, rate: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Return values of x with their probabilities, and the standard deviation of xi."""
        p, k = self.gain(rate)
        scatter = p * (1.0 - k) / (2.0 - k)
        ns, z, s = self.units * self.gain_variance, self.noise_variance, self.gain_variance
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        x = 1.0 + math.sqrt(z / (self.run_bins * ns)) * nodes
        return x, weights / weights.sum(), math.sqrt(scatter / ns * (1.0 + z / (self.run_bins * s)))

    def lifetime_bins(self, rate: float) -> float:
        """Return after how many bins, on average, the decoder that began aligned has turned round.

        At rates at which a run moves the alignment by less than `FINEST` steps of the grid: at least so many.

        Raises
        ------
        BadInput
            When the rate is not above zero.
        """
        check_rate(rate)
        x, weights, spread = self._noise(rate)
        _, k = self.gain(rate)
        kappa = -math.expm1(self.run_bins * math.log1p(-k))
        step = MOST / (GRID - 1)
        if kappa < FINEST * step:  # slower rates live longer: a lower bound
            k = -math.expm1(math.log1p(-FINEST * step) / self.run_bins)
            return self.lifetime_bins(1.001 * k * k * self.noise_variance / (1.0 - k))
        a = np.arange(GRID) * step
        moves, rows = np.zeros((GRID, GRID + 1)), np.arange(GRID)
        for value, weight in zip(x, weights, strict=True):
            wrong = _below(a * value / spread)
            for sign, chance in ((1.0, 1.0 - wrong), (-1.0, wrong)):
                place = np.minimum(((1.0 - kappa) * a + kappa * sign * value) / step, GRID - 1.0)
                inside = place >= 0.0
                low = np.floor(place[inside]).astype(int)
                share = place[inside] - low
                np.add.at(moves, (rows[inside], low), weight * chance[inside] * (1.0 - share))
                np.add.at(moves, (rows[inside], low + 1), weight * chance[inside] * share)
        runs = np.linalg.solve(np.eye(GRID) - moves[:, :GRID], np.ones(GRID))
        return float(self.run_bins * np.interp(1.0, a, runs)) if (runs > 0).all() else math.inf

    def largest_rate(self, session_bins: float) -> float:
        """Return the largest rate whose lifetime is at least a session's length, to 1 %; 0 where there is none."""
        low, high = LOWEST_RATE, 1.0
        if self.lifetime_bins(low) < session_bins:
            return 0.0
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.lifetime_bins(middle) >= session_bins else (low, middle)
        return low


def _below(value: np.ndarray) -> np.ndarray:
    """Return the probability that a standard normal variable lies below minus this value."""
    from scipy.special import ndtr

    return ndtr(-value)


def check_rate(rate: float) -> None:
    """Raise BadInput unless a learning rate is a number above zero."""
    if not (0.0 < rate < math.inf):
        raise BadInput(f"a learning rate of {rate:g} cannot be; give one above zero")
