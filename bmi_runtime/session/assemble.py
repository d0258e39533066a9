"""Puts a session together from a configuration: source, model, session, sockets, recording."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Callable
from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.decoding.tables import FILTER_OF, OWN
from bmi_runtime.encoding.identity import carry
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.model_file import load_model
from bmi_runtime.recording.provenance import provenance
from bmi_runtime.recording.writer import RecordingWriter
from bmi_runtime.session.core import Session, warm_up
from bmi_runtime.session.heartbeat import Heartbeat, Place
from bmi_runtime.session.loop import Loop
from bmi_runtime.session.output import Outputs
from bmi_runtime.session.resume import Resumption
from bmi_runtime.session.telemetry import Control, Telemetry
from bmi_runtime.sources.base import HasWorld, NamesUnits
from bmi_runtime.sources.hosting import make_source


def initial_model(config: Config, source: Any, tell: Callable[[str], None] = lambda text: None) -> EncodingModel:
    """Return the encoding model that the session starts with.

    A simulated source gives its own; otherwise every unit starts untuned at a baseline of 10 Hz (Poisson) or 0
    (Gaussian) with the configured uncertainty. What the file in ``encoding.initial`` knows of these units, by name, is
    put into it; `tell` hears what that was.

    Raises
    ------
    BadInput
        When the truth is asked for of a source that has none, or the model does not suit the session.
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


def start_from(config: Config, fresh: EncodingModel) -> str:
    """Carry the model that ``encoding.initial`` names into the fresh one; return in one sentence what was taken."""
    path = config.encoding.initial
    return carry(load_model(path), fresh, config.encoding.carry_sd, path).sentence(path)


def recording_path(config: Config) -> pathlib.Path:
    """Return where to record: the configured path, or a new file in ``recordings/`` named by date and time.

    Raises
    ------
    BmiError
        When its folder cannot be made.
    """
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
    heartbeat: Heartbeat | None = None,
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
    on_snapshot, heartbeat : optional
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
        heartbeat = heartbeat or Heartbeat()
        heartbeat.beat(Place.CONNECTING)
        source.open()
        heartbeat.beat(Place.PREPARING)
        recorder, failed = _recorder(session, resumed, path, must_record)
        opened.pop_all()
    loop = Loop(
        session,
        source,
        recorder,
        telemetry,
        control,
        speed,
        output=output,
        resumed=resumed,
        on_snapshot=on_snapshot,
        heartbeat=heartbeat,
    )
    loop.tally.recording_failed = failed
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
