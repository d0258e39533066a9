"""Delay and jitter between what the session did and what a device's lines say: a photodiode against target onsets."""

from __future__ import annotations

from typing import Any

import numpy as np

EARLIEST_S, LATEST_S = -0.05, 1.0
LEAST_DRIFT_H = 0.1  # of a recording from which a drift of milliseconds an hour can be told


def lines_of(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the device's events by line: ``ttl 3`` and its ``ttl 3 rising``, ``digital-input 279 bit 0 falling``."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        for name in _names(event):
            lines.setdefault(name, []).append(event)
    return lines


def _names(event: dict[str, Any]) -> list[str]:
    kind = str(event.get("kind"))
    if kind == "ttl":
        line = f"ttl {event.get('line')}"
        return [line, f"{line} {'rising' if event.get('state') else 'falling'}"]
    if kind == "digital-input":
        value, changed = int(event.get("value", 0)), int(event.get("bits_changed", 0))
        bits = [bit for bit in range(32) if changed >> bit & 1]
        lines = {bit: f"{kind} {event.get('port')} bit {bit}" for bit in bits}
        edges = [f"{line} {'rising' if value >> bit & 1 else 'falling'}" for bit, line in lines.items()]
        return [*lines.values(), *edges]
    if kind == "event":
        name = f"event {event.get('event')}"
        return [name] if event.get("value") is None else [name, f"{name} {str(event['value'])[:40]}"]
    return [f"{kind} {str(event.get('value', event.get('text', '')))[:40]}"]


def onsets_ns(steps: np.ndarray) -> np.ndarray:
    """Return the host times (ns) at which a new target left for the screen.

    Parameters
    ----------
    steps : ndarray
        Recorded steps. The command of a bin leaves after its data were decoded and recorded, so the time is that of
        the bin's beginning and the durations of its stages up to recording.
    """
    if len(steps) < 2:
        return np.zeros(0, np.int64)
    target = steps["output"]["target"]
    changed = np.flatnonzero(np.any(target[1:] != target[:-1], axis=1)) + 1
    stages = steps["timing"]["stage_ns"][:, 1:5].sum(1)
    return (steps["input"]["host_time_ns"] + stages)[changed]


def matched(onsets: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which onsets have an event, and by how many seconds it followed: the first within a second."""
    times = np.sort(times)
    first = np.searchsorted(times, onsets + EARLIEST_S * 1e9)
    there = first < times.size
    delays = np.full(onsets.size, np.inf)
    delays[there] = (times[first[there]] - onsets[there]) * 1e-9
    good = delays <= LATEST_S
    return np.flatnonzero(good), delays[good]


def of_line(name: str, events: list[dict[str, Any]], onsets: np.ndarray) -> dict[str, Any]:
    """Return how one line stands to the target onsets.

    Returns
    -------
    dict
        ``line``, ``events``, ``interval_s`` (median; None for fewer than two), ``interval_sd_s``, ``matched`` onsets,
        ``share`` of the onsets, and of those matched ``delay_median_s``, ``delay_p1_s``, ``delay_p99_s``,
        ``jitter_sd_s``, and of long recordings ``drift_s_per_hour``; ``uncertainty_s`` (median standard error of the
        clock's fit).
    """
    times = np.array([event["host_time_ns"] for event in events if event.get("host_time_ns") is not None], np.int64)
    intervals = np.diff(np.sort(times)) * 1e-9
    which, delays = matched(onsets, times)
    known = [event["uncertainty_s"] for event in events if event.get("uncertainty_s") is not None]
    answer: dict[str, Any] = {
        "line": name,
        "events": len(events),
        "interval_s": float(np.median(intervals)) if intervals.size else None,
        "interval_sd_s": float(intervals.std()) if intervals.size else None,
        "matched": int(which.size),
        "share": which.size / onsets.size if onsets.size else 0.0,
        "uncertainty_s": float(np.median(known)) if known else None,
    }
    if which.size:
        low, middle, high = np.percentile(delays, [1, 50, 99])
        answer |= {"delay_median_s": middle, "delay_p1_s": low, "delay_p99_s": high, "jitter_sd_s": float(delays.std())}
    hours = (onsets[which] - onsets[which[0]]) / 3.6e12 if which.size > 2 else np.zeros(1)
    if hours[-1] > LEAST_DRIFT_H:
        answer["drift_s_per_hour"] = float(np.polyfit(hours, delays, 1)[0])
    return answer


def best_line(rows: list[dict[str, Any]], n_onsets: int) -> dict[str, Any] | None:
    """Return the line that follows the onsets: one event for each, at the steadiest delay; None when none does.

    A line that changes far more often than targets appear (a camera's pulses) also has an event near every onset, so
    numbers that do not fit count against it.
    """
    fit = [row for row in rows if row["matched"] >= max(0.5 * n_onsets, 1) and row["events"] <= 2 * n_onsets + 2]
    return min(fit, key=lambda row: (-round(row["share"], 1), row["jitter_sd_s"]), default=None)
