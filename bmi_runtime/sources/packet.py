"""What one message of any protocol brought, ready for the bins."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(slots=True)
class Packet:
    """What one message of any protocol brought: everything between two device times.

    Attributes
    ----------
    from_ns, until_ns : int
        The message is complete for this piece of device time (the end excluded).
    host_ns : int
        Host monotonic time of its arrival.
    times_ns, units : ndarray, shape (spikes,), or None
        Spikes.
    values : ndarray, shape (units,), or None
        Counts or features.
    kinematics : ndarray, shape (2 axes,), or None
    in_order : bool
        False for a message that came after a later one.
    inside : bool
        All spikes lie between `from_ns` and `until_ns`. False where the protocol lets some lie elsewhere and says
        nothing of bins: then bins begin at whole multiples of their width on the device's clock.
    fractional : bool
        `values` are expected counts that need not be whole (a rate times its width).
    pace_ns : float or None
        What values of this stream stand for: where a whole number of them fills a bin, bins begin with them. 0: they
        are uneven. None: judged by this packet alone.
    sent_ns : int or None
        The device's clock when this was sent, where it is complete for less than that. None: `until_ns`.
    """

    from_ns: int
    until_ns: int
    host_ns: int
    times_ns: np.ndarray | None = None
    units: np.ndarray | None = None
    values: np.ndarray | None = None
    kinematics: np.ndarray | None = None
    in_order: bool = True
    inside: bool = True
    fractional: bool = False
    pace_ns: float | None = None
    sent_ns: int | None = None

    @property
    def device_ns(self) -> int:
        """What the device's clock said when this was sent."""
        return self.until_ns if self.sent_ns is None else self.sent_ns
