"""Calibration blocks: error after a length, length for an error, and when a schedule reaches its floor."""

import numpy as np
import pytest

from bmi_runtime.calibration.block_length import block_of, seconds_to_floor, shortest_block
from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.schedules import floor_schedule
from bmi_runtime.errors import BadInput

BIN_S = 0.05


def movement(bins, rng):
    angle = np.cumsum(rng.normal(size=bins) * 0.3)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * 1.5 * np.abs(np.sin(np.arange(bins) / 7.0))[:, None]


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_error_of_a_block_is_that_of_fits_to_many_blocks(memory):
    """Gaussian units with white and with correlated noise, predicted from a pilot, against fits to other blocks."""
    rng = np.random.default_rng(3)
    bins, block, units = 24_000, 1_200, 6
    states = movement(bins, rng)
    u = np.column_stack([np.ones(bins), states])
    weights = rng.normal(size=(units, 3))
    noise = rng.normal(size=(bins, units))
    for t in range(1, bins):
        noise[t] = memory * noise[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    scores = MeasuredScores(fit_pilot(Pilot(u @ weights.T + noise, states, BIN_S, "gaussian")))
    predicted = block_of(scores.info, BIN_S, block * BIN_S, scores=scores).error
    directions = scores.info.directions
    errors = []
    for start in range(0, bins, block):
        rows = slice(start, start + block)
        fitted = np.linalg.lstsq(u[rows], (u[rows] @ weights.T + noise[rows]), rcond=None)[0].T
        errors.append(np.einsum("nij,ni->nj", directions, fitted - weights) ** 2)
    achieved = np.mean(errors, axis=0).max(axis=1)  # of each unit's worst mode, in 20 blocks
    assert np.exp(np.mean(np.log(predicted / achieved))) == pytest.approx(1.0, abs=0.3)
    white = block_of(scores.info, BIN_S, block * BIN_S).error
    off = float(np.exp(np.mean(np.log(achieved / white))))  # what white scores would have promised
    assert off == pytest.approx(1.0, abs=0.4) if memory == 0 else off > 3.0


def test_there_and_back_and_what_cannot_be():
    rng = np.random.default_rng(1)
    design = Design(movement(2_000, rng), rng.normal(size=(4, 3)) * 0.5 + [2, 0, 0], BIN_S, "poisson", counts="poisson")
    info = information(design)
    for initial in (None, 0.25):
        block = shortest_block(info, BIN_S, 0.01, initial)
        assert block.error.max() == pytest.approx(0.01, rel=1e-3)
        assert block_of(info, BIN_S, block.seconds, initial).error.max() == block.error.max()
    assert block.seconds < shortest_block(info, BIN_S, 0.01).seconds  # something was known before
    with pytest.raises(BadInput, match="cannot be"):
        block_of(info, BIN_S, 0.0)
    with pytest.raises(BadInput, match="above zero"):
        shortest_block(info, BIN_S, 0.0)
    with pytest.raises(BadInput, match="no calibration block"):
        shortest_block(info, BIN_S, 1e-12)


def test_the_floor_is_reached_when_the_schedule_says():
    rng = np.random.default_rng(2)
    design = Design(movement(2_000, rng), rng.normal(size=(3, 3)) * 0.3 + [2, 0, 0], BIN_S, "poisson", counts="poisson")
    info = information(design)
    schedule = floor_schedule(info, 1e-5, 0.25, 20_000)
    bins = (schedule == 0).sum(axis=0)
    np.testing.assert_allclose(seconds_to_floor(info, BIN_S, 1e-5, 0.25), BIN_S * bins, rtol=2e-3, atol=2 * BIN_S)
    assert (seconds_to_floor(info, BIN_S, 1.0, 0.25) <= BIN_S).all()
