"""What a calibration needs to know: the task's states, the units' weights and noise, the bin; with the checks."""

import copy
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bmi_runtime.errors import BadInput

LIKELIHOODS = ("gaussian", "poisson")
COUNTS = ("bernoulli", "poisson")
SMALLEST_SPREAD = 1e-6  # of the correlation matrix of the regressors: below it a direction counts as never visited
SMALLEST_RATE_HZ = 1e-4  # below it (one spike in three hours) nothing can be learned about a unit in a session


class UnusableUnits(BadInput):
    """Units about which nothing can be calculated; the message names the first, ``units`` all of them."""

    def __init__(self, message: str, units: tuple[str, ...]):
        super().__init__(message)
        self.units = units


@dataclass(frozen=True)
class Design:
    """The task's states and the units that encode them, checked.

    Attributes
    ----------
    states : ndarray, (bins, dims)
        One period, or an ergodic sample, of the encoded state (velocity in dm/s in this project's configurations; all
        regressors that units have in common, but the 1).
    weights : ndarray, (units, 1 + dims + histories)
        Baseline, then gains; log rate in log Hz for the Poisson likelihood.
    bin_s : float
        Width of a bin, s.
    likelihood : {"gaussian", "poisson"}
    noise_variance : ndarray, (units,), optional
        Variance of the features around their mean; Gaussian only.
    counts : {"bernoulli", "poisson"}
        Whether a bin holds at most one spike, or any number. Poisson likelihood only.
    names : tuple of str
        What to call the units in messages; their index by default.
    own : ndarray, (bins, histories, units), optional
        Regressors that are each unit's own: its recent counts.
    history_s : tuple of float
        The time constants with which those decay.

    Raises
    ------
    BadInput
        If a value is missing, not finite, of the wrong shape, or makes a calibration meaningless: negative variances,
        rates of zero, more than one spike expected per 0/1 bin, states that never move in some direction.
    """

    states: np.ndarray
    weights: np.ndarray
    bin_s: float
    likelihood: str
    noise_variance: np.ndarray | None = None
    counts: str = "bernoulli"
    names: tuple[str, ...] = field(default=())
    own: np.ndarray | None = None
    history_s: tuple[float, ...] = ()

    def __post_init__(self):
        if self.likelihood not in LIKELIHOODS:
            raise BadInput(f"the likelihood '{self.likelihood}' is unknown; choose from {', '.join(LIKELIHOODS)}")
        if self.counts not in COUNTS:
            raise BadInput(f"the counts '{self.counts}' are unknown; choose from {', '.join(COUNTS)}")
        object.__setattr__(self, "bin_s", _positive_scalar(self.bin_s))
        object.__setattr__(self, "states", _matrix(self.states, "states", "bins x dims"))
        object.__setattr__(self, "weights", _matrix(self.weights, "weights", "units x (1 + dims)"))
        names = self.names or tuple(str(unit) for unit in range(len(self.weights)))
        object.__setattr__(self, "names", names)
        self._check_shapes()
        check_movement(self.states)
        if self.likelihood == "gaussian":
            self._check_noise()
        else:
            self._check_rates()

    @property
    def regressors(self) -> np.ndarray:
        """The regressors u = (1, state) of every bin that units have in common, (bins, 1 + dims)."""
        return self._regressors(slice(None))

    def _regressors(self, rows: slice) -> np.ndarray:
        states = self.states[rows]
        return np.column_stack([np.ones(len(states)), states])

    def alike(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the units that have all regressors in common, with those regressors, (bins, regressors)."""
        return alike(self.regressors, self.own, self.units)

    @property
    def units(self) -> int:
        """The number of units."""
        return len(self.weights)

    @property
    def noise(self) -> np.ndarray:
        """The noise variance of every Gaussian unit, (units,)."""
        if self.noise_variance is None:
            raise BadInput("'noise_variance' (one per unit) is missing; the Gaussian likelihood needs it")
        return np.asarray(self.noise_variance)

    def replaced(self, **changes) -> "Design":
        """Return a copy with some attributes changed, checked again."""
        return replace(self, **changes)

    def near(self, weights: np.ndarray, noise_variance: np.ndarray | None = None) -> "Design":
        """Return a copy with other weights, of this design's shape, unchecked: a resampling of a checked design."""
        found = copy.copy(self)
        found.__dict__.update(weights=weights, noise_variance=noise_variance)
        found.__dict__.pop("known", None)
        return found

    def expected_counts(self, rows: slice = slice(None)) -> np.ndarray:
        """Return the expected spikes per bin of the bins in `rows`, (bins, units); Poisson likelihood only."""
        return np.exp(self._log_rate(rows) + np.log(self.bin_s))

    def _log_rate(self, rows: slice = slice(None)) -> np.ndarray:
        """Return u'w of every bin in `rows` and unit, (bins, units)."""
        own = None if self.own is None else self.own[rows]
        return linear_predictor(self._regressors(rows), own, self.weights)

    def _check_shapes(self):
        bins, dims = self.states.shape
        if self.own is not None:
            shape = (bins, self.weights.shape[1] - dims - 1, self.units)
            if self.own.shape != shape:
                raise BadInput(f"'own' has shape {self.own.shape}; states and weights want {shape}")
        elif self.weights.shape[1] != dims + 1:
            raise BadInput(
                f"'weights' has {self.weights.shape[1]} columns for {dims} state dimensions; "
                f"give {dims + 1}: the baseline, then one gain per dimension"
            )
        if bins < dims + 2:
            raise BadInput(f"'states' has {bins} bins; a calibration needs a whole period, at least {dims + 2}")

    def _check_noise(self):
        if self.noise_variance is None:
            raise BadInput("'noise_variance' (one per unit) is missing; the Gaussian likelihood needs it")
        variance = np.asarray(self.noise_variance, dtype=np.float64)
        variance = np.full(self.units, variance) if variance.ndim == 0 else variance
        if variance.shape != (self.units,):
            raise BadInput(
                f"'noise_variance' has shape {variance.shape}; give one value for each of {self.units} units"
            )
        wrong = np.flatnonzero(~(np.isfinite(variance) & (variance > 0)))
        if wrong.size:
            unit = wrong[0]
            raise BadInput(
                f"the noise variance of unit {self.names[unit]} is {variance[unit]:g}; it must be above zero"
            )
        object.__setattr__(self, "noise_variance", variance)

    def _check_rates(self):
        log_rate = self._log_rate()
        mean_hz = np.exp(np.minimum(log_rate, 60.0)).mean(axis=0)
        peak = np.exp(np.minimum(log_rate.max(axis=0), 60.0))
        silent = np.flatnonzero(mean_hz < SMALLEST_RATE_HZ)
        if silent.size:
            unit = silent[0]
            raise UnusableUnits(
                f"unit {self.names[unit]} fires {mean_hz[unit]:.2g} Hz on average: nothing can be learned about it; "
                f"leave it out (weights are log rates in log Hz)",
                tuple(self.names[i] for i in silent),
            )
        self.check_ceiling(peak)

    def check_ceiling(self, peak: np.ndarray) -> None:
        """Refuse units whose largest rate (units,), Hz, is more than a bin can hold."""
        ceiling = 1.0 if self.counts == "bernoulli" else 1e3
        crowded = np.flatnonzero(peak * self.bin_s >= ceiling)
        if crowded.size:
            unit = crowded[0]
            hint = "take shorter bins, or --counts poisson" if ceiling == 1.0 else "check that weights are in log Hz"
            raise UnusableUnits(
                f"unit {self.names[unit]} is expected to fire {peak[unit] * self.bin_s:.3g} spikes in its busiest bin "
                f"of {1e3 * self.bin_s:g} ms, at most {ceiling:g} can be; {hint}",
                tuple(self.names[i] for i in crowded),
            )


def alike(common: np.ndarray, own: np.ndarray | None, units: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield units with the same regressors, and those: all at once, or one by one where they have some of their own.

    Parameters
    ----------
    common : ndarray, (bins, common regressors)
    own : ndarray, (bins, histories, units), or None
    units : int
    """
    if own is None:
        yield slice(None), common
        return
    for unit in range(units):
        yield slice(unit, unit + 1), np.column_stack([common, own[:, :, unit]])


def linear_predictor(common: np.ndarray, own: np.ndarray | None, weights: np.ndarray) -> np.ndarray:
    """Return u'w of every bin and unit, (bins, units); regressors as in :func:`alike`, weights (units, regressors)."""
    n_common = common.shape[1]
    value = common @ weights[:, :n_common].T
    if own is not None:
        value += np.einsum("thn,nh->tn", own, weights[:, n_common:])
    return value


def load_design(path: str | pathlib.Path, likelihood: str, counts: str = "bernoulli") -> Design:
    """Read a design file: ``states``, ``weights``, ``bin_s`` and, for Gaussian units, ``noise_variance``.

    Raises
    ------
    BadInput
        If the file cannot be read, lacks an array, or holds one that :class:`Design` refuses.
    """
    arrays = read_arrays(path, required=("states", "weights", "bin_s"), optional=("noise_variance",))
    return Design(
        arrays["states"], arrays["weights"], arrays["bin_s"], likelihood, arrays.get("noise_variance"), counts
    )


def read_arrays(path: str | pathlib.Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    """Read the named arrays of an ``.npz`` file, without pickles; raise BadInput naming what is missing."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if isinstance(archive, np.ndarray):
                raise BadInput(f"{path} holds a single array; an .npz with {', '.join(required)} is needed")
            missing = [name for name in required if name not in archive]
            if missing:
                raise BadInput(
                    f"{path} has no '{missing[0]}'; it needs {', '.join(required)} and has {_listed(archive)}"
                )
            return {name: archive[name] for name in (*required, *optional) if name in archive}
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{path} cannot be read as an .npz of plain arrays ({error})") from None


def _listed(archive) -> str:
    return ", ".join(archive.files) or "nothing"


def _matrix(value, name: str, shape: str) -> np.ndarray:
    try:
        matrix = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"'{name}' does not hold numbers; give an array of {shape}") from None
    if matrix.ndim == 1 and name == "states":
        matrix = matrix[:, None]
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise BadInput(f"'{name}' has shape {matrix.shape}; give an array of {shape}")
    wrong = np.argwhere(~np.isfinite(matrix))
    if wrong.size:
        row, column = wrong[0]
        what = "bin" if name == "states" else "unit"
        raise BadInput(
            f"'{name}' is {matrix[row, column]} at {what} {row}, column {column}; every value must be finite"
        )
    return np.ascontiguousarray(matrix)


def _positive_scalar(value) -> float:
    try:
        number = float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        raise BadInput("'bin_s' must be one number: the width of a bin in seconds") from None
    if not (np.isfinite(number) and number > 0):
        raise BadInput(f"'bin_s' is {number:g}; give the width of a bin in seconds, above zero")
    return number


def check_movement(states: np.ndarray) -> None:
    """Raise BadInput for states (bins, dims) whose regressors (1, state) do not span every direction."""
    regressors = np.column_stack([np.ones(len(states)), states])
    size = np.sqrt((regressors**2).mean(axis=0))
    still = np.flatnonzero(size < 1e-12)
    if still.size:
        raise BadInput(
            f"the states never move along dimension {still[0] - 1}: its gain cannot be learned; vary the task"
        )
    values, vectors = np.linalg.eigh((regressors / size).T @ (regressors / size) / len(states))
    if values[0] < SMALLEST_SPREAD:
        direction = vectors[:, 0] / size
        direction = direction / np.abs(direction).max()
        raise BadInput(
            f"the states never move along one direction of (baseline, gains), "
            f"({', '.join(f'{x:.2g}' for x in direction)}): "
            f"no rate can teach it; give states that visit every direction around a constant mean"
        )
