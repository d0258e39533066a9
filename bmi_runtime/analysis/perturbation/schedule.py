"""A stimulation schedule: which units are stimulated and which are sham in each trial, drawn before the session; and
its analysis.

The schedule is data: trials with an onset time and an assignment per unit. A session walks through it and sends each
trial as an event; nothing here reads a clock or touches hardware.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from bmi_runtime.analysis.npz import read_npz
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import npz_path, write_npz

SHAM, STIMULATE, LEFT_OUT = 0, 1, -1


@dataclasses.dataclass(frozen=True)
class StimulationDesign:
    """What to randomise.

    Parameters
    ----------
    units : tuple of int
        The units to perturb.
    trials : int
        Number of trials.
    per_trial : int, optional
        Units taking part in each trial (each then stimulated or sham at random); all by default.
    sham_fraction : float
        Share of a unit's trials that are sham.
    first_s, interval_s, jitter_s : float
        Onset of the first trial; mean time between onsets; each onset is moved by up to half of `jitter_s` either way.
    pulses : int
        Spikes that the (simulated) effector is asked to add when it stimulates.
    seed : int
        Everything drawn follows from it.
    participation : tuple of int, optional
        How many trials each of `units` takes part in; by default all alike.
    """

    units: tuple[int, ...]
    trials: int
    per_trial: int | None = None
    sham_fraction: float = 0.5
    first_s: float = 1.0
    interval_s: float = 0.5
    jitter_s: float = 0.1
    pulses: int = 1
    seed: int = 0
    participation: tuple[int, ...] | None = None

    def __post_init__(self):
        units = tuple(int(unit) for unit in self.units)
        object.__setattr__(self, "units", units)
        if not units or len(set(units)) < len(units) or min(units) < 0:
            raise BadInput("units must be a non-empty list of different unit numbers from 0")
        if self.trials < 4:
            raise BadInput(f"trials is {self.trials}: at least 4 are needed to compare stimulated with sham")
        if not 0 < self.sham_fraction < 1:
            raise BadInput(
                f"sham_fraction is {self.sham_fraction:g}: without both sham and stimulated trials nothing is compared"
            )
        if self.per_trial is not None and not 1 <= self.per_trial <= len(units):
            raise BadInput(f"per_trial is {self.per_trial}: choose 1 to {len(units)}, the number of units")
        if not (
            0 < self.interval_s < np.inf and 0 <= self.jitter_s < self.interval_s and self.first_s >= self.jitter_s / 2
        ):
            raise BadInput(
                "interval_s must be positive and finite, jitter_s shorter than it, first_s at least half of jitter_s"
            )
        if not 1 <= self.pulses <= 100:
            raise BadInput(f"pulses is {self.pulses}: choose 1 to 100")
        if self.participation is not None:
            self._check_participation()
            return
        share = (self.per_trial or len(units)) / len(units)
        if self.trials * share < 4:
            raise BadInput(
                f"each unit would take part in {self.trials * share:g} trials on average; raise trials or per_trial"
            )

    def _check_participation(self) -> None:
        shares = self.participation or ()
        if len(shares) != len(self.units):
            raise BadInput(f"participation has {len(shares)} numbers for {len(self.units)} units")
        if min(shares) < 4 or max(shares) > self.trials:
            raise BadInput(f"participation must lie between 4 and the {self.trials} trials, for every unit")
        if sum(shares) > self.trials * (self.per_trial or len(self.units)):
            raise BadInput("participation asks for more than per_trial units in a trial; raise trials or per_trial")

    def draw(self) -> "StimulationSchedule":
        """Return the schedule; the same design always gives the same one.

        Units take part equally often (to one trial) or as `participation` says, and each unit's trials are split
        between stimulated and sham in the wanted proportion (to one trial), in random order and independently of the
        other units' split.
        """
        rng = np.random.default_rng(self.seed)
        count = len(self.units)
        assignments = np.full((self.trials, count), LEFT_OUT, dtype=np.int8)
        most = self.per_trial or count
        if self.participation is None:
            taking_part = _taking_part(self.trials, count, most, rng)
        else:
            taking_part = _in_shares(self.trials, np.array(self.participation), most, rng)
        for column in range(count):
            rows = np.flatnonzero(taking_part[:, column])
            exact = rows.size * self.sham_fraction
            shams = int(np.clip(np.floor(exact + rng.random()), 1, rows.size - 1))
            values = np.full(rows.size, STIMULATE, dtype=np.int8)
            values[:shams] = SHAM
            assignments[rows, column] = rng.permutation(values)
        onsets = self.first_s + self.interval_s * np.arange(self.trials)
        onsets = onsets + self.jitter_s * (rng.random(self.trials) - 0.5)
        return StimulationSchedule(np.array(self.units), onsets, assignments, self.pulses, self.seed)


def _taking_part(trials: int, count: int, per_trial: int, rng: np.random.Generator) -> np.ndarray:
    """Return who takes part (trials, units): those that have done so least, ties in random order."""
    result = np.zeros((trials, count), dtype=bool)
    if per_trial == count:
        result[:] = True
        return result
    done = np.zeros(count)
    for trial in range(trials):
        chosen = np.argsort(done + rng.random(count) * 0.5)[:per_trial]
        result[trial, chosen] = True
        done[chosen] += 1
    return result


def _in_shares(trials: int, shares: np.ndarray, per_trial: int, rng: np.random.Generator) -> np.ndarray:
    """Return who takes part (trials, units): each unit in its share of the trials, spread over all of them.

    Units are drawn without replacement with chances in proportion to what they have left (Gumbel's trick); those that
    must take part in every trial that is left come first.
    """
    result = np.zeros((trials, len(shares)), dtype=bool)
    left = shares.astype(float)
    for trial in range(trials):
        remaining = trials - trial
        count = min(per_trial, int(np.ceil(left.sum() / remaining - rng.random())) if left.sum() else 0)
        count = max(count, int(np.ceil((left.sum() - (remaining - 1) * per_trial).clip(0))))
        with np.errstate(divide="ignore"):
            score = np.log(left) + rng.gumbel(size=len(left))
        score[left >= remaining] = np.inf
        count = max(count, int((left >= remaining).sum()))
        chosen = np.argsort(-score)[:count]
        chosen = chosen[left[chosen] > 0]
        result[trial, chosen] = True
        left[chosen] -= 1
    return result


@dataclasses.dataclass(frozen=True)
class StimulationSchedule:
    """The drawn schedule: ``units`` (k,), ``onsets_s`` (trials,), ``assignments`` (trials, k) of 1, 0 (sham) or -1
    (left out).
    """

    units: np.ndarray
    onsets_s: np.ndarray
    assignments: np.ndarray
    pulses: int
    seed: int

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.onsets_s)

    def event(self, trial: int) -> dict:
        """Return what goes over the wire at the onset of one trial: plain numbers and lists, nothing to interpret.

        Sham units are named too, so that the record holds the assignment and not only what was delivered.
        """
        row = self.assignments[trial]
        return {
            "trial": int(trial),
            "onset_s": float(self.onsets_s[trial]),
            "stimulate": self.units[row == STIMULATE].tolist(),
            "sham": self.units[row == SHAM].tolist(),
            "pulses": self.pulses,
        }

    def events_between(self, start_s: float, stop_s: float) -> Iterator[dict]:
        """Yield the events with ``start_s <= onset < stop_s`` in order: what a session asks for in each bin."""
        first, last = np.searchsorted(self.onsets_s, [start_s, stop_s])
        for trial in range(int(first), int(last)):
            yield self.event(trial)

    def added_spikes(self, start_s: float, bin_s: float, n_units: int) -> np.ndarray:
        """Return the spikes (n_units,) that a simulated effector adds in the bin from `start_s`."""
        if n_units <= self.units.max():
            raise BadInput(f"the schedule stimulates unit {self.units.max()}, but there are only {n_units} units")
        added = np.zeros(n_units, dtype=np.int64)
        for event in self.events_between(start_s, start_s + bin_s):
            added[event["stimulate"]] += event["pulses"]
        return added

    def save(self, path) -> None:
        """Write the schedule to an ``.npz`` file."""
        write_npz(npz_path(path), **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


def load_schedule(path) -> StimulationSchedule:
    """Read a schedule that :meth:`StimulationSchedule.save` wrote.

    Raises
    ------
    BadInput
        When it is not a schedule.
    """
    data = read_npz(path)
    try:
        arrays = {name: data[name] for name in ("units", "onsets_s", "assignments")}
        return StimulationSchedule(**arrays, pulses=int(data["pulses"]), seed=int(data["seed"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{path} is not a stimulation schedule ({error})") from None


@dataclasses.dataclass
class TrialResponses:
    """Counts around each trial: ``kept`` (trials,) says which windows lie inside the recording; the rest are (kept
    trials, units).
    """

    kept: np.ndarray
    during: np.ndarray
    after: np.ndarray


def trial_responses(counts, bin_s: float, onsets_s, after_s: float, delay_s: float = 0.0, valid=None) -> TrialResponses:
    """Cut the responses out of binned counts: the bin of the onset (what was delivered), then a window (what it
    caused).

    Parameters
    ----------
    counts : (bins, units) array
        Spike counts from time 0.
    bin_s : float
        Bin width.
    onsets_s : (trials,) array
        Onset of each trial.
    after_s, delay_s : float
        Length of the response window, and its start after the end of the onset's bin.
    valid : (bins,) bool array, optional
        False where the recording has a gap; trials that touch one are dropped, and counted by ``kept``.

    Raises
    ------
    BadInput
        When shapes do not agree, or no trial lies inside the recording.
    """
    counts = np.asarray(counts)
    width, shift = round(after_s / bin_s), round(delay_s / bin_s)
    if counts.ndim != 2 or width < 1 or shift < 0:
        raise BadInput(
            f"counts {counts.shape} must be (bins, units), after_s ({after_s:g}) at least one bin ({bin_s:g} s)"
        )
    good = np.ones(len(counts), dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    bins = np.floor(np.asarray(onsets_s) / bin_s + 1e-9).astype(int)
    spans = bins[:, None] + np.append(0, 1 + shift + np.arange(width))
    kept = (spans[:, 0] >= 0) & (spans[:, -1] < len(counts))
    kept[kept] &= good[spans[kept]].all(axis=1)
    if not kept.any():
        raise BadInput("no trial of the schedule lies inside the recording; check that both use the same clock")
    return TrialResponses(kept, counts[bins[kept]], counts[spans[kept, 1:]].sum(axis=1))
