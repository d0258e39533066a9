"""The recurrent decoder: trained, streamed, missing units, files, determinism."""

import dataclasses

import numpy as np
import pytest

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding.batch_decoder import Training, decode_all
from bmi_runtime.decoding.fitted_file import load_fitted, save_fitted
from bmi_runtime.decoding.network_training import Member, Recipe
from bmi_runtime.decoding.recurrent import RecurrentDecoder
from bmi_runtime.decoding.recurrent_data import known_samples, scales_of, sequences_of, summed_counts
from bmi_runtime.decoding.recurrent_training import LARGEST_SHARE, run_member
from bmi_runtime.decoding.shares import best_share, mixed
from bmi_runtime.decoding.wiener import RidgeDecoder

SMALL = Recipe(
    entry=24, hidden=24, members=2, batch=32, window_s=1.0, fewest_steps=12, epochs=20, fewest_updates=150,
    most_updates=150,
)  # fmt: skip


def recorded(bins=3000, units=25, bin_s=0.05, seed=0, width=4):
    """Make smooth movement and units that are tuned to it by a sine, 100 ms ahead."""
    rng = np.random.default_rng(seed)
    axes = width // 2
    velocity = np.zeros((bins, axes))
    drive = np.zeros(axes)
    for t in range(1, bins):
        drive = 0.9 * drive + 0.44 * rng.standard_normal(axes)
        velocity[t] = 0.7 * velocity[t - 1] + 0.3 * drive
    velocity /= velocity.std()
    lead = max(1, round(0.1 / bin_s))
    ahead = np.roll(velocity, -lead, axis=0)
    tuning = 2.0 * rng.standard_normal((axes, units))
    rate = 20.0 * (1.0 + np.sin(ahead @ tuning + rng.uniform(0.0, 2.0 * np.pi, units)))
    counts = rng.poisson(rate * bin_s).astype(float)
    starts = np.zeros(bins, bool)
    starts[0] = True
    kinematics = np.full((bins, width), np.nan)
    kinematics[:, axes:] = 0.1 * velocity
    return Training(counts, kinematics, starts, starts.copy(), bin_s)


def velocity_r2(data, states):
    half = data.kinematics.shape[1] // 2
    return np.mean(r2(data.kinematics[:, half:], states[:, half:]))


@pytest.fixture(scope="module")
def trained():
    data = recorded()
    learned, test = data.part(slice(0, 2400)), data.part(slice(2400, None))
    return learned, test, RecurrentDecoder.fit(learned, SMALL, seed=5)


def test_it_decodes_what_a_linear_decoder_cannot(trained):
    learned, test, decoder = trained
    ridge = velocity_r2(test, decode_all(RidgeDecoder.fit(learned), test))
    assert velocity_r2(test, decode_all(decoder, test)) > ridge + 0.03
    assert decoder.validation.first == 1920 and abs(decoder.validation.r2 - ridge) < 0.3


def test_the_same_seed_gives_the_same_bits_and_another_does_not(trained):
    learned, _, decoder = trained
    again, other = RecurrentDecoder.fit(learned, SMALL, seed=5), RecurrentDecoder.fit(learned, SMALL, seed=6)
    for name, value in decoder.parameters().items():
        np.testing.assert_array_equal(value, again.parameters()[name])
    assert not np.array_equal(decoder.recur, other.recur)


def test_a_file_gives_the_same_decoder(trained, tmp_path):
    learned, test, decoder = trained
    save_fitted(tmp_path / "net.npz", "recurrent", decoder, learned, 1.0, "a test")
    loaded = load_fitted(tmp_path / "net.npz").suited(25, 0.05)
    np.testing.assert_array_equal(decode_all(loaded, test), decode_all(decoder, test))


def test_a_snapshot_goes_on_to_the_bit(trained):
    _, test, decoder = trained
    decoder.reset()
    for counts in test.counts[:50]:
        decoder.predict(counts)
    kept = decoder.snapshot()
    expected = [decoder.predict(counts) for counts in test.counts[50:80]]
    decoder.reset()
    decoder.restore(kept)
    np.testing.assert_array_equal([decoder.predict(counts) for counts in test.counts[50:80]], expected)


def test_missing_units_cost_little_and_are_not_read(trained):
    _, test, decoder = trained
    valid = np.ones(25)
    valid[::6] = 0.0
    decoder.reset()
    spoiled = np.where(valid > 0, test.counts, 1e9)
    states = np.array([decoder.predict(counts, valid) for counts in spoiled])
    whole = velocity_r2(test, decode_all(decoder, test))
    assert velocity_r2(test, states) > whole - 0.15
    decoder.reset()
    np.testing.assert_array_equal([decoder.predict(counts, valid) for counts in test.counts], states)


def test_narrow_bins_run_in_interleaved_chains_that_are_the_batch_network():
    data = recorded(bins=600, bin_s=0.02)
    data.restart[300] = data.trial_start[300] = True
    recipe = dataclasses.replace(SMALL, members=1, fewest_updates=3, most_updates=3)
    decoder = RecurrentDecoder.fit(data, recipe)
    scales = scales_of(data)
    assert decoder.stride == scales.stride == 2
    from bmi_runtime.decoding.gru_network import Shape

    flat = np.concatenate([getattr(decoder, name).ravel() for name in RecurrentDecoder.ARRAYS])
    member = Member(Shape(scales.inputs, 24, 24, 2), flat, np.zeros(1))
    outputs, _ = run_member(member, sequences_of(data, scales, 1.0), scales.stride)
    expected = scales.centre + scales.spread * outputs
    np.testing.assert_allclose(decode_all(decoder, data)[:, 2:], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [2, 6, 16])
def test_one_to_eight_axes(width):
    data = recorded(bins=400, width=width)
    decoder = RecurrentDecoder.fit(data, dataclasses.replace(SMALL, members=1, fewest_updates=20, most_updates=20))
    states = decode_all(decoder, data)
    assert states.shape == (400, width) and np.isfinite(states[:, width // 2 :]).all()
    assert np.isnan(states[:, : width // 2]).all() and len(decoder.variance) == width


@pytest.mark.parametrize("bins", [300, 1280, 8000])
def test_an_update_sees_no_more_sequences_than_a_short_recording_has(bins):
    """More of them say the same again, and take their time."""
    training = recorded(bins)
    scales = scales_of(training)
    data, recipe = sequences_of(training, scales, 0.3), Recipe()
    network = RecurrentDecoder.network_of(scales, recipe, 0.05)
    sampler = RecurrentDecoder.sampler_of(network, data, scales, recipe, 0.05)
    drawn = sampler.draw(np.random.default_rng(0)).target.shape[1]
    there = bins / (scales.stride * sampler.steps)
    assert drawn == min(64, max(round(LARGEST_SHARE * there), 8)) and drawn <= max(there, 8)


def test_unknown_and_absurd_samples_are_not_learned_from():
    data = recorded(bins=500)
    data.kinematics[100:150] = np.nan
    data.kinematics[200, 2] = 1e6
    known = known_samples(data.kinematics[:, 2:])
    assert not known[100:150].any() and not known[200, 0] and known[200, 1] and known.sum() == 2 * 450 - 1
    assert scales_of(data).spread[0] < 1.0
    decoder = RecurrentDecoder.fit(data, dataclasses.replace(SMALL, members=1, fewest_updates=20, most_updates=20))
    assert np.abs(decode_all(decoder, data)[:, 2:]).max() < 10.0


def test_a_silent_unit_that_fires_later_changes_nothing():
    data = recorded(bins=400)
    data.counts[:, 3] = 0.0
    decoder = RecurrentDecoder.fit(data, dataclasses.replace(SMALL, members=1, fewest_updates=5, most_updates=5))
    later = data.counts.copy()
    later[:, 3] = 50.0
    np.testing.assert_array_equal(
        decode_all(decoder, data), decode_all(decoder, dataclasses.replace(data, counts=later))
    )


def test_counts_are_summed_within_a_run_only():
    counts = np.arange(6.0)[:, None]
    restart = np.array([True, False, False, True, False, False])
    np.testing.assert_array_equal(summed_counts(counts, restart, 2, np.array([10.0]))[:, 0], [10, 1, 3, 13, 7, 9])


def test_marks_of_trials_are_an_input_when_there_are_enough():
    data = recorded(bins=600)
    assert not scales_of(data).marks_trials
    data.trial_start[50::40] = True
    decoder = RecurrentDecoder.fit(data, dataclasses.replace(SMALL, members=1, fewest_updates=60, most_updates=60))
    assert decoder.marks_trials == 1
    decoder.reset()
    decoder.predict(data.counts[0])
    kept = decoder.snapshot()
    unmarked = decoder.predict(data.counts[1])
    decoder.restore(kept)
    decoder.on_done()
    assert not np.array_equal(decoder.predict(data.counts[1]), unmarked, equal_nan=True)


def test_the_best_share_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((500, 3))
    first, second = truth + rng.standard_normal((500, 3)), truth + 0.5 * rng.standard_normal((500, 3))
    second[:, 2] = np.nan
    truth[::7, 0] = np.nan
    share = best_share(truth, first, second)
    for column in (0, 1):
        errors = [np.nanmean((mixed(first, second, np.full(3, s)) - truth)[:, column] ** 2) for s in (0, 0.5, 1)]
        best = np.nanmean((mixed(first, second, share) - truth)[:, column] ** 2)
        assert best < min(errors) and 0.6 < share[column] < 0.95
    assert share[2] == 0.0
    np.testing.assert_array_equal(mixed(first, second, share)[:, 2], first[:, 2])


def test_a_share_is_that_of_the_averages_that_will_be_mixed():
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((20_000, 1))
    other = truth + 0.5 * rng.standard_normal(truth.shape)
    common, own = 0.3 * rng.standard_normal(truth.shape), 0.5 * rng.standard_normal((4, *truth.shape))
    one, average = truth + common + own[0], truth + common + own.mean(axis=0)
    wanted = best_share(truth, other, average)
    assert best_share(truth, other, one)[0] < wanted[0] - 0.1
    np.testing.assert_allclose(best_share(truth, other, one, 0.0, 0.25 * (1.0 - 1.0 / 4.0)), wanted, atol=0.02)
    np.testing.assert_allclose(best_share(truth, one, other, 0.25 * (1.0 - 1.0 / 4.0)), 1.0 - wanted, atol=0.02)


def test_teaching_never_uses_what_a_loop_could_not_yet_know(trained):
    from bmi_runtime.decoding.combined import CombinedDecoder
    from bmi_runtime.decoding.history import HistoryDecoder
    from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config
    from bmi_runtime.sources.from_arrays import recording_from_arrays
    from bmi_runtime.sources.replayed_file import shown_kinematics

    data = recorded(bins=1000)
    small = dataclasses.replace(SMALL, members=1, fewest_updates=60, most_updates=60)
    recording = recording_from_arrays("sine", data.counts, 0.05, data.kinematics[:, 2:])

    def taught(changed=None):
        kinematics = recording.kinematics.copy()
        if changed is not None:
            kinematics[changed, 2:] += 10.0
        decoder = CombinedDecoder(HistoryDecoder(25, 0.05, False), 0.05, small, short_recipe=small)
        session = OpenLoopSession(
            open_loop_config(recording), decoder, recording.trial_start, recording.restart, 800, teach_delay=20
        )
        shown, nothing = shown_kinematics(kinematics, 800, 20), np.full(4, np.nan)
        for index, counts in enumerate(recording.counts):
            known = shown(index)
            session.advance(counts, nothing if known is None else known)
            if index == 800:
                decoder.readout.use(1e-4)
        return np.array(decoder.answers["taught"])[800:], session.states[800:]

    plain, frozen = taught()
    other, same = taught(850)
    np.testing.assert_array_equal(frozen, same)
    differs = np.abs(plain - other)[:, 2:].max(axis=1) > 0
    assert not differs[: 850 + 20 - 800 + 1].any() and differs[850 + 20 - 800 + 1 :].all()


def test_a_long_recording_is_run_in_parts_with_the_same_states(monkeypatch):
    from bmi_runtime.decoding import recurrent_training
    from bmi_runtime.decoding.gru_network import Shape
    from bmi_runtime.decoding.network_parameters import initial_parameters
    from bmi_runtime.decoding.network_training import Member
    from bmi_runtime.decoding.recurrent_data import scales_of, sequences_of

    data = recorded(bins=700)
    scales = scales_of(data)
    network = Shape(scales.inputs, 12, 10, len(scales.columns))
    member = Member(network, initial_parameters(network, np.random.default_rng(0)), np.zeros(1))
    sequences = sequences_of(data, scales, 0.3)
    whole = recurrent_training.run_member(member, sequences, scales.stride)
    monkeypatch.setattr(recurrent_training, "STEPS_AT_ONCE", 64)
    for one, other in zip(whole, recurrent_training.run_member(member, sequences, scales.stride), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
