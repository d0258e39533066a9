"""Sessions fed by other people's programs on Lab Streaming Layer, at default settings."""

import os
import pathlib
import time

import numpy as np
import pytest

from tests.peers.live import BEFORE_S, MOST_STALE, SECONDS, in_real_time, session, shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 600)]


@pytest.mark.parametrize(
    ("kind", "rate_hz", "channels", "jitter", "burst", "bin_s"),
    [
        ("counts", 1000, 8, 1.0, 1, 0.005),
        ("counts", 1000, 384, 0.2, 1, 0.005),
        ("counts", 512, 8, 0.5, 1, 0.02),
        ("counts", 500, 8, 0.0, 16, 0.02),
        ("counts", 50, 8, 0.5, 1, 0.02),
        ("rates", 100, 8, 0.2, 1, 0.02),
        ("events", 200, 8, 0.0, 1, 0.005),
    ],
)
def test_an_outlet_with_a_rigs_habits(peer, processes, tmp_path, kind, rate_hz, channels, jitter, burst, bin_s):
    name = f"peer-{time.monotonic_ns()}"
    program = __file__.replace("test_lsl_peers.py", "lsl_outlet.py")
    arguments = [name, kind, rate_hz, channels, jitter, burst, SECONDS + BEFORE_S]
    in_real_time(processes.start("outlet", [peer("lsl"), program, *arguments]).pid)
    options = [f"source.options.stream={name}", f"source.options.kind={kind}"]
    result, recording = session("lsl", tmp_path, f"session.units={channels}", f"session.bin_s={bin_s}", *options)
    given, stale = shown(f"LSL, {kind}, {rate_hz} Hz, {channels} channels, bursts of {burst}", result, recording)
    assert stale.mean() < MOST_STALE, result["source"]
    assert given["counts"][~stale].mean() / bin_s == pytest.approx(20.0, rel=0.05)
    assert result["source"]["refusals"] == [] and np.ptp(given["segment"]) == 0


@pytest.fixture
def nds(peer, tmp_path):
    """Return the folder of neural-data-simulator's programs, its settings with a model of our own, and the model."""
    python = peer("nds")
    here = python.parent.parent / "lib"
    (settings,) = here.glob("python3.*/site-packages/neural_data_simulator/config/settings.yaml")
    rng = np.random.default_rng(0)
    weights = tmp_path / "weights.npz"
    model = {"b0": np.full(32, 15.0), "m": np.full(32, 80.0), "bs": np.full(32, 2.0)}
    model["pd"] = rng.uniform(-np.pi, np.pi, 32)
    np.savez(weights, **model)
    (tmp_path / "model.py").write_text(
        "from neural_data_simulator.plugins.examples.model import VelocityTuningCurvesModel\n"
        f"def create_model():\n    return VelocityTuningCurvesModel({str(weights)!r})\n"
    )
    (tmp_path / "positive.py").write_text(
        "import numpy as np\n"
        "from neural_data_simulator.core.samples import Samples\n"
        "class Positive:\n"
        "    def execute(self, data):\n"
        "        return Samples(timestamps=data.timestamps, data=np.maximum(data.data, 0.0))\n"
        "def create_postprocessor():\n    return Positive()\n"
    )
    overrides = [
        f"encoder.model={tmp_path / 'model.py'}", f"encoder.postprocessor={tmp_path / 'positive.py'}",
        "encoder.output.n_channels=32", f"encoder.input.lsl.stream_name=behavior-{time.monotonic_ns()}",
        f"encoder.output.lsl.stream_name=rates-{time.monotonic_ns()}", "encoder.output.lsl.channel_format=float32",
    ]  # fmt: skip
    return python.parent, settings, overrides


def with_our_library():
    """Return where liblsl is: wheels of pylsl before 1.17 come without it."""
    import pylsl

    found = sorted((pathlib.Path(pylsl.__file__).parent / "lib").glob("liblsl.so*"))
    return {"PYLSL_LIB": str(found[0])} if found else {}


def named(overrides, key):
    """Return a setting of neural-data-simulator."""
    return next(text.partition("=")[2] for text in overrides if text.startswith(key))


def test_neural_data_simulator_closes_the_loop(nds, processes, tmp_path):
    """Its encoder reads what the subject wants from our output, and sends rates at 50 Hz: targets are reached."""
    programs, settings, overrides = nds
    command = [programs / "encoder", "--settings-path", settings, "-o", *overrides]
    processes.start("encoder", command, cwd=tmp_path, env=os.environ | with_our_library())
    behavior, rates = named(overrides, "encoder.input.lsl.stream_name"), named(overrides, "encoder.output.lsl.stream")
    result, recording = session(
        "lsl",
        tmp_path,
        *("session.units=32", "session.bin_s=0.02", "adapter.learning_rate=1e-4", "task.assist=0.3"),
        *(f"source.options.stream={rates}", "source.options.kind=rates", "source.options.wait_s=0"),
        *(f"telemetry.output_lsl={behavior}", 'output.values=["intended_vx", "intended_vy"]', "output.unit=dm"),
        seconds=max(SECONDS, 90),
    )
    given, stale = shown("neural-data-simulator, rates at 50 Hz, 32 channels", result, recording)
    came = np.flatnonzero(~stale)
    assert len(came) > 3000, processes.said("encoder")[-2000:]
    assert stale[came[100] :].mean() < 2 * MOST_STALE, result["source"]
    assert 8.0 < given["counts"][came].mean() / 0.02 < 40.0
    assert result["successes"] >= 10


def test_ezmsg_counts(peer, processes, tmp_path):
    """An ezmsg graph whose messages hold ten samples of counts each goes through its own LSL outlet."""
    name = f"ezmsg-{time.monotonic_ns()}"
    program = __file__.replace("test_lsl_peers.py", "ezmsg_graph.py")
    processes.start("graph", [peer("ezmsg"), program, name, SECONDS + BEFORE_S])
    options = [f"source.options.stream={name}", "source.options.kind=counts"]
    result, recording = session("lsl", tmp_path, "session.units=8", "session.bin_s=0.02", *options)
    given, stale = shown("ezmsg, counts at 500 Hz, 10 a message", result, recording)
    assert stale.mean() < MOST_STALE, (result["source"], processes.said("graph")[-2000:])
    assert given["counts"][~stale].mean() / 0.02 == pytest.approx(20.0, rel=0.05)
