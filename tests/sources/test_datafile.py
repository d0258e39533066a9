"""Reading recordings: layouts, pairs of files, and one clear sentence for whatever cannot be decoded."""

import numpy as np
import pytest
import scipy.io

from bmi_runtime.cli.decode import _of_given_axes
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording, recording_from_arrays

RNG = np.random.default_rng(1)
COUNTS = RNG.poisson(2.0, (60, 5))
VELOCITY = RNG.normal(size=(60, 2))
POSITION = np.cumsum(VELOCITY, axis=0) * 0.05


def saved(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_npz_comes_back(tmp_path):
    path = saved(
        tmp_path, counts=COUNTS, bin_s=0.05, velocity=VELOCITY, position=POSITION, trial_start=np.array([0, 30])
    )
    recording = load_recording(path)
    np.testing.assert_array_equal(recording.counts, COUNTS)
    np.testing.assert_array_equal(recording.kinematics, np.hstack([POSITION, VELOCITY]))
    assert np.flatnonzero(recording.trial_start).tolist() == [0, 30]
    assert recording.split(0.8) == 48


@pytest.mark.parametrize(("value", "why"), [(np.nan, "has no value"), (0.3, "never changes")])
def test_an_axis_in_which_nothing_moves_is_left_out_and_the_others_are_decoded(tmp_path, value, why):
    still = np.column_stack([VELOCITY[:, 0], np.full(60, value), VELOCITY[:, 1]])
    recording = load_recording(saved(tmp_path, counts=COUNTS, bin_s=0.05, velocity=still))
    np.testing.assert_array_equal(recording.velocity, VELOCITY)
    assert (recording.axes, recording.given_axes) == (("x", "z"), ("x", "y", "z"))
    assert recording.odd == (f"the velocity {why} in y: left out",)
    report = _of_given_axes({"r2_velocity": [0.5, 0.7], "decoders": {"ridge": {"r2_position": [1.0, 2.0]}}}, recording)
    assert report["r2_velocity"] == [0.5, None, 0.7] and report["axes"] == ["x", "y", "z"]
    assert report["decoders"]["ridge"]["r2_position"] == [1.0, None, 2.0]
    position = load_recording(saved(tmp_path, counts=COUNTS, bin_s=0.05, position=still))
    assert position.axes == ("x", "z") and position.odd == (f"the position {why} in y: left out",)


def test_where_no_axis_moves_none_is_left_out(tmp_path):
    recording = load_recording(saved(tmp_path, counts=COUNTS, bin_s=0.05, velocity=np.zeros((60, 2))))
    assert recording.axes == recording.given_axes == ("x", "y") and not recording.odd


def test_missing_velocity_is_the_backward_difference_within_a_trial(tmp_path):
    position = POSITION.copy()
    position[30:] += 5.0
    recording = load_recording(saved(tmp_path, counts=COUNTS, bin_s=0.05, position=position, trial_start=[30]))
    np.testing.assert_allclose(recording.velocity[1:30], VELOCITY[1:30], atol=1e-12)
    np.testing.assert_allclose(recording.velocity[31:], VELOCITY[31:], atol=1e-12)
    np.testing.assert_allclose(recording.velocity[30], VELOCITY[31], atol=1e-12)


def test_centre_out_layout(tmp_path):
    path = tmp_path / "reach.mat"
    three = np.column_stack([VELOCITY, np.ones(60)]).T
    scipy.io.savemat(
        path,
        {
            "spikes": COUNTS.T.astype(np.uint8),
            "time": 3.0 + 0.04 * np.arange(60),
            "handVel": three,
            "handPos": 2 * three,
        },
    )
    recording = load_recording(path)
    np.testing.assert_array_equal(recording.counts, COUNTS)
    np.testing.assert_array_equal(recording.position, 2 * VELOCITY)
    assert recording.bin_s == pytest.approx(0.04)
    assert (recording.velocity_unit, recording.position_unit) == ("m/s", "m")


def test_training_file_of_a_pair_finds_its_test_file(tmp_path):
    kin = np.hstack([POSITION, VELOCITY])
    for name, bins in (("train", 60), ("test", 50)):
        scipy.io.savemat(tmp_path / f"some_{name}.mat", {"rate": COUNTS[:bins], "kin": kin[:bins]})
    recording = load_recording(tmp_path / "some_train.mat")
    assert recording.split(0.5) == 60
    assert recording.n_bins == 110
    assert np.flatnonzero(recording.restart).tolist() == [0, 60]
    assert np.flatnonzero(recording.trial_start).tolist() == [0, 60]
    np.testing.assert_array_equal(recording.velocity[60:], VELOCITY[:50])
    (tmp_path / "some_test.mat").unlink()
    with pytest.raises(BadInput, match=r"some_test\.mat is not beside it"):
        load_recording(tmp_path / "some_train.mat")


def changed(**arrays):
    return {"counts": COUNTS, "bin_s": 0.05, "velocity": VELOCITY, **arrays}


def with_value(array, where, value):
    array = np.array(array, dtype=float)
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed(counts=with_value(COUNTS, (3, 1), np.nan)), "counts of bin 3, unit 1 is nan"),
        (changed(counts=with_value(COUNTS, (3, 1), -2)), "count of bin 3, unit 1 is negative"),
        (changed(counts=with_value(COUNTS, (3, 1), 1e9)), "counts of bin 3, unit 1 is 1e\\+09"),
        (changed(counts=COUNTS[:10]), "10 bins are too few"),
        (changed(counts=COUNTS[:, 0], velocity=VELOCITY[:-1]), "bins x units"),
        (changed(counts=COUNTS.astype(str)), "table of numbers"),
        (changed(velocity=VELOCITY[:-1]), "velocity must have the shape \\(60, axes\\)"),
        (changed(velocity=with_value(VELOCITY, (4, 0), np.inf)), "velocity of bin 4 is infinite"),
        (changed(velocity=np.full((60, 2), np.nan)), "fewer than 20 bins"),
        (changed(bin_s=-1.0), "bin_s"),
        (changed(bin_s=np.array([0.05, 0.06])), "2 different ones"),
        (changed(trial_start=np.array([70])), "trial_start must list bin indices from 0 to 59"),
        (changed(trial_start=np.array([1.5])), "trial_start"),
        ({"counts": COUNTS, "bin_s": 0.05}, "lacks velocity"),
        ({"bin_s": 0.05, "velocity": VELOCITY}, "lacks counts"),
    ],
)
def test_bad_arrays_are_refused_in_one_sentence(tmp_path, arrays, words):
    with pytest.raises(BadInput, match=words) as caught:
        load_recording(saved(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    for name, content in (("a.npz", b"not a zip"), ("a.mat", b"neither"), ("a.txt", b"text"), ("a.nwb", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BadInput, match=name):
            load_recording(path)
    with pytest.raises(BadInput, match="there is no file"):
        load_recording(tmp_path / "absent.npz")
    scipy.io.savemat(tmp_path / "b.mat", {"other": np.ones(3)})
    with pytest.raises(BadInput, match="holds other, which fits no known layout"):
        load_recording(tmp_path / "b.mat")
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "c.npz", counts=objects, bin_s=0.05, velocity=VELOCITY)
    with pytest.raises(BadInput, match=r"c\.npz"):
        load_recording(tmp_path / "c.npz")


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.1, 0.999])
def test_impossible_splits_are_refused(fraction):
    with pytest.raises(BadInput, match="train fraction"):
        recording_from_arrays("made", COUNTS, 0.05, VELOCITY).split(fraction)
