"""The reader of recordings, whole or not."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import unpack
from bmi_runtime.recording import frames
from bmi_runtime.recording.scan import Damage, scan


class Recording:
    """A recording on disk: complete, truncated at any byte, or with a damaged tail.

    Every message that is handed out has passed its checksum. Reading stops at the first damaged record; what lies
    behind it counts as lost, unless `past_damage` asks for the whole steps behind it too.

    Parameters
    ----------
    path : str or Path
        The file; it is mapped read-only and never changed.
    past_damage : bool
        Go on at the next whole step behind damage (a replay cannot: its state would be missing bins).

    Attributes
    ----------
    header : dict
        The first message: full configuration, seeds, code and package versions.
    n_units : int
        Number of units.
    continuous : bool
        True for real-valued features, False for spike counts.
    dtype : numpy.dtype
        Layout of one step, as the file itself describes it.
    complete : bool
        The session closed the file and nothing in it is damaged.
    damage : list of Damage
        What cannot be read: byte offset, size, reason.
    lost_bytes : int
        Bytes that cannot be read.
    stream_counts : dict
        Number of messages per stream.
    parent : dict or None
        The recording that this one continues: ``path`` and ``last_bin_index``.

    Raises
    ------
    BadInput
        When the file is missing, empty, not a recording, or damaged before its first message ends.
    """

    def __init__(self, path, past_damage: bool = False):
        self.path = Path(path)
        self._data = _map(self.path)
        try:
            self._contents = scan(self._data, past_damage)
            self.header = self._read_header()
        except BadInput as error:
            raise BadInput(f"{self.path}: {error}") from None
        self.n_units, self.continuous = self._contents.n_units, self._contents.continuous
        self.dtype = self._contents.step_dtype
        self.damage: list[Damage] = self._contents.damage
        self.lost_bytes = sum(damage.size_bytes for damage in self.damage)
        self.complete = self._contents.closed and not self.damage
        self.n_steps = sum(length for _, length in self._contents.step_runs)
        self.stream_counts = self._count_streams()
        self.parent = self.header.get("parent")

    def steps(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return steps `start` to `stop` (by default all) as one contiguous structured array, read in one copy.

        Its rows hold the recorded bytes unchanged: ``steps().view(numpy.uint8).reshape(-1, recording.dtype.itemsize)``.
        """
        start, stop, _ = slice(start, stop).indices(self.n_steps)
        steps = np.empty(max(stop - start, 0), self.dtype)
        seen = 0
        for rows in self._step_runs():
            first, last = max(start - seen, 0), min(stop - seen, len(rows))
            if first < last:
                steps[seen + first - start : seen + last - start] = rows["step"][first:last]
            seen += len(rows)
        return steps

    def step_log_times_ns(self) -> np.ndarray:
        """Return the log time of every step, ns, shape (bins,)."""
        runs = [rows["log_time_ns"] for rows in self._step_runs()]
        return np.concatenate(runs).astype(np.int64) if runs else np.empty(0, np.int64)

    def messages(self, stream: str) -> Iterator[tuple[int, dict]]:
        """Yield ``(log_time_ns, message)`` of one stream other than ``step``, in the order of writing."""
        wanted = {number for number, channel in self._contents.channels.items() if channel.topic == stream}
        if not wanted or stream == "step":
            known = ", ".join(name for name in self.stream_counts if name != "step")
            raise BadInput(f"{self.path} has no messages of a stream '{stream}'; it has {known}")
        for channel, offset, size in self._contents.messages:
            if channel in wanted:
                head = frames.MESSAGE_HEAD.unpack_from(self._data, offset)
                yield head[4], unpack(self._data[offset + frames.MESSAGE_HEAD.size : offset + size])

    def _step_runs(self) -> Iterator[np.ndarray]:
        """Yield views of the file over unbroken runs of step frames."""
        head = [("head", "V15"), ("log_time_ns", "<u8"), ("publish_time_ns", "<u8")]
        frame_dtype = np.dtype([*head, ("step", self.dtype)])
        for offset, length in self._contents.step_runs:
            yield np.frombuffer(self._data, frame_dtype, count=length, offset=offset)

    def _read_header(self) -> dict:
        first = self._contents.messages[0] if self._contents.messages else None
        if first is None or self._contents.channels[first[0]].topic != "configuration":
            raise BadInput("the first message is not a whole configuration: nothing can be read")
        _, offset, size = first
        header = unpack(self._data[offset + frames.MESSAGE_HEAD.size : offset + size])
        if not isinstance(header, dict):
            raise BadInput("the configuration is not a table: nothing can be read")
        return header

    def _count_streams(self) -> dict[str, int]:
        counts = {channel.topic: 0 for channel in self._contents.channels.values()}
        for channel, _, _ in self._contents.messages:
            counts[self._contents.channels[channel].topic] += 1
        counts["step"] = self.n_steps
        return counts


def _map(path: Path):
    """Return the bytes of a file as a read-only memory map (an empty file as no bytes)."""
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
