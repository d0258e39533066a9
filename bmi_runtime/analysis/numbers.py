"""Numbers with the digits that their error leaves."""

import math


def digits(value: float, error: float | None, most: int = 12) -> str:
    """Return a number down to the first digit of its error: at least one digit, at most `most`."""
    if not math.isfinite(value):
        return f"{value:g}"
    if error is None or error <= 0 or value == 0:
        known = most
    elif not math.isfinite(error):
        known = 1
    else:
        known = math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) + 1
    return f"{value:.{min(max(known, 1), most)}g}"


def with_error(value: float, error: float | None) -> str:
    """Return ``value +- error``, the error with one digit and the value down to that digit."""
    if error is None:
        return f"{value:.3g} (error not known)"
    if not math.isfinite(error):
        return f"about {value:.1g}"
    return f"{digits(value, error)} +- {error:.1g}"
