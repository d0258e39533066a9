"""The network without recurrence: its kernel against NumPy, its gradients against finite differences."""

import numpy as np
import pytest

from bmi_runtime.decoding.network_parameters import initial_parameters, views
from bmi_runtime.decoding.short_history_network import Batch, Shape, earlier_rows, loss_and_gradient, run_forward
from bmi_runtime.kernels import feedforward

SHAPE = Shape(steps=3, inputs=5, entry=6, hidden=4, outputs=3)


@pytest.fixture
def network():
    rng = np.random.default_rng(3)
    return rng, 2.0 * initial_parameters(SHAPE, rng)


def batch_of(rng, size=7):
    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def kept(share, *shape):
        return (rng.random(shape) < share).astype(np.float32) / np.float32(share)

    return Batch(
        normal(size, 15), normal(size, 3), (rng.random((size, 3)) < 0.7).astype(np.float32), kept(0.7, size, 6),
        kept(0.7, size, 4),
    )  # fmt: skip


def test_gradients_are_finite_differences(network):
    rng, flat = network
    batch, gradient, unused = batch_of(rng), np.zeros_like(flat), np.zeros_like(flat)
    loss_and_gradient(SHAPE, flat, batch, gradient)
    for name, array in views(SHAPE, np.arange(len(flat))).items():
        for index in rng.choice(array.ravel(), min(6, array.size), replace=False):
            step = np.zeros_like(flat)
            step[index] = 4e-3
            ahead, behind = (loss_and_gradient(SHAPE, flat + sign * step, batch, unused) for sign in (1, -1))
            assert gradient[index] == pytest.approx((ahead - behind) / 8e-3, abs=4e-4), name


def test_one_bin_of_inference_is_the_batch_network(network):
    rng, flat = network
    windows = rng.standard_normal((20, 15)).astype(np.float32)
    run = run_forward(SHAPE, flat, Batch(windows, np.zeros((0, 0)), np.zeros((0, 0))))
    hidden, outputs, entry = np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32), np.zeros(6, np.float32)
    for index, window in enumerate(windows):
        named = [array[None] for array in views(SHAPE, flat).values()]
        feedforward.ensemble_step(window, *named, entry, hidden, outputs)
        np.testing.assert_allclose(hidden[0], run["hidden"][index], atol=2e-6)
        np.testing.assert_allclose(outputs[0], run["outputs"][index], atol=5e-6)


def test_a_window_holds_every_second_bin_newest_first_around_the_end_of_the_ring():
    ring, out = np.zeros((6, 1), np.float32), np.zeros(3, np.float32)
    for number in range(20):
        ring[number % 6] = number
        feedforward.gather_window(ring, number % 6, 2, out)
    np.testing.assert_array_equal(out, [19, 17, 15])


def test_steps_from_before_a_restart_are_nothing():
    keep = np.ones(10, np.float32)
    keep[[0, 1, 6, 7]] = 0.0
    rows = earlier_rows(keep, 2, 3)
    np.testing.assert_array_equal(rows[5], [5, 3, 1])
    np.testing.assert_array_equal(rows[2], [2, 0, 10])
    np.testing.assert_array_equal(rows[[6, 8, 9]], [[6, 10, 10], [8, 6, 10], [9, 7, 10]])
