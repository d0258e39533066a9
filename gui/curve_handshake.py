"""Why a runtime does not let this window in: the handshake of an encrypted connection, watched and explained."""

from __future__ import annotations

import pathlib

import zmq
from zmq.utils.monitor import recv_monitor_message

from bmi_runtime.security import secure_client

EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class HandshakeMonitor:
    """One connected socket, and why it was turned away.

    Parameters
    ----------
    socket : zmq.Socket
        Not connected yet.
    address : str
    keys : str
        Folder with ``server.key`` and one's own ``*.key_secret``; empty for none.
    role : {"client", "operator"}
        Whose key is used.

    Attributes
    ----------
    reason : str
        Why the runtime does not let this window in; empty while it does, or nothing is known.

    Raises
    ------
    BadInput
        When the address is reachable from other machines and there are no keys, or they cannot be read.
    """

    def __init__(self, socket: zmq.Socket, address: str, keys: str, role: str):
        self.address, self.keys, self.role, self.reason = address, keys, role, ""
        self._socket = socket
        secure_client(socket, address, keys, "--keys", role)
        self._monitor = socket.get_monitor_socket(EVENTS)
        self._monitor.linger = 0

    def poll(self) -> bool:
        """Follow what happened in the handshake; return whether anything did."""
        happened = False
        while self._monitor.poll(0):
            self.reason, happened = self._as_text(recv_monitor_message(self._monitor)["event"]), True
        return happened

    def _as_text(self, event: int) -> str:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return ""
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return (
                f"the runtime at {self.address} does not admit the {self.role}.key_secret in {self.keys}: its public "
                f"key must lie in the runtime's admitted/{self.role}s when the session starts"
            )
        if not self.keys:
            return (
                f"the runtime at {self.address} encrypts: give this window --keys FOLDER with copies of its server.key "
                "and of your client.key_secret or operator.key_secret"
            )
        return (
            f"the keys in {self.keys} do not fit the runtime at {self.address}: its server.key is another one, or it "
            "does not encrypt (then leave --keys out)"
        )

    def close(self) -> None:
        """Stop watching, and close the socket."""
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()


def roles(keys: str) -> tuple[str, bool]:
    """Return whose key watches (``client``, or ``operator`` when there is no other), and whether commands can be sent.

    Without keys everything is open, on this machine.
    """
    folder = pathlib.Path(keys)
    own = {role for role in ("client", "operator") if (folder / f"{role}.key_secret").exists()}
    watching = "operator" if own == {"operator"} else "client"
    return watching, not keys or "operator" in own
