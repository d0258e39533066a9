"""The project's exponential against the C library's."""

import numpy as np

from bmi_runtime.kernels.exponential import exponentials


def test_it_is_within_two_units_in_the_last_place():
    x = np.concatenate([np.linspace(-699.0, 699.0, 200_001), np.random.default_rng(1).normal(size=100_000)])
    got = np.empty_like(x)
    exponentials(x, got)
    assert np.abs(got / np.exp(x) - 1.0).max() < 4.5e-16


def test_special_values():
    x = np.array([0.0, -1e9, 1e9, np.inf, -np.inf, np.nan])
    got = np.empty_like(x)
    exponentials(x, got)
    assert got[0] == 1.0
    assert np.allclose(got[[1, 4]], np.exp(-700.0), rtol=1e-12)
    assert np.allclose(got[[2, 3]], np.exp(700.0), rtol=1e-12)
    assert np.isnan(got[5])
