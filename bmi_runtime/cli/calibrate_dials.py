"""Decoder gain and smoothing in ``bmi calibrate``: what was asked, the answer as text, what is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import click


def dial_options(command):
    """Add the options about gain and smoothing."""
    for option in (
        click.option("--gain", type=float, metavar="G",
                     help="With a pilot: expect what this decoder.gain reaches (the pilot's own by default)."),
        click.option("--smoothing", type=float, metavar="S",
                     help="With a pilot: expect what this decoder.velocity_time_constant_s reaches."),
        click.option("--dials/--no-dials", default=True, show_default=True,
                     help="Calculate the best decoder gain and smoothing from a pilot; --write writes them too."),
    ):  # fmt: skip
        command = option(command)
    return command


def check_dials(options) -> None:
    """Refuse a gain or smoothing without a pilot, or one that cannot be."""
    from bmi_runtime.errors import BadInput

    for name in ("gain", "smoothing"):
        value = options[name]
        if value is None:
            continue
        if options["pilot"] is None:
            raise BadInput(f"--{name} needs a pilot to decode; give one with --from")
        if not 0.0 < value < float("inf"):
            raise BadInput(f"--{name} {value:g} cannot be; give a number above zero")
        if name == "gain" and value > 10.0:
            raise BadInput(f"--gain {value:g} is beyond 10, the most that decoder.gain takes")


def dials_answer(outcomes, rate: float) -> dict[str, Any]:
    """Return the best gain and smoothing at a learning rate, under the keys of the JSON answer."""
    from bmi_runtime.calibration.dials import GAINS, TIME_CONSTANTS_S, DialSearch

    found = DialSearch(outcomes.reader, outcomes.config, rate).best()
    aim, section = found.aim, outcomes.config.decoder
    return {
        "gain": found.gain,
        "gain_interval": found.gain_interval,
        "velocity_time_constant_s": found.time_constant_s,
        "velocity_time_constant_interval_s": found.time_constant_interval_s,
        "velocity_sd_m_s": section.velocity_sd_m_s,
        "at_edge": _at_edge(found),
        "expected": dataclasses.asdict(found.best),
        "configured": {
            "gain": section.gain,
            "velocity_time_constant_s": section.velocity_time_constant_s,
            "expected": dataclasses.asdict(found.now),
        },
        "subject": {
            "frequency_hz": aim.mean[0],
            "feedback_delay_s": aim.mean[1],
            "reaction_s": aim.mean[2],
            "standard_error": aim.covariance.diagonal() ** 0.5,
            "assumed": aim.note,
        },
        "surface": {
            "gain": GAINS,
            "velocity_time_constant_s": TIME_CONSTANTS_S,
            "hits_per_minute": found.hits_per_minute,
        },
    }


def _at_edge(found) -> list[str]:
    """Return which dials are best at the end of what was tried."""
    from bmi_runtime.calibration.dials import GAINS, TIME_CONSTANTS_S

    ends = {"gain": (found.gain, GAINS), "velocity_time_constant_s": (found.time_constant_s, TIME_CONSTANTS_S)}
    return [name for name, (value, grid) in ends.items() if not 1.01 * grid[0] < value < 0.99 * grid[-1]]


def why_not_written(dials: dict[str, Any], config) -> str:
    """Return why gain and smoothing are not written into a configuration; empty where they are."""
    from bmi_runtime.decoding.tables import OWN

    if dials["subject"]["assumed"]:
        return dials["subject"]["assumed"]
    if config.decoder.kind not in OWN:
        return f"they are of the adaptive filter, and the pilot was decoded by '{config.decoder.kind}'"
    return ""


def dial_settings(dials: dict[str, Any], origin: str) -> dict[str, tuple[float, str]]:
    """Return what is written into a configuration, with where it came from."""
    best, now = dials["expected"], dials["configured"]["expected"]
    why = (
        f"{origin}; expected {best['hits_per_minute']:.3g} hits a minute (as configured in the pilot "
        f"{now['hits_per_minute']:.3g}), with velocity_sd_m_s = {dials['velocity_sd_m_s']:g}"
    )
    names = {"decoder.gain": "gain", "decoder.velocity_time_constant_s": "velocity_time_constant_s"}
    return {key: (float(f"{dials[name]:.3g}"), why) for key, name in names.items()}


def dial_text(dials: dict[str, Any] | None) -> str:
    """Return the answer about gain and smoothing as text."""
    if dials is None:
        return ""
    best, configured, subject = dials["expected"], dials["configured"], dials["subject"]
    now, (low, high) = configured["expected"], dials["gain_interval"]
    short, long = dials["velocity_time_constant_interval_s"]
    frequency_error, delay_error = subject["standard_error"][0], 1e3 * subject["standard_error"][1]
    aim = (
        f"the subject aims at {subject['frequency_hz']:.2g} Hz and sees the cursor "
        f"{1e3 * subject['feedback_delay_s']:.0f} ms late (standard errors {frequency_error:.1g} Hz, "
        f"{delay_error:.0f} ms)"
    )
    return "\n".join(
        [
            f"best decoder.gain {dials['gain']:.3g} ({low:.3g} to {high:.3g}) with decoder.velocity_time_constant_s "
            f"{dials['velocity_time_constant_s']:.3g} ({short:.3g} to {long:.3g}), at velocity_sd_m_s = "
            f"{dials['velocity_sd_m_s']:g}:",
            f"  {best['hits_per_minute']:.3g} hits a minute, {best['time_to_target_s']:.3g} s to a target; with "
            f"{configured['gain']:g} and {configured['velocity_time_constant_s']:g}, as configured, "
            f"{now['hits_per_minute']:.3g} and {now['time_to_target_s']:.3g} s",
            f"  {subject['assumed'] or aim}",
            *(f"  {name} is at the end of what was tried: beyond it may be better" for name in dials["at_edge"]),
        ]
    )
