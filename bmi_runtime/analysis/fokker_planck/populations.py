"""Coupled populations: excitatory and inhibitory, or any number of them, each a density of its own."""

import dataclasses
import itertools

import numpy as np

from bmi_runtime.analysis.fokker_planck.model import LARGEST, Model
from bmi_runtime.errors import BadInput

MOST = 6  # populations; the certificates divide boxes of that many dimensions


@dataclasses.dataclass(frozen=True, eq=False)
class Populations:
    """n populations of noisy leaky integrate-and-fire neurons with sharp thresholds.

    Population k obeys ``dp_k/dt + d/dv[(-v + I_k + sum_l b_kl N_l(t - D_kl)) p_k] - A_k d2p_k/dv2 = reset``, with
    ``A_k = a0_k + sum_l a_kl N_l(t - D_kl)``, ``p_k(V_F) = 0`` and ``N_k = -A_k dp_k/dv(V_F)``. Row k of a matrix is
    what population k receives.

    Parameters
    ----------
    b, a, delay : float64 arrays (n, n)
        Connectivity (a column is excitatory where positive, inhibitory where negative), noise by spikes, delays.
    a0, current, v_reset, v_threshold, refractory : float64 arrays (n,)
        Noise at rest, external current, V_R, V_F, mean refractory time (0 for none).
    names : tuple of str
    """

    b: np.ndarray
    a: np.ndarray
    delay: np.ndarray
    a0: np.ndarray
    current: np.ndarray
    v_reset: np.ndarray
    v_threshold: np.ndarray
    refractory: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self):
        n = len(self.b)
        if not 1 <= n <= MOST:
            raise BadInput(f"{n} populations: give 1 to {MOST}")
        for field in ("b", "a", "delay"):
            value = getattr(self, field)
            if value.shape != (n, n):
                raise BadInput(f"{field} has shape {value.shape}: {n} populations need {n} x {n} numbers")
        for field in ("a0", "current", "v_reset", "v_threshold", "refractory", "names"):
            if len(getattr(self, field)) != n:
                raise BadInput(f"{field.replace('_', ' ')} has {len(getattr(self, field))} values for {n} populations")
        for field in ("b", "a", "delay", "a0", "current", "v_reset", "v_threshold", "refractory"):
            if not np.all(np.abs(getattr(self, field)) <= LARGEST):
                raise BadInput(f"{field.replace('_', ' ')} must be finite, and not beyond {LARGEST:g}")
        for field in ("a", "delay", "refractory"):
            if np.any(getattr(self, field) < 0):
                raise BadInput(f"{field} must be 0 or more")
        if np.any(self.a0 <= 0):
            raise BadInput("the diffusion a0 must be positive in every population")
        if np.any(self.v_reset >= self.v_threshold):
            raise BadInput("the reset V_R must lie below the threshold V_F in every population")

    @property
    def count(self) -> int:
        """Return the number of populations."""
        return len(self.b)

    def drift(self, rates: np.ndarray) -> np.ndarray:
        """Return ``I + b N`` (n,) at constant rates (n,)."""
        return self.current + self.b @ rates

    def diffusion(self, rates: np.ndarray) -> np.ndarray:
        """Return ``a0 + a N`` (n,) at constant rates (n,)."""
        return self.a0 + self.a @ rates

    def alone(self, k: int, drift: float, diffusion: float) -> Model:
        """Return population k as an uncoupled model at a constant drift and diffusion."""
        return Model(
            0.0, diffusion, 0.0, float(self.v_reset[k]), float(self.v_threshold[k]), drift, float(self.refractory[k])
        )


def make(b, names: str | None = None, **fields) -> Populations:
    """Return populations from nested lists; numbers stand for all populations or all pairs.

    Keys of `fields`: ``a``, ``delay`` (matrix or number), ``a0``, ``current``, ``v_reset``, ``v_threshold``,
    ``refractory`` (list or number).
    """
    matrix = np.atleast_2d(np.asarray(b, float))
    n = len(matrix)
    defaults = {
        "a": 0.0,
        "delay": 0.0,
        "a0": 1.0,
        "current": 0.0,
        "v_reset": 1.0,
        "v_threshold": 2.0,
        "refractory": 0.0,
    }
    full = {}
    for name, value in (defaults | fields).items():
        shape = (n, n) if name in ("a", "delay") else (n,)
        given = np.asarray(value, float)
        full[name] = np.full(shape, given.item()) if given.size == 1 else given
    return Populations(matrix, **full, names=_names(names, matrix))


def _names(text, matrix):
    """Return the names given, or E and I after the sign of what each population sends, numbered if several."""
    if text:
        return tuple(name.strip() for name in text.split(","))
    kinds = ["I" if column.min() < 0 else "E" for column in matrix.T]
    totals = {kind: kinds.count(kind) for kind in kinds}
    counters = {kind: itertools.count(1) for kind in totals}
    return tuple(kind if totals[kind] == 1 else f"{kind}{next(counters[kind])}" for kind in kinds)
