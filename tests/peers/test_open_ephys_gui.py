"""Sessions on what the Open Ephys GUI sends at its default buffers, by a program of its own."""

import sys

import numpy as np
import pytest

from tests.peers.live import BEFORE_S, MOST_STALE, SECONDS, in_real_time, session, shown, unaccounted
from tests.sources.test_closing_the_loop import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 300)]
UNITS = 32


@pytest.mark.parametrize(("block", "channels"), [(697, 1), (1024, 1), (697, 384), (1024, 384)])
def test_blocks_of_its_buffer(processes, tmp_path, block, channels):
    program, log = __file__.replace("test_open_ephys_gui.py", "open_ephys_gui.py"), tmp_path / "sent.npy"
    (port,) = free_ports(1)
    gui = processes.start("gui", [sys.executable, program, port, block, channels, UNITS, SECONDS + BEFORE_S, log])
    in_real_time(gui.pid)  # at a rig it has a machine of its own
    settings = (f"source.address=tcp://127.0.0.1:{port}", f"session.units={UNITS}")
    result, recording = session("open-ephys", tmp_path, *settings)
    given, stale = shown(f"Open Ephys, {block} samples, {channels} channels", result, recording)
    gui.terminate()
    gui.wait(30)
    assert stale.mean() < MOST_STALE, result["source"]
    assert np.ptp(given["segment"]) == 0 and result["source"]["refusals"] == []
    missing = unaccounted(result, given, stale, np.load(log), 0.005)
    assert -5 <= missing <= (5 if not result["source"].get("lost") else 0.001 * given["counts"].sum()), result["source"]
