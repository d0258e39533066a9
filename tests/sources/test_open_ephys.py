"""The Open Ephys plugin: its bytes, its quirks, its losses, its restarts."""

import json
import re

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.open_ephys import OpenEphysFeed
from bmi_runtime.sources.open_ephys_messages import parse
from simulators.standins.open_ephys import OpenEphysFrames, juce_json

BIN_NS = 5_000_000
BLOCK = 150  # samples of 5 ms
HOST = 10**12


class Rig:
    """The plugin's messages under a virtual clock."""

    def __init__(self, *overrides):
        self.config = configuration.load(None, ["session.units=4", "source.options.wait_s=0", *overrides])
        self.feed = OpenEphysFeed(self.config)
        self.feed.open = self.feed.close = lambda: None
        self.feed.receive = self.receive
        self.source = LiveSource(self.config, self.feed, lambda: self.now_ns)
        self.frames, self.now_ns, self.arrivals, self.position = OpenEphysFrames(np.random.default_rng(1)), HOST, [], 0

    def block(self, k, units=(), data=True, drop=(), sample_shift=0):
        """Send block k: a spike of each of these units in its middle, then two channels of continuous data."""
        first = k * BLOCK + sample_shift
        messages = [self.frames.spike_frames(first + 70, unit) for unit in units]
        if data:
            messages += [self.frames.data_frames(first, BLOCK, channel) for channel in (0, 1)]
        self.send((k + 1) * BIN_NS, *(frames for index, frames in enumerate(messages) if index not in drop))

    def send(self, at_ns, *messages):
        self.arrivals += [(HOST + at_ns + 100_000, frames) for frames in messages]

    def receive(self, binner, timeout_s):
        until = self.now_ns + round(timeout_s * 1e9)
        if self.position < len(self.arrivals) and self.arrivals[self.position][0] <= until:
            host_ns, frames = self.arrivals[self.position]
            self.position, self.now_ns = self.position + 1, max(self.now_ns, host_ns)
            self.feed.accept(frames, host_ns, binner)
            return True
        self.now_ns = until
        return False

    def run(self):
        into, rows, self.events = Bin(4, False), [], []
        while self.position < len(self.arrivals) or self.source.binner.complete():
            self.source.next_bin(into, None, None)
            self.now_ns += 30_000
            rows.append(into.array[0].copy())
            self.events += self.source.drain_events()
        rows = np.array(rows)
        good = np.flatnonzero(rows["stale"] == 0)
        return rows[good[0] : good[-1] + 1]

    @property
    def totals(self):
        return self.source.binner.totals


def test_the_bytes_of_a_spike():
    """Envelope with its NUL, JSON with CR LF, a body under 'spike', no data_size, 4 bytes a sample."""
    envelope, header, payload = OpenEphysFrames(np.random.default_rng(1)).spike_frames(12345, 2)
    assert envelope == b"EVENT\x00"
    assert header.startswith(b'{\r\n  "message_num": 1,\r\n  "type": "spike",\r\n  "spike": {\r\n    "stream": "')
    parsed = json.loads(header)
    assert list(parsed) == ["message_num", "type", "spike", "timestamp"]
    assert list(parsed["spike"]) == [
        "stream", "source_node", "electrode", "sample_num", "num_channels", "num_samples", "sorted_id", "threshold",
    ]  # fmt: skip
    assert parsed["spike"]["electrode"] == "Electrode 3" and len(payload) == 40 * 4
    envelope, header, payload = OpenEphysFrames(np.random.default_rng(1)).data_frames(0, 150)
    assert envelope == b"DATA\x00" and json.loads(header)["data_size"] == len(payload) == 600


def test_blocks_become_bins():
    rig = Rig()
    for k in range(100):
        rig.block(k, units=[0, k % 4])
    rows = rig.run()
    assert len(rows) == 100 and rows["stale"].sum() == rows["late"].sum() == 0
    expected = np.zeros((100, 4), int)
    np.add.at(expected, (np.arange(100), np.arange(100) % 4), 1)
    expected[:, 0] += 1
    np.testing.assert_array_equal(rows["counts"], expected)
    assert rows["data_age_s"].max() < 1e-3  # a block's continuous data close its bin at once


def test_a_gap_in_the_numbers_is_loss_and_its_block_is_not_decoded():
    rig = Rig()
    for k in range(100):
        rig.block(k, units=[0, 1], drop=(1,) if k in (40, 70) else ())
    rows = rig.run()
    assert rig.totals["lost"] == 2
    assert np.flatnonzero(rows["stale"]).tolist() == [40, 70]
    assert rows["counts"].sum() == 98 * 2


def test_acquisition_that_starts_again_is_a_new_segment():
    rig = Rig()
    for k in range(60):
        rig.block(k, units=[k % 4])
    rig.frames.start_acquisition()
    for k in range(100, 160):
        rig.block(k, units=[k % 4], sample_shift=-100 * BLOCK)
    rows = rig.run()
    assert rows["segment"].max() == 1 and rig.totals["lost"] == 0
    new = rows[rows["segment"] == 1]
    np.testing.assert_array_equal(new["counts"].argmax(1), np.arange(100, 160) % 4)
    assert [event["name"] for event in rig.events if "segment" in event] == ["acquisition-restarted"]


def test_a_name_that_is_not_ascii_cuts_its_json_and_nothing_else():
    rig = Rig()
    for k in range(60):
        if k == 30:
            rig.send((k + 1) * BIN_NS - 1, rig.frames.spike_frames(k * BLOCK + 5, 0, electrode="Elektröde 1"))
        rig.block(k, units=[1])
    rows = rig.run()
    assert rig.totals["refused"] == 1 == rows["invalid"].sum() and rig.totals["lost"] == 0
    assert ["not ASCII" in event["reason"] for event in rig.events if event["name"] == "message-refused"] == [True]
    assert rows["stale"].sum() == 0 and rows["counts"][:, 1].tolist() == [1] * 60
    assert len(juce_json({"a": "ö"})) == len(b'{\r\n  "a": "x"\r\n}')


def test_spikes_without_continuous_data_still_make_bins():
    rig = Rig("source.stale_after_s=0.1")
    for k in range(300):
        if not 200 <= k < 240:
            rig.block(k, units=[k % 4], data=False)
    rows = rig.run()
    late = rows[(rows["device_time_s"] > 0.4) & (rows["device_time_s"] < 0.95)]
    assert late["counts"].sum(1).tolist() == [1] * len(late) and late["stale"].sum() == 0
    silent = rows[(rows["device_time_s"] > 1.006) & (rows["device_time_s"] < 1.19)]
    assert 15 <= (silent["stale"] == 0).sum() <= 21  # 100 ms of silence count as silence, then as missing data
    assert silent["stale"][-1] > 0


def test_ttl_events_and_other_streams_are_no_spikes():
    rig = Rig("source.options.stream=acquisition_board")
    for k in range(50):
        rig.send((k + 1) * BIN_NS - 1, rig.frames.ttl_frames(k * BLOCK + 10, 1, True))
        rig.block(k, units=[2])
    rows = rig.run()
    assert rows["counts"].sum() == 50 == rows["counts"][:, 2].sum() and rig.totals["refused"] == 0


def test_units_by_electrode_and_sorted_id():
    units = [["Tetrode A", 1], ["Tetrode A", 2], ["Electrode 1", 0], ["x", 0]]
    rig = Rig(f"source.options.units={units}".replace("'", '"'))
    for k in range(30):
        rig.block(k, units=[0, 1])
    rows = rig.run()
    assert rows["counts"].sum(0).tolist() == [0, 0, 30, 0]  # Electrode 2 is not listed: no unit, no error
    assert rig.totals["refused"] == 0


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["source.options.units=[1]"], "must list session.units = 4 pairs"),
        (["source.options.sample_rate_hz=1"], "must lie between 100 and 1e6"),
        (["session.likelihood=gaussian"], "is set for features"),
    ],
)
def test_bad_configurations_are_one_sentence(overrides, sentence):
    with pytest.raises(BadInput, match=sentence):
        Rig(*overrides)


def test_another_machine_must_be_trusted():
    config = configuration.load(None, ["source.address=tcp://192.168.1.5:5556"])
    with pytest.raises(BadInput, match=r"knows no keys.*trusted_network = true"):
        OpenEphysFeed(config).open()


def test_the_heartbeat_is_answered():
    """Every 2 s on the port after the data's; the stand-in counts it and answers as the plugin does."""
    from simulators.standins.open_ephys import OpenEphysStandIn
    from tests.sources.test_closing_the_loop import free_ports

    config = configuration.load(None, ["session.units=4", f"source.address=tcp://127.0.0.1:{free_ports(1)[0]}"])
    standin = OpenEphysStandIn(config, np.random.default_rng(0))
    feed = OpenEphysFeed(config)
    feed.open()
    try:
        from bmi_runtime.sources.binner import Binner

        binner = Binner(config)
        for k in range(200):
            standin.emit(k * BIN_NS, (k + 1) * BIN_NS, np.ones(4, int))
            feed._beat_ns -= 10**8  # time passes
            while feed.receive(binner, 0.002):
                pass
            if feed.answers >= 2:
                break
        assert standin.heartbeats >= 2 and feed.answers >= 2
        assert binner.totals["refused"] == 0 and binner.started
    finally:
        feed.close()
        standin.close()


def gui_blocks(rig, block, blocks, tail=50, units=4, rate_hz=60.0, seed=5):
    """Send what the GUI sends: blocks of any length, and spikes of a block's last samples with the next block."""
    rng, held, sent = np.random.default_rng(seed), [], []
    for k in range(blocks):
        first, now, held = k * block, held, []
        for unit in range(units):
            for place in rng.integers(0, block, rng.poisson(rate_hz * block / 30_000)).tolist():
                (held if place >= block - tail else now).append((first + place, unit))
        sent += now
        messages = [rig.frames.spike_frames(sample, unit) for sample, unit in now]
        messages += [rig.frames.data_frames(first, block, channel) for channel in range(3)]
        rig.send(round((first + block) * 1e9 / 30_000), *messages)
    return np.array(sent)


@pytest.mark.parametrize("block", [100, 697, 1024])
def test_blocks_of_any_length_lose_nothing(block):
    """At default settings: no stale bin once the wait is learned, every spike in the bin that its sample says."""
    rig = Rig()
    sent = gui_blocks(rig, block, round(8.0 * 30_000 / block))
    rows = rig.run()
    ends = np.round(rows["device_time_s"] / 0.005).astype(int)
    settled = np.flatnonzero(rows["device_time_s"] > 1.0)
    assert rows["stale"][settled].sum() == 0 and rows["late"][settled].sum() == 0
    expected = np.zeros((ends.max() + 1, 4), int)
    inside = sent[sent[:, 0] // BLOCK < ends.max()]
    np.add.at(expected, (inside[:, 0] // BLOCK + 1, inside[:, 1]), 1)
    quiet = settled[:-20]  # the last block's tail would come with the next
    np.testing.assert_array_equal(rows["counts"][quiet], expected[ends[quiet]])
    health = rig.source.health()
    assert health["wait_s"] < 1.3 * (block + 100) / 30_000 + 0.006 and health["delay_p99_s"] <= health["wait_s"]


@pytest.mark.parametrize("rate", ["sample_rate", "sampling_rate"])
def test_versions_before_0_3_are_read(rate):
    """``message_no``, samples as ``timestamp``, all channels in one message, electrodes by number from 0.

    Their `sendSpikeEvent` copies as many bytes of the waveform as it has samples; OPETH's build says `sampling_rate`.
    """
    rig = Rig()
    number = 0
    for k in range(100):
        frames = []
        for unit in (0, k % 4):
            number += 1
            spike = {"timestamp": k * BLOCK + 70, "n_channels": 2, "n_samples": 40, "electrode_id": unit}
            header = {"message_no": number, "type": "spike", "spike": spike}
            frames.append([b"EVENT\0", juce_json(header), bytes(2 * 40)])
        number += 1
        content = {"n_channels": 2, "n_samples": 200, "n_real_samples": BLOCK, "timestamp": k * BLOCK}
        header = {"message_no": number, "type": "data", "content": content | {rate: 30000}, "data_size": 1600}
        frames.append([b"DATA\0", juce_json(header), bytes(1600)])
        rig.send((k + 1) * BIN_NS, *frames)
    rows = rig.run()
    assert rig.totals["refused"] == 0 and rows["stale"].sum() == 0
    assert rows["counts"].sum(0).tolist() == [125, 25, 25, 25]


def test_the_event_broadcaster_is_called_by_its_name():
    spike = {"event_type": "spike", "stream": "Rhythm", "source_node": 100, "electrode": "Electrode 1"}
    spike |= {"num_channels": 1, "sample_rate": 30000.0, "sample_number": 70, "sorted_id": 0, "amp1": 55.0}
    for kind in (b"\0\0", b"\1\0"):
        with pytest.raises(BadInput, match=r"the GUI's Event Broadcaster.*ZMQ Interface with at least one channel"):
            parse([kind, juce_json(spike)])


def test_two_names_never_share_a_unit_silently():
    rig = Rig()
    for k in range(40):
        rig.send((k + 1) * BIN_NS - 1, rig.frames.spike_frames(k * BLOCK + 5, 0, electrode="Tetrode 1"))
        rig.block(k, units=[0])
    rows = rig.run()
    assert rig.totals["refused"] == 40 and rows["counts"].sum() == 40
    assert "'Tetrode 1' and 'Electrode 1' end in the same number" in rig.source.refusals()[0]
    assert rig.source.refusals()[0].startswith("40 messages were refused")
    assert [row["name"] for row in rig.feed.report()["units"]] == ["Tetrode 1", "Electrode 1"]


def test_electrodes_may_count_from_0():
    rig = Rig()
    for k in range(40):
        rig.send((k + 1) * BIN_NS - 1, rig.frames.spike_frames(k * BLOCK + 5, 0, electrode=f"SE{k % 4}"))
        rig.block(k)
    assert rig.run()["counts"].sum(0).tolist() == [10, 10, 10, 10] and rig.totals["refused"] == 0


def test_ttl_lines_are_recorded_with_device_and_host_time():
    rig = Rig()
    for k in range(400):
        if k % 100 == 50:
            rig.send((k + 1) * BIN_NS - 1, rig.frames.ttl_frames(k * BLOCK + 30, 3, k % 200 == 50))
        rig.block(k, units=[1])
    rig.run()
    events = [event for event in rig.events if event["name"] == "device-event"]
    assert [(event["kind"], event["line"], event["state"]) for event in events] == [("ttl", 3, 1), ("ttl", 3, 0)] * 2
    for k, event in zip((50, 150, 250, 350), events, strict=True):
        assert event["device_time_s"] == pytest.approx(k * 0.005 + 0.001)
        assert event["host_time_ns"] == pytest.approx(HOST + k * BIN_NS + 1_100_000, abs=20_000)
    assert events[-1]["uncertainty_s"] < 1e-3


@pytest.mark.parametrize("what", ["number", "sample", "sample of a slow stream"])
def test_absurd_numbers_are_refused_and_counted(what):
    rig = Rig()
    for k in range(60):
        if k == 30:
            frames = rig.frames.data_frames(0, 5) if what.endswith("stream") else rig.frames.spike_frames(5, 0)
            header = json.loads(frames[1])
            if what == "number":
                header["message_num"] = 2**70
            elif what == "sample":
                header["spike"]["sample_num"] = 2**53 - 1
            else:
                header["content"] |= {"sample_num": 2**53 - 1, "sample_rate": 100}
            rig.send((k + 1) * BIN_NS - 1, [frames[0], json.dumps(header).encode(), frames[2]])
        rig.block(k, units=[1])
    rows = rig.run()
    assert rig.totals["refused"] >= 1 and rows["counts"][:, 1].sum() >= 59 and rows["segment"].max() == 0


def test_the_quick_reader_of_spikes_takes_nothing_that_the_reader_of_json_refuses(monkeypatch):
    from bmi_runtime.sources import open_ephys_messages
    from simulators.standins.open_ephys import OpenEphysFrames

    rng = np.random.default_rng(4)
    made = OpenEphysFrames(rng)
    frames = [made.spike_frames(int(rng.integers(1, 2**40)), int(rng.integers(0, 300))) for _ in range(20)]

    def read(torn):
        try:
            return open_ephys_messages.parse(torn)
        except BadInput:
            return None

    changed = []
    for _ in range(4000):
        envelope, header, payload = frames[rng.integers(len(frames))]
        torn = bytearray(header)
        for place in rng.integers(0, len(header), rng.integers(0, 3)):
            torn[place] = b'0123456789-.eE+ ,:{}[]"\\x\xc3\n'[rng.integers(27)]
        changed.append([envelope, bytes(torn[: len(torn) - int(rng.integers(3) == 0)]), payload])
    quick = [read(torn) for torn in changed]
    assert sum(spike is not None for spike in quick) > 1000
    monkeypatch.setattr(open_ephys_messages, "_SPIKE", re.compile(b"(?!)"))
    for torn, spike in zip(changed, quick, strict=True):
        if spike is not None:
            assert read(torn) == spike
