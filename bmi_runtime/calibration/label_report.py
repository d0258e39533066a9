"""What ``bmi calibrate --labels inferred`` answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.uncertain_labels import SMALL_GAIN, LabelCalibration, wrong_labels
from bmi_runtime.errors import BadInput


def label_report(design: Design, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the answer for programs and for people.

    Raises
    ------
    BadInput
        When neither a rate nor an error is given, a convergence time is asked for, or a probability cannot be.
    """
    if options["max_convergence_time"] is not None or options["write"] is not None:
        raise BadInput(
            "with --labels inferred give --learning-rate or --max-error (a mean square error, bias included)"
        )
    if (options["learning_rate"] is None) == (options["max_error"] is None):
        raise BadInput("give either --learning-rate or --max-error")
    run_bins = max(options["label_run"] / design.bin_s, 1.0)
    calibration = LabelCalibration(design, wrong_labels(design.states, options["label_error"], run_bins))
    rate = options["learning_rate"] or calibration.rate_for_error(options["max_error"])
    found = calibration.predict(rate, options["threshold"])
    known = steady_state(information(design), rate)
    settling_s = found.settling_bins.max(axis=1) * design.bin_s
    units = [
        {
            "unit": design.names[unit],
            "label_bias": found.bias[unit],
            "error_covariance_labels": found.error_covariance[unit],
            "total_error": found.total_error[unit],
            "error_covariance": known.error_covariance[unit],
            "convergence_time_s": settling_s[unit],
        }
        for unit in range(len(found.weights))
    ]
    result = {
        "learning_rate": rate,
        "bin_s": design.bin_s,
        "threshold": options["threshold"],
        "label_error": options["label_error"],
        "label_run_s": run_bins * design.bin_s,
        "valid": found.largest_gain <= SMALL_GAIN,
        "units": units,
    }
    return result, _text(result, found, known)


def _text(result, found, known) -> str:
    scatter = np.trace(found.error_covariance, axis1=1, axis2=2) / np.trace(known.error_covariance, axis1=1, axis2=2)
    gains = np.linalg.norm(found.weights[:, 1:], axis=1) / np.linalg.norm((found.weights - found.bias)[:, 1:], axis=1)
    lines = [
        f"learning rate {result['learning_rate']:.3g} per bin, labels wrong with probability {result['label_error']:g} "
        f"for {result['label_run_s']:.2g} s at a time",
        f"tuning settles at {np.median(gains):.2f} of its true size (median unit): no rate removes that",
        f"the weights scatter {np.median(scatter):.2f} times as much in variance as with right labels (median unit)",
        f"settled after {max(unit['convergence_time_s'] for unit in result['units']):.3g} s (slowest unit)",
    ]
    if not result["valid"]:
        lines.append(
            "note: at this rate the filter moves while one wrong label lasts; the averaged form can be off by a third"
        )
    return "\n".join(lines)
