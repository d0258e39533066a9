"""Keeps a store fed by a client: one call per frame."""

from __future__ import annotations

import time
from typing import Any

from gui.client import Client
from gui.store import Store

ASK_AGAIN_S = 1.0  # for the state of the session, until it comes
UNSEEN_S = 0.5  # since the last look: what came later is not missing, only not taken in yet


class Link:
    """Moves telemetry from a client into a store, and asks for the whole state when it is needed.

    Parameters
    ----------
    store : Store
    client : Client or None
        None: nothing arrives (pictures from a command).
    """

    def __init__(self, store: Store, client: Client | None):
        self.store, self.client = store, client
        self._asked_s = self._looked_s = -10.0
        self._refused = 0
        self._locked_out = ""

    def now_s(self) -> float:
        """Return the time that ages are measured against.

        It does not run on while a window that is held up looks at nothing: what came meanwhile waits to be taken in.
        """
        if self.client is None:
            return self.store.last_s
        now_s = time.monotonic()
        return min(now_s, self._looked_s + UNSEEN_S) if self._looked_s > 0.0 else now_s

    def tick(self) -> None:
        """Take what has arrived, send what is waiting."""
        if self.client is None:
            return
        now_s = self._looked_s = time.monotonic()
        for stream, message in self.client.receive():
            if stream == "configuration" and self.store.needs_hello and not self.client.may_command:
                self.store.hello(message, now_s)  # who may not ask is told every other second
            self.store.receive(stream, message, now_s)
        self.store.watching = not self.client.may_command
        if self.client.refused != self._refused:
            self._refused = self.client.refused
            self.store.problem(self.client.problem)
        if self.client.locked_out != self._locked_out:
            self._locked_out = self.client.locked_out
            if self._locked_out:
                self.store.problem(self._locked_out)
        if self.store.needs_hello and self.client.may_command and now_s - self._asked_s > ASK_AGAIN_S:
            self.ask_hello()
        self.client.poll()

    def ask_hello(self) -> None:
        """Ask the runtime for its whole state."""
        self._asked_s = time.monotonic()
        self.client.send({"get": "hello"}, self._answered)

    def _answered(self, answer: dict[str, Any]) -> None:
        if answer.get("ok"):
            self.store.hello(answer, time.monotonic())
            if not self.store.needs_hello:
                self._asked_s = -10.0
        elif "version" in answer.get("error", ""):
            self.store.problem(answer["error"])

    def send(self, command: dict[str, Any], answered=None) -> None:
        """Send a command to the runtime."""
        if self.client is None:
            if answered:
                answered({"ok": False, "error": "there is no runtime behind this picture"})
            return
        self.client.send(command, answered)

    def connect(self, client: Client) -> None:
        """Turn to another runtime or replay; everything shown so far is forgotten."""
        if self.client:
            self.client.close()
        self.client, self._refused, self._asked_s, self._locked_out = client, 0, -10.0, ""
        self._looked_s = -10.0
        self.store.start_over()

    def close(self) -> None:
        """Close the client; a frame that is still due finds nothing to take in."""
        if self.client:
            self.client.close()
            self.client = None
