"""CURVE keys: sockets off loopback are encrypted and know their clients, or are not opened at all."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import threading

import zmq
from zmq.utils import z85

from bmi_runtime.errors import BadInput

ADMITTED = {"client": "admitted/clients", "operator": "admitted/operators"}
"""Where the public keys of those lie who are let in, by role."""


def is_loopback(address: str) -> bool:
    """Return whether a ZeroMQ address stays on this machine."""
    transport, _, rest = address.partition("://")
    if transport in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].partition(";")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keys(folder: str, name: str, key: str) -> tuple[bytes, bytes | None]:
    path = pathlib.Path(folder) / name
    if name.endswith("_secret"):
        check_private(path, key)
    try:
        return _certificate(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{key}: the key {name} cannot be read from telemetry.key_folder = '{folder}' ({error}); make keys with: "
            f"bmi keys {folder or 'FOLDER'}"
        ) from None


def _certificate(path: pathlib.Path) -> tuple[bytes, bytes | None]:
    """Return the public and the secret key of a file; raise `OSError` or `ValueError` when it holds none."""
    from zmq.auth import load_certificate

    public, secret = load_certificate(path)
    for found in (public, secret):
        if found is not None and len(z85.decode(found)) != KEY_BYTES:
            raise ValueError(f"a key is {KEY_BYTES} bytes long")
    return public, secret


KEY_BYTES = 32
OTHERS_MAY_READ, OTHERS_MAY_WRITE = 0o077, 0o022


def check_private(path: pathlib.Path, key: str) -> None:
    """Refuse a secret key that others may read, or that lies where others may put another one (as ssh does).

    Raises
    ------
    BadInput
        Naming the file or folder, its mode, and the command that mends it.
    """
    for place, forbidden, wanted in ((path, OTHERS_MAY_READ, "600"), (path.parent, OTHERS_MAY_WRITE, "700")):
        try:
            found = place.stat()
        except OSError:
            return  # whoever reads it says so
        if found.st_uid not in (0, os.getuid()):
            raise BadInput(f"{key}: {place} belongs to another user, so what is in it cannot be trusted")
        if found.st_mode & forbidden:
            raise BadInput(
                f"{key}: the mode of {place} is {found.st_mode & 0o777:o}, so others can "
                f"{'read the secret key' if forbidden == OTHERS_MAY_READ else 'replace the keys'}; "
                f"chmod {wanted} {place}"
            )


def check_address(address: str, key: str) -> None:
    """Raise `BadInput` for what is no address of ZeroMQ: it takes port 99999 for another one without a word."""
    transport, separator, rest = address.partition("://")
    if not separator or transport not in ("tcp", "ipc", "inproc") or not rest:
        raise BadInput(f"{key} = {address[:80]!r} is not an address such as tcp://127.0.0.1:5571 or ipc:///path")
    port = rest.rpartition(":")[2]
    if transport == "tcp" and port not in ("*", "!") and not (port.isdecimal() and 0 < int(port) < 65536):
        raise BadInput(f"{key} = {address[:80]!r}: a TCP port is a number from 1 to 65535, got {port[:20]!r}")


def _needs_keys(address: str, folder: str, key: str) -> bool:
    check_address(address, key)
    if folder:
        return not address.startswith(("ipc://", "inproc://"))
    if is_loopback(address):
        return False
    raise BadInput(
        f"{key} = {address} is reachable from other machines, which needs keys: make them with 'bmi keys FOLDER' "
        "and set telemetry.key_folder, or use 127.0.0.1"
    )


def secure_server(socket: zmq.Socket, address: str, folder: str, key: str, role: str = "client") -> None:
    """Prepare a socket that will bind: with keys it is encrypted and admits only known clients.

    Parameters
    ----------
    socket : zmq.Socket
    address : str
    folder : str
        Made by ``bmi keys``; empty: no keys, and loopback addresses only.
    key : str
        Of the configuration, for the error.
    role : {"client", "operator"}
        Whose public keys are admitted.

    Raises
    ------
    BadInput
        When the address is not loopback and there are no keys, or the keys cannot be read.
    """
    if not _needs_keys(address, folder, key):
        return
    socket.curve_publickey, socket.curve_secretkey = _keys(folder, "server.key_secret", key)
    socket.curve_server = True
    socket.zap_domain = role.encode()
    admit(socket.context, folder)


def secure_client(socket: zmq.Socket, address: str, folder: str, key: str, role: str = "client") -> None:
    """Prepare a socket that will connect; raises as :func:`secure_server` does."""
    if not _needs_keys(address, folder, key):
        return
    socket.curve_publickey, socket.curve_secretkey = _keys(folder, f"{role}.key_secret", key)
    socket.curve_serverkey = _keys(folder, "server.key", key)[0]


def admit(context: zmq.Context, folder: str) -> Doorkeeper:
    """Return the doorkeeper of this context, started if need be, who from now on admits the keys in this folder too."""
    with _LOCK:
        keeper = _DOORKEEPERS.get(id(context))
        if keeper is None or keeper.context.closed:
            keeper = _DOORKEEPERS[id(context)] = Doorkeeper(context)
        keeper.learn(folder)
        return keeper


class Doorkeeper:
    """Answers ZeroMQ's question whether a CURVE client may come in (the ZAP protocol, RFC 27), in a sleeping thread.

    The domain of a socket is the role that its clients need: ``client`` (data, telemetry, output; operators may, too)
    or ``operator`` (commands).

    Attributes
    ----------
    refused, admitted : int
        Clients so far.
    """

    def __init__(self, context: zmq.Context):
        self.context = context
        self.known: dict[str, set[bytes]] = {role: set() for role in ADMITTED}
        self.refused = self.admitted = 0
        # Through a shadow: `context.destroy()` closes the sockets it knows, but never may one that a thread sleeps in.
        shadow: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(context)
        self.socket = shadow.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        threading.Thread(target=self._run, name="doorkeeper", daemon=True).start()

    def learn(self, folder: str) -> None:
        """Admit everyone whose public key lies in the folder."""
        for role, subfolder in ADMITTED.items():
            for file in sorted((pathlib.Path(folder) / subfolder).glob("*.key")):
                try:
                    self.known[role].add(_certificate(file)[0])
                except (OSError, ValueError) as error:
                    raise BadInput(f"{file} is not a public key ({error}); take it away, or put a whole one") from None
        self.known["client"] |= self.known["operator"]

    def _run(self) -> None:
        while True:
            try:
                frames = self.socket.recv_multipart()
                self.socket.send_multipart(self._answer(frames))
            except zmq.ContextTerminated:
                self.socket.close()
                return
            except zmq.ZMQError:
                return

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        version, request, domain, _, _, mechanism, *credentials = frames
        known = self.known.get(domain.decode("ascii", "replace"), set())
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        welcome = key in known
        self.admitted += welcome
        self.refused += not welcome
        status = (b"200", b"OK") if welcome else (b"400", b"this key is not admitted")
        return [version, request, *status, key, b""]


_DOORKEEPERS: dict[int, Doorkeeper] = {}
_LOCK = threading.Lock()


def refused_clients() -> int:
    """Return how many unknown clients knocked on any socket of this process."""
    return sum(keeper.refused for keeper in _DOORKEEPERS.values())


def make_keys(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Make the keys of a server, a client and an operator; return the files.

    Raises
    ------
    BadInput
        When the folder holds keys already (they are never overwritten), or cannot be written.
    """
    from zmq.auth import create_certificates

    path = pathlib.Path(folder)
    if list(path.glob("*.key*")):
        raise BadInput(f"{path} holds keys already; give another folder, or delete it if nobody uses them")
    try:
        if path.exists() and path.stat().st_mode & OTHERS_MAY_WRITE:
            raise BadInput(f"others may write into {path}, so keys do not belong there; give a folder of your own")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = [pathlib.Path(file) for name in ("server", *ADMITTED) for file in create_certificates(path, name)]
        for role, subfolder in ADMITTED.items():
            (path / subfolder).mkdir(parents=True)
            public = path / f"{role}.key"
            files.append(public.rename(path / subfolder / public.name))
    except OSError as error:
        raise BadInput(f"keys cannot be written to {path} ({error.strerror})") from None
    files = [file for file in files if file.exists()]
    for file in files:
        file.chmod(0o600)
    return files
