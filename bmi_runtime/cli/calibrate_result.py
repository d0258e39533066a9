"""What ``bmi calibrate --json`` answers: the prediction, the pilot with its intervals, a truth that drifts."""

from __future__ import annotations


def result_of(prediction, found) -> dict:
    """Return the answer under the keys that the command promises."""
    design = prediction.design
    units = [prediction.unit(index) for index in range(design.units)]
    result = {
        "learning_rate": units[0]["learning_rate"],
        "bin_s": design.bin_s,
        "threshold": prediction.threshold,
        "likelihood": design.likelihood,
        "counts": design.counts if design.likelihood == "poisson" else None,
        "initial_covariance": "steady" if prediction.initial_covariance is None else prediction.initial_covariance,
        "largest_error_variance": prediction.largest_error.max(),
        "largest_error_sd": prediction.largest_error.max() ** 0.5,
        "longest_convergence_time_s": prediction.convergence_bins.max() * design.bin_s,
        "validity": prediction.validity,
    }
    if found is not None:
        for unit, alone in zip(units, found.per_unit):
            unit["learning_rate_alone"] = alone
        result |= {"wish": found.wish, "binding_unit": design.names[found.binding_unit]}
    return result | {"units": units}


def pilot_report(fit, scores, options, prediction) -> dict:
    """Return what the pilot held and the 90 % intervals that its shortness leaves."""
    import numpy as np

    from bmi_runtime.calibration.closed_form import convergence_bins, initial_in_modes, steady_state
    from bmi_runtime.calibration.decodable import directions
    from bmi_runtime.calibration.inverse import answer_wish
    from bmi_runtime.calibration.pilot_remarks import remarks

    rate, beyond = prediction.closed.rate[0], prediction.departure
    max_error, max_time = options["max_error"], options["max_convergence_time"]
    threshold, initial = options["threshold"], options["initial_covariance"]

    def wished(design, info):
        return answer_wish(design, info, max_error, max_time, threshold, initial).learning_rate

    def error(design, info):
        return float(steady_state(info, rate).largest_error.max())

    def time(design, info):
        start = initial_in_modes(info, initial)
        return float(convergence_bins(steady_state(info, rate), threshold, start).max() * design.bin_s)

    pilot, design = fit.pilot, fit.design
    state = scores.at(rate)
    found = scores.inflation(state)
    low, high = scores.interval(state)
    wishes = [] if max_error is None and max_time is None else [wished]
    names = ("largest_error_variance", "longest_convergence_time_s", "learning_rate")
    intervals = dict(zip(names, fit.intervals([error, time, *wishes])))
    intervals |= _widened(intervals, scores, state, rate, low, high, beyond)
    return {
        "seconds": len(pilot.states) * pilot.bin_s,
        "bins": len(pilot.states),
        "units": design.units,
        "counts": design.counts if design.likelihood == "poisson" else None,
        "state_rms": np.sqrt((pilot.states**2).mean(axis=0)),
        "regressors": list(pilot.kinds.places),
        "mean_rate_hz": pilot.counts.mean(axis=0) / pilot.bin_s if design.likelihood == "poisson" else None,
        "weights": design.weights,
        "noise_variance": design.noise if design.likelihood == "gaussian" else None,
        "interval_level": 0.9,
        "intervals": intervals,
        "drifting": [name for name, moves in zip(design.names, scores.drifting, strict=True) if moves],
        "memories": found.memories.min(axis=1),
        "score_dispersion": scores.dispersion(),
        "velocity_told": [{"direction": told.direction, "seconds": told.seconds} for told in directions(fit)],
        "error_factor_low": low,
        "error_factor_high": high,
        "set_aside": dict(pilot.set_aside),
        "remarks": remarks(fit),
    }


def _widened(intervals, scores, state, rate, low, high, beyond) -> dict:
    """Return the intervals of error and rate around the measured answer, with what its scores leave open.

    The closed form's interval (weights, states) and the inflation's are independent: their logarithms add in squares. A
    rate goes with the inverse square of the inflation.
    """
    import numpy as np

    largest = scores.largest_scatter(state, beyond)
    worst = int(np.argmax(largest))
    closed = state.largest_error.max()
    down = np.hypot(np.log(closed / intervals["largest_error_variance"][0]), np.log(low[worst]))
    up = np.hypot(np.log(intervals["largest_error_variance"][1] / closed), np.log(high[worst]))
    out = {"largest_error_variance": (largest[worst] * np.exp(-down), largest[worst] * np.exp(up))}
    if "learning_rate" in intervals:
        out["learning_rate"] = (rate * np.exp(-2 * up), rate * np.exp(2 * down))
    return out


def drifting_report(info, rate, drift) -> dict:
    """Return what a drifting truth changes, nothing without a drift."""
    if drift is None:
        return {}
    from bmi_runtime.calibration.drift import best_rate, drifting_error

    return {
        "drift": drift,
        "best_learning_rate": best_rate(info, drift),
        "error_covariance_drifting": drifting_error(info, rate, drift),
    }
