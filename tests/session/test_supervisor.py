"""The supervisor with a runtime made for the test: what it does with every way to end."""

import os
import signal
import sys
import time

import pytest

from bmi_runtime.errors import BmiError
from bmi_runtime.session import supervisor
from bmi_runtime.session.supervisor import ChildProcess, RuntimeJob, Supervisor, died_of, start_helper


class Screen:
    def __init__(self):
        self.said, self.bins = [], 0

    def say(self, text):
        self.said.append(text)

    def advance(self, bins):
        self.bins += bins


def supervise(work, *helpers):
    screen = Screen()
    made = Supervisor(RuntimeJob(None, 0, None), work, screen, helpers)
    return made, screen


def finish(assignment, report):
    report.send(bins=40)
    report.send(ready="ready", recording="a.mcap")
    report.send(bins=100)
    report.send_last(result={"bins": 100}, stopped_by_operator=False)
    return 0


def test_a_result_comes_back_with_the_recordings():
    made, screen = supervise(finish)
    assert made.run() == {"bins": 100, "restarts": 0, "recordings": ["a.mcap"]}
    assert screen.said == ["ready"]
    assert screen.bins == 100


def test_a_killed_runtime_is_told_where_to_go_on(tmp_path):
    first = tmp_path / "a.mcap"

    def work(assignment, report):
        if not assignment.why:
            report.send(ready="ready", recording=str(first))
            report.send(snapshot=1234)
            os.kill(os.getpid(), signal.SIGKILL)
        report.send(say=f"{assignment.resume} {assignment.snapshot_offset} {assignment.path} {assignment.why}")
        return finish(assignment, report)

    made, screen = supervise(work)
    result = made.run()
    assert result["restarts"] == 1
    assert result["recordings"] == [str(first), "a.mcap"]
    assert f"{first} 1234 {tmp_path / 'a_part2.mcap'} signal SIGKILL" in screen.said


def test_a_runtime_that_keeps_crashing_is_given_up_with_its_own_words():
    def work(assignment, report):
        report.send(ready="ready", recording=None)
        report.send_last(crash="ZeroDivisionError: of course")
        return supervisor.CRASHED

    made, _ = supervise(work)
    with pytest.raises(BmiError, match=r"died 4 times at once .*ZeroDivisionError: of course"):
        made.run()
    assert made.restarts == 3


def test_an_error_of_the_user_is_not_tried_again():
    def work(assignment, report):
        report.send_last(error="there is no such source", code=2)
        return 2

    made, _ = supervise(work)
    with pytest.raises(BmiError, match="no such source") as caught:
        made.run()
    assert caught.value.exit_code == 2
    assert made.restarts == 0


def test_a_runtime_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(supervisor, "END_WITHIN_S", 0.3)

    def work(assignment, report):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report.send(ready="ready", recording=None)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(60)

    made, _ = supervise(work)
    with pytest.raises(BmiError, match=r"did not end within 0\.3 s and was killed"):
        made.run()
    assert made.pid == 0


def test_a_full_pipe_never_holds_the_runtime_up():
    def work(assignment, report):
        for number in range(200_000):
            report.send(bins=number, filler="x" * 50)
        return finish(assignment, report)

    made, _ = supervise(work)
    assert made.run()["bins"] == 100


def test_a_helper_that_keeps_dying_is_left_and_one_that_ends_well_is_not_started_again():
    def work(assignment, report):
        report.send(ready="ready", recording=None)
        time.sleep(2.5)
        return finish(assignment, report)

    dying = ChildProcess("window", lambda: start_helper([sys.executable, "-S", "-c", "import os; os._exit(3)"]))
    ending = ChildProcess("source", lambda: start_helper([sys.executable, "-S", "-c", "pass"]))
    made, screen = supervise(work, dying, ending)
    made.run()
    assert screen.said.count("the window died (exit code 3) and was started again") <= 3
    assert "the source has ended; the session goes on" in screen.said
    assert screen.said.count("the source has ended; the session goes on") == 1


@pytest.mark.parametrize(("status", "words"), [(-9, "signal SIGKILL"), (3, "exit code 3"), (-250, "signal 250")])
def test_a_status_in_words(status, words):
    assert died_of(status) == words
