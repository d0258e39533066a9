"""Blackrock's UDP packets, checked: protocols 3.11, 4.0 and 4.1 / 4.2; spikes, digital inputs, comments."""

from __future__ import annotations

import dataclasses
import struct

from bmi_runtime.errors import BadInput

HEADERS = {
    "3.11": struct.Struct("<IHBB"),  # time, chid, type, dlen
    "4.0": struct.Struct("<QHBHB2B"),  # time, chid, type, dlen, instrument, reserved
    "4.1": struct.Struct("<QHHHBB"),  # time, chid, type, dlen, instrument, reserved
    "4.2": struct.Struct("<QHHHBB"),
}
"""The header of a packet in each protocol."""
CONFIGURATION = 0x8000  # channel of packets about the system itself
HEARTBEAT, MONITOR, COMMENT = 0, 1, 0x31  # types of packets on that channel
NOISE = 255  # sorted unit of what is not a spike
SPIKE_CHANNELS = 256  # the front-end channels 1 to 256
DIGITAL_BYTES = 12  # of a digital input: value, bits that changed, kind of event; no spike is as short
LAST_CHANNEL = 1024  # digital and serial inputs lie up to here
_DIGITAL = struct.Struct("<3I")


@dataclasses.dataclass(slots=True)
class RawPacket:
    """One packet: its header's fields and its body. `instrument` is as sent, from 0 (0 in 3.11, which has none)."""

    time: int
    chid: int
    type: int
    body: memoryview
    instrument: int = 0

    @property
    def spike(self) -> bool:
        """Whether this is a spike of a channel."""
        return 1 <= self.chid <= SPIKE_CHANNELS and len(self.body) != DIGITAL_BYTES

    @property
    def digital(self) -> tuple[int, int] | None:
        """Value and changed bits of a digital input, or None."""
        if not 1 <= self.chid <= LAST_CHANNEL or len(self.body) != DIGITAL_BYTES:
            return None
        value, changed, _ = _DIGITAL.unpack(self.body)
        return value, changed

    def comment(self, protocol: str) -> str | None:
        """Return the text of a comment, or None for another packet."""
        if self.chid != CONFIGURATION or self.type != COMMENT:
            return None
        text = bytes(self.body[8 if protocol == "3.11" else 16 :])
        wide = bool(self.body) and self.body[0] == 1
        return text.decode("utf-16-le" if wide else "latin-1", "replace").split("\0")[0][:500]


def packets(datagram: bytes, protocol: str) -> list[RawPacket]:
    """Return the packets of a datagram.

    Raises
    ------
    BadInput
        When the lengths in the headers do not add up to the datagram, or a spike has an impossible body.
    """
    header, view, position, found = HEADERS[protocol], memoryview(datagram), 0, []
    while position < len(view):
        if len(view) - position < header.size:
            raise BadInput(f"a datagram ends {len(view) - position} bytes into a header of {header.size}")
        time_, chid, kind, dlen, *rest = header.unpack_from(view, position)
        end = position + header.size + 4 * dlen
        if end > len(view):
            raise BadInput(f"a packet of {4 * dlen} bytes is cut off after {len(view) - position - header.size}")
        body = view[position + header.size : end]
        packet = RawPacket(time_, chid, kind, body, rest[0] if rest else 0)
        _check(packet)
        found.append(packet)
        position = end
    if not found:
        raise BadInput("an empty datagram")
    return found


def _check(packet: RawPacket) -> None:
    size = len(packet.body)
    if packet.spike and (not 16 <= size <= 1024 or (packet.type > 16 and packet.type != NOISE)):
        raise BadInput(f"a spike of {size} bytes, unit {packet.type}, is impossible")
    if packet.chid & CONFIGURATION and packet.type == MONITOR and size < 4:
        raise BadInput("a protocol monitor packet without its number")


def fitting_protocols(datagram: bytes) -> list[str]:
    """Return the protocols whose layout a datagram fits, told by a body of a plausible kind in each packet."""
    fits = []
    for protocol in HEADERS:
        try:
            found = packets(datagram, protocol)
        except BadInput:
            continue
        if all(packet.spike or packet.digital or packet.chid == CONFIGURATION or packet.chid == 0 for packet in found):
            fits.append(protocol)
    return fits
