"""What processes beside the loop share: a question to the session over its control socket, and a low priority."""

from __future__ import annotations

import os
from typing import Any

import zmq

from bmi_runtime.errors import BmiError
from bmi_runtime.messages import pack, unpack

NICENESS = 15  # the loop and the operator's window come first
ANSWER_S = 5.0  # a loop answers within a bin; one that takes this long is not there


def ask(address: str, command: dict[str, Any], within_s: float = ANSWER_S) -> dict[str, Any]:
    """Return a session's answer to a command.

    Parameters
    ----------
    address : str
        Of its control socket.
    command : dict
        As `session.operator_commands` takes it.
    within_s : float
        How long to wait.

    Raises
    ------
    BmiError
        When no answer comes, or the session refuses.
    """
    socket: Any = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0
    try:
        socket.connect(address)
        socket.send(pack(command))
        if not socket.poll(1e3 * within_s):
            raise BmiError(f"no session answers at {address}")
        answer = unpack(socket.recv())
    finally:
        socket.close()
    if not answer.get("ok", False):
        raise BmiError(f"the session refused: {answer.get('error', answer)}")
    return answer


def stand_back() -> None:
    """Lower this process's priority, where the system has one."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
