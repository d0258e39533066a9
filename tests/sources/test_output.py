"""Decoded state on our own wire and on LSL: what is sent is what was decoded."""

import numpy as np
import pytest
import zmq

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.errors import BmiError
from bmi_runtime.messages import PLANE, StepRecord
from bmi_runtime.session.output import DecodedOutput, Outputs, lsl_channels


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
    named = dict(zip(lsl_channels(PLANE), sample, strict=True))
    np.testing.assert_array_equal([named["cursor_x"], named["decoded_vy"], named["target_radius"]], [0.1, 0.8, 0.03])
    assert named["safety_state"] == 2.0
    inlet.close_stream()
    outputs.close()
