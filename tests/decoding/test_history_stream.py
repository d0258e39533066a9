"""The history decoder behind the live loop: what comes over a socket is decoded as what is handed over in memory."""

import numpy as np
import pytest

from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config
from bmi_runtime.session.loop import Loop
from bmi_runtime.sources.datafile import recording_from_arrays
from bmi_runtime.sources.replayed_file import FileSender
from bmi_runtime.sources.zeromq import ZeroMQSource


def recording(continuous):
    rng = np.random.default_rng(11)
    velocity = np.cumsum(rng.normal(size=(400, 2)), axis=0)
    velocity -= velocity.mean(axis=0)
    drive = 0.1 * velocity @ rng.normal(size=(2, 8))
    counts = drive + rng.normal(size=drive.shape) if continuous else rng.poisson(np.exp(np.clip(drive, -3, 3)))
    return recording_from_arrays("made", counts, 0.05, velocity, np.cumsum(velocity, axis=0) * 0.05)


def session_for(data, train, seen=None):
    decoder = HistoryDecoder(data.n_units, data.bin_s)
    if seen is not None:
        learn = decoder.learn
        decoder.learn = lambda counts, kinematics: (seen.append(np.array(kinematics)), learn(counts, kinematics))
    return OpenLoopSession(open_loop_config(data), decoder, data.trial_start, data.restart, train)


@pytest.mark.parametrize("continuous", [False, True])
def test_socket_and_memory_decode_the_same_bits(continuous):
    data, train = recording(continuous), 300
    direct = session_for(data, train)
    for counts, kinematics in zip(data.counts, data.kinematics, strict=True):
        direct.advance(counts, kinematics)
    received = []
    streamed = session_for(data, train, received)
    assert streamed.config.continuous == continuous
    with FileSender(data, train, continuous) as sender:
        part = streamed.config.source.model_copy(update={"address": sender.address})
        streamed.config = streamed.config.model_copy(update={"source": part})
        source = ZeroMQSource(streamed.config)
        source.open()
        loop = Loop(streamed, source, speed="max")
        loop.run()
        source.close()
    assert streamed.bins == data.n_bins
    np.testing.assert_array_equal(streamed.states, direct.states)
    np.testing.assert_array_equal(np.array(received), data.kinematics[:train])
    assert np.isnan(loop.bin.fields.kinematics).all()  # the test part never carried kinematics


def test_sender_stops_when_nobody_receives():
    data = recording(False)
    with FileSender(data, 300, False) as sender:
        assert sender.address.startswith("tcp://127.0.0.1:")
