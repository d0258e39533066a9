"""Numbers that are what they say: success by group, gaps in curves, bands that are not redrawn, alignment, going to."""

import math
import pathlib
import sys

import numpy as np
import pytest
from scipy import stats

from bmi_runtime.messages import STAGES, latency_ns
from gui import fold_steps, performance, web_state
from gui.goto import bin_of
from gui.panels.traces import trailing
from gui.panels.trajectories import trial_paths
from gui.ring_buffer import DecimatedHistory
from gui.rows import step_row, trial_row
from gui.running_error import running_errors
from gui.screenshot import store_from
from gui.timeline import Block
from gui.trial_aligned import BIN_S, TrialAligned, bins_of, octant

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import synthetic


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 7), (7, 7), (90, 100)])
def test_the_interval_is_wilsons(successes, trials):
    wanted = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert performance.wilson(successes, trials) == pytest.approx((wanted.low, wanted.high))


def trials_of(rows):
    made = np.zeros(len(rows), trial_row(2))
    for row, (success, time_s, block, assist, target, inside) in zip(made, rows, strict=True):
        row["success"], row["time_s"], row["block"], row["assist"], row["inside_s"] = (
            success,
            time_s,
            block,
            assist,
            inside,
        )
        row["target"] = target
    return made


def test_groups_count_every_trial_once_in_every_way():
    nan, blocks = math.nan, [Block(1, 0.0, "centre-out", True, False), Block(2, 9.0, "pursuit", False, True)]
    trials = trials_of(
        [
            (1, 1.0, 0, 0.0, (0.1, 0.0), nan),
            (0, 8.0, 0, 0.2, (0.0, 0.1), nan),
            (1, 3.0, 0, 0.2, (0.1, 0.0), nan),
            (1, 8.0, 1, 0.0, (0.03, 0.01), 6.0),
        ]
    )
    for way in performance.WAYS:
        *groups, whole = performance.grouped(trials, blocks, way)
        assert sum(group.trials for group in groups) == whole.trials == 4
        assert sum(group.successes for group in groups) == whole.successes == 3
    first, second, _ = performance.grouped(trials, blocks, "block")
    assert (first.label, first.trials, first.successes, first.median_s) == ("1: centre-out, adapting", 3, 2, 2.0)
    assert second.label == "2: pursuit, not adapting, decoder frozen" and second.inside == 0.75
    assert math.isnan(second.median_s)  # a target that moves has no time to it
    assert [g.label for g in performance.grouped(trials, blocks, "assist")][:2] == ["assist 0 %", "assist 20 %"]


def test_error_curves_have_a_gap_while_the_cursor_stands_still_and_no_value_of_it_enters_the_mean():
    rows = np.zeros(600, step_row(2))
    rows["t_s"] = np.arange(600) / 60.0
    rows["intended"][:, 0], rows["decoded"][:, 2] = 0.1, 0.12
    rows["still"][200:400], rows["decoded"][200:400, 2] = 1, 5.0
    error, angle = running_errors(rows, 60)
    assert np.isnan(error[240:400]).all() and np.isnan(angle[240:400]).all()
    shown = np.isfinite(error)
    assert error[shown] == pytest.approx(0.02) and shown[:200].all() and shown[402:].all()


@pytest.mark.parametrize("axes", [1, 2, 3, 8])
def test_errors_of_any_number_of_axes(axes):
    rows = np.zeros(50, step_row(axes))
    rows["t_s"] = np.arange(50) / 60.0
    rows["intended"] = 0.1
    rows["decoded"][:, axes:] = 0.1
    rows["decoded"][:, axes] += 0.03
    error, _ = running_errors(rows, 10)
    assert error == pytest.approx(0.03)


def test_what_a_band_showed_for_a_moment_stays_when_later_moments_are_known():
    rng = np.random.default_rng(0)
    times, values = np.arange(100) / 2.0, rng.normal(size=100)
    early = trailing(times[:60], values[:60], 20.0)
    late = trailing(times, values, 20.0)
    for a, b in zip(early, late, strict=True):
        assert np.allclose(a, b[:60])
    inside = (times > times[70] - 20.0 - 1e-9) & (times <= times[70])
    assert late[0][70] == pytest.approx(values[inside].mean()) and late[1][70] == pytest.approx(values[inside].std())


def test_a_replay_that_stands_still_does_not_fill_the_history_with_one_moment():
    store = store_from(synthetic.hello(12))
    rows = len(store.model_rows)
    for _ in range(10):
        fold_steps.take_model(store, {"bin": store.bin, **synthetic.model(12.0)})
    assert len(store.model_rows) <= rows + 1
    kept = DecimatedHistory(4)
    kept.append(1.0)
    kept.replace_last(2.0)
    assert kept.view.tolist() == [2.0]


def test_latency_is_from_deadline_to_command():
    stage_ns = np.array([[1000 * 2**n for n in range(len(STAGES))]])
    assert latency_ns(stage_ns, np.array([500])) == [2000 + 4000 + 8000 + 500]
    assert latency_ns(stage_ns, np.array([-500])) == [2000 + 4000 + 8000]  # early is not negative work


def test_spikes_are_aligned_to_go_and_to_the_end():
    aligned, width = TrialAligned(3), 0.015
    ends = 100.0 + width * np.arange(1, 201)
    columns = np.zeros((200, 3), np.float32)
    begin, end = 100.6, 102.1
    columns[np.argmin(np.abs(ends - width / 2 - (begin + 0.22))), 1] = 2.0  # two spikes 0.22 s after go
    aligned.add(columns, ends, np.full(200, width), begin, end, octant((0, 0), (0, 0.1)), True)
    rates = aligned.rates("go")[2, :, 1]
    at = int(np.nanargmax(rates))
    assert abs(bins_of("go")[at] - 0.22) <= BIN_S and np.nansum(rates > 0) == 1
    late = aligned.rates("end of trial")[2, :, 1]
    assert abs(bins_of("end of trial")[int(np.nanargmax(late))] - (begin + 0.22 - end)) <= BIN_S or not np.nansum(late)
    assert np.isnan(aligned.rates("go")[0]).all()


def test_the_two_components_are_the_largest_of_all():
    aligned, rng = TrialAligned(12), np.random.default_rng(1)
    pattern = rng.uniform(1, 9, (8, 12))
    for direction in range(8):
        columns = np.repeat(pattern[direction][None] * 0.015, 200, axis=0)
        ends = 0.015 * np.arange(1, 201)
        aligned.add(columns, ends, np.full(200, 0.015), 0.5, 2.5, direction, True)
    paths, shares = aligned.components("go")
    points = np.sqrt(aligned.rates("go").reshape(-1, 12))
    points = points[np.isfinite(points).all(axis=1)]
    variances = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    assert shares == pytest.approx(variances[:2] / variances.sum(), rel=1e-6)
    assert paths.shape[2] == 2


def test_paths_are_those_of_whole_trials():
    rows, trials = np.zeros(300, step_row(3)), np.zeros(2, trial_row(3))
    rows["t_s"], rows["cursor"][:, 0] = np.arange(300) / 60.0, np.arange(300)
    trials["t_s"], trials["time_s"], trials["success"] = [0.5, 4.0], [2.0, 1.0], [1, 0]
    ((points, _, success),) = trial_paths(rows, trials, 3)  # the first one began before the rows
    assert not success and points[0, 0] == 181 and points[-1, 0] == 240


def test_where_a_person_wants_to_go():
    entries = [(10, "Trial 1 reached in 2.00 s"), (300, "Trial 12 timed out"), (50, "marker 2"), (51, "marker 21")]
    for text, wanted in {
        "trial 1": 11,
        "Trial 12": 301,
        "marker 2": 51,
        "1:30": 18000,
        "90 s": 18000,
        "bin 7": 7,
    }.items():
        assert bin_of(text, entries, 0.005, 20000) == wanted
    assert "ends at bin 20000" in bin_of("1:00:00", entries, 0.005, 20000)
    assert "nothing" in bin_of("marker 3", entries, 0.005, 20000) and "type where" in bin_of(" ", entries, 0.005, 9)


def test_the_page_tells_gaps_as_gaps():
    store = store_from(synthetic.hello(5))
    store.steps.view["still"][:] = 1
    assert set(web_state.curves(store)["error_cm_s"]) == {None}
