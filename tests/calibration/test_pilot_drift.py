"""How fast units drift, from the weights of several pilots."""

import numpy as np
import pytest

from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.pilot import Pilot, fit_pilot
from bmi_runtime.calibration.pilot_drift import changes, dated, walks
from bmi_runtime.errors import BadInput

BIN_S, BINS, APART_S = 0.05, 3_000, 600.0


def pilots(walk_per_s, starts, units=40, seed=4):
    """Return pilots of features whose weights walk all the time, begun at `starts` (s)."""
    rng = np.random.default_rng(seed)
    angle = np.cumsum(rng.normal(size=BINS) * 0.3)
    states = 1.5 * np.column_stack([np.cos(angle), np.sin(angle)])
    u = np.column_stack([np.ones(BINS), states])
    weights, now, found = rng.normal(size=(units, 3)), 0.0, []
    for start in starts:
        weights = weights + np.sqrt(walk_per_s * (start - now)) * rng.normal(size=weights.shape)
        steps = np.sqrt(walk_per_s * BIN_S) * rng.normal(size=(BINS, units, 3))
        path = weights + np.cumsum(steps, axis=0)
        counts = np.einsum("ti,tni->tn", u, path) + rng.normal(size=(BINS, units))
        weights, now = path[-1], start + BINS * BIN_S
        scores = MeasuredScores(fit_pilot(Pilot(counts, states, BIN_S, "gaussian")))
        found.append(dated(f"at {start:g}", scores, start + 0.5 * BINS * BIN_S))
    return found


@pytest.mark.parametrize("walk", [0.0, 2e-5])
def test_the_walk_that_the_weights_made_is_found(walk):
    found = walks(pilots(walk, [0.0, APART_S, 3 * APART_S]))["within_day"]
    assert found.pairs == 3
    assert abs(found.per_s - walk) < max(4.0 * found.standard_error, 0.2 * walk)
    assert found.standard_error < 6e-6


def test_days_are_kept_apart_from_one_day_and_overlap_is_refused():
    first, second = pilots(1e-5, [0.0, 1000.0], units=5)
    later = dated_later(second, 86_400.0)
    assert set(walks([first, second, later])) == {"within_day", "over_days"}
    with pytest.raises(BadInput, match="overlap in time"):
        changes(first, dated_later(second, -1000.0))
    with pytest.raises(BadInput, match="0 units in common"):
        changes(first, dated_later(second, 0.0, names=tuple("abcde")))


def dated_later(pilot, by_s, **changed):
    import dataclasses

    return dataclasses.replace(pilot, middle_s=pilot.middle_s + by_s, **changed)
