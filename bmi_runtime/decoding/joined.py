"""The joined decoder: networks and the adaptive units, both observers of one velocity.

Two estimates are made of every bin: what networks say (in a loop of the last few tenths of a second), and what the
velocity filter says from the encoding model of the units, which adapts. Both are taken as encodings of the intended
velocity,

    o = b + H v + n,   n with covariance R,

by one more Gaussian encoding model, whose b and H adapt at a calculated rate and whose R is followed. What is decoded
is the velocity that these observers speak of, ``(H' R^-1 H + q I)^-1 H' R^-1 (o - b)``.

Why it is so: a network trained for the least squared error answers with too small velocities (its H is 0.65 to 0.85 in
the simulated loops), which makes a loop slow; inverting its encoding takes that back. When the units drift the network
ages and its part of H falls, while the units' own filter follows them; R says how much each is still worth. The prior
precision q is the inverse variance of the recorded velocity on recordings, and less in a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training
from bmi_runtime.decoding.joined_fit import FILTER_SD_M_S, fitted_parameters
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.decoding.network_training import Recipe
from bmi_runtime.decoding.short_history import ShortHistoryDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors
from bmi_runtime.kernels import observers as kernels
from bmi_runtime.kernels import readout

LARGEST_OBSERVED = 50.0  # dm/s: a filter that goes astray must not teach its scale to the covariance R
OWN = (
    "unit_weights", "unit_covariance", "unit_noise", "poisson", "observer_weights", "observer_covariance",
    "observer_noise", "rate", "noise_share", "precision", "mean", "unit", "bin_s", "share",
)  # fmt: skip
ADDED = ("unit_history_s", "filter_constant_s", "coasts")  # older files have none of them
FILTER_CONSTANT_BEFORE_S = 0.12


class JoinedDecoder(DecoderBase):
    """Network and units as observers of one velocity.

    Velocities are ``(v - mean) / unit`` inside, in dm/s.

    Parameters
    ----------
    network : dict
        Parameters of the `ShortHistoryDecoder` (for a loop) or the `NetworkMixture` (for recordings).
    **own
        What stands beside the network in the file, by name:

        * ``unit_weights``, ``unit_covariance``, ``unit_noise`` (ndarray): arrays of the units' encoding model.
        * ``unit_history_s`` (ndarray, optional): time constants of the units' own past, s; none where their rates do
          not depend on it.
        * ``filter_constant_s`` (float, optional): time constant of the velocity prior of the units' filter, s.
        * ``poisson`` (int): 1 where that is a Poisson model, 0 where a Gaussian one.
        * ``observer_weights`` (ndarray, shape (1 + axes, observers)): b and H; the observers are the units' filter,
          one component per axis, then the network.
        * ``observer_covariance`` (ndarray, shape (1 + axes, 1 + axes)): of the weights of every observer, in units of
          its noise variance.
        * ``observer_noise`` (ndarray, shape (observers, observers)): R.
        * ``rate`` (float): learning rate of the observers' weights, in units of their noise variance.
        * ``noise_share`` (float): share of the newest bin in R.
        * ``precision`` (float): q, (dm/s)^-2.
        * ``mean`` (ndarray, shape (axes,))
        * ``unit`` (float): of the velocity inside, in the decoder's own.
        * ``bin_s`` (float)
        * ``coasts`` (int, optional): 1 where time goes on in bins without data: the units' past fades, and with it
          what is known of the velocity. 0 where everything stands still, as in older files.
        * ``share`` (ndarray, shape (axes,)): of what the observers speak of in the answer, beside what the networks
          say by themselves: 1 in a loop; 0 on recordings, where a small error counts and their own answer has it.
    """

    TAKES_MISSING = True

    def __init__(self, network: dict[str, Any], **own):
        made = NetworkMixture if any(name.startswith("recurrent.") for name in network) else ShortHistoryDecoder
        self.network: NetworkMixture | ShortHistoryDecoder = made.from_parameters(network)
        super().__init__(self.network.width // 2)
        self._own = own
        self.mean, self.unit = np.atleast_1d(np.asarray(own["mean"], float)), float(own["unit"])
        self.rate, self.noise_share = float(own["rate"]), float(own["noise_share"])
        self.precision, bin_s = float(own["precision"]), float(own["bin_s"])
        self.share, self.coasts = np.atleast_1d(np.asarray(own["share"], float)), bool(own.get("coasts", 0))
        n, observers = self.n_axes, 2 * self.n_axes
        likelihood = "poisson" if own["poisson"] else "gaussian"
        past_s = tuple(np.atleast_1d(own.get("unit_history_s", ())).tolist())
        kinds = Regressors(n, ("velocity", "history") if past_s else ("velocity",), past_s)
        arrays = (own["unit_weights"].copy(), own["unit_covariance"].copy())
        self.model = EncodingModel(*arrays, likelihood, bin_s, own["unit_noise"], kinds)
        self.adapter = Adapter(self.model, 0.0)
        self.history = History(kinds, self.model.n_units, bin_s)
        self.adapter.history = self.history.traces
        constant_s = float(own.get("filter_constant_s", FILTER_CONSTANT_BEFORE_S))
        self.units = VelocityFilter(self.model, constant_s, FILTER_SD_M_S, history=self.history.traces)
        self.weights, self.covariance, self.noise = (
            np.array(own[name], float) for name in ("observer_weights", "observer_covariance", "observer_noise")
        )
        self.observed, self._gains = np.zeros(observers), np.ones(1 + n)
        self._work, self._system = np.zeros((observers, observers + n + 1)), np.zeros((n, 2 * n + 1))
        self._velocity, self._variance = np.zeros(n), np.zeros(n)
        self._features, self._residual = np.zeros(1 + n), np.zeros(observers)
        self._all_valid, self._nothing = np.ones(self.model.n_units), np.zeros(self.model.n_units)
        self._newest = np.zeros(self.model.n_units)  # counts that are no past yet: they may still be learned from
        self._state, self._origin = np.full(2 * n, np.nan), (0.0,) * n

    @classmethod
    def fit(
        cls,
        training: Training,
        recipe: Recipe | None = None,
        seed: int = 1,
        advance: Callable[[float], None] = lambda amount: None,
        unit: float | None = None,
        for_loop: bool | None = None,
        short_recipe: Recipe | None = None,
    ) -> Self:
        """Return the decoder fitted to `training`; its observers are weighed on its last fifth.

        For a recording its networks are a mixture of recurrent ones and short histories. For a loop they are short
        histories alone: what remembers the trajectories of its training misleads a loop (docs/compare.md).

        Parameters
        ----------
        training : Training
        recipe, seed, advance
            As for `NetworkDecoder.fit`.
        unit : float, optional
            What 1 dm/s is in the unit of the velocity; by default the velocity's standard deviation is taken for it.
        for_loop : bool, optional
            Whether it is to drive a loop; by default where `unit` is given.
        short_recipe : Recipe, optional
            Of the short histories of a recording.
        """
        network: NetworkMixture | ShortHistoryDecoder
        if not (unit is not None if for_loop is None else for_loop):
            network = NetworkMixture.fit(training, recipe, seed, advance, short_recipe)
        else:
            network = ShortHistoryDecoder.fit(training, recipe, seed, advance)
        return cls.of_networks(training, network, unit)

    @classmethod
    def of_networks(
        cls, training: Training, network: NetworkMixture | ShortHistoryDecoder, unit: float | None = None
    ) -> Self:
        """Return the decoder of networks that were fitted to `training`, which it weighs beside the units."""
        decoder = cls(network.parameters(), **fitted_parameters(training, network, unit))
        decoder.network.validation = network.validation
        return decoder

    @property
    def validation(self):
        """What the validated network said of the last fifth."""
        return self.network.validation

    @property
    def size(self) -> int:
        """Number of parameters of the networks."""
        return self.network.size

    def parameters(self) -> dict[str, Any]:
        """Return the numbers and arrays that the decoder was made from."""
        own = {name: self._own[name] for name in OWN}
        own |= {name: self._own[name] for name in ADDED if name in self._own}
        return own | {f"network.{name}": value for name, value in self.network.parameters().items()}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Return the decoder whose :meth:`parameters` these are."""
        network = {
            name.removeprefix("network."): value for name, value in parameters.items() if name.startswith("network.")
        }
        added = {name: parameters[name] for name in ADDED if name in parameters}
        return cls(network, **{name: parameters[name] for name in OWN}, **added)

    def reset(self) -> None:
        """Forget the counts before and the filter's state; keep what was learned."""
        self.network.reset()
        self.units.reset()
        self.history.traces[:], self._newest[:] = 0.0, 0.0

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""
        self.network.on_done()

    def predict(self, counts: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Process one bin and return the network's positions, NaN where there are none, then velocities.

        Parameters
        ----------
        counts : ndarray, shape (units,)
        valid : ndarray, shape (units,), optional
            0 where a count is missing.
        """
        units = self.units
        units.set_position(*self._origin)
        said = self.network.predict(counts, valid)
        if self.history.traces.size:
            self.history.take(self._newest)
            self._newest[:] = counts if valid is None else np.where(valid > 0, counts, 0.0)
        kernels.joined_answer(
            units.predict(np.asarray(counts, float), valid), said, self.mean, self.unit, self.unit**2, DM_PER_M,
            LARGEST_OBSERVED, self.share, self.weights, self.noise, self.precision, self.observed, self._work,
            self._system, self._velocity, self._variance, self._state, self.variance,
        )  # fmt: skip
        return self._state.copy()

    def coast(self) -> np.ndarray:
        """Go on one bin in which no count came, and return what is known of the kinematics then."""
        return self.predict(self._nothing, self._nothing)

    def adapt(
        self, counts: np.ndarray, velocity: np.ndarray, learning_rate: float, valid: np.ndarray | None = None
    ) -> None:
        """Learn from the velocity that was meant in the bin that was just decoded.

        Parameters
        ----------
        counts : ndarray, shape (units,)
        velocity : ndarray, shape (axes,)
            In the decoder's unit; nothing is learned from one that is not finite.
        learning_rate : float
            Of the units, per bin.
        valid : ndarray, shape (units,), optional
        """
        meant = (np.asarray(velocity, float) - self.mean) / self.unit
        if not np.isfinite(meant).all():
            return
        self.adapter.set_learning_rate(learning_rate)
        self.adapter.update(counts, self._all_valid if valid is None else valid, *(meant / DM_PER_M).tolist())
        self._features[0], self._features[1:] = 1.0, meant
        kernels.watch_noise(self._features, self.observed, self.weights, self.noise_share, self.noise, self._residual)
        readout.teach(self._features, self.observed, self.rate, 1.0, self.weights, self.covariance, self._gains)

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {
            "network": self.network.snapshot(),
            "units": self.units.snapshot(),
            "model": self.model.state(),
            "weights": self.weights.copy(),
            "covariance": self.covariance.copy(),
            "noise": self.noise.copy(),
            "observed": self.observed.copy(),
            "variance": self.variance.copy(),
            **({"past": [self.history.traces.copy(), self._newest.copy()]} if self.history.traces.size else {}),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.network.restore(snapshot["network"])
        self.units.restore(snapshot["units"])
        self.model.restore(snapshot["model"])
        for name in ("weights", "covariance", "noise", "observed", "variance"):
            getattr(self, name)[...] = snapshot[name]
        if "past" in snapshot:
            self.history.traces[...], self._newest[...] = snapshot["past"]
