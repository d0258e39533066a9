"""Stand-ins with a rig's habits in a process of their own, over real sockets: blocks, jitter, pauses, restarts."""

import contextlib

import numpy as np
import pytest

from bmi_runtime.recording.reader import Recording
from simulators.standins import STANDINS
from tests.sources.redis_server import server
from tests.sources.test_closing_the_loop import close_the_loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HABITS = {"block_s": 0.0232, "jitter_s": 0.004, "pause_every_s": 3.0, "pause_s": 0.8, "restart_every_s": 5.0}
WAIT = ("--set", "realtime.wait_limit_s=0.3")  # the machine that runs the tests may be busy


def options(**habits):
    return [part for name, value in habits.items() for part in ("--set", f"source.options.{name}={value}")]


@contextlib.contextmanager
def address_of(name):
    """Yield the settings that both sides need beside those of every loop."""
    if name == "redis":
        with server() as port:
            yield ["--set", f"source.address=redis://127.0.0.1:{port}"]
    else:
        yield []


@pytest.mark.parametrize("name", sorted(STANDINS))
def test_a_session_goes_on_through_blocks_pauses_and_restarts(name, tmp_path):
    """What came is decoded, what did not come is said, the clock that begins again is a segment, and it replays."""
    if name == "lsl":
        pytest.importorskip("pylsl", reason="pylsl is not installed", exc_type=(ImportError, RuntimeError))
    with address_of(name) as address:
        sent, result, replayed, path = close_the_loop(name, tmp_path, [*address, *options(**HABITS)], [*address, *WAIT])
    given = Recording(path).steps()["input"]
    good, health = given["stale"] == 0, result["source"]
    assert sent["spikes"] > 1000 and health["refusals"] == []
    assert 0.4 < good.mean() < 1.0  # a fifth of the time nothing was sent
    assert np.ptp(given["segment"]) >= 1  # it was switched off and on at least once
    assert given["counts"][good].sum() > 0.4 * 64 * 5.0 * good.sum() * 0.005  # and was heard again after it
    last = given[-400:]
    assert (last["stale"] == 0).mean() > 0.3 and last["counts"].sum() > 0
    assert replayed["identical"] and replayed["bins"] == result["bins"]


@pytest.mark.parametrize("name", sorted(STANDINS))
def test_every_spike_of_jittered_blocks_is_decoded_once(name, tmp_path):
    """Without pauses nothing is lost or counted twice, whatever the blocks are."""
    if name == "lsl":
        pytest.importorskip("pylsl", reason="pylsl is not installed", exc_type=(ImportError, RuntimeError))
    plain = {key: HABITS[key] for key in ("block_s", "jitter_s")}
    with address_of(name) as address:
        _, result, _, path = close_the_loop(name, tmp_path, [*address, *options(**plain)], [*address, *WAIT])
    given, health = Recording(path).steps()["input"], result["source"]
    assert health.get("duplicates", 0) == health.get("lost", 0) == 0 and health["refusals"] == []
    assert np.ptp(given["segment"]) == 0
    assert health.get("late_dropped", 0) <= 0.002 * given["counts"].sum()
