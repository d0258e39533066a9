"""What one entry of a BRAND stream holds: which field, which numbers, how many samples a channel, rolling windows.

A stream does not say what its bytes are. What the configuration leaves open is told from what comes: the field by its
name, the type by the length, and entries that repeat samples of the one before by the repetition.
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.binning import count_samples

FIELDS = {"binned_spikes": "samples", "threshold_values": "crossings"}
COUNT_FIELDS = (b"samples", b"crossings", b"thresholds", b"spikes", b"counts")
DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
BY_SIZE = {1: ("int8",), 2: ("int16",), 4: ("float32", "int32"), 8: ("float64", "int64")}
DECISIVE = 8.0  # times smaller: read so, one spike is one and not 256
MOST_SAMPLES = 1000  # of a channel in one entry, a second at 1 kHz
TWICE_AFTER = 3  # equal entries in a row, so that chance is ruled out
ROLLS_AFTER = 5  # entries in a row that repeat samples


class EntryReader:
    """Reads the values of entries.

    Parameters
    ----------
    n_units : int
    continuous : bool
        Features rather than counts.
    field : str
        ``source.options.field``; empty: by the stream's name, or whichever known one there is.
    dtype : str
        ``source.options.dtype``; empty: by the entry's length.
    stream : str

    Attributes
    ----------
    notes : list of str
        What was told from what came, once each.
    fresh : float
        The part of an entry that is new: below 1 where windows roll.
    """

    def __init__(self, n_units: int, continuous: bool, field: str, dtype: str, stream: str):
        if dtype and dtype.removeprefix(">").removeprefix("<") not in DTYPES:
            names = ", ".join(DTYPES)
            raise BadInput(f"source.options.dtype must be one of {names} (with > before it: big-endian), got {dtype!r}")
        self.n_units, self.continuous, self.stream = n_units, continuous, stream
        self.given_field = bool(field)
        self.field = (field or FIELDS.get(stream, "samples")).encode()
        big = dtype.startswith(">")
        self.dtype = np.dtype(dtype.lstrip("<>")).newbyteorder(">" if big else "<") if dtype else None
        self.notes: list[str] = []
        self.fresh = 1.0
        self._before: np.ndarray | None = None
        self._rolls, self._shift = 0, 0

    def values(self, fields: dict[bytes, bytes]) -> np.ndarray:
        """Return counts, or means of features (units,); raise `BadInput` when the entry holds none."""
        samples, first = self._samples(fields), 0
        if samples.shape[1] > 1:
            first = self._repeated(samples)
        if self.continuous:
            return samples[:, first:].mean(1).astype(float)
        values = np.empty(self.n_units)
        if not count_samples(samples, first, values):
            raise BadInput("an entry holds counts that are negative, broken, or above 65535")
        return values

    def _samples(self, fields: dict[bytes, bytes]) -> np.ndarray:
        raw = fields.get(self.field)
        if raw is None:
            raw = self._other_field(fields)
        dtype = self.dtype or self._told_dtype(raw)
        size = dtype.itemsize
        if not raw or len(raw) % (size * self.n_units):
            raise BadInput(self._wrong_length(len(raw), dtype))
        if len(raw) > MOST_SAMPLES * size * self.n_units:
            raise BadInput(f"an entry of {len(raw)} bytes is longer than {MOST_SAMPLES} samples")
        samples = np.frombuffer(raw, dtype).reshape(self.n_units, -1)  # channels x samples, as BRAND lays them out
        return samples if dtype.isnative else samples.astype(dtype.newbyteorder("="))

    def _other_field(self, fields: dict[bytes, bytes]) -> bytes:
        """Take the one field that could be meant, unless the configuration names another."""
        known = [name for name in COUNT_FIELDS if name in fields]
        if self.given_field or len(known) != 1:
            names = ", ".join(f"'{name.decode(errors='replace')[:40]}'" for name in sorted(fields)[:12])
            raise BadInput(
                f"an entry without the field '{self.field.decode()}', there is {names or 'none'} (source.options.field)"
            )
        self.notes.append(
            f"'{self.stream}' has no field '{self.field.decode()}': reading '{known[0].decode()}' "
            "(source.options.field)"
        )
        self.field = known[0]
        return fields[self.field]

    def _told_dtype(self, raw: bytes) -> np.dtype:
        """Return the type by the bytes a channel; where two are as long, that whose numbers are counts."""
        size = len(raw) // self.n_units if len(raw) % self.n_units == 0 else 0
        names = BY_SIZE.get(size, ("int8",))
        choices = [np.dtype(order + np.dtype(name).str[1:]) for order in "<>" for name in names]
        if size > 1 and not any(raw):
            return choices[0]  # all zero: whatever it is; the next entry may tell
        plausible = [dtype for dtype in choices if self._plausible(np.frombuffer(raw, dtype))] if size > 1 else []
        chosen = min(plausible, key=lambda dtype: _size_of(raw, dtype), default=choices[0])
        if plausible and _size_of(raw, chosen) * DECISIVE > _size_of(raw, plausible[0]):
            chosen = plausible[0]
        self.dtype = chosen
        if chosen.name != "int8":
            read = f"read as {shown(chosen)} (source.options.dtype)"
            self.notes.append(f"entries of {len(raw)} bytes for {self.n_units} channels: {read}")
        return chosen

    def _plausible(self, values: np.ndarray) -> bool:
        if self.continuous:
            size = np.abs(values.astype(float))
            return bool(np.all((size == 0) | ((size > 1e-12) & (size < 1e12))))
        return bool(np.all((values >= 0) & (values <= 65535) & (values == np.floor(values))))

    def _wrong_length(self, length: int, dtype: np.dtype) -> str:
        fits = [
            f"{length // np.dtype(name).itemsize} channels of {name}"
            for name in ("int8", "int16", "float32")
            if length and length % np.dtype(name).itemsize == 0
        ]
        return (
            f"an entry of {length} bytes does not hold {self.n_units} channels of {shown(dtype)} (session.units, "
            f"source.options.dtype); it would hold {' or '.join(fits) or 'nothing'}"
        )

    def _repeated(self, samples: np.ndarray) -> int:
        """Return how many samples at the beginning the entry before held, too."""
        before, self._before = self._before, samples
        width = samples.shape[1]
        if before is None or before.shape != samples.shape:
            return 0
        if self._shift:
            return width - self._shift
        if not samples.any():
            return 0
        shift = next((s for s in range(1, width) if np.array_equal(samples[:, :-s], before[:, s:])), 0)
        repeated = shift and before[:, shift:].any()
        self._rolls = self._rolls + 1 if repeated else 0
        if self._rolls < ROLLS_AFTER:
            return 0
        self._shift, self.fresh = shift, shift / width
        self.notes.append(
            f"every entry of '{self.stream}' repeats {width - shift} of its {width} samples (windows that roll): only "
            f"the {shift} new ones are counted"
        )
        return width - shift


class Twice:
    """Tells entries that are written twice (by two writers of one stream) from two that happen to be equal.

    Stamps may be coarse and entries mostly zero: only once several entries with a spike were as the one before,
    stamp and all, and none of that stamp was another, what is the same is there twice.
    """

    def __init__(self) -> None:
        self._before: tuple[int, bytes] | None = None
        self._same = 0

    def again(self, stamp_ns: int, raw: bytes) -> bool:
        """Return whether this entry was here just before."""
        before, self._before = self._before, (stamp_ns, raw)
        if before is None or before[0] != stamp_ns:
            return False
        if before[1] != raw:
            self._same = 0
            return False
        self._same += any(raw)
        if self._same < TWICE_AFTER:
            return False
        self._before = None  # a third one is another
        return True


def shown(dtype: np.dtype) -> str:
    """Return the name of a type of numbers as ``source.options.dtype`` takes it."""
    return f"{'>' if dtype.str.startswith('>') else ''}{dtype.name}"


def _size_of(raw: bytes, dtype: np.dtype) -> float:
    return float(np.abs(np.frombuffer(raw, dtype).astype(float)).sum())
