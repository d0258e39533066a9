"""How tests start a session, and where it may listen."""

import socket
import sys

BMI = [sys.executable, "-m", "bmi_runtime.cli.main"]
NO_OUTPUT = ["--set", "telemetry.output_address=''"]  # its default port is for one session at a time
KEPT = []  # windows that a test holds no longer: one that Python lets go of while events wait for it crashes Qt
RUN = [*BMI, "run", "--headless", *NO_OUTPUT]


def free_addresses(count=2):
    """Return addresses that nothing listens to."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
