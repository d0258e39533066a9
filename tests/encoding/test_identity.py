"""Models go from session to session by what the units and regressors are called."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.encoding.identity import carry
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.model_file import load_model
from bmi_runtime.session.assemble import assemble, initial_model
from bmi_runtime.session.launch import run


def fresh(names=(), *overrides):
    more = [f"session.units={len(names)}", f"session.unit_names={list(names)}"] if names else []
    return untrained_model(configuration.load(None, [*more, *overrides]))


def learned(names, *overrides, seed=0):
    model, rng = fresh(names, *overrides), np.random.default_rng(seed)
    model.weights += rng.normal(size=model.weights.shape)
    model.covariance *= rng.uniform(0.1, 0.9, model.n_units)
    return model


def test_units_are_matched_by_name_and_not_by_order():
    found, today = learned(["a", "b", "c"]), fresh(["c", "d", "a"])
    untouched = today.weights[:, 1].copy()
    carried = carry(found, today, 0.0, "old.npz")
    assert np.array_equal(today.weights[:, [0, 2]], found.weights[:, [2, 0]])
    assert np.array_equal(today.covariance[:, [0, 2]], found.covariance[:, [2, 0]])
    assert np.array_equal(today.weights[:, 1], untouched)
    assert (carried.matched, carried.new, carried.gone) == (2, ["d"], ["b"])
    sentence = carried.sentence("old.npz")
    assert "2 units have their model from old.npz" in sentence and "(d)" in sentence and "(b)" in sentence


def test_what_may_have_changed_since_is_added_to_every_weight():
    found, today = learned(["a"]), fresh(["a"])
    carry(found, today, 0.3, "")
    difference = today.dense_covariance()[0] - found.dense_covariance()[0]
    assert np.allclose(difference, 0.09 * np.eye(3))


def test_regressors_are_matched_by_what_they_are():
    found = learned(["a", "b"], "state.axes=['x','y','z']", "encoding.regressors=['velocity','speed']")
    today = fresh(["a", "b"], "state.axes=['z','x']", "encoding.regressors=['velocity','position']")
    before = today.dense_covariance()[:, 3:, 3:]
    carry(found, today, 0.0, "")
    assert np.array_equal(today.weights[:3], found.weights[[0, 3, 1]])
    assert (today.weights[3:] == 0.0).all() and np.array_equal(today.dense_covariance()[:, 3:, 3:], before)
    assert (today.dense_covariance()[:, :3, 3:] == 0.0).all()


def test_another_bin_width_is_converted_and_said_or_refused():
    found, today = learned(["a"]), fresh(["a"], "session.bin_s=0.02")
    assert "5 ms, this session's of 20 ms" in carry(found, today, 0.0, "").sentence("")
    assert np.array_equal(today.weights, found.weights)  # log hertz are log hertz
    gaussian = "session.likelihood=gaussian"
    with pytest.raises(BadInput, match="another noise and scale"):
        carry(learned(["a"], gaussian), fresh(["a"], gaussian, "session.bin_s=0.02"), 0.0, "old.npz")


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ((["a"], "session.likelihood=gaussian"), (["a"],), "gaussian units, this session's are poisson"),
        ((["a", "b"],), (["c"],), "none of this session's units: it has a, b"),
        ((["a"],), (["a"], "state.axes=['pitch']"), "vx, vy"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_in_a_sentence(there, here, said):
    with pytest.raises(BadInput, match=said):
        carry(learned(*there), fresh(*here), 0.0, "old.npz")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["session.features=5", "session.units=7", "state.axes=['x','y','z']"],
        ["encoding.regressors=['velocity','position','speed','history']"],
    ],
)
def test_a_file_holds_all_of_a_model(tmp_path, overrides):
    model = learned((), *overrides)
    model.save(tmp_path / "a.npz")
    again = EncodingModel.load(tmp_path / "a.npz")
    assert again.names == model.names and again.axes == model.axes and again.regressors == model.regressors
    assert np.array_equal(again.weights, model.weights) and np.array_equal(again.covariance, model.covariance)
    assert bool(again.features) == bool(model.features)
    if model.features:
        assert np.array_equal(again.features.weights, model.features.weights)
        assert again.features.names == model.features.names


def test_a_session_goes_on_from_the_last_model_of_a_recording(tmp_path):
    path = tmp_path / "day1.mcap"
    shared = ["session.units=12", "session.features=6", "telemetry.enabled=false", "state.axes=['x','y','z']"]
    config = configuration.load(None, [*shared, f"recording.path='{path}'"])
    loop = assemble(config, "max")
    run(loop, 600)
    model = load_model(path)
    assert np.array_equal(model.weights, loop.session.model.weights)
    assert np.array_equal(model.features.weights, loop.session.learning.features.model.weights)
    names = [*(f"unit {unit}" for unit in range(2, 12)), "later"]
    more = ["session.units=11", f"session.unit_names={names}", f"encoding.initial='{path}'", "encoding.carry_sd=0.1"]
    told = []
    today = initial_model(configuration.load(None, [*shared, *more]), None, told.append)
    assert np.array_equal(today.weights[:, :10], model.weights[:, 2:])
    assert "16 units have their model" in told[0] and "later" in told[0] and "unit 0, unit 1" in told[0]


def test_a_recording_without_a_model_is_refused(tmp_path):
    (tmp_path / "no.mcap").write_bytes(b"nothing")
    with pytest.raises(BadInput):
        load_model(tmp_path / "no.mcap")
