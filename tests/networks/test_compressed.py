import numpy as np
import pytest
from scipy import sparse

from bmi_runtime.analysis.networks import solvers
from bmi_runtime.analysis.networks.compressed import CompressedWeights
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.rate_table import RateTable
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import network_products as kernels


def gaussian(strength, size=300, seed=2):
    weights = np.random.default_rng(seed).normal(size=(size, size)) * strength / np.sqrt(size)
    return RateNetwork(weights, -47.0)


def test_compressed_weights_are_within_half_a_unit():
    weights = gaussian(0.3).weights.copy()
    weights[3] = 0.0
    held = CompressedWeights(weights)
    units = np.abs(weights).max(axis=1) / 127
    np.testing.assert_allclose(held.units, units)
    assert np.all(np.abs(held.codes * units[:, None] - weights) <= 0.5001 * units[:, None])


@pytest.mark.parametrize("shape", [(1, 1), (9, 7), (17, 200), (205, 203)])
def test_exact_product_and_largest_in_rows_against_numpy(shape):
    rng = np.random.default_rng(0)
    matrix, x, out = rng.normal(size=shape), rng.normal(size=shape[1]), np.empty(shape[0])
    kernels.product(matrix, x, out)
    np.testing.assert_allclose(out, matrix @ x, atol=1e-13 * shape[1])
    kernels.largest_in_rows(matrix.view(np.int64), out)
    np.testing.assert_array_equal(out, np.abs(matrix).max(axis=1))
    for bad in (np.nan, -np.nan, np.inf, -np.inf):
        matrix[-1, 0] = bad
        kernels.largest_in_rows(matrix.view(np.int64), out)
        assert np.isfinite(out).sum() == shape[0] - 1


def test_exact_product_rounds_in_the_written_order():
    """Eight running sums of every eighth product, added up from the first: on any machine to the same bits."""
    rng = np.random.default_rng(1)
    matrix, x, out = rng.normal(size=(8, 37)), rng.normal(size=37), np.empty(8)
    kernels.product(matrix, x, out)
    for i, row in enumerate(matrix):
        sums = [0.0] * 8
        for j in range(32):
            sums[j % 8] += row[j] * x[j]
        total = 0.0
        for value in sums:
            total += value
        for j in range(32, 37):
            total += row[j] * x[j]
        assert out[i] == total


@pytest.mark.parametrize("size", [203, 3000])
def test_compressed_product_is_that_of_the_codes(size):
    rng = np.random.default_rng(1)
    held = CompressedWeights(np.full((size, size), 0.02))  # all codes 127: the sums are as large as they can be
    x = rng.random(size)
    np.testing.assert_allclose(held.product(x), held.units * (held.codes @ x), rtol=1e-3)
    assert np.array_equal(held.product(np.zeros(size)), np.zeros(size))


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.45])
def test_refined_state_is_the_exact_one(strength):
    network = gaussian(strength)
    found = solvers.refine(network, network.external_mv, 1e-12)
    plain = solvers.iterate(network, network.external_mv, 1e-12)
    assert found.converged and found.residual < 2e-12
    np.testing.assert_allclose(found.input_mv, plain.input_mv, atol=1e-11)


def test_refinement_gives_up_in_words_where_the_iteration_is_repelled():
    network = gaussian(3.0)
    found = solvers.refine(network, network.external_mv)
    assert not found.converged and np.isfinite(found.input_mv).all()


def test_large_excitatory_network_is_solved_to_the_residual():
    network = RateNetwork(np.where(np.random.default_rng(4).random((400, 400)) < 0.5, 0.01, 0.0), -50.0)
    found = solvers.solve_from(network, network.external_mv)
    assert found.converged and found.residual <= 1e-10
    assert np.abs(network.mapped(found.input_mv) - found.input_mv).max() <= 1e-10


@pytest.mark.parametrize("span", [(-48.0, -44.0), (-55.0, -40.0), (-47.0, -47.0), (-90.0, 60.0)])
def test_rate_table_agrees_with_the_curve(span):
    neuron = LIFNeuron()
    table, inputs = RateTable(neuron), np.random.default_rng(3).uniform(*span, 500)
    exact = neuron.rate_hz(inputs)
    np.testing.assert_allclose(table(inputs), exact, atol=1e-12 * exact.max())
    coarse = RateTable(neuron, 1e-5)
    np.testing.assert_allclose(coarse(inputs), exact, atol=1e-4 * exact.max())
    moved = inputs + 3.0  # beyond its range it is made again
    np.testing.assert_allclose(table(moved), neuron.rate_hz(moved), atol=1e-12 * neuron.rate_hz(moved).max())


def test_row_entries_against_scipy():
    rng = np.random.default_rng(5)
    matrix = np.where(rng.random((40, 40)) < 0.2, rng.normal(size=(40, 40)), 0.0)
    wanted = sparse.csr_array(matrix)
    room = wanted.nnz + 41
    columns, values, starts = np.empty(room, np.int32), np.empty(room), np.empty(41, np.int32)
    assert kernels.row_entries(matrix, columns, values, starts) == wanted.nnz
    np.testing.assert_array_equal(starts, wanted.indptr)
    np.testing.assert_array_equal(columns[: wanted.nnz], wanted.indices)
    np.testing.assert_array_equal(values[: wanted.nnz], wanted.data)
    assert kernels.row_entries(matrix, columns[:50], values[:50], starts) == -1


def test_values_that_are_not_finite_are_found_in_a_large_matrix():
    weights = gaussian(0.1).weights.copy()
    weights[7, 9], weights[8, 9] = np.inf, -np.inf
    with pytest.raises(BadInput, match="row 7, column 9"):
        RateNetwork(weights, -47.0)
