"""The likelihood of an array's spikes under a noisy integrate-and-fire population."""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.population_fit import block_log_likelihoods

LOWEST = {"b": -50.0, "a0": 0.01, "a1": 0.0, "tau_s": 5e-4, "eps": 0.02, "delay_s": 0.0}
BLOCKS = 200
CELL = 1 / 12.5  # of the potential: V_R is the middle of a cell, V_F the edge of one
REACH_SD, DECAYS = 4.0, 5.0  # how far the cells go: in standard deviations, and in lengths of decay above V_F
MOST = 400  # cells below and above V_F
ENOUGH_SPIKES = 200


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Spikes of an array: ``counts`` (bins, units) of 0 or 1, bins of ``bin_s``."""

    counts: np.ndarray
    bin_s: float

    @property
    def rate_hz(self) -> float:
        """The mean rate of a unit."""
        return float(self.counts.mean() / self.bin_s)


def recorded(counts: np.ndarray, bin_s: float) -> Recorded:
    """Return the units of `counts` (bins, units) that fire, at most once a bin.

    Raises
    ------
    BadInput
        When there are too few spikes, or so many in one bin that bins are too wide.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.size == 0:
        raise BadInput(f"counts must be bins x units, not of shape {counts.shape}")
    if not 0 < bin_s < 0.02:
        raise BadInput(f"bins are {bin_s:g} s wide; the membrane needs bins of a few milliseconds at most")
    active = counts.sum(axis=0) >= 5
    counts = counts[:, active]
    spikes = int(counts.sum())
    if spikes < ENOUGH_SPIKES:
        raise BadInput(f"{spikes} spikes of {counts.shape[1]} units are too few to fit; at least {ENOUGH_SPIKES}")
    doubled = int((counts > 1).sum()) / max(1, int((counts > 0).sum()))
    if doubled > 0.02:
        raise BadInput(f"{doubled:.0%} of the bins with spikes hold several of one unit: use narrower bins")
    return Recorded(np.ascontiguousarray(counts > 0).astype(np.uint8), float(bin_s))


class Likelihood:
    """The log-likelihood of a recording in :data:`BLOCKS` stretches, as a function of named parameters."""

    def __init__(self, data: Recorded, refractory_s: float = 0.0, current: float = 0.0):
        self.data, self.refractory_s, self.current = data, refractory_s, current
        self.lowest = LOWEST | {"delay_s": data.bin_s}  # a spike is heard in the next bin, or later
        self._mean = data.counts.mean(axis=1)
        self._none = np.zeros((0, data.counts.shape[1]))

    def activity(self, delay_s: float) -> np.ndarray:
        """Return the spikes per unit (bins,) that arrive `delay_s` later, and never before the next bin."""
        shift = max(delay_s / self.data.bin_s, 1.0)
        whole, rest = int(shift), shift - int(shift)
        out = np.zeros_like(self._mean)
        out[whole:] += (1 - rest) * self._mean[: len(out) - whole]
        out[whole + 1 :] += rest * self._mean[: len(out) - whole - 1]
        return out

    def cells(self, values: dict[str, float]) -> np.ndarray:
        """Return the cells of the potential (k,): as wide as noise and drive need: a wall that is felt biases a0."""
        rate = self.data.rate_hz * values["tau_s"]
        noise, drift = values["a0"] + values["a1"] * rate, self.current + values["b"] * rate
        reach = REACH_SD * np.sqrt(noise)
        above = max(drift - 2.0, 0.0) + min(reach, DECAYS * np.sqrt(noise * values["eps"]))
        below = max(1.0, 2.0 - drift) + reach
        low, high = (min(int(np.ceil(length / CELL)), MOST) for length in (below, above))
        return 2.0 + CELL * (np.arange(-low, high) + 0.5)

    def __call__(self, values: dict[str, float], hazards: np.ndarray | None = None) -> np.ndarray:
        """Return the log-likelihood of every stretch (blocks,); `hazards` (bins, units) is written if given."""
        tau = values["tau_s"]
        parameters = np.array(
            [self.current, values["b"], values["a0"], values["a1"], values["eps"], self.refractory_s / tau]
        )
        blocks = np.zeros(BLOCKS)
        room = self._none if hazards is None else hazards
        step, activity = self.data.bin_s / tau, self.activity(values["delay_s"])
        v = self.cells(values)
        reset = int(np.argmin(np.abs(v - 1.0)))
        block_log_likelihoods(self.data.counts, activity, step, v, CELL, reset, parameters, blocks, room)
        return blocks
