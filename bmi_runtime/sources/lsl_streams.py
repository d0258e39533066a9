"""Finding LSL streams: two of one name are asked about; one that returns under another identity is found."""

from __future__ import annotations

import threading
import time
from typing import Any

from bmi_runtime.errors import BadInput, BmiError

SILENT_S = 1.0  # then the stream is looked for
LOOK_EVERY_S = 0.5  # for a stream that has gone
OTHERS_WITHIN_S = 0.7  # that a second stream of the same name takes to answer
CONNECT_S = 5.0  # for the stream to open


def library() -> Any:
    """Return pylsl; raise `BadInput` where it or its library is missing."""
    try:
        import pylsl
    except (ImportError, RuntimeError, OSError):
        raise BadInput("the source 'lsl' needs pylsl with its library: pip install 'bmi-runtime[lsl]'") from None
    return pylsl


def describe(info: Any) -> str:
    """Return one line that tells this stream from another of its name."""
    rate = f"{info.nominal_srate():g} Hz" if info.nominal_srate() > 0 else "irregular"
    return (
        f"source_id '{info.source_id()}' on host '{info.hostname()}' ({info.type() or 'no type'}, "
        f"{info.channel_count()} channels, {rate})"
    )


class StreamFinder:
    """Looks for one stream, first and whenever it falls silent.

    Parameters
    ----------
    name : str
    source_id, host : str
        Empty: any.
    resolve_s : float
        How long to look at first.
    """

    def __init__(self, name: str, source_id: str = "", host: str = "", resolve_s: float = 30.0):
        self.name, self.source_id, self.host, self.resolve_s = name, source_id, host, resolve_s
        self.uid = ""
        self.several = ""  # a sentence to be said: more than one stream suits
        self._asked: set[str] = set()
        self._resolver: Any = None
        self._next_look = 0.0
        self._opening: threading.Thread | None = None
        self._opened: Any = None

    def _suits(self, info: Any) -> bool:
        wanted = ((self.source_id, info.source_id()), (self.host, info.hostname()))
        return all(not given or given == found for given, found in wanted)

    def first(self) -> Any:
        """Return the stream's info; raise `BmiError` when there is none, `BadInput` when there are several."""
        pylsl = library()
        found = pylsl.resolve_byprop("name", self.name, 1, self.resolve_s)
        if not found:
            raise BmiError(
                f"no LSL stream named '{self.name}' was found within {self.resolve_s:g} s (source.options.stream); "
                f"{self._seen(pylsl)}"
            )
        every = [*found, *pylsl.resolve_byprop("name", self.name, 99, OTHERS_WITHIN_S)]
        found = sorted({info.uid(): info for info in every}.values(), key=describe)
        suited = [info for info in found if self._suits(info)]
        if not suited:
            raise BmiError(
                f"the LSL streams named '{self.name}' have another source_id or host than source.options say: "
                + "; ".join(map(describe, found))
            )
        if len(suited) > 1:
            raise BadInput(self._which(suited))
        self.uid = suited[0].uid()
        return suited[0]

    def _which(self, suited: list) -> str:
        """Return the question which of several streams is meant."""
        named = "; ".join(sorted(map(describe, suited)))
        return (
            f"{len(suited)} LSL streams are named '{self.name}': {named}; say which by source.options.source_id or "
            "source.options.host"
        )

    @staticmethod
    def _seen(pylsl: Any) -> str:
        names = sorted({info.name() for info in pylsl.resolve_streams(0.5)})
        return f"there are: {', '.join(names[:20])}" if names else "no LSL stream at all was seen"

    def connect(self, info: Any) -> Any:
        """Return an inlet that is open."""
        pylsl = library()
        inlet = pylsl.StreamInlet(info, max_buflen=360, max_chunklen=0, recover=True)
        inlet.open_stream(timeout=CONNECT_S)
        inlet.flush()
        self.uid = info.uid()
        return inlet

    def returned(self, silent_s: float) -> Any:
        """Return a new inlet and its info when the stream came (back) with a new uid, else None; never waits.

        Call while nothing comes. liblsl itself recovers a stream whose source_id stayed the same.
        """
        if silent_s < SILENT_S:
            return None
        if self._opened is not None:
            found, self._opened, self._opening = self._opened, None, None
            return found
        now = time.monotonic()
        if now < self._next_look or self._opening is not None:
            return None
        self._next_look = now + LOOK_EVERY_S
        if self._resolver is None:
            self._resolver = library().ContinuousResolver(prop="name", value=self.name, forget_after=2.0)
            return None
        here = [info for info in self._resolver.results() if self._suits(info)]
        if len(here) == 1 and here[0].uid() != self.uid:
            self._opening = threading.Thread(target=self._open, args=(here[0],), daemon=True)
            self._opening.start()
        uids = {info.uid() for info in here}
        if len(here) > 1 and uids != self._asked:  # ours may be among them, and silent: another is not taken for it
            self._asked, self.several = uids, f"{self._which(here)} (none is read until only one of them is left)"
        return None

    def _open(self, info: Any) -> None:
        try:
            self._opened = self.connect(info), info
        except Exception:  # it went away again: the next look finds it, or not
            self._opening = None
