"""What the bar says in each state, what a form hands to a session, and the curves' means: without a window."""

import numpy as np
import pytest
import synthetic

from bmi_runtime.messages import SafetyState, StateSpace
from gui import event_log, form_values, status, what_if_form
from gui.running_error import RUNNING_S, running_errors, window_rows
from gui.store import LOST_AFTER_S, Store, step_row
from gui.trial_aligned import BIN_S, DIRECTIONS, SMOOTHED_S, bins_of, octant, smoothed


def filled(seconds: float) -> Store:
    """Return a store that has received a session of formulas; its last message came at 100 s."""
    from gui.screenshot import store_from

    store = store_from(synthetic.hello())
    for index in range(round(seconds / (synthetic.EVERY * synthetic.BIN_S))):
        store.receive("step", synthetic.step(index), 100.0)
    store.last_s, store.step = 100.0, store.step.copy()
    return store


@pytest.mark.parametrize(
    ("safety", "held", "state"),
    [
        (SafetyState.STARTING, False, "starting"),
        (SafetyState.CALIBRATING, False, "calibrating"),
        (SafetyState.ACTIVE, False, "running"),
        (SafetyState.ACTIVE, True, "held"),
        (SafetyState.DEGRADED, True, "held"),
        (SafetyState.FROZEN, True, "frozen"),  # a hold does not hide that the output is not trusted
        (SafetyState.STOPPED, True, "stopped"),
    ],
)
def test_the_state_is_one_word_and_the_worst_of_two_is_said(safety, held, state):
    store = filled(1.0)
    store.step["output"]["safety"] = int(safety)
    store.live["session.hold"] = held
    assert status.state_of(store, 100.1) == state
    assert status.why(store, state, 100.1)


def test_silence_comes_before_everything_that_was_said_last():
    store = filled(1.0)
    assert status.state_of(store, 100.0 + LOST_AFTER_S + 0.1) == "lost"
    assert "silent for 7 s" in status.why(store, "lost", 107.0)
    store.hold_owed = True
    assert status.why(store, "lost", 107.0).startswith("Hold is sent when it answers")


def test_of_a_silent_source_is_told_for_how_long_and_which():
    store = filled(1.0)
    store.config["source"] = {"kind": "zeromq"}
    store.step["input"]["stale"] = round(12.0 / store.bin_s)
    assert status.why(store, "frozen", 100.0) == "no spikes for 12 s from zeromq"
    store.step["input"]["stale"] = round(0.2 / store.bin_s)
    assert status.why(store, "degraded", 100.0) == "no spikes just now"
    store.continuous = True
    assert status.why(store, "degraded", 100.0) == "no features just now"


@pytest.mark.parametrize(
    ("live", "state", "word", "reason"),
    [
        ({"adapter.enabled": False}, "running", "NOT ADAPTING", "switched off (F7)"),
        ({"decoder.frozen": True}, "running", "DECODER FROZEN", "the model adapts unseen"),
        ({"decoder.frozen": True, "adapter.enabled": False}, "running", "DECODER FROZEN", "rate"),
        ({}, "held", "NOT ADAPTING", "held"),
        ({}, "stopped", "NOT ADAPTING", "output stopped"),
        ({}, "starting", "NOT ADAPTING", "no usable bin yet"),
    ],
)
def test_why_nothing_is_learned_is_said(live, state, word, reason):
    store = filled(1.0)
    store.live |= live
    if not live:
        for row in store.steps.view:
            row["adapting"] = 0
    if live.get("adapter.enabled") is False:
        for row in store.steps.view:
            row["adapting"] = 0
    told = status.adaptation(store, state)
    assert told[0] == word and told[2].startswith(reason)
    assert status.adaptation(store, "lost") == ("", "muted", "")


@pytest.mark.parametrize("seconds", [0.0, 0.3, 5.0])
def test_running_errors_are_means_over_the_last_two_seconds_with_gaps(seconds):
    rng, rows = np.random.default_rng(1), np.zeros(round(60 * seconds), step_row(2))
    rows["t_s"] = np.arange(len(rows)) / 60.0
    rows["intended"], rows["decoded"] = rng.normal(0, 0.1, (len(rows), 2)), rng.normal(0, 0.1, (len(rows), 4))
    rows["still"][60:150] = 1  # held for a second and a half
    window = window_rows(rows)
    assert window == (1 if len(rows) < 2 else round(60 * RUNNING_S))
    error, angle = running_errors(rows, window)
    assert len(error) == len(angle) == len(rows)
    for t in range(len(rows)):
        recent = [k for k in range(max(t + 1 - window, 0), t + 1) if not rows["still"][k]]
        moved = [k for k in range(t + 1) if not rows["still"][k]]
        if not moved or rows["t_s"][t] - rows["t_s"][moved[-1]] > 0.5:
            assert np.isnan(error[t]) and np.isnan(angle[t])
            continue
        away = rows["decoded"][recent, 2:] - rows["intended"][recent]
        assert error[t] == pytest.approx(np.sqrt((away**2).sum(axis=1).mean()))
        angles = [
            np.degrees(np.arccos(np.clip(d @ i / np.linalg.norm(d) / np.linalg.norm(i), -1, 1)))
            for d, i in zip(rows["decoded"][recent, 2:], rows["intended"][recent], strict=True)
            if np.linalg.norm(i) > 0.02
        ]
        assert angle[t] == pytest.approx(np.mean(angles))


def test_rates_around_trials_are_smoothed_over_what_is_known():
    rng = np.random.default_rng(2)
    rates = rng.uniform(0.0, 30.0, (3, 12, 2))
    rates[1, 4:6] = np.nan
    out = smoothed(rates)
    for d, t, unit in np.ndindex(rates.shape):
        lags = [lag for lag in range(-4, 5) if 0 <= t - lag < 12 and np.isfinite(rates[d, t - lag, unit])]
        weights = np.exp([-0.5 * (lag * BIN_S / SMOOTHED_S) ** 2 for lag in lags])
        wanted = weights @ [rates[d, t - lag, unit] for lag in lags] / weights.sum()
        assert np.isnan(out[d, t, unit]) if np.isnan(rates[d, t, unit]) else out[d, t, unit] == pytest.approx(wanted)
    assert bins_of("go")[0] == pytest.approx(-0.275) and bins_of("end of trial")[-1] == pytest.approx(-0.025)


def test_a_direction_is_the_arrow_that_points_there_in_one_axis_and_more():
    arrows = {
        (1, 0): "→",
        (1, 1): "↗",
        (0, 1): "↑",
        (-1, 1): "↖",
        (-1, 0): "←",
        (-1, -1): "↙",
        (0, -1): "↓",
        (1, -1): "↘",
    }
    for way, arrow in arrows.items():
        assert DIRECTIONS[octant((0.02, -0.01), (0.02 + way[0], -0.01 + way[1]))] == arrow
        assert DIRECTIONS[octant((0.0, 0.0, 5.0), (*way, 0.0))] == arrow  # a third axis has no arrow
    assert DIRECTIONS[octant((0.1,), (0.0,))] == "←"


def test_a_look_at_the_source_records_nothing_and_opens_no_socket():
    values = {
        "config": "default",
        "source.kind": "zeromq",
        "adapter.learning_rate": "1,5e-6",
        "block": [{"kind": "adapt"}],
    }
    given = form_values.arguments(values, 4, "today.mcap", {"publish_address": "tcp://127.0.0.1:5581"})
    assert "adapter.learning_rate=1.5e-6" in given and "today.mcap" in given
    checked = form_values.for_a_check(given, 2)
    assert checked[checked.index("--record") + 1] == "none" and checked[checked.index("--duration") + 1] == "2"
    assert not any(part.startswith(("block=", "telemetry.publish_address")) for part in checked)
    assert "telemetry.enabled=false" in checked and 'source.kind="zeromq"' in [
        part.replace("'", '"') for part in checked
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"adapter.learning_rate": "fast"}, "'fast' is not a number"),
        ({"task.assist": "1,2"}, "1.2 lies outside 0 to 1"),
        ({"duration": "-5"}, "-5 lies outside"),
        ({"encoding.initial": "nowhere.mcap"}, "there is no file nowhere.mcap"),
        ({"adapter.learning_rate": "1,5e-6", "task.assist": "", "encoding.initial": "untrained"}, ""),
    ],
)
def test_what_a_form_cannot_start_is_said_before(values, words):
    told = form_values.fault(values, "")
    assert words in told and bool(told) == bool(words)


def test_an_existing_recording_is_not_written_over(tmp_path):
    (tmp_path / "a.mcap").touch()
    assert "never overwritten" in form_values.fault({}, str(tmp_path / "a.mcap"))
    assert form_values.fault({}, str(tmp_path / "b.mcap")) == ""


def test_an_earlier_session_gives_its_metadata_and_its_settings():
    entry = {"metadata": {"subject_id": "M1", "notes": "slow"}, "settings": {"task.kind": "pursuit"}}
    assert form_values.of_an_earlier(entry) == {
        "metadata.subject_id": "M1", "metadata.notes": "slow", "task.kind": "pursuit"
    }  # fmt: skip
    assert form_values.of_an_earlier({}) == {}
    assert form_values.shown(["A", "B"]) == "A, B" and form_values.shown(2.50) == "2.5"


@pytest.mark.parametrize("name", sorted(event_log.EVENTS))
def test_every_event_is_a_sentence_even_where_it_lacks_its_fields(name):
    for message in ({"name": name, "bin": 12}, {"name": name, "bin": 12, "error": "x" * 500, "text": "of the device"}):
        entry = event_log.of_event(message, 0.005)
        assert entry.text or name == "note"
        assert entry.bin == 12 and entry.t_s == pytest.approx(0.06)
        assert entry.severity in event_log.SEVERITIES and entry.kind in event_log.GROUPS
        assert "_" not in entry.text.replace("max_speed", "") and "{" not in entry.text


@pytest.mark.parametrize("part", ["decoder", "task", "intention"])
def test_a_part_that_failed_is_an_alarm_with_its_error_and_what_goes_on(part):
    message = {"name": f"{part}-failed", "bin": 3, "kind": "mine", "error": "ValueError: 3", "goes_on_with": "ours"}
    entry = event_log.of_event(message, 0.005)
    assert entry.severity == "alarm" and entry.text == f"The {part} mine failed: ValueError: 3; ours goes on"


def test_an_event_that_nobody_knows_is_told_by_its_fields():
    entry = event_log.of_event({"name": "pump-empty", "bin": 1, "left_ml": 0.25, "valve": None, "seq": 9}, 0.005)
    assert entry.text == "Pump empty: left ml 0.25, valve none" and entry.severity == "warning"


@pytest.mark.parametrize(
    ("units", "first", "apart"),
    [
        (("m", "m"), "12.00 cm/s", "-2.00 cm/s (95 %: -3.00 to -1.00)"),
        (("deg", "deg"), "0.12 deg/s", "-0.02 deg/s (95 %: -0.03 to -0.01)"),
        (("m", "deg"), "0.12 units of the axes/s", "-0.02 units of the axes/s (95 %: -0.03 to -0.01)"),
    ],
)
def test_the_answer_to_a_what_if_is_in_the_unit_of_the_axes(units, first, apart):
    paired = {"errors_m_s": [0.12, None], "interval_m_s": [-0.03, -0.01], "difference_m_s": -0.02, "where": ""}
    found = {"settings": [[], ["decoder.frozen=true"]], "paired": paired}
    error = what_if_form.quantities(StateSpace(axes=("a", "b"), units=units))["velocity error"]
    said = what_if_form.summary(found, error)
    assert f"A as recorded: {first}" in said and f"B − A {apart}" in said
    assert "decoder.frozen=true: - " in said
