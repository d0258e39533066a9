"""Live commands of every kind in an order that nobody chose: the session goes on, replays, resumes to the bit."""

import random

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.inferred_target import InferredTargetIntention
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay
from bmi_runtime.session.resume import configuration_of, resume

pytestmark = pytest.mark.usefixtures("their_lab")
BINS, BLOCK_BINS = 900, 200
SHORT = ["session.units=24", "recording.snapshot_s=0.5", "telemetry.enabled=false", "adapter.learning_rate=1e-5"]
BLOCKS = "".join(
    f'[[block]]\nkind = "{kind}"\nlength_s = {seconds}\n'
    for kind, seconds in (("observe", 1.0), ("adapt", 1.0), ("free", 1.0), ("fixed", 20.0))
)
VALUES = {  # some can be, some never
    "adapter.learning_rate": [1e-6, 1e-4, -1, 1e300, float("nan"), None, True, "fast", [1]],
    "adapter.enabled": [True, False, 1],
    "task.assist": [0.0, 1.0, 0.3, 1.5, float("inf")],
    "decoder.frozen": [True, False],
    "decoder.kind": ["point-process", "half-speed", "population-vector", "moody", "odd", "recurrent", "no-predict", 5],
    "decoder.fitted_file": ["", "/nowhere/x.npz"],
    "decoder.parameter_trust": [0.0, 0.5, 1.0, 2],
    "decoder.gain": [1.0, 0.5, 2.0, -3, 1e9],
    "task.kind": [
        "centre-out",
        "random-target",
        "pursuit",
        "line",
        "breaking",
        "generated",
        "random-centre-out",
        "zzz",
    ],
    "task.trial": ["begin", "end", "x"],
    "adapter.intention": ["optimal-control", "rotated", "inferred-target", "recorded", "straight", "lost"],
    "session.block": [1, 2, 3, 4, 0, 99, "next"],
    "session.left_out": ["", "1,2", "3 4 5", "99", ",".join(map(str, range(24)))],
    "session.hold": [True, False],
}


def commanded(chance):
    """Return what sends commands after a bin: three in each bin about the end of a block, else one now and then."""

    def on_bin(loop):
        near = loop.session.bins % BLOCK_BINS in (0, 1, BLOCK_BINS - 1)
        for _ in range(3 if near else chance.random() < 0.05):
            key = chance.choice(list(VALUES))
            try:
                loop.handle({"set": key, "value": chance.choice(VALUES[key])})
            except BadInput as error:
                assert str(error)

    return on_bin


@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (13, ["adapter.intention=inferred-target"]),  # wrote beyond an array after it was resumed
        (3, ["state.axes=['x', 'y', 'z']"]),
        (15, []),
        *(pytest.param(seed, [], marks=pytest.mark.slow) for seed in range(100, 120)),
    ],
)
def test_any_commands_in_any_bins(tmp_path, seed, settings):
    chance, path, blocks = random.Random(seed), tmp_path / "a.mcap", None
    if seed != 13 and seed % 2:
        blocks = tmp_path / "blocks.toml"
        blocks.write_text(BLOCKS)
    given = [*SHORT, *settings, f"session.seed={seed}", f"recording.path='{path}'"]
    loop = assemble(configuration.load(blocks, given), "max")
    loop.on_bin = commanded(chance)
    launch.run(loop, BINS)
    output = Recording(path).steps()["output"]
    assert np.isfinite(output["cursor"]).all() and np.isfinite(output["decoded"]).all()
    assert Replay(Recording(path)).run()["identical"]
    data, cut = path.read_bytes(), tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(len(data) * chance.uniform(0.5, 0.97))])
    session, last = resume(cut, configuration_of(cut, [])[0]).session, Recording(cut).steps()[-1]["output"]
    assert np.array_equal(session.cursor, last["cursor"]) and session.learning.checksum() == last["model_checksum"]
    counts = loop.bin.bytes
    assert np.isfinite(session.step(counts).output.cursor).all()


def test_an_inferred_goal_comes_back_with_the_candidates_of_its_snapshot_and_with_no_others():
    section = configuration.load(None, ["adapter.label_lag_s=0.02"]).adapter
    few, many = (InferredTargetIntention(section, 0.005) for _ in range(2))
    few.offer([(0.1, 0.0), (0.0, 0.1)], 0.2)
    many.offer([(0.02 * k - 0.2, 0.0) for k in range(20)], 0.2)
    cursor, target = (0.0, 0.0, 0.1, 0.0), (0.1, 0.0, 0.02)
    for _ in range(10):
        many.infer(cursor, target, 0)
    few.restore(many.snapshot())
    for _ in range(10):
        assert few.infer(cursor, target, 0) == pytest.approx(many.infer(cursor, target, 0), nan_ok=True)
    np.testing.assert_array_equal(few.weights, many.weights)
    for name in ("weights", "aims"):
        with pytest.raises(BadInput, match=f"does not fit: {name}"):
            few.restore(many.snapshot() | {name: np.zeros((3, 2))})
