"""What ``bmi calibrate`` is asked about decoding and the task: error, time to target, hits per minute."""

from __future__ import annotations

from bmi_runtime.cli.common import say

TASK_WISHES = {"max_velocity_error": "velocity_error_m_s", "max_time_to_target": "time_to_target_s",
               "min_hits_per_minute": "hits_per_minute"}  # fmt: skip
WORDS = {
    "max_velocity_error": "decoded velocity error at most {:g} cm/s",
    "max_time_to_target": "time to target at most {:g} s",
    "min_hits_per_minute": "at least {:g} hits per minute",
}


def check_task_wishes(options) -> None:
    """Refuse wishes about decoding and the task that nothing can answer."""
    from bmi_runtime.errors import BadInput

    asked = [name for name in TASK_WISHES if options[name] is not None]
    if asked and options["pilot"] is None:
        raise BadInput(f"--{asked[0].replace('_', '-')} needs a pilot to decode; give one with --from")
    wrong = [name for name in asked if not options[name] > 0]
    if wrong:
        raise BadInput(f"--{wrong[0].replace('_', '-')} {options[wrong[0]]:g} cannot be; give a number above zero")


def outcomes_of(scores, fit, options):
    """Return what predicts decoding and the task from a pilot; None without one, or where nothing can be said."""
    from bmi_runtime import config as configuration
    from bmi_runtime.calibration.outcomes import Outcomes
    from bmi_runtime.errors import BadInput

    if scores is None:
        return None
    config = options["session"]
    if why := _why_no_outcomes(fit, config):
        asked = [name for name in TASK_WISHES if options[name] is not None]
        if asked:
            raise BadInput(f"--{asked[0].replace('_', '-')} has no answer here: {why}")
        say(f"decoding error, pace, gain and smoothing cannot be calculated: {why}", as_json=True)
        return None
    if config is None:
        return Outcomes(scores, configuration.load())
    from bmi_runtime.calibration.pilot_files import load_screen

    return Outcomes(scores, config, load_screen(str(options["pilot"]), fit.pilot.usable))


def _why_no_outcomes(fit, config) -> str:
    """Return why nothing is said of decoding and the task, or nothing where something is."""
    from bmi_runtime.calibration.decodable import why_not_steered

    if config is not None and config.session.features and config.session.units:
        return "in a mixed session units and features are decoded together, and a pilot is one block of them"
    if fit.pilot.velocity.start == fit.pilot.velocity.stop:
        return "these units depend on the position, not on the velocity that is decoded"
    return why_not_steered(fit)


def task_rate(design, outcomes, options):
    """Return the answer to wishes about decoding and the task: the slowest of the rates that each allows, or None."""
    import numpy as np

    from bmi_runtime.calibration.inverse import Answer

    found = []
    for name, measure in TASK_WISHES.items():
        if options[name] is not None:
            wanted = options[name] / 100 if name == "max_velocity_error" else options[name]
            found.append((outcomes.fastest(wanted, measure), WORDS[name].format(options[name])))
    if not found:
        return None
    rate = min(found)[0]
    largest = outcomes.scores.largest_scatter(outcomes.scores.at(rate))
    return Answer(rate, np.full(design.units, rate), int(np.argmax(largest)), " and ".join(words for _, words in found))
