"""Memory of fixed size for what a window shows of the past."""

import numpy as np


class Ring:
    """The newest `capacity` rows, oldest first, always as one contiguous view.

    Parameters
    ----------
    capacity : int
    dtype : numpy dtype
    shape : tuple of int
        Shape of one row.
    """

    def __init__(self, capacity: int, dtype=float, shape: tuple[int, ...] = ()):
        self.capacity, self.size, self._at = capacity, 0, 0
        self.total = 0  # rows ever appended
        self._rows = np.zeros((2 * capacity, *shape), dtype)  # every row is written twice, so that a view never wraps

    def append(self, row) -> None:
        """Add a row; past the capacity the oldest one is forgotten."""
        self._rows[self._at] = row
        self._rows[self._at + self.capacity] = row
        self._at = (self._at + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)
        self.total += 1

    def clear(self) -> None:
        """Forget everything."""
        self.size = self._at = 0

    @property
    def view(self) -> np.ndarray:
        """The rows, oldest first; a view, valid until the next :meth:`append`."""
        if self.size < self.capacity:
            return self._rows[: self.size]
        return self._rows[self._at : self._at + self.capacity]

    def newest(self, count: int) -> np.ndarray:
        """Return at most the newest `count` rows."""
        return self.view[max(self.size - count, 0) :]

    def __len__(self) -> int:
        return self.size


class DecimatedHistory:
    """A history of a whole session in fixed memory: when it is full, every second row goes and the stride doubles.

    Parameters
    ----------
    capacity : int
        Rows; an even number.
    dtype : numpy dtype
    shape : tuple of int
        Shape of one row.
    """

    def __init__(self, capacity: int, dtype=float, shape: tuple[int, ...] = ()):
        self._rows = np.zeros((capacity, *shape), dtype)
        self.size, self.stride, self._offered = 0, 1, 0

    def append(self, row) -> None:
        """Offer a row; it is kept when it falls on the stride."""
        wanted = self._offered % self.stride == 0
        self._offered += 1
        if not wanted:
            return
        self._rows[self.size] = row
        self.size += 1
        if self.size == len(self._rows):
            kept = self._rows[::2].copy()
            self._rows[: len(kept)] = kept
            self.size, self.stride = len(kept), self.stride * 2

    def replace_last(self, row) -> None:
        """Put another row in the place of the newest one."""
        if self.size:
            self._rows[self.size - 1] = row

    def clear(self) -> None:
        """Forget everything."""
        self.size, self.stride, self._offered = 0, 1, 0

    @property
    def view(self) -> np.ndarray:
        """The kept rows, oldest first."""
        return self._rows[: self.size]

    def __len__(self) -> int:
        return self.size
