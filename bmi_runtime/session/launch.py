"""Puts a session together from a configuration, runs it, and takes everything down again."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.decoding.tables import FILTER_OF, OWN
from bmi_runtime.encoding.identity import start_from
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.provenance import provenance
from bmi_runtime.recording.writer import RecordingWriter
from bmi_runtime.session import realtime
from bmi_runtime.session.core import Session, warm_up
from bmi_runtime.session.loop import Loop
from bmi_runtime.session.output import Outputs
from bmi_runtime.session.resume import Resumption
from bmi_runtime.session.telemetry import Control, Telemetry
from bmi_runtime.sources.base import HasWorld, NamesUnits, make_source


def initial_model(config: Config, source: Any, tell: Callable[[str], None] = lambda text: None) -> EncodingModel:
    """Return the encoding model that the session starts with.

    A simulated source gives its own; otherwise every unit starts untuned at a baseline of 10 Hz (Poisson) or 0
    (Gaussian) with the configured uncertainty. What the file in ``encoding.initial`` knows of these units, by name, is
    put into it; `tell` hears what that was.
    """
    if isinstance(source, HasWorld):
        model = source.world.initial_model()
    elif config.encoding.initial == "truth":
        raise BadInput("encoding.initial = 'truth' is for simulated sources; the truth of this source is not known")
    else:
        model = untrained_model(config)
    names = config.session.unit_names or (source.unit_names if isinstance(source, NamesUnits) else ())
    model.named(names, config.state.axes)
    if config.encoding.initial not in ("untrained", "truth"):
        tell(start_from(config, model))
    return model


def recording_path(config: Config) -> pathlib.Path:
    """Return where to record: the configured path, or a new file in ``recordings/`` named by date and time."""
    if config.recording.path:
        return pathlib.Path(config.recording.path)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = pathlib.Path("recordings")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BmiError(f"the folder {folder} cannot be made here ({error.strerror}); give --record PATH") from None
    candidate, number = folder / f"{stamp}.mcap", 1
    while candidate.exists():
        number += 1
        candidate = folder / f"{stamp}_{number}.mcap"
    return candidate


def assemble(
    config: Config,
    speed: str = "real",
    resumed: Resumption | None = None,
    path: pathlib.Path | None = None,
    published: bool | None = None,
    must_record: bool = True,
    on_snapshot: Callable[[int], None] | None = None,
) -> Loop:
    """Return a loop that is ready to run: kernels warm, sockets bound, source open, recording begun.

    Parameters
    ----------
    config : Config
    speed : {"real", "max"}
    resumed : Resumption, optional
        The session to go on with, in place of a new one.
    path : path-like, optional
        Where to record; by default `recording_path`.
    published : bool, optional
        Whether to open telemetry, control and output sockets; by default in real time only.
    must_record : bool
        False: a recording that cannot be begun is no reason not to run; the loop's ``recording_failed`` says why.
    on_snapshot : callable, optional
        See `Loop`.
    """
    told: list[str] = []
    config = resolved(config, told.append)
    with contextlib.ExitStack() as opened:  # what was opened is closed again when a later part cannot be
        source = make_source(config)
        session = resumed.session if resumed else Session(config, initial_model(config, source, told.append))
        warm_up(config)
        published = speed == "real" if published is None else published
        sockets = _sockets(config, opened) if config.telemetry.enabled and published else (None, None, None)
        telemetry, control, output = sockets
        opened.callback(source.close)
        source.open()
        recorder, failed = _recorder(session, resumed, path, must_record)
        opened.pop_all()
    loop = Loop(
        session, source, recorder, telemetry, control, speed, output=output, resumed=resumed, on_snapshot=on_snapshot
    )
    loop.recording_failed = failed
    loop.opening_events += [{"name": "model-loaded", "text": text} for text in told]
    return loop


def resolved(config: Config, tell: Callable[[str], None] = lambda text: None) -> Config:
    """Return a configuration with what it leaves open filled in: the bin width, and the filter that fits the units."""
    session = config.session.model_copy(update={"bin_s": config.bin_s})
    decoder, fitting = config.decoder, FILTER_OF[config.session.likelihood]
    if decoder.kind in OWN and decoder.kind != fitting:
        tell(f"decoder.kind = '{decoder.kind}' is not for {config.session.likelihood} units: '{fitting}' decodes")
        decoder = decoder.model_copy(update={"kind": fitting})
    return config.model_copy(update={"session": session, "decoder": decoder})


def _sockets(config: Config, opened: contextlib.ExitStack) -> tuple[Telemetry, Control, Outputs]:
    """Return the bound sockets toward viewers, operator and effectors."""
    import zmq

    context: zmq.Context = zmq.Context.instance()
    telemetry = Telemetry(config, context)
    opened.callback(telemetry.close)
    control = Control(config, context)
    opened.callback(control.close)
    output = Outputs(config, context)
    opened.callback(output.close)
    return telemetry, control, output


def _recorder(
    session: Session, resumed: Resumption | None, path: pathlib.Path | None, must_record: bool
) -> tuple[RecordingWriter | None, str | None]:
    """Return the recording that was begun, and why there is none where one was wanted."""
    config = session.config
    if not config.recording.enabled:
        return None, None
    parent = {"parent": resumed.parent} if resumed else {}
    header = {"config": config.model_dump(), "seed": config.session.seed, "provenance": provenance()}
    header["unit_names"] = list(session.model.names)
    try:
        return RecordingWriter(path or recording_path(config), header | parent, *config.layout), None
    except BmiError as error:
        if must_record:
            raise
        return None, str(error)


def apply_realtime(loop: Loop, say: Callable[[str], None]) -> None:
    """Pin, raise and lock as configured; what could not be had is said and recorded."""
    missing = realtime.apply(loop.session.config.realtime)
    for sentence in missing:
        say(f"without: {sentence}")
    loop.opening_events.append({"name": "realtime", "missing": missing})


def run(loop: Loop, bins: int, window: subprocess.Popen | None = None) -> None:
    """Run the loop and take everything down, whatever happens."""
    try:
        loop.run(bins)
    finally:
        for part in (loop.source, loop.recorder, loop.telemetry, loop.control, loop.output):
            if part:
                part.close()
        if window and window.poll() is None and not loop.stopped_by_operator:  # who stopped it may want to look
            window.terminate()


@contextlib.contextmanager
def stopped_by_signals(loop: Loop) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the run after the bin in hand; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():  # a sweep's worker thread: signals are not its own
        yield
        return

    def on_signal(number, frame):
        if not loop.running and number == signal.SIGINT:
            raise KeyboardInterrupt
        loop.stop()

    kept = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def window_command(config: Config, headless: bool, say: Callable[[str], None]) -> list[str] | None:
    """Return the command that opens the window in its own process, or say why there is none."""
    if headless:
        return None
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")
    ):
        say("no display (DISPLAY and WAYLAND_DISPLAY are not set): running headless")
        return None
    if not config.telemetry.enabled:
        say("telemetry is switched off (telemetry.enabled = false): no window")
        return None
    here = [_from_here(getattr(config.telemetry, key)) for key in ("publish_address", "control_address")]
    keys = ["--keys", config.telemetry.key_folder] if config.telemetry.key_folder else []
    options = config.source.options
    steer = ["--steer", str(options["steer_address"])] if options.get("steer") == "mouse" else []
    return [sys.executable, "-m", "gui", "--telemetry", here[0], "--control", here[1], *keys, *steer]


def _from_here(address: str) -> str:
    """Return how a window on this machine reaches a socket that is bound to every network interface."""
    for everywhere in ("//*:", "//0.0.0.0:"):
        address = address.replace(everywhere, "//127.0.0.1:")
    return address


def total_bins(config: Config, done: int = 0) -> int:
    """Return at which bin the session ends (0: it does not), `done` bins before its duration began to count."""
    return done + round(config.session.duration_s / config.bin_s) if config.session.duration_s else 0


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


def reporter(advance: Callable[[float], None], say: Callable[[str], None], speed: str) -> Callable[[Loop], None]:
    """Return what the loop calls after each bin: moves the progress bar, and says each minute how it goes."""

    def report(loop: Loop) -> None:
        bins, every = loop.session.bins, report.every  # type: ignore[attr-defined]
        if bins % every == 0:
            advance(every)
        if bins % report.minute == 0:  # type: ignore[attr-defined]
            say(news(loop))

    report.every = 200  # type: ignore[attr-defined]
    report.minute = 12_000  # type: ignore[attr-defined]
    return report


def news(loop: Loop) -> str:
    """Return one line saying how it goes."""
    task = loop.session.task
    clock, done = f"{loop.session.bins * loop.session.config.bin_s:6.0f} s", task.successes + task.timeouts
    return f"{clock}  {task.successes} of {done} targets reached, {loop.deadline_misses} deadlines missed"


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
        lines.append(f"THE RECORDING IS NOT WHOLE: {result['recording_failed']}")
    if result.get("restarts"):
        lines.append(
            f"the runtime was started again {result['restarts']} times; recordings: " + ", ".join(result["recordings"])
        )
    return "\n".join(lines)
