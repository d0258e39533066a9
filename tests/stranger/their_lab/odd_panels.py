"""Panels that go wrong where Qt calls them: one class for each way."""

import time

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.panels.base import Panel


class Odd(Panel):
    """Sound until it fails in its way."""

    title, about, way = "Odd", "Fails.", ""

    def fail(self, where):
        if self.way == where:
            raise ValueError(f"no {where} today")

    def paintEvent(self, event):
        self.fail("paint")

    def resizeEvent(self, event):
        self.fail("resize")

    def timerEvent(self, event):
        self.fail("timer event")

    def event(self, event):
        self.fail("event")
        return super().event(event)

    def eventFilter(self, watched, event):
        self.fail("filter")
        return False

    def sizeHint(self):
        self.fail("size")
        return super().sizeHint()

    def restyle(self):
        self.fail("style")


class Paint(Odd):
    way = "paint"


class Resize(Odd):
    way = "resize"


class Event(Odd):
    way = "event"


class Size(Odd):
    way = "size"


class Style(Odd):
    way = "style"


class Ticks(Odd):
    """Timers go on when a panel is out of sight."""

    way = "timer event"

    def __init__(self, context):
        super().__init__(context)
        self.startTimer(5)


class Slot(Odd):
    way = "slot"

    def __init__(self, context):
        super().__init__(context)
        self.timer = QtCore.QTimer(self)
        self.timer.timeout.connect(lambda: self.fail("slot"))
        self.timer.start(5)


class Filter(Odd):
    way = "filter"

    def __init__(self, context):
        super().__init__(context)
        QtWidgets.QApplication.instance().installEventFilter(self)


class PaintedPart(QtWidgets.QLabel):
    def paintEvent(self, event):
        raise ValueError("no part today")


class Part(Odd):
    way = "part"

    def __init__(self, context):
        super().__init__(context)
        self.column.addWidget(PaintedPart())


class Worker(QtCore.QThread):
    def run(self):
        raise ValueError("no thread today")


class Thread(Odd):
    """Fails in a thread of its own, from which no widget may be touched."""

    way = "thread"

    def showEvent(self, event):
        self.worker = Worker(self)
        self.worker.start()


class Gone(Odd):
    way = "gone"

    def showEvent(self, event):
        self.deleteLater()


def waits():
    time.sleep(1e6)


def turns():
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


class Stands(Panel):
    """Sound until it does not come back, in its way."""

    title, about = "Stands", "Does not come back."
    way, stand = "", staticmethod(turns)

    def refresh(self):
        if self.way == "refresh":
            self.stand()

    def paintEvent(self, event):
        if self.way == "paint":
            self.stand()

    def showEvent(self, event):
        if self.way == "slot":
            QtCore.QTimer.singleShot(0, self.stand)


class StandsInRefresh(Stands):
    way = "refresh"


class StandsInPaint(Stands):
    way, stand = "paint", staticmethod(waits)


class StandsInSlot(Stands):
    way = "slot"

    def stand(self):
        turns()


class Tarries(Stands):
    """Takes its time, and comes back."""

    way = "slot"

    def stand(self):
        time.sleep(0.7)


STANDING = {kind.__name__: kind.__name__ for kind in Stands.__subclasses__()}
ALL = {kind.way: kind.__name__ for kind in Odd.__subclasses__()}
