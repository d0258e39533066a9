"""Rates, blow-up times and periods as they are printed, against a run of another kind: each within its own error."""

import os

import numpy as np
import pytest

from bmi_runtime.analysis.fokker_planck import report
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BmiError
from tests.fokker_planck import collocation_run

HELD = int(os.environ.get("BMI_RANDOM_HELD", "200"))
LEAST = 12.0  # rate from which on a blow-up is followed
HIGHEST = 120.0


def random_set(rng):
    """A model, an initial density and a duration that a person could give."""
    soft = rng.random() < 0.3
    model = Model(
        b=float(rng.uniform(-2, 3.5)),
        a0=10 ** rng.uniform(-0.5, 0.2),
        a1=float(rng.choice([0.0, rng.uniform(0, 0.3)])),
        refractory=float(rng.choice([0.0, rng.uniform(0.05, 0.3)])), current=float(rng.uniform(-0.5, 1.5)),
        threshold_eps=float(rng.uniform(0.02, 0.2)) if soft else 0.0, delay=float(rng.choice([0.0, 0.0, 0.3])),
    )  # fmt: skip
    start = Gaussian(rng.uniform(-1, 0.8), 10 ** rng.uniform(-1.4, -0.8), 2.0, 1e-3 if model.a1 > 0 else 0.0)
    return model, start, float(rng.uniform(0.3, 2.5))


def held(model, start, duration) -> list[tuple[bool, str]]:
    """Return every printed number with an error: whether it holds, and a sentence."""
    result, _ = report.run(model, start, duration, snapshots=2)
    if result["status"] == "blow_up":
        if result["instantaneous"] or result["blow_up_time_error"] is None:
            return []
        run = collocation_run.run_of(model, start, duration, HIGHEST, tolerance=1e-8)
        assert run.blown, f"{model}: no blow-up up to N = {HIGHEST:g}"
        known, unsure = run.blow_up_time(LEAST)
        pairs = [("blow_up_time", result["blow_up_time"], result["blow_up_time_error"], known, unsure)]
    else:
        known = collocation_run.run_of(model, start, duration)
        pairs = [("rate_final", result["rate_final"], result["rate_final_error"], float(known.rates[-1]), 1e-9)]
    return [
        (abs(value - other) <= error + unsure, f"{model}: {name} {value:.10g} +- {error:.2g}, is {other:.10g}")
        for name, value, error, other, unsure in pairs
        if error is not None
    ]


@pytest.mark.parametrize("model", [Model(1.0, 0.6, 0.2, refractory=0.2, delay=0.3)])
def test_a_printed_rate_holds_within_its_error(model):
    ((right, sentence),) = held(model, Gaussian(-0.5, 0.2, 2.0, 1e-3 if model.a1 else 0.0), 0.5)
    assert right, sentence


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_printed_errors_hold_in_95_percent_of_random_sets():
    rng = np.random.default_rng(51)
    seen, refused = [], 0
    while len(seen) < HELD:
        try:
            seen += held(*random_set(rng))
        except BmiError:
            refused += 1  # in one sentence
    wrong = [sentence for right, sentence in seen if not right]
    print(f"{len(seen) - len(wrong)} of {len(seen)} hold, {refused} refused", *wrong, sep="\n")
    assert len(wrong) <= 0.05 * len(seen), "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_periods_hold_within_their_errors():
    for model, duration in ((Model(3.0, refractory=0.2, threshold_eps=0.02), 20.0),
                            (Model(-8.0, current=8.0, delay=0.3), 10.0)):  # fmt: skip
        start = Gaussian(0.0, 0.15)
        swing = report.run(model, start, duration, snapshots=2)[0]["oscillation"]
        other = collocation_run.run_of(model, start, duration, tolerance=1e-7).period()
        assert abs(swing["period"] - other) <= swing["period_error"] + 1e-5 * other, (swing, other)
