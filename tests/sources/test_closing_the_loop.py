"""Two real processes: `bmi simulate` in one, `bmi run` in the other, and targets are reached."""

import json
import socket
import subprocess
import sys

import pytest

from simulators.standins import STANDINS

ENOUGH_S = 8.0  # about two seconds a target
BMI = (sys.executable, "-m", "bmi_runtime.cli.main")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports


def settings(ports):
    base, _, publish, control, output = ports
    return [
        *("--set", f"source.address=tcp://127.0.0.1:{base}"),
        *("--set", f"telemetry.publish_address=tcp://127.0.0.1:{publish}"),
        *("--set", f"telemetry.control_address=tcp://127.0.0.1:{control}"),
        *("--set", f"telemetry.output_address=tcp://127.0.0.1:{output}"),
        *("--set", "session.units=64"),
        *("--set", "realtime.max_wait_s=0.05"),  # the machine that runs the tests may be busy
    ]


def close_the_loop(name, folder, simulate=(), run=()):
    """Return the answers of `bmi simulate` and `bmi run`, and what `bmi replay` says of the recording."""
    common = settings(free_ports(5))
    simulator = subprocess.Popen(
        [*BMI, "simulate", "--as", name, "--seed", "3", "--json", *common, *simulate],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    recording = folder / "live.mcap"
    try:
        command = [*BMI, "run", "--source", name, "--headless", "--duration", f"{ENOUGH_S}", "--seed", "3"]
        done = subprocess.run(
            [*command, "--record", str(recording), "--json", *common, *run], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    finally:
        simulator.terminate()
        out, err = simulator.communicate(timeout=10)
    assert simulator.returncode == 0, err
    replay = subprocess.run([*BMI, "replay", str(recording), "--verify", "--json"], capture_output=True, text=True)
    answers = [json.loads(text.strip().splitlines()[-1]) for text in (out, done.stdout, replay.stdout)]
    return *answers, recording


FAST = ("zeromq", "open-ephys")
EVERY = [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in sorted(STANDINS)]


@pytest.mark.parametrize("name", EVERY)
def test_targets_are_reached_through_another_process(name, tmp_path):
    if name == "lsl":
        pytest.importorskip("pylsl", reason="pylsl is not installed", exc_type=(ImportError, RuntimeError))
    if name == "redis":
        from tests.sources.redis_server import server

        with server() as port:
            address = ["--set", f"source.address=redis://127.0.0.1:{port}"]
            sent, result, replayed, _ = close_the_loop(name, tmp_path, address, address)
    else:
        sent, result, replayed, _ = close_the_loop(name, tmp_path)
    assert sent["messages"] > 0 and sent["spikes"] > 1000
    assert result["bins"] == round(ENOUGH_S / 0.005)
    assert result["successes"] >= 2, result
    assert replayed["identical"] and replayed["bins"] == result["bins"]
