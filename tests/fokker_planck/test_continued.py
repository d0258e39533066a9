"""Through a blow-up: avalanches against neurons and their own definition; the border; calm models."""

import json
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import blow_up, border, continued, evolve, particles, related, without_noise
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput, BmiError

CALM, CONCENTRATED = Gaussian(0.0, 0.25), Gaussian(1.5, 0.02)
REFRACTORY = Model(b=3.0, refractory=0.1)


@pytest.fixture(scope="module")
def run():
    return continued.with_errors(REFRACTORY, CALM, 3.4, cells=400)


def test_the_fraction_is_the_first_that_the_kick_does_not_keep_up_with(run):
    found = run["run"]
    width = np.gradient(found.v)
    for density, eta in zip(found.before, found.fractions, strict=True):
        kicked = found.v > REFRACTORY.v_threshold - REFRACTORY.b * eta
        assert float((density * width)[kicked].sum()) == pytest.approx(eta, abs=5e-3)
        early = found.v > REFRACTORY.v_threshold - REFRACTORY.b * 0.5 * eta
        assert float((density * width)[early].sum()) > 0.5 * eta


def test_the_first_avalanche_is_at_the_blow_up_and_mass_is_kept(run):
    event = blow_up.locate(REFRACTORY, CALM, 3.0)
    assert event is not None and run["agrees"]
    first = run["avalanches"][0]
    assert abs(first["time"] - event.time) < first["time_error"] + event.error
    assert run["mass_error"] < 1e-12


def test_neurons_fire_the_same_fractions_at_the_same_intervals(run):
    times, fractions = particles.avalanches(REFRACTORY, CALM, 3.4, 8000, 2, step=2e-3)
    neurons = continued.sizes(times, fractions)
    assert len(neurons["times"]) >= 3 and neurons["largest_small"] < 0.05
    mine = run["avalanches"]
    assert neurons["fractions"][0] == pytest.approx(mine[0]["fraction"], abs=0.05)
    assert neurons["fractions"][1] == pytest.approx(mine[1]["fraction"], abs=0.05)
    assert np.diff(neurons["times"])[1] == pytest.approx(mine[2]["time"] - mine[1]["time"], abs=0.03)


def test_a_blow_up_by_noise_is_continued():
    found = continued.with_errors(Model(b=-1.0, a1=1.0), Gaussian(1.7, 0.003, taper=1e-3), 1.0, cells=400)
    assert len(found["avalanches"]) == 1 and found["avalanches"][0]["fraction"] == pytest.approx(0.664, abs=2e-3)


def test_no_blow_up_is_the_plain_run():
    found = continued.with_errors(Model(b=0.5), CALM, 1.0, cells=400)
    plain = evolve.evolve(Model(b=0.5), CALM, 1.0, snapshots=2)
    assert found["avalanches"] == [] and found["rate_final"] == pytest.approx(plain.rate[-1], rel=1e-4)


def test_the_border_parts_relaxation_from_blow_up_below_the_theorem():
    found = border.border(Model(), CONCENTRATED, cells=400, tolerance=1e-5)
    assert found.error < 1e-3 and found.b < found.theorem and found.decided_by == "data"
    assert blow_up.locate(Model(b=found.b + 3 * found.error + 1e-3), CONCENTRATED, 3.0, cells=400) is not None
    below = evolve.evolve(Model(b=found.b - 3 * found.error - 1e-3), CONCENTRATED, 6.0, snapshots=2, stop_rate=1e9)
    assert below.ended == "finished" and below.rate[-1] < 0.5


def test_the_border_of_calm_data_is_the_end_of_the_steady_states():
    found = border.border(Model(), CALM, cells=400, tolerance=1e-5)
    assert found.decided_by == "steady states" and found.b == pytest.approx(2.10096776, abs=found.error + 1e-4)


def test_without_noise_nobody_fires_below_the_threshold_current_and_oscillators_lock_above():
    assert without_noise.deterministic(Model(b=3.0), CONCENTRATED, 3.0).rate.max() == 0
    lone = without_noise.deterministic(Model(b=0.0, current=2.5), CALM, 20.0, quantiles=500)
    period = np.log((2.5 - 1.0) / (2.5 - 2.0))
    assert lone.rate[len(lone.rate) // 2 :].mean() == pytest.approx(1 / period, rel=0.03)
    assert without_noise.deterministic(Model(b=0.9, current=2.5), CALM, 5.0, quantiles=2000).largest_cascade == 1.0
    with pytest.raises(BmiError, match="does not end"):
        without_noise.deterministic(Model(b=3.0, current=2.5), CALM, 5.0, quantiles=500)


def test_the_kinetic_rate_grows_no_faster_than_exponentially():
    slow, fast = (without_noise.kinetic(coupling, 0.6, cells=40) for coupling in (0.1, 0.35))
    assert slow.mass_error < 1e-10 and fast.mass_error < 1e-10
    assert fast.rate[-1] > slow.rate[-1] and fast.growth < (14 / 3 * 0.35 + 1) / 0.3


def test_a_membrane_that_binds_and_releases_stays_finite_at_any_mass():
    result, run = related.polarisation_run(lambda z: np.exp(-z), 5.0, 5.0, exchange=1.0, tolerance=1e-4)
    assert result["status"] == "finished" and result["mass_error"] < 1e-9
    assert run.edge[-1] == pytest.approx(run.mu[-1], rel=5e-3)  # bound and released in balance


def test_commands(tmp_path):
    def call(*arguments):
        done = CliRunner().invoke(fokker_planck, [*arguments, "--json"], catch_exceptions=False)
        return json.loads(done.stdout.strip().splitlines()[-1])

    kept, picture = tmp_path / "run.npz", tmp_path / "run.png"
    found = call("continue", "--b", "3", "--duration", "2.2", "--cells", "400", "--particles", "500","--out", f"{kept}",
                 "--picture", str(picture))  # fmt: skip
    assert len(found["avalanches"]) == 1 and sum(found["particles"]["size_counts"]) > 0
    assert np.load(kept)["fractions"].shape == (1,) and picture.stat().st_size > 5000
    assert call("calm", "deterministic")["rate_final"] == 0
    kinetic = call("calm", "kinetic", "--duration", "0.3")
    assert 0 < kinetic["rate_final_error"] < 0.1 * kinetic["rate_final"]


@pytest.mark.parametrize("arguments", [["continue", "--b", "1", "--delay", "1", "--duration", "1"],
                                       ["continue", "--b", "1", "--threshold-eps", "0.1", "--duration", "1"],
                                       ["calm", "kinetic", "--coupling", "-1"],
                                       ["calm", "kinetic", "--coupling", "nan"],
                                       ["calm", "kinetic", "--duration", "1e-9"]])  # fmt: skip
def test_bad_input_gets_one_sentence(arguments):
    with pytest.raises(BadInput):
        CliRunner().invoke(fokker_planck, arguments, catch_exceptions=False)


def test_where_no_neuron_fires_there_is_a_picture_all_the_same(tmp_path):
    numbers = ["--duration=0.05", "--cells=60", "--particles=20", "--step=0.01"]
    picture = tmp_path / "p.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arguments = ["continue", "--b=0.1", *numbers, f"--picture={picture}"]
        done = CliRunner().invoke(fokker_planck, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and picture.stat().st_size > 1000
