"""``bmi doctor``: is this machine fit for a live session?"""

import click

from bmi_runtime.cli.common import answer, answer_options


@click.command()
@click.option("--config", "path", default=None, help="Check for this configuration (bin width, units).")
@click.option("--source", default=None, metavar="NAME", help="Listen to this source and say what it sends.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, e.g. session.units=32.")
@click.option("--listen", default=10.0, metavar="S", show_default=True, help="With --source: for how long.")
@answer_options
def doctor(path, source, overrides, listen, as_json):
    """Check clock, scheduler, memory lock, Qt, compiled kernels and disk; exit 1 if a live session would suffer.

    With --source NAME it listens to an acquisition system instead, and says its pace, blocks, jitter, names, rates and
    events, and the settings to use.
    """
    from bmi_runtime import config as configuration
    from bmi_runtime.session import diagnosis
    from bmi_runtime.sources import listen as listening

    given = [f"source.kind={source}"] if source else []
    config = configuration.load(path, (*given, *overrides))
    if source:
        if not 0.1 <= listen <= 3600:
            raise click.UsageError(f"--listen must be between 0.1 and 3600 seconds, got {listen:g}")
        report = listening.listen(config, listen)
        answer({"ok": report["ok"], "checks": [], "source": report}, as_json, describe_source(report))
        ok = report["ok"]
    else:
        checks = diagnosis.examine(config)
        ok = all(check["ok"] for check in checks if check["needed"])
        answer({"ok": ok, "checks": checks}, as_json, describe(checks, ok))
    if not ok:
        click.get_current_context().exit(1)


def describe_source(report: dict) -> str:
    """Return what a source sends, as lines for a person."""
    lines = [
        f"{report['kind']} at {report['address']}, heard for {report['seconds']:.1f} s",
        f"  pieces    {report['pieces_per_s']:.1f} a second, each for {report['piece_s'] * 1e3:.3g} ms, arriving up to "
        f"{report['arrival_jitter_s'] * 1e3:.2g} ms late (p99)",
        f"  bins      {report['stale_bins']} of {report['bins']} without data; {report['late']} spikes late, "
        f"{report['lost_messages']} messages lost",
        f"  delay     {report['added_delay_median_s'] * 1e3:.1f} ms from the end of a bin to its data at the median, "
        f"{report['added_delay_p99_s'] * 1e3:.1f} ms at p99; bins wait {report['wait_s'] * 1e3:.1f} ms",
        f"  clock     {report['clock_skew_ppm']:+.1f} ppm against this machine's",
    ]
    if report["mean_rate_hz"] is not None:
        lines.append(f"  rate      {report['mean_rate_hz']:.2f} Hz a unit")
    if "jitter_s" in report:
        pace = f"{report['pace_s'] * 1e3:.4g} ms an entry, " if "pace_s" in report else ""
        lines.append(f"  stamps    {pace}{report['jitter_s'] * 1e3:.3g} ms off at the mean")
    for kind, count in report["events"].items():
        lines.append(f"  events    {count} of kind {kind}")
    lines += [f"  told      {text}" for text in report["told"]]
    lines += [f"  REFUSED   {text}" for text in report["refusals"]]
    named = [row for row in report["units"] if "sorted_ids" in row]
    for row in named:
        unit = f"unit {row['unit']}" if row["unit"] >= 0 else "no unit"
        lines.append(f"  {row['name']!r}: {unit}, {row['spikes']} spikes, sorted units {row['sorted_ids']}")
    lines.append("settings to use:")
    lines += [f"  --set {key}={_setting(value)}" for key, value in report["settings"].items()]
    lines.append("fit for a live session" if report["ok"] else f"not fit as it is: {'; '.join(report['why_not'])}")
    return "\n".join(lines)


def _setting(value: object) -> str:
    import json

    return f"'{json.dumps(value)}'" if isinstance(value, list) else str(value)


def describe(checks: list[dict], ok: bool) -> str:
    """Return the checks as lines for a person: good, missing but optional, or bad, each with what to do."""
    lines = []
    for check in checks:
        mark = "ok     " if check["ok"] else ("BAD    " if check["needed"] else "missing")
        lines.append(f"{mark}  {check['name']}: {check['found']}")
        if not check["ok"]:
            lines.append(f"         -> {check['advice']}")
    lines.append("fit for a live session" if ok else "not fit for a live session: see BAD above")
    return "\n".join(lines)
