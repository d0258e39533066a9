"""The recurrent network's kernels against NumPy written out, and its gradients against finite differences."""

import subprocess
import sys

import numpy as np
import pytest

from bmi_runtime.decoding.gru_network import Batch, Shape, hidden_states, loss_and_gradient
from bmi_runtime.decoding.network_parameters import initial_parameters, views
from bmi_runtime.kernels import gru

SHAPE = Shape(inputs=7, entry=6, hidden=5, outputs=3)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def written_out(named, inputs):
    """Run the network over (steps, inputs) in double precision."""
    size = len(named["recur"])
    state, states = np.zeros(size), []
    for x in inputs:
        entry = np.maximum(x @ named["enter"] + named["enter_bias"], 0.0)
        drive, recur = entry @ named["drive"] + named["drive_bias"], state @ named["recur"] + named["recur_bias"]
        r, z = sigmoid(drive[:size] + recur[:size]), sigmoid(drive[size : 2 * size] + recur[size : 2 * size])
        n = np.tanh(drive[2 * size :] + r * recur[2 * size :])
        state = (1.0 - z) * n + z * state
        states.append(state)
    return np.array(states), np.array(states) @ named["read"] + named["read_bias"]


@pytest.fixture
def network():
    rng = np.random.default_rng(3)
    return rng, 2.0 * initial_parameters(SHAPE, rng)


def batch_of(rng, steps=9, size=4):
    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def kept(share, *shape):
        return (rng.random(shape) < share).astype(np.float32)

    return Batch(
        normal(steps, size, SHAPE.inputs), normal(steps, size, SHAPE.outputs), kept(0.7, steps, size, SHAPE.outputs),
        kept(0.8, steps, size), kept(0.7, steps, size, SHAPE.entry) / 0.7, kept(0.7, steps, size, SHAPE.hidden) / 0.7,
    )  # fmt: skip


def test_the_exponential_is_that_of_numpy_to_single_precision():
    x = np.linspace(-20.0, 20.0, 2001).astype(np.float32)
    found = np.array([gru.exponential32(value) for value in x])
    assert np.abs(found / np.exp(x.astype(float)) - 1.0).max() < 5e-7


def test_forward_is_the_network_written_out(network):
    rng, flat = network
    batch = batch_of(rng)
    batch.keep[:] = 1.0
    batch.entry_mask = batch.hidden_mask = None
    run = hidden_states(SHAPE, views(SHAPE, flat), batch)
    for b in range(batch.inputs.shape[1]):
        states, outputs = written_out(views(SHAPE, flat.astype(float)), batch.inputs[:, b].astype(float))
        np.testing.assert_allclose(run["hidden"][:, b], states, atol=2e-6)
        np.testing.assert_allclose(run["outputs"][:, b], outputs, atol=5e-6)


def test_gradients_are_finite_differences_with_masks_restarts_and_unknown_targets(network):
    rng, flat = network
    batch, gradient, unused = batch_of(rng), np.zeros_like(flat), np.zeros_like(flat)
    loss_and_gradient(SHAPE, flat, batch, gradient)
    for name, array in views(SHAPE, np.arange(len(flat))).items():
        for index in rng.choice(array.ravel(), min(6, array.size), replace=False):
            step = np.zeros_like(flat)
            step[index] = 4e-3
            ahead, behind = (loss_and_gradient(SHAPE, flat + sign * step, batch, unused) for sign in (1, -1))
            assert gradient[index] == pytest.approx((ahead - behind) / 8e-3, abs=3e-4), name


def test_one_bin_of_inference_is_the_batch_network(network):
    rng, flat = network
    batch = batch_of(rng, size=1)
    batch.keep[:] = 1.0
    batch.entry_mask = batch.hidden_mask = None
    named = views(SHAPE, flat)
    run = hidden_states(SHAPE, named, batch)
    hidden, outputs = np.zeros((1, SHAPE.hidden), np.float32), np.zeros((1, SHAPE.outputs), np.float32)
    work = np.zeros(SHAPE.entry + 6 * SHAPE.hidden, np.float32)
    for step, inputs in enumerate(batch.inputs[:, 0]):
        gru.ensemble_step(inputs, *(array[None] for array in named.values()), hidden, work, outputs)
        np.testing.assert_allclose(hidden[0], run["hidden"][step, 0], atol=2e-6)
        np.testing.assert_allclose(outputs[0], run["outputs"][step, 0], atol=5e-6)


BITS = """
import hashlib, numpy as np
from bmi_runtime.kernels import gru
rng = np.random.default_rng(1)
new = lambda *size: rng.standard_normal(size).astype(np.float32) / 8
a = [new(2, 50, 64), new(2, 64), new(2, 64, 288), new(2, 288), new(2, 96, 288), new(2, 288), new(2, 96, 2), new(2, 2)]
hidden, work, outputs = np.zeros((2, 96), np.float32), np.zeros(64 + 576, np.float32), np.zeros((2, 2), np.float32)
for _ in range(200):
    gru.ensemble_step(8 * new(50), *a, hidden, work, outputs)
print(hashlib.sha256(hidden.tobytes() + outputs.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_inference_gives_the_same_bits_at_other_levels_of_the_processor():
    import os

    digests = set()
    for level in ("", "x86-64", "haswell"):
        chosen = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ""} if level else {}
        run = subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, env=os.environ | chosen)
        assert run.returncode == 0, run.stderr
        digests.add(run.stdout)
    assert len(digests) == 1


def test_adamw_is_its_formula():
    rng = np.random.default_rng(0)
    weights, decay = rng.standard_normal(20).astype(np.float32), np.full(20, 0.1, np.float32)
    expected, first, second = weights.astype(float), np.zeros(20), np.zeros(20)
    m, v = np.zeros(20, np.float32), np.zeros(20, np.float32)
    for t in range(1, 6):
        gradient = rng.standard_normal(20).astype(np.float32)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.astype(float) ** 2
        step = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        expected = expected - 0.01 * (step + 0.1 * expected)
        one = np.float32
        gru.adamw(weights, gradient, decay, m, v, one(0.01), one(1.0), one(1 - 0.9**t), one(1 - 0.999**t))
    np.testing.assert_allclose(weights, expected, atol=1e-6)
