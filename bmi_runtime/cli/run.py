"""``bmi run``: a closed-loop session."""

import contextlib
import os
import shlex
import sys
from typing import Any

import click

from bmi_runtime.cli.common import CONFIG, answer, answer_options, progress, say
from bmi_runtime.toml_text import toml_value


@click.command()
@click.option("--config", "path", default=None, help=CONFIG)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, e.g. task.assist=0.3.")
@click.option(
    "--duration", type=float, default=None, metavar="S", help="Seconds of session time; default: until stopped."
)
@click.option("--seed", type=int, default=None, help="Seed of every generator.")
@click.option("--source", default=None, help="Where spikes come from: simulated, zeromq, ...")
@click.option("--record", default=None, metavar="PATH", help="The recording to write; 'none' for no recording.")
@click.option("--speed", type=click.Choice(["real", "max"]), default="real", help="max: simulated time, no waiting.")
@click.option(
    "--steer",
    type=click.Choice(["subject", "mouse"]),
    default="subject",
    help="Who steers a rehearsal: the fitted subject, or you.",
)
@click.option("--headless", is_flag=True, help="No window.")
@click.option("--resume", default=None, metavar="REC", help="Go on where this recording ends, in a new recording.")
@click.option("--subject", default=None, metavar="FILE", help="TOML file with the keys of [metadata].")
@click.option("--with-simulator", is_flag=True, help="Also run 'bmi simulate --as SOURCE', under the same supervisor.")
@click.option("--source-command", default=None, metavar="COMMAND", help="Also run this sender, restarted if it dies.")
@answer_options
def run(path, overrides, seed, source, record, speed, resume, as_json, **options):
    """Run a closed-loop session: decode, move the cursor, adapt, record."""
    extra = [f"session.duration_s={options['duration']}"] if options["duration"] is not None else []
    extra += [f"session.seed={seed}"] if seed is not None else []
    extra += [f"source.kind={toml_value(source)}"] if source else []
    extra += (
        [f"recording.enabled={'false' if record == 'none' else 'true'}", f"recording.path={toml_value(record)}"]
        if record
        else []
    )
    overrides = (*_metadata(options["subject"]), *overrides)
    extra += _steering(options["steer"], speed, options["headless"])
    with progress("getting ready") as _:
        assignment = _assignment(path, (*overrides, *extra), resume, lambda text: say(text, as_json))
    _ask_for_metadata(assignment.config, as_json)
    if speed == "max":
        result = _simulated_time(assignment, as_json)
    else:
        result = _supervised(assignment, as_json, _source_command(options, assignment.config), options["headless"])
    with _terminal_may_be_gone():
        from bmi_runtime.session import run_report

        answer(result, as_json, run_report.summary(result))
    return 1 if result.get("recording_failed") else 0


def _metadata(file):
    """Return what a file says of the subject as overrides of the configuration."""
    from bmi_runtime.config import read_metadata

    if file is None:
        return []
    return [f"metadata.{key}={toml_value(value)}" for key, value in read_metadata(file).items()]


def _ask_for_metadata(config, as_json):
    """Say before a real subject is recorded what the recording will not know of it."""
    if config.source.kind == "simulated" or not config.recording.enabled or config.metadata.subject_id:
        return
    say("nothing says who is recorded: give --subject FILE (or [metadata]) with subject_id, species, sex, age", as_json)


def _steering(steer, speed, headless):
    """Return the settings with which a person steers in the place of the fitted subject."""
    from bmi_runtime.errors import BadInput

    if steer == "subject":
        return []
    if speed == "max" or headless:
        raise BadInput("--steer mouse needs the window and real time; leave --headless and --speed max out")
    return ["source.options.steer=mouse"]


def _fitted(config):
    """Return the configuration with what a pilot decides, where the source is one of a rehearsal."""
    if config.source.kind != "rehearsal":
        if config.source.options.get("steer") == "mouse":
            from bmi_runtime.errors import BadInput

            raise BadInput("--steer mouse is for --source rehearsal: units between hand and cursor come from a pilot")
        return config
    from simulators.rehearsal_source import fitted_configuration

    return fitted_configuration(config)


def _assignment(path, overrides, recording, tell):
    """Load and compile everything; return what the runtime is to do."""
    from bmi_runtime import config as configuration
    from bmi_runtime.errors import BadInput
    from bmi_runtime.session import launch, resume
    from bmi_runtime.session.compile_cache import precompile
    from bmi_runtime.session.supervisor import RuntimeJob
    from bmi_runtime.sources.base import source_class

    if recording and path:
        raise BadInput("--resume takes the configuration from the recording; leave --config out")
    done = 0
    if recording:
        config, done = resume.configuration_of(recording, overrides)
    else:
        config = configuration.load(path, overrides)
    source_class(config.source.kind)
    config = _fitted(config)
    precompile(config, tell)
    where = resume.next_path(recording) if recording and not config.recording.path else None
    return RuntimeJob(config, launch.total_bins(config, done), where, recording)


def _simulated_time(assignment, as_json):
    """Run without waiting, in this process, without a supervisor."""
    from bmi_runtime.errors import BadInput
    from bmi_runtime.session import launch, run_report
    from bmi_runtime.session.assemble import assemble

    if assignment.resume:
        raise BadInput("--resume goes on in real time; leave --speed max out")
    with progress("getting ready") as _:
        loop = assemble(assignment.config, "max")
    with progress("session", assignment.total_bins or None) as advance, launch.stopped_by_signals(loop):
        say(f"ready: {run_report.describe(loop)}", as_json)
        loop.on_trouble = lambda text: say(text, as_json)
        bin_s = loop.session.config.bin_s
        loop.on_bin = run_report.reporter(bin_s, lambda bins, more: advance(more), loop.on_trouble)
        launch.run(loop, assignment.total_bins)
    return loop.result()


def _supervised(assignment, as_json, source_command, headless):
    """Run in real time: the runtime, the window and the sender as processes under one supervisor."""
    from bmi_runtime.session import launch
    from bmi_runtime.session.child_process import ChildProcess, start_helper
    from bmi_runtime.session.supervisor import Supervisor
    from bmi_runtime.session.worker import work

    with Screen(assignment.total_bins, as_json) as screen:
        window = launch.window_command(assignment.config, headless, screen.say)
        commands = {"window": window, "source": source_command, "stability": _stability_command(assignment)}
        helpers = tuple(
            ChildProcess(name, lambda command=command: start_helper(command))  # type: ignore[misc]
            for name, command in commands.items()
            if command
        )
        return Supervisor(assignment, work, screen, helpers, assignment.config.realtime.hung_after_s).run()


def _stability_command(assignment):
    """Return the command of the process that judges the array in the first half minute, or None."""
    config = assignment.config
    reference, telemetry = config.encoding.initial, config.telemetry
    possible = config.recording.enabled and telemetry.enabled and not telemetry.key_folder and not assignment.resume
    if not (reference.endswith(".mcap") and possible):
        return None
    return [sys.executable, "-P", "-m", "bmi_runtime.session.stability_watch", reference, telemetry.control_address]


def _source_command(options, config):
    """Return the command of a sender to run beside the runtime, or None."""
    from bmi_runtime.errors import BadInput

    if options["source_command"] and options["with_simulator"]:
        raise BadInput("give --with-simulator or --source-command, not both")
    if options["source_command"]:
        return shlex.split(options["source_command"])
    if not options["with_simulator"]:
        return None
    if config.source.kind == "simulated":
        raise BadInput("--with-simulator is for a source in its own process; say which with --source (zeromq, ...)")
    sections = ("session", "source", "subject", "population", "encoding", "task", "telemetry")
    settings = [
        f"{section}.{key}={toml_value(value)}"
        for section in sections
        for key, value in getattr(config, section).model_dump(exclude_unset=True).items()
    ]
    flags = [text for setting in settings for text in ("--set", setting)]
    return [sys.executable, "-P", "-m", "bmi_runtime.cli.main", "simulate", "--as", config.source.kind, *flags]


class Screen:
    """Lines and a progress bar for the operator; a terminal that is gone is not an error.

    The bar is drawn only when something is reported: no thread, because the supervisor forks.
    """

    def __init__(self, total: int, as_json: bool):
        self.total, self.as_json = total, as_json
        self.bar: Any = None

    def __enter__(self):
        """Show the bar, on a terminal."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.task = self.bar.add_task("session", total=self.total or None)
            self.bar.start()
        return self

    def __exit__(self, *_):
        """Take the bar away."""
        if self.bar:
            with _terminal_may_be_gone():
                self.bar.stop()

    def say(self, text: str) -> None:
        """Show one line."""
        with _terminal_may_be_gone():
            if self.bar and (self.as_json or sys.stdout.isatty()):
                self.bar.console.print(text, highlight=False, markup=False)
            else:
                say(text, self.as_json)

    def advance(self, bins: int) -> None:
        """Move the bar."""
        if self.bar:
            with _terminal_may_be_gone():
                self.bar.advance(self.task, bins)
                self.bar.refresh()


@contextlib.contextmanager
def _terminal_may_be_gone():
    """Swallow the error of writing to a closed terminal or pipe, and write nowhere from then on."""
    try:
        yield
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (1, 2):
            os.dup2(nowhere, number)
