"""The sender and the receiver of docs/wire.md, as they stand there, against a real `bmi run`."""

import pathlib
import re
import subprocess
import sys

from tests.sources.test_closing_the_loop import BMI, free_ports

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "wire.md"


def programs():
    sender, receiver = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    return sender, receiver


def test_they_are_short():
    for program in programs():
        assert len([line for line in program.splitlines() if line.strip() and not line.startswith("import")]) <= 20


def test_a_pasted_sender_drives_a_session_and_a_pasted_receiver_follows_it(tmp_path):
    source, publish, control, output = free_ports(4)
    sender, receiver = programs()
    sender = sender.replace("5571", str(source)).replace("range(400)", "range(100_000)")
    receiver = receiver.replace("5583", str(output))
    settings = {
        "source.address": f"tcp://127.0.0.1:{source}",
        "telemetry.publish_address": f"tcp://127.0.0.1:{publish}",
        "telemetry.control_address": f"tcp://127.0.0.1:{control}",
        "telemetry.output_address": f"tcp://127.0.0.1:{output}",
    }
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [*BMI, "run", "--headless", "--source", "zeromq", "--duration", "60", "--record", "none", *overrides]
    running = [
        subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for line in ([sys.executable, "-c", sender], command)
    ]
    try:
        done = subprocess.run([sys.executable, "-u", "-c", receiver], capture_output=True, text=True, timeout=60)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("bin ")]
    assert len(lines) == 100 and "lost" not in done.stdout
    numbers = [int(line.split()[1].rstrip(":")) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 100))
