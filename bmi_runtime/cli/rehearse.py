"""``bmi rehearse``: a world fitted to a pilot, and sessions simulated in it over candidate settings."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress, say


@click.command()
@click.argument("pilot")
@click.option("--config", "path", default=None, help="Configuration of the sessions; default: the recording's own.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Holds in every session.")
@click.option("--grid", "grids", multiple=True, metavar="KEY=V1,V2", help="Candidates; of several, every combination.")
@click.option(
    "--try", "tried", multiple=True, metavar="'KEY=VALUE ...'", help="One more candidate, of one or several settings."
)
@click.option("--seeds", type=click.IntRange(2, 10_000), default=6, show_default=True, help="Sessions per candidate.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first of them.")
@click.option("--duration", type=float, default=60.0, show_default=True, metavar="S", help="Of every session.")
@click.option("--write", default=None, metavar="CONFIG", help="Write the recommended configuration (TOML).")
@click.option("--world", "world_out", default=None, metavar="FILE.npz", help="Write the fitted world.")
@click.option("--figure", default=None, metavar="PAGE", help="Write one page of figures (.png, .pdf, .svg).")
@click.option("--quality/--no-quality", default=True, help="Say how well simulated spikes agree with the pilot's.")
@click.option("--journal", default=None, metavar="FILE", help="Keep finished sessions; started again, it goes on.")
@click.option("--jobs", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes.")
@click.option("--cluster", default=None, metavar="ADDRESS", help="Dask scheduler, or 'local'.")
@answer_options
def rehearse(pilot, path, overrides, grids, tried, seeds, seed, duration, as_json, **options):
    """Fit units and subject to PILOT (.mcap of a session, or data as 'bmi decode' reads) and rehearse settings."""
    from bmi_runtime.cli.rehearse_candidates import base_configuration, candidates, refuse_early
    from bmi_runtime.errors import BadInput
    from bmi_runtime.rehearsal import study
    from bmi_runtime.rehearsal.fit import fit_world
    from bmi_runtime.rehearsal.pilot import read_pilot
    from bmi_runtime.rehearsal.world import FittedWorld, is_world

    if not 10.0 <= duration <= 1e5:
        raise BadInput(f"a rehearsed session lasts 10 to 100000 s, not {duration:g} (--duration)")
    data = None if is_world(pilot) else read_pilot(pilot)
    refuse_early(data, path, overrides, grids, tried, options["write"])
    with progress("fitting the world") as _:
        world = FittedWorld.load(pilot) if data is None else fit_world(data)
    base = base_configuration(world, data, path, overrides)
    settings = candidates(grids, tried, base)
    plan = study.Rehearsal(world, base, settings, seeds, seed, duration)
    say(f"{world.units} units and their subject fitted to {pilot}; {len(settings)} settings, {seeds} seeds", as_json)
    with progress("rehearsing", len(plan.tasks())) as advance:
        found = _sessions(plan, options, advance)
    result = {"pilot": str(pilot), "world": world.summary(), "seeds": seeds, "duration_s": duration}
    result |= study.answer(plan, found)
    _finish(result, plan, data, options)
    answer(result, as_json, describe(result))


def _sessions(plan, options, advance):
    from bmi_runtime.rehearsal.spread import run_spread

    return run_spread(plan, options["jobs"], options["cluster"], options["journal"], advance)


def _finish(result, plan, data, options):
    """Write what was asked for; every file is named in the answer."""
    from bmi_runtime.cli.rehearse_candidates import write_recommended

    if options["quality"] and data is not None:
        from bmi_runtime.rehearsal.quality import agreement

        result["world"]["agreement"] = agreement(plan.world, data)
    if options["world_out"]:
        plan.world.save(options["world_out"])
        result["world_file"] = options["world_out"]
    if options["write"]:
        write_recommended(options["write"], plan.base, result["recommended"], result["pilot"])
        result["written"] = options["write"]
    if options["figure"]:
        from bmi_runtime.rehearsal.figures import page

        page(result, options["figure"])
        result["figure"] = options["figure"]


def describe(result: dict) -> str:
    """Return the answer as a table for a person."""
    lines = _world_lines(result["world"])
    heads = ("hits/min", "success", "time (s)", "straight", "bits/s")
    keys = ("hits_per_min", "success_rate", "time_to_target_s", "path_efficiency", "bit_rate_bits_s")
    names = [settings_name(entry["settings"]) for entry in result["settings"]]
    width = max(map(len, names))
    lines += ["", f"{'':{width}}  " + "  ".join(f"{head:>20}" for head in heads) + "  unrelated counts"]
    for number, (name, entry) in enumerate(zip(names, result["settings"], strict=True)):
        cells = "  ".join(f"{_cell(entry[key]):>20}" for key in keys)
        mark = "  <-" if number == result["recommended"]["number"] else ""
        own = entry.get("unrelated_hits_per_min")
        lines.append(f"{name:{width}}  {cells}  {'-' if own is None else format(own, '.1f'):>16}{mark}")
    lines += [
        "",
        "(mean over seeds, and the 95 % interval of one session; the fitted world's uncertainty is in it; last,",
    ]
    lines += [
        " hits/min with counts that know nothing of the target: what chance and the teacher reach without the units)"
    ]
    lines += [
        f"'{name}' gave the very same sessions as '{names[entry['same_as']]}': what differs has no part in them"
        for name, entry in zip(names, result["settings"], strict=True)
        if entry.get("same_as") is not None
    ]
    chosen = settings_name(result["recommended"]["settings"])
    return "\n".join([*lines, f"recommended: {chosen}: {result['recommended']['why']}"])


def settings_name(settings: dict) -> str:
    """Return a candidate as text."""
    return " ".join(f"{key}={value}" for key, value in settings.items()) or "as it is"


def _cell(found: dict) -> str:
    if found["mean"] is None:
        return "-"
    digits = 1 if found["mean"] >= 10 else 2
    text = f"{found['mean']:.{digits}f}"
    return (
        text
        if not found["interval"]
        else f"{text} ({found['interval'][0]:.{digits}f}-{found['interval'][1]:.{digits}f})"
    )


def _world_lines(world: dict) -> list[str]:
    subject = world["subject"]
    parts = [
        f"{name.removesuffix('_s').removesuffix('_hz')} {one['value']:.3g} ± {one['sd']:.2g}"
        + (" (assumed)" if one["assumed"] else "")
        for name, one in subject.items()
    ]
    lines = [
        f"world: {world['units']} {world['likelihood']} units in {1000 * world['bin_s']:g} ms bins, tuned to "
        f"{', '.join(world['regressors'])}; {world['shared_factors']} shared fluctuations",
        "subject: " + ", ".join(parts),
    ]
    return lines + [f"note: {text}" for text in world["notes"]]
