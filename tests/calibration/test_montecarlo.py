"""The simulation against the calibration: exact recursion and coverage in open loop, sense in closed loop."""

import dataclasses
import os
import sys

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.exact_recursion import exact_steady_state
from bmi_runtime.calibration.montecarlo import Run, gaussian_protocol, poisson_protocol
from bmi_runtime.calibration.parallel_map import share

ALL = [("gaussian", s) for s in (5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 5e-1)] + [
    ("poisson", r) for r in (1e-6, 1e-5, 1e-4, 1e-3)
]
FIELDS = ("error_covariance", "errors", "weights", "states", "cursor", "error_trace", "weight_trace")
QUICK = [("gaussian", 5e-5, "random"), ("gaussian", 5e-1, "periodic"), ("poisson", 1e-4, "periodic")]


def variances(covariance):
    """Return the variances of baseline and gains, averaged over units: (2,)."""
    diagonal = np.diagonal(covariance, axis1=1, axis2=2).mean(axis=0)
    return np.array([diagonal[0], diagonal[1:].mean()])


def simulate(likelihood, rate, order, samples):
    """Return protocol, steady state and an open-loop ensemble worth about `samples` independent errors per weight."""
    make = gaussian_protocol if likelihood == "gaussian" else poisson_protocol
    protocol = dataclasses.replace(make(order), open_loop=True)
    design = protocol.design()
    steady = steady_state(information(design), rate)
    memory = 1 / steady.gain.min()
    burn_in, period = int(3 * memory), len(design.states)
    periods = max(1, round(10 * memory / period))
    realisations = max(10, round(samples * 2 * memory / (periods * period * len(protocol.weights))))
    run = Run(protocol, rate, burn_in + periods * period, burn_in, realisations, seed=3)
    return design, steady, run.ensemble(1)


def check(likelihood, rate, order, samples, tolerance):
    """Assert that the exact recursion predicts the simulated error variance, and coverage where it should hold."""
    design, steady, ensemble = simulate(likelihood, rate, order, samples)
    exact = exact_steady_state(design, steady).error_covariance
    np.testing.assert_allclose(variances(exact), variances(ensemble.error_covariance), rtol=tolerance)
    return ensemble


@pytest.mark.parametrize(("likelihood", "rate", "order"), QUICK)
def test_exact_recursion_predicts_the_simulation(likelihood, rate, order):
    check(likelihood, rate, order, 10000, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["periodic", "random"])
@pytest.mark.parametrize(("likelihood", "rate"), ALL)
def test_exact_recursion_at_every_rate(likelihood, rate, order):
    """3 % for every s and every r up to 1e-4, 8 % at r = 1e-3, where the filter's linearisation shows."""
    ensemble = check(likelihood, rate, order, 30000, 0.08 if rate == 1e-3 else 0.03)
    trusted = rate <= (5e-6 if likelihood == "gaussian" else 1e-5)
    if trusted:
        assert 0.94 < ensemble.coverage.mean() < 0.975


def test_coverage_over_hundreds_of_realisations():
    """Bounds from the closed form at a trusted rate, 400 units of each kind of channel: 0.94 to 0.975 each weight."""
    for likelihood, rate in (("gaussian", 5e-6), ("poisson", 1e-5)):
        _, _, ensemble = simulate(likelihood, rate, "periodic", 4000)
        assert np.all((ensemble.coverage.mean(axis=0) > 0.94) & (ensemble.coverage.mean(axis=0) < 0.975))


def test_bernoulli_correction_is_needed_and_enough():
    """Counts of 0/1 scatter less than Poisson ones: corrected, the form fits both; uncorrected, gains are too large."""
    for counts in ("bernoulli", "poisson"):
        protocol = dataclasses.replace(poisson_protocol(counts=counts), open_loop=True)
        design = protocol.design()
        steady = steady_state(information(design), 1e-5)
        burn = int(3 / steady.gain.min())
        ensemble = Run(protocol, 1e-5, burn + 4 * 3200, burn, 30, seed=8).ensemble(1)
        exact = variances(exact_steady_state(design, steady).error_covariance)
        np.testing.assert_allclose(variances(ensemble.error_covariance) / exact, 1.0, atol=0.045)
        if counts == "bernoulli":
            uncorrected = steady_state(information(design, bernoulli=False), 1e-5)
            assert variances(ensemble.error_covariance)[1] < 0.92 * variances(uncorrected.error_covariance)[1]


def test_result_does_not_depend_on_the_number_of_workers():
    run = Run(gaussian_protocol(units=12), 5e-3, 300, 100, 5, keep_states=50, keep_cursor=40, keep_weights=True)
    one, two = run.ensemble(1), run.ensemble(3)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_cluster_gives_the_same_bits(cluster):
    from bmi_runtime.cluster import joblib_on

    runs = [
        Run(protocol, 5e-3, 300, 100, 7, keep_states=50, keep_cursor=40, keep_weights=True)
        for protocol in (gaussian_protocol(units=12), poisson_protocol(directions=4))
    ]
    here = [run.ensemble(2) for run in runs]
    with joblib_on(cluster.address):
        there = [run.ensemble() for run in runs]
        assert os.getpid() not in share(os.getpid, 8 * [()])
    for one, two in zip(here, there, strict=True):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_without_joblib_the_same_threads_do_it(monkeypatch):
    run = Run(gaussian_protocol(units=6), 5e-3, 200, 100, 3)
    shared = run.ensemble(2)
    monkeypatch.setitem(sys.modules, "joblib", None)
    np.testing.assert_array_equal(run.ensemble(2).errors, shared.errors)


def test_the_closed_loop_reaches_targets():
    """With the true weights and no learning the cursor follows the perfect trajectory within a centimetre or so."""
    protocol = gaussian_protocol()
    run = Run(protocol, 0.0, 640, 0, 4, start=protocol.weights, adapt_bins=0, keep_cursor=640)
    cursor = run.ensemble(1).cursor
    perfect = protocol.perfect(protocol.goals(640, np.random.default_rng(0)))[1]
    assert np.sqrt(((cursor - perfect) ** 2).sum(axis=2).mean()) < 0.02
    assert np.abs(perfect).max() == pytest.approx(0.1, rel=0.03)


def test_subjects_aim_is_critically_damped():
    """Peak speed of a reach is stiffness / e times the distance: 2.2 dm/s over 1 dm."""
    speed = np.linalg.norm(poisson_protocol().open_loop_states(), axis=1)
    assert speed.max() == pytest.approx(6 / np.e, rel=0.03)
