"""What is in a recording, as numbers: the content of ``bmi inspect``."""

from collections import Counter
from typing import Any

import numpy as np

from bmi_runtime.messages import SafetyState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.tally import Tally


def summarise(recording: Recording) -> dict[str, Any]:
    """Return what a person wants to know of a recording before opening it.

    Returns
    -------
    dict
        ``complete, bins, lost_bytes, missing_bins, damage, provenance``: what there is. ``duration_s, bin_s, units,
        continuous, features, axes, click, spikes, mean_rate_hz, trials, successes, timeouts, success_rate``: the
        session, to its last bin. ``blocks``: see `BlockScores.facts`.
        ``adapting`` (fraction of bins), ``learning_rate`` (first, last), ``safety_states`` (bins in each), ``events``
        (messages by name), ``commands``, ``input_faults`` (sums of gap bins, late, duplicate and invalid counts, stale
        bins), ``latency_us`` (percentiles of the latency and of each stage), ``deadline_misses``, ``streams``
        (messages in each), ``metadata``, ``parent``, ``recovered``. ``odd``: a sentence for everything
        that a person should look at.
    """
    facts: dict[str, Any] = {
        "complete": recording.complete,
        "bins": recording.n_steps,
        "lost_bytes": recording.lost_bytes,
        "missing_bins": recording.missing_bins,
        "damage": [[damage.offset, damage.size_bytes, damage.reason] for damage in recording.damage],
        "size_bytes": recording.size_bytes,
        "units": recording.n_units,
        "continuous": recording.continuous,
        "features": recording.n_features,
        "axes": list(recording.space.axes),
        "click": recording.space.click,
    }
    tally = Tally(recording)
    facts |= _duration(tally) | {"spikes": None if recording.continuous else tally.spikes, "mean_rate_hz": None}
    facts |= _trials(tally) | _adaptation(tally, recording.n_steps) | {"blocks": tally.blocks.facts(tally.bin_s)}
    facts |= {
        "safety_states": _safety_states(tally),
        "events": _events(recording),
        "commands": recording.stream_counts.get("command", 0),
        "input_faults": tally.faults | {"stale_bins": tally.stale_bins, "segments": len(tally.segments)},
        "latency_us": _latency_us(tally),
        "deadline_misses": tally.missed,
        "streams": recording.stream_counts,
        "metadata": _given_metadata(recording),
        "parent": recording.parent,
        "recovered": recording.header.get("recovered"),
        "provenance": recording.header.get("provenance"),
    }
    if facts["duration_s"] and facts["spikes"] is not None:
        facts["mean_rate_hz"] = facts["spikes"] / facts["duration_s"] / recording.n_units
    return facts | {"odd": _odd(tally, facts)}


def _given_metadata(recording: Recording) -> dict[str, Any]:
    """Return what the session was told of its subject."""
    told = (recording.header.get("config") or {}).get("metadata") or {}
    return {name: value for name, value in told.items() if value}


def _odd(tally: Tally, facts: dict[str, Any]) -> list[str]:
    """Return one sentence for everything that should make a person look twice."""
    bins, faults = facts["bins"], facts["input_faults"]
    moving = sum(facts["safety_states"].get(name, 0) for name in ("starting", "calibrating", "active", "degraded"))
    refused = facts["events"].get("refused-counts")
    silent = np.flatnonzero(~tally.active) if bins else np.empty(0, int)
    checks = {
        "the recording holds no bins": bins == 0,
        f"{facts['missing_bins']} bins are missing between the first and the last": facts["missing_bins"],
        f"{len(silent)} of {facts['units']} units are silent throughout{_first_units(silent)}": len(silent),
        f"{facts['deadline_misses']} bins missed their deadline": facts["deadline_misses"],
        f"{faults['gap_bins']} bins were lost by the source": faults["gap_bins"],
        f"{faults['invalid']} counts or features were refused": faults["invalid"],
        f"{faults['late']} counts came late and {faults['duplicates']} twice": faults["late"] or faults["duplicates"],
        f"in {faults['stale_bins']} bins the source had nothing new": faults["stale_bins"],
        f"the device clock jumped: its times come in {faults['segments']} segments": faults["segments"] > 1,
        f"in {bins - moving} bins the output was frozen or stopped": bins > moving,
        "no bin was ever usable: nothing was decoded, the cursor never moved": (
            bins and facts["safety_states"].get("starting", 0) == bins
        ),
        f"the session refused counts or features in {refused} bins (event refused-counts)": refused,
        f"{facts['events'].get('artifact')} bins were taken as artifacts (safety.artifact_sd)": (
            facts["events"].get("artifact")
        ),
        "the decoded state is not finite somewhere": not tally.finite,
        "the code was changed after its commit": (facts["provenance"] or {}).get("git_dirty"),
    }
    return [sentence for sentence, holds in checks.items() if holds]


def _events(recording: Recording) -> dict[str, int]:
    """Return how often each event happened: those recorded, and those that were too many to be."""
    counts: Counter[str] = Counter()
    for _, event in _messages(recording, "event"):
        said, suppressed = not event.get("only_suppressed"), event.get("suppressed", 0)
        counts[str(event.get("name", "unnamed"))] += said + (suppressed if isinstance(suppressed, int) else 0)
    return dict(counts)


def _first_units(units) -> str:
    """Return the first few of the units in brackets."""
    return f" ({', '.join(map(str, units[:8]))}{', ...' if len(units) > 8 else ''})"


def _messages(recording: Recording, stream: str):
    return recording.messages(stream) if recording.stream_counts.get(stream) else []


def _duration(tally: Tally) -> dict[str, Any]:
    """Return the time that the bins span on the acquisition clock, in which a jump (a new segment) takes no time."""
    return {"duration_s": tally.spanned_s + (tally.bin_s or 0.0), "bin_s": tally.bin_s}


def _trials(tally: Tally) -> dict[str, Any]:
    """Return how many trials have ended, and how."""
    successes, timeouts = (0 if tally.last is None else int(tally.last[name]) for name in ("successes", "timeouts"))
    trials = successes + timeouts
    return {
        "trials": trials,
        "successes": successes,
        "timeouts": timeouts,
        "success_rate": successes / trials if trials else None,
    }


def _adaptation(tally: Tally, bins: int) -> dict[str, Any]:
    if tally.first is None or tally.last is None:
        return {"adapting": None, "learning_rate": None}
    rates = [float(output["learning_rate"]) for output in (tally.first, tally.last)]
    return {"adapting": tally.adapting / bins, "learning_rate": rates}


def _safety_states(tally: Tally) -> dict[str, int]:
    names = {state.value: state.name.lower() for state in SafetyState}
    return {names.get(value, f"unknown {value}"): count for value, count in sorted(tally.safety.items())}


def _latency_us(tally: Tally) -> dict[str, Any] | None:
    """Return percentiles, us: of the latency (`messages.latency_ns`), and of the time spent in each stage."""
    if not tally.latency.number:
        return None
    latency: dict[str, Any] = tally.latency.percentiles_us()
    return latency | {"stages": {name: durations.percentiles_us() for name, durations in tally.stages.items()}}
