"""Bins in which all units fire at once, and units whose predicted rate stays exploded: a session outlives both."""

import numpy as np
import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime.analysis.array_days import read_day
from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.encoding.artifacts import artifact_bins, recorded_artifacts
from bmi_runtime.kernels import soundness
from bmi_runtime.kernels.artifacts import count_artifact, feature_artifact, whole_artifact
from bmi_runtime.kernels.soundness import restart_units, take_counts
from bmi_runtime.messages import MISSING, Bin, SafetyState, StepRecord, unpack
from bmi_runtime.playback.player import Player
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.tally import Tally
from bmi_runtime.rehearsal.pilot import read_pilot
from bmi_runtime.session import launch
from bmi_runtime.session.core import Session, warm_up
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.telemetry import Telemetry
from bmi_runtime.sources.session_file import session_recording
from simulators.world import World

OVERRIDES = ["session.units=40", "session.bin_s=0.02", "encoding.initial=truth"]


def rig(*more):
    """Return a session past its first two seconds, and a function that steps it with what `spoil` does to the bin."""
    config = configuration.load(None, [*OVERRIDES, *more])
    world = World(config)
    session, given = Session(config, world.initial_model()), Bin(*config.layout)

    def step(bins=1, spoil=lambda fields: None):
        rows = []
        for _ in range(bins):
            given.fields.stale[0] = 0
            given.fields.counts[:] = world.counts(session.cursor, session.task.target)
            if world.features:
                given.fields.features[:] = world.feature_values()
            spoil(given.fields)
            rows.append(session.step(given.bytes).array["output"][0].copy())
        return np.array(rows)

    step(200)
    session.events.clear()
    return session, step


def discharge(fields):
    fields.counts[:] = 15


def names(session):
    return [event["name"] for event in session.events]


def test_an_artifact_moves_and_teaches_nothing():
    session, step = rig()
    before, velocity = session.model.weights.copy(), session.decoder.state[2:].copy()
    rows = step(2, discharge)
    assert not rows["adapting"].any() and (session.model.weights == before).all()
    keep = session.decoder.keep
    np.testing.assert_allclose(rows["decoded"][:, 2:], [keep * velocity, keep**2 * velocity], rtol=1e-12)
    assert not session.inputs.counts.any() and not session.inputs.valid.any()
    (first, _) = session.events
    assert first["name"] == "artifact" and first["counts"] == 600 and 1.0 < first["usual"] < 60.0
    after = step(1)
    assert after["adapting"][0] and SafetyState(after["safety"][0]) is SafetyState.ACTIVE


def test_switched_off_it_is_believed_as_before():
    session, step = rig("safety.artifact_sd=0")
    assert step(1, discharge)["adapting"][0] and "artifact" not in names(session)
    older = configuration.as_recorded({})["safety"]
    assert older == {
        "artifact_sd": 0.0, "artifact_rule": "whole", "exploded_units": "freeze", "exploded_after_s": 0.0,
    }  # fmt: skip
    assert configuration.as_recorded({"safety": {"artifact_sd": 4.0}})["safety"]["artifact_sd"] == 4.0


def test_a_level_that_stays_is_how_the_units_are_now():
    session, step = rig("adapter.enabled=false")

    def louder(fields):
        fields.counts[:] = 6

    step(60, louder)
    assert names(session).count("artifact") == 25  # half a second of bins of 20 ms
    session.events.clear()
    step(200)
    assert "artifact" not in names(session)


def test_one_unit_that_fires_as_never_before_is_no_artifact():
    session, step = rig()

    def loud(fields):
        fields.counts[7] = 60

    assert step(1, loud)["adapting"][0] and "artifact" not in names(session)
    counts = np.random.default_rng(1).poisson(0.4, (400, 40))
    counts[300:310, 7] = 500
    assert not artifact_bins(counts, 0.02).any()


def test_silence_and_missing_counts_are_not_what_is_usual():
    session, step = rig()
    known = session.inputs.snapshot()["lately"]

    def silent(fields):
        fields.counts[:], fields.stale[0] = 0, 1

    def missing(fields):
        fields.counts[0] = 65535

    step(300, silent)
    np.testing.assert_array_equal(session.inputs.snapshot()["lately"], known)
    of_unit = session.inputs.snapshot()["usual"][:, 0]
    step(50, missing)
    np.testing.assert_array_equal(session.inputs.snapshot()["usual"][:, 0], of_unit)
    step(20)
    assert "artifact" not in names(session)


def test_a_session_restored_in_the_middle_of_an_artifact_goes_on_to_the_bit():
    session, step = rig()
    step(3, discharge)
    twin, given = Session(session.config, session.model.copy()), Bin(40, False)
    twin.restore(session.snapshot())
    for _ in range(40):
        given.fields.counts[:] = 15
        one, other = session.step(given.bytes).output, twin.step(given.bytes).output
        assert (one.decoded == other.decoded).all()
    assert session.model.weights.tobytes() == twin.model.weights.tobytes()


@pytest.mark.parametrize("kind", ["features alone", "beside units"])
def test_features_that_are_all_far_off_are_an_artifact_and_one_is_none(kind):
    alone = kind == "features alone"
    mixed = ("session.features=12", "session.feature_bin_s=0.02")
    more = ("session.likelihood=gaussian", "decoder.kind=kalman") if alone else mixed
    session, step = rig(*more, "adapter.learning_rate=1e-4", "adapter.feature_learning_rate=1e-4")
    field = "counts" if alone else "features"
    step(400)  # ten seconds are looked at before
    model = session.model if alone else session.learning.features.model
    before = model.weights.copy()

    def one_far(fields):
        getattr(fields, field)[3] = 1e3

    def half_far(fields):
        getattr(fields, field)[: getattr(fields, field).size // 2] = 1e3

    def all_far(fields):
        getattr(fields, field)[1:] = -400.0
        getattr(fields, field)[0] = np.nan

    rows = [step(1, one_far), step(3), step(1, half_far), step(3)]
    refused = [event for event in session.events if event["name"].startswith("refused-")]
    assert [max(event.get("features", 0), event.get("units", 0)) for event in refused] == [1, model.n_units // 2]
    assert "artifact" not in names(session) and not (model.weights == before).all()
    assert np.abs(np.concatenate(rows)["decoded"][:, 2:]).max() < 1.0
    session.events.clear()
    before = model.weights.copy()
    rows = step(2, all_far)
    told = [event for event in session.events if event["name"] == "artifact"]
    assert [event["features"] for event in told] == [model.n_units - 1] * 2 and "counts" not in told[0]
    assert (model.weights == before).all() and rows["adapting"].all() == (kind != "features alone")
    assert np.abs(rows["decoded"][:, 2:]).max() < 1.0
    session.events.clear()
    step(60, all_far)  # that is how they are now
    assert names(session).count("artifact") == 23


def test_a_session_of_before_judges_no_features_and_no_bin_that_lacks_a_count():
    session, step = rig("safety.artifact_rule=whole")

    def discharge_without_one(fields):
        discharge(fields)
        fields.counts[0] = 65535

    assert step(1, discharge_without_one)["adapting"][0] and "artifact" not in names(session)
    assert not step(1, discharge)["adapting"][0]
    session, step = rig("safety.artifact_rule=whole", "session.likelihood=gaussian", "decoder.kind=kalman")
    assert session.inputs.snapshot() == {}
    assert configuration.as_recorded({"safety": {"artifact_sd": 4.0}})["safety"]["artifact_rule"] == "whole"


@pytest.mark.parametrize("dead", [slice(0, 30), slice(0, None, 2), [39]])
def test_a_discharge_is_found_in_the_units_that_are_there(dead):
    """A board that is dead since the beginning, or dies, switches nothing off, and its return is no artifact."""
    session, step = rig()

    def lacking(fields):
        fields.counts[dead] = 65535

    def spoiled(fields):
        fields.counts[:] = 15
        lacking(fields)

    step(50, lacking)
    assert "artifact" not in names(session)
    rows = step(2, spoiled)
    there = 40 - np.arange(40)[dead].size
    told = [event["counts"] for event in session.events if event["name"] == "artifact"]
    assert told == [15 * there] * 2 and not rows["adapting"].any()
    session.events.clear()
    step(50)
    assert "artifact" not in names(session)


def test_units_that_appear_late_are_known_before_they_are_judged():
    counts = np.random.default_rng(3).poisson(0.3, (1200, 40)).astype(float)
    counts[:600, 4:] = np.nan  # nine in ten of the units come with the 600th bin
    assert not artifact_bins(counts, 0.02).any()
    counts[500] = counts[650] = counts[900] = 15.0
    counts[500, 4:] = np.nan
    assert np.flatnonzero(artifact_bins(counts, 0.02)).tolist() == [500, 650, 900]


def test_counts_that_are_missing_here_and_there_hide_no_discharge():
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.3, (1500, 40)).astype(float)
    counts[1000:1003] = 12.0
    counts[rng.random(counts.shape) < 0.3] = np.nan
    assert np.flatnonzero(artifact_bins(counts, 0.02)).tolist() == [1000, 1001, 1002]
    assert not artifact_bins(counts, 0.02, sd=0.0).any()


def textbook_of_counts(counts, limits):
    """Judge bins as `count_artifact` says, in plain arrays; return which are artifacts."""
    sd, times, newest, after, at_most = limits
    mean, seen, dispersion, bins, row, found = np.zeros(counts.shape[1]), np.zeros(counts.shape[1]), 0.0, 0, 0, []
    for now in counts:
        there = np.isfinite(now)
        judged = there & (seen >= after)
        total = now[judged].sum() - now[judged].max(initial=0.0)
        expected = mean[judged].sum()
        far = total > times * expected and total > expected + sd * np.sqrt(max(dispersion, 1.0) * max(expected, 1.0))
        row = row + 1 if far else 0
        found.append(bool(far) and row <= at_most)
        if found[-1]:
            continue
        if far:
            mean[:], seen[:], dispersion, bins, row = 0.0, 0.0, 0.0, 0, 0
        elif expected > 0.0:
            dispersion += max(newest, 1 / (bins + 1)) * ((total - expected) ** 2 / max(expected, 1.0) - dispersion)
            bins += 1
        mean[there] += (np.maximum(newest, 1 / (seen + 1)) * (np.where(there, now, 0.0) - mean))[there]
        seen[there] += 1
    return found


def test_the_kernel_of_counts_is_its_textbook():
    rng = np.random.default_rng(5)
    counts = rng.poisson(rng.uniform(0.05, 1.0, 12) * rng.gamma(4.0, 0.25, (3000, 1))).astype(float)
    counts[rng.random(counts.shape) < 0.1] = np.nan
    counts[rng.random(3000) < 0.01] *= 12.0
    counts[2000:2040] = 9.0
    limits = np.array([5.0, 3.0, 1 / 200, 30.0, 8.0])
    lately, usual, none, valid = np.zeros(4), np.zeros((2, 12)), np.zeros(0, np.int64), np.isfinite(counts)
    rows = zip(np.nan_to_num(counts), valid.astype(float), strict=True)
    found = [count_artifact(row, there, none, limits, lately, usual) for row, there in rows]
    assert found == textbook_of_counts(counts, limits) and 10 < sum(found) < 60


def test_the_kernel_of_features_keeps_mean_variance_and_largest_distance():
    rng = np.random.default_rng(6)
    values, limits = rng.standard_normal((300, 3)), np.array([4.0, 1.5, 1 / 100, 50.0, 5.0])
    lately, usual, none, ones = np.zeros(4), np.zeros((4, 3)), np.zeros(0, np.int64), np.ones(3)
    assert not any(feature_artifact(row.copy(), ones, none, limits, lately, usual) for row in values)
    weights, mean, largest = np.ones(1), values[0].copy(), np.zeros(3)
    for seen in range(1, 300):
        share = max(1 / 100, 1 / (seen + 1))
        weights = np.append((1.0 - share) * weights, share)
        largest = np.maximum(0.99 * largest, abs(values[seen] - mean))
        mean += share * (values[seen] - mean)
    np.testing.assert_allclose(usual[0], weights @ values, rtol=1e-10)
    np.testing.assert_allclose(usual[1], weights @ (values - usual[0]) ** 2, rtol=1e-10)
    np.testing.assert_allclose(usual[2], largest, rtol=1e-10)
    far = usual[0] + 1.01 * np.maximum(4.0 * np.sqrt(usual[1]), 1.5 * usual[2])

    def asked(values, valid=ones, left_out=none):
        values, valid = values.copy(), valid.copy()
        found = feature_artifact(values, valid, left_out, limits, lately.copy(), usual.copy())
        return found, valid.tolist(), (values == 0.0).tolist()

    near = np.where([0, 0, 1], values[5], far)
    assert asked(near) == (2, [0.0, 0.0, 1.0], [True, True, False])  # two of three, one beside
    assert asked(near, np.array([1.0, 1.0, 0.0]))[0] == -1  # both that are there
    assert asked(far)[0] == -1 and asked(far, left_out=np.array([0, 2]))[:2] == (1, [1.0, 0.0, 1.0])
    known = usual.copy()
    assert feature_artifact(far.copy(), ones.copy(), none, limits, lately, usual) == -1 and (usual == known).all()
    feature_artifact(known[0] + [1e6, 0.0, 0.0], ones.copy(), none, limits, lately, usual)
    limit = max(4.0 * np.sqrt(known[1, 0]), 1.5 * known[2, 0])
    np.testing.assert_allclose(usual[[0, 2], 0], [known[0, 0] + 0.01 * limit, limit], rtol=1e-9)  # no more is learned


def test_a_feature_that_steps_to_another_level_is_believed_after_a_few_bins():
    rng, limits = np.random.default_rng(7), np.array([10.0, 3.0, 1 / 1500, 100.0, 25.0])
    values = rng.standard_normal((600, 8))
    values[:300, 6] = 0.0  # an amplifier that is switched on later
    values[400:, 7] += 1e5
    lately, usual, none, refused = np.zeros(4), np.zeros((4, 8)), np.zeros(0, np.int64), np.zeros((600, 8), bool)
    for row, told in zip(values, refused, strict=True):
        valid = np.ones(8)
        feature_artifact(row.copy(), valid, none, limits, lately, usual)
        told[:] = valid == 0.0
    assert not refused[:, :6].any() and 0 < refused[:, 6].sum() < 20 and 0 < refused[:, 7].sum() < 20


def test_the_older_kernel_is_the_weighted_mean_and_variance():
    rng = np.random.default_rng(1)
    totals = rng.poisson(30.0, 400).astype(float)
    limits, lately = np.array([10.0, 3.0, 1 / 100, 50.0, 5.0]), np.zeros(4)
    assert not any(whole_artifact(total, limits, lately) for total in totals)
    weights = np.ones(1)
    for seen in range(1, 400):
        share = max(1 / 100, 1 / (seen + 1))
        weights = np.append((1.0 - share) * weights, share)
    mean = weights @ totals
    np.testing.assert_allclose(lately, [mean, weights @ (totals - mean) ** 2, 400, 0], rtol=1e-10)
    kept = lately.copy()
    assert whole_artifact(mean + 12.0 * np.sqrt(max(kept[1], mean)), limits, lately) and (lately[:3] == kept[:3]).all()
    assert not whole_artifact(2.9 * mean, np.array([0.1, 3.0, 0.01, 50.0, 5.0]), lately.copy())
    counts, out, valid, none = np.full(10, 40, np.uint16), np.zeros(10), np.ones(10), np.zeros(0, np.int64)
    older = np.zeros((0, 10))
    assert (
        take_counts(counts, 60.0, out, valid, none, limits, lately, older) == -1 and not out.any() and not valid.any()
    )
    counts[0] = 61
    assert take_counts(counts, 60.0, out, valid, none, limits, lately, older) == 1 and out.sum() == 360.0
    assert take_counts(counts, 60.0, out, valid, np.array([0]), limits, lately, older) == -1


def test_features_that_are_left_out_are_free_to_go_far_off():
    """They were told as refused, and where they are most of all nothing was decoded from the others."""
    left_out = f"session.left_out={list(range(25))}"
    session, step = rig("session.likelihood=gaussian", "decoder.kind=kalman", left_out)
    step(400)

    def far(fields):
        fields.counts[:25] = 1e3

    session.events.clear()
    assert step(1, far)["adapting"].all() and not {"refused-counts", "artifact"} & set(names(session))


def test_a_unit_that_is_left_out_makes_no_artifact_and_hides_none():
    session, step = rig("session.left_out=[3]")

    def one_clicks(fields):
        fields.counts[3] = 60

    def others_too(fields):
        discharge(fields)
        fields.counts[3] = 65535

    rows = step(5, one_clicks)
    assert rows["adapting"].all() and "artifact" not in names(session)
    assert not step(1, others_too)["adapting"][0]
    (event,) = [event for event in session.events if event["name"] == "artifact"]
    assert event["counts"] == 39 * 15


def test_what_a_session_seldom_needs_is_compiled_before_it(monkeypatch):
    seldom, asked = ("clean_counts", "take_counts", "restart_units"), set()

    def watched(name, kernel):
        return lambda *arguments: (asked.add(name), kernel(*arguments))[1]

    for name in seldom:
        monkeypatch.setattr(soundness, name, watched(name, getattr(soundness, name)))
    warm_up(configuration.load(None, OVERRIDES[:2]))
    assert asked == set(seldom)


@pytest.mark.parametrize("exploded", ["restart", "freeze"])
def test_a_unit_whose_rate_stays_exploded_learns_again(exploded):
    session, step = rig(f"safety.exploded_units={exploded}")
    session.model.weights[0, 3] = 12.0
    session.adapting = False
    states = step(60)["safety"]
    restarted = exploded == "restart"
    assert (SafetyState(states[-1]) is SafetyState.ACTIVE) == restarted
    assert ("rates-exploded" in names(session)) == restarted
    if restarted:
        (event,) = [event for event in session.events if event["name"] == "rates-exploded"]
        assert event["units"] == [3] and not session.model.weights[1:, 3].any()
        np.testing.assert_allclose(session.model.covariance[:, 3], 0.25 * np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0]))
        session.adapting = True
        step(500)
        assert abs(session.model.weights[0, 3] - np.log(10.0)) > 0.01  # it learns


def test_units_that_a_history_blew_up_learn_again_while_the_output_is_frozen():
    session, step = rig("encoding.regressors=['velocity','history']")
    session.safety.state, session.safety.good = SafetyState.FROZEN, 0
    session.model.weights[-1, 5] = 40.0

    def bursting(fields):
        fields.counts[5] = 1

    step(30, bursting)
    assert {"name": "rates-exploded", "units": [5]} in session.events
    assert SafetyState(step(30)["safety"][-1]) is SafetyState.ACTIVE


def test_in_a_recording_the_same_bins_are_artifacts_and_nothing_is_fitted_to_them(tmp_path):
    path = tmp_path / "pilot.mcap"
    loop = launch.assemble(configuration.load(None, [*OVERRIDES, f"recording.path='{path}'"]), "max")
    asked = loop.source.next_bin

    def next_bin(given, *rest):
        said = asked(given, *rest)
        if loop.session.bins % 400 > 397:
            given.fields.counts[:] = 30
        return said

    loop.source.next_bin = next_bin
    launch.run(loop, 2000)
    steps = Recording(path).steps()
    found = artifact_bins(steps["input"]["counts"].astype(float), 0.02)
    assert found.sum() == 10 and not steps["output"]["adapting"][found].any()
    assert sum(event["name"] == "artifact" for _, event in Recording(path).messages("event")) == 10
    pilot, world = load_pilot(path), read_pilot(path)
    said = "in 10 bins all units fired at once: taken as artifacts and left out"
    assert said in pilot.told and len(pilot.states) == 1990 and pilot.counts.max() < 30
    assert said in world.notes and not world.usable[found].any() and world.counts.max() < 30
    assert Replay(Recording(path)).run()["identical"]


def spoiled(path, spoil, *more, bins=2000):
    """Record a session whose bins are spoiled on their way in."""
    loop = launch.assemble(configuration.load(None, [*OVERRIDES, f"recording.path='{path}'", *more]), "max")
    asked = loop.source.next_bin

    def next_bin(given, *rest):
        said = asked(given, *rest)
        spoil(given.fields, loop.session.bins)
        return said

    loop.source.next_bin = next_bin
    launch.run(loop, bins)
    return path


def clicks(fields, bins):
    fields.counts[3] = 40 if bins % 50 == 0 else fields.counts[3]
    if bins % 400 > 397:
        fields.counts[:] = 30


@pytest.mark.parametrize(
    ("more", "found"),
    [((), 10), (("safety.artifact_sd=0",), 0), (("safety.artifact_sd=1000",), 0), (("session.left_out=[3]",), 10)],
)
def test_pilots_take_the_limit_and_the_units_of_their_session(tmp_path, more, found):
    path = spoiled(tmp_path / "pilot.mcap", clicks, *more)
    assert sum(event["name"] == "artifact" for _, event in Recording(path).messages("event")) == found
    said = f"in {found} bins all units fired at once: taken as artifacts and left out"
    assert (said in load_pilot(path).told) == (said in read_pilot(path).notes) == bool(found)


def test_a_recording_older_than_the_limit_is_judged_by_the_usual_one():
    counts = np.random.default_rng(1).poisson(0.4, (400, 40)).astype(np.uint16)
    counts[300] = 20
    fresh, session = np.ones(400, bool), {"session": {"likelihood": "poisson"}}
    assert np.flatnonzero(recorded_artifacts(counts, 0.02, fresh, session)).tolist() == [300]
    assert not recorded_artifacts(counts.astype(float), 0.02, fresh, session).any()  # features
    counts[:, 5] = MISSING
    assert np.flatnonzero(recorded_artifacts(counts, 0.02, fresh, session)).tolist() == [300]


def test_units_that_are_missing_have_no_spikes(tmp_path):
    """A board that is silent: its units are missing in every bin of the recording, the others are there."""

    def dead(fields, bins):
        fields.counts[30:] = MISSING
        if bins > 1900:
            fields.counts[7] = MISSING

    path = spoiled(tmp_path / "pilot.mcap", dead)
    counts = Recording(path).steps()["input"]["counts"]
    spikes = int(counts[counts != MISSING].sum())
    assert Tally(Recording(path)).spikes == spikes < 100_000
    pilot, world, file = load_pilot(path), read_pilot(path), session_recording(path)
    assert dict(pilot.set_aside) == {str(unit): "missing in more than half of the bins" for unit in range(30, 40)}
    assert len(pilot.states) == 1901 and "in 99 of 2000 bins a unit is missing: left out" in pilot.told
    assert world.usable.sum() == 1900 and world.counts.max() < 60 and not world.counts[:, 30:].any()
    assert any("10 of 40 units are missing in most bins (30, 31" in note for note in world.notes)
    assert file.counts.max() < 60 and "units are missing in 2000 bins: taken as silent there" in file.odd
    assert read_day(path).units == tuple(f"unit {unit}" for unit in range(30))
    assert read_day(path).counts.sum() <= spikes
    played = Player(path).step_message(0, 400)  # as the raster is given it, played back and live
    assert played["counts"].max() < 60 and played["past_counts"].max() < 60 and played["counts"][:30].any()


def test_the_raster_of_a_live_session_has_no_spikes_of_a_silent_board(tmp_path):
    config = configuration.load(None, ["session.units=4", f"telemetry.publish_address=ipc://{tmp_path}/out"])
    telemetry, sent = Telemetry(config, zmq.Context.instance()), []
    telemetry.publisher.send = lambda frames: sent.append(unpack(frames[1]))
    record = StepRecord(*config.layout)
    for number in range(2 * telemetry.every["step"]):
        record.input.counts[:] = 1, MISSING, 2, 0
        telemetry.step(record, number)
    telemetry.close()
    every = telemetry.every["step"]
    assert sent[-1]["counts"].tolist() == [every, 0, 2 * every, 0]


def test_restarted_units_and_no_others():
    rng = np.random.default_rng(2)
    weights, covariance = rng.standard_normal((4, 6)), rng.standard_normal((10, 6))
    before = weights.copy(), covariance.copy()
    restart_units(weights, covariance, np.array([1, 4]), 2.0, 0.25)
    others = [0, 2, 3, 5]
    assert (weights[:, others] == before[0][:, others]).all() and (covariance[:, others] == before[1][:, others]).all()
    assert weights[:, 1].tolist() == [2.0, 0.0, 0.0, 0.0]
    full = np.zeros((4, 4))
    full[np.tril_indices(4)] = covariance[:, 4]
    np.testing.assert_array_equal(full, 0.25 * np.eye(4))


@pytest.mark.parametrize("restarts", [True, False])
def test_filters_at_other_rates_start_such_a_unit_again_and_do_not_bring_it_back(restarts):
    session, step = rig("adapter.rate_search=true", f"adapter.search_restarts={str(restarts).lower()}")
    search = session.adaptation.search
    session.model.weights[0, 3] = search.weights[:, 0, 3] = 12.0
    session.adapting = False
    step(60)
    assert (search.weights[:, :, 3] == session.model.weights[:, 3]).all() == restarts
    assert (search.earlier.snapshot()["kept"][:, 0, 3] == np.log(10.0)).all() == restarts
    session.adapting = True
    step(600)
    assert session.model.weights[0, 3] < 6.0
    assert not configuration.as_recorded({})["adapter"]["search_restarts"]


def test_a_filter_at_another_rate_that_lost_its_numbers_is_judged_again():
    session, step = rig("adapter.rate_search=true")
    search = session.adaptation.search
    search.weights[2, 1, 5] = np.nan
    step(100)
    assert np.isfinite(search.weights).all() and np.isfinite(search.choice.scores).all()
    assert np.isfinite(search.earlier.snapshot()["kept"]).all() and search.choice.scores.any()


@pytest.mark.parametrize("after_s", [3.0, 0.0])
def test_sound_units_that_explode_at_a_wild_velocity_are_left_as_they_are(after_s):
    """A burst of many units decodes a velocity at which the strongest explode for half a second."""
    session, step = rig(f"safety.exploded_after_s={after_s}", "safety.artifact_sd=0")
    before = session.model.weights.copy()
    strong = np.argsort(-session.model.weights[1])[:6]

    def burst(fields):
        fields.counts[strong] = 60

    session.adapting = False
    step(6, burst)
    states = step(120)["safety"]
    assert "degraded" in {event.get("to") for event in session.events}, "rates exploded"
    assert ("rates-exploded" in names(session)) == (after_s == 0.0), "as in recordings made before"
    assert np.array_equal(session.model.weights, before) == (after_s > 0.0)
    assert SafetyState(states[-1]) is SafetyState.ACTIVE


def discharged(kind, rule):
    """Return how many targets are reached in a minute with a discharge of 60 ms every 10 s."""
    features = ("session.likelihood=gaussian", "decoder.kind=kalman", "session.bin_s=0.02")
    settings = (f"safety.artifact_rule={rule}", "task.kind=random-target", *(features if kind == "features" else ()))
    loop = launch.assemble(configuration.load(None, ["telemetry.enabled=false", *settings]), "max")
    asked, bin_s = loop.source.next_bin, loop.session.config.bin_s

    def next_bin(given, *rest):
        said, now_s = asked(given, *rest), loop.session.bins * bin_s
        if now_s > 15.0 and now_s % 10.0 < 0.06:
            given.fields.counts[:] = given.fields.counts + 200.0 if kind == "features" else 50
        if kind == "half a dead array":
            given.fields.counts[: given.fields.counts.size // 2] = MISSING
        return said

    loop.source.next_bin = next_bin
    launch.run(loop, round(60.0 / bin_s))
    return loop.session.task.successes


@pytest.mark.parametrize("kind", ["half a dead array", "features"])
def test_targets_are_reached_between_discharges(kind):
    assert discharged(kind, "present") > 1.2 * discharged(kind, "whole")


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_what_is_far_for_a_feature_that_never_moved_does_not_depend_on_its_unit(size):
    limits = np.array([10.0, 3.0, 0.01, 20.0, 25.0])
    lately, usual, none = np.zeros(4), np.zeros((4, 5)), np.empty(0, np.int64)
    for _ in range(30):
        values, valid = np.full(5, size), np.ones(5)
        assert feature_artifact(values, valid, none, limits, lately, usual) == 0
    values, valid = np.full(5, size), np.ones(5)
    values[2] = 50.0 * size
    assert feature_artifact(values, valid, none, limits, lately, usual) == 1
    assert valid.tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]
