"""Sizes that follow from the screen: no window is larger than what there is to show it on."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

FRAME = QtCore.QSize(8, 40)
"""Room for a window manager's frame, pixels."""
SETTLE_MS = 500
"""After a screen came or went: until then the window manager moves windows, and a new screen has no size yet."""


def available(widget: QtWidgets.QWidget | None = None) -> QtCore.QRect:
    """Return the part of a widget's screen that windows may use (of the first screen without a widget)."""
    screen = widget.screen() if widget is not None else None
    return (screen or QtGui.QGuiApplication.primaryScreen()).availableGeometry()


def fitting(wanted: QtCore.QSize, room: QtCore.QRect) -> QtCore.QSize:
    """Return a size no larger than wanted and than the room, its frame counted."""
    return wanted.boundedTo(room.size() - FRAME)


def show_fitting(window: QtWidgets.QWidget, wanted: QtCore.QSize) -> None:
    """Show a window at the wanted size, or over the whole screen where that does not fit."""
    room = available(window)
    window.resize(fitting(wanted, room))
    if wanted.width() > room.width() - FRAME.width() or wanted.height() > room.height() - FRAME.height():
        window.showMaximized()
    else:
        window.show()


def on_a_screen(geometry: QtCore.QRect) -> QtCore.QRect:
    """Return a window's place, moved and made smaller until it lies on a screen that exists."""
    rooms = [screen.availableGeometry() for screen in QtGui.QGuiApplication.screens()]
    room = next((room for room in rooms if room.contains(geometry.center())), available())
    size = fitting(geometry.size(), room)
    left = min(max(geometry.left(), room.left()), room.right() + 1 - size.width())
    top = min(max(geometry.top(), room.top()), room.bottom() + 1 - size.height())
    return QtCore.QRect(QtCore.QPoint(left, top), size)


def bring_back(window: QtWidgets.QWidget) -> None:
    """Move a window that is shown where no screen is any more onto one; its floating panels as well."""
    floating = [dock for dock in window.findChildren(QtWidgets.QDockWidget) if dock.isFloating()]
    rooms = [screen.geometry() for screen in QtGui.QGuiApplication.screens()]
    for shown in (window, *floating):
        if shown.isVisible() and not any(room.contains(shown.geometry().center()) for room in rooms):
            shown.showNormal()
            shown.setGeometry(on_a_screen(shown.geometry()))


def names() -> list[str]:
    """Return every screen as ``1: HDMI-1, 1920 x 1080``."""
    found = []
    for number, screen in enumerate(QtGui.QGuiApplication.screens(), 1):
        size = screen.size() * screen.devicePixelRatio()
        found.append(f"{number}: {screen.name()}, {size.width()} x {size.height()}")
    return found


def named(wanted: str) -> QtGui.QScreen | None:
    """Return the screen of a number (from 1) or a name, or None when there is no such screen now."""
    screens = QtGui.QGuiApplication.screens()
    text = wanted.split(":")[0].strip() if wanted[:1].isdigit() else wanted.strip()
    if text.isdigit():
        return screens[int(text) - 1] if 0 < int(text) <= len(screens) else None
    return next((screen for screen in screens if screen.name() == text), None)
