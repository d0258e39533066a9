"""Calibration blocks and the schedule's floor in ``bmi calibrate``."""

from __future__ import annotations

from typing import Any

import click

INITIAL = 0.25  # variance of every weight at the start, as encoding.initial_sd = 0.5


def block_options(command):
    """Add the option about calibration blocks."""
    return click.option(
        "--block-length", type=float, metavar="S", help="The error of the weights after a calibration block of S s."
    )(command)


def block_answer(design, info, options, scores, rate: float) -> dict[str, Any]:
    """Return what a block does, how long one must be for the wanted error, and when a schedule reaches the rate."""
    from bmi_runtime.calibration.block_length import block_of, seconds_to_floor, shortest_block

    initial, names = options["initial_covariance"], design.names
    found: dict[str, Any] = {}
    if options["block_length"] is not None:
        block = block_of(info, design.bin_s, options["block_length"], initial, scores)
        found["block"] = {
            "seconds": block.seconds,
            "largest_error_variance": block.error.max(),
            "binding_unit": names[block.binding_unit],
        }
    if options["max_error"] is not None:
        block = shortest_block(info, design.bin_s, options["max_error"], initial, scores)
        found["block_for_wish"] = {"seconds": block.seconds, "binding_unit": names[block.binding_unit]}
    if rate > 0:
        start = INITIAL if initial is None else initial
        reached = seconds_to_floor(info, design.bin_s, rate, start)
        found["schedule"] = {
            "floor": rate,
            "initial_covariance": start,
            "at_floor_s": reached.max(),
            "slowest_unit": names[int(reached.argmax())],
        }
    return found


def block_text(result: dict[str, Any]) -> str:
    """Return the answer about blocks and the schedule as text."""
    lines = []
    if "block" in result:
        block = result["block"]
        lines.append(
            f"after a calibration block of {block['seconds']:.4g} s the weights err with an sd of at most "
            f"{block['largest_error_variance'] ** 0.5:.3g} (unit {block['binding_unit']})"
        )
    if "block_for_wish" in result:
        block = result["block_for_wish"]
        lines.append(
            f"a calibration block of {block['seconds']:.3g} s leaves the wanted error (unit {block['binding_unit']} "
            f"decides), then the weights may be kept"
        )
    if "schedule" in result:
        plan = result["schedule"]
        lines.append(
            f"with adapter.schedule = 'floor' from a variance of {plan['initial_covariance']:g} the last unit is at "
            f"this rate after {plan['at_floor_s']:.3g} s"
        )
    return "\n".join(lines)
