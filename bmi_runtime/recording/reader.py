"""The reader of recordings, whole or not."""

import functools
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import unpack
from bmi_runtime.recording import frames
from bmi_runtime.recording.scan import RELEASE_BYTES, Damage, scan

BLOCK_STEPS = 4096  # read at once: some 3 MB at a hundred units
MESSAGES_BEFORE_RELEASE = 64  # messages, after which the pages they were read from are let go of


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
        The first message: full configuration, seeds, code and package versions. Empty when its bytes are damaged (only
        with `past_damage`; otherwise such a file is refused).
    n_units : int
        Number of units.
    continuous : bool
        True for real-valued features, False for spike counts.
    space : StateSpace
        The axes of the brain state; x and y in recordings of the time before there were others.
    n_features : int
        Continuous features beside spiking units.
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
    missing_bins : int
        Bins that are not there between the first and the last one that are, by their ``bin_index``; gaps of the source
        (``gap_bins``) are not among them.
    parent : dict or None
        The recording that this one continues: ``path`` and ``last_bin_index``.

    Raises
    ------
    BadInput
        When the file is missing, empty, not a recording, or damaged before its first message ends.
    """

    def __init__(self, path, past_damage: bool = False):
        self.path = Path(path)
        self.data = _map(self.path)
        self.size_bytes = len(self.data)
        try:
            self._contents = scan(self.data, past_damage)
        except BadInput as error:
            raise BadInput(f"{self.path}: {error}") from None
        opening = self.opening = self._contents.opening
        self.header, self.dtype = opening.header, opening.layout.dtype
        self.n_units, self.continuous = opening.layout.n_units, opening.layout.continuous
        self.space, self.n_features = opening.layout.space, opening.layout.n_features
        self.damage: list[Damage] = self._contents.damage
        self.lost_bytes = sum(damage.size_bytes for damage in self.damage)
        self.complete = self._contents.closed and not self.damage
        self.n_steps = sum(length for _, length in self._contents.step_runs)
        self.stream_counts = self._count_streams()
        if not self.header and self.n_steps == 0:
            raise BadInput(f"{self.path}: neither a configuration nor a step can be read")
        self._first_of_run = np.cumsum([0, *(length for _, length in self._contents.step_runs)])
        self.missing_bins = self._count_missing()
        self.parent = self.header.get("parent")

    def steps(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return steps `start` to `stop` (by default all) as one contiguous structured array, read in one copy.

        Its rows hold the recorded bytes unchanged: ``steps().view(numpy.uint8).reshape(-1, recording.dtype.itemsize)``.
        """
        start, stop, _ = slice(start, stop).indices(self.n_steps)
        steps = np.empty(max(stop - start, 0), self.dtype)
        run = int(np.searchsorted(self._first_of_run, start, side="right")) - 1
        while start < stop:
            seen = int(self._first_of_run[run])
            rows = self._run(run)["step"][start - seen : stop - seen]
            steps[len(steps) - (stop - start) :][: len(rows)] = rows
            start, run = start + len(rows), run + 1
        return steps

    def blocks(self, rows: int = BLOCK_STEPS) -> Iterator[np.ndarray]:
        """Yield all steps in order, some at a time, so that a recording of any length takes the memory of one block."""
        for start in range(0, self.n_steps, rows):
            yield self.steps(start, start + rows)
            self.release()

    def release(self) -> None:
        """Let go of the pages of the file that were read: they are read again where they are needed again."""
        if isinstance(self.data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED)

    def column(self, part: str, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return one field of steps `start` to `stop` (by default all), shape (bins, ...).

        `part` is ``input``, ``output`` or ``timing``.
        """
        start, stop, _ = slice(start, stop).indices(self.n_steps)
        field = self.dtype[part][name]
        column = np.empty((max(stop - start, 0), *field.shape), field.base)
        run, filled = int(np.searchsorted(self._first_of_run, start, side="right")) - 1, 0
        at_once = max(RELEASE_BYTES // self.dtype.itemsize, 1)
        while filled < len(column):
            first = start + filled - int(self._first_of_run[run])
            rows = self._run(run)["step"][part][name][first : first + min(at_once, len(column) - filled)]
            column[filled : filled + len(rows)] = rows
            filled += len(rows)
            if start + filled == self._first_of_run[run + 1]:
                run += 1
            if filled // at_once != (filled - len(rows)) // at_once:  # a field lies on every page of the file
                self.release()
        return column

    def step_log_times_ns(self) -> np.ndarray:
        """Return the log time of every step, ns, shape (bins,)."""
        runs = [rows["log_time_ns"] for rows in self._runs()]
        return np.concatenate(runs) if runs else np.empty(0, np.uint64)

    def message_log_times_ns(self) -> np.ndarray:
        """Return the log time of every message that is not a step, ns, in the order of writing."""
        unpack_head = frames.MESSAGE_HEAD.unpack_from
        times = [unpack_head(self.data, offset)[4] for _, offset, _ in self._contents.messages]
        return np.array(times, np.uint64)

    def whole_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the end byte of every stretch of whole messages but the configuration."""
        step_bytes = frames.MESSAGE_HEAD.size + self.dtype.itemsize
        pieces = [(offset, offset + length * step_bytes) for offset, length in self._contents.step_runs]
        others = [message for message in self._contents.messages if message != self.opening.configuration]
        pieces += [(offset, offset + size) for _, offset, size in others]
        start = stop = 0
        for first, end in sorted(pieces):
            if first != stop:
                if stop:
                    yield start, stop
                start = first
            stop = end
        if stop:
            yield start, stop

    def messages(self, stream: str) -> Iterator[tuple[int, dict]]:
        """Yield ``(log_time_ns, message)`` of one stream other than ``step``, in the order of writing."""
        wanted = {number for number, channel in self.opening.channels.items() if channel.topic == stream}
        if not wanted or stream == "step":
            known = ", ".join(name for name in self.stream_counts if name != "step")
            raise BadInput(f"{self.path} has no messages of a stream '{stream}'; it has {known}")
        read = 0
        for channel, offset, size in self._contents.messages:
            if channel in wanted:
                read += 1
                if read % MESSAGES_BEFORE_RELEASE == 0:  # each brings its neighbourhood of the file along
                    self.release()
                head = frames.MESSAGE_HEAD.unpack_from(self.data, offset)
                yield head[4], unpack(self.data[offset + frames.MESSAGE_HEAD.size : offset + size])

    @functools.cached_property
    def first_bin(self) -> int:
        """How many bins the session had done before this file: not 0 where it goes on from another recording.

        Events, commands and snapshots count the bins of the session, steps those of the file.
        """
        if self.parent and self.stream_counts.get("snapshot"):
            return int(next(self.messages("snapshot"))[1]["bins"])
        return 0

    def place(self, bin_of_session: int) -> int:
        """Return at which step of this file a bin of the session stands, or the nearest one that the file holds."""
        return min(max(int(bin_of_session) - self.first_bin, 0), max(self.n_steps - 1, 0))

    def _runs(self) -> Iterator[np.ndarray]:
        """Yield views of the file over unbroken runs of step frames."""
        for run in range(len(self._contents.step_runs)):
            yield self._run(run)

    def _run(self, run: int) -> np.ndarray:
        head = [("head", "V15"), ("log_time_ns", "<u8"), ("publish_time_ns", "<u8")]
        offset, length = self._contents.step_runs[run]
        return np.frombuffer(self.data, np.dtype([*head, ("step", self.dtype)]), count=length, offset=offset)

    def _count_missing(self) -> int:
        """Return how many bins are absent between the first and the last, those apart that the source itself lost."""
        missing, last = 0, None
        for block in self.blocks():
            index = block["input"]["bin_index"].astype(np.int64)
            before = index[:1] - 1 - block["input"]["gap_bins"][0] if last is None else np.array([last])
            absent = np.diff(index, prepend=before) - 1 - block["input"]["gap_bins"]
            missing, last = missing + int(absent[absent > 0].sum()), int(index[-1])
        return missing

    def _count_streams(self) -> dict[str, int]:
        counts = {channel.topic: 0 for channel in self.opening.channels.values()}
        for channel, _, _ in self._contents.messages:
            counts[self.opening.channels[channel].topic] += 1
        counts["step"] = self.n_steps
        counts["configuration"] += self.opening.copies - 1
        return counts


def _map(path: Path):
    """Return the bytes of a file as a read-only memory map (an empty file as no bytes)."""
    if path.exists() and not path.is_file():
        raise BadInput(f"{path} cannot be read: it is not a file")
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
