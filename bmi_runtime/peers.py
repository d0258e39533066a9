"""Who is at the other end of a connection on this machine: the user that owns it (Linux)."""

from __future__ import annotations

import os
import pathlib
import socket

import zmq

TABLES = {socket.AF_INET: pathlib.Path("/proc/net/tcp"), socket.AF_INET6: pathlib.Path("/proc/net/tcp6")}
ESTABLISHED = "01"  # of all other states the kernel tells no owner
REMEMBERED = 64  # connections whose owner was looked up


def hexadecimal(address: tuple) -> str:
    """Return an address (host, port, ...) as the kernel's table of connections writes it."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    words = (packed[start : start + 4][::-1] for start in range(0, len(packed), 4))  # each word in host order
    return "".join(word.hex() for word in words).upper() + f":{address[1]:04X}"


def owner(local: tuple, remote: tuple) -> int | None:
    """Return the user id that owns the other end of a connection between these addresses, or None if nobody says.

    Parameters
    ----------
    local, remote : tuple
        As ``getsockname`` and ``getpeername`` give them on our end.
    """
    table = TABLES[socket.AF_INET6 if ":" in remote[0] else socket.AF_INET]
    theirs, ours = hexadecimal(remote), hexadecimal(local)
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[1] == theirs and fields[2] == ours and fields[3] == ESTABLISHED:
            return int(fields[7])
    return None


class PeerCheck:
    """Whether a message came from a process of our own user (or root), over TCP on this machine.

    Where the system has no table of connections (not Linux) everybody on this machine counts as ours: use an ``ipc``
    address or keys there.
    """

    def __init__(self):
        self.able = all(table.exists() for table in TABLES.values())
        self._known: dict[tuple, bool] = {}

    def is_ours(self, frame: zmq.Frame) -> bool:
        """Return whether the connection that a received frame came through is owned by our user or by root."""
        if not self.able:
            return True
        try:
            ends = _ends(frame.get(zmq.SRCFD))
        except (OSError, zmq.ZMQError):
            return False  # it is closed already, so nobody waits for an answer
        if ends not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[ends] = owner(*ends) in (0, os.getuid())
        return self._known[ends]


def _ends(descriptor) -> tuple[tuple, tuple]:
    """Return both addresses of a connection whose descriptor belongs to somebody else."""
    with socket.socket(fileno=os.dup(int(descriptor))) as connection:
        return connection.getsockname()[:2], connection.getpeername()[:2]
