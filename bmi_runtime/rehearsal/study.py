"""A rehearsal: every candidate setting in the same worlds, with the same noise, and which of them to take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.sessions import MEASURES, UNRELATED, session_config, simulate_session
from bmi_runtime.rehearsal.world import FittedWorld

LEVEL = 0.95
CONTROLS = 2  # seeds that are also run with counts that know nothing of the target
Settings = dict[str, str]
NO_MEANING = ("population.", "subject.", "source.", "recording.", "telemetry.", "session.seed", "session.units")
NO_PART = (  # what leaves a session and how it is driven: nobody receives it, and no bin is late
    "output.", "guard.", "stimulation.", "realtime.", "metadata.", "session.duration_s",
)  # fmt: skip
DECIDED = ("session.bin_s", "session.likelihood", "session.features", "session.feature_bin_s", "state.")


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """What is to be simulated.

    Attributes
    ----------
    world : FittedWorld
    base : dict
        Configuration of every session, before its settings.
    settings : list of dict
        Candidates; the first is the reference.
    seeds : int
    first_seed : int
    seconds : float
    """

    world: FittedWorld
    base: dict[str, Any]
    settings: list[Settings]
    seeds: int
    first_seed: int
    seconds: float

    def tasks(self) -> list[tuple[int, int]]:
        """Return every (seed, setting)."""
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [(seed, number) for seed in seeds for number in range(len(self.settings))]

    def run(self, seed: int, number: int) -> dict[str, float]:
        """Simulate one setting in the world drawn for a seed."""
        drawn = self.world.draw(np.random.default_rng([seed, 11]))
        config = session_config(self.base, self.settings[number], seed)
        return simulate_session(config, drawn, self.seconds, control=seed < self.first_seed + CONTROLS)


def check_settings(settings: list[Settings]) -> None:
    """Refuse settings that a rehearsal cannot answer.

    Raises
    ------
    BadInput
        Naming the key.
    """
    for key in {key for point in settings for key in point}:
        if key.startswith("state.click"):
            raise BadInput(f"{key}: no world is fitted to clicks, so sessions are rehearsed without them")
        if key.startswith(DECIDED):
            raise BadInput(f"{key} is that of the pilot: a world fitted to its bins cannot be asked for another")
        if key.startswith(NO_MEANING):
            raise BadInput(f"{key} is not a setting of a rehearsal: world, seeds and source are its own")


def check_candidates(settings: list[Settings]) -> None:
    """Refuse settings that a rehearsal cannot answer, or whose every value would seem as good.

    Raises
    ------
    BadInput
        Naming the key.
    """
    check_settings(settings)
    for key in {key for point in settings for key in point}:
        if key.startswith(NO_PART):
            raise BadInput(
                f"{key} has no part in a rehearsal, so every value would seem as good: nothing leaves its sessions, "
                "they last --duration, and no bin is late"
            )


def default_settings(learning_rate: float) -> list[Settings]:
    """Return what is asked when nothing is said: learning rates, what the rates of units depend on, the prior."""
    rate = learning_rate or 1e-6
    rates = [{"adapter.learning_rate": f"{rate * factor:g}"} for factor in (0.1, 10.0, 100.0)]
    return [
        {},
        *rates,
        {"adapter.rate_search": "true"},
        {"encoding.regressors": "['velocity','history']"},
        {"decoder.velocity_sd_m_s": "0.08"},
        {"decoder.velocity_time_constant_s": "0.2"},
    ]


def run_here(
    rehearsal: Rehearsal, advance: Callable[[], None] = lambda: None
) -> dict[tuple[int, int], dict[str, float]]:
    """Run every session in this process; return the measures by (seed, setting)."""
    found = {}
    for task in rehearsal.tasks():
        found[task] = rehearsal.run(*task)
        advance()
    return found


def answer(rehearsal: Rehearsal, found: dict[tuple[int, int], dict[str, float]]) -> dict[str, Any]:
    """Return what to expect of every setting, and which to take.

    A setting's interval is for one session of this length in the laboratory: over seeds the world is redrawn from
    what the pilot leaves open, so the spread holds that, the subject's and the units' noise (Student t, prediction of
    one).
    ``mean_interval`` is that of the mean. Differences are paired by seed.

    Returns
    -------
    dict
        ``settings``, a list of ``settings`` and, for each of `MEASURES`, ``mean``, ``interval``, ``mean_interval`` and
        ``per_seed``, with ``difference`` of the hits from the reference, and the mean of `UNRELATED`, None where it
        was not run, and ``same_as``, the number of the first setting that gave the very same sessions, None where there
        is none; ``recommended``, ``settings`` and ``why``.
    """
    seeds = sorted({seed for seed, _ in found})
    table = {
        name: np.array([[found[seed, k].get(name, math.nan) for seed in seeds] for k in range(len(rehearsal.settings))])
        for name in MEASURES
    }
    unrelated = [_known_mean(found[seed, k].get(UNRELATED) for seed in seeds) for k in range(len(rehearsal.settings))]
    entries = []
    for k, point in enumerate(rehearsal.settings):
        entry: dict[str, Any] = {"settings": point}
        for name in MEASURES:
            grain = 60.0 / rehearsal.seconds if name == "hits_per_min" else 0.0
            entry[name] = expectation(table[name][k], name, grain)
        difference = table["hits_per_min"][k] - table["hits_per_min"][0]
        entry["difference_hits_per_min"] = {"mean": float(difference.mean()), "interval": _mean_interval(difference)}
        entries.append(entry | {UNRELATED: unrelated[k], "same_as": _same_before(table, k)})
    return {"settings": entries, "recommended": recommended(rehearsal.settings, table, unrelated)}


def _same_before(table: dict[str, np.ndarray], number: int) -> int | None:
    """Return the first setting before this one that gave the very same sessions: what differs has no part in them."""
    for before in range(number):
        if all(np.array_equal(rows[before], rows[number], equal_nan=True) for rows in table.values()):
            return before
    return None


def _known_mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def expectation(values: np.ndarray, name: str = "", grain: float = 0.0) -> dict[str, Any]:
    """Return the mean over seeds, the 95 % interval of one session, and that of the mean.

    Values that come in steps of `grain` are known to within one: seeds that agree leave that much open.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return {"mean": None, "interval": None, "mean_interval": None, "per_seed": values.tolist()}
    mean, interval = float(known.mean()), None
    if known.size > 1:
        half = float(stdtrit(known.size - 1, 0.5 + LEVEL / 2) * known.std(ddof=1) * math.sqrt(1.0 + 1.0 / known.size))
        half = math.hypot(half, grain)
        interval = _possible([mean - half, mean + half], name)
    of_mean = _possible(_mean_interval(known), name)
    return {"mean": mean, "interval": interval, "mean_interval": of_mean, "per_seed": values.tolist()}


def _possible(interval: list[float] | None, name: str) -> list[float] | None:
    """Return what of an interval a measure can be: not below zero, a share not above one."""
    if interval is None or not name:
        return interval
    most = 1.0 if name in ("success_rate", "path_efficiency") else math.inf
    return [min(max(end, 0.0), most) for end in interval]


def _mean_interval(values: np.ndarray) -> list[float] | None:
    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    return [float(values.mean() - half), float(values.mean() + half)]


def recommended(
    settings: list[Settings], table: dict[str, np.ndarray], unrelated: Sequence[float | None]
) -> dict[str, Any]:
    """Return the setting with most hits per minute of the units' own, and why it.

    Hits that are reached with counts that know nothing of the target are the teacher's: they are taken off. Where
    another one is as good as far as the seeds can tell, the time to target decides, then the error of the decoded
    velocity: they tell apart what hits, which are whole numbers, cannot.
    """
    hits = table["hits_per_min"] - np.array([value or 0.0 for value in unrelated])[:, None]
    best = int(np.nanargmax(hits.mean(axis=1)))
    equal = [k for k in range(len(settings)) if _as_good(hits[k], hits[best])]
    error = table["velocity_error_m_s"].mean(axis=1)
    reached = np.isfinite(table["time_to_target_s"])
    count = np.where(reached.any(axis=1), reached.sum(axis=1), np.nan)  # none reached: no time
    times = np.where(reached, table["time_to_target_s"], 0.0).sum(axis=1) / count
    rank = {k: (round(float(-hits[k].mean()), 1), float(times[k]), float(error[k])) for k in equal}
    chosen = min(equal, key=lambda k: rank[k])
    why = _why(table["hits_per_min"], chosen, equal) + _taught(settings, table["hits_per_min"], unrelated, chosen)
    return {"settings": settings[chosen], "number": chosen, "why": why}


def _taught(settings, hits, unrelated, chosen: int) -> str:
    """Return what is to be said of the quickest setting, where it is not the chosen one because the teacher steers.

    What counts that know nothing of the target reach with every setting, they reach by chance.
    """
    first = int(np.nanargmax(hits.mean(axis=1)))
    own, chance = unrelated[first] or 0.0, min(value or 0.0 for value in unrelated)
    if hits[first].mean() <= hits[chosen].mean() or own - chance <= 0.03 * hits[first].mean():
        return ""
    name = " ".join(f"{key}={value}" for key, value in settings[first].items()) or "the setting as it is"
    return (
        f"; {name} reaches {hits[first].mean():.1f}, but {own:.1f} with counts that know nothing of the target: it "
        "learns within a reach, and the teacher moves the cursor"
    )


def _as_good(values: np.ndarray, best: np.ndarray) -> bool:
    interval = _mean_interval(values - best)
    return bool(np.all(values == best)) or (
        interval is not None and bool(interval[1] >= 0.0 and values.mean() >= 0.97 * best.mean())
    )


def _why(hits, chosen: int, equal: list[int]) -> str:
    text = f"{hits[chosen].mean():.1f} hits per minute"
    if chosen:
        low_high = _mean_interval(hits[chosen] - hits[0])
        difference = float((hits[chosen] - hits[0]).mean())
        between = f" (95 %: {low_high[0]:+.1f} to {low_high[1]:+.1f})" if low_high else ""
        text += f", {difference:+.1f} from the setting as it is{between}"
    others = len(equal) - 1
    if others:
        are = "others are" if others > 1 else "other is"
        text += f"; {others} {are} as good as far as these seeds can tell, this one is quicker"
    return text
