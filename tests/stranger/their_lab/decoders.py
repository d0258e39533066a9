"""Decoders as a stranger writes them: the one that docs/howto.md prints, to the letter, and some that go wrong."""

import ctypes
import time
from typing import Literal

import numpy as np
import pydantic


class PopulationVector:
    """Velocity as the mean preferred direction, weighted by rates above baseline."""

    def __init__(self, model, gain_m_s=0.02, **options):
        self.model, self.gain = model, gain_m_s
        self.state, self.variance = np.zeros(4), np.full(4, np.nan)

    def reset(self):
        self.state[:] = 0.0

    def predict(self, counts, valid=None):
        baseline, gx, gy = self.model.weights
        above = counts / self.model.bin_s - np.exp(baseline)
        depth = np.hypot(gx, gy) + 1e-9
        self.state[2] = self.gain * np.mean(above * gx / depth)
        self.state[3] = self.gain * np.mean(above * gy / depth)
        self.state[:2] += self.model.bin_s * self.state[2:]
        return self.state

    def observe(self, counts):
        self.predict(counts)

    def on_done(self):
        pass


class HalfSpeed:
    """The least that a decoder can be; its options are typed."""

    class Options(pydantic.BaseModel):
        gain: float = pydantic.Field(0.001, gt=0.0, le=1.0)

    def __init__(self, model, gain=0.001):
        self.smooth, self.gain = 0.0, gain

    def predict(self, counts):
        self.smooth = 0.9 * self.smooth + 0.1 * counts.sum()
        return [self.gain * self.smooth, -self.gain * self.smooth]


class Moody(HalfSpeed):
    """Raises after a while."""

    def __init__(self, model):
        super().__init__(model)
        self.bins = 0

    def predict(self, counts):
        self.bins += 1
        if self.bins > 150:
            raise ValueError("enough for today")
        return super().predict(counts)


class Segfault(HalfSpeed):
    """Ends its process in the bin after its probation."""

    def __init__(self, model):
        super().__init__(model)
        self.bins = 0

    def predict(self, counts):
        self.bins += 1
        if self.bins > 30:
            ctypes.string_at(0)  # reads where nothing is
        return super().predict(counts)


class NoPredict:
    def __init__(self, model):
        pass


class Hangs(HalfSpeed):
    """Never returns from the bin after its probation, in the way that its option names."""

    class Options(HalfSpeed.Options):
        way: Literal["loop", "sleep", "interpreter"] = "loop"

    def __init__(self, model, gain=0.001, way="loop"):
        super().__init__(model, gain)
        self.way, self.bins = way, 0

    def predict(self, counts):
        self.bins += 1
        if self.bins > 100:
            self.hang()
        return super().predict(counts)

    def hang(self):
        if self.way == "interpreter":  # in C, with the interpreter's lock held: no Python runs in this process any more
            ctypes.PyDLL(None).sleep(1_000_000)
        while self.way == "loop":
            pass
        time.sleep(1e6)
