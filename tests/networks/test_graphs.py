"""Random networks: wanted against measured statistics, motif counts against enumeration, impossible statistics."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import sparse, stats

from bmi_runtime.analysis.networks import graphs
from bmi_runtime.errors import BadInput


def test_motif_statistics_agree_with_counting_every_triple():
    rng = np.random.default_rng(0)
    graph = graphs.erdos_renyi(9, 0.4, rng)
    n = 9
    counted = dict.fromkeys(graphs.MOTIFS, 0)
    for i, j, k in itertools.permutations(range(n), 3):
        counted["convergent"] += graph[i, j] and graph[i, k] and j < k
        counted["divergent"] += graph[j, i] and graph[k, i] and j < k
        counted["chain"] += graph[j, i] and graph[k, j]
    counted["reciprocal"] = sum(graph[i, j] and graph[j, i] for i, j in itertools.combinations(range(n), 2))
    assert graphs.motif_counts(graph) == counted
    assert graphs.motif_statistics(sparse.csr_array(graph)) == graphs.motif_statistics(graph)


def test_erdos_renyi_has_no_motifs_beyond_chance():
    measured = graphs.motif_statistics(graphs.erdos_renyi(1500, 0.1, np.random.default_rng(1)))
    assert measured.probability == pytest.approx(0.1, rel=0.01)
    for name in graphs.MOTIFS:
        assert abs(getattr(measured, name)) < 0.02


def test_in_degrees_of_erdos_renyi_are_binomial():
    graph = graphs.erdos_renyi(1000, 0.1, np.random.default_rng(2))
    degrees = graphs.in_degrees(graph)
    assert not graph.diagonal().any()
    assert degrees.mean() == pytest.approx(99.9, abs=1)
    assert degrees.var() == pytest.approx(999 * 0.09, rel=0.15)


@pytest.mark.parametrize(
    "wanted",
    [
        graphs.MotifStatistics(0.1, 0.6, 0.4, 0.3, 0.2),
        graphs.MotifStatistics(0.2, -0.4, 0.2, 0.3, -0.15),
        graphs.MotifStatistics(0.05, 3.0, 0.0, 0.0, 0.0),
        graphs.MotifStatistics(0.15, 0.0, 0.5, 0.0, 0.0),
    ],
)
def test_sonets_have_the_wanted_statistics_on_average(wanted):
    rng = np.random.default_rng(3)
    measured = [dataclasses.astuple(graphs.motif_statistics(graphs.sonet(500, wanted, rng))) for _ in range(30)]
    # statistics are ratios to p^2: compare the joint probabilities themselves, which are unbiased
    measured = np.array(measured)
    joint = measured[:, :1] ** 2 * (1 + measured[:, 1:])
    expected = wanted.probability**2 * (1 + np.array(dataclasses.astuple(wanted)[1:]))
    errors = joint.std(axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(joint.mean(axis=0) - expected) < 4 * errors + 1e-9).all()
    assert abs(measured[:, 0].mean() - wanted.probability) < 4 * measured[:, 0].std(ddof=1) / np.sqrt(30) + 1e-9


def test_joint_probability_agrees_with_the_bivariate_normal():
    for p, rho in ((0.1, 0.5), (0.3, -0.4), (0.02, 0.9)):
        threshold = stats.norm.isf(p)
        expected = stats.multivariate_normal.cdf([-threshold] * 2, cov=[[1, rho], [rho, 1]], abseps=1e-10)
        assert graphs.joint_probability(p, rho) == pytest.approx(expected, abs=1e-7)
    assert graphs.joint_probability(0.1, 1.0) == pytest.approx(0.1, abs=1e-4)


def test_fixed_in_degree_networks_have_it():
    graph = graphs.sparse_erdos_renyi(50, 7, np.random.default_rng(0))
    assert (graphs.in_degrees(graph) == 7).all()
    assert not graph.diagonal().any()


def test_signed_weights_follow_dales_law():
    graph = graphs.erdos_renyi(40, 0.3, np.random.default_rng(0))
    weights = graphs.signed_weights(graph, 0.1, 0.25, 4.0)
    assert set(np.unique(weights[:, :30])) <= {0.0, 0.1} and set(np.unique(weights[:, 30:])) <= {0.0, -0.4}
    np.testing.assert_allclose(graphs.signed_weights(sparse.csr_array(graph), 0.1, 0.25, 4.0).toarray(), weights)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (graphs.MotifStatistics(0.0), "above 0 and below 1"),
        (graphs.MotifStatistics(1.2), "above 0 and below 1"),
        (graphs.MotifStatistics(0.2, reciprocal=4.5), "no network has reciprocal statistic 4.5"),
        (graphs.MotifStatistics(0.2, reciprocal=-1.5), "no network has"),
        (graphs.MotifStatistics(0.2, convergent=-0.2), "variance beyond chance"),
        (graphs.MotifStatistics(0.2, convergent=2.5, divergent=2.5), "too large to occur together"),
        (graphs.MotifStatistics(0.2, convergent=0.1, divergent=0.1, chain=0.3), "covariance of in- and out-degree"),
        (graphs.MotifStatistics(0.2, reciprocal=np.nan), "no network has"),
        (
            graphs.MotifStatistics(0.2, reciprocal=-0.9, convergent=0.9, divergent=0.9, chain=0.5),
            "cannot be reached together",
        ),
    ],
)
def test_statistics_that_no_network_can_have_are_refused(wanted, words):
    with pytest.raises(BadInput, match=words):
        graphs.sonet(50, wanted, np.random.default_rng(0))


def test_tiny_and_empty_networks_are_refused():
    with pytest.raises(BadInput, match="too small"):
        graphs.erdos_renyi(2, 0.5, np.random.default_rng(0))
    with pytest.raises(BadInput, match="no connection"):
        graphs.motif_statistics(np.zeros((5, 5)))
    with pytest.raises(BadInput, match="choose 1 to 4"):
        graphs.sparse_erdos_renyi(5, 9, np.random.default_rng(0))


@pytest.mark.parametrize(("strength", "inhibition"), [(np.nan, 4.0), (0.1, -1.0), (0.1, np.inf)])
def test_strengths_that_are_no_numbers_are_refused(strength, inhibition):
    with pytest.raises(BadInput, match="make no network"):
        graphs.signed_weights(np.ones((3, 3)), strength, 0.3, inhibition)
