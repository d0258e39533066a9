"""The study of many networks, its predictions, its commands and figures."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.networks import graphs, study
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import iterate
from bmi_runtime.cli.networks import networks
from bmi_runtime.errors import BadInput


@pytest.fixture(scope="module")
def table():
    return study.study(study.StudyDesign(sizes=(50,), networks=12, starts=2))


def test_every_kind_is_there_and_columns_agree(table):
    kinds = study.groups(table)
    assert list(kinds) == ["ER E n=50", "ER mixed n=50", "SONET E n=50", "SONET mixed n=50"]
    assert all(rows.sum() == 12 for rows in kinds.values())
    assert set(table) == set(study.COLUMNS)


def test_excitatory_networks_always_converge_and_follow_in_degree(table):
    found = study.summary(table)
    for kind in ("ER E n=50", "SONET E n=50"):
        assert found[kind]["iteration_always_converged"] == 12
        assert found[kind]["in_degree_r2"] > 0.98
        assert found[kind]["input_sd_mv"]["theory_error"] < 0.06
    assert found["ER mixed n=50"]["iteration_always_converged"] < 12
    assert found["ER mixed n=50"]["input_sd_mv"]["theory_error"] > 0.1


@pytest.mark.filterwarnings("error")
def test_strengths_at_which_neurons_do_not_differ_are_told(tmp_path):
    asked = ["study", "--count=2", "--sizes=5", f"--folder={tmp_path}"]
    done = CliRunner().invoke(networks, [*asked, "--strength-uv-per-hz=1e-9"], catch_exceptions=False)
    assert done.exit_code == 0 and "ER E n=5" in done.output
    with pytest.raises(BadInput, match="leave nothing to study"):
        CliRunner().invoke(networks, [*asked, "--strength-uv-per-hz=0"], catch_exceptions=False)


def test_sonets_are_more_heterogeneous_than_erdos_renyi(table):
    found = study.summary(table)
    assert found["SONET E n=50"]["rate_sd_hz"]["mean"] > 1.3 * found["ER E n=50"]["rate_sd_hz"]["mean"]


def test_heterogeneity_agrees_with_its_definition():
    graph = graphs.erdos_renyi(40, 0.3, np.random.default_rng(0))
    network = RateNetwork(graphs.signed_weights(graph, 0.002), -45.0)
    inputs = iterate(network, network.external_mv).input_mv
    row = study.heterogeneity(graph, network, inputs)
    rates = network.neuron.rate_hz(inputs)
    assert row["rate_sd_hz"] == pytest.approx(rates.std())
    assert row["predicted_input_sd_mv"] == pytest.approx(rates.mean() * 0.002 * graph.sum(axis=1).std())
    assert row["predicted_input_sd_mv"] == pytest.approx(row["input_sd_mv"], rel=0.1)
    assert row["predicted_rate_sd_hz"] == pytest.approx(row["rate_sd_hz"], rel=0.15)


def test_linear_fit_agrees_with_statsmodels_and_really_leaves_out():
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=30), "b": rng.normal(size=30)}
    outcome = 3 + columns["a"] - 2 * columns["b"] + rng.normal(size=30)
    fit = study.linear_fit(columns, outcome)
    other = sm.OLS(outcome, sm.add_constant(np.column_stack(list(columns.values())))).fit()
    np.testing.assert_allclose(fit.coefficients, other.params)
    np.testing.assert_allclose(fit.half_widths, other.conf_int()[:, 1] - other.params)
    assert fit.r2 == pytest.approx(other.rsquared)
    left = []
    for k in range(30):
        keep = np.arange(30) != k
        part = study.linear_fit({name: values[keep] for name, values in columns.items()}, outcome[keep])
        left.append(outcome[k] - part.coefficients @ [1, columns["a"][k], columns["b"][k]])
    assert fit.left_out_error == pytest.approx(np.sqrt(np.mean(np.square(left))) / outcome.mean())


def test_fits_to_constants_or_too_few_networks_are_refused():
    with pytest.raises(BadInput, match="the same in every network"):
        study.linear_fit({"a": np.ones(10)}, np.arange(10.0))
    with pytest.raises(BadInput, match="too few"):
        study.linear_fit({"a": np.arange(3.0)}, np.arange(3.0))
    with pytest.raises(BadInput, match="at least one"):
        study.StudyDesign(networks=0)


def ran(*arguments):
    result = CliRunner().invoke(networks, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_make_solve_simulate_and_branch(tmp_path):
    net = tmp_path / "net.npz"
    made = ran("make", net, "--size", 60, "--convergent", 0.3, "--strength-uv-per-hz", 2, "--seed", 2)
    assert made["measured"]["convergent"] > 0.05
    solved = ran("solve", net)
    assert solved["unique"] is True
    simulated = ran(
        "simulate", net, "--duration-s", 2, "--dt-ms", 0.2, "--out", tmp_path / "c.npz", "--plot", tmp_path / "t.png"
    )
    assert simulated["mean_rate_hz"] == pytest.approx(np.mean(solved["fixed_points"][0]["rates_hz"]), rel=0.05)
    with np.load(tmp_path / "c.npz") as file:
        assert file["counts"].shape == (40, 60)
    branched = ran("branches", net, "--strength-max", 3, "--checks", 1, "--points", 60, "--plot", tmp_path / "b.png")
    assert branched["branches"][0]["strengths"][-1] == pytest.approx(3)
    for name in ("t.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_study_writes_its_table_and_figures(tmp_path):
    found = ran("study", "--sizes", 30, "--count", 8, "--out", tmp_path / "table.csv", "--folder", tmp_path)
    names = (tmp_path / "table.csv").read_text().splitlines()[0].split(",")
    rows = np.loadtxt(tmp_path / "table.csv", delimiter=",", skiprows=1)
    assert tuple(names) == study.COLUMNS and rows.shape == (32, len(study.COLUMNS)) == (found["networks"], len(names))
    assert len([name for name in found["files"] if name.endswith(".png")]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "--sizes", "big"], "whole numbers"),
        (["study", "--sizes", "-5"], "-5 neurons is too small"),
        (["make", "."], "is a folder"),
        (["make", "x.npz", "--convergent", "9"], "no network has convergent"),
        (["simulate", "absent.npz"], "no file"),
        (["branches", "absent.npz"], "no file"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(networks, arguments, catch_exceptions=False)
