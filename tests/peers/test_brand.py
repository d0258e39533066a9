"""A session on a real redis-server that a BRAND node writes to, told nothing but the stream's name."""

import sys

import numpy as np
import pytest
import redis

from tests.peers.live import BEFORE_S, MOST_STALE, SECONDS, in_real_time, session, shown, unaccounted
from tests.sources.redis_server import server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 300)]


def test_crossings_every_millisecond(processes, tmp_path):
    program, log = __file__.replace("test_brand.py", "brand_node.py"), tmp_path / "sent.npy"
    with server() as port:
        arguments = [port, "thresholdExtraction", 16, SECONDS + BEFORE_S, log]
        node = processes.start("node", [sys.executable, program, *arguments])
        in_real_time(node.pid, redis.Redis(port=port).info()["process_id"])
        options = [f"source.address=redis://127.0.0.1:{port}", "source.options.stream=thresholdExtraction"]
        result, recording = session("redis", tmp_path, *options, "session.units=16")
        node.terminate()
        node.wait(30)
    given, stale = shown("BRAND, 1 ms, 16 channels", result, recording)
    assert stale.mean() < MOST_STALE, result["source"]
    assert given["counts"][~stale].mean() / 0.005 == pytest.approx(20.0, rel=0.05)
    assert abs(unaccounted(result, given, stale, np.load(log), 0.005)) <= 5, result["source"]
    told = [event["text"] for _, event in recording.messages("event") if event["name"] == "source-told"]
    assert any("reading 'crossings'" in text for text in told) and any("read as int16" in text for text in told)
    assert any("come every 1 ms" in text for text in told) and result["source"]["refusals"] == []
