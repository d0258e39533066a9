"""Fitted decoders in a live session: they close the loop, go on from a snapshot, and replay to the bit."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.compare import compare
from bmi_runtime.decoding import fitting, tables
from bmi_runtime.decoding.batch_decoder import decode_all
from bmi_runtime.decoding.comparison import training_of
from bmi_runtime.decoding.fitted_file import load_fitted, save_fitted
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import pack, unpack
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import resume
from bmi_runtime.sources.datafile import load_recording

WORLD = ["session.units=24", "session.bin_s=0.02", "recording.snapshot_s=2.0"]


def run(path, bins, *overrides):
    loop = assemble(configuration.load(None, [*WORLD, f"recording.path='{path}'", *overrides]), "max")
    launch.run(loop, bins)
    return loop


def fitted(file):
    return ("decoder.kind=fitted", f"decoder.fitted_file='{file}'")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "calibration.mcap"
    run(path, 2500, "task.assist=1.0")
    return load_recording(path)


def learned_by(kind, calibration):
    data = training_of(calibration)
    few = kind in ("history", "recurrent")  # which take long, and need no more here
    return data.part(slice(0, 800)) if few else data


@pytest.fixture(scope="module")
def fitted_once(calibration):
    return {kind: fitting.fit_decoder(kind, learned_by(kind, calibration)) for kind in tables.FITTED}


@pytest.fixture(scope="module")
def files(calibration, fitted_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    for kind, decoder in fitted_once.items():
        save_fitted(folder / f"{kind}.npz", kind, decoder, learned_by(kind, calibration), 1.0, "test")
    return folder


@pytest.mark.parametrize("kind", tables.FITTED)
def test_a_file_decodes_as_what_was_fitted(calibration, fitted_once, files, kind):
    some = learned_by(kind, calibration).part(slice(0, 150))
    loaded = load_fitted(files / f"{kind}.npz").suited(24, 0.02)
    np.testing.assert_array_equal(decode_all(loaded, some), decode_all(fitted_once[kind], some))


@pytest.mark.parametrize("kind", tables.FITTED)
def test_it_closes_the_loop_and_replays_to_the_bit(files, tmp_path, kind):
    loop = run(tmp_path / "a.mcap", 700, *fitted(files / f"{kind}.npz"))
    assert loop.session.task.successes >= (1 if kind == "population-vector" else 6)
    result = Replay(Recording(tmp_path / "a.mcap")).run()
    assert result["identical"]
    assert result["output_digest"] == loop.result()["output_digest"]


@pytest.mark.parametrize("kind", tables.FITTED)
def test_it_goes_on_from_a_snapshot_as_if_nothing_had_been(files, tmp_path, kind):
    loop = run(tmp_path / "a.mcap", 330, *fitted(files / f"{kind}.npz"))
    other = resume(tmp_path / "a.mcap", loop.session.config).session
    assert other.bins == 330
    assert pack(other.snapshot()) == pack(loop.session.snapshot())
    np.testing.assert_array_equal(
        other.decoder.predict(np.arange(24.0) % 3), loop.session.decoder.predict(np.arange(24.0) % 3)
    )


def test_snapshots_are_plain_messages(files, tmp_path):
    run(tmp_path / "a.mcap", 10, *fitted(files / "kalman.npz"))
    (_, snapshot), *_ = Recording(tmp_path / "a.mcap").messages("snapshot")
    assert unpack(pack(snapshot["decoder"]))["digest"] == load_fitted(files / "kalman.npz").digest


def test_a_freeze_command_changes_nothing_and_replays(files, tmp_path):
    config = configuration.load(None, [*WORLD, f"recording.path='{tmp_path / 'a.mcap'}'", *fitted(files / "ole.npz")])
    loop = assemble(config, "max")
    loop.on_bin = lambda loop: (
        loop.handle({"set": "decoder.frozen", "value": True}) if loop.session.bins == 100 else None
    )
    launch.run(loop, 300)
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]
    plain = run(tmp_path / "b.mcap", 300, *fitted(files / "ole.npz"))
    assert plain.result()["output_digest"] == loop.result()["output_digest"]


def test_missing_counts_are_taken_as_their_mean(files):
    given = load_fitted(files / "ole.npz")
    seat = tables.decoder_class("fitted")(_Units(24), str(files / "ole.npz"))
    counts, valid = np.arange(24.0) % 4, np.ones(24)
    valid[[2, 5]] = 0.0
    counts[[2, 5]] = 1e9
    state = seat.predict(counts, valid).copy()
    counts[[2, 5]] = given.blank[[2, 5]]
    np.testing.assert_array_equal(state[2:], given.suited(24, 0.02).predict(counts)[2:])


class _Units:
    def __init__(self, n_units):
        self.n_units, self.bin_s, self.n_axes = n_units, 0.02, 2


def test_what_if_goes_both_ways(files, tmp_path):
    run(tmp_path / "a.mcap", 200)
    run(tmp_path / "b.mcap", 200, *fitted(files / "ole.npz"))
    first, second = Recording(tmp_path / "a.mcap"), Recording(tmp_path / "b.mcap")
    for recording, overrides in (
        (first, fitted(files / "ole.npz")),
        (second, ("decoder.kind=point-process", "decoder.fitted_file=''")),
        (second, fitted(files / "ridge.npz")),
    ):
        result = Replay(recording, overrides).run(verify=False)
        assert result["bins"] == 200
        assert not result["identical"]


def test_another_file_in_the_same_place_is_refused(files, tmp_path):
    file = tmp_path / "d.npz"
    shutil.copy(files / "ole.npz", file)
    run(tmp_path / "a.mcap", 50, *fitted(file))
    moved = tmp_path / "moved.npz"
    shutil.move(file, moved)
    assert Replay(Recording(tmp_path / "a.mcap"), (f"decoder.fitted_file='{moved}'",)).run()["identical"]
    shutil.copy(files / "ridge.npz", file)
    with pytest.raises(BadInput, match="is not the file that was recorded"):
        Replay(Recording(tmp_path / "a.mcap"))
    file.unlink()
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"], "the recording holds its own copy"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("decoder.kind=short-history",),
            "is fitted to data first: 'bmi train DATA --kind short-history --out FILE.npz'",
        ),
        (("decoder.kind=ole",), "is fitted to data first: 'bmi compare DATA --decoders ole --write FILE.npz'"),
        (("decoder.kind=oel",), "there is no decoder 'oel'"),
        (("decoder.kind=fitted",), "kind = 'fitted' needs fitted_file = 'FILE', of bmi train or"),
        (
            ("decoder.fitted_file=OLE",),
            "is not for kind = 'point-process'; a file runs as kind = 'fitted', 'recurrent', 'joined'",
        ),
        (("decoder.kind=fitted", "decoder.fitted_file=absent.npz"), "absent.npz cannot be read"),
        (
            ("decoder.kind=fitted", "decoder.fitted_file=OLE", "session.units=12"),
            "decodes 24 units; these data have 12",
        ),
        (("decoder.kind=fitted", "decoder.fitted_file=OLE", "session.bin_s=0.05"), "bins of 20 ms; these are 50 ms"),
        (("decoder.kind=fitted", "decoder.fitted_file=OTHER"), "other.npz is not a fitted decoder"),
        (("decoder.kind=fitted", "decoder.fitted_file=HALF"), "half.npz is not a complete fitted decoder"),
        (("decoder.kind=fitted", "decoder.fitted_file=UNKNOWN"), "does not say in which unit it decodes velocity"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(calibration, files, tmp_path, overrides, words):
    training = training_of(calibration)
    np.savez(tmp_path / "other.npz", counts=np.zeros(3))
    with np.load(files / "ole.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "half.npz", **{name: value for name, value in arrays.items() if name != "parameter.offset"})
    save_fitted(tmp_path / "unknown.npz", "ole", fitting.fit_decoder("ole", training), training, None, "test")
    paths = {"OLE": files / "ole.npz"} | {n: tmp_path / f"{n.lower()}.npz" for n in ("OTHER", "HALF", "UNKNOWN")}
    for name, path in paths.items():
        overrides = [text.replace(f"={name}", f"='{path}'") for text in overrides]
    with pytest.raises(BadInput, match=words) as caught:
        run(tmp_path / "a.mcap", 10, *overrides)
    assert "\n" not in str(caught.value)


def test_a_unit_that_the_file_does_not_know_can_be_given(calibration, files, tmp_path):
    training = training_of(calibration)
    save_fitted(tmp_path / "u.npz", "ole", fitting.fit_decoder("ole", training), training, None, "test")
    make = tables.decoder_class("fitted")
    known, given = make(_Units(24), str(files / "ole.npz")), make(_Units(24), str(tmp_path / "u.npz"), 0.01)
    counts = np.arange(24.0) % 3
    np.testing.assert_array_equal(0.01 * known.predict(counts)[2:], given.predict(counts)[2:])


def test_the_command_line_fits_and_writes(calibration, tmp_path):
    session, file = tmp_path / "c.mcap", tmp_path / "ole.npz"
    run(session, 1500, "task.assist=1.0")
    arguments = [
        str(session),
        "--decoders",
        "ole",
        "--folds",
        "2",
        "--write",
        str(file),
        "--velocity",
        "cursor",
        "--json",
    ]
    answered = CliRunner().invoke(compare, arguments, catch_exceptions=False)
    assert json.loads(answered.stdout.splitlines()[-1])["written"] == str(file)
    expected = fitting.fit_decoder("ole", training_of(load_recording(session, velocity="cursor")))
    np.testing.assert_array_equal(load_fitted(file).parameters["weights"], expected.weights)
    table = CliRunner().invoke(compare, [str(session), "--decoders", f"{file},ridge", "--folds", "2", "--json"])
    rows = json.loads(table.stdout.splitlines()[-1])["tables"]["c.mcap"]
    assert {row["decoder"] for row in rows} == {str(file), "ridge"}
    for wrong, words in (
        (arguments, "exists; give another name"),
        ([str(session), "--decoders", "ole,ridge", "--write", "x.npz"], "one recording and one decoder"),
        ([str(session), "--decoders", "ole", "--write", "x.bin"], "is written as .npz"),
    ):
        with pytest.raises(BadInput, match=words):
            CliRunner().invoke(compare, wrong, catch_exceptions=False)


def test_a_session_as_data(calibration, tmp_path):
    assert calibration.velocity_unit == "m/s"
    assert calibration.targets.shape == (2500, 3)
    path = tmp_path / "s.mcap"
    run(path, 1200, "task.assist=1.0")
    output = Recording(path).steps()["output"]
    np.testing.assert_array_equal(load_recording(path).velocity, output["intended"])
    np.testing.assert_array_equal(load_recording(path, velocity="cursor").velocity, output["cursor"][:, 2:])
    turned = load_recording(path, velocity="rotated").velocity
    for index in range(5, 1200, 7):
        x, y, vx, vy = output["cursor"][index]
        tx, ty, radius = output["target"][index]
        away = np.hypot(tx - x, ty - y)
        want = (0, 0) if away <= radius else np.hypot(vx, vy) * np.array([tx - x, ty - y]) / away
        np.testing.assert_allclose(turned[index], want, atol=1e-12)
