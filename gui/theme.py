"""Colours, fonts and the style sheet. Okabe and Ito's palette: eight colours that all common visions tell apart."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import pyqtgraph
from pyqtgraph.Qt import QtGui, QtWidgets

FONT = "BMI Sans"
APPLIED = "bmi_theme"

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
"""Okabe M, Ito K (2008), Color Universal Design."""


@dataclasses.dataclass(frozen=True)
class Theme:
    """One set of colours; roles, never positions."""

    name: str
    window: str
    panel: str
    raised: str
    line: str
    text: str
    muted: str
    first: str
    second: str
    third: str
    fourth: str
    good: str
    warn: str
    bad: str
    cursor: str


DARK = Theme(
    name="dark",
    window="#0b0f14",
    panel="#12181f",
    raised="#1d2630",
    line="#33404d",
    text="#eef3f7",
    muted="#9fb0bf",
    first=SKY,
    second=ORANGE,
    third="#21c79a",
    fourth=PURPLE,
    good="#21c79a",
    warn=ORANGE,
    bad="#ff7a33",
    cursor="#ffffff",
)
LIGHT = Theme(
    name="light",
    window="#e9edf1",
    panel="#fbfcfd",
    raised="#dfe6ec",
    line="#b4c0ca",
    text="#10171e",
    muted="#4d5c69",
    first=BLUE,
    second="#b06a00",
    third="#007a58",
    fourth="#a04a7c",
    good="#007a58",
    warn="#b06a00",
    bad="#b84400",
    cursor="#10171e",
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}
_current = [DARK]
_scale = [1.0]


def scale() -> float:
    """Return how large text is, 1 as designed."""
    return _scale[0]


def set_scale(wanted: float) -> None:
    """Make text larger or smaller from the next :func:`use` on, from 0.7 to 2; what is not a number is 1."""
    _scale[0] = min(max(wanted, 0.7), 2.0) if math.isfinite(wanted) else 1.0


def current() -> Theme:
    """Return the theme in use."""
    return _current[0]


def use(name: str, application: QtWidgets.QApplication, again: bool = False) -> Theme:
    """Put a theme on the whole application; panels ask :func:`current` when they draw."""
    theme = _current[0] = THEMES[name]
    if application.property(APPLIED) == name and not again:
        return theme  # a style sheet set again is polished into every widget again
    application.setProperty(APPLIED, name)
    load_fonts()
    application.setStyle("Fusion")
    application.setFont(font(10))
    application.setPalette(_palette(theme))
    application.setStyleSheet(style_sheet(theme))
    pyqtgraph.setConfigOptions(background=theme.panel, foreground=theme.muted, antialias=True)
    return theme


def load_fonts() -> None:
    """Load the fonts that come with the window, so that pictures do not depend on what the machine has installed."""
    if QtGui.QFontInfo(QtGui.QFont(FONT)).family() == FONT:
        return
    for file in sorted((pathlib.Path(__file__).parent / "fonts").glob("*.ttf")):
        QtGui.QFontDatabase.addApplicationFont(str(file))


def font(points: float, bold: bool = False) -> QtGui.QFont:
    """Return the window's font; unhinted, so that it looks alike everywhere."""
    chosen = QtGui.QFont(FONT)
    chosen.setPixelSize(round(points * scale() * 4 / 3))
    chosen.setBold(bold)
    chosen.setHintingPreference(QtGui.QFont.HintingPreference.PreferNoHinting)
    return chosen


def colour(name: str, alpha: float = 1.0) -> QtGui.QColor:
    """Return a colour of the current theme by role (``text``), or any other by its code, with an opacity."""
    chosen = QtGui.QColor(getattr(current(), name, name))
    chosen.setAlphaF(alpha)
    return chosen


def pen(name: str, width: float = 1.5, alpha: float = 1.0, dashed: bool = False) -> QtGui.QPen:
    """Return a pen for curves."""
    chosen = pyqtgraph.mkPen(colour(name, alpha), width=width)
    if dashed:
        chosen.setDashPattern([5, 4])
    return chosen


def _palette(theme: Theme) -> QtGui.QPalette:
    palette, role = QtGui.QPalette(), QtGui.QPalette.ColorRole
    for roles, code in (
        ((role.Window, role.AlternateBase), theme.window),
        ((role.Base,), theme.panel),
        ((role.Button, role.ToolTipBase), theme.raised),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText), theme.text),
        ((role.Highlight,), theme.first),
        ((role.HighlightedText,), "#000000" if theme is DARK else "#ffffff"),
    ):
        for one in roles:
            palette.setColor(one, QtGui.QColor(code))
    for one in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, one, QtGui.QColor(theme.muted))
    return palette


def style_sheet(theme: Theme) -> str:
    """Return the style sheet of a theme."""
    on_first = "#000000" if theme is DARK else "#ffffff"
    return f"""
    QMainWindow, QDialog {{ background: {theme.window}; }}
    QMessageBox, QDialog {{ border: 1px solid {theme.first}; }}
    QToolTip {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.line}; padding: 4px; }}
    QMainWindow::separator {{ background: {theme.window}; width: 5px; height: 5px; }}
    QMainWindow::separator:hover {{ background: {theme.first}; }}
    QPushButton, QToolButton {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.line};
        border-radius: 4px; padding: 4px 10px; }}
    QPushButton:hover, QToolButton:hover {{ border-color: {theme.first}; }}
    QPushButton:focus, QToolButton:focus, QComboBox:focus, QAbstractSpinBox:focus, QLineEdit:focus,
    QTableView:focus, QTextBrowser:focus, QCheckBox:focus, QTabBar::tab:focus
        {{ border: 2px solid {theme.first}; }}
    QPushButton:disabled {{ color: {theme.muted}; background: {theme.panel}; }}
    QPushButton:checked, QToolButton:checked {{ border-color: {theme.first}; }}
    QComboBox, QLineEdit, QAbstractSpinBox {{ background: {theme.raised}; border: 1px solid {theme.line};
        border-radius: 4px; padding: 3px 6px; color: {theme.text}; }}
    QCheckBox::indicator:unchecked {{ background: {theme.raised}; border: 1px solid {theme.muted};
        border-radius: 2px; }}
    QComboBox QAbstractItemView {{ background: {theme.raised}; color: {theme.text}; }}
    QTableView, QTableWidget, QListWidget, QTreeWidget {{ background: {theme.panel}; border: none; color: {theme.text};
        gridline-color: {theme.line}; alternate-background-color: {theme.window}; }}
    QTableView::item:selected {{ background: {theme.line}; color: {theme.text}; }}
    QTableView::item:selected:focus {{ background: {theme.first}; color: {on_first}; }}
    QHeaderView::section {{ background: {theme.panel}; color: {theme.muted}; border: none;
        border-bottom: 1px solid {theme.line}; padding: 3px 6px; }}
    QTableCornerButton::section {{ background: {theme.panel}; border: none; }}
    QMenuBar, QMenu {{ background: {theme.panel}; color: {theme.text}; }}
    QMenuBar::item {{ padding: 4px 9px; }}
    QMenuBar::item:selected, QMenu::item:selected {{ background: {theme.raised}; }}
    QMenu::item:disabled {{ color: {theme.muted}; }}
    QMenu::separator {{ height: 1px; background: {theme.line}; margin: 4px 8px; }}
    QTabBar {{ qproperty-drawBase: 0; }}
    QTabBar QToolButton {{ padding: 0; background: {theme.raised}; }}
    QTabBar::tab {{ background: {theme.window}; color: {theme.muted}; padding: 5px 12px; border: none; }}
    QTabBar::tab:selected {{ background: {theme.panel}; color: {theme.text}; border-top: 2px solid {theme.first}; }}
    QScrollBar:vertical {{ background: {theme.panel}; width: 10px; }}
    QScrollBar::handle:vertical {{ background: {theme.line}; border-radius: 4px; min-height: 24px; }}
    QScrollBar:horizontal {{ background: {theme.panel}; height: 10px; }}
    QScrollBar::handle:horizontal {{ background: {theme.line}; border-radius: 4px; min-width: 24px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QStatusBar {{ background: {theme.panel}; color: {theme.muted}; padding: 2px 10px; }}
    QStatusBar::item {{ border: none; }}
    QScrollArea {{ background: transparent; }}
    QSlider::groove:horizontal {{ background: {theme.raised}; height: 6px; border-radius: 3px; }}
    QSlider::sub-page:horizontal {{ background: {theme.first}; border-radius: 3px; }}
    QSlider::handle:horizontal {{ background: {theme.text}; width: 14px; margin: -5px 0; border-radius: 7px; }}
    """
