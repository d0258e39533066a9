"""``bmi sync``: delay and jitter of a photodiode (or any line) against the target onsets of a recording."""

import click

from bmi_runtime.cli.common import answer, answer_options


@click.command()
@click.argument("recording", type=click.Path())
@click.option(
    "--line", default=None, metavar="NAME", help="Which line, as listed; default: the one that follows targets."
)
@answer_options
def sync(recording, line, as_json):
    """Tell how the lines that a device recorded (TTL, digital inputs, markers) stand to the session's target onsets.

    A photodiode on the subject's screen so gives the delay from a command's leaving to light, and its jitter. Exit 3
    when no line follows the targets.
    """
    import difflib

    from bmi_runtime.analysis import synchrony
    from bmi_runtime.errors import BadInput
    from bmi_runtime.recording.reader import Recording

    taken = Recording(recording)
    events = [message for _, message in taken.messages("event") if message.get("name") == "device-event"]
    lines = synchrony.lines_of(events)
    if line is not None and line not in lines:
        near = difflib.get_close_matches(line, lines, 1)
        hint = f"; the nearest is '{near[0]}'" if near else f"; there are: {', '.join(sorted(lines)) or 'none'}"
        raise BadInput(f"{recording} has no line '{line}'{hint}")
    onsets = synchrony.onsets_ns(taken.steps())
    rows = [synchrony.of_line(name, of_line, onsets) for name, of_line in sorted(lines.items())]
    chosen = next((row for row in rows if row["line"] == line), None) or synchrony.best_line(rows, len(onsets))
    ok = chosen is not None and chosen["matched"] > 0
    answer(
        {"ok": ok, "onsets": len(onsets), "chosen": chosen, "lines": rows}, as_json, describe(len(onsets), rows, chosen)
    )
    if not ok:
        click.get_current_context().exit(3)


def describe(n_onsets: int, rows: list[dict], chosen: dict | None) -> str:
    """Return the lines and the chosen one's delay, for a person."""
    told = [f"{n_onsets} target onsets"]
    for row in rows[:40]:
        pace = (
            f", every {row['interval_s'] * 1e3:.4g} ms (sd {row['interval_sd_s'] * 1e3:.3g})"
            if row["interval_s"]
            else ""
        )
        told.append(f"  {row['line']}: {row['events']} events{pace}, within a second of {row['matched']} onsets")
    if chosen is None or not chosen["matched"]:
        return "\n".join([*told, "no line follows the targets: is the photodiode connected? (--line NAME takes one)"])
    median, low, high, jitter = (
        chosen[key] * 1e3 for key in ("delay_median_s", "delay_p1_s", "delay_p99_s", "jitter_sd_s")
    )
    told.append(
        f"'{chosen['line']}' follows {chosen['matched']} of {n_onsets} onsets by {median:.2f} ms (p1 {low:.2f}, "
        f"p99 {high:.2f}), jitter {jitter:.2f} ms (sd)"
    )
    if chosen.get("drift_s_per_hour") is not None:
        told.append(f"  drift {chosen['drift_s_per_hour'] * 1e3:+.2f} ms per hour")
    if chosen["uncertainty_s"] is not None:
        told.append(
            f"  the device's clock is fitted to this machine's within {chosen['uncertainty_s'] * 1e3:.3f} ms (standard "
            "error), and holds the smallest delay of delivery, which no one-way protocol can know"
        )
    return "\n".join(told)
