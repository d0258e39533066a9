"""A process beside the loop that fits decoders from what was recorded so far, and hands them over.

It reads the recording, which the loop appends to and never waits for, trains at a low priority, writes the decoder as a
file beside the recording, and asks for it by the live parameter ``decoder.fitted_file``. The command is tried on the
newest bins, takes effect on a bin boundary, and is in the recording, the file with it, so that the session replays to
the bit. A thread lets the session hear of this process every few seconds. If it dies, nothing happens in the loop: the
decoder that was handed over last goes on, and the operator is told.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.comparison import training_of
from bmi_runtime.decoding.fitted_file import save_fitted
from bmi_runtime.decoding.fitting import fit_decoder
from bmi_runtime.decoding.network_kinds import KINDS, trained
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.session.beside import ask
from bmi_runtime.sources.session_file import session_recording

SILENCE_S = 15.0  # after which a learner counts as lost: a training holds the interpreter for seconds on a busy machine
REPORTS = 5  # of a learner that is well, in that time


class Learner:
    """Fits one kind of decoder to a growing recording and hands it to the session.

    Parameters
    ----------
    recording : path
        The session's ``.mcap``, as it is being written.
    control_address : str
        Of the session; empty writes files and hands over nothing.
    kind : str
        Row of the table of fitted decoders.
    seed : int
        Of the training.
    least_s : float
        Fewer seconds of intention are not learned from.
    silence_s : float
        After so long without a word the session takes this process for lost; it speaks five times as often.
    """

    def __init__(
        self, recording, control_address: str, kind: str = "recurrent", seed: int = 1, least_s: float = 30.0,
        silence_s: float = SILENCE_S,
    ):  # fmt: skip
        self.recording, self.address, self.kind = pathlib.Path(recording), control_address, kind
        self.seed, self.least_s, self.silence_s = seed, least_s, silence_s
        self.refits = 0

    def training(self) -> Training:
        """Return what was recorded so far, with the intended velocity.

        Raises
        ------
        BadInput
            When there is nothing, or too little, to learn from yet.
        """
        recording = session_recording(self.recording, "intended")
        seconds = recording.n_bins * recording.bin_s
        if seconds < self.least_s:
            raise BadInput(f"{self.recording} holds {seconds:.0f} s so far; learning begins at {self.least_s:g} s")
        return training_of(recording).bridged()

    def refit(self, say: Callable[[str], None] = lambda text: None) -> tuple[pathlib.Path, int]:
        """Fit to what was recorded so far; return the decoder's file and the number of bins that it learned from.

        Parameters
        ----------
        say : callable
            Told when the training begins.
        """
        training = self.training()
        say(f"training a {self.kind} decoder on {len(training.counts)} bins")
        if self.kind in KINDS:
            decoder: Any = trained(self.kind, training, seed=self.seed, for_loop=True)
        else:
            decoder = fit_decoder(self.kind, training)
        path = self._free_name()
        about = f"{self.recording.name}, its first {len(training.counts)} bins"
        save_fitted(path, self.kind, decoder, training, 1.0, about)
        self.refits += 1
        return path, len(training.counts)

    def _free_name(self) -> pathlib.Path:
        number = 1
        while (path := self.recording.with_suffix(f".learned-{number:03d}.npz")).exists():
            number += 1
        return path

    def hand_over(self, path: pathlib.Path) -> dict[str, Any]:
        """Ask the session to decode with a file from the next bin on; return its answer.

        Raises
        ------
        BmiError
            When there is no session, or it refuses.
        """
        try:
            return ask(self.address, {"set": "decoder.fitted_file", "value": str(path.resolve())})
        except BmiError as error:
            raise BmiError(f"{path} was not handed over: {error}") from None

    def _report(self, silence_s: float) -> None:
        """Tell the session that this process is heard of again within so many seconds (0: it ends)."""
        with contextlib.suppress(BmiError):  # a session that is over, or restarts, is no reason to stop learning
            ask(self.address, {"learner": silence_s})

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Let the session hear of this process every few seconds, from a thread of its own, and of its end."""
        if not self.address:
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.is_set():
                self._report(self.silence_s)
                ended.wait(self.silence_s / REPORTS)

        thread = threading.Thread(target=beat, name="learner-heard", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._report(0)
