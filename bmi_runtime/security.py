"""CURVE keys: sockets off loopback are encrypted and know their clients, or are not opened at all."""

from __future__ import annotations

import ipaddress
import os
import pathlib

import zmq

from bmi_runtime.errors import BadInput


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
    from zmq.auth import load_certificate

    try:
        return load_certificate(pathlib.Path(folder) / name)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{key}: the key {name} cannot be read from telemetry.key_folder = '{folder}' ({error}); make keys with: "
            f"bmi keys {folder or 'FOLDER'}"
        ) from None


def _needs_keys(address: str, folder: str, key: str) -> bool:
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


def admit(context: zmq.Context, folder: str) -> None:
    """Make the context ask who connects (done properly by `Doorkeeper`)."""
    raise NotImplementedError(os.fspath(folder))
