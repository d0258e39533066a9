"""Pilots that are odd in one way: the way is named, and what can be said is said."""

import numpy as np
import pytest
from scipy.signal import lfilter

from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.calibration.pilot_remarks import remarks
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.errors import BadInput

BIN_S, BINS, UNITS = 0.05, 4000, 8


def drawn(seed=1):
    """Return velocity (m/s), counts, and log rates of units tuned all around."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / 12)
    state = lfilter([1.0], [1.0, -keep], rng.standard_normal((BINS, 2)) * np.sqrt(1 - keep**2), axis=0)
    angle = np.linspace(0, 2 * np.pi, UNITS, endpoint=False)
    log_rate = np.log(15 * BIN_S) + 0.35 * state @ np.array([np.cos(angle), np.sin(angle)])
    return state / 10, rng.poisson(np.exp(log_rate)), log_rate


def told(path, counts, velocity):
    np.savez(path / "p.npz", counts=counts, bin_s=BIN_S, velocity=velocity)
    return remarks(fit_usable(load_pilot(path / "p.npz")))


def test_of_an_ordinary_pilot_nothing_is_told(tmp_path):
    velocity, counts, _ = drawn()
    assert told(tmp_path, counts, velocity) == []
    assert told(tmp_path, 0.1 * np.random.default_rng(2).standard_normal(counts.shape) + drawn()[2], velocity) == []


def slow_cm(velocity, counts):
    return 10 * velocity, counts


def one_direction(velocity, counts):
    counts[:, 4] *= velocity[:, 0] > 0.02
    return velocity, counts


def speeds(velocity, counts):
    return np.abs(velocity), counts


def artefact(velocity, counts):
    counts[1000:1010, 6] = 500
    return velocity, counts


def lost_signal(velocity, counts):
    counts[1000:2000] = 0
    return velocity, counts


def lost_unit(velocity, counts):
    counts[3000:, 2] = 0
    return velocity, counts


def changed(velocity, counts):
    counts[2000:, 1] *= 3
    return velocity, counts


def out_of_step(velocity, counts):
    return velocity, np.roll(counts, 200, axis=0)


def twice(velocity, counts):
    counts[:, 7] = counts[:, 6]
    return velocity, counts


def gaps(velocity, counts):
    velocity[500:1000] = np.nan
    return velocity, counts


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (slow_cm, "--velocity-scale 0.1"),
        (one_direction, "hardly fire in movements one way (4)"),
        (speeds, "along axis 0 is positive nearly throughout"),
        (artefact, "unit 6: 10 bins far from all others"),
        (lost_signal, "no unit fired from 50 to 100 s"),
        (lost_unit, "1 unit fell silent for long though they fired before (2)"),
        (changed, "1 of 8 units changed between the halves of the pilot (1)"),
        (out_of_step, "recorded in step?"),
        (twice, "units 6 and 7 are the same in every bin"),
        (gaps, "500 of 4000 bins say nothing of the movement"),
    ],
)
def test_what_is_odd_about_a_pilot_is_named(tmp_path, spoil, said):
    velocity, counts = spoil(*drawn()[:2])
    found = told(tmp_path, counts, velocity)
    assert any(said in remark for remark in found), found


def test_an_axis_that_is_hardly_moved_along_is_refused_by_name(tmp_path):
    velocity, counts, _ = drawn()
    velocity[:, 1] *= 1e-3
    with pytest.raises(BadInput, match="hardly moves along axis 1"):
        told(tmp_path, counts, velocity)
