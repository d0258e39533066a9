"""A session on a real redis-server that a BRAND node writes to, told nothing but the stream's name."""

import json
import subprocess
import sys

import pytest

from bmi_runtime.recording.reader import Recording
from tests.sources.redis_server import server
from tests.sources.test_closing_the_loop import BMI, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = 30


def test_crossings_every_millisecond(processes, tmp_path):
    program = __file__.replace("test_brand.py", "brand_node.py")
    with server() as port:
        processes.start("node", [sys.executable, program, port, "thresholdExtraction", 16, SECONDS + 60])
        publish, control, output = free_ports(3)
        ports = {"publish": publish, "control": control, "output": output}
        settings = [f"telemetry.{name}_address=tcp://127.0.0.1:{number}" for name, number in ports.items()]
        settings += [
            f"source.address=redis://127.0.0.1:{port}",
            "source.options.stream=thresholdExtraction",
            "session.units=16",
        ]
        command = [*BMI, "run", "--headless", "--source", "redis", "--duration", str(SECONDS), "--json"]
        command += ["--record", str(tmp_path / "s.mcap"), *(part for text in settings for part in ("--set", text))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    result, recording = json.loads(done.stdout.strip().splitlines()[-1]), Recording(tmp_path / "s.mcap")
    given = recording.steps()["input"]
    stale = given["stale"] > 0
    assert stale.mean() < 0.005, result["source"]
    assert given["counts"][~stale].mean() / 0.005 == pytest.approx(20.0, rel=0.05)
    told = [event["text"] for _, event in recording.messages("event") if event["name"] == "source-told"]
    assert any("reading 'crossings'" in text for text in told) and any("read as int16" in text for text in told)
    assert any("come every 1 ms" in text for text in told) and result["source"]["refusals"] == []
