"""What `bmi perturb` answers: effects, plans and schedules, for JSON and as text."""

import pathlib
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.perturbation import files, planning
from bmi_runtime.analysis.perturbation.schedule import SHAM, STIMULATE, StimulationSchedule
from bmi_runtime.analysis.perturbation.simulate import Comparison
from bmi_runtime.analysis.perturbation.tutorial import Tutorial
from bmi_runtime.errors import BadInput

LARGEST_UNIT = 99_999  # far beyond any array; a mistyped range must not fill the memory


def tutorial(done: Tutorial) -> dict:
    """Return the numbers of the tutorial, for JSON."""
    return {
        "difference_in_means": done.difference_in_means,
        "single_neuron_correlation": done.single_correlation,
        "all_neurons_correlation": done.all_correlation,
        "selected_neuron": done.selected_neuron,
        "connectivity": done.connectivity,
        "single_neuron_estimate": done.single_estimate,
        "all_neurons_estimate": done.all_estimate,
    }


def tutorial_text(done: Tutorial) -> str:
    """Return the numbers of the tutorial as text, with all their digits."""
    none = "no number (the true connections are all alike)"
    single, every = (none if r is None else repr(r) for r in (done.single_correlation, done.all_correlation))
    return (
        f"two neurons, randomised: difference in means {done.difference_in_means!r} (the truth is 1)\n"
        f"effects of neuron {done.selected_neuron} against its true connections: correlation {single}\n"
        f"all neurons, stacked correlation against the true connections: correlation {every}"
    )


def fitted(found: files.Fit, fdr: float) -> tuple[dict, np.ndarray]:
    """Return what is said of the effects in `found`, and which of them (sources, targets) stand at the rate `fdr`."""
    named = found.effects.discoveries(fdr)
    result = {
        "samples": found.samples,
        "sources": found.effects.estimate.shape[0],
        "targets": found.effects.estimate.shape[1],
        "discoveries": int(named.sum()),
        "fdr": fdr,
        "median_standard_error": float(np.median(found.effects.standard_error)),
        "largest": found.largest(named),
        "constant_targets": found.constant,
        "clamped_together": found.effects.together,
    }
    if found.truth is not None:
        result["correlation_with_truth"] = found.correlation_with_truth()
    if found.wald is not None:
        result["weak_instruments"] = np.flatnonzero(found.wald.weak)
    return result, named


def comparison_text(done: list[Comparison], counts: list[int]) -> str:
    """Return how well each method recovers the true connections, a table per strength of the hidden input."""
    lines = []
    for one in done:
        lines.append(f"hidden common input {one.hidden_strength:g}: correlation with the true connections")
        lines.append("  " + " " * 26 + "".join(f"{count:>10,}" for count in counts) + "  steps")
        lines += [
            f"  {name:26s}" + "".join(f"{value:10.3f}" for value in values) for name, values in one.agreement.items()
        ]
    return "\n".join(lines)


def planned(system: planning.System, correlation: float, trial_s: float | None) -> tuple[dict, str]:
    """Return how many clamped samples give the wanted `correlation` with the truth, for JSON and as text.

    ``trial_s`` is the duration of one perturbation, when hours are wanted too.

    Raises
    ------
    BadInput
        When the duration of a trial is not above 0.
    """
    if trial_s is not None and not np.isfinite(trial_s):
        raise BadInput(f"--trial-s is {trial_s:g}: give the duration of one perturbation in seconds")
    samples = planning.samples_for_correlation(system, correlation)
    result = {
        "samples": samples,
        "correlation": correlation,
        "limit": system.limit,
        "effect_sd": system.effect_variance**0.5,
        "outcome_sd": system.outcome_variance**0.5,
        "samples_to_find_typical_effect": planning.samples_for_power(
            system.effect_variance**0.5, system.outcome_variance**0.5
        ),
    }
    text = f"{samples:,} clamped samples per neuron for a correlation of {correlation:g} "
    text += f"(without noise: {system.limit:.5f})"
    if trial_s is not None:
        result["hours"] = samples * trial_s / 3600
        text += f": {result['hours']:.3g} hours at {trial_s:g} s each"
    return result, text


def scheduled(drawn: StimulationSchedule, interval_s: float) -> dict:
    """Return what is said of a stimulation schedule."""
    return {
        "trials": drawn.trials,
        "units": drawn.units,
        "stimulated": (drawn.assignments == STIMULATE).sum(axis=0),
        "sham": (drawn.assignments == SHAM).sum(axis=0),
        "duration_s": float(drawn.onsets_s[-1] + interval_s),
        "first": drawn.event(0),
    }


def made(out: pathlib.Path, samples: int, connectivity: np.ndarray) -> dict:
    """Return what is said of a simulated system."""
    return {"out": str(out), "samples": samples, "neurons": len(connectivity), "connections": (connectivity > 0).sum()}


def numbers(text: str, kind: Callable[[str], float], name: str) -> list:
    """Return the numbers of a comma-separated `text`, each made by `kind`; `name` is the option it came from.

    Raises
    ------
    BadInput
        When one of them is not such a number.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{name} must be numbers separated by commas, not '{text}'") from None


def unit_numbers(text: str) -> tuple[int, ...]:
    """Return the unit numbers named by ``0,3,5`` or ``0-9`` or a mixture.

    Raises
    ------
    BadInput
        When it is not such a list.
    """
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise BadInput(f"--units must look like 0,3,5 or 0-9, not '{text}'")
        if int(last or first) > LARGEST_UNIT:
            raise BadInput(f"--units names unit {int(last or first):,}; the largest unit number is {LARGEST_UNIT:,}")
        if int(last or first) < int(first):
            raise BadInput(f"--units must ascend within a range, as in 0-9, not '{part.strip()}'")
        units += range(int(first), int(last or first) + 1)
    return tuple(units)


def window(text: str, name: str) -> tuple[float, float]:
    """Return the two times of ``0.1:0.3``; `name` is the option it came from.

    Raises
    ------
    BadInput
        When it is not START:STOP.
    """
    parts = text.split(":")
    try:
        first, last = (float(part) for part in parts)
    except ValueError:
        raise BadInput(f"{name} must be START:STOP in seconds, such as 0.1:0.3, not '{text}'") from None
    return first, last
