import pytest

from bmi_runtime.analysis.fokker_planck import blow_up, report
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model

CASES = [
    (Model(b=3.0), Gaussian(0, 0.25), 5.0),
    (Model(b=1.5), Gaussian(1.5, 0.02), 1.0),
    (Model(b=3.0, refractory=0.1), Gaussian(0, 0.25), 5.0),
    (Model(b=1.5, refractory=0.1), Gaussian(1.5, 0.02), 1.0),
    (Model(b=-1.0, a1=1.0), Gaussian(1.7, 0.003, 2.0, 1e-3), 1.0),
    (Model(b=-1.0, a1=10.0), Gaussian(-1.0, 0.25, 2.0, 1e-3), 5.0),
]


@pytest.mark.parametrize(("model", "initial", "duration"), CASES)
def test_error_bar_contains_the_refined_time(model, initial, duration):
    coarse = blow_up.locate(model, initial, duration, 200)
    fine = blow_up.locate(model, initial, duration, 600)
    assert abs(coarse.time - fine.time) <= coarse.error + fine.error
    assert fine.error < 1e-3 * fine.time
    assert fine.trusted_until < fine.time


def test_concentrated_data_blow_up_before_the_bound_of_the_theorem():
    model, initial = Model(b=1.5), Gaussian(1.5, 0.02)
    theorem = blow_up.conditions(model, initial)
    event = blow_up.locate(model, initial, 1.0, 200)
    assert theorem["sufficient"] and event.time < theorem["time_bound"]


def test_large_connectivity_is_sufficient_for_given_data():
    initial = Gaussian(0, 0.25)
    needed = blow_up.conditions(Model(b=1.0), initial)["b_sufficient"]
    above = blow_up.conditions(Model(b=1.01 * needed), initial)
    assert above["sufficient"] and not blow_up.conditions(Model(b=0.99 * needed), initial)["sufficient"]
    event = blow_up.locate(Model(b=1.01 * needed), initial, 2.0, 200)
    assert event is not None and event.time < above["time_bound"]


def test_instantaneous_blow_up_is_told_apart():
    result, solution = report.run(Model(b=0.5), Gaussian(1.95, 0.003), 1.0)
    assert result["status"] == "blow_up" and result["instantaneous"] and result["blow_up_time"] == 0.0
    assert solution is None and result["theorem"]["edge_feedback"] > 1


def test_incompatible_data_that_do_not_blow_up_finish():
    result, _ = report.run(Model(b=0.3), Gaussian(1.95, 0.05), 1.0)
    assert 0 < result["theorem"]["edge_feedback"] < 1
    assert result["status"] == "finished"


def test_no_excitation_no_blow_up():
    result, _ = report.run(Model(b=-3.0), Gaussian(1.8, 0.003), 1.0)
    assert result["status"] == "finished" and result["mass_error"] < 1e-13


@pytest.mark.parametrize("a1", [0.0, 5.0])
def test_inhibition_stays_bounded_until_a1_is_large(a1):
    result, _ = report.run(Model(b=-1.0, a1=a1), Gaussian(-1.0, 0.25, 2.0, 1e-3), 5.0, snapshots=2)
    assert result["status"] == "finished"


def test_blow_up_is_induced_by_the_noise():
    outcomes = [report.run(Model(b=3.0, a0=a0), Gaussian(0, 0.25), 20.0, snapshots=2)[0] for a0 in (1.0, 0.2)]
    assert [one["status"] for one in outcomes] == ["blow_up", "finished"]
    assert outcomes[1]["rate_final"] < 1e-3


def test_random_threshold_with_refractory_state_is_bounded_and_oscillates():
    result, solution = report.run(Model(b=3.0, refractory=0.2, threshold_eps=0.02), Gaussian(0, 0.25), 20.0)
    assert result["status"] == "finished" and solution.rate.max() < 1 / 0.02
    swing = result["oscillation"]
    assert swing["trough"] < swing["mean"] < swing["peak"]
    finer, _ = report.run(Model(b=3.0, refractory=0.2, threshold_eps=0.02), Gaussian(0, 0.25), 20.0, cells=800)
    assert swing["period"] == pytest.approx(finer["oscillation"]["period"], rel=5e-3)
