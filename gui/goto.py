"""Where in a recording a person wants to go: a trial, a time, a bin, a word of an event. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Iterable

CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
NUMBERED = re.compile(r"(bin|trial)\s*(\d+)", re.IGNORECASE)
SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds|min)?", re.IGNORECASE)


def bin_of(text: str, entries: Iterable[tuple[int, str]], bin_s: float, bins: int) -> int | str:
    """Return the number of bins done where `text` points to, or a sentence that says why it points nowhere.

    Parameters
    ----------
    text : str
        ``1:30``, ``90 s``, ``bin 800``, ``trial 12``, or a part of an event's text.
    entries : iterable of (int, str)
        Bin and text of every event.
    bin_s : float
    bins : int
        Length of the recording.
    """
    text = text.strip()
    if not text:
        return "type where to go: trial 12, 1:30, 90 s, bin 800, or a word of an event"
    if found := CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return _within(round((3600 * hours + 60 * minutes + seconds) / bin_s), bins, bin_s)
    if (found := NUMBERED.fullmatch(text)) and found[1].lower() == "bin":
        return _within(int(found[2]), bins, bin_s)
    if found := SECONDS.fullmatch(text):
        scale = 60.0 if (found[2] or "").lower() == "min" else 1.0
        return _within(round(float(found[1]) * scale / bin_s), bins, bin_s)
    word = re.compile(rf"\b{re.escape(text.lower())}\b")
    places = sorted({at for at, told in entries if word.search(told.lower())})
    return places[0] + 1 if places else f"nothing in this recording is called '{text[:40]}'"


def _within(wanted: int, bins: int, bin_s: float) -> int | str:
    if 0 <= wanted <= bins:
        return wanted
    return f"the recording ends at bin {bins} ({bins * bin_s:.1f} s)"
