"""The Qt application of a process."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import theme

_kept: list[QtWidgets.QApplication] = []  # an application that is dropped deletes every widget under its wrappers


def instance() -> QtWidgets.QApplication:
    """Return the process's application, made with the screen's own scale when there is none yet."""
    found = QtWidgets.QApplication.instance()
    if found is None:
        for name in ("AA_EnableHighDpiScaling", "AA_UseHighDpiPixmaps"):  # Qt 6 does so by itself
            attribute = getattr(QtCore.Qt.ApplicationAttribute, name, None)
            if attribute is not None:
                QtWidgets.QApplication.setAttribute(attribute)
        found = QtWidgets.QApplication(["bmi-runtime"])
    _kept[:] = [found]
    return found


def application(theme_name: str = "dark") -> QtWidgets.QApplication:
    """Return the process's application, in a theme; it stays until the process ends."""
    found = instance()
    found.setApplicationName("bmi-runtime")
    found.setOrganizationName("bmi-runtime")
    theme.use(theme_name, found)
    return found
