"""A click beside the movement: decoded in every bin, told to the task and to the filter of the velocity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.decoding.base import SessionDecoder
from bmi_runtime.decoding.click import ClickFilter
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History
from bmi_runtime.errors import BadInput
from bmi_runtime.session.inputs import Inputs
from bmi_runtime.tasks.click import CentreOutClick

if TYPE_CHECKING:
    from bmi_runtime.session.core import Session


class ClickStage:
    """The click filter of a session, and whether a click was intended while the counts of the bin were produced.

    Parameters
    ----------
    config : Config
    model : EncodingModel
        Which the decoder reads.
    history : History or None

    Raises
    ------
    BadInput
        When there are no spiking units to decode a click from.
    """

    def __init__(self, config: Config, model: EncodingModel, history: History | None):
        if config.continuous:
            raise BadInput("a click is decoded from spiking units; session.likelihood = 'gaussian' has none")
        traces = history.traces if history else None
        self.filter = ClickFilter(model, config.state.click_threshold, traces)
        self.intended, self.clicked = 0.0, False

    def respond(self, session: Session, may_decode: bool, decoded: np.ndarray) -> None:
        """Decode the click beside the movement, and tell whom it concerns."""
        task, position_m = session.goal.task, session.cursor[: session.space.n_axes]
        self.decode(may_decode, session.inputs, decoded, task, position_m)
        self.tell(session.decoding.decoder, task, session.safety.moves and not session.hold)

    def decode(self, usable: bool, inputs: Inputs, decoded: np.ndarray, task: Any, position_m: list[float]) -> None:
        """Decode whether a click begins, beside the decoded state of the same bin."""
        self.intended = float(task.inside(position_m)) if isinstance(task, CentreOutClick) else 0.0
        click = self.filter
        self.clicked = click.predict(inputs.counts, inputs.valid, decoded) if usable else click.coast()

    def tell(self, decoder: SessionDecoder, task: Any, may_click: bool) -> None:
        """Tell the task of the click, and the filter of the velocity how probable one is: rates depend on it."""
        if isinstance(task, CentreOutClick):
            task.clicked = self.clicked and may_click
        self._tell_filter(decoder)

    def _tell_filter(self, decoder: SessionDecoder) -> None:
        if isinstance(decoder, VelocityFilter):
            decoder.click = self.filter.expected

    def output(self) -> tuple[float, ...]:
        """Return the click's part of the output."""
        return *self.filter.posterior.tolist(), self.intended, int(self.clicked)

    def restore(self, snapshot: Any, model: EncodingModel, decoder: SessionDecoder) -> None:
        """Restore the filter's state, reading `model`."""
        self.filter.restore(snapshot)
        self.filter.model = model
        self._tell_filter(decoder)


def make_click(config: Config, task: Any, model: EncodingModel, history: History | None) -> ClickStage | None:
    """Return the click of a session, or None where neither state nor task has one.

    Raises
    ------
    BadInput
        When only one of them has.
    """
    if config.state.click != isinstance(task, CentreOutClick):
        raise BadInput(
            f"state.click = {str(config.state.click).lower()} does not go with task.kind = '{config.task.kind}': a "
            "click is decoded where the task asks for one, as 'centre-out-click' does"
        )
    return ClickStage(config, model, history) if config.state.click else None
