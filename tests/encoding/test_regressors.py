"""Models whose units depend on more than velocity: the adapter against a textbook filter, names, histories."""

import numpy as np
import pytest

from bmi_runtime.calibration.monitor import Limits, Monitor
from bmi_runtime.calibration.noise import NoiseVariance
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import StateSpace
from tests.kernels.textbook import poisson_step

BIN_S = 0.01
ALL = ("velocity", "position", "speed", "history")


def model_of(rng, n, likelihood, kinds):
    d = kinds.size
    weights = rng.normal(0.0, 0.1, (d, n))
    root = rng.normal(0.0, 0.2 / np.sqrt(d), (n, d, d))
    full = root @ np.swapaxes(root, 1, 2) + 0.01 * np.eye(d)
    rows, columns = np.tril_indices(d)
    noise = rng.uniform(0.5, 2.0, n)
    return EncodingModel(weights, full[:, rows, columns].T, likelihood, BIN_S, noise, kinds), full


@pytest.mark.parametrize("axes", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("names", "history_s"), [(("velocity",), ()), (("speed", "position"), ()), (ALL, (0.01,)), (ALL, (0.01, 0.05, 0.2))]
)
@pytest.mark.parametrize("units", [5, 130])
def test_adaptation_is_the_textbook_filter(axes, names, history_s, units):
    rng = np.random.default_rng(axes)
    kinds = Regressors(axes, names, history_s)
    model, full = model_of(rng, units, "poisson", kinds)
    weights, adapter, rate = model.weights.T.copy(), Adapter(model, 1e-4), 1e-4
    history = History(kinds, units, BIN_S)
    adapter.history = history.traces
    for _ in range(4):
        velocity, position = rng.normal(0.0, 0.1, axes), rng.normal(0.0, 0.1, axes)
        counts = rng.poisson(0.4, units).astype(float)
        adapter.update(counts, np.ones(units), *velocity, position_m=position.tolist())
        parts = {"velocity": 10 * velocity, "position": 10 * position, "speed": [np.linalg.norm(10 * velocity)]}
        common = np.concatenate([[1.0], *(part for name, part in parts.items() if name in names)])
        for i in range(units):
            u = np.r_[common, history.traces[:, i]]
            weights[i], full[i] = poisson_step(weights[i], full[i], counts[i], u, rate, BIN_S)
        history.take(counts)
    assert np.allclose(model.weights.T, weights, rtol=1e-9, atol=1e-11)
    assert np.allclose(model.dense_covariance(), full, rtol=1e-8, atol=1e-12)


def test_the_places_of_regressors_have_names():
    kinds = Regressors(3, ("history", "velocity", "position"), (0.01, 0.1))
    space = StateSpace(("x", "y", "grasp"))
    assert kinds.labels(space) == [
        *("baseline", "vx", "vy", "vgrasp", "x", "y", "grasp", "history 10 ms", "history 100 ms")
    ]
    assert kinds.size == 9 and kinds.n_common == 7
    assert [kinds.labels(space)[place] for place in kinds.places.values()][1] == ["x", "y", "grasp"]


@pytest.mark.parametrize(
    ("names", "history_s", "said"),
    [
        (("velocty",), (), "no regressor 'velocty'"),
        (("velocity", "velocity"), (), "twice"),
        (("speed",), (), "velocity or position"),
        (("velocity", "history"), (), "time constants"),
        (("velocity", "history"), (0.0,), "above zero"),
    ],
)
def test_what_cannot_be_decoded_is_refused_in_a_sentence(names, history_s, said):
    with pytest.raises(BadInput, match=said):
        Regressors(2, names, history_s)


def test_a_history_is_a_sum_that_decays():
    history = History(Regressors(2, ("velocity", "history"), (0.02,)), 3, BIN_S)
    counts = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 1.0, 0.0]])
    for row in counts:
        history.take(row)
    weights = np.exp(-BIN_S * np.arange(3, 0, -1) / 0.02)
    assert np.allclose(history.traces[0], weights @ counts, rtol=1e-14)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_the_general_monitor_is_the_one_of_three_regressors(likelihood):
    """A unit with a regressor that is always zero is watched as one that does not have it."""
    rng = np.random.default_rng(3)
    plane, space = Regressors(2), Regressors(3)
    small, _ = model_of(rng, 6, likelihood, plane)
    sd2 = np.where(np.eye(4)[np.tril_indices(4)][:, None] > 0, 0.04, 0.0) * np.ones(6)
    sd2_small = np.where(np.eye(3)[np.tril_indices(3)][:, None] > 0, 0.04, 0.0) * np.ones(6)
    small = EncodingModel(small.weights, sd2_small, likelihood, BIN_S, small.noise_variance, plane)
    large = EncodingModel(np.vstack([small.weights, np.zeros(6)]), sd2, likelihood, BIN_S, small.noise_variance, space)
    adapters = Adapter(small, 1e-4), Adapter(large, 1e-4)
    monitors = tuple(Monitor(6, d, likelihood, BIN_S, limits=Limits(memories=0.0)) for d in (3, 4))
    noises = NoiseVariance(small.noise_variance, sd2_small), NoiseVariance(small.noise_variance, sd2)
    for monitor, model in zip(monitors, (small, large), strict=True):
        monitor.reset(model.covariance)
    noise = small.noise_variance if likelihood == "gaussian" else None
    for _ in range(400):
        velocity = rng.normal(0.0, 0.1, 2)
        values = rng.poisson(0.3, 6).astype(float) if noise is None else rng.normal(size=6)
        for adapter, monitor, watch, more in zip(adapters, monitors, noises, ((), (0.0,)), strict=True):
            adapter.update(values, np.ones(6), *velocity, *more)
            seen = (adapter.regressors_of_units, values, np.ones(6), adapter.innovation, adapter.model.covariance)
            monitor.update(*seen, noise)
            watch.update(seen[0], seen[2], seen[3], seen[4], adapter.model.noise_variance)
    assert np.allclose(monitors[0].error_sd(), monitors[1].error_sd()[:3], rtol=1e-8)
    assert np.allclose(noises[0].estimate, noises[1].estimate, rtol=1e-8)
    kernel = monitors[0]._kernel
    for name in (kernel.EXPECTED, kernel.EXCESS, kernel.SQUARES, kernel.PREDICTED):
        assert np.allclose(monitors[0].statistics[name], monitors[1].statistics[name], rtol=1e-6)
