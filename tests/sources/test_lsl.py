"""Lab Streaming Layer: events and regular streams as liblsl hands them over."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.lsl import LSLFeed
from bmi_runtime.sources.options import BinnerOptions

HOST = 10**12


def bins_of(chunks, *overrides, width_s=None):
    """Return the bins of (host time, samples, stamps) under a virtual clock, and the source."""
    config = configuration.load(None, ["session.units=4", "source.options.wait_s=0", *overrides])
    feed, state = LSLFeed(config), {"now": HOST, "position": 0}
    feed.width_s = width_s or config.bin_s

    def receive(binner, timeout_s):
        until = state["now"] + round(timeout_s * 1e9)
        if state["position"] < len(chunks) and chunks[state["position"]][0] <= until:
            host_ns, samples, stamps = chunks[state["position"]]
            state["position"] += 1
            state["now"] = max(state["now"], host_ns)
            feed.accept(samples, stamps, host_ns, binner)
            return True
        state["now"] = until
        return False

    feed.receive, feed.open = receive, lambda: None
    source = LiveSource(config, feed, lambda: state["now"])
    into, rows = Bin(4, config.continuous), []
    while state["position"] < len(chunks) or source.binner.complete():
        source.next_bin(into, None, None)
        rows.append(into.array[0].copy())
    rows = np.array(rows)
    good = np.flatnonzero(rows["stale"] == 0)
    return rows[good[0] : good[-1] + 1], source


def test_events_become_counts_and_silence_is_silence():
    """One spike every 20 ms: the bins between them have none, and are not called missing."""
    chunks = [(HOST + k * 20_000_000, [[k % 4 + 1, 0]], [50.0 + k * 0.02 - 0.001]) for k in range(200)]
    rows, source = bins_of(chunks)
    assert 198 <= rows["counts"].sum() <= 200 and rows["counts"].max() == 1
    assert rows["stale"].sum() == source.binner.totals["refused"] == 0


def test_a_stream_that_falls_silent_is_stale():
    chunks = [(HOST + k * 5_000_000, [[1, 0]], [50.0 + k * 0.005]) for k in range(400) if not 200 <= k < 300]
    rows, _ = bins_of(chunks)
    assert 45 <= (rows["stale"] > 0).sum() <= 55  # half a second of silence, of which a quarter second passes as such


@pytest.mark.parametrize(("kind", "scale"), [("counts", 1.0), ("rates", 200.0)])
def test_counts_and_rates(kind, scale):
    rng = np.random.default_rng(1)
    counts = rng.poisson(1.0, (300, 4))
    chunks = [
        (HOST + (k + 1) * 5_000_000, [(counts[k] * scale).tolist()], [50.0 + 0.005 * (k + 1)]) for k in range(300)
    ]
    rows, _ = bins_of(chunks, f"source.options.kind={kind}")
    np.testing.assert_array_equal(rows["counts"], counts)


@pytest.mark.parametrize(("kind", "value"), [("counts", 1.0), ("rates", 100.0)])
def test_a_chunk_without_a_rate_that_has_one_stamp_counts_whole(kind, value):
    """Ten samples are pushed together every 100 ms, all stamped with the moment of the push."""
    config = configuration.load(None, ["session.units=4", f"source.options.kind={kind}", "source.options.wait_s=0"])
    feed, binner = LSLFeed(config), Binner(configuration.load(None, ["session.units=4"]))
    feed.irregular, counted = True, np.zeros(4)
    for push in range(1, 41):
        stamp = 50.0 + 0.1 * push
        feed.accept([[value] * 4] * 10, [stamp] * 10, HOST + push * 100_000_000, binner)
        into = Bin(4, False)
        while binner.complete():
            binner.close(into, HOST + push * 100_000_000)
            counted += into.fields.counts
    assert binner.totals["refused"] == 0
    np.testing.assert_allclose(counted, 390.0, atol=11.0)  # the first push stands for an unknown time


def test_features():
    features = np.random.default_rng(1).standard_normal((100, 4))
    chunks = [(HOST + (k + 1) * 50_000_000, [features[k].tolist()], [50.0 + 0.05 * (k + 1)]) for k in range(100)]
    rows, _ = bins_of(chunks, "session.likelihood=gaussian")
    np.testing.assert_allclose(rows["counts"], features)


def test_six_minutes_of_old_samples_are_skipped_and_counted():
    old = [[[1, 1, 1, 1]], 50.0]
    chunks = [(HOST + (k + 1) * 5_000_000, old[0], [50.0 + 0.005 * (k + 1)]) for k in range(200)]
    stalled = HOST + 201 * 5_000_000 + 3_000_000_000  # we were away for three seconds; all of it is in the inlet
    times = [50.0 + 0.005 * (k + 1) for k in range(200, 800)]
    chunks += [(stalled, [[1, 1, 1, 1]] * 600, times)]
    chunks += [(stalled + k * 5_000_000, old[0], [53.995 + 0.005 * (k + 1) + 0.005]) for k in range(1, 200)]
    rows, source = bins_of(chunks, "source.options.kind=counts")
    assert source.binner.totals["skipped_bins"] + source.binner.totals["late_dropped"] // 4 > 300
    decoded = rows[(rows["stale"] == 0) & (rows["host_time_ns"] > stalled)]
    assert decoded["data_age_s"].max() < 0.26


def test_a_jump_of_lsls_own_correction_is_a_new_segment():
    config = configuration.load(None, ["session.units=4"])
    feed, binner = LSLFeed(config), Binner(config)
    corrections = iter([0.1, 0.1001, 0.4])
    feed.inlet = type("Inlet", (), {"time_correction": lambda self, timeout: next(corrections)})()
    feed.accept([[1, 0]], [50.0], HOST, binner)
    for expected in (0, 0, 1):
        feed._watch_correction(binner)
        assert binner.totals["segments"] == expected


@pytest.mark.parametrize(
    ("samples", "stamps", "sentence"),
    [
        ([[-1, 0]], [50.0], "an event of channel -1"),
        ([[5, 0]], [50.0], "an event of channel 5"),
        ([[1.5, 0]], [50.0], "an event of channel 1.5"),
        ([[1, 0]], [float("nan")], "time stamp of nan"),
        ([[]], [50.0], "index out of range"),
    ],
)
def test_bad_events_are_refused(samples, stamps, sentence):
    config = configuration.load(None, ["session.units=4"])
    binner = Binner(config)
    LSLFeed(config).accept(samples, stamps, HOST, binner)
    assert binner.totals["refused"] == 1 and sentence in binner.events[0]["reason"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["source.options.kind=spikes"], "must be one of events, counts, rates, features"),
        (["source.options.kind=features"], "does not suit session.likelihood = 'poisson'"),
    ],
)
def test_bad_configurations_are_one_sentence(overrides, sentence):
    with pytest.raises(BadInput, match=sentence):
        LSLFeed(configuration.load(None, overrides))


def test_channels_may_count_from_0():
    chunks = [(HOST + k * 5_000_000, [[k % 4, 0]], [50.0 + k * 0.005]) for k in range(400)]
    rows, source = bins_of(chunks)
    assert source.binner.totals["refused"] == 0 and source.feed.report()["first_channel"] == 0
    assert rows["counts"].sum(0).min() >= 98


def test_a_0_among_channels_that_count_from_1_is_refused():
    chunks = [(HOST + k * 5_000_000, [[k % 4 + 1 if k != 300 else 0, 0]], [50.0 + k * 0.005]) for k in range(400)]
    _, source = bins_of(chunks)
    assert source.refusals() == [
        "1 message was refused: an event of channel 0 is not one of the 4 units, which are 1 to 4 (session.units; "
        "source.options.first_channel)"
    ]


def test_markers_are_recorded():
    from bmi_runtime.sources.lsl_markers import MarkerStream

    binner, markers = Binner(configuration.load(None, ["session.units=4"])), MarkerStream("task")
    markers._correction, markers._clock_offset_s = 0.25, 0.0
    markers.accept(["go"], 100.0, binner)
    markers.accept([3.0, float("nan")], 101.0, binner)
    markers.accept(["x"], float("inf"), binner)
    first, second = [event for event in binner.events if event["name"] == "device-event"]
    assert (first["kind"], first["value"], first["host_time_ns"]) == ("marker", "go", 100_250_000_000)
    assert second["value"] == [3, None] and binner.totals["refused"] == 1


@pytest.mark.slow
def test_a_stream_that_returns_under_another_identity_is_found_again():
    """Real outlets: two of one name are asked about; one that dies and comes back with a new source_id goes on."""
    import time

    pylsl = pytest.importorskip("pylsl")
    name = f"bmi-test-{time.monotonic_ns()}"

    def outlet(source_id):
        return pylsl.StreamOutlet(pylsl.StreamInfo(name, "Events", 2, 0, "int16", source_id))

    first, second = outlet("one"), outlet("two")
    config = configuration.load(
        None, ["session.units=4", f"source.options.stream={name}", "source.options.resolve_s=5"]
    )
    with pytest.raises(BadInput, match=r"2 LSL streams are named .*'one'.*'two'.*options.source_id"):
        LSLFeed(config).open()
    del second
    time.sleep(1.0)
    feed, binner = LSLFeed(config), Binner(config, BinnerOptions())
    feed.open()
    got = 0
    try:
        for k in range(20):
            first.push_sample([k % 4 + 1, 0])
            got += feed.receive(binner, 0.1)
        assert got > 10 and binner.totals["segments"] == 0
        del first
        again = outlet("another")
        end = time.monotonic() + 20.0
        while binner.totals["segments"] == 0 and time.monotonic() < end:
            feed.receive(binner, 0.1)
        assert binner.totals["segments"] == 1
        got = 0
        for k in range(20):
            again.push_sample([k % 4 + 1, 0])
            got += feed.receive(binner, 0.2)
        assert got > 10
    finally:
        feed.close()


class Inlet:
    """One that gives what it has, and is lost then, as liblsl says it of an outlet without a source_id."""

    def __init__(self, chunks):
        self.chunks, self.closed = list(chunks), False

    def pull_chunk(self, timeout, max_samples):
        if not self.chunks:
            raise pytest.importorskip("pylsl").util.LostError("the stream has been lost.")
        return self.chunks.pop(0)

    def pull_sample(self, timeout):
        return None, None

    def time_correction(self, timeout):
        return 0.0

    def close_stream(self):
        self.closed = True


class Finder:
    """One that finds what it was given, when the stream was silent for long enough."""

    def __init__(self, *found):
        self.found, self.several = list(found), ""

    def returned(self, silent_s):
        return self.found.pop(0) if silent_s >= 1.0 and self.found else None


def test_an_outlet_without_a_source_id_that_is_lost_is_looked_for_by_its_name():
    """liblsl seeks none such itself: every read raised, was counted as a refused message, and nobody looked."""
    pylsl = pytest.importorskip("pylsl")
    config = configuration.load(None, ["session.units=4"])
    feed, binner = LSLFeed(config), Binner(config, BinnerOptions())
    info = pylsl.StreamInfo("spikes", "Events", 2, 0, "int16", "")
    again = Inlet([([[2, 0]], [51.0])])
    feed.inlet, feed.finder = Inlet([([[1, 0]], [50.0])]), Finder(None, (again, info))
    first, given = feed.inlet, [feed.receive(binner, 0.001) for _ in range(6)]
    assert given == [True, False, False, True, False, False] and first.closed
    assert binner.totals["refused"] == 0 and binner.totals["segments"] == 1
    told = [event["text"] for event in binner.events if event["name"] == "source-told"]
    assert len(told) == 2 and all("its name is looked for" in text for text in told)


def test_markers_that_are_lost_do_not_keep_the_neural_data_from_being_read():
    from bmi_runtime.sources.lsl_markers import MarkerStream

    config = configuration.load(None, ["session.units=4"])
    feed, binner = LSLFeed(config), Binner(config, BinnerOptions())
    feed.inlet, feed.markers = Inlet([([[k % 4 + 1, 0]], [50.0 + k]) for k in range(4)]), MarkerStream("task")
    feed.markers.inlet, feed.markers._heard_at = Inlet([([["go"]], [50.0])]), 1e12
    assert all(feed.receive(binner, 0.0) for _ in range(4)) and binner.totals["refused"] == 0
    feed.markers._heard_at, feed.markers.finder = 0.0, Finder((Inlet([([["stop"]], [60.0])]), None))
    feed.inlet.chunks = [([[1, 0]], [55.0])]
    assert feed.receive(binner, 0.0)
    marked = [event["value"] for event in binner.events if event["name"] == "device-event"]
    told = [event["text"] for event in binner.events if event["name"] == "source-told"]
    assert marked == ["go", "stop"] and [text.split("'task' ")[1].split(";")[0] for text in told] == [
        "were lost",
        "are back",
    ]


def test_one_of_several_streams_of_a_name_is_not_taken_for_the_one_that_fell_silent(monkeypatch):
    from bmi_runtime.sources import lsl_streams

    pylsl = pytest.importorskip("pylsl")
    listed = []

    class Resolver:
        def __init__(self, **_):
            pass

        def results(self):
            return listed

    class Info:
        def __init__(self, uid):
            self.uid = self.source_id = lambda: uid
            self.hostname = self.type = lambda: "rig"
            self.channel_count, self.nominal_srate = lambda: 2, lambda: 0.0

    monkeypatch.setattr(lsl_streams, "library", lambda: type("L", (), {"ContinuousResolver": Resolver}))
    monkeypatch.setattr(lsl_streams, "LOOK_EVERY_S", -1.0)
    assert pylsl.ContinuousResolver
    finder = lsl_streams.StreamFinder("spikes")
    finder.uid = "ours"
    monkeypatch.setattr(finder, "connect", lambda info: f"inlet of {info.uid()}")
    listed[:] = [Info("ours"), Info("theirs")]
    assert [finder.returned(2.0) for _ in range(4)] == [None] * 4 and finder._opening is None
    assert "2 LSL streams are named 'spikes'" in finder.several
    finder.several, listed[:] = "", [Info("theirs")]
    assert finder.returned(2.0) is None and finder._opening is not None
    finder._opening.join()
    inlet, _ = finder.returned(2.0)
    assert inlet == "inlet of theirs" and finder.several == ""
