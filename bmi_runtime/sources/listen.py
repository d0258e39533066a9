"""What a source sends, found out by listening: pace, blocks, jitter, names, rates, events, and settings to use."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.base import SOURCES, source_class
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.live import LONGEST_WAIT_S, LiveSource
from bmi_runtime.sources.packet import Packet

MOST_STALE = 0.001  # share of bins without data with which a source is still fit for a session
MOST_ROWS = 400  # of the table of units


class ListeningBinner(Binner):
    """A binner that remembers how its packets came."""

    heard: list[tuple[int, int, int]]

    def take(self, packet: Packet) -> bool:
        """Take a packet and remember what it covers and when it came."""
        self.heard.append((packet.from_ns, packet.until_ns, packet.host_ns))
        return super().take(packet)


def listen(config: Config, seconds: float) -> dict[str, Any]:
    """Return what the configured source sends within so many seconds.

    Raises
    ------
    BadInput
        When the source makes its own data, or what it offers does not suit the session; the sentence says the setting.
    BmiError
        When nothing came.
    """
    made = source_class(config.source.kind)(config)
    if not isinstance(made, LiveSource):
        live = ", ".join(name for name in SOURCES if name not in ("simulated", "network"))
        raise BadInput(
            f"the source '{config.source.kind}' makes its own data; there is nothing to listen to in it "
            f"(those that can be listened to: {live})"
        )
    binner = ListeningBinner(config, made.binner.options)
    binner.heard = []
    made.binner = binner
    try:
        made.open()
        return _report(made, binner, config, *_bins(made, config, seconds))
    finally:
        made.close()


def _bins(source: LiveSource, config: Config, seconds: float) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return (bins, 1 + units): whether each was stale, and its counts; and the events that came."""
    into, rows, events = Bin(config.session.units, config.continuous, config.space), [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        source.next_bin(into, None, None)
        rows.append([float(into.fields.stale[0] > 0), *into.fields.counts.tolist()])
        events += source.drain_events()
    return np.array(rows), events


def _report(
    source: LiveSource, binner: ListeningBinner, config: Config, rows: np.ndarray, events: list[dict[str, Any]]
) -> dict[str, Any]:
    stale = rows[:, 0] > 0
    told, health, refusals = source.feed.report(), source.health(), source.refusals()
    units = told.pop("units", None) or _by_number(rows[~stale, 1:], config)
    report = {
        "kind": config.source.kind,
        "address": getattr(source.feed, "address", config.source.address),
        "seconds": len(rows) * config.bin_s,
        **_pieces(binner),
        "bins": len(rows),
        "stale_bins": int(stale.sum()),
        "late": health.get("late", 0),
        "lost_messages": health.get("lost", 0),
        "clock_skew_ppm": health["clock_skew_ppm"],
        "wait_s": health["wait_s"],
        "wait_wanted_s": health["wait_wanted_s"],
        "added_delay_median_s": health["delay_median_s"],
        "added_delay_p99_s": health["delay_p99_s"],
        "mean_rate_hz": None if config.continuous else _rate_hz(rows[~stale, 1:], units, config),
        "events": dict(Counter(event["kind"] for event in events if event["name"] == "device-event")),
        "told": [event["text"] for event in events if event["name"] == "source-told"],
        "refusals": refusals,
        **told,
        "units": units[:MOST_ROWS],
    }
    report["settings"] = _settings(config, report)
    report["why_not"] = [f"{refusals[0]}"] if refusals else []
    if report["wait_wanted_s"] > LONGEST_WAIT_S:
        report["why_not"].append(
            f"data came up to {report['wait_wanted_s']:.2g} s late, longer than a bin should wait: is the sender, or "
            "this machine, out of processors?"
        )
    if stale.mean() > MOST_STALE:
        share = f"{100 * stale.mean():.2g} % of the bins had no data"
        report["why_not"].append(f"{share}, more than {100 * MOST_STALE:g} %")
    report["ok"] = not report["why_not"]
    return report


def _pieces(binner: ListeningBinner) -> dict[str, float]:
    """Return how many packets came, for how long each, and how late."""
    heard = np.array(binner.heard, np.int64).reshape(-1, 3)
    span_s = max(float(np.ptp(heard[:, 2])) * 1e-9, 1e-9)
    late_ns = [host - binner.clock.host_ns(until) for _, until, host in heard[-2000:].tolist()]
    return {
        "pieces_per_s": len(heard) / span_s,
        "piece_s": float(np.median(heard[:, 1] - heard[:, 0])) * 1e-9,
        "arrival_jitter_s": float(np.percentile(late_ns, 99)) * 1e-9,
    }


def _rate_hz(counts: np.ndarray, units: list[dict[str, Any]], config: Config) -> float:
    """Return the mean rate of the units that have a name (of all, where the protocol names none)."""
    there = len({row["unit"] for row in units if row["unit"] >= 0}) or config.session.units
    return float(counts.sum() / there / max(len(counts), 1) / config.bin_s)


def _by_number(counts: np.ndarray, config: Config) -> list[dict[str, Any]]:
    """Return a row per unit with what was counted, for protocols that name none."""
    total = counts.sum(0)
    return [{"name": str(unit), "unit": unit, "spikes": float(total[unit])} for unit in range(config.session.units)]


def _settings(config: Config, report: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that what came asks for."""
    settings: dict[str, Any] = {"source.kind": config.source.kind}
    if "://" in report["address"]:  # a stream of LSL has a name and no address
        settings["source.address"] = report["address"]
    settings |= {f"source.options.{key}": value for key, value in config.source.options.items()}
    if config.realtime.wait_limit_s < report["wait_wanted_s"] <= LONGEST_WAIT_S:
        settings["realtime.wait_limit_s"] = round(report["wait_wanted_s"] * 1.2, 3)
    for key in ("field", "dtype", "first_channel", "protocol", "clock", "instrument"):
        if report.get(key) is not None:
            settings[f"source.options.{key}"] = report[key]
    if "field" in report:
        settings["source.options.width_s"] = float(f"{report['pace_s']:.4g}")
    named = [row for row in report["units"] if "sorted_ids" in row]
    if named:
        settings["session.units"] = len(named)
    if any(row["unit"] < 0 for row in named):
        settings["source.options.units"] = [[row["name"], row["sorted_ids"][0]] for row in named]
    return settings
