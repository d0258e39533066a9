"""The kinds of network decoders that ``bmi train`` makes, and how each is trained for a recording and for a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding import network_training, short_history
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.network_decoder import NetworkDecoder
from bmi_runtime.decoding.network_training import Recipe
from bmi_runtime.decoding.recurrent import RecurrentDecoder
from bmi_runtime.decoding.short_history import ShortHistoryDecoder


class NetworkKind(NamedTuple):
    """One kind: its class, and its recipes."""

    decoder: type[NetworkDecoder] | type[JoinedDecoder]
    recording: Recipe
    loop: Recipe


KINDS = {
    "recurrent": NetworkKind(RecurrentDecoder, Recipe(), network_training.LOOP_RECIPE),
    "short-history": NetworkKind(ShortHistoryDecoder, short_history.RECIPE, short_history.LOOP_RECIPE),
    "joined": NetworkKind(JoinedDecoder, Recipe(), short_history.LOOP_RECIPE),
}


def trained(
    kind: str,
    training: Training,
    recipe: Recipe | None = None,
    seed: int = 1,
    advance: Callable[[float], None] = lambda amount: None,
    *,
    for_loop: bool = False,
    in_m_s: bool = True,
) -> NetworkDecoder | JoinedDecoder:
    """Return a network decoder trained on `training`.

    Parameters
    ----------
    kind : str
        Key of `KINDS`.
    training : Training
    recipe : Recipe, optional
        By default that of the kind for its purpose.
    seed : int
    advance : callable
        Called with the progress, in networks.
    for_loop : bool
        Trained for a closed loop: the intended velocities of a calibration block, which are not to be shrunk.
    in_m_s : bool
        Whether the velocities are in m/s: then those inside are in dm/s, to which the rate of a session refers.
    """
    row = KINDS[kind]
    recipe = recipe or (row.loop if for_loop else row.recording)
    if row.decoder is JoinedDecoder:
        unit = 1.0 / DM_PER_M if for_loop and in_m_s else None
        return JoinedDecoder.fit(training, recipe, seed, advance, unit, for_loop)
    decoder = row.decoder.fit(training, recipe, seed, advance)
    assert isinstance(decoder, NetworkDecoder)
    # with the memory of a recurrent network, faster answers only overshoot (docs/compare.md)
    return decoder.unshrunk(training) if for_loop and row.decoder is ShortHistoryDecoder else decoder
