"""The read-out's rate, found from a hundred times too high and too low."""

import dataclasses

import numpy as np
import pytest

from bmi_runtime.calibration.readout import ReadoutPilot
from bmi_runtime.decoding.adaptive_readout import AdaptiveReadout, Directions, replayed_error
from bmi_runtime.decoding.readout_search import ReadoutSearch
from bmi_runtime.errors import BadInput

BIN_S, BINS, DELAY, P, NOISE = 0.05, 6000, 20, 8, 0.04


def _recording(walk, seed=0):
    """Features, and the residual of weights that walk so far a bin (sd) under noise."""
    rng = np.random.default_rng(seed)
    features = np.hstack([np.ones((BINS, 1)), np.zeros((BINS, P))])
    for t in range(1, BINS):
        features[t, 1:] = 0.7 * features[t - 1, 1:] + np.sqrt(0.51 / P) * rng.standard_normal(P)
    weights = np.cumsum(walk * rng.standard_normal((BINS, 1 + P, 2)), axis=0)
    return features, np.einsum("tp,tpo->to", features, weights) + np.sqrt(NOISE) * rng.standard_normal((BINS, 2))


def _directions():
    return Directions(np.zeros(P), np.eye(P), np.r_[1.0, np.full(P, 1.0 / P)])


def _searched(features, residual, start):
    readout = AdaptiveReadout(_directions(), NOISE, 2, start)
    search = ReadoutSearch(readout, BIN_S)
    said, error = [], []
    for t in range(BINS):
        said.append(search.said(features[t]))
        error.append(((residual[t] - said[-1][-1]) ** 2).mean())
        if t >= DELAY:
            search.teach(features[t - DELAY], residual[t - DELAY], said[t - DELAY])
    return readout.rate, float(np.mean(error)), search


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("walk", "seed"), [(0.005, 0), (0.001, 2)])
def test_the_rate_is_found_where_the_read_out_drifts(factor, walk, seed):
    features, residual = _recording(walk, seed)
    # with the filters' own noise: what drift adds to the residual's would make a rate of the same gain that much higher
    pilot = dataclasses.replace(ReadoutPilot.measured(features, residual, BIN_S), noise=NOISE)
    ladder = np.geomspace(1e-8, 1e-2, 61)
    errors = [replayed_error(_directions(), pilot, features, residual, rate, DELAY) for rate in ladder]
    best = ladder[int(np.argmin(errors))]
    rate, error, _ = _searched(features, residual, factor * best)
    assert 1.0 / 2.0 < rate / best < 2.0
    assert error < 1.1 * min(errors)


def test_where_nothing_drifts_it_goes_down():
    features, residual = _recording(walk=0.0)
    rate, error, search = _searched(features, residual, 1e-4)
    assert rate < 1e-5 and error < 1.05 * NOISE
    assert search.choice.rates[0] < 1e-7  # the ladder has moved, and its filters with it
    assert [one.rate for one in search.filters] == search.choice.rates.tolist()


def test_a_search_from_nothing_is_refused_and_missing_truth_teaches_nothing():
    with pytest.raises(BadInput, match="above zero"):
        ReadoutSearch(AdaptiveReadout(_directions(), NOISE, 2, 0.0), BIN_S)
    search = ReadoutSearch(AdaptiveReadout(_directions(), NOISE, 2, 1e-4), BIN_S)
    features = np.ones(1 + P)
    search.teach(features, np.array([np.nan, 0.1]), search.said(features))
    assert not search.readout.weights.any() and search.choice.bins == 0
