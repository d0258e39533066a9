"""Decoded state on our own wire and on LSL: what is sent is what was decoded."""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import PLANE, StepRecord
from bmi_runtime.session.output import DecodedOutput, Outputs
from bmi_runtime.session.output_values import NoFaster, OutputValues, Thinned, default_names


def record():
    made = StepRecord(4, False)
    made.output.cursor[:] = [0.1, 0.2, 0.3, 0.4]
    made.output.decoded[:] = [0.5, 0.6, 0.7, 0.8]
    made.output.target[:] = [0.01, 0.02, 0.03]
    made.output.safety[0] = 2
    made.input.bin_index[0], made.input.device_time_s[0] = 7, 1.25
    return made


def test_what_is_sent_passes_the_wires_own_check():
    context = zmq.Context()
    output = DecodedOutput(configuration.load(None, ["telemetry.output_address='tcp://127.0.0.1:*'"]), context)
    reader = context.socket(zmq.SUB)
    reader.subscribe(b"decoded")
    reader.connect(output.publisher.socket.last_endpoint.decode())
    try:
        while not reader.poll(20):
            output.send(record())
        body = wire.decode(reader.recv_multipart(), 4).body
        assert body["cursor"] == [0.1, 0.2, 0.3, 0.4] and body["decoded"] == [0.5, 0.6, 0.7, 0.8]
        assert (body["bin"], body["device_time_s"], body["safety"], body["target"]) == (7, 1.25, 2, [0.01, 0.02, 0.03])
    finally:
        reader.close(0)
        output.close()
        context.term()


def test_an_address_in_use_is_one_sentence():
    context = zmq.Context()
    output = DecodedOutput(configuration.load(None, ["telemetry.output_address='tcp://127.0.0.1:*'"]), context)
    taken = configuration.load(None, [f"telemetry.output_address='{output.publisher.socket.last_endpoint.decode()}'"])
    with pytest.raises(BmiError, match=r"telemetry\.output_address = .* cannot be used .*another session"):
        DecodedOutput(taken, context)
    output.close()
    context.term()


def test_no_output_is_no_socket():
    outputs = Outputs(configuration.load(None, ["telemetry.output_address=''"]), None)
    outputs.send(record())
    outputs.close()
    assert outputs.parts == []


def test_lsl_carries_the_same_numbers():
    pylsl = pytest.importorskip("pylsl", reason="pylsl is not installed", exc_type=(ImportError, RuntimeError))
    config = configuration.load(None, ["telemetry.output_address=''", "telemetry.output_lsl=bmi-test-decoded"])
    outputs = Outputs(config, None)
    found = pylsl.resolve_byprop("name", "bmi-test-decoded", 1, 10.0)
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(10.0)
    sample = None
    for _ in range(100):
        outputs.send(record())
        sample, _ = inlet.pull_sample(0.1)
        if sample:
            break
    named = dict(zip(default_names(PLANE), sample, strict=True))
    np.testing.assert_array_equal([named["cursor_x"], named["decoded_vy"], named["target_radius"]], [0.1, 0.8, 0.03])
    assert named["safety_state"] == 2.0
    inlet.close_stream()
    outputs.close()


def test_chosen_values_in_their_order_and_unit():
    chosen = 'output.values=["safety_state", "cursor_vy", "decoded_x", "target_radius", "bin_index"]'
    values = OutputValues(configuration.load(None, [chosen, "output.unit=mm"]))
    assert values.labels == {
        "safety_state": "", "cursor_vy": "mm/s", "decoded_x": "mm", "target_radius": "mm", "bin_index": "",
    }  # fmt: skip
    np.testing.assert_allclose(values.of(record()), [2, 400, 500, 30, 7])
    pixels = OutputValues(configuration.load(None, [chosen, "output.unit=px", "output.pixels_per_m=2000"]))
    assert pixels.of(record())[2] == 1000.0 and pixels.labels["cursor_vy"] == "px/s"


def test_axes_of_any_number_and_unit():
    space = ["state.axes=['x','y','grip']", "state.units=['m','m','deg']"]
    values = OutputValues(configuration.load(None, [*space, "output.unit=cm"]))
    assert values.labels["cursor_x"] == "cm" and values.labels["cursor_vgrip"] == "deg/s"
    assert len(values.labels) == 6 + 6 + 4 + 1


def test_a_value_that_is_none_is_named_with_the_nearest():
    with pytest.raises(BadInput, match="holds 'cursor_z', which is not a value; the nearest one is 'cursor_"):
        Outputs(configuration.load(None, ['output.values=["cursor_z"]', "telemetry.output_address=''"]), None)


@pytest.mark.parametrize(("rate_hz", "expected"), [(0.0, 1000), (60.0, 300), (200.0, 1000), (33.3, 167), (500.0, 1000)])
def test_the_rate_is_kept_over_bins(rate_hz, expected):
    thinned = Thinned(rate_hz, 0.005)
    due = [thinned.due() for _ in range(1000)]
    assert abs(sum(due) - expected) <= 1
    assert due[0]


def test_the_pointer_of_the_documentation_moves_by_what_was_sent(tmp_path):
    """The program of docs/outputs.md against real messages; evdev prints: a test must not move anyone's pointer."""
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "outputs.md"
    (program,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert len([line for line in program.splitlines() if line.strip()]) <= 32
    (tmp_path / "evdev.py").write_text(
        "class ecodes:\n    EV_REL, REL_X, REL_Y, EV_KEY, BTN_LEFT = 2, 0, 1, 1, 272\n"
        "class UInput:\n    def __init__(self, *a, **k): pass\n"
        "    def write(self, kind, code, value): value and print(code, value, flush=True)\n"
        "    def syn(self): pass\n"
    )
    context = zmq.Context()
    output = DecodedOutput(configuration.load(None, ["telemetry.output_address='tcp://127.0.0.1:*'"]), context)
    address = output.publisher.socket.last_endpoint.decode()
    command, there = [sys.executable, "-c", program, address], os.environ | {"PYTHONPATH": str(tmp_path)}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=there)
    try:
        end, moved = time.monotonic() + 30, []
        reader = threading.Thread(target=lambda: moved.extend(line.split() for line in running.stdout), daemon=True)
        reader.start()
        while time.monotonic() < end and len({code for code, _ in moved}) < 2:
            output.send(record())
            time.sleep(0.005)
    finally:
        running.kill()
        running.wait()
        reader.join(10)
        running.stdout.close()
        output.close()
        context.term()
    assert all(int(value) > 0 for code, value in moved if code == "0")  # vx = 0.3 m/s: to the right
    assert all(int(value) < 0 for code, value in moved if code == "1")  # vy = 0.4 m/s: up
    assert {code for code, _ in moved} == {"0", "1"}


def test_a_stream_is_no_faster_than_its_rate():
    """Bins of 20 ms on time, or on a clock 500 ppm quick, all leave; of 61 a second 50 do, after a burst."""
    for pace_ns in (20_000_000, 19_990_000):
        held = NoFaster(50.0)
        assert all(held.due(10**12 + k * pace_ns) for k in range(20_000))
    held = NoFaster(50.0)
    left = sum(held.due(10**12 + round(k * 1e9 / 61)) for k in range(6100))
    assert 5000 <= left <= 5012
    held = NoFaster(50.0)
    assert sum(held.due(10**12) for _ in range(20)) == 5
