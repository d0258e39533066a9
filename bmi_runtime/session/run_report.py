"""What a run says of itself to a person: what is about to run, how it goes, how it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bmi_runtime.session.loop import Loop

REPORT_S = 0.5  # between two moves of the progress bar
PROGRESS_S = 60.0  # between two lines that say how it goes


def describe(loop: Loop) -> str:
    """Return one line saying what is about to run."""
    config = loop.session.config
    parts = [
        f"{config.session.units} {config.session.likelihood} units from {config.source.kind}",
        f"{config.bin_s * 1000:g} ms bins",
        f"{loop.session.decoder_settings()['kind']} decoder",
        f"learning rate {config.adapter.learning_rate:g} per bin" if config.adapter.enabled else "no adaptation",
        f"seed {config.session.seed}",
        f"recording {loop.recorder.path}" if loop.recorder else "not recorded",
    ]
    carried = [event["text"] for event in loop.opening_events if event["name"] == "model-loaded"]
    return "; ".join([", ".join(parts), *carried])


def reporter(bin_s: float, advance: Callable[[int, int], None], say: Callable[[str], None]) -> Callable[[Loop], None]:
    """Return what the loop calls after each bin.

    Parameters
    ----------
    bin_s : float
    advance : callable
        Gets the bins done, and how many more these are than the last time, every `REPORT_S` of session time.
    say : callable
        Gets :func:`progress_line` every `PROGRESS_S`.
    """
    every, line_every = max(round(REPORT_S / bin_s), 1), max(round(PROGRESS_S / bin_s), 1)

    def after_bin(loop: Loop) -> None:
        bins = loop.session.bins
        if bins % every == 0:
            advance(bins, every)
        if bins % line_every == 0:
            say(progress_line(loop))

    return after_bin


def progress_line(loop: Loop) -> str:
    """Return one line saying how it goes."""
    task = loop.session.task
    clock, done = f"{loop.session.bins * loop.session.config.bin_s:6.0f} s", task.successes + task.timeouts
    return f"{clock}  {task.successes} of {done} targets reached, {loop.tally.deadline_misses} deadlines missed"


def source_lines(health: dict[str, Any]) -> list[str]:
    """Return what a live source delivered, and what was refused with its reason and the setting that mends it."""
    if "wait_s" not in health:
        return []
    delays = f"median {health['delay_median_s'] * 1e3:.1f} ms, p99 {health['delay_p99_s'] * 1e3:.1f} ms"
    lines = [
        f"from the end of a bin to its data: {delays}; bins wait up to {health['wait_s'] * 1e3:.1f} ms; "
        f"{health.get('stale_bins', 0)} bins without data, {health.get('late', 0)} spikes late, "
        f"{health.get('lost', 0)} messages lost"
    ]
    if health["wait_wanted_s"] > health["wait_s"]:
        wanted = health["wait_wanted_s"] * 1e3
        lines.append(f"the data need {wanted:.0f} ms, more than realtime.wait_limit_s allows")
    return lines + health["refusals"]


def summary(result: dict[str, Any]) -> str:
    """Return the run's figures as a few lines for a person."""
    rate = result["success_rate"]
    latency = result["latency_us"]
    lines = [
        f"{result['bins']} bins, {result['successes']} of {result['trials']} targets reached"
        + (f" ({100 * rate:.1f} %)" if rate is not None else ""),
        f"bin to cursor: median {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us, {result['deadline_misses']} late"
        if latency["p50"] is not None
        else "no bin was run",
        f"recording: {result['recording'] or 'none'}",
        f"digest of the outputs: {result['output_digest']}",
    ]
    lines += source_lines(result.get("source") or {})
    if result.get("recording_failed"):
        lines.append(f"THE RECORDING IS INCOMPLETE: {result['recording_failed']}")
    if result.get("restarts"):
        lines.append(
            f"the runtime was started again {result['restarts']} times; recordings: " + ", ".join(result["recordings"])
        )
    return "\n".join(lines)
