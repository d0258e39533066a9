"""What decoders that are ensembles of networks share: scales, training, validation, files, a read-out that adapts.

A network takes steps of about 50 ms. Narrower bins are summed over them and run in as many interleaved chains, so that
the cost of a bin and what a network has to remember do not depend on the bin width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from bmi_runtime.analysis.metrics import r2
from bmi_runtime.decoding.adaptive_readout import AdaptiveReadout, Directions, ReadoutPlan
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training
from bmi_runtime.decoding.network_parameters import Network, views
from bmi_runtime.decoding.network_training import BatchSampler, Member, Recipe, train_member
from bmi_runtime.decoding.recurrent_data import LARGEST_INPUT, Scales, Sequences, scales_of, sequences_of
from bmi_runtime.kernels import gru
from bmi_runtime.kernels import readout as kernels

SMALLEST_SLOPE = 0.1  # of the largest: what the network hardly tells is not blown up
DIRECTIONS = ("direction_mean", "direction_basis", "direction_power")


@dataclasses.dataclass(frozen=True)
class Validation:
    """What a network that was trained on the first four fifths says of the last fifth.

    Attributes
    ----------
    first : int
        First bin of the last fifth.
    states : ndarray, shape (bins, width)
        Decoded kinematics, NaN where they are not decoded.
    r2_velocity : list of float
    r2 : float
        Their mean.
    loss : ndarray, shape (updates,)
        Of the training.
    hidden : ndarray, shape (bins, size)
        States of the network along that fifth.
    directions : Directions
        Of its states in training.
    spread : ndarray, shape (axes,)
        Scale of the velocity.
    less : ndarray, shape (width,), or float
        Variance that this one network has beyond the average of the decoder's members, by how these differ in training.
    """

    first: int
    states: np.ndarray
    r2_velocity: list[float]
    r2: float
    loss: np.ndarray
    hidden: np.ndarray
    directions: Directions
    spread: np.ndarray
    less: np.ndarray | float = 0.0

    def plan(self, states: np.ndarray, kinematics: np.ndarray, bin_s: float) -> ReadoutPlan:
        """Return what these kinematics say about adapting a read-out that decoded `states`, both of the last fifth."""
        n = states.shape[1] // 2
        moves = np.isfinite(self.r2_velocity)  # an axis that rests has no error that could be made smaller
        moves |= not moves.any()
        residual = ((kinematics[:, n:] - states[:, n:]) / self.spread)[:, moves]
        return ReadoutPlan.measured(self.directions, self.hidden, residual, bin_s, self.first)


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a bin leaves for a teacher: its features, and the velocity that the networks decoded, in their scale."""

    features: np.ndarray
    said: np.ndarray


class NetworkDecoder(DecoderBase):
    """An ensemble of networks; kinematics are the mean of what its members say.

    A kind of network says its `ARRAYS`, of which shape they are for some data (`network_of`), how batches are drawn
    (`sampler_of`), how a trained member runs over a recording (`run`), and takes one step (`_step`).

    Parameters
    ----------
    mean, gain : float32, shape (units,)
        Scale of the counts, summed over a step.
    centre, spread : ndarray, shape (outputs,)
        Scale of the kinematics.
    columns : ndarray of int, shape (outputs,)
        Which of the kinematics are decoded.
    stride, width : int
        Bins of a step; columns of the kinematics.
    marks_trials : int
        1 where an input tells of the start of a trial.
    **given
        The arrays of the networks, members first, and what validation said of adapting the read-out.
    """

    TAKES_MISSING = True
    STATE: tuple[str, ...] = ("_ring", "_known", "_phase", "_marked", "readout")
    ARRAYS: tuple[str, ...] = ()
    RECIPE = Recipe()
    validation: Validation | None = None
    read: np.ndarray
    read_bias: np.ndarray

    def __init__(self, mean, gain, centre, spread, columns, stride: int, width: int, marks_trials: int, **given):
        super().__init__()
        for name in self.ARRAYS:
            setattr(self, name, np.ascontiguousarray(given[name], dtype=np.float32))
        mean_, basis, power = (np.ascontiguousarray(given[name], dtype=float) for name in DIRECTIONS)
        self.directions = Directions(mean_, basis, power)
        self.plan = ReadoutPlan.from_parameters(given)
        self.mean, self.gain = (np.ascontiguousarray(a, dtype=np.float32) for a in (mean, gain))
        self.centre, self.spread = (np.ascontiguousarray(a, dtype=np.float64) for a in (centre, spread))
        self.columns = np.atleast_1d(np.asarray(columns, dtype=np.int64))
        self.stride, self.width, self.marks_trials = int(stride), int(width), int(marks_trials)
        self.variance = np.full(self.width, np.nan)
        self.members = len(self.read)
        self.outputs = np.zeros((self.members, len(self.columns)), np.float32)
        self._inputs = np.zeros(len(self.mean) + self.marks_trials, np.float32)
        self.moving = np.flatnonzero(self.columns >= self.width // 2)
        self.readout = AdaptiveReadout(self.directions, self.plan.pilot.noise, len(self.moving))
        self._said = np.zeros(len(self.columns))
        self._blank = self.mean.astype(float) / self.stride
        self.reset()

    @classmethod
    def fit(
        cls,
        training: Training,
        recipe: Recipe | None = None,
        seed: int = 1,
        advance: Callable[[float], None] = lambda amount: None,
    ) -> Self:
        """Return the ensemble trained on all of `training`; one more network validates on its last fifth.

        Parameters
        ----------
        training : Training
        recipe : Recipe, optional
        seed : int
        advance : callable
            Called with the progress, in networks.
        """
        recipe = recipe or cls.RECIPE
        validation = cls.validate(training, recipe, seed, advance)
        scales = scales_of(training)
        data = sequences_of(training, scales, recipe.position_weight)
        network, sampler = cls._to_train(training, scales, data, recipe)
        members = [cls._train(sampler, network, [seed, 1 + k], scales, advance) for k in range(recipe.members)]
        runs = [cls.run(member, data, scales.stride) for member in members]
        hidden = np.hstack([states for _, states in runs])
        plan = validation.plan(validation.states, training.kinematics[validation.first :], training.bin_s)
        decoder = cls.of_members(members, scales, training.kinematics.shape[1], Directions.of(hidden), plan)
        decoder.validation = dataclasses.replace(validation, less=decoder.less_than_one([said for said, _ in runs]))
        return decoder

    def less_than_one(self, said: list[np.ndarray]) -> np.ndarray:
        """Return how much less variance the mean of members has than one of them, (width,), from what each said.

        Parameters
        ----------
        said : list of ndarray, shape (bins, outputs)
            In the network's scale.
        """
        less = np.full(self.width, np.nan)
        if self.members > 1:
            scatter = np.var(said, axis=0, ddof=1, dtype=float).mean(axis=0)
            less[self.columns] = self.spread**2 * scatter * (1.0 - 1.0 / self.members)
        return less

    @classmethod
    def validate(
        cls, training: Training, recipe: Recipe, seed: int, advance: Callable[[float], None] = lambda amount: None
    ) -> Validation:
        """Train one network on the first four fifths and score it on the last fifth."""
        inner, _ = training.validation()
        first = len(inner.counts)
        scales = scales_of(inner)
        data = sequences_of(inner, scales, recipe.position_weight)
        network, sampler = cls._to_train(training, scales, data, recipe)
        member = cls._train(sampler, network, [seed, 0], scales, advance)
        outputs, hidden = cls.run(member, sequences_of(training, scales, 1.0), scales.stride)
        width = training.kinematics.shape[1]
        states = np.full((len(outputs) - first, width), np.nan)
        states[:, scales.columns] = scales.centre + scales.spread * outputs[first:]
        truth = training.kinematics[first:]
        each = r2(truth[:, width // 2 :], states[:, width // 2 :]).tolist()
        return Validation(
            first, states, each, float(np.nanmean(each)), member.loss, hidden[first:], Directions.of(hidden[:first]),
            scales.spread[scales.columns >= width // 2],
        )  # fmt: skip

    @classmethod
    def _train(
        cls, sampler: BatchSampler, network: Network, seed: list[int], scales: Scales, advance: Callable[[float], None]
    ) -> Member:
        """Return a trained network that says of what rests just where it rests."""
        member = train_member(sampler, network, seed, advance)
        named = views(network, member.parameters)
        named["read"][:, scales.rests], named["read_bias"][scales.rests] = 0.0, 0.0
        return member

    @classmethod
    def _to_train(
        cls, training: Training, scales: Scales, data: Sequences, recipe: Recipe
    ) -> tuple[Network, BatchSampler]:
        """Return the network for these data, and what draws its batches."""
        step_s = scales.stride * training.bin_s
        network = cls.network_of(scales, recipe, step_s)
        return network, cls.sampler_of(network, data, scales, recipe, step_s)

    @classmethod
    def network_of(cls, scales: Scales, recipe: Recipe, step_s: float) -> Network:
        """Return the sizes of a network for data of these scales."""
        raise NotImplementedError

    @classmethod
    def sampler_of(cls, network: Any, data: Sequences, scales: Scales, recipe: Recipe, step_s: float) -> BatchSampler:
        """Return what draws the batches of a training."""
        raise NotImplementedError

    @classmethod
    def run(cls, member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and hidden layer of every bin, (bins, outputs) and (bins, hidden), causally."""
        raise NotImplementedError

    def _step(self, phase: int) -> np.ndarray:
        """Run all members on the newest inputs; write `outputs` and return their hidden layers, (members x hidden,)."""
        raise NotImplementedError

    @classmethod
    def of_members(
        cls, members: list[Member], scales: Scales, width: int, directions: Directions, plan: ReadoutPlan
    ) -> Self:
        """Return the decoder of trained networks."""
        named = [views(member.network, member.parameters) for member in members]
        network = {name: np.stack([part[name] for part in named]) for name in cls.ARRAYS}
        return cls(
            scales.mean, scales.gain, scales.centre, scales.spread, scales.columns, scales.stride, width,
            int(scales.marks_trials), **network, direction_mean=directions.mean,
            direction_basis=directions.basis, direction_power=directions.power, **plan.parameters(),
        )  # fmt: skip

    def unshrunk(self, training: Training) -> Self:
        """Take back that a network of least squared error answers with too small velocities; return the decoder.

        Along the last fifth, which the validated network was not trained on, what it said obeys ``o = b + H v + n``
        with the velocity v; what is read out from now on is ``H^-1 (o - b)``.

        Parameters
        ----------
        training : Training
            What it was fitted to.
        """
        validation = self.validation
        assert validation is not None  # `fit` always validates
        centre, spread = self.centre[self.moving], self.spread[self.moving]
        true = (training.velocity[validation.first :] - centre) / spread
        said = (validation.states[:, self.width // 2 :] - centre) / spread
        known = np.isfinite(true).all(axis=1) & np.isfinite(said).all(axis=1)
        regressors = np.hstack([np.ones((int(known.sum()), 1)), true[known]])
        weights = np.linalg.lstsq(regressors, said[known], rcond=None)[0]
        inverse = np.linalg.pinv(weights[1:], rcond=SMALLEST_SLOPE).astype(np.float32)
        self.read[:, :, self.moving] = self.read[:, :, self.moving] @ inverse
        offset = weights[0].astype(np.float32)
        self.read_bias[:, self.moving] = (self.read_bias[:, self.moving] - offset) @ inverse
        return self

    def parameters(self) -> dict[str, Any]:
        """Return the numbers and arrays that the decoder is made from."""
        names = (*self.ARRAYS, "mean", "gain", "centre", "spread", "columns", "stride", "width", "marks_trials")
        directions = {
            "direction_mean": self.directions.mean, "direction_basis": self.directions.basis,
            "direction_power": self.directions.power,
        }  # fmt: skip
        return {name: getattr(self, name) for name in names} | directions | self.plan.parameters()

    @property
    def size(self) -> int:
        """Number of parameters of all networks."""
        return sum(getattr(self, name).size for name in self.ARRAYS)

    def reset(self) -> None:
        """Forget the states and the counts before."""
        self._ring = np.tile(self._blank, (self.stride, 1))
        self._known = np.ones((self.stride, len(self.mean)))
        self._phase, self._marked = 0, 0

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: the next bins are marked if the networks were trained with marks."""
        self._marked = self.stride

    def predict(self, counts: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Process one bin and return kinematics, NaN where they are not decoded.

        Parameters
        ----------
        counts : ndarray, shape (units,)
        valid : ndarray, shape (units,), optional
            0 where a count is missing. The others are scaled up, as for the units dropped in training.
        """
        phase = self._phase
        self._ring[phase], self._known[phase] = counts, 1.0 if valid is None else valid
        self._fill_inputs()
        hidden = self._step(phase)
        self._phase = (phase + 1) % self.stride
        self._marked = max(self._marked - 1, 0)
        state, readout = np.full(self.width, np.nan), self.readout
        kernels.answer(
            self.outputs, hidden, self.directions.mean, self.directions.basis, readout.features, readout.weights,
            self.centre, self.spread, self.columns, self.moving, self._said, state,
        )  # fmt: skip
        return state

    def lesson(self) -> Lesson:
        """Return what of the newest bin a teacher needs later."""
        return Lesson(self.readout.features.copy(), self._said[self.moving].copy())

    def teach(self, lesson: Lesson, velocity: np.ndarray) -> None:
        """Learn from the true (or intended) velocity of a past bin, at the read-out's rate.

        Parameters
        ----------
        lesson : Lesson
            Of that bin.
        velocity : ndarray, shape (axes,)
            In the decoder's unit; nothing is learned from one that is not finite.
        """
        truth = (velocity - self.centre[self.moving]) / self.spread[self.moving]
        self.readout.teach(lesson.features, truth - lesson.said)

    def adapt(self, counts: np.ndarray, velocity: np.ndarray) -> None:
        """Learn from what was intended with the bin that was just decoded."""
        self.teach(self.lesson(), velocity)

    def _fill_inputs(self) -> None:
        units = len(self.mean)
        gru.standardised(self._ring, self._known, self.mean, self.gain, LARGEST_INPUT, self._inputs[:units])
        if self.marks_trials:
            self._inputs[units] = 1.0 if self._marked else 0.0
