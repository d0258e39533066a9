"""How the subject's window looks, and where it stands; remembered per user. No Qt here."""

from __future__ import annotations

import dataclasses
import json

CORNERS = ("none", "top left", "top right", "bottom left", "bottom right")


@dataclasses.dataclass(frozen=True)
class SubjectOptions:
    """What the subject sees beside target and cursor, and how large.

    Attributes
    ----------
    screen : str
        Number (from 1) or name; empty for the last one.
    full_screen : bool
    magnification : float
        Centimetres on the screen for a centimetre of the task; 0 fits the task into the window.
    screen_width_cm : float
        As measured with a ruler; 0 takes what the screen says of itself.
    score, state, trail, places, signs : bool
        Whether score, the state in a word, the cursor's trail, all possible targets, and a tick or a cross are shown.
    patch : str
        Corner of the patch for a photodiode, of `CORNERS`: white while a target is shown, black else.
    patch_cm : float
    sounds : bool
        For go, success and failure.
    hide_pointer : bool
    """

    screen: str = ""
    full_screen: bool = True
    magnification: float = 0.0
    screen_width_cm: float = 0.0
    score: bool = False
    state: bool = False
    trail: bool = False
    places: bool = False
    signs: bool = False
    patch: str = "none"
    patch_cm: float = 2.0
    sounds: bool = False
    hide_pointer: bool = True

    def text(self) -> str:
        """Return the options as text, for :func:`from_text`."""
        return json.dumps(dataclasses.asdict(self))


def from_text(text: str) -> SubjectOptions:
    """Return remembered options; what is unknown or of another type is as it comes."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return SubjectOptions()
    if not isinstance(found, dict):
        return SubjectOptions()
    default = SubjectOptions()
    kept = {}
    for field in dataclasses.fields(SubjectOptions):
        value, before = found.get(field.name), getattr(default, field.name)
        if isinstance(before, bool) != isinstance(value, bool) or value is None:
            continue
        if isinstance(value, type(before)) or (isinstance(before, float) and isinstance(value, int)):
            kept[field.name] = value
    if kept.get("patch") not in CORNERS:
        kept.pop("patch", None)
    for name, low, high in (("magnification", 0.0, 20.0), ("screen_width_cm", 0.0, 1000.0), ("patch_cm", 0.2, 20.0)):
        if name in kept and not low <= kept[name] <= high:
            del kept[name]
    return SubjectOptions(**kept)


OPERATOR = SubjectOptions(score=True, state=True, trail=True, places=True, signs=True, hide_pointer=False)
"""What the operator's panel shows."""
