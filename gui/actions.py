"""The one table of actions: it makes the menus, the keys, the shortcut sheet, the command palette and the tool tips.

What touches the session is a function key or needs a modifier; the space bar only freezes the display.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Action:
    """One thing that the operator can do.

    Attributes
    ----------
    name : str
        What does it: ``do_<name>`` of the console or of one of its actors.
    text : str
        As menus and the palette show it.
    keys : str
        As Qt writes them; empty for none.
    tip : str
        One sentence.
    menu : str
    when : str
        ``always``, ``session`` (live or simulated), ``replay``, ``startable`` (no runtime, a held session, a paused
        replay), ``holdable`` (a session or replay that moves).
    checkable : bool
    """

    name: str
    text: str
    keys: str
    tip: str
    menu: str
    when: str = "always"
    checkable: bool = False


ACTIONS = (
    Action(
        "start",
        "Start / resume / play",
        "F5",
        "Start a session, resume a held one, or play a recording",
        "Session",
        "startable",
    ),
    Action(
        "hold",
        "Hold / pause",
        "F6",
        "Stop the cursor and freeze adaptation within one bin; recording goes on",
        "Session",
        "holdable",
    ),
    Action(
        "stop", "Stop the session …", "F9", "End the session and close its recording; asks first", "Session", "session"
    ),
    Action(
        "stop_output",
        "Stop the output for good …",
        "Shift+F9",
        "Holds the cursor and asks; at once when held already, or when the keys are kept down for 0.6 s",
        "Session",
        "session",
    ),
    Action(
        "marker", "Drop a marker", "F8", "Put a numbered marker into the recording at this bin", "Session", "session"
    ),
    Action("focus_note", "Write a note", "Ctrl+N", "Go to the note line of the event log", "Session", "session"),
    Action(
        "toggle_adaptation",
        "Adaptation on / off",
        "F7",
        "Switch adaptation of the encoding model",
        "Session",
        "session",
    ),
    Action(
        "next_block",
        "Next block",
        "Ctrl+B",
        "Begin the next block of the session; a trial under way is given up",
        "Session",
        "session",
    ),
    Action("acknowledge", "Acknowledge the alarms", "F4", "They fall silent, and go when they are over", "Session"),
    Action("mute", "Sound of alarms on / off", "Ctrl+M", "For this user, remembered", "View"),
    Action("undo", "Undo the last change of a parameter", "Ctrl+Z", "Set it back to what it was", "Session", "session"),
    Action("open_file", "Open a recording …", "Ctrl+O", "Replay a recording in this window", "Session"),
    Action(
        "live",
        "Back to the live session",
        "Ctrl+L",
        "Leave the replay and listen to the runtime again",
        "Session",
        "replay",
    ),
    Action(
        "open_analysis",
        "Open an analysis …",
        "Ctrl+Shift+O",
        "Show a file of an offline module: a GLM, effects of perturbations, fixed points, a density",
        "Session",
    ),
    Action("quit", "Close the window …", "Ctrl+Q", "Asks what becomes of a session that runs", "Session"),
    Action("play_pause", "Play / pause the replay", "Ctrl+Return", "Play or pause the recording", "Replay", "replay"),
    Action("step_on", "One bin on", "Ctrl+Right", "Show the next bin", "Replay", "replay"),
    Action("step_back", "One bin back", "Ctrl+Left", "Show the bin before", "Replay", "replay"),
    Action("next_trial", "Next event", "Ctrl+Down", "Go to the next trial end, command or note", "Replay", "replay"),
    Action("previous_trial", "Previous event", "Ctrl+Up", "Go to the event before", "Replay", "replay"),
    Action("faster", "Faster", "Ctrl+Shift+Right", "Play at the next higher speed", "Replay", "replay"),
    Action("slower", "Slower", "Ctrl+Shift+Left", "Play at the next lower speed", "Replay", "replay"),
    Action(
        "what_if", "What if …", "Ctrl+I", "Replay the recorded spikes with another setting beside", "Replay", "replay"
    ),
    Action(
        "freeze",
        "Freeze the display",
        "Space",
        "Stop the pictures, not the session; again to go on",
        "View",
        checkable=True,
    ),
    Action("next_unit", "Next unit", "]", "Select the next row of the raster", "View"),
    Action("previous_unit", "Previous unit", "[", "Select the row before", "View"),
    Action("zoom_in", "Fewer units, larger", "Ctrl+=", "Zoom into the raster around the selected unit", "View"),
    Action("zoom_out", "More units", "Ctrl+-", "Zoom out of the raster", "View"),
    Action(
        "toggle_unit",
        "Unit out / in",
        "Ctrl+U",
        "Put the selected unit out of decoding and learning, or in again; recorded",
        "Session",
        "session",
    ),
    Action("layout_run", "Layout: Run", "Ctrl+1", "Arrange the panels for running a session", "View"),
    Action(
        "layout_calibrate", "Layout: Calibrate", "Ctrl+2", "Arrange the panels for choosing the learning rate", "View"
    ),
    Action("layout_inspect", "Layout: Inspect", "Ctrl+3", "Arrange the panels for understanding a recording", "View"),
    Action(
        "reset_layout",
        "Reset this layout",
        "Ctrl+Shift+R",
        "Put all panels of this layout back where they were",
        "View",
    ),
    Action(
        "subject_window",
        "Subject's window",
        "F12",
        "Open or close the window for the subject's display; F11 in it fills the screen",
        "View",
    ),
    Action(
        "subject_settings",
        "Settings of the subject's window …",
        "Shift+F12",
        "Its screen, sizes in centimetres, patch for a photodiode, sounds",
        "View",
    ),
    Action("text_larger", "Larger text", "Ctrl+Shift+=", "All text a tenth larger, remembered", "View"),
    Action("text_smaller", "Smaller text", "Ctrl+Shift+-", "All text a tenth smaller, remembered", "View"),
    Action("theme", "Dark / light", "Ctrl+T", "Switch between the dark and the light theme", "View"),
    Action("full_screen", "Full screen", "F11", "Fill the screen with this window, and back", "View"),
    Action("save_picture", "Save a picture …", "Ctrl+S", "Save this window as PNG", "View"),
    Action("palette", "All commands …", "Ctrl+K", "Find a command by typing", "Help"),
    Action("shortcuts", "Keys", "?", "Show all keys", "Help"),
    Action("explain_panel", "What is this panel?", "Shift+F1", "Explain the panel under the mouse", "Help"),
    Action("about", "What the colours mean", "F1", "Explain badges, states and signs", "Help"),
)
MENUS = ("Session", "Replay", "View", "Panels", "Help")


def named(name: str) -> Action:
    """Return an action by its name."""
    return next(action for action in ACTIONS if action.name == name)


def enabled(action: Action, mode: str, connection: str, held: bool, paused: bool) -> bool:
    """Return whether an action makes sense now.

    Parameters
    ----------
    action : Action
    mode : {"waiting", "live", "simulated", "replay"}
    connection : {"waiting", "connected", "lost", "ended"}
    held : bool
    paused : bool
        Of a replay.
    """
    replay = mode == "replay" and connection == "connected"
    session = mode in ("live", "simulated") and connection == "connected"
    idle = connection in ("waiting", "lost", "ended") or mode == "waiting"
    return {
        "always": True,
        "session": session,
        "replay": mode == "replay",
        "startable": idle or (session and held) or (replay and paused),
        "holdable": (session and not held) or (replay and not paused),
    }[action.when]


def handlers(*actors: object) -> dict[str, Callable[..., Any]]:
    """Return what does each action: every method ``do_<name>`` of the actors by its name, of which each has one."""
    found: dict[str, Callable[..., Any]] = {}
    for actor in actors:
        for method in (name for name in dir(type(actor)) if name.startswith("do_")):
            name = method.removeprefix("do_")
            if name in found:
                raise ValueError(f"two actors do '{name}'")
            found[name] = getattr(actor, method)
    return found


def with_letters() -> dict[str, str]:
    """Return the text of every action with the letter marked that chooses it in its menu, each once in a menu."""
    marked: dict[str, str] = {}
    for menu in MENUS:
        texts = {action.name: action.text for action in ACTIONS if action.menu == menu}
        chosen = _letters(list(texts.values()))
        for name, text in texts.items():
            at = text.lower().find(chosen.get(text, " "))
            marked[name] = f"{text[:at]}&{text[at:]}" if chosen.get(text) else text
    return marked


def _letters(texts: list[str]) -> dict[str, str]:
    """Return a letter of its own for as many texts as possible (augmenting paths; first letters before others)."""
    owner: dict[str, str] = {}

    def give(text: str, seen: set[str]) -> bool:
        words = text.lower().split()
        wanted = [word[0] for word in words] + list("".join(words))
        for letter in dict.fromkeys(letter for letter in wanted if letter.isascii() and letter.isalpha()):
            if letter in seen:
                continue
            seen.add(letter)
            if letter not in owner or give(owner[letter], seen):
                owner[letter] = text
                return True
        return False

    for text in texts:
        give(text, set())
    return {text: letter for letter, text in owner.items()}
