"""What the window makes of telemetry: good, lossy, of another version, not finite, of other units."""

import math
import pathlib
import sys

import numpy as np
import pytest
import zmq

from bmi_runtime.messages import WIRE_VERSION, pack
from gui import status
from gui.client import Client
from gui.ring_buffer import DecimatedHistory, Ring
from gui.steady_state_error import dense, steady_error_variance
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import synthetic


def filled(seconds=3.0):
    store = Store()
    store.hello(synthetic.hello(seconds), 100.0)
    return store


def feed(store, index, sequence, at_s=100.0, **changes):
    store.receive("step", {"seq": sequence, "bin": index * 3, **synthetic.step(index), **changes}, at_s)


def test_a_ring_keeps_the_newest_in_order():
    ring = Ring(4, int)
    for value in range(11):
        ring.append(value)
        assert ring.view.tolist() == list(range(max(value - 3, 0), value + 1))
    assert ring.newest(2).tolist() == [9, 10]


def test_a_thinning_history_spans_everything_in_fixed_memory():
    history = DecimatedHistory(8)
    for value in range(1000):
        history.append(float(value))
    kept = history.view
    assert len(kept) <= 8 and kept[0] == 0.0 and len(set(np.diff(kept))) == 1 and kept[-1] + history.stride >= 900


def test_hello_shows_the_past_and_the_present():
    store = filled(3.0)
    assert store.mode == "simulated" and store.n_units == synthetic.UNITS and store.elapsed_s == pytest.approx(3.0)
    assert store.trials.view["trial"].tolist() == [0, 1, 2]
    assert store.live["adapter.learning_rate"] == 1e-6
    assert {entry.kind for entry in store.events} == {"trial", "command", "note"}
    assert store.connection(100.5) == "connected" and store.connection(103.2) == "lost"
    assert store.age_s(103.2) == pytest.approx(3.2)


def test_trials_are_measured_from_what_was_seen():
    store = filled(3.0)
    trial = store.trials.view[1]
    distance = 0.1 * math.hypot(1 - math.cos(math.pi / 4), math.sin(math.pi / 4))
    assert trial["time_s"] == pytest.approx(0.9)
    assert trial["bits"] <= math.log2(1 + (0.1 + distance) / 0.034) and trial["bits"] > 0
    assert 0.9 < trial["efficiency"] <= 1.0


def test_lost_messages_are_counted_by_sequence_numbers():
    store = filled()
    for index, sequence in ((201, 5), (202, 6), (203, 9), (204, 10)):
        feed(store, index, sequence)
    assert store.lost_messages == 2 and store.streams["step"].received == 4


def test_a_step_back_in_time_asks_for_everything_anew():
    store = filled()
    feed(store, 10, 1)
    assert store.needs_hello


def test_an_event_that_was_on_its_way_while_the_past_was_told_is_taken_once():
    store, answer = Store(), synthetic.hello(3.0)
    event = {"name": "trial", "trial": 3, "result": "success", "time_to_target_s": 0.8, "target_m": [0.1, 0.0]}
    answer["recent"].append(["event", pack({"v": WIRE_VERSION, "seq": 9, "bin": 599, **event})])
    store.hello(answer, 100.0)
    told = store.trials.view["trial"].tolist()
    store.receive("event", {"seq": 9, "bin": 599, **event}, 100.0)
    assert store.trials.view["trial"].tolist() == told == [0, 1, 2, 3]
    store.receive("event", {"seq": 10, "bin": 800, **event, "trial": 4}, 100.0)
    assert store.trials.view["trial"].tolist() == [0, 1, 2, 3, 4] and store.lost_messages == 0


def test_messages_of_another_position_of_a_replay_are_left_out():
    store = filled()
    bins = store.bin
    feed(store, 300, 1, epoch=7)
    assert store.bin == bins and store.needs_hello


def test_other_units_start_histories_again_and_say_so():
    store = filled()
    store.receive("step", {"seq": 1, "bin": 900, "counts": np.zeros(5), "step": b"", "bins": 3}, 100.0)
    assert store.n_units == 5 and len(store.steps) == 0
    assert "from 48 to 5" in store.problems[0] and "not a step of 5 units" in store.problems[1]


def test_parameters_that_are_not_finite_are_counted():
    store = filled()
    message = synthetic.model(3.0)
    message["weights"][1, 7] = np.nan
    store.receive("model", {"seq": 1, "bin": 600, **message}, 100.0)
    assert store.not_finite == 1 and "1 parameters of the encoding model are not finite" in store.problems[-1]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("step", {"seq": 1, "bin": 900}),
        ("event", {"seq": 1, "bin": 900, "name": "trial"}),
        ("model", {"seq": 1, "bin": 900, "weights": 3}),
        ("health", {"seq": 1}),
        ("surprise", {"seq": 1}),
    ],
)
def test_a_malformed_message_is_named_and_ignored(stream, message):
    store = filled()
    before = store.bin
    store.receive(stream, message, 100.0)
    assert store.bin == before and stream in store.problems[-1]


def test_messages_of_another_version_are_refused_in_a_sentence():
    context = zmq.Context.instance()
    publisher, answering = context.socket(zmq.PUB), context.socket(zmq.REP)
    ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (publisher, answering)]
    client = Client(*(f"tcp://127.0.0.1:{port}" for port in ports))
    answers = []
    client.send({"get": "hello"}, answers.append)
    client.poll()
    assert answering.poll(5000)
    answering.recv()
    answering.send(pack({"v": 99, "ok": True}))
    for _ in range(500):
        publisher.send_multipart([b"step", pack({"v": 99, "seq": 1})])
        client.poll()
        assert client.receive() == []
        if client.refused and answers:
            break
        client._subscriber.poll(10)
    assert f"version 99 of the messages and this window version {WIRE_VERSION}" in client.problem
    assert not answers[0]["ok"] and "version 99" in answers[0]["error"]
    for socket in (client, publisher, answering):
        socket.close()


def test_predicted_error_is_half_of_the_filter_covariance_at_small_rates():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(5, 3, 3))
    covariance = root @ np.swapaxes(root, 1, 2)
    pairs = covariance[:, *np.tril_indices(3)].T
    np.testing.assert_allclose(dense(pairs, 3), covariance)
    predicted = steady_error_variance(covariance, 1e-12)
    np.testing.assert_allclose(predicted, np.diagonal(covariance, axis1=1, axis2=2) / 2, rtol=1e-6)


def test_predicted_error_is_that_of_a_simulated_scalar_filter():
    rate, noise, truth, n = 0.01, 1.0, 0.0, 20_000
    variance, estimate, errors = 1.0, 0.0, []
    features = np.random.default_rng(7).normal(truth, noise, n)
    for feature in features:
        prior = variance + rate
        variance = prior / (prior + noise)
        estimate += variance * (feature - estimate)
        errors.append(estimate)
    achieved = np.var(errors[2000:])
    predicted = steady_error_variance(np.array([[variance]]), rate)[0]
    assert achieved == pytest.approx(predicted, rel=0.1)


@pytest.mark.parametrize("header", [{"seq": None}, {"seq": "x"}, {"bin": "x"}, {"bin": [1]}, {"seq": math.nan}])
def test_a_message_without_numbers_is_ignored_in_a_sentence(header):
    store = filled()
    before = store.bin
    feed(store, 700, 10_000, **header)
    assert store.bin == before and f"whose {next(iter(header))} is not a whole number" in store.problems[-1]


@pytest.mark.parametrize("name, value", [("trial", -1), ("latency_us", "fast")])
def test_a_message_with_an_impossible_number_is_ignored_in_a_sentence(name, value):
    store = filled()
    stream = "health" if name == "latency_us" else "event"
    facts = {"name": "trial", "trial": 1, "target_m": [0, 0], "time_to_target_s": 1.0, "result": "success"}
    store.receive(stream, {"seq": 10_000, "bin": 700, **facts, name: value}, 100.0)
    assert "does not have the expected shape" in store.problems[-1]


@pytest.mark.parametrize("key", ["config", "live_parameters", "model", "bin", "recent", "model_history"])
def test_an_unreadable_account_of_the_session_leaves_a_sentence_and_no_half_state(key):
    store = filled()
    store.hello({**synthetic.hello(1.0), key: "nonsense"}, 100.0)
    assert "cannot be read" in store.unreadable and store.unreadable in store.problems
    assert store.needs_hello and store.mode == "waiting" and store.weights is None
    store.hello(synthetic.hello(1.0), 101.0)
    assert not store.unreadable and store.mode == "simulated"


def test_a_runtime_that_was_started_again_is_announced_and_its_events_are_shown():
    store = Store()
    past = pack({"v": 1, "seq": 200, "run": 7, "epoch": 0, "bin": 1000, "name": "note", "note": "before"})
    store.hello({"bin": 1000, "run": 7, "recent": [("event", past)]}, 0.0)
    store.receive("event", {"v": 1, "seq": 200, "run": 7, "bin": 1000, "name": "note", "note": "before"}, 0.5)
    for sequence, note in ((1, "one"), (3, "three")):
        store.receive("event", {"v": 1, "seq": sequence, "run": 8, "bin": 1100, "name": "note", "note": note}, 1.0)
    texts = [entry.text for entry in store.events]
    assert texts[0] == "before" and texts[2:] == ["one", "three"] and "started again" in texts[1]
    assert store.needs_hello and store.lost_messages == 1 and store.events[1].severity == "alarm"
    store.receive("event", {"v": 1, "seq": 4, "run": 8, "bin": 1101, "name": "note", "note": "four"}, 1.0)
    assert [entry.text for entry in store.events].count(texts[1]) == 1


def test_a_session_that_goes_on_keeps_its_history_and_names_the_new_file():
    import synthetic

    hello = synthetic.hello() | {"run": 5, "replay": None, "recording": "/data/a.mcap", "epoch": 0}
    store = Store()
    store.hello(hello, 0.0)
    trials, rows, marks = len(store.trials), len(store.model_rows), len(store.marks)
    assert trials and rows
    again = {**hello, "run": 6, "recording": "/data/b.mcap", "resumed_from": "/data/a.mcap", "recent": []}
    again.pop("model_history", None)
    store.receive("event", {"v": 1, "seq": 1, "run": 6, "bin": store.bin, "name": "note", "note": "n"}, 0.5)
    assert store.needs_hello and store.run == 6
    again["bin"] = store.bin - 13  # what was in flight when the runtime died is not in the recording
    store.hello(again, 1.0)
    assert len(store.trials) == trials and len(store.model_rows) >= rows and len(store.marks) >= marks
    assert any("goes on in b.mcap" in entry.text for entry in store.events)
    store.hello({**again, "run": 9, "resumed_from": None, "recording": "/data/c.mcap"}, 2.0)  # another session
    assert len(store.trials) == 0


def test_blocks_of_the_configuration_are_followed_named_and_gone_on_from():
    from bmi_runtime import config as configuration
    from bmi_runtime.session.core import Session, untrained_model
    from gui import performance, status
    from gui.session_commands import SessionCommands

    blocks = [{"kind": "observe", "length_s": 9.0}, {"kind": "fixed", "name": "test", "task": "pursuit"}]
    units = {"units": synthetic.UNITS}
    config = configuration.from_dict({"block": blocks, "session": units})
    session = Session(config, untrained_model(config))
    session.apply({"set": "session.block", "value": 2})
    store = Store()
    store.hello({**synthetic.hello(3.0), "config": config.model_dump()}, 100.0)
    for sequence, event in enumerate(session.events, 5000):
        store.receive("event", {"seq": sequence, "bin": store.bin, **event}, 100.0)
    assert status.block(store).startswith("block 2 of 2: test, pursuit")
    assert store.live["task.kind"] == "pursuit" and store.live["adapter.enabled"] is False
    assert performance.block_name(store.blocks[-1]) == "2: test, pursuit, not adapting"
    assert "Block 2 begins: test (block 1: the operator went on" in store.events[-1].text
    said, sent = [], []

    class Link:
        def send(self, command, answered):
            sent.append(command)

    link = Link()
    link.store = store
    commands = SessionCommands(link, None, said.append)
    commands.next_block()
    assert "the last one" in said[-1] and not sent
    store.live["session.block"] = 1
    commands.next_block()
    assert sent == [{"set": "session.block", "value": 2}]


def test_what_is_said_of_the_array_is_one_line_with_its_severity():
    store = filled()
    told = {
        "name": "stability",
        "verdict": "widen",
        "score": 2.31,
        "reference": "mon.mcap",
        "text": "widen: start from",
    }
    store.receive("event", {"seq": 9000, "bin": store.bin, **told, "units": 40, "changed_units": 7}, 100.0)
    short, text, severity = store.array_line
    assert short == "! array changed: widen (score 2.3)" and severity == "warning"
    assert "score 2.3 against mon.mcap" in text and "7 of 40 units changed" in text
    assert store.events[-1].severity == "warning"


@pytest.mark.parametrize("why", ["blocks", "duration", "signal", "source", "operator"])
def test_a_session_that_says_that_it_is_over_is_no_lost_connection(why):
    store = filled(3.0)
    assert store.connection(200.0) == "lost"
    store.receive("event", {"seq": 1, "bin": 600, "name": "session-ended", "why": why}, 110.0)
    assert store.connection(200.0) == "ended" and store.ended_why in status.why(store, "ended", 200.0)
    assert store.events[-1].text == f"The session ended: {store.ended_why}"
    feed(store, 601, 1, 201.0)
    assert store.connection(201.0) == "connected"


def test_what_a_session_still_owes_after_its_end_does_not_bring_it_back():
    store = filled(3.0)
    store.run = 7
    store.receive("event", {"seq": 1, "bin": 600, "run": 7, "name": "session-ended", "why": "signal"}, 110.0)
    owed = {"seq": 2, "bin": 600, "run": 7, "name": "data-missing", "suppressed": 9, "only_suppressed": True}
    store.receive("event", owed, 110.1)
    assert store.connection(112.0) == "ended"
    store.hello({**synthetic.hello(3.0), "run": 7}, 110.2)  # an answer that was on its way
    assert store.connection(112.0) == "ended"
    store.hello({**synthetic.hello(3.0), "run": 8}, 120.0)
    assert store.connection(120.1) == "connected" and store.connection(130.0) == "lost"


def test_bins_that_come_late_are_said_to_be_decoded_and_not_learned_from():
    store = filled(3.0)
    for row in store.steps.view[-40:]:
        row["adapting"], row["behind"] = 0, 1
    assert status.adaptation(store, "active")[2] == "late bins teach nothing"
    for row in store.steps.view[-40:]:
        row["behind"] = 0
    assert "late" not in status.adaptation(store, "active")[2]


def test_a_session_after_one_that_had_ended_is_no_restart():
    store = filled(3.0)
    store.run = 7
    store.receive("event", {"seq": 1, "bin": 600, "run": 7, "name": "session-ended", "why": "blocks"}, 110.0)
    feed(store, 1, 1, 120.0, run=8)
    assert store.needs_hello and [e.name for e in store.events][-1] == "session-began"
    assert "runtime-restarted" not in [e.name for e in store.events]
