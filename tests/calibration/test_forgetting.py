"""Half lives of RML and SmoothBatch: the closed forms against simulated re-estimation, and back."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.forgetting import Forgetting, half_life_for_convergence, half_life_for_error


@pytest.fixture
def design():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((4000, 2)) * [1.0, 0.5]
    return Design(states, np.zeros((1, 3)), 0.1, "gaussian", noise_variance=np.array([0.7]))


@pytest.mark.parametrize(("half_life", "batch"), [(50.0, 1), (300.0, 1), (200.0, 100)])
def test_the_steady_error_is_that_of_simulated_re_estimation(design, half_life, batch):
    rng = np.random.default_rng(1)
    method = Forgetting(half_life, batch)
    predicted = float(method.error_in_modes(information(design)).sum())
    found, kept = [], method.kept
    for _ in range(300):
        bins = int(12 * half_life) // batch * batch
        u = np.hstack([np.ones((bins, 1)), rng.standard_normal((bins, 2)) * [1.0, 0.5]])
        y = np.sqrt(0.7) * rng.standard_normal(bins)
        if batch == 1:
            age = kept ** np.arange(bins)[::-1]
            estimate = np.linalg.solve((age[:, None] * u).T @ u, (age[:, None] * u).T @ y)
        else:
            estimate = np.zeros(3)
            for first in range(0, bins, batch):
                part = slice(first, first + batch)
                estimate = kept * estimate + (1 - kept) * np.linalg.lstsq(u[part], y[part], rcond=None)[0]
        found.append((estimate**2).sum())
    assert np.mean(found) == pytest.approx(predicted, rel=0.15)


def test_backward_is_forward_turned(design):
    info = information(design)
    for batch in (1, 50):
        bins = half_life_for_error(info, 1e-3, batch)
        assert Forgetting(bins, batch).error_in_modes(info).max() == pytest.approx(1e-3)
        bins = half_life_for_convergence(500.0, 0.05)
        assert Forgetting(bins, batch).convergence_bins(0.05) == pytest.approx(500.0)
    with pytest.raises(ValueError, match="one batch without memory"):
        half_life_for_error(info, 1e6)
