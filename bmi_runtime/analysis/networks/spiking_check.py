"""Simulated spikes against the rate theory, neuron by neuron, with standard errors."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks.fixed_points import solve
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.errors import BadInput

STARTS = 16
"""From which steady states are looked for, here and where a network's own noise is added."""


@dataclasses.dataclass
class Check:
    """Rates of every neuron (n,): simulated, their standard errors, and at the steady state nearest to them.

    The theory has no noise from the network itself: its rates are those of neurons whose input is the mean. Recurrent
    input fluctuates, which raises low rates; `mean_difference_hz` is what that amounts to. `stable_in_time` is that of
    the steady state, None where it is not known, and `states` how many were found: spikes leave a state that is not
    stable, and wander between several.
    """

    rates_hz: np.ndarray
    errors_hz: np.ndarray
    theory_hz: np.ndarray
    stable_in_time: bool | None = None
    states: int = 1

    def as_dict(self) -> dict:
        """Return a summary for JSON."""
        apart = self.rates_hz - self.theory_hz
        same = np.ptp(self.rates_hz) == 0 or np.ptp(self.theory_hz) == 0
        return {
            "mean_rate_hz": self.rates_hz.mean(),
            "theory_mean_rate_hz": self.theory_hz.mean(),
            "mean_difference_hz": apart.mean(),
            "mean_error_hz": float(np.sqrt((self.errors_hz**2).mean() / apart.size)),
            "correlation": None if same else float(np.corrcoef(self.rates_hz, self.theory_hz)[0, 1]),
            "rates_hz": self.rates_hz,
            "theory_hz": self.theory_hz,
            "theory_stable_in_time": self.stable_in_time,
            "theory_states": self.states,
        }

    def describe(self) -> str:
        """Return the summary as text."""
        found = self.as_dict()
        related = "" if found["correlation"] is None else f"; over neurons correlation {found['correlation']:.4f}"
        return (
            f"mean rate {found['mean_rate_hz']:.4g} Hz (theory {found['theory_mean_rate_hz']:.4g} Hz, "
            f"difference {found['mean_difference_hz']:+.3g} Hz, s.e. {found['mean_error_hz']:.2g} Hz){related}"
            + which_state(self.stable_in_time, self.states)
        )


def which_state(stable_in_time: bool | None, states: int) -> str:
    """Return what is to be said of the steady state of the rate theory, on a line of its own, or nothing."""
    lines = []
    if states > 1:
        lines.append(f"{states} steady states of the rate theory were found: what is said holds near one of them")
    if stable_in_time is False:
        lines.append("the steady state of the rate theory is not stable in time: spikes do not stay at it")
    return "".join(f"\nnote: {line}" for line in lines)


def rate_errors(counts: np.ndarray, bin_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's rate and its standard error (Hz), from the scatter over batches of bins (bins, n).

    Batches (about 20) are longer than correlations last, which single bins are not.

    Raises
    ------
    BadInput
        When there are fewer than 4 bins.
    """
    batches = min(20, len(counts))
    if batches < 4:
        raise BadInput(f"{len(counts)} bins are too few for a standard error; simulate at least 4")
    width = len(counts) // batches
    rates = counts[: batches * width].reshape(batches, width, -1).sum(axis=1) / (width * bin_s)
    return rates.mean(axis=0), rates.std(axis=0, ddof=1) / np.sqrt(batches)


def compared(network: RateNetwork, counts: np.ndarray, bin_s: float) -> Check:
    """Compare simulated counts (bins, n) with the steady state nearest to them in rate.

    Raises
    ------
    BadInput
        When no steady state was found.
    """
    rates, errors = rate_errors(counts, bin_s)
    found = solve(network, starts=STARTS, certify=False).fixed_points
    if not found:
        raise BadInput("no steady state of the rate theory was found to compare with")
    nearest = min(found, key=lambda point: float(np.linalg.norm(point.rates_hz - rates)))
    return Check(rates, errors, nearest.rates_hz, nearest.stable_in_time, len(found))
