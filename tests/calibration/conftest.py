"""Designs that several tests share: a centre-out-and-back velocity, Gaussian and Poisson units."""

import numpy as np
import pytest

from bmi_runtime.calibration.design import Design


def reach_velocity(order, bin_s, trial_s=2.0, stiffness=6.0):
    """Return the velocity (dm/s) of critically damped reaches of 1 dm out and back to each target in `order`."""
    half = round(trial_s / 2 / bin_s)
    time = np.arange(half) * bin_s
    speed = stiffness**2 * time * np.exp(-stiffness * time)
    parts = []
    for target in order:
        angle = target * np.pi / 4
        direction = np.array([np.cos(angle), np.sin(angle)])
        parts += [speed[:, None] * direction, -speed[:, None] * direction]
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def gaussian_design():
    """Return four Gaussian units of different noise on one centre-out-and-back period of 320 bins."""
    weights = np.array([[1.0, 1.0, 0.0], [-0.5, 0.3, 0.9], [0.0, -0.7, 0.7], [2.0, -0.5, -0.5]])
    return Design(reach_velocity(range(8), 0.05), weights, 0.05, "gaussian", np.array([1.0, 0.5, 2.0, 4.0]))


@pytest.fixture(scope="session")
def poisson_design():
    """Return two spiking units on one centre-out-and-back period of 3200 bins, at most one spike a bin."""
    units = [(10.0, 0.6, 30.0), (5.0, 1.0, 200.0)]
    weights = [[np.log(b), a * np.cos(np.radians(p)), a * np.sin(np.radians(p))] for b, a, p in units]
    return Design(reach_velocity(range(8), 0.005), np.array(weights), 0.005, "poisson")
