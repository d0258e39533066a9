"""Recovery: a complete, valid MCAP file with everything that can be read."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader

from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording import frames
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.recover import recover

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def message_starts(path):
    """Return the start of every message frame; the first is the configuration's."""
    data, position, starts = path.read_bytes(), len(frames.MAGIC), []
    while position < len(data) - 8:
        opcode, length = frames.RECORD_HEAD.unpack_from(data, position)
        if opcode == frames.MESSAGE:
            starts.append(position)
        position += frames.RECORD_HEAD.size + length
    return starts


def assert_stock_reader_agrees(path, recording):
    """Hold the stock reader's counts, payloads and CRC checks against ours."""
    with open(path, "rb") as file:
        assert sum(1 for _ in StreamReader(file, validate_crcs=True).records) > 8
        file.seek(0)
        reader = make_reader(file, validate_crcs=True)
        statistics, channels = reader.get_summary().statistics, reader.get_summary().channels
        counts = {channels[number].topic: count for number, count in statistics.channel_message_counts.items()}
        payloads = [message.data for _, _, message in reader.iter_messages("step", log_time_order=False)]
        times = [message.log_time for _, _, message in reader.iter_messages(log_time_order=False)]
    assert counts == {stream: count for stream, count in recording.stream_counts.items() if count}
    assert b"".join(payloads) == recording.steps().tobytes()
    assert (statistics.message_start_time, statistics.message_end_time) == (min(times), max(times))
    assert statistics.message_count == len(times)


@pytest.mark.parametrize("cut", [1, 9, 100, 2000, 3300, 6000])
def test_a_truncated_recording(recorded, steps, tmp_path, cut):
    os.truncate(recorded, recorded.stat().st_size - cut)
    before, source = Recording(recorded), recorded.read_bytes()
    result = recover(recorded, tmp_path / "out.mcap")
    after = Recording(tmp_path / "out.mcap")
    assert result["complete"] is False and result["lost_bytes"] == before.lost_bytes
    assert result["bins"] == before.n_steps == after.n_steps > 0
    assert result["provenance"]["code_version"] == "0.1.0"
    assert after.complete and after.lost_bytes == 0
    assert after.steps().tobytes() == steps[: after.n_steps].tobytes()
    for stream in ("event", "snapshot"):
        assert str(list(after.messages(stream))) == str(list(before.messages(stream)))
    assert after.header["config"] == before.header["config"]
    assert after.header["recovered"]["source_bytes"] == len(source)
    assert_stock_reader_agrees(tmp_path / "out.mcap", after)
    assert recorded.read_bytes() == source


def test_a_complete_recording_is_copied(recorded, steps, tmp_path):
    result = recover(recorded, tmp_path / "out.mcap")
    assert result["complete"] is True and result["lost_bytes"] == 0 and result["damage"] == []
    assert Recording(tmp_path / "out.mcap").steps().tobytes() == steps.tobytes()


def test_steps_behind_damage_are_saved_and_the_hole_is_named(recorded, steps, tmp_path):
    starts, data = message_starts(recorded), bytearray(recorded.read_bytes())
    data[starts[20] + 40] ^= 1
    data[starts[30] + 1] ^= 255
    recorded.write_bytes(data)
    result = recover(recorded, tmp_path / "out.mcap")
    after = Recording(tmp_path / "out.mcap")
    assert after.complete and after.missing_bins == result["missing_bins"] == 40 - result["bins"] > 0
    assert len(result["damage"]) == 2 and result["damage"][0]["offset"] == starts[20]
    kept = np.isin(steps["input"]["bin_index"], after.column("input", "bin_index"))
    assert after.steps().tobytes() == steps[kept].tobytes()
    assert after.header["recovered"]["damage"] == result["damage"]
    assert_stock_reader_agrees(tmp_path / "out.mcap", after)


@pytest.mark.parametrize("place", [3, 60, 900])
def test_a_damaged_opening_is_rebuilt(recorded, steps, tmp_path, place):
    data = bytearray(recorded.read_bytes())
    data[place : place + 3] = b"\xff\xff\xff"
    recorded.write_bytes(data)
    result = recover(recorded, tmp_path / "out.mcap")
    assert result["bins"] == 40 and result["damage"][0]["offset"] == 0
    after = Recording(tmp_path / "out.mcap")
    assert after.complete and after.steps().tobytes() == steps.tobytes() and after.header["seeds"] == [3, 0]
    assert_stock_reader_agrees(tmp_path / "out.mcap", after)


def test_steps_without_their_configuration_are_saved(recorded, steps, tmp_path):
    data = bytearray(recorded.read_bytes())
    for copy in (0, 1):
        data[message_starts(recorded)[copy] + 200] ^= 4
    recorded.write_bytes(data)
    result = recover(recorded, tmp_path / "out.mcap")
    after = Recording(tmp_path / "out.mcap")
    assert result["bins"] == 40 and result["provenance"] is None and "config" not in after.header
    assert after.complete and after.steps().tobytes() == steps.tobytes()
    assert_stock_reader_agrees(tmp_path / "out.mcap", after)


@QUICK
@given(cut=st.integers(1, 20_000), flip=st.integers(0, 10**6))
def test_whatever_is_recovered_is_complete_and_stays_so(recorded, steps, tmp_path_factory, cut, flip):
    folder = tmp_path_factory.mktemp("r")
    data = bytearray(recorded.read_bytes())
    data[flip % len(data)] ^= 1 << flip % 8
    del data[max(len(data) - cut, 0) :]
    (folder / "a.mcap").write_bytes(data)
    try:
        result = recover(folder / "a.mcap", folder / "b.mcap")
    except BadInput:
        assert not (folder / "b.mcap").exists()
        with pytest.raises(BadInput):
            Recording(folder / "a.mcap", past_damage=True)
        return
    assert_stock_reader_agrees(folder / "b.mcap", Recording(folder / "b.mcap"))
    again = recover(folder / "b.mcap", folder / "c.mcap")
    assert again["complete"] is True and again["bins"] == result["bins"]
    assert {step.tobytes() for step in Recording(folder / "c.mcap").steps()} <= {step.tobytes() for step in steps}


def test_an_existing_output_is_never_touched(recorded, tmp_path):
    (tmp_path / "out.mcap").write_text("precious")
    with pytest.raises(BadInput, match="exists already"):
        recover(recorded, tmp_path / "out.mcap")
    with pytest.raises(BadInput, match="exists already"):
        recover(recorded, recorded)
    assert (tmp_path / "out.mcap").read_text() == "precious"


def test_an_output_that_cannot_be(recorded, tmp_path):
    with pytest.raises(BadInput, match="cannot be created"):
        recover(recorded, tmp_path / "none" / "out.mcap")


def test_a_disk_that_fills_up_leaves_no_half_recovery(recorded, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BmiError, match="was removed: No space"):
        recover(recorded, tmp_path / "out.mcap")
    assert not (tmp_path / "out.mcap").exists()


def test_nothing_to_recover(tmp_path):
    (tmp_path / "a.mcap").write_bytes(frames.MAGIC)
    with pytest.raises(BadInput, match="nothing of it can be read"):
        recover(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert not (tmp_path / "b.mcap").exists()
