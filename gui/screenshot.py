"""Pictures of the windows without a screen, identical from run to run."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui

from bmi_runtime.errors import BadInput
from gui import layouts, panels, theme
from gui.application import application
from gui.console import Console
from gui.files import checked, read
from gui.link import Link
from gui.panels.base import Context
from gui.panels.file_panel import FilePanel
from gui.store import Store
from gui.subject_options import OPERATOR
from gui.subject_window import SubjectWindow

LAYOUTS = ("run", "calibrate", "inspect")
SIZES = {"run": (1600, 1000), "calibrate": (1600, 1000), "inspect": (1600, 1000), "subject": (800, 800)}


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
    window.resize(*(size or SIZES[layout]))
    window.show()
    settle(app, window, layout)
    grabbed = _thrifty(window.grab())
    window.close()
    if not grabbed.save(str(path), "PNG"):
        raise BadInput(f"{path} cannot be written as a PNG; choose a folder that exists and a name that ends in .png")


def panel_picture(
    hello: dict | None,
    path,
    name: str,
    size: tuple[int, int] = (640, 420),
    theme_name: str = "dark",
    file=None,
) -> None:
    """Render one panel at the moment that `hello` describes and write it as PNG.

    Parameters
    ----------
    hello : dict or None
        None: no session (panels that are opened with a file need none).
    name : str
        A row of `gui.panels.REGISTRY`.
    file : path-like, optional
        What to open in a panel that shows files.
    """
    app = application(theme_name)
    store = Store() if hello is None else store_from(hello)
    found = panels.available()
    if name not in found:
        raise BadInput(f"there is no panel '{name}'; choose from {', '.join(found)}")
    panel = panels.panel_class(found[name])(Context(store))
    if file is not None:
        if not isinstance(panel, FilePanel):
            raise BadInput(f"the panel '{name}' shows a session (--session REC), not a file")
        panel.show_arrays(checked(read(file), panel.needs, file, panel.made_by), str(file))
    panel.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
    panel.setStyleSheet(f"#{panel.objectName()} {{ background: {theme.current().panel}; }}")
    panel.resize(*size)
    panel.show()
    for _ in range(3):
        panel.refresh()
        app.processEvents(QtCore.QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    grabbed = _thrifty(panel.grab())
    panel.close()
    if not grabbed.save(str(path), "PNG"):
        raise BadInput(f"{path} cannot be written as a PNG; choose a folder that exists and a name that ends in .png")


def _thrifty(pixmap) -> QtGui.QImage:
    """Return a picture in its own 256 most used colours (the others take the nearest): a third of the file."""
    image = pixmap.toImage().convertToFormat(QtGui.QImage.Format.Format_RGB32)
    pixels = pyqtgraph.functions.ndarray_from_qimage(image)[:, :, 2::-1].astype(np.int64)
    buckets = (pixels >> 3) @ np.array([1024, 32, 1])
    _, where, counts = np.unique(buckets.ravel(), return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(where.ravel(), pixels[:, :, part].ravel()) for part in range(3)], axis=1)
    colours = np.rint(sums / counts[:, None])
    palette = colours[np.argsort(-counts, kind="stable")[:256]]
    nearest = np.argmin(((colours[:, None] - palette[None]) ** 2).sum(axis=2), axis=1).astype(np.uint8)
    indices = np.zeros((image.height(), (image.width() + 3) // 4 * 4), np.uint8)
    indices[:, : image.width()] = nearest[where].reshape(image.height(), image.width())
    kind = QtGui.QImage.Format.Format_Indexed8
    thrifty = QtGui.QImage(indices.tobytes(), image.width(), image.height(), indices.shape[1], kind)
    thrifty.setColorTable([QtGui.qRgb(*map(int, colour)) for colour in palette])
    return thrifty.copy()


def settle(app, window, layout: str) -> None:
    """Let docks find their size, then refresh until nothing changes any more."""
    flags = QtCore.QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents
    app.processEvents(flags)
    if layout != "subject":
        layouts.arrange(window, window.docks, layout)
    for _ in range(3):
        app.processEvents(flags)
        if layout == "subject":
            window.refresh()
        else:
            window.refresh(all_panels=True)
    app.processEvents(flags)


def _window(store: Store, layout: str):
    link = Link(store, None)
    if layout == "subject":
        return SubjectWindow(link, own_timer=False, options=OPERATOR)
    return Console(link, layout, remember=False, live=False)
