"""Pictures of the windows without a screen, identical from run to run."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore

from bmi_runtime.errors import BadInput
from gui.app import application
from gui.link import Link
from gui.store import Store
from gui.subject_window import SubjectWindow

LAYOUTS = ("run", "calibrate", "inspect", "subject")


def store_from(hello: dict) -> Store:
    """Return a store that holds one moment of a session."""
    store = Store()
    store.hello(hello, 0.0)
    return store


def picture(hello: dict, path, layout: str = "run", size: tuple[int, int] | None = None, theme_name: str = "dark"):
    """Render a window at the moment that `hello` describes and write it as PNG.

    Parameters
    ----------
    hello : dict
        The answer of a runtime or of a player to ``{"get": "hello"}``.
    path : path-like
    layout : {"run", "calibrate", "inspect", "subject"}
    size : (int, int), optional
        Pixels.
    theme_name : {"dark", "light"}
    """
    app = application(theme_name)
    window = _window(store_from(hello), layout)
    if size:
        window.resize(*size)
    window.show()
    window.refresh()
    app.processEvents(QtCore.QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    grabbed = window.grab()
    window.close()
    if not grabbed.save(str(path), "PNG"):
        raise BadInput(f"{path} cannot be written as a PNG; choose a folder that exists and a name that ends in .png")


def _window(store: Store, layout: str):
    return SubjectWindow(Link(store, None), own_timer=False)
