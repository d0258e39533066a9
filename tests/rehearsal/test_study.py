"""What a rehearsal recommends, and what it takes for the units' own."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.cli.rehearse import describe
from bmi_runtime.cli.rehearse_candidates import candidates
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal import study
from bmi_runtime.rehearsal.sessions import MEASURES, _Overheard, _Unrelated, session_config, session_in
from simulators.world import World


def rehearsal(settings, seeds):
    return study.Rehearsal(None, {}, settings, seeds, 1, 60.0)


def measures(hits, unrelated=None):
    found = dict.fromkeys(MEASURES, 1.0) | {"hits_per_min": hits}
    return found | ({} if unrelated is None else {"unrelated_hits_per_min": unrelated})


def test_hits_that_the_teacher_reaches_without_the_units_do_not_count():
    settings = [{}, {"adapter.learning_rate": "1e-2"}, {"encoding.regressors": "['velocity','history']"}]
    found = {}
    for seed in (1, 2, 3):
        own = seed < 3  # two of the seeds are run with unrelated counts
        found[seed, 0] = measures(12.0 + seed, 0.5 if own else None)
        found[seed, 1] = measures(46.0 + seed, 32.0 if own else None)
        found[seed, 2] = measures(41.0 + seed, 0.0 if own else None)
    result = study.answer(rehearsal(settings, 3), found)
    assert [entry["unrelated_hits_per_min"] for entry in result["settings"]] == [0.5, 32.0, 0.0]
    assert result["recommended"]["number"] == 2
    why = result["recommended"]["why"]
    assert "43.0 hits per minute" in why and "48.0, but 32.0" in why and "teacher moves the cursor" in why
    without = {task: {k: v for k, v in row.items() if not k.startswith("unrel")} for task, row in found.items()}
    result = study.answer(rehearsal(settings, 3), without)
    assert result["recommended"]["number"] == 1 and result["settings"][0]["unrelated_hits_per_min"] is None


def test_hits_by_chance_are_not_called_the_teachers():
    """In a task of few near targets any counts reach some, with every setting."""
    found = {}
    for seed in (1, 2):
        found[seed, 0] = measures(12.0, 12.0)
        found[seed, 1] = measures(11.95, 11.8)
    why = study.answer(rehearsal([{}, {"adapter.learning_rate": "1e-7"}], 2), found)["recommended"]["why"]
    assert "teacher" not in why


def test_settings_that_give_the_very_same_sessions_are_named():
    """The decoders "kalman" and "point-process" are one filter on counts; a rehearsal between them says so."""
    settings, found = [{}, {"decoder.kind": "kalman"}, {"decoder.velocity_sd_m_s": "0.1"}], {}
    for seed in (1, 2):
        for number in range(3):
            config = session_config(configuration.load(None, ["session.units=10"]).model_dump(), settings[number], seed)
            found[seed, number] = session_in(config, World(config), 5.0)
    found[1, 2]["hits_per_min"] = found[1, 0]["hits_per_min"]
    answer = study.answer(rehearsal(settings, 2), found)
    assert [entry["same_as"] for entry in answer["settings"]] == [None, 0, None]
    world = {"units": 10, "likelihood": "poisson", "bin_s": 0.005, "regressors": ["v0"], "shared_factors": 0,
             "subject": {}, "notes": []}  # fmt: skip
    assert "'decoder.kind=kalman' gave the very same sessions as 'as it is'" in describe(answer | {"world": world})


def test_clicks_are_not_rehearsed():
    with pytest.raises(BadInput, match="no world is fitted to clicks"):
        study.check_candidates([{"state.click_threshold": "0.9"}])


def test_candidates_are_written_as_settings_are():
    tried = [
        "encoding.regressors=['velocity', 'history'] adapter.learning_rate=1e-5",
        "block=[{kind='observe', length_s=30}, {kind='adapt'}]",
        "\"block=[{kind='adapt'}]\"",
        "encoding.initial='monday morning.npz'  task.assist=0.2",
    ]
    found = candidates([], tried, configuration.load(None).model_dump())
    assert found == [
        {},
        {"encoding.regressors": "['velocity', 'history']", "adapter.learning_rate": "1e-5"},
        {"block": "[{kind='observe', length_s=30}, {kind='adapt'}]"},
        {"block": "[{kind='adapt'}]"},
        {"encoding.initial": "'monday morning.npz'", "task.assist": "0.2"},
    ]
    with pytest.raises(BadInput, match="quote"):
        candidates([], ["decoder.fitted_file='monday"], {})


def test_counts_in_the_reverse_order_know_nothing_of_the_target():
    hits = {}
    for rate in ("1e-6", "1e-2"):
        config = configuration.load(None, ["session.units=24", "session.bin_s=0.02", f"adapter.learning_rate={rate}"])
        heard = _Overheard(World(config))
        own = session_in(config, heard, 60.0)["hits_per_min"]
        hits[rate] = own, session_in(config, _Unrelated(heard), 60.0)["hits_per_min"]
    assert len(heard.rows) == pytest.approx(3000) and not np.array_equal(heard.rows[0], heard.rows[-1])
    assert hits["1e-6"][0] > 40 and hits["1e-6"][1] <= 2, hits
    assert hits["1e-2"][1] > 10, hits
