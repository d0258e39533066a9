"""The leaky integrate-and-fire neuron: its parameters and its f-I curve."""

import dataclasses
import functools

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import lif


@dataclasses.dataclass(frozen=True)
class LIFNeuron:
    """A leaky integrate-and-fire neuron in white noise.

    The voltage follows ``tau v' = -(v - E_L) + mu + sqrt(sigma^2 tau) xi(t)``; at threshold it spikes, and holds at
    reset for the refractory time. ``E = E_L + mu`` is the mean input: the voltage to which it would relax without
    threshold.

    Parameters
    ----------
    tau_ms : float
        Membrane time constant.
    e_l_mv : float
        Leak (resting) potential; it shifts no f-I curve written in E, and turns E into a current: ``mu = E - E_L``.
    v_threshold_mv, v_reset_mv : float
        Threshold, and the reset below it.
    refractory_ms : float
        Absolute refractory time (0 is allowed).
    sigma_mv : float
        Noise strength; the stationary standard deviation without threshold is ``sigma / sqrt 2``.

    Raises
    ------
    BadInput
        When a value is not finite, or the neuron could not exist.
    """

    tau_ms: float = 20.0
    e_l_mv: float = -60.0
    v_threshold_mv: float = -45.0
    v_reset_mv: float = -60.0
    refractory_ms: float = 2.0
    sigma_mv: float = 5.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = np.asarray(getattr(self, field.name))
            if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
                raise BadInput(f"{field.name} must be one finite number, not {getattr(self, field.name)!r}")
            object.__setattr__(self, field.name, float(value.reshape(())))
        if self.tau_ms <= 0:
            raise BadInput(f"tau_ms is {self.tau_ms:g}: the membrane time constant must be positive")
        if self.refractory_ms < 0:
            raise BadInput(f"refractory_ms is {self.refractory_ms:g}: it cannot be negative")
        if self.v_reset_mv >= self.v_threshold_mv:
            raise BadInput(
                f"v_reset_mv ({self.v_reset_mv:g}) must lie below v_threshold_mv ({self.v_threshold_mv:g}), "
                "or the neuron spikes forever"
            )
        if self.sigma_mv <= 0:
            raise BadInput(
                f"sigma_mv is {self.sigma_mv:g}: without noise the slope of the f-I curve is unbounded at threshold, "
                "so neither Newton's method nor a contraction constant exists; give a positive sigma_mv"
            )

    @property
    def arguments(self) -> tuple[float, float, float, float, float]:
        """The constants in the order and units of the kernels: tau_s, refractory_s, threshold, reset, sigma."""
        return self.tau_ms / 1e3, self.refractory_ms / 1e3, self.v_threshold_mv, self.v_reset_mv, self.sigma_mv

    @property
    def saturation_hz(self) -> float:
        """The rate that no input exceeds, ``1 / refractory`` (infinite without refractory time)."""
        return 1e3 / self.refractory_ms if self.refractory_ms > 0 else np.inf

    def rate_and_slope(self, input_mv) -> tuple[np.ndarray, np.ndarray]:
        """Return r(E) in Hz and dr/dE in Hz per mV (Siegert's formula), shaped like `input_mv`."""
        inputs = np.asarray(input_mv, dtype=float)
        rates, slopes = np.empty(inputs.size), np.empty(inputs.size)
        lif.lif_rates(np.ascontiguousarray(inputs.ravel()), *self.arguments, rates, slopes)
        return rates.reshape(inputs.shape), slopes.reshape(inputs.shape)

    def rate_hz(self, input_mv) -> np.ndarray:
        """Return the stationary rate r(E) in Hz, shaped like `input_mv`."""
        return self.rate_and_slope(input_mv)[0]

    @functools.cached_property
    def steepest(self) -> tuple[float, float]:
        """The input (mV) at which the f-I curve is steepest, and the slope there (Hz per mV).

        Without refractory time the curve straightens to ``1 / (tau (V_threshold - V_reset))`` far above threshold;
        when that is the supremum the input is infinite.
        """
        gap = self.v_threshold_mv - self.v_reset_mv
        near = self.v_threshold_mv + self.sigma_mv * np.linspace(-8, 8, 4001)
        far = self.v_threshold_mv + gap * np.geomspace(1e-6, 1e4, 2001)
        inputs = np.sort(np.concatenate([near, far]))
        slopes = self.rate_and_slope(inputs)[1]
        best = int(np.clip(np.argmax(slopes), 1, inputs.size - 2))
        where, value = self._refine(inputs[best - 1], inputs[best + 1])
        limit = 1e3 / (self.tau_ms * gap) if self.refractory_ms == 0 else 0.0
        return (np.inf, limit) if limit > value else (where, value)

    def _refine(self, low: float, high: float) -> tuple[float, float]:
        for _ in range(12):  # each pass narrows the bracket tenfold
            inputs = np.linspace(low, high, 21)
            slopes = self.rate_and_slope(inputs)[1]
            best = int(np.argmax(slopes))
            low, high = inputs[max(best - 1, 0)], inputs[min(best + 1, 20)]
        return float(inputs[best]), float(slopes[best])
