"""Steady states as the command line answers them: what is proved, what was found, and the digits that hold."""

import math

from bmi_runtime.analysis.fokker_planck.all_states import AllStates
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.steady import Critical, SteadyState
from bmi_runtime.analysis.numbers import digits

ENDS = {
    "fold": "critical connectivity b* = {b:.10g}: two states merge there; {beyond}",
    "limit": "the branch of steady states ends at b* = {b:.10g}, its rate growing without bound towards it; {beyond}",
    "quiet-branch": "the quiet steady state ends at b* = {b:.10g}; with {why} a busier one exists at every b",
    "none-found": "no turning point of the branch of steady states was found",
}


def answer(known: AllStates, states: list[SteadyState], end: Critical, folds: list[tuple[float, float]]) -> dict:
    """Return the answer for programs."""
    return {
        "steady_states": [_state(state) for state in states],
        "complete": known.complete,
        "undecided": [list(interval) for interval in known.undecided],
        "critical_b": end.b,
        "critical_kind": end.kind,
        "none_beyond_critical_proved": end.proved,
        "folds": [{"b": b, "rate": rate} for b, rate in folds],
    }


def _state(state):
    leading = state.leading_eigenvalue
    return {
        "rate": state.rate,
        "rate_error": state.rate_error,
        "residual": state.residual,
        "stable": state.stable,
        "leading_eigenvalue": None if leading is None else leading.real,
        "leading_eigenvalue_imaginary": None if leading is None else abs(leading.imag),
    }


def text(model: Model, known: AllStates, states: list[SteadyState], result: dict) -> str:
    """Return the answer for a person."""
    lines = [f"{len(states)} steady state(s) at b = {model.b:.10g}{_completeness(model, known)}"]
    for state in states:
        lines.append(f"  N = {digits(state.rate, state.rate_error)}  {_stability(state)}")
    for low, high in known.undecided:
        lines.append(
            f"  near N = {math.sqrt(low * high):.8g}: a double state, two that merge, or none (a fold is there)"
        )
    why = "a refractory time" if model.refractory > 0 else "a random threshold"
    beyond = "above it there is none (proved)" if result["none_beyond_critical_proved"] else "none was found above it"
    end = ENDS[result["critical_kind"]]
    lines.append(end.format(b=result["critical_b"] or math.nan, why=why, beyond=beyond))
    return "\n".join(lines)


def _completeness(model, known):
    if known.complete:
        return ", and no others (proved)"
    if model.threshold_eps > 0:
        return " found (with a random threshold nothing proves that there are no others)"
    gaps = [] if known.proved_below else [f"below N = {known.lowest:.3g}"]
    gaps += [] if known.proved_above else [f"above N = {known.highest:.3g}"]
    gaps += ["near the fold named below"] if known.undecided else []
    return f"; not decided: {', '.join(gaps)}"


def _stability(state):
    leading = state.leading_eigenvalue
    if leading is None:
        return "stability not resolved: two resolutions of the spectrum do not agree"
    turn = f" +- {abs(leading.imag):.6g}i" if leading.imag else ""
    return f"{'stable' if state.stable else 'unstable'}, leading eigenvalue {leading.real:.6g}{turn}"
