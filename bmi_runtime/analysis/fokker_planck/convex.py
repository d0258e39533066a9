"""Convex functions for the relative entropy, by name or as straight lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Convex:
    """A convex function H with ``H(1) = 0`` and its slope (at a kink: the mean of both sides)."""

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def _power(p: float) -> Convex:
    return Convex(
        f"power:{p:g}", lambda x: (x**p - 1 - p * (x - 1)) / (p * (p - 1)), lambda x: (x ** (p - 1) - 1) / (p - 1)
    )


NAMED = {
    "square": Convex("square", lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1)),
    "x-log-x": Convex(
        "x-log-x",
        lambda x: np.where(x > 0, x * np.log(np.maximum(x, 1e-300)), 0.0) - x + 1,
        lambda x: np.log(np.maximum(x, 1e-300)),
    ),
    "absolute": Convex("absolute", lambda x: np.abs(x - 1), lambda x: np.sign(x - 1)),
    "hellinger": Convex("hellinger", lambda x: (np.sqrt(x) - 1) ** 2, lambda x: 1 - 1 / np.sqrt(np.maximum(x, 1e-300))),
}


def convex_function(text: str) -> Convex:
    """Return ``square``, ``x-log-x``, ``absolute``, ``hellinger``, ``power:P`` (P > 1), or straight lines through
    ``x:H,x:H,...``.

    Raises
    ------
    BadInput
        If the lines are not convex, or nothing has that name.
    """
    if text in NAMED:
        return NAMED[text]
    if text.startswith("power:"):
        try:
            p = float(text.removeprefix("power:"))
        except ValueError:
            p = 0.0
        if not 1.0 < p < 20.0:
            raise BadInput(f"--convex {text}: give a power above 1 and below 20")
        return _power(p)
    return _lines(text)


def _lines(text: str) -> Convex:
    try:
        at, values = np.array([[float(x) for x in part.split(":")] for part in text.split(",")]).T
    except ValueError:
        raise BadInput(
            f"--convex {text}: choose {', '.join(NAMED)}, power:P, or give straight lines such as 0:1,1:0,3:2"
        ) from None
    if at.size < 2 or np.any(np.diff(at) <= 0):
        raise BadInput(f"--convex {text}: the arguments of the lines must increase")
    slopes = np.diff(values) / np.diff(at)
    if np.any(np.diff(slopes) < -1e-12 * np.abs(slopes).max()):
        raise BadInput(f"--convex {text}: these lines are not convex (their slopes must not decrease)")

    def slope(x):
        return slopes[np.clip(np.searchsorted(at, x, side="right") - 1, 0, slopes.size - 1)]

    def value(x):  # the first and the last line go on
        x = np.asarray(x, float)
        inside = np.interp(x, at, values)
        below, above = np.minimum(x - at[0], 0.0) * slopes[0], np.maximum(x - at[-1], 0.0) * slopes[-1]
        return inside + below + above - float(np.interp(1.0, at, values))

    return Convex(text, value, slope)
