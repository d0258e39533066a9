"""Several acquisition systems in one session, under one virtual host clock."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import MISSING, Bin
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.merged import MergedSource
from bmi_runtime.sources.packet import Packet

BIN_NS = 5_000_000
START_NS = 10**12
CLOCK = {"now": START_NS}


class Device:
    """Sends the number of its bin as every count, a little after its end, on a clock of its own."""

    OPTIONS = ()

    def __init__(self, units, width_ns=BIN_NS, offset_ns=0, skew=0.0, delay_ns=300_000, silent=()):
        self.units, self.width_ns, self.offset_ns, self.delay_ns = units, width_ns, offset_ns, delay_ns
        self.rate, self.silent, self.sent = 1.0 + skew, silent, 0

    def open(self):
        pass

    def receive(self, binner, timeout_s):
        until = CLOCK["now"] + round(timeout_s * 1e9)
        while True:
            due = START_NS + round((self.sent + 1) * self.width_ns / self.rate) + self.delay_ns
            if due > until:
                CLOCK["now"] = until
                return False
            self.sent += 1
            if not any(first <= self.sent < last for first, last in self.silent):
                break
        CLOCK["now"] = max(CLOCK["now"], due)
        begin = self.offset_ns + (self.sent - 1) * self.width_ns
        binner.take(
            Packet(begin, begin + self.width_ns, CLOCK["now"], values=np.full(self.units, float(self.sent % 50)))
        )
        return True

    def report(self):
        return {}

    def close(self):
        pass


def merged(devices, *overrides):
    CLOCK["now"] = START_NS
    parts = ", ".join(
        f"{{kind = 'x', {'units' if width == BIN_NS else 'features'} = {device.units}, options = {{wait_s = 5}}}}"
        for device, width in ((device, device.width_ns) for device in devices)
    )
    units = sum(device.units for device in devices if device.width_ns == BIN_NS)
    features = sum(device.units for device in devices if device.width_ns != BIN_NS)
    sizes = [f"session.units={units}", f"session.features={features}"]
    config = configuration.load(None, [*sizes, f"source.options.parts=[{parts}]", "source.kind=merged", *overrides])
    left = list(devices)
    source = MergedSource(config, lambda own: LiveSource(own, left.pop(0), lambda: CLOCK["now"]))
    source.open()
    return source, config


def run(source, config, bins):
    into, rows = Bin(*config.layout), []
    for _ in range(bins):
        source.next_bin(into, None, None)
        CLOCK["now"] += 20_000
        rows.append(into.array[0].copy())
    return np.array(rows)


def test_bins_of_two_clocks_are_those_of_the_same_time():
    source, config = merged([Device(3), Device(2, offset_ns=77_000_000_000, delay_ns=900_000)])
    rows = run(source, config, 400)[50:]
    assert (rows["counts"][:, :3] == rows["counts"][:, :1]).all()
    assert (rows["counts"][:, 3] == rows["counts"][:, 0]).mean() > 0.98
    assert (rows["stale"] == 0).all()


def test_a_gap_in_one_makes_only_its_units_missing():
    source, config = merged([Device(3), Device(2, silent=[(700, 800)])])
    rows = run(source, config, 500)
    assert (rows["counts"][:, :3] != MISSING)[5:].all() and (rows["stale"][5:] == 0).all()
    missing = (rows["counts"][:, 3:] == MISSING).all(axis=1)
    assert 95 <= missing.sum() <= 110 and not missing[:250].any() and not missing[450:].any()
    assert {event["part"] for event in source.drain_events() if event["name"] == "data-missing"} == {"part 2"}


def test_the_first_may_be_silent_too():
    source, config = merged([Device(3, silent=[(700, 800)]), Device(2)])
    rows = run(source, config, 500)
    missing = (rows["counts"][:, :3] == MISSING).all(axis=1)
    assert 90 <= missing.sum() <= 110 and not missing[450:].any()
    assert (rows["counts"][missing, 3] != MISSING).mean() > 0.9 and (rows["stale"][missing] == 0).mean() > 0.9


def test_features_come_at_their_own_width():
    source, config = merged([Device(3), Device(4, width_ns=10 * BIN_NS)])
    rows = run(source, config, 600)
    came = np.isfinite(rows["features"]).all(axis=1)
    assert 55 <= came.sum() <= 60
    assert (np.diff(np.flatnonzero(came))[5:] == 10).mean() > 0.9


def test_clocks_that_drift_apart_slip_by_single_bins():
    source, config = merged([Device(3), Device(2, skew=2e-4)])
    rows = run(source, config, 6000)[100:]
    missing = (rows["counts"][:, 3] == MISSING).sum()
    assert missing + source.slipped <= 8 and (rows["stale"] == 0).all()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("1", "needs source.options.parts"),
        ("[{kind='lsl', units=4}]", "needs source.options.parts"),
        ("[{kind='lsl', units=4}, {kind='lsl', units=3}]", "7 units together, session.units is 8"),
        ("[{kind='lsl', units=4}, {kind='lsl'}]", "part 2 of the merged source gives units or features"),
        ("[{kind='lsl', units=4}, {kind='lsl', units=4, adress='x'}]", "no 'adress'"),
        ("[{units=4}, {kind='lsl', units=4}]", "part 1 of the merged source has no kind"),
        ("[{kind='simulated', units=4}, {kind='lsl', units=4}]", "merge live sources"),
        ("[{kind='lsl', features=4}, {kind='lsl', units=8}]", "sets the pace"),
    ],
)
def test_parts_that_make_no_session_are_refused_in_a_sentence(parts, said):
    pytest.importorskip("pylsl")
    config = configuration.load(None, ["session.units=8", f"source.options.parts={parts}", "source.kind=merged"])
    with pytest.raises(BadInput, match=said):
        MergedSource(config)
