"""What a bad design gets: one sentence with the unit or direction in it."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.design import Design, load_design
from bmi_runtime.calibration.validity import sweep_bins
from bmi_runtime.errors import BadInput


def changed(array, index, value):
    """Return a copy with one element set."""
    array = np.array(array, dtype=float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": lambda d: d.states * [1, 0]}, "never move along dimension 1"),
        ({"states": lambda d: d.states[:, :1] * [1, 2.0]}, "never move along one direction"),
        ({"states": lambda d: changed(d.states, (7, 1), np.nan)}, "'states' is nan at bin 7, column 1"),
        ({"states": lambda d: d.states[:3]}, "a whole period"),
        ({"weights": lambda d: d.weights[:, :2]}, "'weights' has 2 columns for 2 state dimensions"),
        ({"weights": lambda d: changed(d.weights, (2, 0), np.inf)}, "'weights' is inf at unit 2, column 0"),
        ({"noise_variance": lambda d: np.array([1, 1, -0.5, 1])}, "noise variance of unit 2 is -0.5"),
        ({"noise_variance": lambda d: np.array([1, 0, 1, 1.0])}, "noise variance of unit 1 is 0"),
        ({"noise_variance": lambda d: np.ones(3)}, "one value for each of 4 units"),
        ({"noise_variance": lambda d: None}, "'noise_variance' .* is missing"),
        ({"bin_s": lambda d: 0.0}, "'bin_s' is 0"),
        ({"bin_s": lambda d: [1, 2]}, "'bin_s' must be one number"),
        ({"likelihood": lambda d: "binomial"}, "choose from gaussian, poisson"),
    ],
)
def test_bad_gaussian_designs(gaussian_design, change, message):
    with pytest.raises(BadInput, match=message):
        gaussian_design.replaced(**{key: make(gaussian_design) for key, make in change.items()})


def test_bad_rates(poisson_design):
    with pytest.raises(BadInput, match="unit 1 fires 0 Hz"):
        poisson_design.replaced(weights=changed(poisson_design.weights, (1, 0), -800.0))
    with pytest.raises(BadInput, match=r"unit 0 is expected to fire 1\.8"):
        poisson_design.replaced(weights=changed(poisson_design.weights, (0, 0), np.log(100)))
    crowded = poisson_design.replaced(weights=changed(poisson_design.weights, (0, 0), np.log(100)), counts="poisson")
    assert crowded.expected_counts().max() > 1


def test_a_unit_that_fires_in_one_state_only(poisson_design):
    lonely = changed(poisson_design.weights, 1, [-180.0, 80.0, 0.0])
    with pytest.raises(BadInput, match="unit 1 fires in so few of the states"):
        information(poisson_design.replaced(weights=lonely, counts="poisson"))


def test_unreadable_files(tmp_path):
    with pytest.raises(BadInput, match=r"there is no file"):
        load_design(tmp_path / "none.npz", "gaussian")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(BadInput, match=r"cannot be read as an \.npz"):
        load_design(tmp_path / "text.npz", "gaussian")
    np.savez(tmp_path / "short.npz", states=np.ones((9, 2)), bin_s=0.1)
    with pytest.raises(BadInput, match=r"has no 'weights'; it needs .* has states, bin_s"):
        load_design(tmp_path / "short.npz", "gaussian")
    np.savez(tmp_path / "pickled.npz", states=np.array([None, {}]), weights=np.ones((1, 3)), bin_s=0.1)
    with pytest.raises(BadInput, match="plain arrays"):
        load_design(tmp_path / "pickled.npz", "gaussian")


def test_sweep_of_centre_out_is_between_two_and_four_targets(gaussian_design, poisson_design):
    """Trials of 40 bins, 45 degrees apart: two leave a direction almost unvisited, four visit all alike."""
    assert 80 < sweep_bins(gaussian_design.states) <= 160
    assert 800 < sweep_bins(poisson_design.states) <= 1600


def test_one_dimension_is_enough():
    states = np.sin(np.linspace(0, 2 * np.pi, 50, endpoint=False))
    design = Design(states, [[1.0, 0.5]], 0.1, "gaussian", 2.0)
    np.testing.assert_allclose(information(design).mean[0], [[0.5, 0], [0, 0.25]], atol=1e-12)
