"""Has the array changed since the reference sessions? The whole answer, for the command and for a running session."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.analysis import stability as measure
from bmi_runtime.analysis import stability_cost
from bmi_runtime.analysis.array_days import common_units, read_day, reference_model
from bmi_runtime.analysis.unit_matching import in_their_places, matched_units
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.model_file import load_model

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
    order = matched_units(reference, today) if found.changed else np.arange(len(today.units))
    moved = {today.units[unit]: today.units[like] for unit, like in enumerate(order) if unit != like}
    arranged = measure.compare(reference, in_their_places(today, order)).score if moved else found.score
    cost = known.cost(found, reference) if known else None
    return {
        "score": found.score,
        "verdict": stability_cost.verdict(found, cost),
        "p": found.p,
        "null": [float(one) for one in found.null],
        "block_s": found.block_s,
        "kept_share": found.kept,
        "moved_units": moved,
        "score_in_their_places": arranged,
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


def moved_model(sessions: Sequence[pathlib.Path], moved: dict[str, str]) -> EncodingModel:
    """Return the last reference session's model, with units that do today what others did under today's names.

    Raises
    ------
    BadInput
        When no reference session has a model.
    """
    path = next((path for path in reversed(sessions[:-1]) if path.suffix == ".mcap"), None)
    if path is None:
        raise BadInput("no reference is a session of ours: there is no model whose units could be put in their places")
    model = load_model(path)
    at = {name: unit for unit, name in enumerate(model.names)}
    rows = [at[moved.get(name, name)] for name in model.names]
    model.weights[:], model.covariance[:] = model.weights[:, rows], model.covariance[:, rows]
    model.noise_variance[:] = model.noise_variance[rows]
    return model


def sentence(result: dict[str, Any]) -> str:
    """Return the verdict in a sentence."""
    return VERDICTS[result["verdict"]].format(sd=result["carry_sd"] or 0.0)
