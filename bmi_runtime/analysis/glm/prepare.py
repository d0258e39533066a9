"""From counts and covariates to an objective: every odd input is refused, or named with what was done about it."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.covariates import make_covariates
from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Covariates, Design
from bmi_runtime.analysis.glm.determined import drop_columns
from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.likelihood import Objective
from bmi_runtime.analysis.glm.prepared import Prepared
from bmi_runtime.errors import BadInput

SATURATED = 0.3


def unit_labels(names, units: int) -> list[str]:
    """Return names for units: those given, or their numbers from zero.

    Raises
    ------
    BadInput
        When there are not as many names as units.
    """
    if names is None:
        return [f"unit {i}" for i in range(units)]
    if len(names) != units:
        raise BadInput(f"there are {len(names)} unit names for {units} units; give one name per unit")
    return [str(name) for name in names]


def likelihood_bins(bins: int, history_bins: int, leads: tuple[int, ...]) -> tuple[int, int]:
    """Return the first bin of the likelihood and the bin after its last.

    Raises
    ------
    BadInput
        When the history and the leads leave no bin.
    """
    first = max(history_bins, -min(leads, default=0), 0)
    last = bins - max(0, max(leads, default=0))
    if last - first < 1:
        raise BadInput(
            f"the recording has {bins} bins but the history is {history_bins} bins long (covariates reach "
            f"{max((abs(d) for d in leads), default=0)} bins): no bin is left to fit; shorten the history"
        )
    return first, last


def prepare(
    counts,
    basis: np.ndarray,
    *,
    covariates=None,
    leads: tuple = (0,),
    connections: np.ndarray | None = None,
    reach: np.ndarray | None = None,
    spikes: bool = True,
    link: str = "exponential",
    ridge: float = 0.0,
    smooth: np.ndarray | None = None,
    refractory_bins: int = 0,
    names: list[str] | None = None,
    threads: int = 1,
    within: tuple[int, int] | None = None,
    excluded: tuple[int, int] = (0, 0),
    sparse: bool = False,
) -> Prepared:
    """Check everything and return the objective.

    Parameters
    ----------
    counts : ndarray, memory map, shape (bins, units), or Events
    basis : ndarray, shape (history_bins, functions)
    covariates : ndarray or memory map, shape (bins, k), optional
    leads : tuple of int, or of such tuples
        Bins by which covariates run ahead (positive) or behind (negative); one tuple a covariate where they differ.
    reach : ndarray of int, shape (units, units), optional
        Past bins of a source (column) that act on a target (row).
    spikes : bool
        Whether the responses are counts (otherwise silence, saturation and separation mean nothing).
    connections : ndarray of bool, shape (units, units), optional
        ``connections[i, j]``: may the history of unit ``j`` act on unit ``i``? All by default.
    within : tuple of int, optional
        First and last (exclusive) bin of the likelihood, inside those that have their history and leads.
    excluded : tuple of int
        A stretch of bins left out of the likelihood (a held-out fold).
    sparse : bool
        Whether a lasso or group lasso will be added, so that coefficients stay finite and determined.

    Raises
    ------
    BadInput
        When no bin is left to fit, or an option does not suit the history.
    """
    events = counts if isinstance(counts, Events) else from_counts(counts, names)
    names = unit_labels(names, events.units)
    leads, each = every_lead(leads) if covariates is not None else ((), None)
    if refractory_bins > len(basis):
        raise BadInput(f"refractory_bins is {refractory_bins} but the history has only {len(basis)} bins")
    first, last = likelihood_bins(events.bins, len(basis), leads)
    if within is not None:
        if not first <= within[0] < within[1] <= last:
            raise BadInput(f"bins {within[0]} to {within[1]} are not inside the bins with a history, {first} to {last}")
        first, last = within
    table = make_covariates(covariates, leads, events.bins, first, last)
    own = np.arange(events.units)
    design = Design(events, basis, first, last, table, refractory_bins, own, threads=threads, excluded=excluded)
    if design.rows < 1:
        raise BadInput(f"bins {excluded[0]} to {excluded[1]} are held out and no bin is left to fit")
    penalised = ridge > 0 or smooth is not None or sparse
    free = free_coefficients(design, connections) & within_reach(design, reach)
    if each is not None and table is not None:
        free[1 + design.history_columns :] &= _chosen_leads(table, each)[:, None]
    _check_size(design, int(free.sum(axis=0).max(initial=1)), penalised)
    objective = Objective(design, events, design.cross_product(events), free, link, ridge, smooth)
    prepared = Prepared(objective, design.gram(), np.zeros(free.shape))
    _check_refractory(objective, names)
    drop_columns(prepared, names, penalised)
    prepared.silent = np.zeros(events.units, bool)
    if spikes:
        _set_silent_aside(prepared, names)
        _note_saturation(prepared, names)
    prepared.estimated = free.copy()
    if not penalised and spikes:
        from bmi_runtime.analysis.glm.separation import set_separated_aside

        set_separated_aside(prepared, names)
    return prepared


def free_coefficients(design: Design, connections: np.ndarray | None) -> np.ndarray:
    """Return which coefficients the connections allow, (parameters, units).

    Raises
    ------
    BadInput
        When the connections are not (units, units).
    """
    units = design.events.units
    free = np.ones((design.parameters, units), bool)
    if connections is not None:
        connections = np.asarray(connections, bool)
        if connections.shape != (units, units):
            raise BadInput(f"connections must be ({units}, {units}) target by source, not {connections.shape}")
        free[1 : 1 + design.history_columns] = np.repeat(connections.T, design.basis.shape[1], axis=0)
    return free


def every_lead(leads: tuple) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...] | None]:
    """Return all leads that occur, and those of each covariate where they differ (else None)."""
    if all(isinstance(lead, int | np.integer) for lead in leads):
        return tuple(int(lead) for lead in leads), None
    each = tuple(tuple(int(lead) for lead in (one if np.iterable(one) else (one,))) for one in leads)
    return tuple(sorted({lead for one in each for lead in one})), each


def _chosen_leads(table: Covariates, each) -> np.ndarray:
    """Return which covariate columns are wanted, (columns,)."""
    if len(each) != table.table.shape[1]:
        raise BadInput(f"leads are given for {len(each)} covariates and there are {table.table.shape[1]}")
    return np.array([lead in own for own in each for lead in table.leads])


def within_reach(design: Design, reach: np.ndarray | None) -> np.ndarray:
    """Return which coefficients lie within the past bins that a source may act from, (parameters, units).

    Raises
    ------
    BadInput
        When the reach is not (units, units) of 0 to as many bins as the history has, or shorter than the
        basis.
    """
    units, (lags, functions) = design.events.units, design.basis.shape
    free = np.ones((design.parameters, units), bool)
    if reach is None or not functions:
        return free
    reach = np.asarray(reach)
    if reach.shape != (units, units) or (reach < 0).any() or (reach > lags).any():
        raise BadInput(f"reach must be ({units}, {units}) target by source, of 0 to {lags} bins")
    needed = np.array(
        [np.flatnonzero(np.abs(column) > 1e-12)[-1] + 1 if column.any() else 0 for column in design.basis.T]
    )
    if ((reach > 0) & (reach < needed.min())).any():
        raise BadInput(f"the shortest basis function lasts {needed.min()} bins: no history of fewer can be fitted")
    allowed = needed[None, :, None] <= reach.T[:, None, :]  # (sources, functions, targets)
    free[1 : 1 + design.history_columns] = allowed.reshape(-1, units)
    return free


def _check_size(design: Design, parameters: int, penalised: bool) -> None:
    if design.rows < parameters and not penalised:
        turned = " (counts is bins x units: is it transposed?)" if design.events.bins < design.events.units else ""
        raise BadInput(
            f"{design.rows} bins cannot determine {parameters} coefficients per unit{turned}; "
            "record longer, use a basis with fewer functions, or a ridge"
        )


def _check_refractory(objective: Objective, names) -> None:
    """Refuse a refractory period that the data contradict."""
    lags = objective.design.refractory_bins
    for unit in range(objective.units if lags else 0):
        times = objective.design.events.of(unit)[0]
        fitted = (times[1:] >= objective.design.first) & (times[1:] < objective.design.last)
        close = np.flatnonzero((np.diff(times) <= lags) & fitted)
        if len(close):
            raise BadInput(
                f"{names[unit]} fires again within its refractory period of {lags} bins {len(close)} times "
                f"(first at bin {times[close[0] + 1]}); use a shorter period"
            )


def _set_silent_aside(prepared: Prepared, names) -> None:
    objective = prepared.objective
    silent = objective.cross[0] == 0
    prepared.silent = silent
    objective.free[:, silent] = False
    prepared.fixed[0, silent] = IMPOSSIBLE
    for unit in np.flatnonzero(silent):
        prepared.notes.append(
            f"{names[unit]} has no spike in the fitted bins: its rate is 0 and no model was fitted for it"
        )


def _note_saturation(prepared: Prepared, names) -> None:
    """Name units that look clipped: no bin holds more than one spike although many would be expected to."""
    events = prepared.objective.design.events
    for unit in range(events.units):
        times, values = events.of(unit)
        share = len(times) / events.bins
        if len(times) and share >= SATURATED and values.max() == values.min():
            prepared.notes.append(
                f"{names[unit]} has the same count ({values.max():.0f}) in every bin where it fires ({share:.0%}): "
                "its counts look saturated; use narrower bins or counts instead of a flag"
            )
