"""The writer of recordings: one system call per message in the loop, synchronised to the disk by a thread."""

import contextlib
import os
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

from mcap.records import Statistics

from bmi_runtime import __version__
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import PLANE, StateSpace, pack, step_dtype
from bmi_runtime.recording import frames

COPIES = 2  # of the configuration, one behind the other: no single damaged byte takes it away


class RecordingWriter:
    """An append-only recording that survives ``kill -9`` with every message whose write had returned.

    A message is one ``write`` of its whole frame to the operating system, so a killed process loses at most the
    message in flight. A thread calls ``fdatasync`` every `sync_interval_s`, so a power loss costs about that much. When
    the disk fills up or fails, the writer removes the half-written frame, sets `failed` to the reason and refuses every
    later message: the loop goes on, and what was written stays readable.

    Parameters
    ----------
    path : str or Path
        The file to create; an existing one is never touched.
    header : dict
        The first message, on the stream ``configuration``: full configuration, seeds, code and package versions. Its
        key ``parent`` (``{"path": ..., "last_bin_index": ...}``) names the recording that this one continues.
    n_units : int
        Number of units.
    continuous : bool
        True for real-valued features, False for spike counts.
    space : StateSpace
    n_features : int
        Continuous features beside spiking units.
    sync_interval_s : float
        Time between two ``fdatasync`` calls, s.

    Attributes
    ----------
    failed : str or None
        Why nothing is written any more.
    messages_lost : int
        Messages that were not written: the one that met the fault, and every later one.

    Raises
    ------
    BadInput
        When the file exists or its folder cannot be written.
    BmiError
        When not even the header could be written.
    """

    def __init__(
        self,
        path,
        header: dict,
        n_units: int,
        continuous: bool,
        space: StateSpace = PLANE,
        n_features: int = 0,
        sync_interval_s: float = 0.5,
    ):
        self.path = Path(path)
        self.failed: str | None = None
        self.messages_lost = 0
        self.n_units, self.continuous = frames.check_n_units(n_units), bool(continuous)
        self._layout = self.n_units, self.continuous, space, n_features
        start, first = self._opening_bytes(header)
        self._file = _create(self.path)
        self._size = 0
        self._counts: Counter[int] = Counter()
        self._steps = 0
        self._first_ns, self._last_ns = 2**64, 0
        self._prepare_step_frame()
        self._append(start + COPIES * first)
        if self.failed:
            os.close(self._file)
            raise BmiError(f"the recording {self.path} could not be started: {self.failed}")
        for _ in range(COPIES):
            self._count(frames.CHANNELS["configuration"], struct.unpack_from("<Q", first, frames.CHECKED_FROM)[0])
        _sync_all(self._file, self.path.parent)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_synchronised, args=(sync_interval_s,), name="recording-sync", daemon=True
        )
        self._thread.start()

    def _opening_bytes(self, header: dict) -> tuple[bytes, bytes]:
        layout = frames.step_layout(*self._layout)
        self._schema, self._channels = frames.opening_records(layout, frames.CHANNELS)
        start = frames.preamble(self._schema, self._channels, f"bmi-runtime {__version__}")
        now_ns = time.monotonic_ns()
        created = {"created_unix_ns": time.time_ns(), "created_monotonic_ns": now_ns, "copies": COPIES}
        described = frames.describe_opening(start, self._schema, self._channels) | created
        payload = pack({**header, "recording_format": described})
        return start, frames.message_frame(frames.CHANNELS["configuration"], now_ns, payload)

    def _prepare_step_frame(self) -> None:
        self._step_channel = frames.CHANNELS["step"]
        self._step_bytes = step_dtype(*self._layout).itemsize
        self._frame = bytearray(frames.MESSAGE_HEAD.size + self._step_bytes)
        length = frames.MESSAGE_FIELDS_BYTES + self._step_bytes
        frames.MESSAGE_HEAD.pack_into(self._frame, 0, frames.MESSAGE, length, self._step_channel, 0, 0, 0)
        self._frame_checked = memoryview(self._frame)[frames.CHECKED_FROM :]
        self._frame_payload = memoryview(self._frame)[frames.MESSAGE_HEAD.size :]
        self._step_seed = frames.checksum_seed(self._step_channel)
        self._pack_times = struct.Struct("<QQ").pack_into
        self._pack_checksum = struct.Struct("<I").pack_into

    def write_step(self, step_bytes, log_time_ns: int) -> None:
        """Append one step: the raw bytes of one record of ``messages.step_dtype(n_units, continuous)``.

        Raises
        ------
        ValueError
            When the number of bytes is not that of one step: a mistake of the caller, before anything is written.
        """
        if self.failed:
            self.messages_lost += 1
            return
        frame = self._frame
        self._frame_payload[:] = step_bytes  # refuses any other length
        self._pack_times(frame, frames.CHECKED_FROM, log_time_ns, log_time_ns)
        self._pack_checksum(frame, frames.CHECKSUM_OFFSET, zlib.crc32(self._frame_checked, self._step_seed))
        if self._append(frame):
            self._steps += 1
            if log_time_ns > self._last_ns:
                self._last_ns = log_time_ns
            elif log_time_ns < self._first_ns:
                self._first_ns = log_time_ns
        else:
            self.messages_lost += 1

    def write(self, stream: str, message: dict, log_time_ns: int) -> None:
        """Append one message to any other recorded stream of ``messages.STREAMS``.

        Raises
        ------
        ValueError
            When the stream is not a recorded one, or the message cannot travel: a mistake of the caller.
        """
        channel = frames.CHANNELS.get(stream)
        if channel is None or stream == "step":
            raise ValueError(f"'{stream}' is not a stream that a recording takes messages for")
        payload = pack(message)
        if self.failed:
            self.messages_lost += 1
        elif self._append(frames.message_frame(channel, log_time_ns, payload)):
            self._count(channel, log_time_ns)
        else:
            self.messages_lost += 1

    def close(self) -> None:
        """Write summary and footer, and force everything to the disk. A second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        if not self.failed:
            self._append(self._closing_bytes())
        try:
            os.fsync(self._file)
        except OSError as error:
            self._fail(error)
        with contextlib.suppress(OSError):  # a part may have closed it under us
            os.close(self._file)
        self._file = -1

    def __enter__(self):
        """Return the writer; leaving the block closes it."""
        return self

    def __exit__(self, *_):
        """Close the recording."""
        self.close()

    def _closing_bytes(self) -> bytes:
        self._counts[self._step_channel] = self._steps
        statistics = Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts={channel: count for channel, count in self._counts.items() if count},
            chunk_count=0,
            message_count=self._counts.total(),
            message_end_time=self._last_ns,
            message_start_time=self._first_ns,
            metadata_count=0,
            schema_count=1,
        )
        return frames.closing(self._schema, self._channels, statistics, self._size)

    def let_go(self) -> None:
        """Write nowhere from here on: this process is a copy of the one whose recording it is."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file)
        os.close(nowhere)

    def _append(self, data) -> bool:
        """Write `data` whole, or fail and leave the file as it was before. Never raises."""
        try:
            written = os.write(self._file, data)
            while written != len(data):
                written += os.write(self._file, memoryview(data)[written:])
        except OSError as error:
            self._fail(error)
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # a half frame must not stay
            return False
        self._size += written
        return True

    def _count(self, channel: int, log_time_ns: int) -> None:
        self._counts[channel] += 1
        self._first_ns, self._last_ns = min(self._first_ns, log_time_ns), max(self._last_ns, log_time_ns)

    def _fail(self, error: OSError) -> None:
        if not self.failed:
            self.failed = f"{error.strerror or error} after {self._size} bytes"

    def _keep_synchronised(self, interval_s: float) -> None:
        while not self._closing.wait(interval_s):
            try:
                _to_disk(self._file)
            except OSError as error:
                self._fail(error)
                return


def _to_disk(file: int) -> None:
    """Wait until what was written is durable."""
    if sys.platform.startswith("linux"):
        os.fdatasync(file)
    else:  # macOS has the slower call alone
        os.fsync(file)


def _create(path: Path) -> int:
    """Create `path` for appending and return its file descriptor."""
    try:
        if path.exists():
            raise BadInput(f"{path} exists already; recordings are never overwritten, so choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.fchmod(file, os.fstat(file).st_mode & 0o7777 | 0o600)  # whatever the umask: who records can read it again
        return file
    except OSError as error:
        raise BadInput(f"{path} cannot be created: {error.strerror}; choose a folder that can be written") from None


def _sync_all(file: int, folder: Path) -> None:
    """Force a new file and its name in `folder` to the disk, as far as the file system can."""
    with contextlib.suppress(OSError):
        os.fsync(file)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
