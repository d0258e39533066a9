"""Several acquisition systems in one session: each with its own clock fit, bins aligned on the host's clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime.config import Config, SourceConfig
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import MISSING, Bin
from bmi_runtime.sources.base import NamesUnits, source_class
from bmi_runtime.sources.live import OPENING_NS, LiveSource

KEYS = ("name", "kind", "address", "options", "units", "features")
MOST_BINS = 8  # of one part that are looked at in one bin of the session
LISTEN_S = 0.0005  # at one part, before the others are asked again
READ_SHARE = 4  # of a bin, as a divisor: how long what has queued up at one part is read


@dataclasses.dataclass
class Part:
    """One acquisition system of several.

    Attributes
    ----------
    name : str
    source : LiveSource
    place : slice
        Which of the session's units, or features, are its.
    continuous : bool
        Whether it gives features.
    bin : Bin
        Its newest.
    silent : bool
        Whether its newest bin was not complete: then nobody waits for the next one.
    """

    name: str
    source: LiveSource
    place: slice
    continuous: bool
    bin: Bin
    silent: bool = False


class MergedSource:
    """Feeds of several systems as one source.

    The first part sets the pace. Every other part closes its own bins on its own clock; the one that ends with the
    bin of the first part, by both clock fits, goes into it. A part that is silent, late, or whose bins have slipped
    past the first's (two clocks are never the same: once in minutes) is missing in that bin, and only its units are.

    Parameters
    ----------
    config : Config
        ``source.options.parts`` is a list of tables: ``kind`` (of a live source), ``units`` or ``features`` (how many),
        and ``name``, ``address``, ``options``. Their units in order are the session's.
    make : callable, optional
        Makes the source of one part from its own configuration; by default by its ``kind``.
    """

    paced = False

    def __init__(self, config: Config, make: Callable[[Config], Any] | None = None):
        self.config = config
        self.parts = _parts(config, make or (lambda own: source_class(own.source.kind)(own)))
        self.completed_ns, self.slipped = 0, 0
        self._half_ns = round(0.5e9 * config.bin_s)
        self.unit_names: Sequence[str] = tuple(_names(self.parts))

    def open(self) -> None:
        """Connect to all of them, and wait for the first data of each."""
        for part in self.parts:
            part.source.open()
        for part in self.parts[:-1]:  # what came while the others were waited for is not for decoding
            part.source.read_waiting(OPENING_NS)
            part.source.binner.begin_here()

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin: the first part's, and what the others have for the same time."""
        first = self.parts[0]
        self._listen(first.source)
        if not first.source.next_bin(first.bin, cursor, target):
            return False
        given, fields = first.bin.fields, into.fields
        for name in into.array.dtype.names or ():
            if name not in ("counts", "features"):
                getattr(fields, name)[:] = getattr(given, name)
        stale = int(given.stale[0])
        first.silent = stale > 0
        self._put(first, into, not first.silent)
        end_ns = self._end_host_ns(first)
        for part in self.parts[1:]:
            there = self._take(part, end_ns)
            self._put(part, into, there)
            stale = 0 if there or not part.silent else stale
            for name in ("late", "duplicates", "invalid", "gap_bins"):
                getattr(fields, name)[0] += getattr(part.bin.fields, name)[0] if there else 0
        fields.stale[0] = stale
        self.completed_ns = max(part.source.completed_ns for part in self.parts)
        return True

    def _listen(self, first: LiveSource) -> None:
        """Read from all parts while the first one's bin is waited for: what comes is stamped when it comes.

        Read later, it would seem to have come later, and the fit of that part's clock would be late by a bin.
        """
        binner = first.binner
        while not binner.complete():
            left_ns = binner.deadline_ns() - first.now_ns()
            if left_ns <= 0:
                return
            heard = [part.source.receive(0.0) for part in self.parts]
            if not any(heard):
                first.receive(min(left_ns * 1e-9, LISTEN_S))

    def _end_host_ns(self, first: Part) -> int:
        """Return when, on the host's clock, the first part's newest bin ended."""
        device_s = float(first.bin.fields.device_time_s[0])
        known = np.isfinite(device_s) and first.source.binner.clock.known
        now_ns = first.source.now_ns()
        return first.source.binner.clock.host_ns(round(device_s * 1e9)) if known else now_ns

    def _take(self, part: Part, end_ns: int) -> bool:
        """Close the bins of a part that end by then; return whether the newest of them is whole."""
        source, there = part.source, False
        binner = source.binner
        source.read_waiting(binner.bin_ns // READ_SHARE)
        for _ in range(MOST_BINS):
            now_ns = source.now_ns()
            if not binner.started or now_ns - binner.age_ns(now_ns) > end_ns + self._half_ns:
                break  # not due yet
            if not binner.complete() and not part.silent:
                source.read_bin()
            if not binner.complete() and source.now_ns() < binner.deadline_ns():
                break  # a silent part is looked at again with the next bin
            self.slipped += there
            source.next_bin(part.bin, None, None)
            there = int(part.bin.fields.stale[0]) == 0
            part.silent = not there
        part.silent = part.silent or not binner.started
        return there

    def _put(self, part: Part, into: Bin, there: bool) -> None:
        values = into.fields.features if part.continuous else into.fields.counts
        nothing = np.nan if part.continuous else MISSING
        values[part.place] = part.bin.fields.counts if there else nothing

    def drain_events(self) -> list[dict[str, Any]]:
        """Return what happened to any of them since the last call, with its name."""
        return [{**event, "part": part.name} for part in self.parts for event in part.source.drain_events()]

    def health(self) -> dict[str, Any]:
        """Return everything counted since the start, of each part, and how often bins slipped past each other."""
        counted = {f"{part.name}.{key}": value for part in self.parts for key, value in part.source.health().items()}
        return counted | {"slipped_bins": self.slipped}

    def close(self) -> None:
        """Let go of all of them."""
        for part in self.parts:
            part.source.close()


def _parts(config: Config, make: Callable[[Config], Any]) -> list[Part]:
    given = config.source.options.get("parts")
    if not isinstance(given, list) or len(given) < 2 or not all(isinstance(entry, dict) for entry in given):
        raise BadInput(
            "source.kind = 'merged' needs source.options.parts, two tables or more, such as "
            "{kind = 'blackrock', units = 96}"
        )
    parts: list[Part] = []
    begin = {False: 0, True: 0}
    for number, entry in enumerate(given):
        name = str(entry.get("name", f"part {number + 1}"))
        continuous, count = _size(name, entry)
        if number == 0 and continuous:
            raise BadInput("the first part of a merged source sets the pace of the bins; it must give units")
        own = _own_config(config, name, entry, continuous, count)
        source = make(own)
        if not isinstance(source, LiveSource):
            raise BadInput(
                f"{name} of the merged source: '{own.source.kind}' gives no data by itself; merge live sources"
            )
        place = slice(begin[continuous], begin[continuous] + count)
        begin[continuous] += count
        parts.append(Part(name, source, place, continuous, Bin(*own.layout)))
    for continuous, key in ((False, "units"), (True, "features")):
        wanted = getattr(config.session, key)
        if begin[continuous] != wanted:
            raise BadInput(f"the parts have {begin[continuous]} {key} together, session.{key} is {wanted}")
    return parts


def _size(name: str, entry: dict[str, Any]) -> tuple[bool, int]:
    if unknown := set(entry) - set(KEYS):
        raise BadInput(f"{name} of the merged source has no '{unknown.pop()}'; it may have {', '.join(KEYS)}")
    both = [entry.get(key, 0) for key in ("units", "features")]
    if not all(isinstance(count, int) and count >= 0 for count in both) or (both[0] > 0) == (both[1] > 0):
        raise BadInput(f"{name} of the merged source gives units or features: say how many of one of them")
    return both[1] > 0, max(both)


def _own_config(config: Config, name: str, entry: dict[str, Any], continuous: bool, count: int) -> Config:
    if "kind" not in entry:
        raise BadInput(f"{name} of the merged source has no kind")
    width_s = config.session.feature_bin_s if continuous else config.bin_s
    likelihood = "gaussian" if continuous else "poisson"
    update = {"units": count, "features": 0, "bin_s": width_s, "likelihood": likelihood, "unit_names": ()}
    section: dict[str, Any] = {key: entry[key] for key in ("kind", "address", "options") if key in entry}
    section["stale_after_s"] = config.source.stale_after_s
    return config.model_copy(
        update={"session": config.session.model_copy(update=update), "source": SourceConfig.model_validate(section)}
    )


def _names(parts: list[Part]) -> list[str]:
    """Return the names of the units: the part's name before what its own source calls them."""
    names: list[str] = []
    for part in parts:
        if part.continuous:
            continue
        count = part.place.stop - part.place.start
        own = (
            part.source.unit_names if isinstance(part.source, NamesUnits) else [f"unit {unit}" for unit in range(count)]
        )
        names += [f"{part.name} {name}" for name in own]
    return names
