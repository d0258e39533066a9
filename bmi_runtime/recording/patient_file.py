"""A file for HDF5 whose disk may fill up: the library crashes in closing what it could not write."""

from __future__ import annotations

from pathlib import Path


class PatientFile:
    """A file object for ``h5py.File`` that keeps the first error of a write and takes what follows as written.

    HDF5 writes what it holds back when objects and files are closed. Where that fails it fails in every destructor,
    hundreds of times, and in the end with a segmentation fault. Here it never learns of it; whoever made the file looks
    at `error` once it is closed, and throws the file away.

    Parameters
    ----------
    path : path-like
        A file that does not exist yet.

    Attributes
    ----------
    error : OSError or None
        Why the content is not what was written.
    """

    def __init__(self, path: str | Path):
        self._file = open(path, "x+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.error: OSError | None = None
        self.seek, self.tell, self.readinto = self._file.seek, self._file.tell, self._file.readinto

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from here on."""
        return self._file.read(size)

    def write(self, data) -> int:
        """Write all of `data`, or keep the error."""
        content, done = memoryview(data).cast("B"), 0
        try:
            while self.error is None and done < len(content):
                done += self._file.write(content[done:])
        except OSError as error:
            self.error = error
        return len(content)

    def truncate(self, size: int) -> int:
        """Make the file as long as `size`, or keep the error."""
        try:
            if self.error is None:
                self._file.truncate(size)
        except OSError as error:
            self.error = error
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
