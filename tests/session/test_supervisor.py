"""The supervisor with a runtime made for the test: what it does with every way to end."""

import os
import signal
import sys
import time

import pytest

from bmi_runtime.errors import BmiError
from bmi_runtime.session import supervisor
from bmi_runtime.session.child_process import ChildProcess, died_of, start_helper
from bmi_runtime.session.heartbeat import WHERE, Heartbeat, Place, Watch
from bmi_runtime.session.supervisor import RuntimeJob, Supervisor


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
    with pytest.raises(BmiError, match=r"did not end within 0\.[3-9] s and was killed"):
        made.run()
    assert made.pid == 0 and not [text for text in made.screen.said if "still ending" in text]


def test_a_runtime_that_records_its_end_on_a_slow_disk_is_waited_for_and_said_to_be(monkeypatch):
    """It was killed: the recording had no footer, and the run no result."""
    monkeypatch.setattr(supervisor, "END_WITHIN_S", 0.2)

    def work(assignment, report):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report.heartbeat.beat(Place.ENDING)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(1.0)
        return finish(assignment, report)

    made, screen = supervise(work)
    assert made.run()["bins"] == 100
    assert screen.said[0] == "still ending (the end is being recorded); Ctrl-C again ends it at once"


def test_a_runtime_that_dies_while_it_ends_is_not_said_to_have_been_killed():
    def work(assignment, report):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report.send(ready="ready", recording=None)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(0.3)
        return 3

    made, _ = supervise(work)
    with pytest.raises(BmiError, match=r"the runtime died while it ended \(exit code 3\); the recording can be read"):
        made.run()


@pytest.mark.parametrize("again", [True, False])
def test_one_whose_end_never_comes_is_killed_at_the_second_wish_or_after_a_while(monkeypatch, again):
    monkeypatch.setattr(supervisor, "END_WITHIN_S", 0.2)
    monkeypatch.setattr(supervisor, "END_AT_MOST_S", 60.0 if again else 0.6)

    def work(assignment, report):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report.send(ready="ready", recording=None)
        report.heartbeat.beat(Place.ENDING)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(0.5)
        if again:
            os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(60)

    made, _ = supervise(work)
    with pytest.raises(BmiError, match=r"did not end within .* and was killed"):
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


def hanging(place):
    """Work of a runtime that hangs at one place after a moment of good work; started again, it finishes."""

    def work(assignment, report):
        if "hung" in assignment.why:
            return finish(assignment, report)
        report.send(ready="ready", recording=None)
        for _ in range(5):
            report.heartbeat.beat(Place.DECODE)
            time.sleep(0.02)
        report.heartbeat.beat(place)
        time.sleep(60)

    return work


@pytest.mark.parametrize("place", [Place.DECODE, Place.SOURCE, Place.COMMANDS, Place.RECORD])
def test_a_runtime_that_hangs_is_killed_and_started_again(place):
    made, screen = supervise(hanging(place))
    made.hung_after_s = 0.6
    assert made.run()["restarts"] == 1
    [said] = [text for text in screen.said if "died" in text]
    assert said.startswith(
        f"the runtime died (it completed no bin for 0.6 s and was killed: it hung in {WHERE[place]})"
    )


@pytest.mark.parametrize("place", [Place.FIRST_BIN, Place.CONNECTING, Place.PREPARING, Place.ENDING])
def test_one_that_waits_for_its_source_or_is_still_starting_is_said_to_and_left(place):
    def work(assignment, report):
        report.heartbeat.beat(place)
        time.sleep(2.5)
        return finish(assignment, report)

    made, screen = supervise(work)
    made.hung_after_s = 0.6
    assert made.run()["restarts"] == 0
    assert [text for text in screen.said if WHERE[place] in text and "Ctrl-C ends it" in text], screen.said


def test_one_that_hangs_again_and_again_loses_its_decoder_then_other_parts_then_is_given_up():
    def work(assignment, report):
        report.send(say=f"{assignment.cautious} {assignment.bare}")
        report.send(ready="ready", recording=None)
        report.heartbeat.beat(Place.TASK)
        time.sleep(60)

    made, screen = supervise(work)
    made.hung_after_s = 0.6
    with pytest.raises(BmiError, match=r"died 4 times at once \(it completed no bin .* hung in the task"):
        made.run()
    seen = [text for text in screen.said if text.startswith(("True", "False"))]
    assert seen == ["False False", "False False", "True False", "True True"]


@pytest.mark.parametrize(
    ("bins", "place", "blamed"), [(0, Place.DECODE, 1), (1, Place.DECODE, 0), (0, Place.SOURCE, 0)]
)
def test_one_that_is_killed_in_its_first_step_again_and_again_loses_its_decoder(bins, place, blamed):
    """A part may kill the process, or ask for more memory than there is; who kills from outside hits no first step."""

    def work(assignment, report):
        if made.restarts == 4 or assignment.cautious:
            report.send(say=f"{made.restarts} restarts, cautious {assignment.cautious}")
            return finish(assignment, report)
        report.send(ready="ready", recording=None)
        report.heartbeat.beat(place)
        report.heartbeat.cell[1] = bins
        os.kill(os.getpid(), signal.SIGKILL)

    made, screen = supervise(work)
    made.run()
    assert ("3 restarts, cautious True" if blamed else "4 restarts, cautious False") in screen.said


def test_a_source_that_hangs_twice_is_not_held_against_the_decoder():
    def work(assignment, report):
        if made.restarts == 2:
            report.send(say=f"cautious {assignment.cautious}")
            return finish(assignment, report)
        report.send(ready="ready", recording=None)
        report.heartbeat.beat(Place.SOURCE)
        time.sleep(60)

    made, screen = supervise(work)
    made.hung_after_s = 0.6
    assert made.run()["restarts"] == 2 and "cautious False" in screen.said


def test_a_watch_counts_its_own_looks_and_not_the_time_that_it_stood_still_itself():
    heartbeat = Heartbeat()
    watch = Watch(heartbeat, 0.0)
    heartbeat.beat(Place.DECODE)
    watch.look(0.5)
    for now_s in (1.0, 1.5):
        watch.look(now_s)
    assert watch.still_s == 1.0 and watch.place is Place.DECODE
    watch.look(3600.0)  # the machine slept
    assert watch.still_s == 2.0 and not watch.hangs(2.0, False) and watch.hangs(1.9, False)
    heartbeat.beat(Place.TASK)
    watch.look(3600.5)
    assert watch.still_s == 0.0 and watch.place is Place.TASK


def test_a_runtime_that_is_started_again_must_be_ready_at_some_time():
    watch = Watch(Heartbeat(), 0.0)
    for now_s in range(1, 62):
        watch.look(float(now_s))
    assert not watch.hangs(10.0, False) and watch.waits(10.0)
    assert watch.hangs(10.0, True) and not watch.hangs(61.0, True)
