"""``bmi calibrate --method``: half lives of other methods of adaptation, and the rate of a network's read-out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime.errors import BadInput

if TYPE_CHECKING:
    from bmi_runtime.decoding.adaptive_readout import ReadoutPlan

HORIZON_S, LATE_S = 600.0, 1.0  # what a read-out's best rate is calculated for


def half_life_answer(design, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the answer for SmoothBatch or RML, as keys and as text."""
    from bmi_runtime.calibration.closed_form import check_threshold, information, rotate
    from bmi_runtime.calibration.forgetting import Forgetting, half_life_for_convergence, half_life_for_error

    method, threshold, bin_s = options["method"], options["threshold"], design.bin_s
    check_threshold(threshold)
    wishes = {name: options[name] for name in ("half_life", "max_error", "max_convergence_time")}
    given = [name for name, value in wishes.items() if value is not None]
    if len(given) != 1 or options["learning_rate"] is not None:
        raise BadInput(f"--method {method} has a half life: give --half-life, --max-error or --max-convergence-time")
    if not (math.isfinite(wishes[given[0]]) and wishes[given[0]] > 0.0):
        raise BadInput(f"--{given[0].replace('_', '-')} is {wishes[given[0]]:g}; give a number above zero")
    batch = max(1, round(options["batch"] / bin_s)) if method == "smoothbatch" else 1
    info = information(design)
    try:
        if options["max_error"] is not None:
            half_life = half_life_for_error(info, options["max_error"], batch)
        elif options["max_convergence_time"] is not None:
            half_life = half_life_for_convergence(options["max_convergence_time"] / bin_s, threshold)
        else:
            half_life = options["half_life"] / bin_s
    except ValueError as error:
        raise BadInput(f"--method {method}: {error}") from None
    found = Forgetting(half_life, batch)
    errors = found.error_in_modes(info)
    covariance = rotate(errors[:, :, None] * np.eye(errors.shape[1]), info.directions)
    seconds = found.convergence_bins(threshold) * bin_s
    units = [{"error_covariance": covariance[u], "convergence_time_s": seconds} for u in range(len(errors))]
    result = {
        "method": method, "half_life_s": half_life * bin_s, "batch_s": batch * bin_s, "bin_s": bin_s,
        "threshold": threshold, "learning_rate": 1.0 - found.kept, "largest_error_variance": errors.max(),
        "longest_convergence_time_s": seconds, "units": units,
    }  # fmt: skip
    text = (
        f"{method}: half life {half_life * bin_s:.4g} s" + (f", batches of {batch * bin_s:g} s" if batch > 1 else "")
        + f"\nlargest error sd of a weight {math.sqrt(errors.max()):.3g}; mean error down to {threshold:g} of its "
        f"start in {seconds:.4g} s, all directions alike"
    )  # fmt: skip
    return result, text


def readout_answer(path: str, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the answer for the read-out of a network that ``bmi train`` wrote, as keys and as text."""
    from bmi_runtime.calibration.readout import rate_for_convergence, rate_for_excess, steady

    plan, parameters, name = plan_of_file(path)
    pilot, drift = plan.pilot, plan.drift
    columns, spread = np.atleast_1d(parameters["columns"]), np.atleast_1d(parameters["spread"])
    spread = spread[columns >= int(parameters["width"]) // 2]
    wishes = {name: options[name] for name in ("learning_rate", "max_error", "max_convergence_time")}
    given = [name for name, value in wishes.items() if value is not None]
    if len(given) > 1:
        raise BadInput("--method readout: give one of --learning-rate, --max-error and --max-convergence-time, or none")
    bins, late = round(HORIZON_S / pilot.bin_s), round(LATE_S / pilot.bin_s)
    best = plan.rate(bins, late)
    try:
        if not given:
            rate = best
        elif given[0] == "learning_rate":
            rate = float(options["learning_rate"])
        elif given[0] == "max_error":
            rate = rate_for_excess(pilot, options["max_error"] / float(np.mean(spread**2)))
        else:
            rate = rate_for_convergence(pilot, options["max_convergence_time"] / pilot.bin_s, options["threshold"])
    except ValueError as error:
        raise BadInput(f"--method readout: {error}") from None
    if not (math.isfinite(rate) and rate >= 0.0):
        raise BadInput(f"--learning-rate is {rate:g}; give a number of 0 or more")
    result = {
        "method": "readout", "learning_rate": rate, "best_learning_rate": best, "bin_s": pilot.bin_s,
        "threshold": options["threshold"], "residual_sd": math.sqrt(pilot.noise) * spread,
        "drift": {"start": drift.start, "walk": drift.walk}, "pilot_seconds": pilot.bins * pilot.bin_s, "units": [],
    }  # fmt: skip
    text = f"read-out of {name}: learning rate {rate:.4g} per bin of {1e3 * pilot.bin_s:g} ms"
    if rate == 0.0:
        return result, text + ": along its validation part no rate was better than not adapting"
    state = steady(pilot, rate)
    half_life = math.log(2.0) / -math.log1p(-float(np.median(state.gain))) * pilot.bin_s
    seconds = state.convergence_bins(options["threshold"]) * pilot.bin_s
    excess = np.sqrt(state.excess) * spread
    result |= {
        "excess_error_sd": excess, "excess_error_sd_white": np.sqrt(state.excess_white) * spread,
        "overdispersion": float(state.overdispersion.mean()), "half_life_s": half_life, "convergence_time_s": seconds,
    }  # fmt: skip
    recorded, along = _along_the_recording(plan, rate, spread)
    result |= recorded
    return result, (
        f"{text}\nadds an error of sd {', '.join(f'{x:.3g}' for x in excess)} to the decoded velocity (what the "
        f"network leaves has {', '.join(f'{x:.3g}' for x in result['residual_sd'])}); smooth residuals make that "
        f"{math.sqrt(result['overdispersion']):.2g} times what white ones would\nhalf life {half_life:.4g} s, slowest "
        f"direction converged in {seconds:.4g} s; best for the next {HORIZON_S:g} s: {best:.4g}{along}"
    )


def plan_of_file(path: str) -> tuple[ReadoutPlan, dict[str, Any], str]:
    """Return what a file of ``bmi train`` says about adapting the read-out, the networks' parameters, and its name.

    Raises
    ------
    BadInput
        When it cannot be read, or holds another decoder.
    """
    from bmi_runtime.decoding.adaptive_readout import ReadoutPlan
    from bmi_runtime.decoding.fitted_file import load_fitted
    from bmi_runtime.decoding.tables import TRAINED

    fitted = load_fitted(path)
    if fitted.kind not in TRAINED:
        raise BadInput(f"{path} holds the decoder '{fitted.kind}'; a network's file is one of 'bmi train'")
    parameters = _of_networks(fitted.parameters)
    return ReadoutPlan.from_parameters(parameters), parameters, fitted.name


def _of_networks(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the networks whose read-out adapts: in a joined decoder the recurrent ones, if any."""
    for prefix in ("network.recurrent.", "network."):
        if f"{prefix}columns" in parameters:
            return {key.removeprefix(prefix): value for key, value in parameters.items() if key.startswith(prefix)}
    return parameters


def _along_the_recording(plan, rate: float, spread) -> tuple[dict[str, Any], str]:
    """Return what the exact recursion and two halves say along the validation part, as keys and as text."""
    from bmi_runtime.calibration.readout_exact import Residual, excess_along
    from bmi_runtime.calibration.readout_halves import cost_of
    from bmi_runtime.decoding.adaptive_readout import steady_covariance

    if plan.features is None:
        return {}, ""
    features, residual, pilot = plan.features.astype(float), plan.residual.astype(float), plan.pilot
    try:
        left = Residual.measured(residual)
    except ValueError as error:
        return {}, f"\nno exact recursion: {error}"
    power = np.r_[1.0, (features[:, 1:] ** 2).mean(axis=0)]
    exact = excess_along(features, left, rate, steady_covariance(power, pilot.noise, rate))
    last = float(exact[len(exact) // 2 :].mean())
    cost = cost_of(features, residual, rate, pilot.bin_s)
    sd = np.sqrt(last) * spread
    return {
        "excess_error_sd_exact": sd,
        "halves": {"measured": cost.measured, "expected": cost.expected, "ratio": cost.measured / cost.expected},
    }, (
        f"\nthe exact recursion, which takes the residuals as independent of the features, says "
        f"{', '.join(f'{x:.3g}' for x in sd)} in the second half of the validation part; two read-outs taught by its "
        f"halves differ by {cost.measured / cost.expected:.2g} times the variance expected of them"
    )
