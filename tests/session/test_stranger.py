"""A stranger's package: a part of every kind by entry points, used as docs/howto.md says, and parts that go wrong."""

import re
import sys
import time
from unittest.mock import ANY

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime import registry
from bmi_runtime.decoding import fitting, tables
from bmi_runtime.errors import BadInput
from bmi_runtime.intention import registry as intentions
from bmi_runtime.messages import SafetyState
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import diagnosis, launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.part_loading import PartLoading
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import configuration_of, resume
from bmi_runtime.sources import base as sources
from bmi_runtime.sources import datafile
from bmi_runtime.tasks import registry as tasks

pytestmark = pytest.mark.usefixtures("their_lab")
SHORT = ["session.units=24", "recording.snapshot_s=1.0", "telemetry.enabled=false", "adapter.learning_rate=1e-5"]
TABLES = (tables.TABLE, sources.TABLE, tasks.TABLE, intentions.TABLE, datafile.READERS)


def assembled(path, *settings):
    return assemble(configuration.load(None, [*SHORT, f"recording.path='{path}'", *settings]), "max")


def handled(loop, command):
    """Give a command again and again while its part is being loaded, which a busy machine takes its time for."""
    for _ in range(1000):
        try:
            return loop.handle(command)
        except BadInput as error:
            if "is being loaded" not in str(error) or command["value"] == "slow":
                return str(error)
            time.sleep(0.02)
    raise AssertionError(f"not loaded within 20 s: {command}")


def commanded(loop, bins, **at):
    """Run with commands at bins (``b300={"set": ...}``); return what was answered or refused."""
    todo, answers = {int(key[1:]): command for key, command in at.items()}, []

    def on_bin(loop):
        command = todo.pop(loop.session.bins, None)
        if command is not None:
            answers.append(handled(loop, command))

    loop.on_bin = on_bin
    launch.run(loop, bins)
    return answers


def events(path, name):
    return [event for _, event in Recording(path).messages("event") if event["name"] == name]


def cut(path, share=0.9):
    short = path.with_name("cut.mcap")
    data = path.read_bytes()
    short.write_bytes(data[: int(len(data) * share)])
    return short


CANNOT = ("no-predict", "later", "slow-and-broken")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.what)
def test_every_row_of_every_table_has_what_its_kind_needs(table):
    assert table.names()
    for name in table.rows:
        if isinstance(part := table.find(name), type):  # a row may name a function that makes the part
            table.check(name, part)
    theirs = [name for name in table.names() if name not in table.rows and name not in CANNOT]
    assert theirs
    for name in theirs:
        table.find(name)  # checked on the way


def test_a_session_of_nothing_but_their_parts_is_driven_killed_resumed_and_replayed(tmp_path):
    path = tmp_path / "a.mcap"
    theirs = ["source.kind=sine", "decoder.kind=half-speed", "task.kind=line", "adapter.intention=straight"]
    options = ["source.options.period_s=0.5", "task.options.half_length_m=0.05", "decoder.options.gain=0.002"]
    loop = assembled(path, *theirs, *options)
    launch.run(loop, 1200)
    steps = Recording(path).steps()["output"]
    assert np.ptp(steps["decoded"][:, 2]) > 0.0 and set(np.abs(steps["target"][:, 0])) == {0.05}
    speed = np.hypot(*steps["intended"].T)
    assert (np.isclose(speed, 0.1) | (speed == 0.0)).all() and (speed > 0.0).any()
    assert Replay(Recording(path)).run()["identical"]
    short = cut(path)
    resumed = resume(short, configuration_of(short, [])[0])
    last = Recording(short).steps()["output"][-1]
    assert np.array_equal(resumed.session.cursor, last["cursor"])
    assert np.array_equal(resumed.session.decoder.state, last["decoded"])
    on = assemble(configuration_of(short, [])[0], "max", resumed, tmp_path / "b.mcap")
    launch.run(on, resumed.session.bins + 300)
    assert Replay(Recording(tmp_path / "b.mcap")).run()["identical"]


def test_the_decoder_of_the_howto_runs_as_printed_chosen_live(tmp_path):
    path = tmp_path / "a.mcap"
    loop = assembled(path)
    answers = commanded(
        loop,
        1200,
        b300={"set": "decoder.kind", "value": "population-vector"},
        b500={"set": "decoder.frozen", "value": True},
        b900={"set": "decoder.kind", "value": "point-process"},
    )
    assert [(answer["old"], answer["new"]) for answer in answers] == [
        ("point-process", "population-vector"), (False, True), ("population-vector", "point-process"),
    ]  # fmt: skip
    assert not events(path, "decoder-failed") and Replay(Recording(path)).run()["identical"]
    short = cut(path, 0.6)
    session = resume(short, configuration_of(short, [])[0]).session
    assert session.decoder_settings()["kind"] == "population-vector"
    assert np.array_equal(session.cursor, Recording(short).steps()["output"][-1]["cursor"])


def chosen(parts, key, value):
    """Choose until the part is loaded; return how often it was not yet, and what was said at last."""
    for refused in range(200):
        try:
            parts.see_to(key, value)
        except BadInput as error:
            if "is being loaded" not in str(error):
                return refused, str(error)
        else:
            return refused, ""
    raise AssertionError("it never came")


def test_a_part_that_takes_long_to_import_is_imported_beside_the_loop(tmp_path):
    sys.modules.pop("their_lab.slow", None)
    loop = assembled(tmp_path / "a.mcap")
    (answer,) = commanded(loop, 600, b300={"set": "decoder.kind", "value": "slow"})
    assert "the decoder 'slow' is being loaded" in answer and Recording(tmp_path / "a.mcap").n_steps == 600
    assert chosen(PartLoading(0.05), "decoder.kind", "slow") == (ANY, "")  # another's import is waited for as well
    again = assembled(tmp_path / "b.mcap")
    (answer,) = commanded(again, 600, b300={"set": "decoder.kind", "value": "slow"})
    assert answer["new"] == "slow" and Replay(Recording(tmp_path / "b.mcap")).run()["identical"]


def test_a_part_whose_import_fails_late_says_why_and_own_parts_need_none():
    refused, said = chosen(PartLoading(0.05), "decoder.kind", "slow-and-broken")
    assert refused and "the decoder 'slow-and-broken'" in said and "libcuda.so.1 is not there" in said
    parts = PartLoading(0.0)
    for key, value in (("decoder.kind", "point-process"), ("task.kind", "nobody's"), ("hold", True), ([], 3)):
        parts.see_to(key, value)


def test_a_name_with_spaces_and_capitals_is_a_name(tmp_path):
    loop = assembled(tmp_path / "a.mcap", "decoder.kind='My Lab Decoder'")
    launch.run(loop, 60)
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]
    assert loop.session.decoder_settings()["kind"] == "My Lab Decoder"


def test_a_task_is_chosen_live(tmp_path):
    path = tmp_path / "a.mcap"
    (answer,) = commanded(assembled(path), 600, b200={"set": "task.kind", "value": "line"})
    assert answer["new"] == "line" and abs(Recording(path).steps()["output"][-1]["target"][0]) == 0.1
    assert Replay(Recording(path)).run()["identical"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("decoder.kind", "no-predict", "has no predict"),
        ("decoder.kind", "poplation-vector", "cannot change to 'poplation-vector'"),
        ("task.kind", "lines", "did you mean 'line'"),
    ],
)
def test_a_refused_change_leaves_no_trace(tmp_path, key, value, said):
    path = tmp_path / "a.mcap"
    loop = assembled(path)
    (answer,) = commanded(loop, 600, b300={"set": key, "value": value})
    assert said in answer
    plain = assembled(tmp_path / "b.mcap")
    launch.run(plain, 600)
    assert loop.result()["output_digest"] == plain.result()["output_digest"]
    assert not list(Recording(path).messages("command"))
    short = cut(path)
    assert resume(short, configuration_of(short, [])[0]).session.bins == Recording(short).n_steps


def test_a_decoder_that_raises_is_an_event_a_frozen_output_and_the_filter_that_fits(tmp_path):
    path = tmp_path / "a.mcap"
    loop = assembled(path, "decoder.kind=moody")
    launch.run(loop, 600)
    (event,) = events(path, "decoder-failed")
    assert "ValueError in predict: enough for today" in event["error"]
    assert (event["kind"], event["goes_on_with"]) == ("moody", "point-process")
    states = Recording(path).steps()["output"]["safety"]
    at = event["bin"]
    assert states[at - 1] == SafetyState.ACTIVE and states[at] == SafetyState.FROZEN
    assert states[-1] == SafetyState.ACTIVE and loop.session.decoder_settings()["kind"] == "point-process"
    assert Replay(Recording(path)).run()["identical"]
    short = cut(path)
    assert resume(short, configuration_of(short, [])[0]).session.decoder_settings()["kind"] == "point-process"


@pytest.mark.parametrize(
    ("setting", "part", "goes_on_with"),
    [("task.kind=breaking", "task", "centre-out"), ("adapter.intention=lost", "intention", "optimal-control")],
)
def test_a_task_or_an_intention_that_fails_is_followed_by_the_plainest(tmp_path, setting, part, goes_on_with):
    path = tmp_path / "a.mcap"
    launch.run(assembled(path, setting), 600)
    (event,) = events(path, f"{part}-failed")
    assert event["goes_on_with"] == goes_on_with
    output = Recording(path).steps()["output"]
    assert np.isfinite(output["cursor"]).all() and output["safety"][-1] == SafetyState.ACTIVE
    assert Replay(Recording(path)).run()["identical"]
    short = cut(path)
    assert resume(short, configuration_of(short, [])[0]).session.bins == Recording(short).n_steps


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("decoder.options.velocity_sd=1", "unknown key 'decoder.options.velocity_sd'"),
        ("task.options.radius=1", "unknown key 'task.options.radius'"),
        ("source.options.tempo=1", "unknown key 'source.options.tempo'"),
        ("decoder.kind=no-predict", "the decoder 'no-predict' has no predict(counts)"),
        ("adapter.intention=strait", "there is no intention 'strait'; did you mean 'straight'?"),
        ("task.kind=lime", "there is no task 'lime'; did you mean 'line'?"),
        ("source.kind=sin", "there is no source 'sin'; did you mean 'sine'?"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest_name(tmp_path, setting, said):
    with pytest.raises(BadInput) as caught:
        assembled(tmp_path / "a.mcap", setting)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_options_out_of_range_or_misspelt_are_refused_with_the_nearest_name(tmp_path):
    for options, said in (
        (["decoder.kind=half-speed", "decoder.options.gian=0.1"], "the nearest valid one is 'gain'"),
        (["decoder.kind=half-speed", "decoder.options.gain=3"], "decoder.options.gain: input should be less than"),
        (["decoder.kind=population-vector", "decoder.options.gain_ms=1"], "the nearest valid one is 'gain_m_s'"),
        (["task.kind=line", "task.options.half_lenght_m=1"], "the nearest valid one is 'half_length_m'"),
        (["source.kind=sine", "source.options.period=1"], "the nearest valid one is 'period_s'"),
    ):
        with pytest.raises(BadInput) as caught:
            assembled(tmp_path / "a.mcap", *options)
        assert said in str(caught.value)


def test_a_name_of_the_projects_own_stays_its_own_and_the_collision_is_said():
    assert tables.TABLE.find("kalman").__module__.startswith("bmi_runtime.")
    assert any("'kalman' of their_lab" in sentence for sentence in tables.TABLE.collisions())
    assert registry.Table("task", {"line": "bmi_runtime.tasks.pursuit:Pursuit"}, "bmi_runtime.tasks").collisions()
    told = diagnosis.parts(configuration.load(None))
    assert not told["ok"] and "'kalman' of their_lab" in told["found"]


def test_a_reader_of_another_suffix(tmp_path, answered):
    rng = np.random.default_rng(1)
    table = np.hstack([rng.poisson(2.0, (200, 5)), rng.normal(size=(200, 2))])
    np.savetxt(tmp_path / "session.lab", table)
    recording = datafile.load_recording(tmp_path / "session.lab")
    assert (recording.n_units, recording.n_bins, recording.bin_s) == (5, 200, 0.02)
    facts = answered("inspect", tmp_path / "session.lab")
    assert (facts["units"], facts["bins"]) == (5, 200)


def test_the_printed_class_in_a_comparison(tmp_path):
    from bmi_runtime.decoding.batch_decoder import Training

    rng = np.random.default_rng(2)
    velocity = np.cumsum(rng.normal(size=(4000, 2)), axis=0) * 0.01
    tuning = rng.normal(size=(2, 30))
    counts = rng.poisson(np.exp(np.log(0.1) + 2.0 * velocity @ tuning).clip(max=3.0)).astype(float)
    kinematics = np.hstack([np.full((4000, 2), np.nan), velocity])
    starts = np.zeros(4000, bool)
    training = Training(counts, kinematics, starts, starts.copy(), 0.02)
    decoder = fitting.fit_decoder("population-vector", training)  # the project's own of that name
    theirs = fitting.fit_other("population-vector", training)
    decoded = np.array([theirs.predict(row)[2:] for row in counts])
    assert type(decoder) is not type(theirs)
    assert all(np.corrcoef(decoded[:, axis], velocity[:, axis])[0, 1] > 0.3 for axis in range(2))


def test_a_panel_of_theirs_is_shown_and_a_broken_one_says_why(qapp):
    from gui import panels
    from gui.panels.base import Context
    from gui.store import Store

    context = Context(Store())
    panel = panels.made("spike-meter", panels.available()["spike-meter"], context)
    panel.refresh()
    assert panel.title == "Spike meter" and panel.words.text() == "no bin yet"
    for name, why in (("Leaves", "SystemExit: 3"), ("Never", "BadInput: its refresh_hz is 0.0: above 0 is wanted")):
        broken = panels.made("theirs", panels.Row("their_lab.panels", name), context)
        assert f"the panel 'theirs' of their_lab.panels cannot be shown: {why}" in broken.about
    broken = panels.made("gone", panels.Row("their_lab.gone", "Panel"), context)
    assert "the panel 'gone' of their_lab.gone cannot be shown: ModuleNotFoundError" in broken.about


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{speed_m_z=0.2}", "unknown key 'adapter.intention_options.speed_m_z'; the nearest valid one is 'speed_m_s'"),
        ("{speed_m_s=-1.0}", "adapter.intention_options.speed_m_s"),
    ],
)
def test_options_of_an_intention_are_typed(options, said):
    config = configuration.load(None, ["adapter.intention=straight", f"adapter.intention_options={options}"])
    with pytest.raises(BadInput, match=re.escape(said)):
        intentions.make_intention("straight", config.adapter, 0.005, 2)
    assert intentions.make_intention("optimal-control", config.adapter, 0.005, 2)  # chosen live, it has none of them
    good = configuration.load(None, ["adapter.intention=straight", "adapter.intention_options={speed_m_s=0.5}"])
    made = intentions.make_intention("straight", good.adapter, 0.005, 2)
    assert made.infer([0.0] * 4, [0.1, 0.0, 0.01], 0) == pytest.approx([0.5, 0.0])


def test_a_panel_that_fails_when_it_is_refreshed_says_so_in_its_place_and_the_console_goes_on(qapp):
    """An exception that leaves a slot of Qt 5 ends the process, and the operator's whole console with it."""
    from their_lab.panels import Fails, SpikeMeter

    from gui.dock import Dock
    from gui.frames import Frames
    from gui.panels.base import Context
    from gui.store import Store

    context = Context(Store())
    docks = [Dock(name, kind(context), None) for name, kind in (("fails", Fails), ("sound", SpikeMeter))]
    for dock in docks:
        dock.show()
    frames = Frames()
    for revision in range(3):
        frames.draw(docks, revision, float(revision), all_panels=True)
    assert "their_lab.panels" in docks[0].panel.failure and "no_such_thing" in docks[0].panel.failure
    assert frames.count == 3 and not docks[1].panel.failure
