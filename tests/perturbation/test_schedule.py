"""The stimulation schedule: balance, chance, events, and the way back from counts to effects."""

import numpy as np
import pytest

from bmi_runtime.analysis.perturbation import effects, observational
from bmi_runtime.analysis.perturbation.schedule import StimulationDesign, load_schedule, trial_responses
from bmi_runtime.errors import BadInput


def test_the_same_design_gives_the_same_schedule_and_another_seed_another():
    first, second = (StimulationDesign(units=(1, 4, 6), trials=50, seed=3).draw() for _ in range(2))
    other = StimulationDesign(units=(1, 4, 6), trials=50, seed=4).draw()
    assert np.array_equal(first.assignments, second.assignments) and np.array_equal(first.onsets_s, second.onsets_s)
    assert not np.array_equal(first.assignments, other.assignments)


def test_units_take_part_and_are_stimulated_equally_often():
    drawn = StimulationDesign(units=tuple(range(7)), trials=210, per_trial=3, sham_fraction=1 / 3, seed=1).draw()
    assert ((drawn.assignments >= 0).sum(axis=1) == 3).all()
    assert np.ptp((drawn.assignments >= 0).sum(axis=0)) <= 1
    assert ((drawn.assignments == 0).sum(axis=0) == 30).all()


def test_assignments_of_different_units_are_independent():
    drawn = StimulationDesign(units=tuple(range(20)), trials=2000, seed=2).draw()
    apart = np.corrcoef(drawn.assignments, rowvar=False)[np.triu_indices(20, 1)]
    assert np.abs(apart).max() < 4.5 / np.sqrt(2000)


def test_events_name_stimulated_and_sham_units_once_in_time_order():
    drawn = StimulationDesign(units=(2, 5), trials=30, interval_s=0.2, jitter_s=0.1, seed=1).draw()
    bins = [list(drawn.events_between(k * 0.05, (k + 1) * 0.05)) for k in range(200)]
    events = [event for found in bins for event in found]
    assert [event["trial"] for event in events] == list(range(30))
    for event in events:
        assert sorted(event["stimulate"] + event["sham"]) == [2, 5]
    assert (np.diff(drawn.onsets_s) > 0).all()


def test_added_spikes_follow_the_events():
    drawn = StimulationDesign(units=(2, 5), trials=10, pulses=3, seed=1).draw()
    total = sum(drawn.added_spikes(k * 0.05, 0.05, 8) for k in range(200))
    expected = np.zeros(8)
    expected[[2, 5]] = 3 * (drawn.assignments == 1).sum(axis=0)
    assert np.array_equal(total, expected)
    with pytest.raises(BadInput, match="only 4 units"):
        drawn.added_spikes(0, 1, 4)


def test_saved_and_loaded_schedule_is_the_same(tmp_path):
    drawn = StimulationDesign(units=(2, 5), trials=10, seed=1).draw()
    drawn.save(tmp_path / "schedule.npz")
    loaded = load_schedule(tmp_path / "schedule.npz")
    assert [loaded.event(k) for k in range(10)] == [drawn.event(k) for k in range(10)]
    (tmp_path / "broken.npz").write_bytes(b"no")
    for name in ("broken.npz", "absent.npz"):
        with pytest.raises(BadInput):
            load_schedule(tmp_path / name)


def test_a_session_of_events_leads_back_to_the_effects():
    """Run a schedule bin by bin on simulated units, record counts, and recover what stimulation did."""
    rng = np.random.default_rng(3)
    design = StimulationDesign(units=(0, 1), trials=1500, interval_s=0.3, jitter_s=0.1, pulses=2, seed=5)
    drawn = design.draw()
    bin_s, n_units = 0.05, 4
    bins = int(np.ceil((drawn.onsets_s[-1] + 1) / bin_s))
    counts = np.zeros((bins, n_units), dtype=int)
    for k in range(bins):
        rates = np.full(n_units, 0.5)
        if k:
            rates[2] += 0.4 * counts[k - 1, 0]  # unit 0 drives unit 2; unit 1 drives nobody
        counts[k] = rng.poisson(rates) + drawn.added_spikes(k * bin_s, bin_s, n_units)
    seen = trial_responses(counts, bin_s, drawn.onsets_s, after_s=0.05)
    assignments = drawn.assignments[seen.kept]
    found = effects.difference_in_means(assignments, seen.after)
    assert abs(found.estimate[0, 2] - 2 * 0.4) < 4 * found.standard_error[0, 2]
    assert found.discoveries(0.01).tolist() == [[False, False, True, False], [False] * 4]
    per_spike = observational.wald(assignments, seen.during[:, drawn.units], seen.after)
    assert abs(per_spike.estimate[0, 2] - 0.4) < 4 * per_spike.standard_error[0, 2]


def test_trials_outside_the_recording_or_in_gaps_are_dropped_and_counted():
    counts = np.arange(40).reshape(20, 2)
    valid = np.ones(20, dtype=bool)
    valid[8] = False
    seen = trial_responses(counts, 0.1, [0.25, 0.75, 1.2, 1.95], after_s=0.2, valid=valid)
    assert seen.kept.tolist() == [True, False, True, False]
    assert seen.during[0].tolist() == [4, 5]
    assert seen.after[0].tolist() == [6 + 8, 7 + 9]
    with pytest.raises(BadInput, match="same clock"):
        trial_responses(counts, 0.1, [5.0], after_s=0.2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"units": ()}, "non-empty"),
        ({"units": (1, 1)}, "different"),
        ({"trials": 2}, "at least 4"),
        ({"sham_fraction": 0}, "nothing is compared"),
        ({"per_trial": 9}, "choose 1 to 3"),
        ({"jitter_s": 2.0}, "jitter_s"),
        ({"pulses": 0}, "pulses"),
        ({"trials": 6, "per_trial": 1}, "on average"),
    ],
)
def test_designs_that_cannot_answer_are_refused(change, words):
    with pytest.raises(BadInput, match=words):
        StimulationDesign(**({"units": (1, 2, 3), "trials": 40} | change))
