"""An ezmsg graph, for its own environment: counts at 500 Hz in messages of ten samples, to its own LSL outlet.

usage: ezmsg_graph.py NAME SECONDS
"""

import asyncio
import sys
import time

import ezmsg.core as ez
import numpy as np
from ezmsg.lsl.outlet import LSLOutletSettings, LSLOutletUnit
from ezmsg.util.messages.axisarray import AxisArray

RATE_HZ, CHANNELS, BLOCK = 500.0, 8, 10


class Counts(ez.Unit):
    """Publishes Poisson counts of 20 Hz."""

    OUTPUT = ez.OutputStream(AxisArray)

    @ez.publisher(OUTPUT)
    async def publish(self):
        """Send a block when it is due."""
        rng, begun, k = np.random.default_rng(1), time.monotonic(), 0
        while time.monotonic() - begun < float(sys.argv[2]):
            k += 1
            await asyncio.sleep(max(begun + k * BLOCK / RATE_HZ - time.monotonic(), 0.0))
            data = rng.poisson(20.0 / RATE_HZ, (BLOCK, CHANNELS)).astype(np.float32)
            axes = {"time": AxisArray.TimeAxis(fs=RATE_HZ, offset=begun + (k - 1) * BLOCK / RATE_HZ)}
            yield self.OUTPUT, AxisArray(data, dims=["time", "ch"], axes=axes, key="counts")
        raise ez.NormalTermination


class Graph(ez.Collection):
    """Counts into the outlet."""

    COUNTS = Counts()
    OUTLET = LSLOutletUnit(LSLOutletSettings(stream_name=sys.argv[1], stream_type="counts"))

    def network(self):
        """Return the graph's one edge."""
        return ((self.COUNTS.OUTPUT, self.OUTLET.INPUT_SIGNAL),)


if __name__ == "__main__":
    ez.run(SYSTEM=Graph())
