"""Where targets stand around the centre, in a space of any number of axes."""

import itertools
import math


def places(kind: str, targets: int, distance_m: float, n_axes: int) -> list[tuple[float, ...]]:
    """Return the positions (m) of targets at one distance from the centre.

    Parameters
    ----------
    kind : {"auto", "ring", "corners", "axes"}
        ``ring``: so many targets on the circle of the first two axes (the two ends of a line). ``corners``: of a cube
        of any dimension. ``axes``: both ends of every axis. ``auto``: a ring for two axes, corners for three, the ends
        of the axes otherwise.
    targets : int
        Of a ring.
    distance_m : float
    n_axes : int
    """
    if kind == "auto":
        kind = {2: "ring", 3: "corners"}.get(n_axes, "axes")
    if kind == "ring" and n_axes > 1:
        angles = [2.0 * math.pi * number / targets for number in range(targets)]
        rest = (0.0,) * (n_axes - 2)
        return [(distance_m * math.cos(a), distance_m * math.sin(a), *rest) for a in angles]
    if kind == "corners" and n_axes > 1:
        side = distance_m / math.sqrt(n_axes)
        return [tuple(side * sign for sign in signs) for signs in itertools.product((1.0, -1.0), repeat=n_axes)]
    ends = [(axis, sign) for sign in (1.0, -1.0) for axis in range(n_axes)]
    return [tuple(sign * distance_m if axis == other else 0.0 for other in range(n_axes)) for axis, sign in ends]
