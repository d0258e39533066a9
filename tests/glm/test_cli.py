"""The command line: keys, files, pictures, and one sentence for every mistake."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.files import load_data, load_fit, open_npz
from bmi_runtime.cli.glm import glm
from bmi_runtime.errors import BadInput

FIT_KEYS = {"log_likelihood", "deviance_explained", "gradient_max", "iterations", "separated", "bits_per_spike"}
FIT_KEYS |= {"seconds", "peak_memory_mb"}
MODEL = ("--history-bins", "10", "--basis", "raised-cosine:3")


def run(*arguments):
    """Run ``bmi glm`` and return its JSON."""
    done = CliRunner().invoke(glm, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glm")
    size = ("--units", 4, "--bins", 6000, "--bin-s", 0.01, "--rate-hz", 10, "--history-bins", 10)
    made = run("simulate", *size, "--basis", "raised-cosine:3", "--out", folder / "data.npz")
    fitted = run("fit", folder / "data.npz", *MODEL, "--out", folder / "fit.npz", "--test-fraction", 0.2)
    return folder, made, fitted


def test_simulate_and_fit_answer_with_their_keys(files):
    folder, made, fitted = files
    assert (made["units"], made["bins"]) == (4, 6000) and made["spikes"] > 1000
    assert set(fitted) >= FIT_KEYS
    assert fitted["gradient_max"] < 1e-8 and len(fitted["bits_per_spike_held_out"]) == 4
    data = open_npz(folder / "data.npz")
    model = PoissonGLM(10, "raised-cosine:3").fit(data["counts"][:4800], data["covariates"][:4800])
    assert fitted["log_likelihood"] == pytest.approx(model.log_likelihood_ - model.log_factorial_)
    assert fitted["log_likelihood_without_ln_factorial"] == pytest.approx(model.log_likelihood_)


def test_the_fit_file_holds_what_it_says(files):
    folder, _, _ = files
    fit = open_npz(folder / "fit.npz")
    assert fit["intercept"].shape == (4,) and fit["coupling"].shape == (4, 4, 10)
    assert fit["covariate_weights"].shape == (4, 2) and fit["standard_errors"].shape == (4, 15)
    expected = np.einsum("lb,ijb->ijl", fit["basis"], fit["basis_weights"])
    assert np.abs(fit["coupling"] - expected).max() < 1e-12
    data = open_npz(folder / "data.npz")
    error = np.abs(fit["coupling"] - data["true_coupling"]) / fit["filter_standard_errors"]
    assert np.quantile(error, 0.9) < 3


def test_a_loaded_fit_predicts_and_simulates_like_the_model(files):
    folder, _, _ = files
    data, loaded = open_npz(folder / "data.npz"), load_fit(folder / "fit.npz")
    model = PoissonGLM(10, "raised-cosine:3").fit(data["counts"][:4800], data["covariates"][:4800])
    parts = (data["counts"][4800:], data["covariates"][4800:])
    assert loaded.predict(*parts)[10:] == pytest.approx(model.predict(*parts)[10:], rel=1e-8)
    assert np.array_equal(loaded.simulate(1200, parts[1], seed=3), model.simulate(1200, parts[1], seed=3))


def test_separated_couplings_survive_the_file(tmp_path):
    counts = np.minimum(np.random.default_rng(0).poisson(0.3, (4000, 1)), 1)
    counts[1:][counts[:-1] > 0] = 0
    np.savez(tmp_path / "data.npz", counts=np.minimum(counts, 1), bin_s=0.001)
    fitted = run("fit", tmp_path / "data.npz", "--history-bins", 2, "--out", tmp_path / "fit.npz")
    assert any(entry["lags"] == [1] for entry in fitted["separated"])
    loaded = load_fit(tmp_path / "fit.npz")
    assert loaded.coupling_[0, 0, 0] == -np.inf
    assert not loaded.predict(counts)[2:][counts[1:-1] > 0].any()


def test_test_reports_steps_blocks_and_goodness(files):
    folder, _, _ = files
    found = run("test", folder / "data.npz", *MODEL)
    assert found["steps"] == ["own history", "+ own area", "+ other area", "+ kinematics"]
    assert len(found["blocks"]) == 4 and len(found["ks_p"]) == 4
    assert "effective connectivity" in found["meaning"]
    assert max(found["predictive_power"]) > max(found["predictive_power_chance_95"])


def test_select_walks_the_path_and_names_the_best(files):
    folder = files[0]
    found = run("select", folder / "data.npz", *MODEL, "--values", "1e-6,1e-2,1e3", "--folds", 3)
    assert found["values"] == [1e-6, 1e-2, 1e3] and len(found["best_per_unit"]) == 4
    assert found["bits_per_spike"][2] == pytest.approx(0, abs=0.01)  # everything is pressed to a constant rate
    assert found["best"] != 1e3
    with pytest.raises(BadInput, match="--values is '1,x'"):
        run("select", folder / "data.npz", *MODEL, "--values", "1,x")


def test_units_are_shared_on_a_dask_cluster(files, cluster):
    folder, _, here = files
    there = run("fit", folder / "data.npz", *MODEL, "--test-fraction", 0.2, "--cluster", cluster.address)
    assert there["log_likelihood"] == pytest.approx(here["log_likelihood"], abs=1e-9)
    assert there["gradient_max"] < 1e-8
    penalties = ("--values", "1e-6,1e3", "--folds", 2)
    chosen = [
        run("select", folder / "data.npz", *MODEL, *penalties, *more) for more in ((), ("--cluster", cluster.address))
    ]
    assert chosen[0] == chosen[1]


def test_a_cluster_that_is_not_there_is_one_sentence(files, monkeypatch):
    monkeypatch.setattr("bmi_runtime.cluster.CONNECT_S", 1.0)
    with pytest.raises(BadInput, match="no Dask scheduler answers at tcp"):
        run("fit", files[0] / "data.npz", *MODEL, "--cluster", "tcp://127.0.0.1:9")


def test_low_rank_coupling_is_fitted_from_the_command_line(files):
    folder, _, full = files
    arguments = (folder / "data.npz", *MODEL, "--test-fraction", 0.2, "--out", folder / "low.npz")
    low = run("fit", *arguments, "--rank", 1)
    assert sum(low["log_likelihood"]) < sum(full["log_likelihood"]) and low["gradient_max"] < 1e-4
    weights = load_fit(folder / "low.npz").basis_weights_
    off = weights[~np.eye(4, dtype=bool)].reshape(4, 3, -1)  # target x the other sources x functions
    assert np.abs(off).max() > 0
    with pytest.raises(BadInput, match="rank is 4"):
        run("fit", *arguments, "--rank", 4)


def test_plot_draws_every_kind(files):
    pytest.importorskip("matplotlib")
    folder, _, _ = files
    drawn = run("plot", folder / "fit.npz", folder / "data.npz", "--prefix", folder / "picture_")
    assert len(drawn["files"]) == 6
    for name in drawn["files"]:
        assert pathlib.Path(name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_export_is_an_encoding_model_in_decimetres(files):
    from bmi_runtime.encoding.model import EncodingModel

    folder, _, _ = files
    run("export", folder / "fit.npz", "--out", folder / "metres.npz")
    run("export", folder / "fit.npz", "--out", folder / "decimetres.npz", "--velocity-unit", "dm/s")
    fit, model = open_npz(folder / "fit.npz"), EncodingModel.load(folder / "metres.npz")
    assert pytest.approx(fit["covariate_weights"] / 10) == model.weights[1:].T
    assert open_npz(folder / "decimetres.npz")["weights"][:, 1:] == pytest.approx(fit["covariate_weights"])
    errors = np.sqrt(np.diagonal(open_npz(folder / "decimetres.npz")["covariance"], axis1=1, axis2=2))
    assert errors == pytest.approx(fit["standard_errors"][:, [0, 13, 14]])
    data = open_npz(folder / "data.npz")
    velocity = data["velocity"][10:4800]
    rate = np.exp(model.weights[0] + 10 * velocity @ model.weights[1:]).mean(axis=0)
    assert rate == pytest.approx(data["counts"][10:4800].mean(axis=0) / 0.01, rel=1e-6)


def test_large_uncompressed_arrays_are_memory_mapped(tmp_path):
    counts = np.random.default_rng(1).poisson(0.1, (1 << 20, 17)).astype(np.uint8)
    np.savez(tmp_path / "big.npz", counts=counts, bin_s=0.001)
    found = load_data(tmp_path / "big.npz")
    assert isinstance(found.counts, np.memmap) and np.array_equal(found.counts, counts)


@pytest.mark.slow
def test_a_recording_larger_than_the_memory_that_is_allowed(tmp_path):
    """384 MB of counts, in a process that may have 300 MB of data of its own (code and libraries included)."""
    rng, shape = np.random.default_rng(0), (6_000_000, 64)
    counts = np.lib.format.open_memmap(tmp_path / "counts.npy", "w+", np.uint8, shape)
    for unit in range(shape[1]):
        counts[rng.integers(0, shape[0], 3000), unit] = 1
    del counts
    np.save(tmp_path / "bin_s.npy", np.array(0.001))
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_STORED) as archive:
        for name in ("counts.npy", "bin_s.npy"):
            archive.write(tmp_path / name, name)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20))"
    start = f"{limit}; from bmi_runtime.cli.main import main; main()"
    options = "--coupling own --basis raised-cosine:4 --standard-errors none --json"
    done = subprocess.run(
        [sys.executable, "-c", start, "glm", "fit", tmp_path / "data.npz", *options.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert all(answer["converged"]) and answer["gradient_max"] < 1e-8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nowhere.npz"), "there is no file"),
        (("fit", "DATA", "--covariates", "torque"), "no covariates 'torque'; choose from covariates, velocity"),
        (("fit", "DATA", "--covariates", "velocity:7"), "columns 0 to 1"),
        (("fit", "DATA", "--basis", "fourier:3"), "there is no basis"),
        (("fit", "DATA", "--leads", "soon"), "whole numbers of bins"),
        (("fit", "DATA", "--test-fraction", "2"), "at least 0 and below 1"),
        (("fit", "DATA", "--history-bins", "6000"), "no bin is left to fit"),
        (("plot", "DATA"), "has no array 'intercept'"),
        (("plot", "FIT", "--kinds", "pie"), "no picture 'pie'"),
        (("export", "FIT", "--out", "x.npz", "--velocity-unit", "furlong"), "no velocity unit"),
        (("export", "FIT", "--out", "x.npz", "--columns", "0,5"), "cannot be its velocity"),
    ],
)
def test_mistakes_get_one_sentence(files, arguments, message):
    folder, _, _ = files
    names = {"DATA": folder / "data.npz", "FIT": folder / "fit.npz"}
    with pytest.raises(BadInput, match=message):
        run(*(names.get(part, part) for part in arguments))


def test_files_that_are_not_plain_arrays_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not a zip")
    np.savez(tmp_path / "objects.npz", counts=np.array([{}], dtype=object), bin_s=0.1)
    for name in ("text.npz", "objects.npz"):
        with pytest.raises(BadInput, match="not a readable"):
            open_npz(tmp_path / name, ("counts",))
    assert list(open_npz(tmp_path / "objects.npz")) == ["bin_s"]  # what nobody needs is passed over, never loaded


def test_a_velocity_that_is_not_in_the_fit_is_told(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", counts=rng.poisson(0.3, (500, 2)), bin_s=0.02, velocity=rng.normal(size=(500, 2)))
    (note,) = run("fit", tmp_path / "d.npz", "--history-bins", 2)["notes"]
    assert "--covariates velocity" in note
    assert run("fit", tmp_path / "d.npz", "--history-bins", 2, "--covariates", "velocity")["notes"] == []
