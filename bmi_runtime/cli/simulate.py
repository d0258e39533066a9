"""``bmi simulate``: a subject and its units in a process of their own, on our wire or as an acquisition system."""

import click

from bmi_runtime.cli.common import CONFIG, answer, answer_options, progress, say


@click.command()
@click.option("--config", "path", default=None, help=CONFIG)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, e.g. session.units=32.")
@click.option("--duration", type=float, default=None, metavar="S", help="Seconds; default: until stopped.")
@click.option("--seed", type=int, default=None, help="Seed of subject and units.")
@click.option("--as", "stand_in", default="zeromq", metavar="NAME", help="Which protocol to speak.")
@click.option("--send", type=click.Choice(["spikes", "counts"]), default="spikes", help="What our own wire carries.")
@click.option(
    "--replay", default=None, metavar="FILE.nev", help="With --as blackrock: the spikes of a file, its pauses too."
)
@click.option("--clock-start", type=float, default=10.0, metavar="S", help="What the device's clock says at the start.")
@click.option("--skew-ppm", type=float, default=0.0, help="How much faster than the host's clock it runs.")
@answer_options
def simulate(path, overrides, duration, seed, stand_in, send, replay, clock_start, skew_ppm, as_json):
    """Run a simulated subject and its units; 'bmi run --source NAME' in another terminal closes the loop."""
    import signal

    from bmi_runtime import config as configuration
    from simulators import standins
    from simulators.server import SpikeServer

    extra = [f"session.duration_s={duration}"] if duration is not None else []
    extra += [f"session.seed={seed}"] if seed is not None else []
    config = configuration.load(path, (*overrides, *extra))
    server = SpikeServer(
        config, standins.emitter(stand_in, config, send, replay), clock_start if not replay else 0.0, skew_ppm
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: server.stop())
    say(f"sending as {stand_in}: {server.describe()}", as_json)
    total = round(config.session.duration_s / config.bin_s)
    try:
        with progress("simulating", total or None) as advance:
            server.run(config.session.duration_s, advance)
    finally:
        server.close()
    answer(server.result(), as_json)
