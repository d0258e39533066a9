"""The monitor's step for any number of regressors against dense matrices, and against the one written for three."""

import numpy as np
import pytest

from bmi_runtime.kernels import correlated, monitoring, monitoring_any, monitoring_plane


def a_run(d, units, gaussian, bins=60, seed=0, own=False):
    """Inputs of a run of the monitor: regressors, counts, validity, innovations and a covariance in each bin."""
    rng = np.random.default_rng([seed, d, units, gaussian])
    settings = np.zeros(monitoring.N_SETTINGS)
    settings[monitoring.GAUSSIAN], settings[monitoring.SINGLE] = gaussian, not gaussian
    settings[monitoring.KEEP], settings[monitoring.SHORT_KEEP] = 0.99, 0.9
    settings[monitoring.MEMORIES], settings[monitoring.Z_SQUARES :] = 0.001, 0.5
    noise = rng.uniform(0.5, 2.0, units)
    rows = []
    for _ in range(bins):
        root = rng.normal(size=(units, d, d)) * 0.2
        covariance = root @ root.transpose(0, 2, 1)
        u = rng.normal(size=(d, units if own else 1))
        u[0] = 1.0
        counts = rng.normal(size=units) if gaussian else rng.poisson(0.3, units).astype(float)
        valid, innovation = (rng.random(units) > 0.1).astype(float), counts - rng.uniform(0.05, 0.5, units)
        rows.append((u, counts, valid, innovation, covariance))
    return settings, noise, rows


def triangle(matrices):
    d = matrices.shape[-1]
    return np.array([matrices[:, a, b] for a in range(d) for b in range(a + 1)])


def run(d, units, gaussian, own=False):
    settings, noise, rows = a_run(d, units, gaussian, own=own)
    matrices = np.zeros((monitoring_any.matrices_size(d), units))
    state = np.zeros((units, monitoring.N_STATE))
    matrices[: d * (d + 1) // 2] = triangle(rows[0][4])
    work = np.full(monitoring_any.work_shape(d), np.nan)
    for u, counts, valid, innovation, covariance in rows:
        packed = triangle(covariance)
        seen, gains = (u, counts, valid, innovation, packed, noise), np.full((d, units), np.nan)
        monitoring_any.monitor_step_any(*seen, settings, matrices, state, gains, work)
        np.testing.assert_allclose(
            gains, np.einsum("iab,bi->ai", covariance, np.broadcast_to(u, (d, units))), rtol=1e-9
        )
    return matrices, state


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("d", [2, 3, 8])
def test_error_cross_and_trace_are_those_of_dense_matrices(d, gaussian, own):
    units = 5
    _, noise, rows = a_run(d, units, gaussian, own=own)
    matrices, _ = run(d, units, gaussian, own=own)
    for unit in range(units):
        error, cross, trace = rows[0][4][unit].copy(), np.zeros((d, d)), np.zeros(d)
        for u, counts, valid, innovation, covariance in rows:
            u = u[:, unit if own else 0]
            nu, mask, s = innovation[unit], valid[unit], covariance[unit]
            w = mask / noise[unit] if gaussian else mask * max(counts[unit] - nu, 0.0)
            v, x = (w, nu * w) if gaussian else (w * (1.0 - min(w, 1.0)), mask * nu)
            g, kept = s @ u, np.eye(d) - w * np.outer(s @ u, u)
            cross = kept @ cross @ kept.T + np.outer(g, w * (u @ error @ kept.T) - v * g)
            error = kept @ error @ kept.T + v * np.outer(g, g)
            trace = kept @ trace + g * x
        pairs = d * (d + 1) // 2
        np.testing.assert_allclose(matrices[:pairs, unit], triangle(error[None])[:, 0], rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(matrices[pairs : pairs + d * d, unit].reshape(d, d), cross, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(matrices[pairs + d * d :, unit], trace, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("gaussian", [False, True])
def test_three_regressors_are_as_written_out(gaussian):
    units = 300  # more than one block
    settings, noise, rows = a_run(3, units, gaussian)
    own = np.array([4.0, 0.999, 2.0, 1.2, 0.9, 0.5, 1.2])
    matrices, state = run(3, units, gaussian)
    written = np.zeros((units, monitoring.N_STATE))
    written[:, :6] = triangle(rows[0][4]).T
    loop_matrices, loop_state = np.zeros_like(matrices), np.zeros_like(state)
    loop_matrices[:6] = triangle(rows[0][4])
    late, loop_late = (np.zeros((units, 9 + correlated.N_LATE)) for _ in range(2))
    marks, loop_marks = np.zeros(units, np.int64), np.zeros(units, np.int64)
    work, gains, changes = np.empty(monitoring_any.work_shape(3)), np.empty((3, units)), []
    for number, (u, counts, valid, innovation, covariance) in enumerate(rows):
        seen = (counts, valid, innovation, triangle(covariance), noise)
        when = (number % 4 == 3, number % 2 == 1)
        monitoring_any.monitor_step_any(u, *seen, settings, loop_matrices, loop_state, gains, work)
        late_seen = (u, counts, valid, innovation, gains, noise, settings, own)
        by_loop = correlated.correlated_step(*late_seen, *when, loop_state, loop_late, loop_marks)
        changes.append(monitoring_plane.monitor_plane(u[:, 0], *seen, settings, own, *when, written, late, marks))
        assert changes[-1] == by_loop
    np.testing.assert_allclose(matrices.T, written[:, : matrices.shape[0]], rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(state[:, monitoring.SEEN :], written[:, monitoring.SEEN :], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(late, loop_late, rtol=1e-7, atol=1e-10)
    np.testing.assert_array_equal(marks, loop_marks)
    assert 0 < marks.astype(bool).sum() < units and sum(changes) > 0


@pytest.mark.parametrize("d", [4, 8])
def test_a_unit_does_not_depend_on_its_block(d):
    together, alone = run(d, 260, False)[0], []
    settings, noise, rows = a_run(d, 260, False)
    for unit in (0, 255, 256, 259):
        matrices = np.zeros((monitoring_any.matrices_size(d), 1))
        matrices[: d * (d + 1) // 2] = triangle(rows[0][4][unit : unit + 1])
        state = np.zeros((1, monitoring.N_STATE))
        work, gains, at = np.empty(monitoring_any.work_shape(d)), np.empty((d, 1)), slice(unit, unit + 1)
        for u, counts, valid, innovation, covariance in rows:
            monitoring_any.monitor_step_any(
                u, counts[at], valid[at], innovation[at], triangle(covariance[at]), noise[at], settings,
                matrices, state, gains, work,
            )  # fmt: skip
        alone.append(matrices[:, 0])
    np.testing.assert_array_equal(np.array(alone).T, together[:, [0, 255, 256, 259]])
