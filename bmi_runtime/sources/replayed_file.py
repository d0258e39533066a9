"""Sends a recording, bin by bin and without loss, on our own wire: the other end of the ZeroMQ source."""

import threading

import numpy as np
import zmq

from bmi_runtime.sources.sender import Sender

POLL_MS = 100  # so that a stop is noticed while nobody receives


def shown_kinematics(kinematics: np.ndarray, bins_train: int, teach_delay: int):
    """Return a function of the bin: the kinematics that come with it, None where a live loop could not know any."""

    def shown(index: int) -> np.ndarray | None:
        if index < bins_train:
            return np.ascontiguousarray(kinematics[index])
        past = index - teach_delay
        return np.ascontiguousarray(kinematics[past]) if teach_delay and past >= bins_train else None

    return shown


class FileSender:
    """A thread that sends every bin of a recording over ZeroMQ, waiting while the receiver is busy.

    Parameters
    ----------
    recording : OpenLoopRecording
    bins_train : int
        Kinematics leave with the bins before this one only: what decodes the rest never receives them.
    teach_delay : int
        Where above 0, kinematics go on leaving in the part that is decoded, each with the bin this many bins after it.
    continuous : bool
        Send real-valued features in place of counts.
    address : str
        Where to bind; ``*`` as a port takes a free one.
    """

    def __init__(
        self, recording, bins_train: int, continuous: bool, address: str = "tcp://127.0.0.1:*", teach_delay: int = 0
    ):
        self.recording, self.bins_train, self.continuous = recording, bins_train, continuous
        self.teach_delay = teach_delay
        self._sender = Sender(address, lossless=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="file-sender", daemon=True)

    @property
    def address(self) -> str:
        """Where a receiver connects."""
        return self._sender.address

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stopping.set()
        self._thread.join()
        self._sender.socket.linger = 0
        self._sender.close()

    def _send_all(self):
        width_ns = round(self.recording.bin_s * 1e9)
        send = self._sender.features if self.continuous else self._sender.counts
        shown = shown_kinematics(self.recording.kinematics, self.bins_train, self.teach_delay)
        for index, counts in enumerate(self.recording.counts):
            if not self._ready():
                return
            send(index * width_ns, (index + 1) * width_ns, counts, shown(index))
        if self._ready():
            self._sender.end()

    def _ready(self) -> bool:
        """Wait until the receiver takes more; False when it went away."""
        while not self._stopping.is_set():
            if self._sender.socket.poll(POLL_MS, zmq.POLLOUT):
                return True
        return False
