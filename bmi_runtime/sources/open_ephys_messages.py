"""What the Open Ephys GUI's ZMQ Interface plugin sends, checked: versions 0.1 to 1.0 of its JSON.

Up to version 0.2 a message counts itself in ``message_no``, its samples are called ``timestamp``, and a spike has an
``electrode_id`` (from 0) and comes with the first quarter of its waveform (as many bytes as there are samples); from
0.3 on it is ``message_num``, ``sample_num``, the electrode's name and the whole waveform. The plugin's first public
build, that of OPETH, calls ``sample_rate`` ``sampling_rate``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from bmi_runtime.errors import BadInput

MAX_NUMBER = 1 << 53  # whole numbers that JSON readers keep
MAX_BLOCK_S = 1.0  # the GUI sends some tens of ms at once
_WHOLE, _TEXT = rb"(0|[1-9]\d{0,14})", rb'"([ !#-\[\]-~]{1,200})"'  # text without what JSON escapes
_NUMBER = rb"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,20})?(?:[eE][-+]?\d{1,3})?"
_SPIKE = re.compile(
    rb'\{\s*"message_num"\s*:\s*' + _WHOLE + rb',\s*"type"\s*:\s*"spike",\s*"spike"\s*:\s*\{\s*"stream"\s*:\s*' + _TEXT
    + rb',\s*"source_node"\s*:\s*' + _WHOLE + rb',\s*"electrode"\s*:\s*' + _TEXT
    + rb',\s*"sample_num"\s*:\s*' + _WHOLE + rb',\s*"num_channels"\s*:\s*' + _WHOLE
    + rb',\s*"num_samples"\s*:\s*' + _WHOLE + rb',\s*"sorted_id"\s*:\s*' + _WHOLE
    + rb',\s*"threshold"\s*:\s*\[\s*' + _NUMBER + rb"(?:\s*,\s*" + _NUMBER + rb")*\s*\]\s*\}"
    + rb'(?:,\s*"timestamp"\s*:\s*' + _NUMBER + rb")?\s*\}\s*"
)  # fmt: skip
"""A spike as versions from 0.3 on write it; every other header goes through a reader of JSON, at thrice the cost."""
_decode = json.JSONDecoder().decode


@dataclasses.dataclass(slots=True)
class Spike:
    """A spike of an electrode; `stream` is empty before version 0.3."""

    number: int
    stream: str
    electrode: str
    sorted_id: int
    sample: int


@dataclasses.dataclass(slots=True)
class Block:
    """A block of a continuous channel: samples `first` to ``first + samples``, the end excluded."""

    number: int
    stream: str
    first: int
    samples: int
    rate_hz: float


@dataclasses.dataclass(slots=True)
class Line:
    """A TTL line that changed, or another event (`line` -1)."""

    number: int
    stream: str
    sample: int
    line: int = -1
    state: int = 0
    word: int | None = None
    source_node: int = 0


def parse(frames: list[bytes]) -> Spike | Block | Line:
    """Return the checked message; raise `BadInput` saying what is wrong with it."""
    if len(frames) == 2 and frames[0] in (b"\0\0", b"\1\0"):
        raise BadInput(
            "this is the GUI's Event Broadcaster, which does not say how far the device is; add the plugin "
            "ZMQ Interface with at least one channel, and give its port"
        )
    if len(frames) not in (2, 3) or frames[0] not in (b"DATA\0", b"EVENT\0"):
        raise BadInput(f"not an Open Ephys message: {len(frames)} frames, envelope {bytes(frames[0][:20])!r}")
    if len(frames) == 3 and (match := _SPIKE.fullmatch(frames[1])) and frames[0] == b"EVENT\0":
        return _quick_spike(match, len(frames[2]))
    try:
        header = _decode(str(frames[1], "utf-8"))
    except (ValueError, RecursionError):
        raise BadInput("the JSON header is cut off or broken; the plugin cuts it when a name is not ASCII") from None
    if not isinstance(header, dict):
        raise BadInput("the JSON header is not an object")
    number = _whole(header.get("message_num", header.get("message_no")), "the JSON header has no usable 'message_num'")
    kind = header.get("type")
    if kind not in ("data", "event", "spike"):
        raise BadInput(f"unknown type {str(kind)[:40]!r}")
    if (kind == "data") != (frames[0] == b"DATA\0"):
        raise BadInput(f"type '{kind}' in an envelope {frames[0]!r}")
    payload = frames[2] if len(frames) == 3 else b""
    if kind == "data":
        return _block(number, header, len(payload))
    return _spike(number, header, len(payload)) if kind == "spike" else _line(number, header, payload)


def _whole(value: Any, sentence: str, largest: int = MAX_NUMBER) -> int:
    if type(value) is not int or not 0 <= value < largest:
        raise BadInput(sentence)
    return value


def _body(header: dict, key: str, sentence: str) -> dict:
    body = header.get(key)
    if not isinstance(body, dict):
        raise BadInput(sentence)
    return body


def _block(number: int, header: dict, n_bytes: int) -> Block:
    sentence = "continuous data without a usable 'num_samples' and 'sample_num'"
    content = _body(header, "content", sentence)
    first = _whole(content.get("sample_num", content.get("timestamp")), sentence)
    samples = _whole(content.get("num_samples", content.get("n_samples")), sentence)
    channels = _whole(content.get("n_channels", 1), sentence, 10_000)
    rate: Any = content.get("sample_rate", content.get("sampling_rate"))
    if type(rate) not in (int, float) or not 100 <= rate <= 1e6:
        raise BadInput(f"continuous data with a sample rate of {str(rate)[:30]}")
    if samples > MAX_BLOCK_S * rate:
        raise BadInput(f"a block of {samples} samples is longer than {MAX_BLOCK_S:g} s")
    if n_bytes != 4 * samples * channels or header.get("data_size") != n_bytes:
        raise BadInput(f"{samples} samples announced, {n_bytes} bytes came")
    real = _whole(content.get("n_real_samples", samples), sentence)  # up to 0.2 blocks are filled up to one size
    return Block(number, _text(content.get("stream")), first, min(real, samples), float(rate))


def _spike(number: int, header: dict, n_bytes: int) -> Spike:
    sentence = "a spike without a usable 'sample_num' and 'electrode'"
    spike = _body(header, "spike", "a spike without its body 'spike'")
    sample = _whole(spike.get("sample_num", spike.get("timestamp")), sentence)
    electrode = spike.get("electrode", spike.get("electrode_id"))
    if type(electrode) is int:
        electrode = f"Electrode {electrode}"
    if not isinstance(electrode, str):
        raise BadInput(sentence)
    sorted_id = spike.get("sorted_id", 0 if "electrode_id" in spike else None)
    if type(sorted_id) is not int:
        raise BadInput("a spike without a 'sorted_id'")
    channels, samples = (spike.get(f"num_{what}", spike.get(f"n_{what}")) for what in ("channels", "samples"))
    _check_waveform(channels, samples, 4 * n_bytes if "electrode_id" in spike else n_bytes)
    return Spike(number, _text(spike.get("stream")), electrode[:200], sorted_id, sample)


def _quick_spike(match: re.Match[bytes], n_bytes: int) -> Spike:
    number, stream, _, electrode, sample, channels, samples, sorted_id = match.groups()
    _check_waveform(int(channels), int(samples), n_bytes)
    return Spike(int(number), stream.decode(), electrode.decode(), int(sorted_id), int(sample))


def _check_waveform(channels: Any, samples: Any, n_bytes: int) -> None:
    whole = type(channels) is int and type(samples) is int and 0 < channels < 100_000 and 0 < samples < 100_000
    if not whole or n_bytes != 4 * channels * samples:
        raise BadInput(f"a waveform of {str((channels, samples))[:40]} announced, {n_bytes} bytes came")


def _line(number: int, header: dict, payload: bytes) -> Line:
    if header.get("data_size") != len(payload):
        raise BadInput(f"an event of {str(header.get('data_size'))[:20]} bytes announced, {len(payload)} came")
    content = header.get("content")
    if not isinstance(content, dict):
        return Line(number, "", -1)
    sample = content.get("timestamp", content.get("sample_num"))  # up to 0.2 sample_num is the place in the block
    if type(sample) is not int or not 0 <= sample < MAX_NUMBER:
        return Line(number, "", -1)
    node = content.get("source_node", 0)
    line = Line(number, _text(content.get("stream")), sample, source_node=node if type(node) is int else 0)
    if type(content.get("event_channel")) is int:
        line.line, line.state = content["event_channel"], int(bool(content.get("event_id")))
    elif len(payload) >= 2:  # line, state, and from 0.3 on the word of all lines
        line.line, line.state = payload[0], int(bool(payload[1]))
        line.word = int.from_bytes(payload[2:10], "little") if len(payload) >= 10 else None
    return line


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""
