"""The best decoder of a recording: the adaptive history decoder and the joined one, mixed as validation says.

During the training part the history decoder adapts bin by bin; at its end the joined decoder is trained on the same
bins. The share of each is the one that decodes the last fifth of the training part best, per kinematic column: there
the history decoder had published its parameters before, and networks were trained on the first four fifths alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bmi_runtime.calibration.readout import steady
from bmi_runtime.decoding.adaptive_readout import AdaptiveReadout, ReadoutPlan
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.decoding.network_training import Recipe
from bmi_runtime.decoding.readout_search import ReadoutSearch
from bmi_runtime.decoding.recurrent import RecurrentDecoder
from bmi_runtime.decoding.shares import best_share, mixed

SLOWEST = 1e-8  # a search begins with it where the calculation says not to learn at all
RUN_IN_S = 10.0  # of training bins that fill the states before the first test bin


class CombinedDecoder:
    """History decoder and joined decoder side by side, for `decoding.offline_session.OpenLoopSession`.

    Parameters
    ----------
    history : HistoryDecoder
    bin_s : float
    recipe : Recipe, optional
    seed : int
    advance : callable
        Called with the progress of training, in networks.
    short_recipe : Recipe, optional
    tell : callable
        Told what takes long.
    searches_rate : bool
        Whether the read-out's rate is found while it is taught, from the calculated one on.

    Attributes
    ----------
    joined : JoinedDecoder or None
        Once it is trained.
    share : ndarray, shape (columns,)
        Of the joined decoder in the answer.
    answers : dict of list
        What was said of every bin: ``history``, ``recurrent`` (the recurrent networks of the joined decoder alone),
        ``joined``, and ``taught``, the mixture with its adapted read-out.
    plan : ReadoutPlan
        What validation said about adapting the mixture's read-out.
    readout : AdaptiveReadout or None
        The correction of the mixture, once it is to be taught.
    """

    plan: ReadoutPlan
    search: ReadoutSearch | None

    def __init__(
        self,
        history: HistoryDecoder,
        bin_s: float,
        recipe: Recipe | None = None,
        seed: int = 1,
        advance: Callable[[float], None] = lambda amount: None,
        short_recipe: Recipe | None = None,
        tell: Callable[[str], None] = lambda text: None,
        searches_rate: bool = False,
    ):
        self.searches_rate, self.search, self.calculated_rate = searches_rate, None, 0.0
        self.history, self.bin_s, self.recipe, self.seed, self.advance = history, bin_s, recipe, seed, advance
        self.short_recipe, self.tell = short_recipe, tell
        self.joined: JoinedDecoder | None = None
        self.share = np.zeros(4)
        self.answers: dict[str, list[np.ndarray]] = {"history": [], "recurrent": [], "joined": [], "taught": []}
        self.readout: AdaptiveReadout | None = None
        self._lessons: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._counts: list[np.ndarray] = []
        self._kinematics: list[np.ndarray] = []
        self._starts: list[tuple[bool, bool]] = []
        self._mark = (False, False)

    def warm_up(self) -> None:
        """Compile (or load) the kernels."""
        self.history.warm_up()

    def reset(self) -> None:
        """Forget the states and the counts before."""
        self._mark = (True, True)
        self.history.reset()
        if self.joined is not None:
            self.joined.reset()

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: the trajectory jumps before the next bin."""
        self._mark = (True, self._mark[1])
        self.history.on_done()
        if self.joined is not None:
            self.joined.on_done()

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return the kinematics, mixed."""
        state = self.history.predict(counts)
        self.answers["history"].append(state)
        if self.joined is None:
            for name in ("recurrent", "joined", "taught"):
                self.answers[name].append(np.full_like(state, np.nan))
            return state
        other = self.joined.predict(counts)
        self.answers["recurrent"].append(self.networks.said[0].copy())
        self.answers["joined"].append(other)
        both = mixed(state, other, self.share)
        self.answers["taught"].append(self._taught(both))
        return both

    def _taught(self, state: np.ndarray) -> np.ndarray:
        """Return the mixture with the velocity corrected by the adapted read-out; keep what a teacher needs."""
        if self.readout is None:
            return state
        half = len(state) // 2
        features = self.recurrent.readout.features.copy()
        said = self.search.said(features) if self.search else features
        self._lessons.append((features, state[half:], said))
        correction = self.readout.weights.T @ features
        return np.concatenate([state[:half], state[half:] + self._spread() * correction])

    @property
    def networks(self) -> NetworkMixture:
        """The networks of the joined decoder, once it is trained."""
        assert self.joined is not None and isinstance(self.joined.network, NetworkMixture)
        return self.joined.network

    @property
    def recurrent(self) -> RecurrentDecoder:
        """The recurrent networks among them, whose states are the features of what is taught."""
        return self.networks.recurrent

    def _spread(self) -> np.ndarray:
        return self.recurrent.spread[self.recurrent.moving]

    def teach_from(self, bins: int, delay: int) -> float:
        """Prepare to be taught over the next `bins`, each `delay` bins late; return the calculated rate."""
        rate = self.calculated_rate = self.plan.rate(bins, delay)
        outputs = len(self.recurrent.moving)
        self.readout = AdaptiveReadout(self.recurrent.directions, self.plan.pilot.noise, outputs, rate)
        self._lessons = []
        if self.searches_rate:
            start = rate or SLOWEST
            self.readout.use(start)
            repeated = float(steady(self.plan.pilot, start).overdispersion.mean())
            self.search = ReadoutSearch(self.readout, self.bin_s, repeated)
        return rate

    def teach(self, bin_after: int, velocity: np.ndarray) -> None:
        """Learn from the velocity of the bin `bin_after` bins after teaching began."""
        assert self.readout is not None
        features, decoded, said = self._lessons[bin_after]
        residual = (velocity - decoded) / self._spread()
        if self.search:
            self.search.teach(features, residual, said)
        else:
            self.readout.teach(features, residual)

    def learn(self, counts: np.ndarray, kinematics: np.ndarray) -> None:
        """Learn from the recorded kinematics of the bin that was just predicted."""
        self.history.learn(counts, kinematics)
        self._counts.append(np.array(counts, dtype=float))
        self._kinematics.append(np.array(kinematics, dtype=float))
        self._starts.append(self._mark)
        self._mark = (False, False)

    def freeze(self) -> None:
        """End learning: train the joined decoder, measure the shares, fill the states with the last training bins."""
        mark, self._mark = self._mark, (False, False)
        training = self._training()
        self.history.freeze()
        self.tell(f"the training part ends: networks are trained on its {len(training.counts)} bins")
        joined = JoinedDecoder.fit(training, self.recipe, self.seed, self.advance, short_recipe=self.short_recipe)
        self.joined, validation = joined, joined.validation
        if validation is not None:
            before = np.array(self.answers["history"])[validation.first :]
            truth = training.kinematics[validation.first :]
            self.share = best_share(truth, before, validation.states, 0.0, validation.less)
            both = mixed(before, validation.states, self.share)
            self.plan = validation.plan(both, truth, self.bin_s)
        for index in range(max(0, len(training.counts) - round(RUN_IN_S / self.bin_s)), len(training.counts)):
            if training.restart[index]:
                joined.reset()
            elif training.trial_start[index]:
                joined.on_done()
            joined.predict(training.counts[index])
        if mark[1]:
            joined.reset()
        elif mark[0]:
            joined.on_done()

    def _training(self) -> Training:
        starts = np.array(self._starts)
        starts[0] = True
        return Training(np.array(self._counts), np.array(self._kinematics), starts[:, 0], starts[:, 1], self.bin_s)
