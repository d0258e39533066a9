"""Both sides of a what if: the settings to edit, and their answer in words and curves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from pyqtgraph.Qt import QtWidgets

from bmi_runtime.messages import StateSpace
from gui import plots

AS_RECORDED = "as recorded"
WHAT_IF_KEYS = (
    AS_RECORDED,
    "adapter.learning_rate",
    "adapter.enabled",
    "adapter.schedule",
    "adapter.drift_tracking",
    "adapter.intention",
    "decoder.velocity_time_constant_s",
    "decoder.velocity_sd_m_s",
    "decoder.parameter_trust",
    "decoder.frozen",
    "session.left_out",
)


def summary(found: dict[str, Any], error_of: Quantity) -> str:
    """Return both settings with their errors over the whole recording, and the paired difference.

    Parameters
    ----------
    found : dict
        The answer to a what if.
    error_of : Quantity
        The velocity error, which says in which unit.
    """
    paired, factor, unit = found["paired"], error_of.factor, error_of.unit
    words = [in_words(settings) for settings in found["settings"]]
    signs = (("first", "▬", "A"), ("second", "– –", "B"))
    entries = [
        (role, sign, f"{letter} {text}: {'-' if error is None else f'{factor * error:.2f}'} {unit}")
        for (role, sign, letter), text, error in zip(signs, words, paired["errors_m_s"], strict=True)
    ]
    interval = paired["interval_m_s"]
    between = f" (95 %: {factor * interval[0]:+.2f} to {factor * interval[1]:+.2f})" if interval else ""
    apart = paired["difference_m_s"]
    difference = "" if apart is None else f"; B − A {factor * apart:+.2f} {unit}{between}"
    where = f"<br>{paired['where']}" if paired["where"] else ""
    return plots.key(entries) + f"<br>rms error of the decoded velocity{difference}{where}"


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What the plots of a what if may show.

    Attributes
    ----------
    name : str
        Of its column in a table.
    axis : int or None
        Of the decoded velocity; None for the error of all of them.
    factor : float
        From the answer's unit to `unit`.
    unit : str
    """

    name: str
    axis: int | None
    factor: float
    unit: str

    def curves(self, found: dict[str, Any]) -> np.ndarray:
        """Return the curves of both settings, (2, n), in the answer's unit."""
        return np.asarray(found["error_m_s"] if self.axis is None else found["velocity_m_s"][..., self.axis])


def quantities(space: StateSpace) -> dict[str, Quantity]:
    """Return what may be shown of a session's axes, by its name on the screen."""
    factors = {unit: (100.0, "cm/s") if unit == "m" else (1.0, f"{unit}/s") for unit in space.units}
    error = factors[space.units[0]] if len(factors) == 1 else (1.0, "units of the axes/s")
    found = {"velocity error": Quantity("error_m_s", None, *error)}
    for axis, (velocity, unit) in enumerate(zip(space.velocities, space.units, strict=True)):
        found[f"decoded {velocity}"] = Quantity(f"{velocity}_m_s", axis, *factors[unit])
    return found


class Setting:
    """One side of a what if: a key and a value to edit; `AS_RECORDED` has no value."""

    def __init__(self, name: str, key: str, value: str):
        self.name, self.equals = QtWidgets.QLabel(name), QtWidgets.QLabel("=")
        self.key = QtWidgets.QComboBox()
        self.key.setEditable(True)
        self.key.addItems(WHAT_IF_KEYS)
        self.key.setObjectName(f"what_if.{name}.key")
        self.value = QtWidgets.QLineEdit(value)
        self.value.setMaximumWidth(110)
        self.value.setObjectName(f"what_if.{name}.value")
        self.key.editTextChanged.connect(lambda _: self._follow())
        self.key.setCurrentText(key)
        self.key.lineEdit().setCursorPosition(0)  # where it is cut, its beginning is seen
        self.key.lineEdit().editingFinished.connect(lambda: self.key.lineEdit().setCursorPosition(0))
        self._follow()

    def _follow(self) -> None:
        recorded = self.key.currentText().strip() in ("", AS_RECORDED)
        self.value.setVisible(not recorded)
        self.equals.setVisible(not recorded)

    def show_settings(self, settings: list[str]) -> None:
        """Put ``section.key=value`` into the boxes."""
        key, _, value = (settings or [AS_RECORDED])[0].partition("=")
        self.key.setCurrentText(key)
        self.key.lineEdit().setCursorPosition(0)  # where it is cut, its beginning is seen
        self.value.setText(value)

    def settings(self) -> list[str]:
        """Return ``section.key=value``, or nothing for the recording as it is."""
        key = self.key.currentText().strip()
        return [] if key in ("", AS_RECORDED) else [f"{key}={self.value.text().strip()}"]


def in_words(settings: list[str]) -> str:
    """Return the settings of one side for people."""
    return ", ".join(settings) or AS_RECORDED
