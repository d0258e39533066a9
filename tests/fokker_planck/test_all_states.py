"""All steady states with a proof, against a brute-force scan, a 40-digit quadrature and cases known to be hard."""

import dataclasses

import mpmath
import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.all_states import log_interval_slope
from bmi_runtime.analysis.fokker_planck.grid import build
from bmi_runtime.analysis.fokker_planck.model import Model


def _slope_by_mixture(model, rate):
    """The slope of log(T + tau) from the mixture of exponentials, with 40 digits."""
    with mpmath.workdps(40):

        def moment(power):
            def integrand(sigma):
                growth = mpmath.e ** (-sigma * rate * (model.b + sigma * model.a1 / 2) - sigma**2 * model.a0 / 2)
                jump = (mpmath.e ** (sigma * model.v_threshold) - mpmath.e ** (sigma * model.v_reset)) / sigma
                return (-(sigma * model.b + sigma**2 * model.a1 / 2)) ** power * growth * jump

            return mpmath.quad(integrand, [0, 0.1, 1, 3, 10, 40, 120])

        return float(moment(1) / (moment(0) + model.refractory))


@pytest.mark.parametrize("settings", [{"b": 1.5}, {"b": -2.0, "a1": 0.5}, {"b": 0.9, "a1": 2.0, "refractory": 0.2}])
@pytest.mark.parametrize("rate", [1e-3, 0.4, 7.0])
def test_slope_of_the_interval_is_that_of_the_mixture(settings, rate):
    model = Model(**settings)
    value = steady.log_interval(model, model.b * rate, model.a0 + model.a1 * rate)
    assert log_interval_slope(model, rate, value) == pytest.approx(_slope_by_mixture(model, rate), rel=1e-9)


def _scan(model, count=6000):
    top = 0.999999 / model.refractory if model.refractory else 1e6
    rates = np.geomspace(1e-12, top, count)
    values = np.array([steady.mismatch(model, rate) for rate in rates])
    return rates[:-1][np.sign(values[:-1]) != np.sign(values[1:])]


def test_random_models_have_the_states_of_a_dense_scan():
    rng = np.random.default_rng(5)
    for _ in range(25):
        model = Model(
            b=float(rng.uniform(-2, 3)),
            a0=float(rng.uniform(0.3, 2)),
            a1=float(rng.choice([0.0, rng.uniform(0, 3)])),
            current=float(rng.uniform(-1, 3)),
            refractory=float(rng.choice([0.0, rng.uniform(0.01, 1)])),
        )
        known, seen = steady.search(model), _scan(model)
        assert len(known.rates) == len(seen), model
        assert np.allclose(known.rates, seen, rtol=1e-2)
        assert known.complete, model


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"b": 0.999, "a1": 2.0}, 1),
        ({"b": 0.99, "a1": 10.0}, 1),
        ({"b": 2.44883, "refractory": 0.325}, 3),
        ({"b": 2.449462066, "refractory": 0.3254}, 3),
        ({"b": 2.2}, 0),
    ],
)
def test_close_and_far_states_are_all_there(settings, count):
    known = steady.search(Model(**settings))
    assert len(known.rates) == count and known.complete


def test_what_rounding_leaves_open_at_a_fold_is_said():
    (fold, rate), *_ = steady.folds(Model())
    known = steady.search(Model(b=fold))
    assert not known.complete
    assert all(low <= rate * (1 + 1e-6) and high >= rate * (1 - 1e-6) for low, high in known.undecided)


def test_two_folds_closer_than_the_samples_are_found():
    folds = steady.folds(Model(refractory=0.3254))
    assert [b for b, _ in folds] == pytest.approx([2.44946246791, 2.44946166425], rel=1e-10)


@pytest.mark.parametrize(
    ("settings", "kind", "b"),
    [
        ({}, "fold", 2.1009677604557),
        ({"a1": 2.0}, "limit", 1.0),
        ({"current": 3.0}, "limit", 1.0),
        ({"refractory": 0.025}, "quiet-branch", 2.123469179356),
        ({"refractory": 1.0}, "none-found", None),
    ],
)
def test_where_states_end(settings, kind, b):
    end = steady.critical(Model(**settings))
    assert end.kind == kind
    assert end.b == (None if b is None else pytest.approx(b, rel=1e-9))
    if kind == "fold":
        assert end.proved and not steady.search(Model(b=1.5 * b, **settings)).rates


def test_no_state_below_what_can_be_represented_is_claimed():
    known = steady.search(Model(b=3.0, a0=0.003))
    assert not known.complete and not known.proved_below


def test_sample_points_that_differ_by_rounding_still_make_a_grid():
    for finest in np.geomspace(1e-8, 1e-2, 60):
        nodes = build(dataclasses.replace(Model(), threshold_eps=0.1), 400, finest=float(finest)).v
        assert np.all(np.diff(nodes) > 0)
