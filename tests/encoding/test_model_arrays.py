"""Files of encoding models that are none: each is refused in a sentence, before it decodes or starts a session."""

import numpy as np
import pytest

from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput

UNITS = 5
SKEW = np.tile(0.01 * np.eye(3), (UNITS, 1, 1))
SKEW[2, 0, 1] = 0.005
INDEFINITE = SKEW + 0.0
INDEFINITE[2, 0, 1] = INDEFINITE[2, 1, 0] = 0.5


def written(folder, **changes):
    weights = np.column_stack([np.full(UNITS, np.log(10.0)), np.random.default_rng(0).normal(size=(UNITS, 2))])
    arrays = {"weights": weights, "covariance": np.tile(0.01 * np.eye(3), (UNITS, 1, 1)), "bin_s": 0.005}
    arrays |= {"noise_variance": np.ones(UNITS), "likelihood": "poisson"} | changes
    np.savez(folder / "m.npz", **{name: value for name, value in arrays.items() if value is not None})
    return folder / "m.npz", weights


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bin_s": np.nan}, "bin_s is nan s"),
        ({"bin_s": 5.0}, "bin_s is 5 s.*milliseconds it is 0.005"),
        ({"bin_s": [0.005, 0.005]}, "bin_s is nan s"),
        ({"weights": np.full((UNITS, 3), 1e30)}, r"a weight of 1e\+30 cannot be"),
        ({"weights": np.full((UNITS, 3), 102.0)}, r"fire exp\(102\) times a second"),
        ({"weights": np.ones((3, UNITS))}, "weights are units x regressors.*they are 3 x 5 and 5 x 3 x 3"),
        ({"weights": np.ones(UNITS)}, "they are 5 and 5 x 3 x 3"),
        ({"weights": np.ones((UNITS, 3)) + 1j}, "its numbers are complex"),
        ({"weights": np.full((UNITS, 3), "fast")}, "could not convert"),
        ({"weights": np.full((UNITS, 3), np.nan)}, "weights hold a value that is not finite"),
        ({"covariance": np.tile(1e30 * np.eye(3), (UNITS, 1, 1))}, r"a variance of 1e\+30 cannot be"),
        ({"covariance": SKEW}, "covariance of unit 2 is not symmetric"),
        ({"covariance": INDEFINITE}, "negative variance"),
        ({"covariance": None}, "it has no 'covariance'"),
        ({"likelihood": None}, "it has no 'likelihood'"),
        ({"weights": np.array({"a": 1}, dtype=object)}, "not an encoding model"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, changes, words):
    with pytest.raises(BadInput, match=words):
        EncodingModel.load(written(tmp_path, **changes)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"meta": np.array({"subject": "A"}, dtype=object)},
        {"covariance": np.zeros((UNITS, 3, 3))},
        {"bin_s": np.array([[0.005]])},
    ],
    ids=["plain", "an object beside it", "known exactly", "a width in a table"],
)
def test_what_is_a_model_is_loaded_as_it_is(tmp_path, changes):
    path, weights = written(tmp_path, **changes)
    model = EncodingModel.load(path)
    np.testing.assert_array_equal(model.weights.T, weights)
    assert model.bin_s == 0.005
