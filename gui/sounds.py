"""Short tones for alarms and for the subject: made here, played by whatever this machine has."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import pathlib
import shutil
import struct
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


def wave_file(name: str) -> bytes:
    """Return a sound as the content of a ``.wav`` file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples(name))
    return content.getvalue()


def folder() -> pathlib.Path:
    """Return where the files are kept: one place for all windows of a user, so that a killed one leaves none."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "bmi-runtime" / "sounds"


def keep(path: pathlib.Path, content: bytes) -> bool:
    """Have a file hold `content`, whole at every moment; return whether it does."""
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return True
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError:  # a full disk, or a home that cannot be written
        with contextlib.suppress(OSError):
            beside.unlink()
        return False
    return True


class Sounds:
    """Plays the sounds of :data:`TONES`.

    Attributes
    ----------
    by : str
        What plays them: ``QtMultimedia``, a program, or ``the bell`` where there is nothing else.
    """

    def __init__(self):
        self._folder = folder()
        self._effects: dict[str, QtCore.QObject] = {}
        kept = all(keep(self._file(name), wave_file(name)) for name in TONES)
        self._command = next((command for command in PLAYERS if kept and shutil.which(command[0])), None)
        self.by = self._command[0] if self._command else self._qt() if kept else "the bell"

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
