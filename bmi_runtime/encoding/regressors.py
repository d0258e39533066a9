"""What the rates of an encoding model depend on: velocity, position, speed, a unit's own recent counts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import PLANE, StateSpace

KINDS = ("velocity", "position", "speed", "click", "history")
SLOW_DM_S = 1e-6  # below this speed its gradient has no direction


@dataclasses.dataclass(frozen=True)
class Regressors:
    """The regressors of every unit of an encoding model, in this order: 1, velocity, position, speed, click, history.

    Velocity and speed are in dm/s, position in dm, histories in spikes (`History`). All but the history are the same
    for all units, and only they say anything about the brain state.

    Attributes
    ----------
    n_axes : int
        Of the brain state.
    names : tuple of str
        Which of `KINDS`, in any order.
    history_s : tuple of float
        Time constants of the histories, s.

    Raises
    ------
    BadInput
        When a name is unknown or there twice, when nothing depends on velocity or position, or when a time constant is
        not above zero.
    """

    n_axes: int = 2
    names: tuple[str, ...] = ("velocity",)
    history_s: tuple[float, ...] = ()

    def __post_init__(self):
        if fault := fault_of_regressors(self.names, self.history_s):
            raise BadInput(fault)

    @classmethod
    def of(cls, config: Config) -> Regressors:
        """Return what the units of a session depend on."""
        click = ("click",) if config.state.click else ()
        return cls(len(config.state.axes), (*config.encoding.regressors, *click), config.encoding.history_s)

    @classmethod
    def of_features(cls, config: Config) -> Regressors:
        """Return what the features beside spiking units depend on: the same, but for their past and clicks."""
        return cls(len(config.state.axes), tuple(name for name in config.encoding.regressors if name != "history"))

    @property
    def n_history(self) -> int:
        """Number of histories of each unit."""
        return len(self.history_s) if "history" in self.names else 0

    @property
    def n_common(self) -> int:
        """Number of regressors that are the same for all units, the 1 included."""
        n = self.n_axes
        return (
            1
            + n * ("velocity" in self.names)
            + n * ("position" in self.names)
            + len({"speed", "click"} & set(self.names))
        )

    @property
    def size(self) -> int:
        """Number of regressors."""
        return self.n_common + self.n_history

    @property
    def velocity_common(self) -> bool:
        """Whether velocity is all that units have in common: the case that the fused kernels are written for."""
        return set(self.names) - {"history"} == {"velocity"}

    @property
    def places(self) -> dict[str, slice]:
        """Where each kind stands among the regressors."""
        sizes = {"velocity": self.n_axes, "position": self.n_axes, "speed": 1, "click": 1, "history": self.n_history}
        found, start = {}, 1
        for name in KINDS:
            if name in self.names and sizes[name]:
                found[name] = slice(start, start + sizes[name])
                start += sizes[name]
        return found

    def labels(self, space: StateSpace = PLANE) -> list[str]:
        """Return a name for each regressor: ``baseline``, ``vx``, ..., ``x``, ..., ``speed``, ``history 10 ms``."""
        own = [f"history {1000 * constant:g} ms" for constant in self.history_s]
        named = {"velocity": space.velocities, "position": space.axes, "speed": ("speed",), "history": tuple(own)} | {
            "click": ("click",)
        }
        return ["baseline", *(label for name in KINDS if name in self.names for label in named[name])]

    def fill(self, out: np.ndarray, velocity: Sequence[float], position: Sequence[float], click: float = 0.0) -> None:
        """Write the common regressors of a velocity (dm/s), a position (dm) and a click (0 to 1) into `out`."""
        out[0] = 1.0
        at = 1
        if "velocity" in self.names:
            for component in velocity:
                out[at] = component
                at += 1
        if "position" in self.names:
            for component in position:
                out[at] = component
                at += 1
        if "speed" in self.names:
            out[at] = math.sqrt(sum(component * component for component in velocity))
            at += 1
        if "click" in self.names:
            out[at] = click

    def jacobian(self, velocity: np.ndarray, out: np.ndarray) -> None:
        """Write how the common regressors but the 1 change with the continuous state into `out`.

        Parameters
        ----------
        velocity : ndarray, (axes,)
            In dm/s, where the speed is linearised: d speed / d velocity is its direction, and zero at rest.
        out : ndarray, (n_common - 1, 2 axes), out
            Columns: positions, then velocities. A click does not change with them.
        """
        n, at = self.n_axes, 0
        out[:] = 0.0
        if "velocity" in self.names:
            out[range(n), range(n, 2 * n)] = 1.0
            at = n
        if "position" in self.names:
            out[range(at, at + n), range(n)] = 1.0
            at += n
        if "speed" in self.names:
            speed = math.sqrt(float(velocity @ velocity))
            if speed > SLOW_DM_S:
                out[at, n:] = velocity / speed


def fault_of_regressors(names: Sequence[str], history_s: Sequence[float]) -> str:
    """Return in one sentence why these are no regressors of an encoding model, or nothing when they are."""
    for number, name in enumerate(names):
        if name not in KINDS:
            return f"there is no regressor '{name[:40]}'; choose from {', '.join(KINDS)}"
        if name in names[:number]:
            return f"the regressor '{name}' is there twice"
    if not {"velocity", "position"} & set(names):
        return "units must depend on velocity or position, or nothing can be decoded from them"
    if "history" in names and not history_s:
        return "the regressor 'history' needs time constants (encoding.history_s)"
    if any(not constant > 0.0 for constant in history_s):
        return "the time constants of histories must be above zero"
    return ""


class History:
    """Every unit's own recent counts: for each time constant a sum that a spike adds 1 to and that decays.

    Parameters
    ----------
    regressors : Regressors
    n_units : int
    bin_s : float

    Attributes
    ----------
    traces : ndarray, (histories, units)
        As they were before the current bin.
    """

    def __init__(self, regressors: Regressors, n_units: int, bin_s: float):
        kept = [math.exp(-bin_s / constant) for constant in regressors.history_s[: regressors.n_history]]
        self._keep = np.array(kept).reshape(-1, 1)
        self.traces = np.zeros((regressors.n_history, n_units))

    def take(self, counts: np.ndarray) -> None:
        """Take the counts (units,) of the bin that has been decoded and learned from; missing ones are zero."""
        self.traces += counts
        self.traces *= self._keep
