"""Drift of real units from several pilots, in ``bmi calibrate --also``."""

from __future__ import annotations

from typing import Any

import click

NANOSECONDS = 1e9


def drift_options(command):
    """Add the option that names other pilots."""
    return click.option(
        "--also", multiple=True, type=click.Path(), metavar="FILE.mcap",
        help="Other sessions with the same units: how fast they drift between them (may be repeated).",
    )(command)  # fmt: skip


def pilots_drift(options, scores, load) -> dict[str, Any]:
    """Return how fast weights change between the pilot and the other ones, under the key of the JSON answer.

    Parameters
    ----------
    options : dict
    scores : MeasuredScores
        Of the pilot.
    load : callable
        ``load(path)``: the scores of another pilot.

    Raises
    ------
    BadInput
        If there is no pilot, or one does not say when it was.
    """
    from bmi_runtime.calibration.pilot_drift import dated, walks
    from bmi_runtime.errors import BadInput

    if scores is None:
        raise BadInput("--also needs a pilot to compare with; give one with --from")
    paths = [options["pilot"], *options["also"]]
    everything = [scores, *(load(path) for path in options["also"])]
    bins = {one.design.bin_s for one in everything}
    if len(bins) > 1:
        raise BadInput(
            f"the pilots have bins of {', '.join(f'{b:g}' for b in sorted(bins))} s; give pilots of one width"
        )
    pilots = [
        dated(str(path), one, _began_s(path) + 0.5 * one.bins * one.design.bin_s)
        for path, one in zip(paths, everything, strict=True)
    ]
    bin_s = scores.design.bin_s
    return {
        name: {
            "variance_per_bin": walk.per_s * bin_s,
            "standard_error_per_bin": walk.standard_error * bin_s,
            "sd_per_hour": (3600.0 * walk.per_s) ** 0.5,
            "sd_per_day": (86400.0 * walk.per_s) ** 0.5,
            "pairs": walk.pairs,
        }
        for name, walk in walks(pilots).items()
    }


def _began_s(path) -> float:
    """Return when a recording began, in seconds of its own clock of days."""
    from bmi_runtime.errors import BadInput
    from bmi_runtime.recording.reader import Recording

    known = None
    if str(path).lower().endswith(".mcap"):
        known = (Recording(path).header.get("recording_format") or {}).get("created_unix_ns")
    if not known:
        raise BadInput(f"{path} does not say when it was recorded; drift needs recordings of sessions (.mcap)")
    return known / NANOSECONDS


def drift_text(found: dict[str, Any] | None) -> str:
    """Return the drift between pilots as text."""
    words = {"within_day": "within a day", "over_days": "over days"}
    return "\n".join(
        f"{words[name]} the weights walk with an sd of {walk['sd_per_hour']:.3g} an hour ({walk['sd_per_day']:.3g} a "
        f"day), a variance of {walk['variance_per_bin']:.2g} per bin (standard error "
        f"{walk['standard_error_per_bin']:.1g}, {walk['pairs']} pairs)"
        + ("; --drift takes it" if name == "within_day" else "")
        for name, walk in (found or {}).items()
    )
