"""A stand-in for an acquisition system on Lab Streaming Layer: events, counts, rates or features."""

from __future__ import annotations

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.lsl import LSLFeed
from simulators.server import spread


class LSLStandIn:
    """Pushes bins as LSL samples, stamped with this machine's LSL clock.

    Parameters
    ----------
    config : Config
        As for the source: ``source.options`` ``stream``, ``kind`` and ``first_channel``.
    rng : numpy.random.Generator
    what : str
        Unused: ``source.options.kind`` decides.
    """

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes"):
        try:
            import pylsl
        except (ImportError, RuntimeError, OSError):
            raise BadInput("the lsl stand-in needs pylsl and its library: pip install 'bmi-runtime[lsl]'") from None
        feed = LSLFeed(config)
        self.kind, self.rng, self.bin_s = feed.kind, rng, config.bin_s
        self.messages = self.spikes = 0
        self.first = int(config.source.options.get("first_channel", 1))
        events = self.kind == "events"
        info = pylsl.StreamInfo(
            feed.stream,
            "Events" if events else "Features",
            2 if events else config.session.units,
            pylsl.IRREGULAR_RATE if events else 1.0 / config.bin_s,
            "int16" if events else "float32",
            f"bmi-runtime-{feed.stream}",
        )
        self.outlet, self.clock = pylsl.StreamOutlet(info), pylsl.local_clock
        self._origin_s: float | None = None

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Push one bin: device time is kept, moved onto the LSL clock once."""
        if self._origin_s is None:
            self._origin_s = self.clock() - until_ns * 1e-9
        if self.kind == "events":
            times, units = spread(values, from_ns, until_ns, self.rng)
            for time_ns, unit in zip(times.tolist(), units.tolist(), strict=True):
                self.outlet.push_sample([unit + self.first, 0], self._origin_s + time_ns * 1e-9)
                self.messages += 1
            self.spikes += times.size
            return
        scale = 1.0 / self.bin_s if self.kind == "rates" else 1.0
        self.outlet.push_sample((values * scale).astype(np.float32).tolist(), self._origin_s + until_ns * 1e-9)
        self.messages += 1
        self.spikes += int(values.sum()) if self.kind != "features" else 0

    def close(self) -> None:
        """Close the outlet."""
        del self.outlet
