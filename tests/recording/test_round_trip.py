"""What was written is what is read, by us and by the stock MCAP reader."""

import json
import re
import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import NonSeekingReader, make_reader
from mcap.stream_reader import StreamReader

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import STREAMS, step_dtype
from bmi_runtime.recording import frames
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.writer import RecordingWriter

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_steps_come_back_to_the_bit(recorded, steps):
    recording = Recording(recorded)
    assert recording.complete and recording.lost_bytes == 0 and recording.damage == []
    assert recording.n_units == 4 and not recording.continuous and recording.n_steps == 40
    assert recording.dtype == steps.dtype
    assert recording.steps().tobytes() == steps.tobytes()
    assert recording.steps().flags.c_contiguous
    assert recording.header["seeds"] == [3, 0]
    assert recording.parent is None and recording.missing_bins == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (3, 17), (5, None), (-4, None), (39, 99), (50, 60)])
def test_a_part_of_the_steps(recorded, steps, start, stop):
    assert Recording(recorded).steps(start, stop).tobytes() == steps[start:stop].tobytes()


def test_columns_and_log_times(recorded, steps):
    recording = Recording(recorded)
    np.testing.assert_array_equal(recording.column("output", "decoded"), steps["output"]["decoded"])
    np.testing.assert_array_equal(recording.step_log_times_ns(), 10 * np.arange(40) + 1)


def test_other_streams_come_back_in_order(recorded):
    recording = Recording(recorded)
    events = list(recording.messages("event"))
    assert [time for time, _ in events] == [30, 100, 170, 240, 310, 380]
    assert events[0][1] == {"name": "success", "bin": 3} and events[1][1]["name"] == "timeout"
    snapshots = [message for _, message in recording.messages("snapshot")]
    np.testing.assert_array_equal(snapshots[2]["weights"], np.arange(6.0).reshape(2, 3) + 25)
    assert recording.stream_counts == {
        "step": 40, "event": 6, "command": 0, "snapshot": 4, "health": 0, "configuration": 2, "decoder_file": 0
    }  # fmt: skip
    assert list(recording.messages("command")) == []


@pytest.mark.parametrize("stream", ["step", "nonsense", "model"])
def test_a_stream_that_is_not_there(recorded, stream):
    with pytest.raises(BadInput, match="it has event, command"):
        list(Recording(recorded).messages(stream))


def test_continuous_features(tmp_path, make, write):
    features = make(20, n_units=3, continuous=True)
    write(tmp_path / "a.mcap", features, continuous=True)
    recording = Recording(tmp_path / "a.mcap")
    assert recording.continuous and recording.steps().tobytes() == features.tobytes()


def test_stock_reader_sees_the_same(recorded, steps):
    with open(recorded, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        counts = {
            summary.channels[number].topic: count for number, count in summary.statistics.channel_message_counts.items()
        }
        assert counts == {"step": 40, "event": 6, "snapshot": 4, "configuration": 2}
        assert summary.statistics.message_count == 52
        payloads = [message.data for _, _, message in reader.iter_messages("step", log_time_order=False)]
        events = [msgpack.unpackb(message.data) for _, _, message in reader.iter_messages("event")]
    assert b"".join(payloads) == steps.tobytes()
    assert events[0] == {"name": "success", "bin": 3}
    with open(recorded, "rb") as file:
        assert NonSeekingReader(file, validate_crcs=True).get_header().profile == "bmi-runtime"
        file.seek(0)
        kinds = [type(record).__name__ for record in StreamReader(file, validate_crcs=True).records]
    assert kinds[0] == "Header" and kinds[-1] == "Footer" and "Chunk" not in kinds


def test_statistics_hold_the_times(recorded):
    with open(recorded, "rb") as file:
        statistics = make_reader(file).get_summary().statistics
    created_ns = Recording(recorded).header["recording_format"]["created_monotonic_ns"]
    assert (statistics.message_start_time, statistics.message_end_time) == (1, created_ns)


def test_schema_describes_the_step_in_json(recorded, steps):
    with open(recorded, "rb") as file:
        schema = next(iter(make_reader(file).get_summary().schemas.values()))
    layout = json.loads(schema.data.split(b"\n", 1)[0].removeprefix(frames.LAYOUT_LINE))
    assert layout["n_units"] == 4 and layout["continuous"] is False
    assert layout["fields"][0][1][-1] == ["counts", "<u2", [4]]
    assert frames.parse_dtype(layout["fields"]) == steps.dtype


def test_checksum_is_the_documented_one(recorded):
    with open(recorded, "rb") as file:
        for _, channel, message in make_reader(file).iter_messages():
            checked = channel.id.to_bytes(2, "little") + message.log_time.to_bytes(8, "little")
            checked += message.publish_time.to_bytes(8, "little") + message.data
            assert zlib.crc32(checked) == message.sequence


@QUICK
@given(n_units=st.integers(1, 300), continuous=st.booleans())
def test_layout_round_trip(n_units, continuous):
    layout = frames.parse_layout(frames.step_layout(n_units, continuous))
    assert layout.dtype == step_dtype(n_units, continuous)
    assert (layout.n_units, layout.continuous) == (n_units, continuous)


ROS_TYPES = {"float64": "<f8", "int64": "<i8", "uint64": "<u8", "uint32": "<u4", "int32": "<i4", "uint16": "<u2"}
ROS_TYPES |= {"uint8": "|u1", "float32": "<f4"}


def ros_dtype(definition):
    """Return what a ROS 1 message definition says of the bytes, read as its specification has it."""
    texts = {"": ""}
    for part in re.split(r"^=+$", definition, flags=re.MULTILINE):
        head = re.match(r"\s*MSG: (\S+)\n", part)
        texts[head[1] if head else ""] = part[head.end() :] if head else part

    def layout(text):
        fields = []
        for line in text.splitlines():
            if not (line := line.partition("#")[0].strip()):
                continue
            kind, name = line.split()
            base, size = re.fullmatch(r"([\w/]+)(?:\[(\d+)\])?", kind).groups()
            inner = ROS_TYPES[base] if base in ROS_TYPES else layout(texts[f"bmi_runtime/{base}"])
            fields.append((name, inner, (int(size),)) if size else (name, inner))
        return np.dtype(fields)

    return layout(texts[""])


def test_a_step_is_a_ros_message_that_other_tools_read(recorded):
    with open(recorded, "rb") as file:
        (schema,) = make_reader(file).get_summary().schemas.values()
    assert (schema.name, schema.encoding) == ("bmi_runtime/Step", "ros1msg")
    other = ros_dtype(schema.data.decode())
    with open(recorded, "rb") as file:
        raw = [message.data for _, _, message in make_reader(file).iter_messages(topics=["step"])]
    theirs, ours = np.frombuffer(b"".join(raw), other), Recording(recorded).steps()
    for part in ("input", "output", "timing"):
        for name in ours.dtype[part].names:
            flat = ours[part][name].reshape(theirs[part][name].shape)
            np.testing.assert_array_equal(theirs[part][name], flat)


def test_layouts_of_recordings_made_before_are_read():
    old = frames.step_layout(7, False).split(b"\n", 1)[0].removeprefix(frames.LAYOUT_LINE)
    assert frames.parse_layout(old).dtype == step_dtype(7, False)
    schema, channels = frames.opening_records(old, {"step": 2, "event": 3})
    assert (schema.name, schema.encoding, channels[0].message_encoding) == ("step", "record-layout-json", "raw-record")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TIMES = st.integers(0, 2**64 - 1)
CONTENTS = st.dictionaries(st.text(), VALUES, max_size=4)
ITEMS = st.one_of(
    st.tuples(st.just("step"), st.binary(min_size=400, max_size=400), TIMES),
    st.tuples(st.sampled_from(["event", "command", "health"]), CONTENTS, TIMES),
)


@QUICK
@given(items=st.lists(ITEMS, max_size=25), close=st.booleans())
def test_any_sequence_of_messages_round_trips(tmp_path_factory, items, close):
    path = tmp_path_factory.mktemp("r") / "a.mcap"
    size = step_dtype(2, False).itemsize
    writer = RecordingWriter(path, {"a": 1}, 2, False, sync_interval_s=60.0)
    for stream, content, time_ns in items:
        if stream == "step":
            writer.write_step((content * 2)[:size], time_ns)
        else:
            writer.write(stream, content, time_ns)
    if close:
        writer.close()
    recording = Recording(path)
    assert recording.complete == close and recording.lost_bytes == 0 and writer.failed is None
    wanted = [((content * 2)[:size], time_ns) for stream, content, time_ns in items if stream == "step"]
    assert recording.steps().tobytes() == b"".join(content for content, _ in wanted)
    assert recording.step_log_times_ns().tolist() == [time_ns for _, time_ns in wanted]
    for stream in ("event", "command", "health"):
        wanted = [(time_ns, content) for name, content, time_ns in items if name == stream]
        assert list(recording.messages(stream)) == wanted
    writer.close()


def test_every_recorded_stream_has_a_channel():
    assert set(frames.CHANNELS) == {name for name, stream in STREAMS.items() if stream.recorded}


def test_lineage(tmp_path, make, write, recorded):
    parent = {"path": str(recorded), "last_bin_index": 39}
    write(tmp_path / "next.mcap", make(5, first_bin=40), header={"parent": parent})
    assert Recording(tmp_path / "next.mcap").parent == parent
