"""A replay that differs says why: a part that answers otherwise each time, or what is not as it was then."""

import pytest

from bmi_runtime import config as configuration
from bmi_runtime.cli.replay import replay as replay_command
from bmi_runtime.errors import CheckFailed
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch, replay_reasons
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay

pytestmark = pytest.mark.usefixtures("their_lab")
SHORT = ["session.units=12", "telemetry.enabled=false", "adapter.learning_rate=1e-5"]


def recorded(path, *settings):
    launch.run(assemble(configuration.load(None, [*SHORT, f"recording.path='{path}'", *settings]), "max"), 120)
    return Recording(path)


def why(recording):
    replay = Replay(recording)
    result = replay.run()
    return replay_reasons.why_different(recording, replay, result["first_divergence"]["bin"])


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("numpy", "draws from the random numbers that the whole process shares (numpy.random)"),
        ("python", "draws from the random numbers that the whole process shares (random)"),
        ("unseeded", "uses something that no recording holds: random numbers without a seed, or a clock"),
        ("clock", "uses something that no recording holds"),
    ],
)
def test_a_part_that_answers_otherwise_each_time_is_named(tmp_path, way, told):
    recording = recorded(tmp_path / "a.mcap", "decoder.kind=odd", f"decoder.options={{way='{way}'}}")
    said = why(recording)
    assert said.startswith(f"two replays differ, too: the decoder 'odd' {told}")
    with pytest.raises(CheckFailed) as failed:
        replay_command.callback(tmp_path / "a.mcap", True, (), 0.0, True)
    assert str(failed.value).endswith(f"at bin 60, field 'decoded'; {said}")


def test_a_part_that_replays_alike_may_have_changed(tmp_path, monkeypatch):
    from their_lab.decoders import HalfSpeed

    recording = recorded(tmp_path / "a.mcap", "decoder.kind=half-speed")
    monkeypatch.setattr(HalfSpeed, "predict", lambda self, counts: [0.02, 0.0])
    assert why(recording).startswith("the decoder 'half-speed' is of another package, whose code may have changed")


def test_without_parts_of_others_it_is_told_what_is_not_as_it_was(tmp_path, monkeypatch):
    recording = recorded(tmp_path / "a.mcap")
    replay = Replay(recording)
    assert replay.run()["identical"]
    assert replay_reasons.why_different(recording, replay, 0) == ""
    now = replay_reasons.provenance()
    monkeypatch.setattr(
        replay_reasons, "provenance", lambda: now | {"python": "3.99.0", "packages": now["packages"] | {"numpy": "9.0"}}
    )
    said = replay_reasons.why_different(recording, replay, 0)
    assert said == (
        f"the recording was made with Python {now['python']} (now 3.99.0), numpy {now['packages']['numpy']} (now 9.0)"
    )
    maker = "Processors of one maker, model"
    recording.header["provenance"] |= {"python": "3.99.0", "packages": {}, "cpu": f"{maker} 1", "git_dirty": True}
    now = replay_reasons.provenance() | {"cpu": f"{maker} 2", "git_dirty": False}
    monkeypatch.setattr(replay_reasons, "provenance", lambda: now)
    said = replay_reasons.why_different(recording, replay, 0)
    assert said == f"the recording was made with changed files yes (now no), processor {maker} 1 (now {maker} 2)"
