"""What `bmi perturb plan FIT`, `judge`, `instrument` and `spikes` answer, for JSON and as text."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.perturbation.designing import Plan, Wish, dealt_evenly
from bmi_runtime.analysis.perturbation.instruments import STRONG_F, Instrumented
from bmi_runtime.analysis.perturbation.judging import NOT_TRIED, WEAK, Judgement, Truth
from bmi_runtime.analysis.perturbation.predicted import CoupledFit

SHOWN = 20


def planned(fit: CoupledFit, wish: Wish, plan: Plan) -> dict:
    """Return a plan for JSON."""
    predicted, design = plan.prediction, plan.design
    even = dealt_evenly(plan, wish)
    rows = [
        {
            "source": int(j),
            "target": int(i),
            "direct_spikes": float(predicted.direct_spikes[k]),
            "passed_on": float(predicted.passed_on[k]),
            "trials_needed": int(plan.needed[k]),
            "power": float(plan.power[k]),
        }
        for k, (i, j) in enumerate(zip(predicted.targets, predicted.sources))
    ]
    return {
        "couplings": rows,
        "expected_found": float(plan.power.sum()),
        "expected_found_evenly": float(even.sum()),
        "with_wanted_power": int((plan.power >= wish.power).sum()),
        "trials": design.trials,
        "units": list(design.units),
        "participation": list(design.participation or ()),
        "per_trial": design.per_trial,
        "pulses": design.pulses,
        "interval_s": design.interval_s,
        "jitter_s": design.jitter_s,
        "minutes": design.trials * design.interval_s / 60,
        "response_s": fit.lags * fit.bin_s,
        "settings": settings(plan),
    }


def settings(plan: Plan) -> list[str]:
    """Return what `bmi run --set` takes to run the plan in a session."""
    design = plan.design
    values = {
        "enabled": "true",
        "units": str(list(design.units)),
        "participation": str(list(design.participation or ())),
        "trials": str(design.trials),
        "per_trial": str(design.per_trial),
        "first_s": f"{design.first_s:g}",
        "interval_s": f"{design.interval_s:g}",
        "jitter_s": f"{design.jitter_s:g}",
        "pulses": str(design.pulses),
        "seed": str(design.seed),
    }
    return [f"stimulation.{key}={value.replace(' ', '')}" for key, value in values.items()]


def planned_text(fit: CoupledFit, result: dict) -> str:
    """Return a plan as text."""
    rows = sorted(result["couplings"], key=lambda row: -row["power"])
    lines = [
        f"{len(rows)} couplings stand in the fit; stimulation can tell {result['expected_found']:.1f} of them from "
        f"indirect ones ({result['expected_found_evenly']:.1f} with the same time dealt evenly)",
        f"{result['trials']:,} trials in {result['minutes']:.3g} minutes, {result['per_trial']} units at most in one, "
        f"{result['pulses']} pulse(s), onsets {result['interval_s']:g} s apart on average",
        "unit: trials  " + ", ".join(f"{u}: {n}" for u, n in zip(result["units"], result["participation"])),
        f"  {'coupling':24s}{'spikes':>9s}{'passed on':>11s}{'needs':>9s}{'power':>8s}",
    ]
    for row in rows[:SHOWN]:
        name = f"{fit.unit_names[row['source']]} -> {fit.unit_names[row['target']]}"
        lines.append(
            f"  {name:24s}{row['direct_spikes']:+9.3f}{row['passed_on']:11.2f}{row['trials_needed']:9,}"
            f"{row['power']:8.2f}"
        )
    if len(rows) > SHOWN:
        lines.append(f"  ... and {len(rows) - SHOWN} more (all in --json)")
    lines.append(
        "spikes: what one stimulation adds through the coupling itself; passed on: what other paths add, of it"
    )
    lines.append("in a session: bmi run " + " ".join(f"--set '{setting}'" for setting in result["settings"]))
    return "\n".join(lines)


def judged(found: Judgement, truth: Truth | None) -> dict:
    """Return a judgement for JSON; `truth` are the true connections when they are known."""
    rows = [
        {
            "source": int(j),
            "target": int(i),
            "verdict": found.verdicts[k],
            "direct": float(found.direct[k]),
            "error": float(found.error[k]),
            "passed_on": float(found.passed_on[k]),
            "p_absent": float(found.p_absent[k]),
            "p_fitted": float(found.p_fitted[k]),
            "p_half": float(found.p_half[k]),
            "first_stage_f": float(found.first_stage_f[k]),
        }
        for k, (i, j) in enumerate(zip(found.targets, found.sources))
    ]
    words = np.array(found.verdicts)
    weak, untried = (np.unique(found.sources[words == word]).tolist() for word in (WEAK, NOT_TRIED))
    result = {"couplings": rows, "trials": found.trials, "counts": found.counted()}
    result |= {"weak_instruments": weak, "not_stimulated": untried}
    return result if truth is None else result | {"against_truth": found.against(truth)}


def judged_text(fit: CoupledFit, result: dict) -> str:
    """Return a judgement as text."""
    counts = ", ".join(f"{n} {'survive' if word == 'survives' else word}" for word, n in result["counts"].items() if n)
    lines = [f"{len(result['couplings'])} couplings of the fit, {result['trials']:,} trials of stimulation: {counts}"]
    lines.append(f"  {'coupling':24s}{'direct':>9s}{'s.e.':>8s}{'passed on':>11s}  verdict")
    order = sorted(result["couplings"], key=lambda row: (row["verdict"] != "survives", row["p_absent"]))
    for row in order[: 2 * SHOWN]:
        name = f"{fit.unit_names[row['source']]} -> {fit.unit_names[row['target']]}"
        numbers = f"{row['direct']:9.2f}{row['error']:8.2f}" if np.isfinite(row["direct"]) else " " * 17
        lines.append(f"  {name:24s}{numbers}{row['passed_on']:11.2f}  {row['verdict']}")
    if len(order) > 2 * SHOWN:
        lines.append(f"  ... and {len(order) - 2 * SHOWN} more (all in --json)")
    lines.append("direct: effect without what others pass on, 1 is the coupling as fitted; a path through a unit that")
    lines.append("was not recorded counts as direct")
    if result["weak_instruments"]:
        weak = ", ".join(fit.unit_names[unit] for unit in result["weak_instruments"])
        lines.append(f"weak instruments (stimulation hardly moves them; nothing is concluded): {weak}")
    if "against_truth" in result:
        known = result["against_truth"]
        lines.append(f"  {'against the truth':20s}{'real':>8s}{'through hidden':>16s}{'spurious':>10s}")
        for row in ("fitted", "survivors", "refuted", "undecided"):
            real, hidden, spurious = (known[f"{row}_{kind}"] for kind in ("real", "through_hidden", "spurious"))
            lines.append(f"  {row:20s}{real:8d}{hidden:16d}{spurious:10d}")
    return "\n".join(lines)


def instrumented(found: Instrumented, level: float = 0.05) -> dict:
    """Return what the targets say as instruments, for JSON."""
    pairs = np.isfinite(found.effect)
    strong = pairs & ~found.weak[:, None]
    refuted = strong & (found.p_other_ways < level)
    stands = strong & ~refuted & ((found.low > 0) | (found.high < 0))
    keys = ("effect", "error", "low", "high", "p_other_ways")
    rows = [
        {"source": int(j), "target": int(i)} | {key: float(getattr(found, key)[j, i]) for key in keys}
        for j, i in zip(*np.nonzero(stands))
    ]
    return {
        "trials": found.trials,
        "targets": found.targets,
        "first_stage_f": found.first_stage_f,
        "weak_instruments": np.flatnonzero(found.weak),
        "pairs": int(pairs.sum()),
        "pairs_strong": int(strong.sum()),
        "pairs_refuted": int(refuted.sum()),
        "not_refuted": rows,
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "p_other_ways": found.p_other_ways,
    }


def instrumented_text(result: dict) -> str:
    """Return what the targets say as instruments, as text."""
    weak = result["weak_instruments"]
    total = len(result["first_stage_f"])
    lines = [
        f"{result['trials']:,} trials, {result['targets']} targets; they move {total - len(weak)} of {total} units "
        f"enough (first-stage F of {STRONG_F:g} and more)"
    ]
    if len(weak):
        named = ", ".join(map(str, weak[:SHOWN])) + (" ..." if len(weak) > SHOWN else "")
        lines.append(f"weak instruments, nothing is concluded from them: {named}")
    lines.append(
        f"of {result['pairs_strong']:,} pairs with a strong instrument {result['pairs_refuted']:,} are refuted: the "
        "targets disagree on the effect, so they reach the unit by other ways too (its own tuning)"
    )
    for row in sorted(result["not_refuted"], key=lambda row: row["p_other_ways"])[::-1][:SHOWN]:
        lines.append(
            f"  {row['source']} -> {row['target']}: {row['effect']:+.3g} spikes per spike "
            f"({row['low']:+.3g} to {row['high']:+.3g}; targets agree, p = {row['p_other_ways']:.2g})"
        )
    lines.append("not refuted is not proved: targets that reach both units in the same proportion look like an effect")
    return "\n".join(lines)
