"""The brain state of a session: its continuous axes by name and unit, and whether there is a click."""

import dataclasses
import re
from collections.abc import Sequence

from bmi_runtime.errors import BadInput

MOST_AXES = 8
RESERVED_AXES = ("radius", "click")
AXIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}")


@dataclasses.dataclass(frozen=True)
class StateSpace:
    """The brain state of a session: its continuous axes, and whether there is a click.

    Everything that has one value per axis stands in the order of `axes`; a kinematic state is all positions, then all
    velocities.

    Attributes
    ----------
    axes : tuple of str
        Names, 1 to `MOST_AXES`.
    click : bool
        Whether there is a discrete state beside them: idle, move, click.
    units : tuple of str
        Of position, one per axis; velocity has the same per second. The code works in them as if they were metres.

    Raises
    ------
    BadInput
        When there are too few or too many axes, or two names of the state would be the same.
    """

    axes: tuple[str, ...] = ("x", "y")
    click: bool = False
    units: tuple[str, ...] = ()

    def __post_init__(self):
        if fault := fault_of_axes(self.axes, self.units):
            raise BadInput(fault)
        object.__setattr__(self, "units", tuple(self.units) or ("m",) * len(self.axes))

    @property
    def n_axes(self) -> int:
        """Number of continuous axes."""
        return len(self.axes)

    @property
    def velocities(self) -> tuple[str, ...]:
        """Names of the velocities: ``vx`` of ``x``."""
        return tuple(f"v{name}" for name in self.axes)

    @property
    def kinematics(self) -> tuple[str, ...]:
        """Names of a kinematic state: positions, then velocities."""
        return self.axes + self.velocities

    @property
    def target(self) -> tuple[str, ...]:
        """Names of a target's numbers: its position, then ``radius``."""
        return (*self.axes, "radius")

    @property
    def kinematics_units(self) -> tuple[str, ...]:
        """Units of a kinematic state."""
        return self.units + tuple(f"{unit}/s" for unit in self.units)


def fault_of_axes(axes: Sequence[str], units: Sequence[str] = ()) -> str:
    """Return in one sentence why these are no axes of a brain state, or nothing when they are."""
    if not 1 <= len(axes) <= MOST_AXES:
        return f"a brain state has 1 to {MOST_AXES} axes, here are {len(axes)}"
    for name in axes:
        if not AXIS_NAME.fullmatch(name):
            return f"an axis is named by a letter and up to 23 letters, digits or underscores, got '{name[:40]}'"
        if name in RESERVED_AXES:
            return f"an axis cannot be named '{name}': that is another part of the state"
    names = [*axes, *(f"v{name}" for name in axes)]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        velocity = (
            " (the velocity of an axis is named v and the axis)" if twice[0] not in axes or "v" in twice[0] else ""
        )
        return f"the name '{twice[0]}' is there twice among the axes {', '.join(axes)}{velocity}"
    if units and len(units) != len(axes):
        return f"there are {len(units)} units for {len(axes)} axes"
    return ""


PLANE = StateSpace()
"""The state of a cursor on a screen: x, y."""
