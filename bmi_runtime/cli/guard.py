"""``bmi guard``: an independent process between the runtime and an effector."""

import click

from bmi_runtime.cli.common import answer, answer_options, say


@click.command()
@click.option("--config", "path", default=None, help="TOML file, or the name of a shipped one; section guard.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, e.g. guard.max_speed=1."
)
@click.option("--duration", type=click.FloatRange(min=0.0), default=0.0, metavar="S", help="Seconds; 0: until stopped.")
@click.option("--replay", default=None, metavar="REC", help="What would have left of a recorded session; no sockets.")
@answer_options
def guard(path, overrides, duration, replay, as_json):
    """Look at everything that leaves for an effector: pass it, limit it, or stop it.

    Listens to telemetry.output_address, publishes on guard.output_address; an effector listens there instead. Silent
    until it has seen a healthy stream. Ctrl-C, SIGTERM or {"do": "stop"} on guard.control_address stop the output.
    """
    import signal

    from bmi_runtime import config as configuration
    from bmi_runtime.session.guard_process import GuardProcess, over_recording

    config = configuration.load(path, overrides)
    if replay:
        answer(over_recording(replay, config), as_json)
        return
    process = GuardProcess(config, lambda text: say(f"guard: {text}", as_json))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.stop())
    limits = config.guard
    say(
        f"guard: {config.telemetry.output_address} -> {limits.output_address}, at most {limits.max_speed:g} m/s and "
        f"{limits.max_acceleration:g} m/s^2, data no older than {limits.max_age_s:g} s",
        as_json,
    )
    try:
        process.run(duration)
    finally:
        process.close()
    answer(process.result(), as_json)
