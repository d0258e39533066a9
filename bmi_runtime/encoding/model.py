"""The encoding model: how each unit's counts or features depend on velocity, and how well that is known."""

from __future__ import annotations

import copy
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.model_arrays import check_arrays, plain_arrays
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import PLANE, StateSpace
from bmi_runtime.outputs import npz_path, write_npz

STATE = ("weights", "covariance", "noise_variance")
"""The arrays that adaptation changes."""


def pair_indices(n_regressors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the stored pairs of a symmetric matrix: (0,0), (1,0), (1,1), (2,0), ..."""
    return np.tril_indices(n_regressors)


class EncodingModel:
    """Weights of every unit with their covariance, struct-of-arrays.

    Poisson: ``log rate_hz = weights' [1, velocity]``. Gaussian: ``feature = weights' [1, velocity] + noise``. Velocity
    in dm/s, one component per axis of the brain state.

    Parameters
    ----------
    weights : ndarray, (regressors, units)
    covariance : ndarray, (pairs, units)
        Lower triangle of each unit's covariance (see :func:`pair_indices`).
    likelihood : {"poisson", "gaussian"}
    bin_s : float
    noise_variance : ndarray, (units,), optional
        Gaussian only; ones by default.
    regressors : Regressors, optional
        What the units depend on; the velocity by default.
    features : EncodingModel, optional
        Of the continuous features that a session of spiking units has beside them.

    Attributes
    ----------
    names : tuple of str
        What the units are called: by that, and not by their order, a model is taken into another session.
    axes : tuple of str
        Of the brain state, where they are known.

    Raises
    ------
    BadInput
        When shapes do not fit or a value is not finite.
    """

    def __init__(
        self,
        weights,
        covariance,
        likelihood: str,
        bin_s: float,
        noise_variance=None,
        regressors: Regressors | None = None,
        features: EncodingModel | None = None,
    ):
        self.weights = np.ascontiguousarray(weights, dtype=np.float64)
        self.covariance = np.ascontiguousarray(covariance, dtype=np.float64)
        self.likelihood = likelihood
        self.bin_s = float(bin_s)
        d, n = self.weights.shape
        self.regressors, self.features = regressors or Regressors(d - 1), features
        self.names = tuple(f"unit {unit}" for unit in range(n))
        self.axes: tuple[str, ...] = ()
        if self.regressors.size != d:
            raise BadInput(
                f"the encoding model has {d} regressors, its kinds ({', '.join(self.regressors.names)}; "
                f"{self.regressors.n_axes} axes) make {self.regressors.size}"
            )
        self.noise_variance = np.ones(n) if noise_variance is None else np.array(noise_variance, dtype=np.float64)
        if self.covariance.shape != (d * (d + 1) // 2, n) or self.noise_variance.shape != (n,):
            found = f"covariance {self.covariance.shape}, noise variance {self.noise_variance.shape}"
            raise BadInput(f"the encoding model's {found} do not fit its weights of shape {d} x {n}")
        for name in ("weights", "covariance", "noise_variance"):
            if not np.isfinite(getattr(self, name)).all():
                raise BadInput(f"the encoding model's {name} hold a value that is not finite")

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.weights.shape[1]

    @property
    def n_regressors(self) -> int:
        """Number of regressors: 1 plus the dimensions of the encoded state."""
        return self.weights.shape[0]

    @property
    def labels(self) -> list[str]:
        """What each regressor is (`Regressors.labels`)."""
        n = self.n_axes
        axes = self.axes or (PLANE.axes if n == PLANE.n_axes else tuple(f"axis_{axis}" for axis in range(n)))
        return self.regressors.labels(StateSpace(axes))

    def named(self, names: Sequence[str], axes: Sequence[str]) -> EncodingModel:
        """Give the units and the axes their names; return the model itself."""
        self.names, self.axes = tuple(names) or self.names, tuple(axes)
        if self.features:
            self.features.names = tuple(f"feature {feature}" for feature in range(self.features.n_units))
            self.features.axes = self.axes
        return self

    def read_only(self) -> EncodingModel:
        """Return the same model for somebody who may only look at it: the arrays are shared and cannot be written."""
        seen = copy.copy(self)
        for name in STATE:
            view = getattr(self, name).view()
            view.flags.writeable = False
            setattr(seen, name, view)
        seen.features = self.features.read_only() if self.features else None
        return seen

    @property
    def n_axes(self) -> int:
        """Number of axes of the encoded state."""
        return self.regressors.n_axes

    @classmethod
    def untrained(
        cls,
        baselines,
        likelihood: str,
        bin_s: float,
        sd: float,
        noise_variance=None,
        dimensions: int = 2,
        regressors: Regressors | None = None,
    ):
        """Return a model that knows baselines roughly and no tuning.

        Parameters
        ----------
        baselines : ndarray, (units,)
            Rates in Hz (Poisson, positive) or features.
        sd : float
            Standard deviation of every weight around its start.
        dimensions : int
            Axes of the velocity that the units may encode.
        regressors : Regressors, optional
            What else they may depend on, in place of `dimensions`.
        """
        regressors = regressors or Regressors(dimensions)
        n, d = len(baselines), regressors.size
        if likelihood == "poisson" and not np.all(baselines > 0):
            unit = int(np.argmin(baselines > 0))
            raise BadInput(
                f"unit {unit} starts with a baseline of {baselines[unit]:g} Hz; a Poisson unit needs one above zero "
                "(population.baseline_hz in a simulation)"
            )
        weights = np.zeros((d, n))
        weights[0] = np.log(baselines) if likelihood == "poisson" else baselines
        rows, columns = pair_indices(d)
        covariance = np.where((rows == columns)[:, None], sd * sd, 0.0) * np.ones(n)
        return cls(weights, covariance, likelihood, bin_s, noise_variance, regressors)

    def dense_covariance(self) -> np.ndarray:
        """Return the covariances as full matrices, (units, regressors, regressors)."""
        d = self.n_regressors
        rows, columns = pair_indices(d)
        full = np.empty((self.n_units, d, d))
        full[:, rows, columns] = self.covariance.T
        full[:, columns, rows] = self.covariance.T
        return full

    def state(self) -> dict[str, Any]:
        """Return copies of the arrays that adaptation changes."""
        arrays: dict[str, Any] = {name: getattr(self, name).copy() for name in STATE}
        return arrays | ({"features": self.features.state()} if self.features else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the arrays that :meth:`state` saved, in place: decoders and adapters keep their references."""
        for name in STATE:
            getattr(self, name)[...] = state[name]
        if self.features:
            self.features.restore(state["features"])

    def copy(self) -> EncodingModel:
        """Return an independent copy."""
        made = EncodingModel(
            self.weights.copy(),
            self.covariance.copy(),
            self.likelihood,
            self.bin_s,
            self.noise_variance,
            self.regressors,
            self.features.copy() if self.features else None,
        )
        made.names, made.axes = self.names, self.axes
        return made

    @classmethod
    def of_state(cls, state: dict[str, Any], config: Config) -> EncodingModel:
        """Return the model of a session's snapshot, with copies of its arrays."""
        features = None
        if "features" in state:
            kinds, width_s = Regressors.of_features(config), config.session.feature_bin_s
            features = cls._copied(state["features"], "gaussian", width_s, kinds)
        made = cls._copied(state, config.session.likelihood, config.bin_s, Regressors.of(config), features)
        return made.named(config.session.unit_names, config.state.axes)

    @classmethod
    def _copied(cls, state: dict[str, Any], likelihood: str, bin_s: float, kinds: Regressors, features=None):
        weights, covariance, noise = (state[name].copy() for name in STATE)
        return cls(weights, covariance, likelihood, bin_s, noise, kinds, features)

    def arrays(self) -> dict[str, Any]:
        """Return what a file of the model holds."""
        arrays: dict[str, Any] = {
            "weights": self.weights.T,
            "covariance": self.dense_covariance(),
            "noise_variance": self.noise_variance,
            "bin_s": self.bin_s,
            "likelihood": self.likelihood,
            "unit_names": np.array(self.names),
            "regressors": np.array(self.regressors.names),
            "history_s": np.array(self.regressors.history_s, float),
            "n_axes": self.n_axes,
        }
        if self.axes:
            arrays["axes"] = np.array(self.axes)
        more = self.features.arrays() if self.features else {}
        return arrays | {f"features_{name}": value for name, value in more.items()}

    def save(self, path) -> None:
        """Write the model as ``.npz``, whole or not at all; arrays as :meth:`arrays` gives them."""
        write_npz(npz_path(path), **self.arrays())

    @classmethod
    def load(cls, path) -> EncodingModel:
        """Read a model written by :meth:`save` or by ``bmi glm export``.

        Raises
        ------
        BadInput
            When the file is missing, not a model, or holds values that are not finite.
        """
        path = pathlib.Path(path)
        if path.is_dir():
            raise BadInput(f"{path} is a folder: give a model (.npz) or a recording (.mcap) in it")
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = plain_arrays(data)
            check_arrays(arrays)
            return cls._of_arrays(arrays)
        except FileNotFoundError:
            raise BadInput(f"there is no file {path}") from None
        except (EOFError, OSError, zipfile.BadZipFile):
            raise BadInput(f"{path} cannot be read as an encoding model: give a .npz or a recording (.mcap)") from None
        except KeyError as error:
            raise BadInput(f"{path} is not an encoding model: it has no {error}") from None
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            why = "it is not an .npz file" if "pickle" in str(error) else str(error)
            raise BadInput(f"{path} is not an encoding model: {why}") from None

    @classmethod
    def _of_arrays(cls, arrays: dict[str, np.ndarray]) -> EncodingModel:
        weights, full = np.asarray(arrays["weights"], float).T, np.asarray(arrays["covariance"], float)
        rows, columns = pair_indices(weights.shape[0])
        kinds = None
        if "regressors" in arrays:
            names, history_s = arrays["regressors"].tolist(), arrays["history_s"].tolist()
            kinds = Regressors(int(arrays["n_axes"]), tuple(names), tuple(history_s))
        more = {name.removeprefix("features_"): value for name, value in arrays.items() if name.startswith("features_")}
        features = cls._of_arrays(more) if more else None
        model = cls(
            weights, full[:, rows, columns].T, str(arrays["likelihood"]), float(np.ravel(arrays["bin_s"])[0]),
            arrays.get("noise_variance"), kinds, features,
        )  # fmt: skip
        if "unit_names" in arrays and len(arrays["unit_names"]) == model.n_units:
            model.names = tuple(str(name) for name in arrays["unit_names"])
        model.axes = tuple(str(name) for name in arrays.get("axes", ()))
        return model


def untrained_model(config: Config) -> EncodingModel:
    """Return a model of a session's units, and of its features, that knows nothing: 10 Hz (features: 0), no tuning."""
    session, sd, noise = config.session, config.encoding.initial_sd, config.encoding.noise_variance or 1.0
    start = np.full(session.units, 0.0 if config.continuous else 10.0)
    model = EncodingModel.untrained(
        start, session.likelihood, config.bin_s, sd, np.full(session.units, noise), regressors=Regressors.of(config)
    )
    if session.features:
        model.features = EncodingModel.untrained(
            np.zeros(session.features),
            "gaussian",
            session.feature_bin_s,
            sd,
            np.full(session.features, noise),
            regressors=Regressors.of_features(config),
        )
    return model.named(session.unit_names, config.state.axes)
