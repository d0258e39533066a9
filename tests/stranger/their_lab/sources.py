"""A source that plays a sine: bins at the loop's own pace."""

import numpy as np

from bmi_runtime.registry import Options


class SineSource:
    paced = True

    class Options(Options):
        period_s: float = 1.0

    def __init__(self, config):
        self.period_s = self.Options(**config.source.options).period_s
        self.bin_s, self.units, self.bins = config.bin_s, config.session.units, 0

    def open(self):
        self.rng = np.random.default_rng(3)

    def next_bin(self, into, cursor, target):
        fields, time_s = into.fields, self.bins * self.bin_s
        phase = np.linspace(0.0, 2.0 * np.pi, self.units)
        fields.counts[:] = self.rng.poisson(
            self.bin_s * (10.0 + 8.0 * np.sin(2 * np.pi * time_s / self.period_s + phase))
        )
        fields.bin_index[0] = self.bins
        self.bins += 1
        fields.device_time_s[0] = self.bins * self.bin_s
        return True

    def drain_events(self):
        return []

    def close(self):
        pass
