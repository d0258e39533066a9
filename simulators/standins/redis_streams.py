"""A stand-in for a BRAND system: writes ``binned_spikes`` or ``threshold_values`` into Redis streams."""

from __future__ import annotations

import json

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.sources.live import address_of
from bmi_runtime.sources.redis_streams import ADDRESS, RedisFeed
from simulators.server import spread

KEEP_ENTRIES = 20_000  # of the stream


def entry(
    feed: RedisFeed, values: np.ndarray, until_ns: int, index: int, text_times: bool = False
) -> dict[bytes, bytes]:
    """Return the fields of one entry, as the feed expects them."""
    largest = min(np.iinfo(feed.dtype).max, 65535) if feed.dtype.kind in "iu" else np.inf
    ts = repr(until_ns * 1e-9).encode() if text_times else int(until_ns).to_bytes(8, "little")
    sync = json.dumps({"nsp_idx": index}).encode()
    return {feed.field: np.minimum(values, largest).astype(feed.dtype).tobytes(), b"ts": ts, b"sync": sync}


class RedisStandIn:
    """Adds one entry per ``source.options.width_s``.

    Parameters
    ----------
    config : Config
        As for the source; ``source.options`` may say the same ``stream``, ``field``, ``dtype`` and ``width_s``.
    rng : numpy.random.Generator
    what : str
        Unused.
    text_times : bool
        Write ``ts`` as decimal seconds in place of 8 bytes of nanoseconds.
    """

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes", text_times: bool = False):
        try:
            import redis
        except ImportError:
            raise BadInput("the redis stand-in needs the package redis: pip install 'bmi-runtime[redis]'") from None
        self.feed = RedisFeed(config)
        self.rng, self.text_times = rng, text_times
        self.messages = self.spikes = 0
        address = address_of(config, ADDRESS)
        self.redis = redis.Redis.from_url(address)
        try:
            self.redis.ping()
        except redis.RedisError as error:
            raise BmiError(f"no Redis server answers at {address} ({error})") from None

    @property
    def entry_ns(self) -> int:
        """What one entry stands for, ns."""
        return round(self.feed.width_ns)

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Add the entries of a piece of device time."""
        width = self.feed.width_ns
        pieces = max(round((until_ns - from_ns) / width), 1)
        parts = [values] if pieces == 1 else self._split(values, from_ns, until_ns, pieces)
        pipe = self.redis.pipeline(transaction=False)
        for k, part in enumerate(parts):
            self.messages += 1
            end_ns = from_ns + (k + 1) * (until_ns - from_ns) // pieces
            fields = entry(self.feed, part, end_ns, self.messages, self.text_times)
            pipe.xadd(self.feed.stream, fields, maxlen=KEEP_ENTRIES, approximate=True)
        pipe.execute()
        self.spikes += 0 if self.feed.continuous else int(values.sum())

    def _split(self, values: np.ndarray, from_ns: int, until_ns: int, pieces: int) -> list[np.ndarray]:
        if self.feed.continuous:
            return [values] * pieces
        times, units = spread(values, from_ns, until_ns, self.rng)
        piece = (times - from_ns) * pieces // (until_ns - from_ns)
        return [np.bincount(units[piece == k], minlength=values.size) for k in range(pieces)]

    def close(self) -> None:
        """Disconnect."""
        self.redis.close()
