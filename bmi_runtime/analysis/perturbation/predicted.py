"""What a fitted coupled GLM says that stimulation will do: through a coupling itself, and along all other paths.

A pulse on unit j changes the rate of unit i by the factor ``exp(pulses A_ij(m))`` m bins later, if the coupling is
direct. Whatever j excites passes it on: with ``g = exp(A) - 1``, to first order in what is caused,

    R_i(m) = rate_i (exp(pulses A_ij(m)) - 1 + sum_k sum_l g_ik(l) R_k(m - l)).

The same sum without A_ij is what the others pass on. The difference, which holds the target's own history after what
the coupling did, is what stimulation can tell apart; its best
weighting of lags is the difference over the variance of the counts (a matched filter). (Ours.)
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from bmi_runtime.analysis.glm.files import open_npz
from bmi_runtime.analysis.perturbation.effects import discoveries
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.perturbation import impulse_response

STRONGEST = 10.0  # log rate per spike; beyond, the effect is not small
NEEDED = ("coupling", "filter_standard_errors", "basis_weights", "standard_errors", "mean_count", "bin_s")


@dataclasses.dataclass(frozen=True)
class CoupledFit:
    """A GLM as `bmi glm fit --out` writes it, as far as stimulation is concerned.

    Attributes
    ----------
    coupling, errors : (targets, sources, lags) ndarray
        Filters (log rate per spike) and their standard errors.
    present : (targets, sources) bool ndarray
        Whether a pair stands at the false-discovery rate asked for; own history always does.
    rates : (units,) ndarray
        Mean counts per bin.
    bin_s : float
    unit_names : list of str
    """

    coupling: np.ndarray
    errors: np.ndarray
    present: np.ndarray
    rates: np.ndarray
    bin_s: float
    unit_names: list[str]

    @property
    def units(self) -> int:
        """The number of units."""
        return len(self.rates)

    @property
    def lags(self) -> int:
        """The length of the filters in bins."""
        return self.coupling.shape[2]

    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and sources (k,) of the couplings between different units that stand."""
        targets, sources = np.nonzero(self.present & ~np.eye(self.units, dtype=bool))
        return targets, sources


def read_coupled_fit(path, fdr: float = 0.05) -> CoupledFit:
    """Read a fit of `bmi glm fit --out` and find the couplings that stand at the false-discovery rate `fdr`.

    A pair's p-value is that of its strongest basis coefficient, times their number (Bonferroni).

    Raises
    ------
    BadInput
        When the file is something else, has no standard errors, or no coupling between units stands.
    """
    arrays = open_npz(str(path))
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise BadInput(f"{path} is not a coupled fit with standard errors (`bmi glm fit --out`): no {missing[0]}")
    weights = arrays["basis_weights"]
    units, _, functions = weights.shape
    errors = arrays["standard_errors"][:, 1 : 1 + units * functions].reshape(weights.shape)
    if not np.isfinite(errors).any():
        raise BadInput(f"{path} was fitted without standard errors; fit again with --standard-errors sampled")
    with np.errstate(invalid="ignore", divide="ignore"):
        p_values = np.minimum(1.0, functions * 2 * stats.norm.sf(np.abs(weights / errors)))
    p_pair = np.where(np.isfinite(p_values), p_values, 1.0).min(axis=2)
    p_pair[np.eye(units, dtype=bool)] = np.nan
    present = discoveries(p_pair, fdr) | np.eye(units, dtype=bool)
    names = [str(name) for name in arrays.get("unit_names", np.arange(units))]
    bin_s = float(arrays["bin_s"])
    fit = CoupledFit(
        arrays["coupling"], np.nan_to_num(arrays["filter_standard_errors"]), present, arrays["mean_count"], bin_s, names
    )
    if not np.isfinite(bin_s):
        raise BadInput(f"{path} does not say how wide its bins are (bin_s); fit data that have it")
    if not fit.candidates()[0].size:
        raise BadInput(f"no coupling between units of {path} stands at a false-discovery rate of {fdr:g}")
    return fit


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What pulses on the source of each of k couplings do to its target.

    Attributes
    ----------
    targets, sources : (k,) ndarray
    filters : (k, lags) ndarray
        Weights of the counts at each lag after the pulse: a weighted count moves by 1 through the coupling itself.
    direct_spikes : (k,) ndarray
        Extra spikes (missing ones if negative) of the target through the coupling itself.
    direct_error : (k,) ndarray
        Standard error of that, as a share of it, from the fit's standard errors.
    passed_on : (k,) ndarray
        What the other paths do to the weighted count.
    variance : (k,) ndarray
        Variance of the weighted count for Poisson counts at the mean rate.
    """

    targets: np.ndarray
    sources: np.ndarray
    filters: np.ndarray
    direct_spikes: np.ndarray
    direct_error: np.ndarray
    passed_on: np.ndarray
    variance: np.ndarray


def predict(fit: CoupledFit, pulses: int, standing: np.ndarray | None = None) -> Prediction:
    """Return what `pulses` spikes added to each candidate's source do to its target.

    `standing` (targets, sources) says which couplings pass on what they receive; by default all that are present.

    Raises
    ------
    BadInput
        When the effect of a coupling overflows.
    """
    standing = fit.present if standing is None else standing
    targets, sources = fit.candidates()
    passed = np.array([_response(fit, standing, i, j, pulses, False) for i, j in zip(targets, sources)])
    direct = np.array([_response(fit, standing, i, j, pulses, True) for i, j in zip(targets, sources)]) - passed
    rates = fit.rates[targets, None]
    information = (direct**2 / rates).sum(axis=1)
    if not (np.isfinite(direct).all() and (information > 0).all()):
        raise BadInput("a coupling of the fit is so strong that its effect overflows; fit with a ridge")
    filters = direct / rates / information[:, None]
    slope = rates * pulses * np.exp(pulses * np.minimum(fit.coupling[targets, sources], STRONGEST))
    error = np.sqrt(((filters * slope * fit.errors[targets, sources]) ** 2).sum(axis=1))
    variance = (filters**2 * rates).sum(axis=1)
    return Prediction(targets, sources, filters, direct.sum(axis=1), error, (filters * passed).sum(axis=1), variance)


def _response(
    fit: CoupledFit, standing: np.ndarray, target: int, source: int, pulses: int, coupled: bool
) -> np.ndarray:
    """Return the response (lags,) of `target` to pulses on `source`, with or without their coupling."""
    left = standing.copy()
    left[target, source] = coupled
    connected, senders = np.nonzero(left)
    gains = np.expm1(np.minimum(fit.coupling[connected, senders], STRONGEST))
    struck = np.where(left[:, source, None], np.expm1(pulses * np.minimum(fit.coupling[:, source], STRONGEST)), 0.0)
    response = np.empty((fit.units, fit.lags))
    impulse_response(fit.rates, connected, senders, np.ascontiguousarray(gains), struck, response)
    return response[target]
