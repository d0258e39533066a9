"""A model of another session for the units of this one: matched by what the units are called, never by their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bmi_runtime.encoding.model import EncodingModel, pair_indices
from bmi_runtime.encoding.model_arrays import NO_COVARIANCE
from bmi_runtime.errors import BadInput

MOST_NAMED = 5  # units, in a sentence


@dataclasses.dataclass
class Carried:
    """What became of a model of another session.

    Attributes
    ----------
    matched : int
        Units that have a model from it.
    new, gone : list of str
        Units of this session that start untrained; units of the model that are not there any more.
    notes : list of str
        What else is to be said.
    """

    matched: int
    new: list[str]
    gone: list[str]
    notes: list[str]

    def sentence(self, path: str) -> str:
        """Return in one sentence what was taken and what was not."""
        parts = [f"{self.matched} units have their model from {path}"]
        if self.new:
            parts.append(f"{len(self.new)} are new and start untrained ({_some(self.new)})")
        if self.gone:
            parts.append(f"{len(self.gone)} of its units are not there any more ({_some(self.gone)})")
        return "; ".join(parts + self.notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def carry(found: EncodingModel, fresh: EncodingModel, sd: float, path: str) -> Carried:
    """Put what a model of another session knows into the fresh one of this session, unit by unit by name.

    Regressors are matched by what they are as well: one that this session has not is dropped, one that is new starts
    untrained.

    Parameters
    ----------
    found : EncodingModel
    fresh : EncodingModel
        Changed in place.
    sd : float
        Added (as a variance) to every weight that is carried: how much it may have changed since.
    path : str
        Of `found`, for sentences.

    Raises
    ------
    BadInput
        When the units speak otherwise, features are of another bin width, or no unit or no axis is the same.
    """
    if found.likelihood != fresh.likelihood:
        raise BadInput(f"{path} is a model of {found.likelihood} units, this session's are {fresh.likelihood}")
    notes = _width_notes(found, fresh, path)
    rows = _matching_rows(found, fresh, path)
    notes += _regressor_notes(found, fresh)
    theirs = {name: unit for unit, name in enumerate(found.names)}
    here = np.array([unit for unit, name in enumerate(fresh.names) if name in theirs], int)
    if not here.size:
        raise BadInput(
            f"{path} has none of this session's units: it has {_some(found.names)}, this session has "
            f"{_some(fresh.names)} (session.unit_names)"
        )
    there = np.array([theirs[fresh.names[unit]] for unit in here])
    _copy(found, fresh, rows, there, here, sd)
    known = set(fresh.names)
    new = [name for name in fresh.names if name not in theirs]
    gone = [name for name in found.names if name not in known]
    if found.features and fresh.features:
        more = carry(found.features, fresh.features, sd, path)
        new, gone, notes = new + more.new, gone + more.gone, notes + more.notes
        return Carried(len(here) + more.matched, new, gone, notes)
    return Carried(len(here), new, gone, notes)


def _width_notes(found: EncodingModel, fresh: EncodingModel, path: str) -> list[str]:
    if abs(found.bin_s - fresh.bin_s) <= 1e-9 * fresh.bin_s:
        return []
    widths = f"{1000 * found.bin_s:g} ms, this session's of {1000 * fresh.bin_s:g} ms"
    if fresh.likelihood == "gaussian":
        raise BadInput(f"{path} is a model of features of {widths}: they have another noise and scale")
    return [f"the model was learned in bins of {widths}; its rates are in hertz and hold for both"]


def _regressor_notes(found: EncodingModel, fresh: EncodingModel) -> list[str]:
    """Return what is said of regressors that only one of the models has."""
    theirs, own = found.labels, fresh.labels
    new = [label for label in own if label not in theirs]
    dropped = [label for label in theirs if label not in own]
    notes = [f"it says nothing of {', '.join(new)}, which starts untrained"] if new else []
    return notes + ([f"what it says of {', '.join(dropped)} is dropped"] if dropped else [])


def _matching_rows(found: EncodingModel, fresh: EncodingModel, path: str) -> list[tuple[int, int]]:
    """Return pairs of rows, of the found and of the fresh weights, that stand for the same regressor."""
    theirs = {label: row for row, label in enumerate(found.labels)}
    pairs = [(theirs[label], row) for row, label in enumerate(fresh.labels) if label in theirs]
    if len(pairs) < 2:
        raise BadInput(
            f"{path} is a model of {', '.join(found.labels[1:])}; this session's units depend on "
            f"{', '.join(fresh.labels[1:])} (state.axes, encoding.regressors)"
        )
    return pairs


def _copy(found, fresh, rows, there, here, sd: float) -> None:
    source, target = (np.array(side) for side in zip(*rows, strict=True))
    fresh.weights[np.ix_(target, here)] = found.weights[np.ix_(source, there)]
    fresh.noise_variance[here] = found.noise_variance[there]
    full = fresh.dense_covariance()
    known = found.dense_covariance()[there][:, source[:, None], source]
    if known.size and np.linalg.eigvalsh(known).min() < -1e-9 * max(float(np.abs(known).max()), 1.0):
        raise BadInput(NO_COVARIANCE)
    known[:, range(len(source)), range(len(source))] += sd * sd
    block = full[here]  # regressors that are new keep their own variance in it
    block[:, target, :] = 0.0
    block[:, :, target] = 0.0
    block[:, target[:, None], target] = known
    full[here] = block
    lower = pair_indices(fresh.n_regressors)
    fresh.covariance[...] = full[:, lower[0], lower[1]].T
