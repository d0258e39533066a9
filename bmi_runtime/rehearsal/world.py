"""A fitted world: what was learned of the units and the subject of a pilot, with how well it is known."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any, Self

import numpy as np

from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import write_npz

FORMAT = "bmi-rehearsal-world-1"
IN_PARTS = ("population", "subject")  # of a world; its file holds their fields side by side
SUBJECT_PARAMETERS = ("frequency_hz", "delay_s", "reaction_s", "noise")
BOUNDS = np.array([[0.2, 5.0], [0.0, 0.6], [0.0, 0.6], [0.0, 2.0]])


@dataclasses.dataclass(frozen=True)
class FittedSubject:
    """How the subject steers: an optimal feedback controller of a double integrator (see `simulators.subject`).

    Attributes
    ----------
    mean : ndarray, (4,)
        `SUBJECT_PARAMETERS`: natural frequency of the aim (Hz); how late the cursor is seen and the target is answered
        to (s); the noise of each bin's intention, sd as a fraction of its speed.
    covariance : ndarray, (4, 4)
    assumed : tuple of str
        Parameters that the pilot says nothing of: drawn from the range that mean and covariance stand for.
    max_speed_m_s : float
    gain_slope : ndarray, (4,)
        Derivative of the logarithm of the units' gains by these parameters: what the pilot settles is their product.
    """

    mean: np.ndarray
    covariance: np.ndarray
    assumed: tuple[str, ...] = ()
    max_speed_m_s: float = 1.0
    gain_slope: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(4))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return parameters drawn from what is known of them."""
        drawn = rng.multivariate_normal(self.mean, self.covariance, method="eigh")
        return np.clip(drawn, BOUNDS[:, 0], BOUNDS[:, 1])

    def table(self) -> dict[str, dict[str, Any]]:
        """Return value, standard deviation and where it comes from, by name."""
        sd = np.sqrt(np.diag(self.covariance))
        return {
            name: {"value": float(self.mean[k]), "sd": float(sd[k]), "assumed": name in self.assumed}
            for k, name in enumerate(SUBJECT_PARAMETERS)
        }


@dataclasses.dataclass(frozen=True)
class UnitStatistics:
    """What was learned of the units of a pilot.

    Attributes
    ----------
    regressors : tuple of str
        ``v0``, ``v1`` (intended velocity, dm/s), ``speed`` (dm/s), ``p0``, ``p1`` (cursor, dm), one per column of
        `weights` behind the baseline.
    lags : tuple of int
        By how many bins a regressor runs behind the intention, one per regressor.
    weights : ndarray, (1 + regressors, units)
        Natural log of counts per bin (Poisson) or features (Gaussian).
    covariance : ndarray, (units, 1 + regressors, 1 + regressors)
        Of the weights: what the pilot leaves open.
    walk : ndarray, (1 + regressors, units)
        Variance per second of the random walk of the weights.
    coupling : ndarray, (targets, sources, lags)
        Log rate added by a spike one bin ago, two bins ago, ...; no lags where none is supported. Poisson only.
    dispersion : ndarray, (units,)
        Variance over mean of the counts, given the rate (Poisson); variance of the private noise (Gaussian).
    loadings : ndarray, (factors, units)
    keep : ndarray, (factors,)
        What a shared fluctuation keeps from bin to bin; each has variance one.
    private_keep : ndarray, (units,)
        What a unit's own fluctuation, or the private noise of a Gaussian feature, keeps from bin to bin.
    ceiling : ndarray, (units,)
        Largest expected count per bin.
    past_range : ndarray, (2, units)
        Least and most that past spikes add to the log rate of a bin: what they did in the pilot. Poisson only.
    wander : ndarray, (units,)
        Standard deviation of each unit's own fluctuation of its log rate. Poisson only.
    """

    regressors: tuple[str, ...]
    lags: tuple[int, ...]
    weights: np.ndarray
    covariance: np.ndarray
    walk: np.ndarray
    coupling: np.ndarray
    dispersion: np.ndarray
    loadings: np.ndarray
    keep: np.ndarray
    private_keep: np.ndarray
    ceiling: np.ndarray
    past_range: np.ndarray
    wander: np.ndarray

    @classmethod
    def of_file(cls, fields: dict[str, Any]) -> Self:
        """Return what a file holds.

        Worlds of older versions have past spikes without bounds, no fluctuations of one unit, and one walk for all.
        """
        units = fields["weights"].shape[1]
        if fields["walk"].ndim == 1:
            fields["walk"] = np.repeat(fields["walk"][:, None], units, axis=1)
        fields.setdefault("past_range", np.array([[-np.inf], [np.inf]]) * np.ones(units))
        fields.setdefault("wander", np.zeros(units))
        return cls(**{f.name: fields.pop(f.name) for f in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class FittedWorld:
    """Units and subject of a pilot.

    Attributes
    ----------
    likelihood : {"poisson", "gaussian"}
    bin_s : float
    axes : int
    population : UnitStatistics
    subject : FittedSubject
    name : str
    notes : tuple of str
        What was missing, and what was assumed or done in its place.
    """

    likelihood: str
    bin_s: float
    axes: int
    population: UnitStatistics
    subject: FittedSubject
    name: str = "pilot"
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """Number of units."""
        return self.population.weights.shape[1]

    @property
    def poisson(self) -> bool:
        """Whether the units give counts."""
        return self.likelihood == "poisson"

    def without_drift(self) -> Self:
        """Return the same world with weights that stay: they are the mean over the pilot."""
        still = dataclasses.replace(self.population, walk=np.zeros_like(self.population.walk))
        return dataclasses.replace(self, population=still)

    def draw(self, rng: np.random.Generator) -> Self:
        """Return a world drawn from what is known of this one: other weights and another subject, equally likely."""
        roots = _roots(self.population.covariance)
        shift = np.einsum("uij,uj->iu", roots, rng.standard_normal(self.population.covariance.shape[:2]))
        subject = dataclasses.replace(self.subject, mean=self.subject.draw(rng))
        weights = self.population.weights + shift
        moving = np.array([False, *(name.startswith(("v", "speed")) for name in self.population.regressors)])
        weights[moving] *= np.exp(self.subject.gain_slope @ (subject.mean - self.subject.mean))
        population = dataclasses.replace(self.population, weights=weights)
        return dataclasses.replace(self, population=population, subject=subject)

    def encoding_weights(self, kinds: Regressors, weights: np.ndarray | None = None) -> np.ndarray:
        """Return weights as the rows of a session's encoding model, (regressors, units): log Hz, per dm/s and dm.

        Regressors at several lags act together; what the model has and this world has not is zero.

        Parameters
        ----------
        kinds : Regressors
        weights : ndarray, (1 + regressors, units), optional
            As they have drifted to; by default this world's own.
        """
        weights = self.population.weights if weights is None else weights
        shown = np.zeros((kinds.size, self.units))
        shown[0] = weights[0] - (np.log(self.bin_s) if self.poisson else 0.0)
        letters = {"velocity": "v", "position": "p", "speed": "speed"}
        for name, place in kinds.places.items():
            for axis in range(place.stop - place.start if name in letters else 0):
                wanted = letters[name] if name == "speed" else f"{letters[name]}{axis}"
                rows = [1 + k for k, own in enumerate(self.population.regressors) if own == wanted]
                shown[place.start + axis] = weights[rows].sum(axis=0)
        return shown

    def summary(self) -> dict[str, Any]:
        """Return what a report says of this world."""
        units = self.population
        rate = np.exp(units.weights[0]) / self.bin_s if self.poisson else units.weights[0]
        return {
            "name": self.name,
            "units": self.units,
            "likelihood": self.likelihood,
            "bin_s": self.bin_s,
            "axes": self.axes,
            "regressors": list(units.regressors),
            "baseline_median": float(np.median(rate)),
            "coupling_lags": units.coupling.shape[2],
            "dispersion_median": float(np.median(units.dispersion)),
            "shared_factors": len(units.keep),
            "own_fluctuation_median": float(np.median(units.wander)),
            "walk_per_s": dict(zip(("baseline", *units.regressors), units.walk.mean(axis=1).tolist(), strict=True)),
            "subject": self.subject.table(),
            "notes": list(self.notes),
        }

    def save(self, path) -> None:
        """Write the world as ``.npz``, whole or not at all."""
        whole = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in IN_PARTS}
        fields = whole | {f.name: getattr(self.population, f.name) for f in dataclasses.fields(self.population)}
        arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
        words = {name: value for name, value in fields.items() if name not in arrays}
        words |= {"assumed": self.subject.assumed, "max_speed_m_s": self.subject.max_speed_m_s}
        subject = {"subject_mean": self.subject.mean, "subject_covariance": self.subject.covariance}
        subject |= {"subject_gain_slope": self.subject.gain_slope}
        about = {"format": np.array(FORMAT), "words": np.array(json.dumps(words))}
        write_npz(path, compressed=True, **arrays, **subject, **about)

    @classmethod
    def load(cls, path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        BadInput
            When the file is missing or holds no world.
        """
        try:
            with np.load(pathlib.Path(path), allow_pickle=False) as data:
                if "format" not in data.files or str(data["format"]) != FORMAT:
                    raise BadInput(f"{path} holds no fitted world; 'bmi rehearse PILOT --world FILE.npz' writes one")
                words = json.loads(str(data["words"]))
                arrays = {name: data[name] for name in data.files if name not in ("format", "words")}
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"the fitted world {path} cannot be read: {error}") from None
        told = [arrays.pop(f"subject_{name}") for name in ("mean", "covariance", "gain_slope")]
        assumed, max_speed_m_s = tuple(words.pop("assumed")), words.pop("max_speed_m_s")
        subject = FittedSubject(told[0], told[1], assumed, max_speed_m_s, told[2])
        for name in ("regressors", "lags", "notes"):
            words[name] = tuple(words[name])
        fields = arrays | words
        population = UnitStatistics.of_file(fields)
        return cls(**fields, population=population, subject=subject)


def is_world(path) -> bool:
    """Return whether a file is a fitted world."""
    if pathlib.Path(path).suffix.lower() != ".npz":
        return False
    try:
        with np.load(path, allow_pickle=False) as data:
            return "format" in data.files and str(data["format"]) == FORMAT
    except (OSError, ValueError):
        return False


def _roots(covariance: np.ndarray) -> np.ndarray:
    """Return symmetric square roots of covariance matrices, (n, d, d)."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
