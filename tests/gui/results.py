"""Results of the offline modules made of formulas alone, laid out as their files."""

import numpy as np

UNITS, LAGS = 5, 12


def glm_arrays():
    lag = np.arange(1, LAGS + 1)
    coupling = np.zeros((UNITS, UNITS, LAGS))
    coupling[np.arange(UNITS), np.arange(UNITS)] = -2.0 * np.exp(-lag / 2)
    coupling[3, 1] = 0.6 * np.exp(-lag / 4)
    coupling[0, 4] = -0.5 * np.exp(-lag / 5)
    coupling[2, 2, 0] = -np.inf
    errors = np.full(coupling.shape, 0.05)
    names = np.array([f"unit {k}" for k in range(UNITS)])
    return {"coupling": coupling, "filter_standard_errors": errors, "intercept": np.zeros(UNITS),
            "bin_s": np.array(2e-3), "unit_names": names}  # fmt: skip


def causal_arrays():
    truth = np.zeros((6, 6))
    truth[[1, 2, 5], [0, 1, 3]] = 0.7, 0.5, -0.6
    estimate = 0.5 * truth.T + 0.01 * np.cos(np.arange(36)).reshape(6, 6)
    return {"estimate": estimate, "low": estimate - 0.05, "high": estimate + 0.05, "p_values": np.full((6, 6), 0.3),
            "discoveries": np.abs(estimate) > 0.1, "connectivity": truth}  # fmt: skip


def states_arrays():
    inputs = np.stack([np.linspace(-55, -50, 8), np.linspace(-20, 20, 8)])
    curve = np.linspace(-70, 30, 60)
    return {"curve_input_mv": curve, "curve_rate_hz": np.maximum(curve + 55, 0.0), "state_input_mv": inputs,
            "state_rate_hz": np.maximum(inputs + 55, 0.0), "state_stable": np.array([1.0, 0.0]),
            "statement": np.array("not unique: 2 distinct fixed points were found")}  # fmt: skip


def density_arrays():
    v, times = np.linspace(-4, 2, 80), np.linspace(0, 3, 31)
    density = np.exp(-((v[None, :] - 0.2 * times[:, None]) ** 2)) / np.sqrt(np.pi)
    kept = {"resting": 0 * times, "model": np.array("{}"), "answer": np.array("{}")}
    return {"v": v, "times": times, "density": density, "rate_times": times, "rate": times**2, **kept}


ARRAYS = {"couplings": glm_arrays, "causal": causal_arrays, "steady_states": states_arrays, "density": density_arrays}
