"""The matrix-free products against the design matrix written out."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm.bases import parse_basis
from bmi_runtime.analysis.glm.design import Covariates, Design
from bmi_runtime.analysis.glm.events import from_counts
from bmi_runtime.errors import BadInput

LEADS = (-1, 0, 3)


@pytest.fixture(scope="module")
def written_out():
    rng = np.random.default_rng(0)
    counts, table = rng.poisson(0.05, (1500, 3)), rng.normal(size=(1500, 2))
    basis = parse_basis("raised-cosine:5", 23)
    covariates = Covariates(table, LEADS, table.mean(0), table.std(0), np.zeros(2, int))
    design = Design(from_counts(counts), basis, 25, 1497, covariates, own=np.arange(3), block=256)
    scaled = (table - table.mean(0)) / table.std(0)
    rows = [
        np.r_[1.0, (counts[t - 23 : t][::-1].T @ basis).ravel(), [scaled[t + d, c] for c in (0, 1) for d in LEADS]]
        for t in range(25, 1497)
    ]
    return counts, design, np.array(rows)


@pytest.mark.parametrize("stride", [1, 3, 8, 32])
def test_products_equal_the_matrix(written_out, stride):
    _counts, design, matrix = written_out
    thinned, matrix = design.thinned(stride), matrix[::stride]
    weights = np.random.default_rng(1).normal(size=(design.parameters, 3))
    taps = thinned.filters(weights, np.arange(3))
    forward = np.concatenate([thinned.predictor(weights, taps, *block) for block in thinned.blocks()])
    assert np.abs(forward - matrix @ weights).max() < 1e-12
    assert np.abs(thinned.features(0, thinned.rows) - matrix).max() < 1e-12

    def work(begin, end, total):
        thinned.add_transpose(total, np.ascontiguousarray(forward[begin:end]), begin, end)

    back, _ = thinned.each_block(work, 3)
    assert np.abs(back - matrix.T @ forward).max() < 1e-9


def test_cross_product_equals_the_matrix(written_out):
    counts, design, matrix = written_out
    assert np.abs(design.cross_product(from_counts(counts)) - matrix.T @ counts[25:1497]).max() < 1e-10


def test_gram_is_that_of_the_recording_between_silences(written_out):
    counts, design, matrix = written_out
    silent = np.zeros((23, 3))
    padded = np.r_[silent, counts, silent]
    rows = [(padded[t - 23 : t][::-1].T @ design.basis).ravel() for t in range(23, len(padded) + 1)]
    expected = np.array(rows).T @ np.array(rows)
    assert np.abs(design.gram()[1:16, 1:16] - expected).max() < 1e-9
    assert np.abs(design.gram()[:, [0, 16, 21]] - matrix.T @ matrix[:, [0, 16, 21]]).max() < 1e-9


def test_threads_share_the_blocks(written_out):
    import dataclasses

    _counts, design, matrix = written_out
    threaded = dataclasses.replace(design, threads=3)
    ones = np.ones((design.block, 3))

    def work(begin, end, total):
        threaded.add_transpose(total, ones[: end - begin], begin, end)
        return begin

    total, begins = threaded.each_block(work, 3)
    assert np.abs(total[:, 0] - matrix.sum(axis=0)).max() < 1e-9
    assert sorted(begins) == [begin for begin, _ in design.blocks()]


@pytest.mark.parametrize("name", ["raised-cosine:8", "raised-cosine-linear:8", "b-spline:8", "b-spline:2"])
def test_bases_are_local_nonnegative_and_distinct(name):
    basis = parse_basis(name, 60)
    assert basis.min() >= 0 and np.linalg.matrix_rank(basis) == basis.shape[1]
    assert (np.diff(basis.argmax(axis=0)) > 0).all()


def test_bases_sum_to_a_constant_where_they_overlap():
    linear = parse_basis("raised-cosine-linear:8", 80)
    inner = slice(linear[:, 1].argmax(), linear[:, -2].argmax())
    assert np.ptp(linear[inner].sum(axis=1)) < 1e-12
    assert np.abs(parse_basis("b-spline:6", 50).sum(axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fourier:3", "there is no basis 'fourier:3'"),
        ("b-spline", "needs a number of functions"),
        ("raised-cosine:30", "more functions than the 20 history bins"),
    ],
)
def test_unusable_bases_are_refused(name, message):
    with pytest.raises(BadInput, match=message):
        parse_basis(name, 20)


def test_events_hold_the_counts(written_out):
    counts, _design, _ = written_out
    events = from_counts(counts)
    assert np.array_equal(events.dense(100, 900), counts[100:900])
    assert np.array_equal(events.between(100, 900).totals(), counts[100:900].sum(axis=0))
    assert np.array_equal(events.take([2, 0]).dense(0, 1500), counts[:, [2, 0]])


def test_crowded_recordings_take_dense_products():
    counts = np.random.default_rng(2).poisson(1.0, (700, 3))
    design = Design(from_counts(counts), parse_basis("b-spline:3", 6), 6, 700, own=np.arange(3), block=128)
    assert design.crowded()
    matrix = design.features(0, design.rows)
    assert np.abs(design.gram() - matrix.T @ matrix).max() < 1e-8
    assert np.abs(design.cross_product(from_counts(counts)) - matrix.T @ counts[6:]).max() < 1e-8
