"""Short tones for alarms and for the subject: made here, played by whatever this machine has."""

from __future__ import annotations

import importlib
import math
import pathlib
import shutil
import struct
import tempfile
import wave

from pyqtgraph import Qt
from pyqtgraph.Qt import QtCore, QtWidgets

RATE_HZ = 22050
TONES = {  # name: (frequency in Hz, duration in s), one after the other
    "alarm": ((880.0, 0.18), (660.0, 0.18), (880.0, 0.18)),
    "go": ((660.0, 0.08),),
    "success": ((784.0, 0.09), (1047.0, 0.16)),
    "failure": ((220.0, 0.25),),
}
PLAYERS = (("paplay",), ("pw-play",), ("aplay", "-q"), ("afplay",))


def samples(name: str, volume: float = 0.5) -> bytes:
    """Return a sound as 16-bit samples; each tone rises and falls over 5 ms, so that it does not click."""
    values = []
    for frequency_hz, duration_s in TONES[name]:
        count = round(duration_s * RATE_HZ)
        for index in range(count):
            edge = min(1.0, index / (0.005 * RATE_HZ), (count - index) / (0.005 * RATE_HZ))
            values.append(round(32767 * volume * edge * math.sin(2 * math.pi * frequency_hz * index / RATE_HZ)))
    return struct.pack(f"<{len(values)}h", *values)


class Sounds:
    """Plays the sounds of :data:`TONES`.

    Attributes
    ----------
    by : str
        What plays them: ``QtMultimedia``, a program, or ``the bell`` where there is nothing else.
    """

    def __init__(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="bmi-sounds-"))
        self._effects: dict[str, QtCore.QObject] = {}
        for name in TONES:
            with wave.open(str(self._file(name)), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE_HZ)
                file.writeframes(samples(name))
        self._command = next((command for command in PLAYERS if shutil.which(command[0])), None)
        self.by = self._command[0] if self._command else self._qt()

    def _file(self, name: str) -> pathlib.Path:
        return self._folder / f"{name}.wav"

    def _qt(self) -> str:
        """Load the sounds into Qt's own player, where its library can be loaded and finds a device."""
        try:
            multimedia = importlib.import_module(f"{Qt.QT_LIB}.QtMultimedia")
            if not multimedia.QAudioDeviceInfo.availableDevices(multimedia.QAudio.AudioOutput):
                return "the bell"
            for name in TONES:
                effect = multimedia.QSoundEffect()
                effect.setSource(QtCore.QUrl.fromLocalFile(str(self._file(name))))
                self._effects[name] = effect
        except (ImportError, AttributeError):
            return "the bell"
        return "QtMultimedia"

    def play(self, name: str) -> None:
        """Play a sound; never waits."""
        if self._command:
            QtCore.QProcess.startDetached(self._command[0], [*self._command[1:], str(self._file(name))])
        elif name in self._effects:
            self._effects[name].play()
        else:
            QtWidgets.QApplication.beep()

    def close(self) -> None:
        """Forget the files."""
        shutil.rmtree(self._folder, ignore_errors=True)
