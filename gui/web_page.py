"""A page for a browser, read-only: a process of its own between telemetry and HTTP. It has no way to send a command.

The page itself holds nothing of the session. Its script asks for the state with a token, which stands behind the # of
the address, where no server and no log sees it.
"""

from __future__ import annotations

import argparse
import hmac
import http.server
import ipaddress
import json
import pathlib
import secrets
import ssl
import sys
import threading
import time

from bmi_runtime.errors import BadInput, BmiError
from gui import web_state
from gui.alarms import Alarms
from gui.client import CONTROL, TELEMETRY, Client
from gui.link import Link
from gui.store import Store

PAGE = pathlib.Path(__file__).parent / "web" / "page.html"
LIVE_HZ, CURVES_HZ = 15.0, 1.0  # of messages to a browser
WRONG_TOKEN_S = 0.5  # what a guess costs
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Board:
    """The newest answers, as bytes; written by one thread, read by those that serve."""

    def __init__(self):
        self.answers = {"/live.json": b"{}", "/curves.json": b"{}"}

    def put(self, path: str, content: dict) -> None:
        """Put another answer in the place of the one before."""
        self.answers[path] = json.dumps(content, separators=(",", ":")).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET: the page, and with the token its two pieces of JSON. Nothing else is answered."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        """Answer a request."""
        path = self.path.partition("?")[0]
        asked_for = self.headers.get("Host", "").rpartition(":")[0]
        if self.server.local and asked_for not in LOCAL_NAMES:  # another name was bent to this address
            self._answer(421, b"this page is only for this machine", "text/plain")
        elif path == "/":
            self._answer(200, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path not in self.server.board.answers:
            self._answer(404, b"there is nothing here", "text/plain")
        elif not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.bearer):
            time.sleep(WRONG_TOKEN_S)
            self._answer(401, b"the token is wrong", "text/plain")
        else:
            self._answer(200, self.server.board.answers[path], "application/json")

    def _answer(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        for name, value in (HEADERS | {"Content-Type": kind, "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Log nothing: the terminal is the operator's."""


class Server(http.server.ThreadingHTTPServer):
    """The server of one page.

    Parameters
    ----------
    address : (str, int)
    token : str
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], token: str):
        super().__init__(address, Handler)
        self.board, self.bearer = Board(), f"Bearer {token}".encode()
        self.local = ipaddress.ip_address(address[0]).is_loopback


def parsed(address: str, keys: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises
    ------
    BadInput
        When it is no address, or one that other machines reach and there is no folder of keys with a certificate.
    """
    host, _, port = address.rpartition(":")
    host = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(host, host)
    try:
        local = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError:
        raise BadInput(
            f"--browser takes HOST:PORT with a numeric host, for example 127.0.0.1:8580, got '{address}'"
        ) from None
    if not 0 <= number < 65536:
        raise BadInput(f"--browser: a port lies between 0 and 65535, got {number}")
    if not local and not (keys and certificate(keys).exists()):
        raise BadInput(
            f"--browser {address} can be reached from other machines: it needs --keys FOLDER with page.pem in it, a "
            "certificate and its key (openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=bmi -keyout k.pem "
            "-out c.pem; cat k.pem c.pem > FOLDER/page.pem); without keys take 127.0.0.1"
        )
    return host, number


def certificate(keys: str) -> pathlib.Path:
    """Return where the page's certificate lies in a folder of keys."""
    return pathlib.Path(keys) / "page.pem"


def follow(link: Link, board: Board, stop: threading.Event) -> None:
    """Keep the answers new until told to stop."""
    alarms, next_curves_s = Alarms(), 0.0
    while not stop.wait(1.0 / LIVE_HZ):
        link.tick()
        now_s = link.now_s()
        alarms.update(link.store, now_s)
        board.put("/live.json", web_state.live(link.store, alarms, now_s))
        if now_s >= next_curves_s:
            next_curves_s = now_s + 1.0 / CURVES_HZ
            board.put("/curves.json", web_state.curves(link.store))


def serve(address: str, telemetry: str = TELEMETRY, control: str = CONTROL, keys: str = "", token: str = "") -> int:
    """Serve the page until interrupted; its address, with the token, is printed."""
    host, port = parsed(address, keys)
    token = token or secrets.token_urlsafe(16)
    client = Client(telemetry, control, keys)
    client.may_command = False  # what this process cannot do, nobody can do through it
    link, stop = Link(Store(), client), threading.Event()
    try:
        server = Server((host, port), token)
    except OSError as error:
        raise BmiError(f"the page cannot be served at {host}:{port} ({error.strerror})") from None
    scheme = "http"
    if keys and certificate(keys).exists():
        context, scheme = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "https"
        context.load_cert_chain(certificate(keys))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"open {scheme}://{host}:{server.server_port}/#{token}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        follow(link, server.board, stop)
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()
        link.close()
    return 0


def main(given: list[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m gui.web_page", description="The read-only page of a session.")
    parser.add_argument("--address", default="127.0.0.1:8580")
    parser.add_argument("--telemetry", default=TELEMETRY)
    parser.add_argument("--control", default=CONTROL)
    parser.add_argument("--keys", default="")
    options = parser.parse_args(given)
    try:
        return serve(options.address, options.telemetry, options.control, options.keys)
    except BmiError as error:
        print(f"bmi gui: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
