"""Decoders of recordings with one, three and seven axes."""

import numpy as np
import pytest

from bmi_runtime.decoding.batch_decoder import decode_all
from bmi_runtime.decoding.comparison import training_of
from bmi_runtime.decoding.fitted_file import load_fitted, save_fitted
from bmi_runtime.decoding.fitting import fit_decoder
from bmi_runtime.decoding.tables import FITTED
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.from_arrays import recording_from_arrays

BINS, UNITS = 1200, 30


def recording(n_axes, position=True):
    rng = np.random.default_rng(n_axes)
    velocity = np.empty((BINS, n_axes))
    velocity[0] = 0.0
    for t in range(1, BINS):
        velocity[t] = 0.9 * velocity[t - 1] + 0.45 * rng.standard_normal(n_axes)
    gains = rng.normal(size=(n_axes, UNITS)) / np.sqrt(n_axes)
    counts = rng.poisson(np.exp(0.8 + 0.5 * velocity @ gains))
    place = {"position": np.cumsum(velocity, axis=0) * 0.05} if position else {}
    return recording_from_arrays("made", counts, 0.05, velocity, **place)


SLOW = ("joined", "short-history")  # networks, seconds each: at both ends
CASES = [(name, n) for name in FITTED if name != "recurrent" for n in ((1, 7) if name in SLOW else (1, 3, 7))]


@pytest.mark.parametrize(("name", "n_axes"), CASES)
def test_every_decoder_decodes_every_axis_and_is_the_same_from_its_file(tmp_path, name, n_axes):
    data = training_of(recording(n_axes))
    train, test = data.part(slice(0, 1000)), data.part(slice(1000, None))
    decoder = fit_decoder(name, train)
    states = decode_all(decoder, test)
    assert states.shape == (200, 2 * n_axes) and len(decoder.variance) == 2 * n_axes
    for axis in range(n_axes):
        decoded, true = states[:, n_axes + axis], test.velocity[:, axis]
        assert np.corrcoef(decoded, true)[0, 1] > 0.35, axis
    save_fitted(tmp_path / "a.npz", name, decoder, train, None, "made")
    again = load_fitted(tmp_path / "a.npz").suited(UNITS, 0.05)
    assert np.array_equal(decode_all(again, test), states, equal_nan=True)


def test_axes_that_a_file_does_not_name_have_names():
    assert recording(1).axes == ("x",) and recording(7).axes == ("x", "y", "z", "axis_4", "axis_5", "axis_6", "axis_7")


@pytest.mark.parametrize("columns", [0, 9])
def test_no_axis_or_more_than_eight_are_refused(columns):
    with pytest.raises(BadInput, match="1 to 8"):
        recording_from_arrays("made", np.ones((60, 2)), 0.05, np.ones((60, columns)))


def test_velocity_and_position_of_different_axes_are_refused():
    with pytest.raises(BadInput, match="velocity has 3 columns and position 2"):
        recording_from_arrays("made", np.ones((60, 2)), 0.05, np.ones((60, 3)), np.ones((60, 2)))
