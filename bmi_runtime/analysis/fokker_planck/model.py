"""The equation: its coefficients, what they mean, and what is refused."""

import dataclasses
import math

import numpy as np

from bmi_runtime.errors import BadInput

LARGEST = 1e100


@dataclasses.dataclass(frozen=True)
class Model:
    """A population of noisy leaky integrate-and-fire neurons as a density p(v, t).

    ``dp/dt + d/dv[(-v + I(t) + b N) p] - a(N) d2p/dv2 = reset delta(v - V_R)``, with ``a(N) = a0 + a1 N``. With a
    sharp threshold ``p(V_F, t) = 0`` and ``N = -a dp/dv(V_F)``; with a random one neurons above V_F fire at the rate
    ``1 / threshold_eps``, the sink is ``p 1_{v > V_F} / eps`` and N its integral. The reset flux is N, or ``R / tau``
    with ``R' = N - R / tau`` (refractory state). Time is in units of the membrane time constant.

    Parameters
    ----------
    b : float
        Connectivity: positive excitatory, negative inhibitory.
    a0, a1 : float
        Noise: the diffusion coefficient at rest and its growth with the rate.
    v_reset, v_threshold : float
        V_R and V_F.
    current : float or (times, values)
        I(t): a constant, or a piecewise linear function, constant beyond its ends.
    refractory : float
        Mean time tau in the refractory state; 0 for none.
    threshold_eps : float
        Mean time to fire above V_F; 0 for the sharp threshold.
    delay : float
        Transmission delay D: the drift and the noise feel N(t - D).
    rate_before : float
        N(t) for t < 0, felt with a delay.
    """

    b: float = 0.0
    a0: float = 1.0
    a1: float = 0.0
    v_reset: float = 1.0
    v_threshold: float = 2.0
    current: float | tuple = 0.0
    refractory: float = 0.0
    threshold_eps: float = 0.0
    delay: float = 0.0
    rate_before: float = 0.0

    def __post_init__(self):
        for name in ("b", "a0", "a1", "v_reset", "v_threshold", "refractory", "threshold_eps", "delay", "rate_before"):
            if not math.isfinite(getattr(self, name)):
                raise BadInput(f"{name} is {getattr(self, name)}: give a finite number")
            if abs(getattr(self, name)) > LARGEST:
                raise BadInput(f"{name} is {getattr(self, name):g}: beyond {LARGEST:g} its square overflows")
        if self.v_reset >= self.v_threshold:
            raise BadInput(
                f"the reset V_R = {self.v_reset:g} is not below the threshold V_F = {self.v_threshold:g}: "
                "a neuron would fire for ever at once; lower V_R"
            )
        if self.a0 <= 0:
            raise BadInput(
                f"the diffusion a0 = {self.a0:g} must be positive (without noise there is no density to solve for)"
            )
        for name in ("a1", "refractory", "threshold_eps", "delay", "rate_before"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} = {getattr(self, name):g} is negative: it must be 0 or more")
        times, values = self.current_table()
        if (
            times.shape != values.shape
            or times.ndim != 1
            or not np.all(np.isfinite(values))
            or np.any(np.diff(times) <= 0)
        ):
            raise BadInput("the current needs as many finite values as times, and times that increase")

    def current_table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return I(t) as times and values, both (k,)."""
        if isinstance(self.current, int | float):
            return np.array([0.0]), np.array([float(self.current)])
        return np.asarray(self.current[0], float), np.asarray(self.current[1], float)

    def constant_current(self) -> float:
        """Return I, which must not depend on time."""
        values = self.current_table()[1]
        if np.ptp(values) > 0:
            raise BadInput("steady states need a constant current: give one number as --current")
        return float(values[0])

    def settings(self) -> np.ndarray:
        """Return the vector of settings that the kernels read (7,)."""
        soft = 1.0 if self.threshold_eps > 0 else 0.0
        return np.array([self.b, self.a0, self.a1, self.refractory, self.delay, self.rate_before, soft])
