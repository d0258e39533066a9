"""`bmi rehearse`: worlds fitted to pilots of known worlds, and what is answered."""

import json
import tomllib

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.rehearsal.pilot import read_pilot
from bmi_runtime.rehearsal.world import FittedSubject, FittedWorld, UnitStatistics
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

KNOWN = {
    "subject.feedback_delay_s": 0.12,
    "subject.natural_frequency_hz": 0.8,
    "subject.intention_noise": 0.3,
}


def run(path, seconds, *overrides):
    config = configuration.load(None, [f"recording.path='{path}'", *overrides])
    loop = assemble(config, "max")
    launch.run(loop, round(seconds / config.bin_s))
    return loop


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    path = tmp_path_factory.mktemp("pilots") / "pilot.mcap"
    loop = run(path, 60, "session.units=40", *(f"{key}={value}" for key, value in KNOWN.items()))
    return path, loop.source.truth()


@pytest.fixture(scope="module")
def world(pilot):
    return world_of(pilot[0])[0]


def test_the_subject_and_the_units_of_a_known_world_are_found(pilot, world):
    table = world.subject.table()
    for key, value in KNOWN.items():
        name = {"feedback_delay_s": "delay_s", "natural_frequency_hz": "frequency_hz", "intention_noise": "noise"}
        found = table[name[key.partition(".")[2]]]
        assert abs(found["value"] - value) < 4 * found["sd"] + 0.02, key
    truth = pilot[1]
    units = world.population
    assert units.regressors == ("v0", "v1") and units.coupling.shape[2] == 0 and not units.walk.any()
    found = np.vstack([units.weights[0] - np.log(world.bin_s), units.weights[1:]])
    # a subject that aims faster goes with smaller gains: what the pilot settles is their product
    found[1:] *= np.sum(found[1:] * truth[1:]) / np.sum(found[1:] ** 2)
    sd = np.sqrt(units.covariance[:, range(3), range(3)].T)
    assert np.mean(np.abs(found - truth) < 2 * sd) > 0.85
    assert np.corrcoef(found[1], truth[1])[0, 1] > 0.98


def test_a_world_is_written_and_read(world, tmp_path):
    world.save(tmp_path / "world.npz")
    again = FittedWorld.load(tmp_path / "world.npz")
    np.testing.assert_array_equal(again.population.weights, world.population.weights)
    assert again.subject.table() == world.subject.table() and again.notes == world.notes
    with pytest.raises(BadInput, match="holds no fitted world"):
        np.savez(tmp_path / "other.npz", a=1)
        FittedWorld.load(tmp_path / "other.npz")


def test_the_command_answers_and_writes(pilot, tmp_path, bmi):
    asked = ("--try", "adapter.learning_rate=1e-2 decoder.parameter_trust=0", "--seeds", 2, "--duration", 12, "--json")
    written = ("--write", tmp_path / "best.toml", "--world", tmp_path / "world.npz", "--journal", tmp_path / "j.jsonl")
    done = bmi("rehearse", pilot[0], *asked, *written)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["settings"]) == 2 and found["recommended"]["settings"] == {}
    hits = [entry["hits_per_min"]["mean"] for entry in found["settings"]]
    assert hits[0] > hits[1]
    assert tomllib.loads((tmp_path / "best.toml").read_text())["session"]["units"] == 40
    assert set(found["world"]["agreement"]["decoders"]) == {"ridge", "kalman", "history"}
    again = bmi("rehearse", tmp_path / "world.npz", "--config", tmp_path / "best.toml", *asked)
    assert again.returncode == 0, again.stderr
    assert bmi("rehearse", pilot[0], *asked, "--write", tmp_path / "best.toml").returncode == 2
    for line in (tmp_path / "j.jsonl").read_text().splitlines():
        assert json.loads(line)["measures"]["hits_per_min"] >= 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "session.bin_s=0.01"), "session.bin_s"),
        (("--grid", "population.depth=1,2"), "population.depth"),
        (("--try", "adapter.lerning_rate=1"), "adapter.learning_rate"),
        (("--grid", "guard.max_speed=0.1,1"), "guard.max_speed has no part"),
        (("--try", "output.rate_hz=30"), "output.rate_hz has no part"),
        (("--try", "session.features=3"), "session.features is that of the pilot"),
        (("--duration", "1"), "--duration"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_before_a_world_is_fitted(pilot, arguments, said, bmi, monkeypatch):
    monkeypatch.setattr("bmi_runtime.rehearsal.fit.fit_world", lambda _: pytest.fail("a minute's work, then refused"))
    done = bmi("rehearse", pilot[0], *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_pilots_that_lack_something_are_refused_by_name(tmp_path):
    run(tmp_path / "short.mcap", 3, "session.units=8")
    with pytest.raises(BadInput, match="needs at least 10 s"):
        read_pilot(tmp_path / "short.mcap")
    bins = 2000
    still = np.ones((bins, 2))
    np.savez(tmp_path / "still.npz", counts=np.ones((bins, 4), int), bin_s=0.05, velocity=still)
    with pytest.raises(BadInput, match="movement"):
        read_pilot(tmp_path / "still.npz")
    moving = np.random.default_rng(1).normal(size=(bins, 2))
    np.savez(tmp_path / "silent.npz", counts=np.zeros((bins, 4), int), bin_s=0.05, velocity=moving)
    with pytest.raises(BadInput, match="no unit has 20 spikes"):
        read_pilot(tmp_path / "silent.npz")


def test_an_axis_that_rests_is_left_out_and_told(tmp_path):
    rng = np.random.default_rng(1)
    moving = np.column_stack([rng.normal(size=2000), np.full(2000, 0.3), rng.normal(size=2000)])
    np.savez(tmp_path / "plane.npz", counts=rng.poisson(0.5, (2000, 4)), bin_s=0.05, velocity=moving)
    pilot = read_pilot(tmp_path / "plane.npz")
    assert pilot.axes == 2 and any("never changes in y: left out" in note for note in pilot.notes)


def test_clicks_are_not_rehearsed_and_told(tmp_path):
    """No world is fitted to what units do while a click is intended: without it a target would be clicked by chance."""
    asked = ("state.click=true", "task.kind=centre-out-click", "block=[{kind='adapt',task='centre-out-click'}]")
    run(tmp_path / "click.mcap", 12, "session.units=12", "session.bin_s=0.02", *asked)
    pilot = read_pilot(tmp_path / "click.mcap")
    assert any("without clicks" in note for note in pilot.notes)
    config = pilot.config
    assert (config.state.click, config.task.kind, config.block[0].task) == (False, "centre-out", "centre-out")


def test_a_session_runs_on_the_fitted_world_and_replays_to_the_bit(world, tmp_path, bmi):
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session.replay import Replay

    world.save(tmp_path / "world.npz")
    record = tmp_path / "a.mcap"
    settings = ("--source", "rehearsal", "--set", f"source.options.pilot={tmp_path / 'world.npz'}", "--record", record)
    done = bmi("run", "--headless", "--speed", "max", "--duration", 20, *settings, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["successes"] > 5
    assert Replay(Recording(record)).run()["identical"]
    refused = bmi(
        "run", "--headless", "--speed", "max", "--source", "rehearsal", "--set", "session.units=12", *settings
    )
    assert refused.returncode == 2 and "session.units" in refused.stderr
    without = bmi("run", "--headless", "--speed", "max", "--source", "rehearsal", "--duration", 1)
    assert without.returncode == 2 and "source.options.pilot" in without.stderr


def test_a_pointer_steers_in_the_place_of_the_subject():
    import zmq

    from bmi_runtime.messages import pack
    from simulators.steered import PointerSubject

    now = [0.0]
    person = PointerSubject("tcp://127.0.0.1:*", 0.3, lambda: now[0])
    hand = zmq.Context.instance().socket(zmq.PUSH)
    hand.connect(person.address)
    try:
        assert person.intend([0.0, 0.0], None) == [0.0, 0.0]
        for message in (b"nonsense", pack({"pointer_m": [1e9, 0.0]}), pack({"pointer_m": [0.02, 0.0]})):
            hand.send(message)
        for _ in range(200):
            if person.intend([0.0, 0.0], None)[0]:
                break
            __import__("time").sleep(0.01)
        assert person.velocity == pytest.approx([0.12, 0.0]) and person.refused == 2
        assert person.intend([-0.2, 0.0], None) == pytest.approx([0.3, 0.0])
        now[0] = 2.0
        assert person.intend([0.0, 0.0], None) == [0.0, 0.0], "a pointer that is not heard of any more moves nothing"
    finally:
        hand.close(0)
        person.close()
    with pytest.raises(BadInput, match=r"127\.0\.0\.1"):
        PointerSubject("tcp://0.0.0.0:5584", 0.3)


def test_decoders_are_compared_in_the_fitted_world(world, tmp_path, answered):
    world.save(tmp_path / "world.npz")
    asked = ("--decoders", "adaptive,ridge", "--seeds", 1, "--calibration", 20, "--test", 10)
    rows = answered("compare", "--world", tmp_path / "world.npz", *asked)["table"]
    assert [row["decoder"] for row in rows] == ["adaptive", "ridge"]
    assert rows[0]["mean"]["successes_per_min"] > 20


def test_a_world_file_keeps_the_names_that_older_versions_wrote_and_read(tmp_path):
    one = np.ones(1)
    units = UnitStatistics(
        ("v0",), (0,), np.ones((2, 1)), np.zeros((1, 2, 2)), np.zeros(2), np.zeros((1, 1, 0)), one, np.zeros((0, 1)),
        np.zeros(0), one, one, np.array([[-0.5], [0.5]]), one,
    )  # fmt: skip
    world = FittedWorld("poisson", 0.005, 1, units, FittedSubject(np.ones(4), np.zeros((4, 4))), "mine", ("a note",))
    world.save(tmp_path / "world.npz")
    with np.load(tmp_path / "world.npz", allow_pickle=False) as file:
        assert set(file.files) == {
            "format", "words", "weights", "covariance", "walk", "coupling", "dispersion", "loadings", "keep",
            "private_keep", "ceiling", "past_range", "wander", "subject_mean", "subject_covariance",
            "subject_gain_slope",
        }  # fmt: skip
        words = json.loads(str(file["words"]))
    assert set(words) == {
        "likelihood", "bin_s", "axes", "regressors", "lags", "name", "notes", "assumed", "max_speed_m_s",
    }  # fmt: skip
    with np.load(tmp_path / "world.npz", allow_pickle=False) as file:
        older = {name: file[name] for name in file.files if name not in ("past_range", "wander")}
    again = FittedWorld.load(tmp_path / "world.npz")
    assert again.population.regressors == ("v0",) and again.notes == ("a note",) and again.units == 1
    np.savez(tmp_path / "older.npz", **older)
    units = FittedWorld.load(tmp_path / "older.npz").population
    assert np.isinf(units.past_range).all(), "no bounds were known then"
