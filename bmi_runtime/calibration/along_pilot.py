"""The live adaptive filter run along a pilot: its weights after every bin, and the bias of those of a unit's past."""

from __future__ import annotations

import numpy as np

from bmi_runtime.calibration.beyond_linear import Departure, departure, quick_rate
from bmi_runtime.calibration.closed_form import steady_state
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.measured import MeasuredScores, burn_in_bins
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel

MEMORIES = 20.0  # of the median unit that the pilot is to hold, so that a mean over it says something


def adapted(pilot: Pilot, weights, covariance, rate: float, noise_variance=None) -> np.ndarray:
    """Run the live adaptive filter along a pilot; return the weights after every bin, (bins, regressors, units)."""
    assert pilot.kinds
    model = EncodingModel(
        weights.T.copy(), pack(covariance), pilot.likelihood, pilot.bin_s, noise_variance, regressors=pilot.kinds
    )
    adapter, valid = Adapter(model, rate), np.ones(len(weights))
    out = np.empty((len(pilot.states), *model.weights.shape))
    velocity, position, click = _encoded(pilot)
    for t, counts in enumerate(pilot.counts):
        if pilot.own is not None:
            adapter.history[:] = pilot.own[t]
        adapter.update(counts, valid, *velocity[t], position_m=position[t], click=click[t])
        out[t] = model.weights
    return out


def _encoded(pilot: Pilot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return velocity (m/s), position (m) and click of every bin of a pilot, as far as its units depend on them."""
    assert pilot.kinds
    places, states, axes = pilot.kinds.places, pilot.states, pilot.kinds.n_axes
    of = {name: states[:, place.start - 1 : place.stop - 1] for name, place in places.items() if name != "history"}
    nothing = np.zeros((len(states), axes))
    velocity = of.get("velocity", nothing)
    if "velocity" not in of and "speed" in of:  # its direction is nothing that such units depend on
        velocity = np.hstack([of["speed"], nothing[:, 1:]])
    click = of["click"][:, 0] if "click" in of else nothing[:, 0]
    return velocity / DM_PER_M, of.get("position", nothing) / DM_PER_M, click


def bias_along(scores: MeasuredScores, rate) -> Departure | None:
    """Return by how much the filter's weights are off in the mean, where a pilot's units depend on their own past.

    The filter is run along the pilot itself, from the weights that fit it best, at the rate or, where the pilot does
    not hold enough memories, at a faster one. Its scatter is in the measured scores already, so none is added.

    Parameters
    ----------
    scores : MeasuredScores
    rate : float or ndarray, (units,)
    """
    pilot, weights = scores.pilot, scores.design.weights
    if pilot.own is None or pilot.likelihood != "poisson":
        return None
    at = quick_rate(scores.info, float(np.median(rate)), len(pilot.states) / MEMORIES)
    state = steady_state(scores.info, at)
    along = adapted(pilot, weights, state.filter_covariance, at)
    mean = along[burn_in_bins(len(along), state) :].mean(axis=0).T
    return Departure(at, np.zeros(weights.shape[1]), mean - weights)


def beyond_linear(scores: MeasuredScores | None, design, info, rate) -> Departure | None:
    """Return what the linear calculation leaves out: of a pilot, by running along it; without one, by simulation."""
    return departure(design, info, rate) if scores is None else bias_along(scores, rate)
