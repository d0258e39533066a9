"""How many spikes the newest bin had."""

from pyqtgraph.Qt import QtWidgets

from gui.panels.base import Panel


class SpikeMeter(Panel):
    title = "Spike meter"
    about = "Spikes in the newest bin."

    def __init__(self, context):
        super().__init__(context)
        self.words = QtWidgets.QLabel("no bin yet")
        self.column.addWidget(self.words)

    def refresh(self):
        if self.store.step is not None:
            self.words.setText(str(int(self.store.step["input"]["counts"].sum())))


class Leaves(Panel):
    """Fails when it is made."""

    def __init__(self, context):
        super().__init__(context)
        raise SystemExit(3)


class Never(SpikeMeter):
    refresh_hz = 0.0


class Fails(SpikeMeter):
    """Fails when it has something to show."""

    def refresh(self):
        self.words.setText(str(self.store.no_such_thing))
