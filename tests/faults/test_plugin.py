"""Someone else's decoder that raises in mid-session: a sentence, and what was recorded before is whole."""

import pathlib
import signal
import subprocess
import sys

from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay

STRANGER = pathlib.Path(__file__).parents[1] / "stranger"

RAISES = """
import sys
from bmi_runtime.decoding import velocity_filter

class Faulty(velocity_filter.VelocityFilter):
    bins = 0

    def predict(self, *counts):
        Faulty.bins += 1
        if Faulty.bins > 300:
            raise RuntimeError("the plug-in's own fault")
        return super().predict(*counts)

velocity_filter.VelocityFilter = Faulty
from bmi_runtime.cli.main import main
main()
"""


def run(path, *arguments):
    command = [sys.executable, "-c", RAISES, "run", "--headless", "--record", path, *arguments]
    command += ["--set", "telemetry.enabled=false"]  # other tests may be using its ports
    done = subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    return done.returncode, done.stdout


def test_a_decoder_that_raises_ends_the_run_with_a_sentence_and_a_whole_recording(tmp_path):
    code, said = run(tmp_path / "a.mcap", "--speed", "max", "--duration", 5)
    assert code == 1
    assert "bmi: RuntimeError: the plug-in's own fault" in said and "Traceback" not in said
    recording = Recording(tmp_path / "a.mcap")
    assert recording.complete and 290 < len(recording.steps()) <= 300  # warming up takes a few calls
    assert Replay(recording).run()["identical"]


def test_a_live_session_goes_on_after_it(tmp_path):
    code, said = run(tmp_path / "a.mcap", "--duration", 2.5)
    assert code == 0, said
    assert "the runtime died (RuntimeError: the plug-in's own fault); starting it again" in said
    parts = [Recording(path).steps() for path in sorted(tmp_path.glob("*.mcap"))]
    assert len(parts) > 1


def test_a_decoder_that_ends_its_process_twice_gives_way_to_the_last_one_that_decoded(live_run, monkeypatch):
    run = live_run("--set", "decoder.kind=segfault", "--set", "session.units=24", env={"PYTHONPATH": str(STRANGER)})
    run.wait_for("ready")
    run.wait_for("the runtime died (signal SIGSEGV); starting it again")
    run.wait_for("starting it again for the second time, so with the last decoder that worked before")
    run.wait_for("going on with the decoder 'point-process'")
    at = run.until(
        lambda: [path for path in run.recording.parent.glob("a*.mcap") if "part3" in path.name], what="a file"
    )
    run.until(
        lambda: at[0].stat().st_size > 100_000, what="a recording that grows"
    )  # it goes on, for longer than 30 bins
    run.end(signal.SIGTERM)
    assert run.process.returncode == 0
    monkeypatch.syspath_prepend(str(STRANGER))  # the recordings are replayed in this process
    recording = Recording(at[0])
    events = {event["name"]: event for _, event in recording.messages("event")}
    assert events["runtime-restarted"]["decoder"] == "point-process"
    assert "SIGSEGV" in events["runtime-restarted"]["why"]
    assert recording.n_steps > 60 and Replay(recording).run()["identical"]
