"""Which packets' times are believed: one that nothing agrees with moves no bin, a jump of the clock begins again."""

from __future__ import annotations

from bmi_runtime.sources.clock import ClockFit
from bmi_runtime.sources.packet import Packet


class TimeGuard:
    """Judges the time of each packet by the clock fit.

    A packet that is earlier than the clock allows, or far behind the one before, is *suspect*: it is kept until the
    next one. When that one agrees with it, the device's clock has jumped; otherwise its time stamp was wrong.

    Parameters
    ----------
    clock : ClockFit

    Attributes
    ----------
    suspect : Packet or None
        The packet that is kept.
    """

    def __init__(self, clock: ClockFit):
        self.clock = clock
        self.suspect: Packet | None = None

    def believable(self, packet: Packet, residual_ns: int, newest_ns: int) -> bool:
        """Return whether a packet's time can be true.

        Parameters
        ----------
        packet : Packet
        residual_ns : int
            How much later than the fit it came.
        newest_ns : int
            How far packets have come.
        """
        backward = packet.in_order and packet.until_ns < newest_ns - self.clock.jump_ns
        return not backward and not self.clock.ahead(residual_ns)

    def agrees(self, packet: Packet) -> bool:
        """Return whether a packet continues the suspect one: then both are right, and the clock has jumped."""
        suspect = self.suspect
        if suspect is None or packet.until_ns <= suspect.until_ns:
            return False
        difference = (packet.host_ns - packet.until_ns) - (suspect.host_ns - suspect.until_ns)
        return abs(difference) < self.clock.jump_ns
