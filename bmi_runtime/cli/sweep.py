"""``bmi sweep``: any command over a grid of settings."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress


@click.command()
@click.argument("command")
@click.option(
    "--grid", multiple=True, metavar="KEY=V1,V2", help="Values, or range/linspace/logspace(a,b,n). Repeatable."
)
@click.option(
    "--random", "draws", multiple=True, metavar="KEY=DIST", help="uniform/loguniform/integers(a,b), or V1,V2."
)
@click.option("--samples", type=click.IntRange(1), default=20, show_default=True, help="Random draws per grid point.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random draws.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Local processes.")
@click.option("--cluster", default=None, metavar="ADDRESS|FILE", help="Dask scheduler (tcp://...) or job-queue file.")
@click.option("--out", default="sweep.csv", show_default=True, help="The table; the journal lies beside it (.jsonl).")
@click.option("--retry-failed", is_flag=True, help="Run those again that failed before.")
@answer_options
def sweep(command, grid, draws, samples, seed, jobs, cluster, out, retry_failed, as_json):
    r"""Run COMMAND (quoted, any bmi command) for every setting; one that fails does not lose the others.

    \b
    bmi sweep "run --headless --speed max --duration 60 --record none" \\
        --grid adapter.learning_rate=logspace(1e-7,1e-4,4) --grid session.seed=range(1,6)

    A key with a dot is given by --set, a key that begins with -- as an option. Run the same line again after a kill and
    it goes on where it stopped.
    """
    import json
    import pathlib

    from bmi_runtime import sweep as engine
    from bmi_runtime.cli.run_task import run_task
    from bmi_runtime.recording.provenance import provenance

    points = engine.settings(list(grid), list(draws), samples, seed)
    words = engine.split_command(command)
    lines = [engine.command_line(words, point) for point in points]
    keys = [engine.task_key(line) for line in lines]
    table = pathlib.Path(out)
    journal = engine.Journal(table.with_suffix(".jsonl"))
    todo = [index for index, key in enumerate(keys) if not journal.has(key, retry_failed)]
    work = [lines[index] for index in todo]
    finished = engine.dask_cluster(work, cluster, run_task) if cluster else engine.local(work, jobs, run_task)
    try:
        with progress(f"{len(lines)} tasks", len(lines)) as advance:
            advance(len(lines) - len(todo))
            for number, outcome in finished if work else ():
                index = todo[number]
                journal.add(keys[index], points[index], outcome)
                advance()
    finally:
        journal.close()
    entries = [journal.done[key] for key in keys]
    engine.write_table(table, points, entries)
    about = {"command": command, "grid": grid, "random": draws, "samples": samples, "seed": seed, **provenance()}
    table.with_suffix(".provenance.json").write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")
    failed = [entry for entry in entries if entry["error"]]
    text = f"{len(entries)} tasks, {len(failed)} failed, {len(lines) - len(todo)} were done before; table: {table}"
    text += "".join(f"\n  failed: {entry['settings']}: {entry['error']}" for entry in failed[:10])
    answer({"tasks": len(entries), "failed": len(failed), "table": str(table)}, as_json, text)
    return 1 if failed and len(failed) == len(entries) else 0
