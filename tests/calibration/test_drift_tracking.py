"""The rate follows drift, and not scores that only repeat themselves."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.drift import Recalibrator
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.monitor import Monitor
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel

BIN_S, BINS, UNITS = 0.05, 12_000, 24


def wandering(rng, columns, memory_bins):
    keep = np.exp(-1 / memory_bins)
    rows = rng.standard_normal((BINS, columns))
    for t in range(1, BINS):
        rows[t] = keep * rows[t - 1] + np.sqrt(1 - keep**2) * rows[t]
    return rows


def followed(delayed, first_rate, drift=0.0, spread=0.0, seed=3):
    """Return the rate that ten minutes end at, of units with gain fluctuations (0.4 s) and tuning that walks."""
    rng = np.random.default_rng(seed)
    states, own = wandering(rng, 2, 12), spread * wandering(rng, UNITS, 8) - 0.5 * spread**2
    angle = np.linspace(0, 2 * np.pi, UNITS, endpoint=False)
    truth = np.array([np.full(UNITS, np.log(20.0)), 0.35 * np.cos(angle), 0.35 * np.sin(angle)])
    steady = steady_state(information(Design(states, truth.T, BIN_S, "poisson", counts="poisson")), first_rate)
    model = EncodingModel(truth.copy(), pack(steady.filter_covariance), "poisson", BIN_S)
    adapter, monitor, rate = Adapter(model, first_rate), Monitor(UNITS, 3, "poisson", BIN_S), first_rate
    monitor.reset(pack(steady.error_covariance))
    follow, valid = Recalibrator(1e-7, 1e-2, BIN_S), np.ones(UNITS)
    for t, state in enumerate(states):
        truth = truth + np.sqrt(drift) * rng.standard_normal(truth.shape)
        counts = rng.poisson(BIN_S * np.exp(truth[0] + state @ truth[1:] + own[t])).astype(float)
        adapter.update(counts, valid, *(state / 10))
        monitor.update(adapter.regressors, counts, valid, adapter.innovation, model.covariance)
        if follow.due(t):
            found = follow.update(t, monitor.statistics, rate, monitor.delayed_drift() if delayed else None)
            rate = found or rate
            adapter.set_learning_rate(rate)
    return rate


def test_repeating_scores_are_no_drift():
    assert followed(False, 1e-5, spread=0.4) > 2e-5, "taken as white, they pass for drift"
    assert followed(True, 1e-5, spread=0.4) < 4e-6


def test_a_walk_is_followed_up_and_down():
    drift = 2e-5
    for first in (2e-6, 2e-4):
        assert followed(True, first, drift) == pytest.approx(drift, rel=0.7)


def test_filters_that_forget_too_fast_to_tell_are_slowed():
    assert followed(True, 5e-3, spread=0.4) < 1e-3


def test_recordings_from_before_go_on_as_they_did():
    assert configuration.load(None).adapter.drift_scores == "correlated"
    for data in ({"adapter": {"drift_tracking": True}, "state": {}}, {}):
        assert configuration.as_recorded(data)["adapter"]["drift_scores"] == "white"
    newer = {"adapter": {"drift_scores": "correlated"}, "state": {}}
    assert configuration.as_recorded(newer)["adapter"]["drift_scores"] == "correlated"
