"""The networks of the joined decoder on recordings: recurrent ones and short histories, mixed as validation says.

A recurrent network knows more of the movement than a short history does, but the two err differently. Their errors
along the last fifth, on which neither was trained, have the covariance C per kinematic column; what is said is the
convex combination w of least ``w' C w``. C is that of one network of each kind; the averages that are mixed have less
variance, by what the members differ in (`shares.best_share`). The least of a minute of errors is uncertain, and a third
is as good along parts that had no part in the choice, so that short validation parts are drawn to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training
from bmi_runtime.decoding.network_decoder import Validation
from bmi_runtime.decoding.network_training import Recipe
from bmi_runtime.decoding.recurrent import RecurrentDecoder
from bmi_runtime.decoding.shares import best_share, mixed
from bmi_runtime.decoding.short_history import RECIPE, ShortHistoryDecoder

PARTS = ("recurrent", "short_history")
SHORT_RECIPE = dataclasses.replace(RECIPE, window_s=0.4, entry=64, fewest_updates=250, most_updates=400)
"""Alone a longer history is better; beside recurrent networks this one is, at half the cost."""
USUAL_SHARE, USUAL_S = 1.0 / 3.0, 60.0
"""The share that short validation parts are drawn to, as if it had been found in so many seconds more."""


class NetworkMixture(DecoderBase):
    """Recurrent networks and short histories, side by side.

    Parameters
    ----------
    recurrent : RecurrentDecoder
    short_history : ShortHistoryDecoder
    share : ndarray, shape (2 axes,)
        Of the short histories in the answer, per kinematic column.
    """

    TAKES_MISSING = True
    STATE = PARTS
    validation: Validation | None = None

    def __init__(self, recurrent: RecurrentDecoder, short_history: ShortHistoryDecoder, share: np.ndarray):
        super().__init__(recurrent.width // 2)
        self.recurrent, self.short_history = recurrent, short_history
        self.share = np.ascontiguousarray(share, dtype=float)
        self.width = recurrent.width
        self.said = np.full((2, self.width), np.nan)

    @classmethod
    def fit(
        cls,
        training: Training,
        recipe: Recipe | None = None,
        seed: int = 1,
        advance: Callable[[float], None] = lambda amount: None,
        short_recipe: Recipe | None = None,
    ) -> Self:
        """Return the networks trained on `training` and mixed by what they say of its last fifth.

        Parameters
        ----------
        training : Training
        recipe : Recipe, optional
            Of the recurrent networks.
        seed, advance
            As for `NetworkDecoder.fit`.
        short_recipe : Recipe, optional
            Of the short histories; `SHORT_RECIPE` by default.
        """
        recurrent = RecurrentDecoder.fit(training, recipe, seed, advance)
        short_history = ShortHistoryDecoder.fit(training, short_recipe or SHORT_RECIPE, seed, advance)
        ours, other = recurrent.validation, short_history.validation
        assert ours is not None and other is not None  # `fit` always validates
        truth = training.kinematics[ours.first :]
        found = best_share(truth, ours.states, other.states, ours.less, other.less)
        seconds = len(truth) * training.bin_s
        share = (seconds * found + USUAL_S * USUAL_SHARE) / (seconds + USUAL_S)
        mixture = cls(recurrent, short_history, share)
        states = mixed(ours.states, other.states, mixture.share)
        n = training.n_axes
        each = r2(truth[:, n:], states[:, n:]).tolist()
        less = (1.0 - share) ** 2 * ours.less + share**2 * other.less
        mixture.validation = dataclasses.replace(
            ours, states=states, r2_velocity=each, r2=float(np.nanmean(each)), less=less
        )
        return mixture

    @property
    def size(self) -> int:
        """Number of parameters of all networks."""
        return self.recurrent.size + self.short_history.size

    def parameters(self) -> dict[str, Any]:
        """Return the numbers and arrays that the mixture is made from."""
        found: dict[str, Any] = {"share": self.share}
        for name in PARTS:
            found |= {f"{name}.{key}": value for key, value in getattr(self, name).parameters().items()}
        return found

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Return the mixture whose :meth:`parameters` these are."""
        recurrent, short = (
            {key.removeprefix(f"{name}."): value for key, value in parameters.items() if key.startswith(f"{name}.")}
            for name in PARTS
        )
        return cls(
            RecurrentDecoder.from_parameters(recurrent), ShortHistoryDecoder.from_parameters(short),
            np.atleast_1d(parameters["share"]),
        )  # fmt: skip

    def reset(self) -> None:
        """Forget the states and the counts before."""
        self.recurrent.reset()
        self.short_history.reset()

    def on_done(self) -> None:
        """Notify the networks that a trial ended."""
        self.recurrent.on_done()
        self.short_history.on_done()

    def predict(self, counts: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Process one bin and return kinematics, NaN where they are not decoded.

        Parameters
        ----------
        counts : ndarray, shape (units,)
        valid : ndarray, shape (units,), optional
            0 where a count is missing.
        """
        first, second = self.said
        first[:] = self.recurrent.predict(counts, valid)
        second[:] = self.short_history.predict(counts, valid)
        return first + self.share * (second - first)
