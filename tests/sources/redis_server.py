"""A real Redis server of our own for a test, or a skip with the reason."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest


@contextlib.contextmanager
def server():
    """Yield the port of a Redis server that lives as long as the block."""
    pytest.importorskip("redis", reason="the package redis is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine (apt-get install redis-server)")
    import redis

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = redis.Redis(port=port)
        try:
            for _ in range(200):
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    break
                time.sleep(0.02)
            yield port
        finally:
            client.close()
            process.terminate()
            process.wait()
