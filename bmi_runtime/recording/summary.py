"""What is in a recording, as numbers: the content of ``bmi inspect``."""

from collections import Counter
from typing import Any

import numpy as np

from bmi_runtime.messages import STAGES, SafetyState, latency_ns
from bmi_runtime.recording.reader import Recording

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}


def summarise(recording: Recording) -> dict[str, Any]:
    """Return what a person wants to know of a recording before opening it.

    Returns
    -------
    dict
        ``complete, bins, lost_bytes, missing_bins, damage, provenance``: what there is. ``duration_s, bin_s, units,
        continuous, spikes, mean_rate_hz, trials, successes, timeouts, success_rate``: the session, to its last bin.
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
    }
    facts |= _duration(recording) | _spikes(recording) | _trials(recording) | _adaptation(recording)
    facts |= {
        "safety_states": _safety_states(recording.column("output", "safety")),
        "events": _events(recording),
        "commands": recording.stream_counts.get("command", 0),
        "input_faults": _input_faults(recording),
        "latency_us": _latency_us(recording.column("timing", "stage_ns"), recording.column("timing", "lateness_ns")),
        "deadline_misses": int(np.sum(recording.column("timing", "deadline_missed") != 0)),
        "streams": recording.stream_counts,
        "metadata": _given_metadata(recording),
        "parent": recording.parent,
        "recovered": recording.header.get("recovered"),
        "provenance": recording.header.get("provenance"),
    }
    if facts["duration_s"] and facts["spikes"] is not None:
        facts["mean_rate_hz"] = facts["spikes"] / facts["duration_s"] / recording.n_units
    return facts | {"odd": _odd(recording, facts)}


def _given_metadata(recording: Recording) -> dict[str, Any]:
    """Return what the session was told of its subject."""
    told = (recording.header.get("config") or {}).get("metadata") or {}
    return {name: value for name, value in told.items() if value}


def _odd(recording: Recording, facts: dict[str, Any]) -> list[str]:
    """Return one sentence for everything that should make a person look twice."""
    bins, faults = facts["bins"], facts["input_faults"]
    moving = sum(facts["safety_states"].get(name, 0) for name in ("starting", "calibrating", "active", "degraded"))
    silent = (
        np.empty(0, int) if bins == 0 else np.flatnonzero(~np.any(recording.column("input", "counts") != 0, axis=0))
    )
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
        f"counts were refused {facts['events'].get('refused-counts')} times (safety.max_count)": (
            facts["events"].get("refused-counts")
        ),
        "the decoded state is not finite somewhere": not np.all(np.isfinite(recording.column("output", "decoded"))),
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


def _duration(recording: Recording) -> dict[str, Any]:
    """Return the time that the bins span on the acquisition clock, in which a jump (a new segment) takes no time."""
    times_s, segments = recording.column("input", "device_time_s"), recording.column("input", "segment")
    whole = np.isfinite(times_s)
    times_s, segments = times_s[whole], segments[whole]
    steps_s = np.diff(times_s)[segments[1:] == segments[:-1]]
    steps_s = steps_s[steps_s > 0]
    if len(steps_s) == 0:
        return {"duration_s": 0.0, "bin_s": None}
    bin_s = round(float(np.median(steps_s)), 9)
    return {"duration_s": float(steps_s.sum()) + bin_s, "bin_s": bin_s}


def _spikes(recording: Recording) -> dict[str, Any]:
    if recording.continuous:
        return {"spikes": None, "mean_rate_hz": None}
    return {"spikes": int(recording.column("input", "counts").sum(dtype=np.int64)), "mean_rate_hz": None}


def _trials(recording: Recording) -> dict[str, Any]:
    """Return how many trials have ended, and how."""
    ends = [recording.column("output", name)[-1:] for name in ("successes", "timeouts")]
    successes, timeouts = (int(end.sum()) for end in ends)
    trials = successes + timeouts
    return {
        "trials": trials,
        "successes": successes,
        "timeouts": timeouts,
        "success_rate": successes / trials if trials else None,
    }


def _adaptation(recording: Recording) -> dict[str, Any]:
    rates, adapting = recording.column("output", "learning_rate"), recording.column("output", "adapting")
    if len(rates) == 0:
        return {"adapting": None, "learning_rate": None}
    return {"adapting": float(np.mean(adapting != 0)), "learning_rate": [float(rates[0]), float(rates[-1])]}


def _safety_states(states: np.ndarray) -> dict[str, int]:
    names = {state.value: state.name.lower() for state in SafetyState}
    values, counts = np.unique(states, return_counts=True)
    return {names.get(int(value), f"unknown {value}"): int(count) for value, count in zip(values, counts, strict=True)}


def _input_faults(recording: Recording) -> dict[str, int]:
    names = ("gap_bins", "late", "duplicates", "invalid")
    faults = {name: int(recording.column("input", name).sum(dtype=np.int64)) for name in names}
    stale, segments = recording.column("input", "stale"), recording.column("input", "segment")
    return faults | {"stale_bins": int(np.sum(stale != 0)), "segments": len(np.unique(segments))}


def _latency_us(stage_ns: np.ndarray, lateness_ns: np.ndarray) -> dict[str, Any] | None:
    """Return percentiles, us: of the latency (`messages.latency_ns`), and of the time spent in each stage."""
    if len(stage_ns) == 0:
        return None
    stages = stage_ns / 1e3
    latency: dict[str, Any] = _percentiles(latency_ns(stage_ns, lateness_ns) / 1e3)
    return latency | {"stages": {name: _percentiles(stages[:, index]) for index, name in enumerate(STAGES)}}


def _percentiles(values: np.ndarray) -> dict[str, float]:
    found = np.percentile(values, list(PERCENTILES.values()))
    return {name: float(value) for name, value in zip(PERCENTILES, found, strict=True)}
