"""The joined decoder and the short-history network: fitted, live, adapting, replayed."""

import dataclasses

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding import joined_fit
from bmi_runtime.decoding.batch_decoder import Training, decode_all
from bmi_runtime.decoding.closed_loop_decoder import ClosedLoopDecoder
from bmi_runtime.decoding.fitted_file import load_fitted, save_fitted
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.joined_fit import own_past
from bmi_runtime.decoding.network_kinds import trained
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.decoding.network_training import Recipe
from bmi_runtime.decoding.shares import best_share
from bmi_runtime.decoding.short_history import ShortHistoryDecoder
from bmi_runtime.decoding.wiener import RidgeDecoder
from bmi_runtime.encoding.regressors import History
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.replay import Replay

SMALL = Recipe(entry=24, hidden=16, members=2, window_s=0.3, fewest_steps=12, epochs=40, fewest_updates=250,
               most_updates=250, rate=5e-3, drop=0.1, unit_drop=0.1)  # fmt: skip
BRIEF = dataclasses.replace(SMALL, members=1, fewest_updates=40, most_updates=40)


def recorded(bins=3000, units=25, bin_s=0.05, seed=0, axes=2):
    """Make smooth movement, and units tuned to it by a sine, as no linear decoder can read them."""
    rng = np.random.default_rng(seed)
    velocity = np.zeros((bins, axes))
    for t in range(1, bins):
        velocity[t] = 0.9 * velocity[t - 1] + 0.4 * rng.standard_normal(axes)
    velocity /= velocity.std()
    tuning = 1.6 * rng.standard_normal((axes, units))
    rate = 20.0 * (1.0 + np.sin(velocity @ tuning + rng.uniform(0.0, 2.0 * np.pi, units)))
    starts = np.zeros(bins, bool)
    starts[0] = True
    kinematics = np.hstack([np.full((bins, axes), np.nan), 0.1 * velocity])
    return Training(rng.poisson(rate * bin_s).astype(float), kinematics, starts, starts.copy(), bin_s)


def velocity_r2(data, states):
    return np.mean(r2(data.velocity, states[:, data.n_axes :]))


@pytest.fixture(scope="module")
def fitted():
    data = recorded()
    learned, test = data.part(slice(0, 2400)), data.part(slice(2400, None))
    return learned, test, JoinedDecoder.fit(learned, SMALL, seed=5, short_recipe=SMALL)


def test_both_decode_what_a_linear_decoder_cannot(fitted):
    learned, test, joined = fitted
    ridge = velocity_r2(test, decode_all(RidgeDecoder.fit(learned), test))
    alone = velocity_r2(test, decode_all(joined.network, test))
    assert alone > ridge + 0.03 and velocity_r2(test, decode_all(joined, test)) > alone - 0.02


def test_on_a_recording_no_part_is_better_where_the_parts_were_weighed(fitted):
    learned, test, joined = fitted
    networks = joined.network
    assert isinstance(networks, NetworkMixture) and (networks.share[2:] > 0.0).any()
    decoders = (joined, networks.recurrent, networks.short_history)
    whole, *parts = (velocity_r2(test, decode_all(decoder, test)) for decoder in decoders)
    assert whole > max(parts) - 0.01
    mixture = NetworkMixture.fit(learned, BRIEF, short_recipe=BRIEF)
    first = mixture.validation.first
    last, n = learned.part(slice(first, None)), learned.n_axes
    states = [part.validation.states for part in (mixture.recurrent, mixture.short_history)]
    found, seconds = best_share(last.kinematics, *states), len(last.counts) * learned.bin_s
    np.testing.assert_allclose(mixture.share, (seconds * found + 60.0 / 3.0) / (seconds + 60.0))  # one member each
    errors = [((said - last.kinematics)[:, n:] ** 2).mean() for said in (*states, mixture.validation.states)]
    assert errors[2] < max(errors[:2])


def test_in_a_loop_nothing_remembers_its_training():
    data = recorded(bins=400)
    assert isinstance(trained("joined", data, BRIEF, for_loop=True).network, ShortHistoryDecoder)
    assert isinstance(trained("joined", data, BRIEF, for_loop=True, in_m_s=False).network, ShortHistoryDecoder)


def test_a_file_is_the_decoder_and_a_snapshot_goes_on_to_the_bit(fitted, tmp_path):
    learned, test, joined = fitted
    joined.reset()
    save_fitted(tmp_path / "net.npz", "joined", joined, learned, 1.0, "a test")
    loaded = load_fitted(tmp_path / "net.npz").suited(25, 0.05)

    def run(decoder, first, stop):
        said = []
        for counts, velocity in zip(test.counts[first:stop], test.velocity[first:stop], strict=True):
            said.append(decoder.predict(counts))
            decoder.adapt(counts, velocity, 1e-5)
        return np.array(said)

    fresh = JoinedDecoder.from_parameters(joined.parameters())
    np.testing.assert_array_equal(run(loaded, 0, 60), run(fresh, 0, 60))
    kept = loaded.snapshot()
    expected = run(loaded, 60, 90)
    other = JoinedDecoder.from_parameters(joined.parameters())
    other.restore(kept)
    np.testing.assert_array_equal(run(other, 60, 90), expected)
    assert not np.array_equal(other.weights, joined.weights)


OWN = np.array([-1.0, 0.1, -0.05])  # log rate per spike of the unit's own past: refractory, bursting, tiring


def with_a_past(bins=4000, units=8, bin_s=0.02, seed=4):
    """Make units that depend on the velocity and on their own past; return the velocity's weights too."""
    rng = np.random.default_rng(seed)
    data = recorded(bins=bins, units=units, bin_s=bin_s, seed=seed)
    tuning = 0.4 * rng.standard_normal((2, units))
    kinds = joined_fit.loop_regressors(2, bin_s)
    counts, past = np.zeros((bins, units)), History(kinds, units, bin_s)
    for t, velocity in enumerate(10.0 * data.velocity):
        counts[t] = rng.poisson(np.exp(-1.0 + velocity @ tuning + OWN @ past.traces))
        past.take(counts[t])
    return dataclasses.replace(data, counts=counts), tuning


def test_in_a_loop_units_are_fitted_with_their_own_past_and_narrow_constants_need_narrow_bins():
    data, tuning = with_a_past()
    kinds, meant = joined_fit.loop_regressors(2, 0.02), 10.0 * data.velocity
    assert kinds.history_s == joined_fit.OWN_PAST_S
    model = joined_fit.tuned_model(
        data.counts, meant, own_past(data.counts, data.restart, kinds, 0.02), True, 0.02, kinds
    )
    true = np.vstack([np.full(8, -1.0 - np.log(0.02)), tuning, np.tile(OWN[:, None], 8)])
    sd = np.sqrt(model.dense_covariance()[:, range(6), range(6)].T)
    assert np.abs((model.weights - true) / sd).max() < 4.5  # of 48
    assert sd[3:].max() < 0.5
    assert joined_fit.loop_regressors(2, 0.2).history_s == (0.1, 0.3)
    assert joined_fit.loop_regressors(2, 1.0).names == ("velocity",)


def test_the_past_of_units_is_in_files_and_snapshots_and_a_file_of_before_has_none(tmp_path):
    data = with_a_past(bins=900, units=20)[0]
    joined = trained("joined", data, BRIEF, for_loop=True)
    save_fitted(tmp_path / "net.npz", "joined", joined, data, 1.0, "a test")
    loaded = load_fitted(tmp_path / "net.npz").suited(20, 0.02)
    valid = np.ones(20)
    valid[3] = 0.0

    def run(decoder, first, stop):
        said = []
        for counts, velocity in zip(data.counts[first:stop], data.velocity[first:stop], strict=True):
            said.append(decoder.predict(counts, valid))
            decoder.adapt(counts, velocity, 1e-5, valid)
        return np.array(said)

    fresh = JoinedDecoder.from_parameters(joined.parameters())
    np.testing.assert_array_equal(run(loaded, 0, 60), run(fresh, 0, 60))
    expected_trace = own_past(data.counts * valid, data.restart, loaded.model.regressors, 0.02)[59]
    np.testing.assert_allclose(loaded.history.traces, expected_trace, rtol=1e-12)
    other = JoinedDecoder.from_parameters(joined.parameters())
    other.restore(loaded.snapshot())
    np.testing.assert_array_equal(run(other, 60, 90), run(loaded, 60, 90))
    loaded.reset()
    assert not loaded.history.traces.any()

    before = joined.parameters()
    del before["unit_history_s"], before["filter_constant_s"]
    before["unit_weights"], before["unit_covariance"] = before["unit_weights"][:3], before["unit_covariance"][:6]
    older = JoinedDecoder.from_parameters(before)
    assert older.model.regressors.names == ("velocity",) and older.units.keep == np.exp(-0.02 / 0.12)
    assert np.isfinite(run(older, 0, 5)[:, 2:]).all() and "past" not in older.snapshot()


def test_in_bins_without_data_time_goes_on_but_not_for_files_of_before():
    data = with_a_past(bins=900, units=20)[0]
    joined = trained("joined", data, BRIEF, for_loop=True)
    before = joined.parameters()
    del before["coasts"]
    now, older = ClosedLoopDecoder(joined), ClosedLoopDecoder(JoinedDecoder.from_parameters(before))
    for decoder in (now, older):
        for counts in data.counts[:40]:
            decoder.predict(counts)
        decoder.velocity = decoder.state[2:].copy()
        decoder.past = decoder.decoder.history.traces.copy()
        for _ in range(50):
            decoder.coast()
    np.testing.assert_array_equal(now.velocity, older.velocity)
    np.testing.assert_array_equal(older.state[2:], older.velocity)
    np.testing.assert_array_equal(older.decoder.history.traces, older.past)
    assert np.linalg.norm(now.state[2:]) < 0.2 * np.linalg.norm(now.velocity)
    gone = np.vstack([data.counts[:40], np.zeros((50, 20))])
    restart = np.zeros(90, bool)
    expected = own_past(gone, restart, joined.model.regressors, 0.02)[-1]
    np.testing.assert_allclose(now.decoder.history.traces, expected, rtol=1e-12)


@pytest.mark.parametrize("for_loop", [False, True])
def test_an_axis_that_rests_is_decoded_as_at_rest_and_costs_the_other_nothing(for_loop):
    data = recorded(bins=2000)
    still = data.kinematics.copy()
    at = still[:, 3] = 0.0 if for_loop else 0.02
    learned = dataclasses.replace(data, kinematics=still)
    alone = data.of_axes(np.array([0]))
    train, test = slice(0, 1600), slice(1600, None)
    for kind in ("short-history", "joined"):
        more = {} if for_loop or kind == "short-history" else {"short_recipe": BRIEF}
        given = {"unit": 0.1} if for_loop and kind == "joined" else {}
        made = {"joined": JoinedDecoder, "short-history": ShortHistoryDecoder}[kind]
        decoder = made.fit(learned.part(train), BRIEF, **more, **given)
        states = decode_all(decoder, learned.part(test))
        np.testing.assert_allclose(states[:, 3], at, atol=1e-6)
        one = decode_all(made.fit(alone.part(train), BRIEF, **more, **given), alone.part(test))
        true = data.velocity[test, 0]
        both = (np.corrcoef(true, found)[0, 1] for found in (states[:, 2], one[:, 1]))
        assert next(both) > next(both) - 0.05
        assert np.isfinite(decoder.validation.r2) and np.isnan(decoder.validation.r2_velocity[1])


def test_missing_units_are_not_read(fitted):
    _, test, joined = fitted
    valid = np.ones(25)
    valid[::6] = 0.0
    said = []
    for spoiled in (0.0, 1e9):
        joined.reset()
        said.append([joined.predict(np.where(valid > 0, counts, spoiled), valid) for counts in test.counts])
    np.testing.assert_array_equal(*said)
    assert velocity_r2(test, np.array(said[0])) > 0.4


def test_it_follows_units_that_turn_and_a_frozen_one_does_not():
    rng = np.random.default_rng(2)
    data = recorded(bins=2000, seed=3)
    preferred = rng.standard_normal((2, 25))
    turned = np.array([[0.0, -1.0], [1.0, 0.0]]) @ preferred
    velocity = 10.0 * data.velocity

    def counts_of(tuning, velocity):
        return rng.poisson(np.exp(0.5 + 0.5 * velocity @ tuning)).astype(float)

    before = dataclasses.replace(data, counts=counts_of(preferred, velocity))
    joined = JoinedDecoder.fit(before, BRIEF, unit=0.1)
    after = counts_of(turned, velocity)
    frozen = decode_all(JoinedDecoder.from_parameters(joined.parameters()), dataclasses.replace(data, counts=after))
    said = []
    for counts, meant in zip(after, data.velocity, strict=True):
        said.append(joined.predict(counts))
        joined.adapt(counts, meant, 1e-4)
    late = data.part(slice(1400, None))
    assert velocity_r2(late, frozen[1400:]) < 0.0 < 0.6 < velocity_r2(late, np.array(said)[1400:])


def test_a_velocity_that_is_not_known_teaches_nothing(fitted):
    _, test, joined = fitted
    joined.predict(test.counts[0])
    before = joined.snapshot()
    joined.adapt(test.counts[0], np.array([np.nan, 0.1]), 1e-3)
    np.testing.assert_array_equal(joined.weights, before["weights"])
    np.testing.assert_array_equal(joined.model.weights, before["model"]["weights"])


@pytest.mark.parametrize("axes", [1, 3, 8])
def test_any_number_of_axes(axes):
    data = recorded(bins=500, axes=axes)
    joined = JoinedDecoder.fit(data, BRIEF, short_recipe=BRIEF)
    states = decode_all(joined, data)
    assert states.shape == (500, 2 * axes) and np.isfinite(states[:, axes:]).all() and len(joined.variance) == 2 * axes


def test_features_that_are_no_counts_have_gaussian_units():
    data = recorded(bins=800)
    rng = np.random.default_rng(0)
    features = 10.0 * data.velocity @ rng.standard_normal((2, 25)) + rng.standard_normal((800, 25))
    data = dataclasses.replace(data, counts=features)
    joined = JoinedDecoder.fit(data, BRIEF, short_recipe=BRIEF)
    assert joined.model.likelihood == "gaussian" and velocity_r2(data, decode_all(joined, data)) > 0.8


def test_a_network_for_a_loop_does_not_answer_with_too_small_velocities():
    data = recorded()
    shrunk, whole = (trained("short-history", data, BRIEF, 1, for_loop=loop) for loop in (False, True))
    n, part = 2, slice(shrunk.validation.first, None)

    def slope(decoder):
        said = decode_all(decoder, data)[part, n:]
        true = data.velocity[part]
        return (said * true).sum() / (true * true).sum()

    assert slope(shrunk) < 0.9 and slope(whole) > slope(shrunk) + 0.1
    assert isinstance(whole, ShortHistoryDecoder)


def test_narrow_bins_and_restarts_are_the_batch_network():
    from bmi_runtime.decoding.network_training import Member
    from bmi_runtime.decoding.recurrent_data import scales_of, sequences_of

    data = recorded(bins=600, bin_s=0.02)
    data.restart[300] = data.trial_start[300] = True
    decoder = ShortHistoryDecoder.fit(data, BRIEF)
    scales = scales_of(data)
    shape = ShortHistoryDecoder.network_of(scales, BRIEF, 0.04)
    flat = np.concatenate([getattr(decoder, name).ravel() for name in ShortHistoryDecoder.ARRAYS])
    outputs, _ = ShortHistoryDecoder.run(Member(shape, flat, np.zeros(1)), sequences_of(data, scales, 1.0), 2)
    expected = scales.centre + scales.spread * outputs
    np.testing.assert_allclose(decode_all(decoder, data)[:, 2:], expected, rtol=1e-4, atol=1e-5)


WORLD = ["session.units=12", "session.bin_s=0.05"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined")
    path = folder / "calibration.mcap"
    loop = launch.assemble(configuration.load(None, [*WORLD, "task.assist=1.0", f"recording.path='{path}'"]), "max")
    launch.run(loop, 900)
    from bmi_runtime.session.learner import Learner

    learner = Learner(path, "", "joined")
    training = learner.training()
    file = folder / "joined.npz"
    save_fitted(file, "joined", trained("joined", training, BRIEF, for_loop=True), training, 1.0, "a test")
    return folder, file


def test_it_drives_a_session_learns_in_it_and_replays_to_the_bit(calibrated):
    folder, file = calibrated
    path = folder / "live.mcap"
    chosen = ["decoder.kind=joined", f"decoder.fitted_file='{file}'"]
    loop = launch.assemble(configuration.load(None, [*WORLD, *chosen, f"recording.path='{path}'"]), "max")
    decoder = loop.session.decoder.decoder.decoder
    before, unit = decoder.weights.copy(), decoder.model.weights.copy()
    assert decoder.precision == joined_fit.LOOP_SD_DM_S**-2 and decoder.unit == 0.1
    launch.run(loop, 600)
    assert loop.session.task.successes >= 10
    assert not np.array_equal(decoder.weights, before) and not np.array_equal(decoder.model.weights, unit)
    assert Replay(Recording(path)).run()["identical"]


def test_a_session_that_loses_bins_replays_to_the_bit(calibrated):
    folder, file = calibrated
    path = folder / "lossy.mcap"
    chosen = ["decoder.kind=joined", f"decoder.fitted_file='{file}'", f"recording.path='{path}'"]
    loop = launch.assemble(configuration.load(None, [*WORLD, *chosen]), "max")
    source, bins = loop.source, iter(range(10_000))
    given = source.next_bin

    def lossy(bin_, *rest):
        answer = given(bin_, *rest)
        bin_.fields.stale[0] = int(next(bins) % 20 in (7, 8))
        return answer

    source.next_bin = lossy
    launch.run(loop, 400)
    assert loop.session.task.successes >= 5
    assert Replay(Recording(path)).run(verify=True)["identical"]


def test_frozen_or_not_adapting_it_does_not_learn(calibrated):
    _, file = calibrated
    chosen = ["decoder.kind=joined", f"decoder.fitted_file='{file}'", "adapter.enabled=false"]
    loop = launch.assemble(configuration.load(None, [*WORLD, *chosen, "recording.enabled=false"]), "max")
    decoder = loop.session.decoder.decoder.decoder
    before = decoder.weights.copy()
    launch.run(loop, 60)
    np.testing.assert_array_equal(decoder.weights, before)


def test_another_kind_of_file_is_refused(calibrated, tmp_path):
    data = recorded(bins=300, units=12)
    save_fitted(tmp_path / "ridge.npz", "ridge", RidgeDecoder.fit(data), data, 1.0, "a test")
    chosen = ["decoder.kind=joined", f"decoder.fitted_file='{tmp_path / 'ridge.npz'}'"]
    with pytest.raises(BadInput, match="holds the decoder 'ridge'"):
        launch.assemble(configuration.load(None, [*WORLD, *chosen, "recording.enabled=false"]), "max")
