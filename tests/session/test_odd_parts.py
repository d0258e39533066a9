"""Parts of other packages that answer, raise, write or tell what nobody expects: the session goes on, and replays."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import SafetyState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch, processes
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import configuration_of, resume
from bmi_runtime.sources.hosting import SourceFailed
from tests.sources.test_closing_the_loop import BMI

pytestmark = pytest.mark.usefixtures("their_lab")
SHORT = ["session.units=12", "recording.snapshot_s=0.5", "telemetry.enabled=false", "adapter.learning_rate=1e-5"]
BINS = 260


def run(path, *settings):
    """Run a session with the settings; return it and its events, replayed and with everything finite."""
    loop = assemble(configuration.load(None, [*SHORT, f"recording.path='{path}'", *settings]), "max")
    launch.run(loop, BINS)
    recording = Recording(path)
    assert recording.n_steps == BINS and Replay(recording).run()["identical"]
    session = loop.session
    assert np.isfinite(session.model.weights).all() and np.isfinite(session.cursor).all()
    return session, [event for _, event in recording.messages("event")]


def failures(events, part):
    return [event["error"] for event in events if event["name"] == f"{part}-failed"]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("complex", "predict answers complex128 of shape (2,)"),
        ("objects", "predict answers object of shape (2,)"),
        ("texts", "predict answers <U3 of shape (2,)"),
        ("ragged", "ValueError in predict"),
        ("nothing", "predict answers nothing"),
        ("masked", "predict answers a masked array"),
        ("three", "predict answers float64 of shape (3,)"),
        ("no-array", "ZeroDivisionError in predict: no array"),
        ("exits", "SystemExit in predict: 3"),
        ("recursion", "RecursionError in predict"),
        ("memory", "MemoryError in predict"),
        ("generator", "GeneratorExit in predict"),
        ("unspeakable", "Unspeakable in predict: (it cannot say what)"),
        ("unprintable", r"ValueError in predict: \u202e\x1b[31m\x00\ud800\n"),
        ("model", "ValueError in predict: assignment destination is read-only"),
        ("largest", "TypeError in predict"),
    ],
)
def test_a_decoder_that_fails_in_any_way_is_an_event_and_the_filter_goes_on(tmp_path, way, said):
    session, events = run(tmp_path / "a.mcap", "decoder.kind=odd", f"decoder.options={{way='{way}'}}")
    (error,) = failures(events, "decoder")
    assert said in error and error.isprintable()
    assert session.decoder_settings()["kind"] == "point-process" and session.safety.state is SafetyState.ACTIVE


def test_a_copy_of_the_process_that_a_decoder_forks_writes_nothing_and_ends(tmp_path):
    """Both had gone on: the file held the bins of two sessions, and replayed as neither."""
    _, events = run(tmp_path / "a.mcap", "decoder.kind=odd", "decoder.options={way='forks'}")
    assert [event["bin"] for event in events if event["name"] == "process-forked"] == [60]
    assert not failures(events, "decoder") and Recording(tmp_path / "a.mcap").complete
    assert {os.waitpid(-1, 0)[1] for _ in range(2)} == {0}  # of the session, and of its replay


def test_a_thread_that_a_decoder_leaves_behind_is_known(tmp_path):
    from their_lab.odd import WAITS

    before = len(processes.left_threads)
    run(tmp_path / "a.mcap", "decoder.kind=odd", "decoder.options={way='thread'}")
    left = processes.left_threads[before:]
    WAITS.set()
    assert [thread.name for thread in left] == ["theirs", "theirs"]
    for thread in left:
        thread.join()
        processes.left_threads.remove(thread)


def test_the_command_ends_beside_a_thread_that_does_not(tmp_path):
    """The interpreter would wait for it without an end; the answer is given before."""
    where = pathlib.Path(__file__).parents[1] / "stranger"
    settings = [*SHORT, "decoder.kind=odd", "decoder.options={way='thread'}"]
    command = [
        *BMI,
        "run",
        "--headless",
        "--speed",
        "max",
        "--duration",
        "1",
        "--json",
        "--record",
        tmp_path / "a.mcap",
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = os.environ | {"PYTHONPATH": str(where)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["bins"] == 200, done.stderr
    assert "bmi: what a part started still runs (theirs): left behind" in done.stderr


def test_what_a_decoder_writes_into_its_counts_reaches_nobody_else(tmp_path):
    sound, _ = run(tmp_path / "a.mcap", "decoder.kind=odd")
    writing, events = run(tmp_path / "b.mcap", "decoder.kind=odd", "decoder.options={way='writes'}")
    assert not failures(events, "decoder")
    assert np.array_equal(sound.model.weights, writing.model.weights)


def test_a_decoder_that_stops_telling_its_state_is_said_once_and_the_rest_is_resumed(tmp_path):
    path = tmp_path / "a.mcap"
    _, events = run(path, "decoder.kind=untold")
    (event,) = [event for event in events if event["name"] == "decoder-not-in-snapshot"]
    assert "object cannot travel" in event["error"]
    short = tmp_path / "cut.mcap"
    short.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    session = resume(short, configuration_of(short, [])[0]).session
    assert session.bins == Recording(short).n_steps and session.decoder_settings()["kind"] == "untold"


def test_a_decoder_that_cannot_be_recorded_is_refused_before_the_session(tmp_path):
    with pytest.raises(BadInput, match="the decoder 'untold' cannot be recorded: its snapshot fails"):
        run(tmp_path / "a.mcap", "decoder.kind=untold", "decoder.options={way='now'}")


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("exits", "SystemExit: 1"),
        ("text-event", "its event is 'event'"),
        ("object-event", "its event cannot be recorded"),
        ("ended-event", "its event 'session-ended' is the session's own to tell"),
        ("trial-text", "its trial is 'x': a whole number from 0 to 4294967295 is wanted"),
        ("trial-negative", "its trial is -5: a whole number from 0 to 4294967295 is wanted"),
        ("trial-huge", "its trial is 4294967296: a whole number from 0 to 4294967295 is wanted"),
        ("successes-part", "its successes is 0.5: a whole number"),
        ("state", "its trial_state is 999: a whole number from 0 to 255 is wanted"),
        ("far", "its target is (1e+300"),
        ("three", "its target is (0.1, 0.1, 0.1"),
        ("moved", "its target is (0.1, nan"),
        ("texts", "TypeError"),
        ("endless", "its target is (0, 1, 2, "),
        ("hold", "its hold_fraction is None: a number from 0 to 1 is wanted"),
    ],
)
def test_a_task_that_fails_in_any_way_is_followed_by_the_plainest(tmp_path, way, said):
    session, events = run(tmp_path / "a.mcap", "task.kind=odd", f"task.options={{way='{way}'}}")
    (error,) = failures(events, "task")
    assert said in error
    assert session.goal.task_kind == "centre-out" and session.safety.state is SafetyState.ACTIVE


def test_a_task_whose_numbers_no_record_holds_is_refused_before_the_session_and_when_it_is_chosen(tmp_path):
    said = "the task 'odd' cannot be made: .*its trial is 4294967296: a whole number from 0 to 4294967295 is wanted"
    with pytest.raises(BadInput, match=said):
        run(tmp_path / "a.mcap", "task.kind=odd", "task.options={way='begins-huge'}")
    assert not (tmp_path / "a.mcap").exists()
    session, _ = run(tmp_path / "b.mcap")
    session.goal.config = configuration.load(None, ["task.kind=odd", "task.options={way='begins-huge'}"])
    with pytest.raises(BadInput, match=said):
        session.goal.prepare_task("odd")


def test_a_trial_that_leaves_out_what_a_trial_is_stays_an_event_in_every_table(tmp_path):
    """The export of the session ended in a KeyError."""
    nwb, parquet = (pytest.importorskip(name) for name in ("bmi_runtime.recording.nwb", "pyarrow.parquet"))
    from bmi_runtime.playback.player import Player
    from bmi_runtime.recording.tables import export_tables

    _, events = run(tmp_path / "a.mcap", "task.kind=odd", "task.options={way='bare-trial'}")
    assert len([event for event in events if event["name"] == "trial"]) == BINS - 60
    tables = export_tables(recording := Recording(tmp_path / "a.mcap"), tmp_path / "tables")
    assert tables["trials"] == 0 and tables["events"] >= BINS - 60
    assert parquet.read_table(tmp_path / "tables" / "events.parquet").num_rows == tables["events"]
    pytest.importorskip("pynwb")
    counted = nwb.export_nwb(recording, tmp_path / "a.nwb")
    assert counted["trials"] == 0 and counted["events"] == tables["events"]
    assert Player(tmp_path / "a.mcap").hello()


@pytest.mark.parametrize("way", ["exits", "nothing", "texts", "complex", "square", "writes", "endless", "rows"])
def test_an_intention_that_fails_in_any_way_is_followed_by_the_plainest(tmp_path, way):
    session, events = run(tmp_path / "a.mcap", "adapter.intention=odd", f"adapter.intention_options={{way='{way}'}}")
    assert len(failures(events, "intention")) == 1
    assert session.goal.intention_kind == "optimal-control" and session.safety.state is SafetyState.ACTIVE


@pytest.mark.parametrize("way", ["shares", "nan", "none", "exits"])
def test_labels_that_cannot_be_are_a_failure_of_the_intention(tmp_path, way):
    settings = ("adapter.intention=odd-labels", f"adapter.intention_options={{way='{way}'}}")
    session, events = run(tmp_path / "a.mcap", *settings)
    assert len(failures(events, "intention")) == 1 and session.goal.intention_kind == "optimal-control"


@pytest.mark.parametrize(
    ("way", "method", "said"),
    [
        ("text-event", "drain_events", "an event is a dict with a name, not a str"),
        ("nameless", "drain_events", "an event is a dict with a name, not a dict without one"),
        ("object-event", "drain_events", "an event cannot be recorded"),
        ("own-event", "drain_events", "the event 'safety' is the session's own to tell"),
        ("events-raise", "drain_events", "ZeroDivisionError: events"),
    ],
)
def test_what_a_source_says_beside_its_bins_is_refused_once_and_ends_nothing(tmp_path, way, method, said):
    session, events = run(tmp_path / "a.mcap", "source.kind=odd", f"source.options={{way='{way}'}}")
    [refused] = [event for event in events if event["name"] == "source-refused"]
    assert (refused["source"], refused["method"]) == ("odd", method) and said in refused["error"]
    assert session.safety.state is SafetyState.ACTIVE


@pytest.mark.parametrize("way", ["tuple", "health", "truth", "close"])
def test_a_source_that_is_odd_beside_its_bins_is_recorded_to_the_end(tmp_path, way):
    session, events = run(tmp_path / "a.mcap", "source.kind=odd", f"source.options={{way='{way}'}}")
    assert session.safety.state is SafetyState.ACTIVE
    assert bool([event for event in events if event["name"] == "gap"]) == (way == "tuple")


@pytest.mark.parametrize(("way", "said"), [("nothing", "answers nothing"), ("array", "answers a ndarray")])
def test_a_source_that_does_not_say_whether_there_was_a_bin_is_refused(tmp_path, way, said):
    with pytest.raises(BadInput, match=f"the source 'odd': next_bin {said}; it answers True"):
        run(tmp_path / "a.mcap", "source.kind=odd", f"source.options={{way='{way}'}}")
    assert Recording(tmp_path / "a.mcap").complete


@pytest.mark.parametrize(("way", "said"), [("raises", "KeyError: 'cable'"), ("exits", "SystemExit: 0")])
def test_a_source_that_raises_is_named_and_what_was_recorded_is_whole(tmp_path, way, said):
    with pytest.raises(SourceFailed, match=f"the source 'odd': {said}"):
        run(tmp_path / "a.mcap", "source.kind=odd", f"source.options={{way='{way}'}}")
    assert Recording(tmp_path / "a.mcap").complete and Recording(tmp_path / "a.mcap").n_steps == 60


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("source.kind=later", "the source 'later': next_bin is written with async or yield"),
        ("decoder.kind=promises", "the decoder 'promises': on_done is written with async or yield"),
        ("decoder.kind=plain-options", "Options of PlainOptions, .* must inherit bmi_runtime.registry.Options"),
        ("decoder.kind=not-back", "the decoder 'not-back' cannot be restored from its snapshot: KeyError: 'bin'"),
    ],
)
def test_a_part_that_could_not_be_driven_or_resumed_is_refused_before_the_session(tmp_path, setting, said):
    with pytest.raises(BadInput, match=said):
        run(tmp_path / "a.mcap", setting)
    assert not (tmp_path / "a.mcap").exists()


def test_targets_may_be_any_iterable_and_one_that_cannot_be_said_is_the_tasks_fault(tmp_path):
    _, events = run(tmp_path / "a.mcap", "task.kind=generated")
    assert not failures(events, "task")
    session, events = run(tmp_path / "b.mcap", "task.kind=generated", "task.options={way='target'}")
    assert failures(events, "task") == ["RuntimeError: no target"] and not failures(events, "intention")
    assert session.goal.task_kind == "centre-out"


@pytest.mark.parametrize("way", ["readings", "wanders"])
def test_a_target_that_changes_or_fails_by_how_often_it_is_read_replays(tmp_path, way):
    session, events = run(tmp_path / "a.mcap", "task.kind=generated", f"task.options={{way='{way}'}}")
    assert len(failures(events, "task")) == (way == "readings")
    assert session.goal.task_kind == ("centre-out" if way == "readings" else "generated")
