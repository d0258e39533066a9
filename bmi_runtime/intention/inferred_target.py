"""The goal inferred from the movement itself: a filter over candidate targets, none of them known to be the one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import AdapterConfig
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.infer import aim_gains
from bmi_runtime.intention.late_labels import Past
from bmi_runtime.intention.movement_noise import FREEDOM, MovementNoise, has_jumped
from bmi_runtime.kernels import targets

CORRELATION_S = 0.25  # over which the seen velocity's deviation from the aim is one observation
RESIDUAL_MEMORY_S = 5.0  # over which speed and deviation from the aim are averaged
FIRST_RESIDUAL = 0.05**2  # (m/s)^2 per axis
LEAST_RESIDUAL = 0.005**2  # a decoder without noise would make the posterior certain of anything
GRID_POINTS = {1: 15, 2: 9, 3: 5}
"""Candidates per axis of a grid over the workspace, by the number of axes; three for more axes."""
UNEXPLAINED = 0.7  # of the mean square speed; a good decoder leaves 0.2, one in the hard world 0.4
UNEXPLAINED_LATE = 1.0  # the same where what followed is known
ARRIVED_S = 0.15  # how long a goal is held, on average, once the cursor dwells on it
UNDER_WAY = 0.5  # of the mean square speed: an aim slower than that is an arrival, not a movement
UNDER_WAY_LATE = 0.25  # the same where what followed is known
LEAST_WEIGHT = 0.05  # candidates below it teach nothing; the others share their weight
FIRST_S = 1.0  # nothing is taught of it: what the cursor does by itself is not known yet
LOST_BELOW = 0.1  # share of bins that teach, below which baselines are learned without labels; 0.25 is usual
SAY_BELOW = 0.02  # share of bins that teach, over the residual's memory


class InferredTargetIntention:
    """Posterior over candidate targets from the cursor's own movement, causal; the adapter learns from all of them.

    The velocity that is seen is taken as the aim at the right candidate plus noise whose size is learned as it goes
    (:func:`bmi_runtime.kernels.targets.weigh`): where the decoder is poor, the posterior stays wide by itself. How fast
    the cursor follows aims and how lasting the noise is are learned, too (:class:`MovementNoise`). Nothing
    of the true target is read. After PRI-T (retrospective target inference, Nature Biomedical Engineering 2025),
    without the retrospection: a loop can only use what it knows.

    Parameters
    ----------
    config : AdapterConfig
        ``candidates``, ``goal_s``, ``label_confidence``, ``intention_frequency_hz``.
    bin_s : float
    n_axes : int
    """

    def __init__(self, config: AdapterConfig, bin_s: float, n_axes: int = 2):
        self.config, self.bin_s, self.n_axes = config, bin_s, n_axes
        self.keep, self.pull = aim_gains(2.0 * math.pi * config.intention_frequency_hz, bin_s)
        self.hazard = -math.expm1(-bin_s / config.goal_s)
        self.arrived_hazard = -math.expm1(-bin_s / ARRIVED_S)
        self.temper, self.memory = min(bin_s / CORRELATION_S, 1.0), min(bin_s / RESIDUAL_MEMORY_S, 1.0)
        self.residual, self.teaching = FIRST_RESIDUAL, 1.0  # what candidates are weighed with
        self.misfit, self._by_aims = FIRST_RESIDUAL, config.label_misfit == "aim"
        self.certain = self._told = self._dwells = False
        self._label: tuple[np.ndarray, np.ndarray] | None = None  # of the bin that teaches, until the next one
        self.speed2, self.smooth, self._apart = 0.0, np.zeros(n_axes), np.zeros(2)
        self.went2 = 0.0  # as speed2, of the bins in which the cursor really went where its velocity says
        self.before = np.full(n_axes, math.nan)  # where the cursor was a bin ago
        self.noise: MovementNoise | None = None
        self.lag_bins = round(config.label_lag_s / bin_s)
        self._uses_rest, self._rests = config.unlabelled != "skip", config.unlabelled == "rest"
        self._dwelling_aim = [0.0] * n_axes
        self._first_bins = self.lag_bins + (round(FIRST_S / bin_s) if self._uses_rest else 0)
        self._least_speed2 = UNDER_WAY_LATE if self.lag_bins else UNDER_WAY
        self.offer((), 1.0)

    def offer(self, candidates: Sequence[Sequence[float]], workspace_m: float) -> None:
        """Take candidate positions (m); a grid over the workspace where there are none or ``candidates = "grid"``.

        Raises
        ------
        BadInput
            When a candidate has another number of axes, or lies outside the workspace.
        """
        places = [tuple(float(x) for x in place) for place in candidates]
        on_grid = self.config.candidates == "grid" or not places
        learns_gain = self.config.label_gain == "learned" and not on_grid
        if self.config.label_noise == "learned" and (self.noise is None or self.noise.learns_gain != learns_gain):
            self.noise = MovementNoise(self.bin_s, self.n_axes, learns_gain)
        if on_grid:
            per_axis = GRID_POINTS.get(self.n_axes, 3)
            places = list(itertools.product(np.linspace(-workspace_m, workspace_m, per_axis), repeat=self.n_axes))
        for place in places:
            if len(place) != self.n_axes or not all(abs(x) <= workspace_m * (1 + 1e-9) for x in place):
                raise BadInput(
                    f"a candidate target at {place} is not in the workspace of {self.n_axes} axes and "
                    f"+-{workspace_m:g} m (task.workspace_m)"
                )
        self.candidates = np.array(places)
        self._reach = float(np.abs(self.candidates).max())
        self.aims = np.zeros_like(self.candidates)
        self.weights = np.full(len(places), 1.0 / len(places))
        self._shares, self._steady = np.ones(len(places)), self.weights.copy()
        self.past = Past(self.lag_bins + 1, *self.candidates.shape) if self.lag_bins else None

    def infer(self, cursor: Sequence[float], target: Sequence[float], trial_state: int) -> list[float]:
        """Return the mean intended velocity (m/s), NaN while no candidate is likely enough; `target` is not read."""
        n = self.n_axes
        position, velocity = np.array(cursor[:n]), np.array(cursor[n:])
        moved = position - self.before
        hazard = self.hazard if self._under_way() else self.arrived_hazard
        if self.noise:
            if not velocity.any():  # a cursor that is held tells nothing
                velocity = np.full(n, math.nan)
            if jumped := has_jumped(moved, velocity * self.bin_s, self._reach):
                hazard, self.aims[:] = 1.0, 0.0
        known = self._weigh(position, velocity, hazard)
        if known:
            self._follow(velocity, moved)
        self.before = position
        if self.noise:
            change = 1.0 if jumped else self.hazard
            targets.carry_on(self._steady, self._shares, change)
            self._keep_for_noise(velocity, change)
        self.certain = self._explains() and self._under_way() and self._confidence() >= self.config.label_confidence
        if self.past:
            self.past.keep(self.weights, self._shares, self.aims, self.smooth, hazard)
        self._label = self._taught()
        self.teaching += self.memory * ((self._label is not None) - self.teaching)
        return (self.weights @ self.aims).tolist() if self.certain else [math.nan] * n

    def _weigh(self, position: np.ndarray, velocity: np.ndarray, hazard: float) -> bool:
        """Weigh the candidates by a bin; return whether its velocity was known."""
        noise = self.noise
        gain, temper, variance, freedom = (
            (noise.gain, noise.temper, noise.variance, FREEDOM) if noise else (1.0, self.temper, self.residual, 0.0)
        )
        return bool(
            targets.weigh(
                position, velocity, self.candidates, self.keep, self.pull, gain, temper, hazard,
                max(variance, LEAST_RESIDUAL), freedom, self.aims, self.weights, self._apart, self._shares,
            )
        )  # fmt: skip

    def _keep_for_noise(self, velocity: np.ndarray, change: float) -> None:
        """Keep the bin until its goal has been weighed by what follows; at once, where labels are not late either."""
        if self.past:
            self.past.keep_steady(self._steady, velocity, change)
        else:
            self._learn_noise(velocity, self.aims[int(np.argmax(self._steady))])

    def _learn_noise(self, velocity: np.ndarray, aim: np.ndarray) -> None:
        if self.noise and np.isfinite(velocity).all():
            self.noise.learn(velocity, aim)
            self.residual = self.noise.variance

    def _follow(self, velocity: np.ndarray, moved: np.ndarray) -> None:
        """Learn how fast the cursor moves, how far from the aim, and whether its place follows its velocity."""
        self.smooth += self.temper * (velocity - self.smooth)
        self.speed2 += self.memory * (float(velocity @ velocity) - self.speed2)
        # a wide posterior's own mean would widen the residual, and that the posterior: unsure, the nearest aim counts
        apart = self._apart[0] if self.certain else self._apart[1]
        self.misfit += self.memory * (float(apart) - self.misfit)
        if not self.noise:
            self.residual = self.misfit
        missed, speed2 = moved - velocity * self.bin_s, float(velocity @ velocity)
        went = float(missed @ missed) < 0.25 * speed2 * self.bin_s**2
        self.went2 += self.memory * (speed2 * went - self.went2)

    def _explains(self) -> bool:
        """Return whether aims at candidates explain the movement: what is left of it is small beside what there was.

        A cursor that drifts without a goal also has a nearest candidate. A decoder that has grown weak moves at a
        fraction of the aim, which leaves nearly all of it unexplained and is just what is to be learned: where what
        followed is known more may be left, since a wandering cursor soon leaves the candidate that was nearest. One
        whose place does not follow its velocity never does, and says nothing.

        What is left is the distance from the nearest aim where no goal is certain, also where noise is learned: that is
        the noise around goals which may be guesses, and once it exceeded the movement nothing would ever teach again.
        """
        left = (self.misfit if self._by_aims else self.residual) * self.n_axes
        if not self.lag_bins:
            return bool(left < UNEXPLAINED * self.speed2)
        return bool(left < UNEXPLAINED_LATE * self.speed2 and self.went2 > 0.5 * self.speed2)

    def _taught(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return probabilities and aims of the bin that teaches, or None where its goal is not settled."""
        if not self.past:
            return (self.weights, self.aims) if self.certain else None
        self._dwells = False
        if not self.past.weigh():
            return None
        if self.noise:
            self._learn_noise(*self.past.goal_of_noise())
        if not (self.past.seen > self._first_bins and self._explains()):
            return None
        weights, (aims, smooth) = self.past.smoothed, self.past.oldest
        if self._confidence_of(weights, aims) < self.config.label_confidence:
            return None
        if self._ahead(weights, aims, smooth):
            return weights, aims
        aim = aims[int(np.argmax(weights))]
        self._dwells = self._slow(aim)
        if self._dwells and not self._rests:
            self._dwelling_aim = aim.tolist()
        return None

    def _under_way(self) -> bool:
        """Return whether the likeliest goal is still ahead."""
        return self._ahead(self.weights, self.aims, self.smooth)

    def _ahead(self, weights: np.ndarray, aims: np.ndarray, smooth: np.ndarray) -> bool:
        """Return whether the likeliest goal of a bin is still ahead.

        Where the cursor dwells on a candidate the next goal may already be meant: for a reaction time the posterior
        cannot know. Taught as rest, those bins shrink the tuning, the decoder overshoots, and it feeds itself.
        """
        aim = aims[int(np.argmax(weights))]
        return not self._slow(aim) and float(aim @ smooth) > 0.0

    def _slow(self, aim: np.ndarray) -> bool:
        gain = self.noise.gain if self.noise else 1.0
        return gain * gain * float(aim @ aim) <= self._least_speed2 * self.speed2

    def _confidence(self) -> float:
        return self._confidence_of(self.weights, self.aims)

    def _confidence_of(self, weights: np.ndarray, aims: np.ndarray) -> float:
        """Return the probability of the likeliest candidate and of those whose aim is nearly the same.

        On a grid several neighbours share the probability of one direction, which teaches the same.
        """
        best = int(np.argmax(weights))
        apart = ((aims - aims[best]) ** 2).sum(axis=1)
        near = apart <= 0.1 * max(float((aims[best] ** 2).sum()), 1e-6)
        return float(weights[near].sum())

    def labels(self) -> list[tuple[list[float], float]]:
        """Return intended velocities (m/s) with their probabilities, the likeliest last; none while uncertain."""
        if self._label is None:
            return []
        weights, aims = self._label
        order = np.argsort(weights)
        kept = order[weights[order] >= min(LEAST_WEIGHT, weights[order[-1]])]
        if len(kept) > 4:  # a grid: neighbours are as good as their mean
            return [((weights @ aims).tolist(), 1.0)]
        share = weights[kept] / weights[kept].sum()
        return [(aims[c].tolist(), float(p)) for c, p in zip(kept, share, strict=True)]

    def likeliest(self) -> tuple[int, float] | None:
        """Return the likeliest goal of the bin that teaches, and the probability of its direction."""
        if self._label is None:
            return None
        return int(np.argmax(self._label[0])), self._confidence_of(*self._label)

    @property
    def lost(self) -> bool:
        """Whether hardly any bin teaches."""
        return self.teaching < LOST_BELOW

    @property
    def dwells(self) -> bool:
        """Whether the earlier bin dwelt on its goal, and may teach baselines."""
        return self._dwells and self._uses_rest

    @property
    def dwelling_aim(self) -> list[float]:
        """The aim at the goal that the earlier bin dwelt on, m/s.

        Baselines that are wrong push the cursor, the subject holds against it, and the cursor rests beside the middle
        of its goal. Taken as at rest, such bins would teach that holding against it is rest, and the push would stay.
        """
        return self._dwelling_aim

    def news(self) -> dict[str, Any] | None:
        """Return an event when hardly a bin teaches any more, or bins teach again."""
        few = self.teaching < (2.0 * SAY_BELOW if self._told else SAY_BELOW)  # hysteresis: said once, not at every bin
        if few == self._told:
            return None
        self._told = few
        name = "labels-uncertain" if few else "labels-known"
        return {
            "name": name,
            "teaching_share": self.teaching,
            "confidence": self._confidence(),
            "velocity_noise_m_s": math.sqrt(self.residual),
            **({"cursor_gain": self.noise.gain} if self.noise else {}),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {
            "candidates": self.candidates.copy(),
            "aims": self.aims.copy(),
            "weights": self.weights.copy(),
            "residual": float(self.residual),
            "misfit": float(self.misfit),
            "speed2": float(self.speed2),
            "went2": float(self.went2),
            "before": self.before.copy(),
            "smooth": self.smooth.copy(),
            "teaching": float(self.teaching),
            "told": self._told,
            "certain": self.certain,
            **({"past": self.past.snapshot()} if self.past else {}),
            **({"noise": self.noise.snapshot() | {"steady": self._steady.copy()}} if self.noise else {}),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`; there may be more or fewer candidates in it than are offered now.

        Raises
        ------
        BadInput
            When its arrays do not fit each other: kernels write into them by their number.
        """
        places = _fitting(snapshot, "candidates", (len(snapshot["candidates"]), self.n_axes))
        self.candidates, self._shares = places, np.ones(len(places))
        self._reach = float(np.abs(places).max())
        self._steady = np.full(len(places), 1.0 / len(places))
        if self.noise and "noise" in snapshot:
            self.noise.restore(snapshot["noise"])
            self._steady = _fitting(snapshot["noise"], "steady", (len(places),))
        for name, shape in (("aims", places.shape), ("weights", (len(places),)), ("smooth", (self.n_axes,))):
            setattr(self, name, _fitting(snapshot, name, shape))
        self.residual, self.teaching = float(snapshot["residual"]), float(snapshot["teaching"])
        self.misfit = float(snapshot.get("misfit", self.residual))
        self.speed2 = float(snapshot["speed2"])
        self.went2 = float(snapshot.get("went2", 0.0))
        self.before = np.array(snapshot.get("before", np.full(self.n_axes, math.nan)), float)
        self._told, self.certain = bool(snapshot["told"]), bool(snapshot["certain"])
        if self.past:
            self.past = Past(self.lag_bins + 1, *places.shape)
            for name, array in self.past.arrays().items():
                if name in snapshot["past"] or name not in Past.LATER:
                    array[...] = _fitting(snapshot["past"], name, array.shape)
            self.past.seen = int(snapshot["past"]["seen"])


def _fitting(snapshot: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a copy of an array of a snapshot that has the shape it must have."""
    array = np.array(snapshot[name], float)
    if array.shape != shape:
        raise BadInput(f"the intention's snapshot does not fit: {name} is {array.shape}, not {shape}")
    return array
