"""Going on where a recording ends: the state is that of the session which was never interrupted, to the bit."""

import json

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.playback.player import Player
from bmi_runtime.recording.nwb import export_nwb
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay, recorded_config
from bmi_runtime.session.resume import configuration_of, next_path, read_tail, resume

COMMANDS = {
    150: {"set": "task.kind", "value": "random-target"},
    420: {"set": "adapter.learning_rate", "value": 1e-3},
    450: {"set": "decoder.frozen", "value": True},
    610: {"set": "task.assist", "value": 0.4},
    790: {"set": "task.kind", "value": "pursuit"},
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the path of 800 bins with commands, the offsets of its snapshots, and the loop."""
    path = tmp_path_factory.mktemp("resume") / "a.mcap"
    config = configuration.load(
        None, ["session.units=24", "recording.snapshot_s=1.0", f"recording.path='{path}'", "adapter.schedule=floor"]
    )
    offsets = []
    loop = assemble(config, "max", on_snapshot=offsets.append)
    todo = dict(COMMANDS)
    loop.on_bin = lambda loop: [loop.handle(command) for command in [todo.pop(loop.session.bins, None)] if command]
    launch.run(loop, 800)
    return path, offsets, loop


def flat(value, path=""):
    """Yield the leaves of nested dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from flat(item, f"{path}[{number}]")
    else:
        yield path, value


def assert_same_state(one, other):
    left, right = dict(flat(one)), dict(flat(other))
    assert left.keys() == right.keys()
    for key, value in left.items():
        np.testing.assert_array_equal(value, right[key], err_msg=key)


def replayed_until(path, bins):
    replay = Replay(Recording(path))
    for _ in range(bins):
        assert replay.next()
    return replay


@pytest.mark.parametrize("fraction", [0.21, 0.5, 0.66, 0.8, 0.97])
def test_from_a_file_cut_off_anywhere(tmp_path, recorded, fraction):
    path, _, _ = recorded
    data, cut = path.read_bytes(), tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(len(data) * fraction)])
    whole = Recording(cut)
    resumed = resume(cut, recorded_config(whole))
    assert resumed.session.bins == whole.n_steps > 0
    assert resumed.next_bin_index == whole.n_steps
    assert len(resumed.replayed) < 201, "only what is behind the last snapshot is taken again"
    expected = replayed_until(path, whole.n_steps)
    answered = [command for _, command in whole.messages("command") if command["bin"] == whole.n_steps]
    for command in answered:
        expected.session.apply({"set": command["set"], "value": command["new"]})
    assert_same_state(resumed.session.snapshot(), expected.session.snapshot())


def test_it_goes_on_to_the_bit(tmp_path, recorded):
    path, offsets, _ = recorded
    data, cut = path.read_bytes(), tmp_path / "cut.mcap"
    cut.write_bytes(data[: offsets[3] + 20_000])
    resumed = resume(cut, recorded_config(Recording(cut)))
    steps, commands = Recording(path).steps(), dict(COMMANDS)
    for bin_ in range(resumed.session.bins, 800):
        if bin_ in commands:
            resumed.session.apply(commands[bin_])
        record = resumed.session.step(steps[bin_]["input"].tobytes())
        assert bytes(record.output_bytes) == steps[bin_]["output"].tobytes(), bin_


def test_the_reported_place_of_the_snapshot_gives_the_same_as_reading_everything(recorded):
    path, offsets, _ = recorded
    assert len(offsets) == 6, "at the start, each second, and at the end"
    whole = read_tail(path)
    assert_same_state(read_tail(path, offsets[-1]).snapshot, whole.snapshot)
    earlier = read_tail(path, offsets[2])
    assert_same_state(earlier.snapshot, whole.snapshot)
    for nonsense in (0, 5, offsets[-1] + 3, 10**12):
        assert_same_state(read_tail(path, nonsense).snapshot, whole.snapshot)


def test_the_shell_counts_on(tmp_path, recorded):
    path, offsets, _ = recorded
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[: offsets[2] + 30_000])
    config = recorded_config(Recording(cut), ["recording.enabled=false"])
    resumed = resume(cut, config)
    again = assemble(config, "max", resumed=resumed)
    outputs = Recording(cut).steps()["output"]
    reaching = outputs["trial_state"] <= 1
    apart = outputs["cursor"][reaching, :2] - outputs["target"][reaching, :2]
    assert again.tally.scored_bins == reaching.sum()
    assert again.tally.squared_error_m2 == pytest.approx(np.sum(apart**2), rel=1e-12)
    assert again.tally.latency.total == len(outputs)
    assert all(stage.total == len(outputs) for stage in again.tally.stages)


def continued(tmp_path, recorded, bins, commands):
    """Go on from a recording that was cut, with commands by bin; return its path, its number of bins and the loop."""
    path, offsets, _ = recorded
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[: offsets[2] + 30_000])
    done = Recording(cut).n_steps
    config = recorded_config(Recording(cut))
    loop = assemble(config, "max", resumed=resume(cut, config), path=next_path(cut))
    todo = {done + bin_number: command for bin_number, command in commands.items()}
    loop.on_bin = lambda loop: [loop.handle(command) for command in [todo.pop(loop.session.bins, None)] if command]
    launch.run(loop, done + bins)
    return cut, done, loop


def test_a_continued_recording_replays_and_is_numbered_on(tmp_path, recorded):
    cut, done, loop = continued(tmp_path, recorded, 100, {50: {"set": "task.assist", "value": 0.2}})
    part = Recording(tmp_path / "cut_part2.mcap")
    assert part.parent == {"path": str(cut), "last_bin_index": done - 1}
    np.testing.assert_array_equal(part.column("input", "bin_index"), np.arange(done, done + 100))
    np.testing.assert_array_equal(part.column("input", "segment"), 1)
    assert part.header["config"]["task"]["kind"] == "random-target", "as a command had set it before the cut"
    assert Replay(part).run() | {"realtime_factor": 0} == {
        "bins": 100,
        "identical": True,
        "first_divergence": None,
        "output_digest": loop.result()["output_digest"],
        "realtime_factor": 0,
    }
    assert next_path(part.path).name == "cut_part3.mcap"


def test_what_happened_in_a_continued_recording_stands_at_its_own_time(tmp_path, recorded):
    """Messages count the bins of the session, steps those of the file: a window and an export must not mix them up."""
    cut, done, loop = continued(tmp_path, recorded, 300, {50: {"note": "a word"}, 250: {"note": "another"}})
    part = Recording(tmp_path / "cut_part2.mcap")
    assert (Recording(cut).first_bin, part.first_bin, part.n_steps) == (0, done, 300)
    player = Player(part.path)
    marks = {name: at for at, _, name in player.status()["marks"]}
    assert (marks["a word"], marks["another"]) == (51, 251)
    pynwb = pytest.importorskip("pynwb")
    export_nwb(part, tmp_path / "part.nwb")
    with pynwb.NWBHDF5IO(tmp_path / "part.nwb", "r") as file:
        events = file.read().processing["misc"]["events"].to_dataframe()
        notes = events[events["detail"].str.startswith("note: ")]
    times = {json.loads(detail.removeprefix("note: ")): time for detail, time in notes[["detail", "time_s"]].values}
    assert times["another"] - times["a word"] == pytest.approx(200 * loop.session.config.bin_s)


def test_the_duration_that_is_left(tmp_path, recorded):
    path = recorded[0]
    assert configuration_of(path, ())[1] == 0
    config, done = configuration_of(path, ("session.duration_s=2.0",))
    assert (config.session.duration_s, done) == (2.0, 800)
    assert launch.total_bins(config, done) == 1200
    with pytest.raises(BadInput, match=r"session\.seed=4 would change the session"):
        configuration_of(path, ("session.seed=4",))


def test_files_that_nothing_can_be_resumed_from(tmp_path, recorded):
    path, offsets, _ = recorded
    early, empty = tmp_path / "early.mcap", tmp_path / "empty.mcap"
    early.write_bytes(path.read_bytes()[: offsets[0] + 10])
    empty.write_bytes(b"")
    config = recorded_config(Recording(path))
    with pytest.raises(BadInput, match="before its first snapshot"):
        resume(early, config)
    with pytest.raises(BadInput, match="it is empty"):
        resume(empty, config)
    with pytest.raises(BadInput, match="No such file"):
        resume(tmp_path / "none.mcap", config)
    with pytest.raises(BadInput, match=r"another layout|asks for 8"):
        resume(path, config.model_copy(update={"session": config.session.model_copy(update={"units": 8})}))
