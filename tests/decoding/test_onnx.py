"""ONNX models as decoders: against the same sums in NumPy, live and replayed, and refused in one sentence."""

import builtins
import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.compare import compare
from bmi_runtime.decoding import fitting
from bmi_runtime.decoding.batch_decoder import decode_all
from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import resume

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install onnx)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install bmi-runtime[onnx])")

UNITS, BINS = 6, 3
RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=(BINS, UNITS, 2))


def tensor(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def value(name, shape, kind=onnx.TensorProto.FLOAT):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def write(path, nodes, inputs, outputs, constants=(), **metadata):
    graph = onnx.helper.make_graph(nodes, "decoder", inputs, outputs, list(constants))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, {key: str(item) for key, item in metadata.items()})
    onnx.save(model, str(path))
    return path


def node(kind, inputs, output, **attributes):
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


def linear(path, weights, shape=None, **metadata):
    """Counts (1, units) times weights (units, dims)."""
    weights = np.asarray(weights, np.float32)
    shape = shape or [1, len(weights)]
    inputs, outputs = [value("counts", shape)], [value("velocity", [1, weights.shape[1]])]
    return write(
        path, [node("MatMul", ["counts", "w"], "velocity")], inputs, outputs, [tensor("w", weights)], **metadata
    )


def windowed(path):
    """Counts of three bins (1, 3, units), flattened, times weights."""
    constants = [tensor("w", WEIGHTS.reshape(BINS * UNITS, 2).astype(np.float32)), tensor("s", np.array([1, -1]))]
    nodes = [node("Reshape", ["counts", "s"], "flat"), node("MatMul", ["flat", "w"], "velocity")]
    return write(path, nodes, [value("counts", [1, BINS, UNITS])], [value("velocity", [1, 2])], constants)


def recurrent(path, **metadata):
    """A leaky state of two: h <- 0.9 h + counts W; the velocity is h."""
    constants = [tensor("w", WEIGHTS[0]), tensor("keep", np.array(0.9))]
    nodes = [
        node("MatMul", ["counts", "w"], "drive"),
        node("Mul", ["state", "keep"], "kept"),
        node("Add", ["drive", "kept"], "next"),
        node("Identity", ["next"], "velocity"),
    ]
    double = onnx.TensorProto.DOUBLE
    inputs = [value("counts", [1, UNITS], double), value("state", [1, 2], double)]
    outputs = [value("velocity", [1, 2], double), value("next", [1, 2], double)]
    return write(path, nodes, inputs, outputs, constants, **metadata)


@pytest.fixture
def counts():
    return np.random.default_rng(6).poisson(2.0, size=(20, UNITS)).astype(float)


def decoded(path, counts):
    decoder = load_fitted(path).suited(UNITS, 0.02)
    return np.array([decoder.predict(row) for row in counts])


def test_a_linear_model_is_a_product(tmp_path, counts):
    states = decoded(linear(tmp_path / "m.onnx", WEIGHTS[1]), counts)
    np.testing.assert_allclose(states[:, 2:], counts @ WEIGHTS[1], rtol=1e-5, atol=1e-5)
    assert np.isnan(states[:, :2]).all()
    both = decoded(linear(tmp_path / "b.onnx", np.hstack([WEIGHTS[0], WEIGHTS[1]])), counts)
    np.testing.assert_allclose(both, counts @ np.hstack([WEIGHTS[0], WEIGHTS[1]]), rtol=1e-5, atol=1e-5)


def test_a_window_holds_the_last_bins_oldest_first(tmp_path, counts):
    states = decoded(windowed(tmp_path / "m.onnx"), counts)
    padded = np.vstack([np.zeros((BINS - 1, UNITS)), counts])
    for index in range(len(counts)):
        expected = sum(padded[index + lag] @ WEIGHTS[lag] for lag in range(BINS))
        np.testing.assert_allclose(states[index, 2:], expected, rtol=1e-5, atol=1e-5)


def test_a_recurrent_model_gets_its_state_back(tmp_path, counts):
    decoder = load_fitted(recurrent(tmp_path / "m.onnx")).suited(UNITS, 0.02)
    for _ in range(2):
        decoder.reset()
        state = np.zeros(2)
        for row in counts:
            state = 0.9 * state + row @ WEIGHTS[0]
            np.testing.assert_allclose(decoder.predict(row)[2:], state, rtol=1e-12)
    kept = decoder.snapshot()
    after = decoder.predict(counts[0])
    decoder.restore(kept)
    np.testing.assert_array_equal(decoder.predict(counts[0]), after)


def test_it_is_a_row_of_a_comparison(tmp_path):
    rng = np.random.default_rng(8)
    velocity = np.cumsum(rng.normal(size=(900, 2)), axis=0) * 0.05
    tuning = rng.normal(size=(2, UNITS))
    counts = rng.poisson(np.exp(1.0 + 0.4 * velocity @ tuning))
    np.savez(tmp_path / "d.npz", counts=counts, bin_s=0.05, velocity=velocity)
    least = np.linalg.lstsq(counts - counts.mean(axis=0), velocity, rcond=None)[0]
    model = linear(tmp_path / "m.onnx", least)
    out = CliRunner().invoke(
        compare,
        [str(tmp_path / "d.npz"), "--decoders", f"{model},ole", "--folds", "2", "--json"],
        catch_exceptions=False,
    )
    rows = {row["decoder"]: row for row in json.loads(out.stdout.splitlines()[-1])["tables"]["d.npz"]}
    states = counts @ least
    expected = 1.0 - ((states - velocity) ** 2).sum(axis=0) / ((velocity - velocity.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(rows[str(model)]["r2_velocity"], expected, atol=1e-4)


def test_it_closes_the_loop_goes_on_and_replays(tmp_path):
    world = [
        "session.units=6",
        "session.bin_s=0.02",
        "encoding.initial=truth",
        f"recording.path='{tmp_path / 'a.mcap'}'",
    ]
    model = recurrent(tmp_path / "m.onnx", bin_s=0.02, velocity_unit_m_s=1e-3)
    loop = assemble(configuration.load(None, [*world, "decoder.kind=fitted", f"decoder.fitted_file='{model}'"]), "max")
    launch.run(loop, 250)
    steps = Recording(tmp_path / "a.mcap").steps()
    assert np.abs(steps["output"]["decoded"][:, 2:]).max() > 1e-3
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]
    other = resume(tmp_path / "a.mcap", loop.session.config).session
    np.testing.assert_array_equal(other.decoder.predict(np.ones(6)), loop.session.decoder.predict(np.ones(6)))


def bad(kind, path):
    """Return a file that is no decoder."""
    if kind == "absent":
        return path
    if kind == "text":
        path.write_text("not a model")
        return path
    if kind == "wide":
        return linear(path, np.ones((UNITS, 9)))
    if kind == "axes":
        return linear(path, np.ones((UNITS, 2)), shape=[1, 1, 1, UNITS])
    if kind == "dynamic":
        return linear(path, np.ones((UNITS, 2)), shape=[1, "units"])
    if kind == "whole":
        inputs = [value("counts", [1, UNITS], onnx.TensorProto.INT64)]
        return write(path, [node("Cast", ["counts"], "v", to=1)], inputs, [value("v", [1, UNITS])])
    if kind == "state":
        inputs = [value("counts", [1, 2]), value("state", [1, 2])]
        return write(path, [node("Add", ["counts", "state"], "v")], inputs, [value("v", [1, 2])])
    if kind == "nan":
        return linear(path, np.full((UNITS, 2), np.nan))
    return linear(path, np.ones((UNITS, 2)), bin_s="soon")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("absent", "cannot be read: No such file"),
        ("text", "is not a model that onnxruntime can load"),
        ("wide", r"answers float32 of shape \(1, 9\); a decoder of 2 axes gives \(1, 2\)"),
        ("axes", "of shape 1 x 1 x 1 x 6; a decoder takes"),
        ("dynamic", "of shape 1 x units; a decoder takes"),
        ("whole", "takes 'counts' as tensor.int64."),
        ("state", "has 1 state inputs beside the counts and 0 state outputs"),
        ("nan", "not finite"),
        ("metadata", "bin_s = 'soon', which is not a positive number"),
    ],
)
def test_what_is_no_decoder_gets_one_sentence(tmp_path, kind, words):
    with pytest.raises(BadInput, match=words) as caught:
        load_fitted(bad(kind, tmp_path / "m.onnx"))
    assert "\n" not in str(caught.value)


def test_other_data_and_an_unknown_unit_are_refused(tmp_path):
    model = linear(tmp_path / "m.onnx", WEIGHTS[0], bin_s=0.02)
    with pytest.raises(BadInput, match="decodes 6 units; these data have 7"):
        load_fitted(model).suited(7, 0.02)
    with pytest.raises(BadInput, match="fitted to bins of 20 ms; these are 50 ms"):
        load_fitted(model).suited(6, 0.05)
    session = ["session.units=6", "session.bin_s=0.02", "decoder.kind=fitted", f"decoder.fitted_file='{model}'"]
    with pytest.raises(BadInput, match="does not say in which unit it decodes velocity"):
        assemble(configuration.load(None, [*session, "recording.enabled=false"]), "max")


def test_without_onnxruntime_it_says_what_to_install(tmp_path, monkeypatch):
    model = linear(tmp_path / "m.onnx", WEIGHTS[0])
    kept = builtins.__import__

    def absent(name, *rest, **more):
        if name == "onnxruntime":
            raise ImportError(name)
        return kept(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BadInput, match=r"needs onnxruntime to be run; install bmi-runtime\[onnx\]"):
        fitting.fit_decoder(str(model), type("Data", (), {"counts": np.zeros((3, UNITS)), "bin_s": 0.02, "n_axes": 2}))


def test_a_session_of_decode_all_starts_again(tmp_path, counts):
    decoder = load_fitted(recurrent(tmp_path / "m.onnx")).suited(UNITS, 0.02)
    starts = np.zeros(20, bool)
    starts[[0, 9]] = True
    from bmi_runtime.decoding.batch_decoder import Training

    states = decode_all(decoder, Training(counts, np.zeros((20, 4)), starts, starts, 0.02))
    np.testing.assert_allclose(states[9, 2:], counts[9] @ WEIGHTS[0], rtol=1e-12)


@pytest.mark.parametrize(("axes", "numbers"), [(1, 1), (1, 2), (3, 3), (3, 6), (4, 4), (7, 7)])
def test_a_model_drives_as_many_axes_as_the_session_has(axes, numbers, tmp_path):
    weights = 0.01 * RNG.normal(size=(UNITS, numbers))
    model = linear(tmp_path / "m.onnx", weights, velocity_unit_m_s=1.0)
    names = ["x", "y", "z", "a", "b", "c", "d"][:axes]
    own = ["session.units=6", "session.bin_s=0.02", f"state.axes={names}", f"recording.path='{tmp_path / 'a.mcap'}'"]
    chosen = ["decoder.kind=fitted", f"decoder.fitted_file='{model}'"]
    launch.run(assemble(configuration.load(None, [*own, *chosen]), "max"), 200)
    steps = Recording(tmp_path / "a.mcap").steps()
    decoded = steps["output"]["decoded"][:, axes:]
    np.testing.assert_allclose(decoded, steps["input"]["counts"] @ weights[:, -axes:].astype(np.float32), atol=1e-6)
    assert np.ptp(steps["output"]["cursor"][:, :axes], axis=0).all()
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]


def test_a_decoder_of_other_axes_is_refused_in_a_sentence(tmp_path):
    model = linear(tmp_path / "m.onnx", WEIGHTS[0], velocity_unit_m_s=1.0)
    own = ["session.units=6", "session.bin_s=0.02", "state.axes=['x','y','z']", "recording.enabled=false"]
    with pytest.raises(BadInput, match=r"a decoder of 3 axes gives \(1, 3\)"):
        assemble(configuration.load(None, [*own, "decoder.kind=fitted", f"decoder.fitted_file='{model}'"]), "max")
