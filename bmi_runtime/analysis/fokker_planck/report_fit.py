"""What `bmi fokker-planck fit` reads and answers."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime.analysis.fokker_planck.array_fit import NAMES, ArrayFit
from bmi_runtime.analysis.numbers import digits, with_error
from bmi_runtime.errors import BadInput

UNITS = {
    "b": "connectivity",
    "a0": "noise at rest",
    "a1": "noise per rate",
    "tau_s": "membrane time constant, s",
    "eps": "time to fire above threshold, in membrane time constants",
    "delay_s": "delay, s",
}


def read_counts(path: pathlib.Path, bin_s: float, units: list[str] | None) -> tuple[np.ndarray, float]:
    """Return counts (bins, units) and the width of their bins: of an ``.npz``, or of spike times binned by `bin_s`.

    Raises
    ------
    BadInput
        When there is no such file, or it holds no spikes.
    """
    if not path.exists():
        raise BadInput(f"there is no file '{path}'")
    if path.suffix == ".npz":
        from bmi_runtime.analysis.glm.files import load_data

        data = load_data(str(path))
        return data.counts, data.bin_s
    from bmi_runtime.sources.spike_counts import count_spikes

    return count_spikes(path, bin_s, units).counts, bin_s


def parse_fixed(given: tuple[str, ...]) -> dict[str, float]:
    """Return the parameters of ``NAME=VALUE`` texts.

    Raises
    ------
    BadInput
        When one is not NAME=VALUE with a known name.
    """
    fixed = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            fixed[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise BadInput(f"--fix must be NAME=VALUE, as in a1=0, not '{text}'; names are {', '.join(NAMES)}")
    return fixed


def result(found: ArrayFit, confidence: float) -> dict:
    """Return a fit for JSON."""
    return {
        "parameters": {
            name: {
                "value": found.values[name],
                "error": found.errors[name],
                "low": found.low[name],
                "high": found.high[name],
            }
            for name in NAMES
        },
        "confidence": confidence,
        "units": found.units,
        "spikes": found.spikes,
        "rate_hz": found.rate_hz,
        "predicted_rate_hz": found.predicted_rate_hz,
        "log_likelihood": found.log_likelihood,
        "bits_per_spike": (found.log_likelihood - found.poisson_log_likelihood) / found.spikes / np.log(2),
        "rescaled_p": found.rescaled_p,
        "critical_b": found.critical_b,
        "distance_to_synchrony": found.distance,
        "distance_error": found.distance_error,
        "distance_in_errors": found.distance_in_errors,
        "converged": found.converged,
        "at_end_of_range": list(found.at_end),
    }


def text(found: ArrayFit, confidence: float) -> str:
    """Return a fit as text."""
    lines = [f"{found.units} units, {found.spikes:,} spikes; {100 * confidence:g} % intervals"]
    if not found.converged:
        lines = [
            f"{found.units} units, {found.spikes:,} spikes",
            "no maximum of the likelihood was found: these values are where the climb stopped, they have no intervals, "
            "and nothing follows from them; give a parameter with --fix",
        ]
    for name in NAMES:
        value = f"  {name:8s}{_digits(found, name):>10s}"
        if np.isfinite(found.errors[name]):
            value += f"  {found.low[name]:.3g} to {found.high[name]:.3g}"
        elif name in found.at_end:
            value += "  (the end of its range)"
        lines.append(f"{value:44s}{UNITS[name]}")
    bits = (found.log_likelihood - found.poisson_log_likelihood) / found.spikes / np.log(2)
    lines.append(
        f"rate {found.rate_hz:.4g} Hz, of the fitted population {found.predicted_rate_hz:.3g} Hz; {bits:.3g} bits per "
        "spike over constant rates"
    )
    lines.append(_verdict(found))
    lines += _synchrony(found) if found.converged else []
    return "\n".join(lines)


def _digits(found: ArrayFit, name: str) -> str:
    """Return a value with the digits that its error leaves, or three."""
    error = found.errors[name]
    return digits(found.values[name], error) if np.isfinite(error) else f"{found.values[name]:.3g}"


def _verdict(found: ArrayFit) -> str:
    """Return whether the spikes can be those of such a population."""
    if found.rescaled_p > 0.05:
        return f"as a description of the intervals it is not refuted (time rescaling, p = {found.rescaled_p:.2g})"
    refuted = f"as a description of the intervals it is refuted (time rescaling, p = {found.rescaled_p:.1g})"
    return f"{refuted}: the recording is not such a population" + (
        ", and the intervals are those of the likeliest one all the same" if found.converged else ""
    )


def _synchrony(found: ArrayFit) -> list[str]:
    """Return how far it is to where steady states end."""
    if found.critical_b is None:
        return ["steady states do not end at this noise however strong the connections: no distance to synchrony"]
    if not np.isfinite(found.distance_error):
        return [f"steady states end at b = {found.critical_b:.3g}, {found.distance:.3g} away"]
    return [
        f"steady states end at b = {digits(found.critical_b, found.distance_error)}: "
        f"{with_error(found.distance, found.distance_error)} away, {found.distance_in_errors:.2g} standard errors"
    ]
