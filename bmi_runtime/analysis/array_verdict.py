"""Has the array changed since the reference sessions? The whole answer, for the command and for a running session."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from bmi_runtime.analysis import stability as measure
from bmi_runtime.analysis import stability_cost
from bmi_runtime.analysis.array_days import common_units, read_day, reference_model
from bmi_runtime.errors import BadInput

VERDICTS = {
    "go-on": "go on: today's array scores as the reference does",
    "widen": "widen: start from the reference's weights with encoding.carry_sd = {sd:.2g}, and adapt",
    "recalibrate": "recalibrate, with known targets: from the reference's weights adaptation is likely to lose its way",
}


def judge(sessions: Sequence[pathlib.Path], seconds: float = 0.0) -> dict[str, Any]:
    """Return how the last session's array stands against the sessions before it.

    Parameters
    ----------
    sessions : sequence of path
        At least two; the last one is today's.
    seconds : float
        Only so much of today; 0: all.

    Returns
    -------
    dict
        ``score, verdict, p, null, block_s, kept_share``; ``expected_error_ratio, carry_sd, adapt_s`` (None without a
        model); ``new_units, gone_units``; ``units``: one dict for each.

    Raises
    ------
    BadInput
        When a file cannot be read, there is too little in them, or a reference is given twice.
    """
    days = [read_day(path, seconds if path is sessions[-1] else 0.0) for path in sessions]
    _distinct_days(days[:-1])
    days, new, gone = common_units(days)
    *references, today = days
    known = reference_model(sessions[:-1], today.units)
    tuning = known.tuning if known else None
    reference = measure.Reference(references, tuning, measure.block_length_s(references, today))
    found = measure.compare(reference, today)
    cost = known.cost(found, reference) if known else None
    return {
        "score": found.score,
        "verdict": stability_cost.verdict(found, cost),
        "p": found.p,
        "null": [float(one) for one in found.null],
        "block_s": found.block_s,
        "kept_share": found.kept,
        "expected_error_ratio": cost.error_ratio if cost else None,
        "carry_sd": cost.weight_sd if cost else None,
        "adapt_s": cost.adapt_s if cost else None,
        "new_units": new,
        "gone_units": gone,
        "units": [vars(unit) for unit in found.units],
    }


def _distinct_days(references: Sequence[measure.Day]) -> None:
    """Refuse a day that is given twice, under one name or as a copy: the array would seem to be steadier than it is."""
    for number, one in enumerate(references):
        for other in references[:number]:
            if one.counts.shape == other.counts.shape and (one.counts == other.counts).all():
                raise BadInput(f"{other.name} and {one.name} are the same session: give every reference day once")


def sentence(result: dict[str, Any]) -> str:
    """Return the verdict in a sentence."""
    return VERDICTS[result["verdict"]].format(sd=result["carry_sd"] or 0.0)
