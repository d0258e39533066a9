"""``bmi run``: a closed-loop session."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress, say


@click.command()
@click.option("--config", "path", default=None, help="TOML file, or the name of a shipped one (hard_world).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, e.g. task.assist=0.3.")
@click.option(
    "--duration", type=float, default=None, metavar="S", help="Seconds of session time; default: until stopped."
)
@click.option("--seed", type=int, default=None, help="Seed of every generator.")
@click.option("--source", default=None, help="Where spikes come from: simulated, zeromq, ...")
@click.option("--record", default=None, metavar="PATH", help="The recording to write; 'none' for no recording.")
@click.option("--speed", type=click.Choice(["real", "max"]), default="real", help="max: simulated time, no waiting.")
@click.option("--headless", is_flag=True, help="No window.")
@answer_options
def run(path, overrides, duration, seed, source, record, speed, headless, as_json):
    """Run a closed-loop session: decode, move the cursor, adapt, record."""
    from bmi_runtime import config as configuration
    from bmi_runtime.session import launch

    extra = [f"session.duration_s={duration}"] if duration is not None else []
    extra += [f"session.seed={seed}"] if seed is not None else []
    extra += [f'source.kind="{source}"'] if source else []
    extra += (
        [f"recording.enabled={'false' if record == 'none' else 'true'}", f"recording.path='{record}'"] if record else []
    )
    config = configuration.load(path, (*overrides, *extra))
    window = launch.open_window(config, headless or speed == "max", lambda text: say(text, as_json))
    total = round(config.session.duration_s / config.bin_s)
    with progress("getting ready") as _:
        loop = launch.assemble(config, speed)
    with progress("session", total or None) as advance, launch.stopped_by_signals(loop):
        say(f"ready: {launch.describe(loop)}", as_json)
        loop.on_bin = launch.reporter(advance, lambda text: say(text, as_json), speed)
        launch.run(loop, total, window)
    answer(loop.result(), as_json, launch.summary(loop.result()))
