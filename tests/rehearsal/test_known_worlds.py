"""Rehearsal against truth: pilots of known worlds, and what sessions in those same worlds really give."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.cli.rehearse_candidates import base_configuration
from bmi_runtime.rehearsal import sessions, study
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from simulators.world import World

pytestmark = pytest.mark.slow
BASE = {"session.bin_s": "0.02", "session.units": "60", "adapter.learning_rate": "4e-6"}
WORLDS = [
    {"subject.feedback_delay_s": "0.15", "subject.intention_noise": "0.3", "session.units": "96"},
    {"population.burst_extra": "0.5", "subject.feedback_delay_s": "0.1"},
    {"population.depth": "[0.2,0.5]"},
    {"population.untuned_fraction": "0.5", "subject.intention_noise": "0.5"},
    {"population.noise_sd": "0.4", "population.noise_shared": "0.5", "session.units": "96"},
    {"population.baseline_walk_per_root_s": "0.03", "population.direction_walk_rad_per_root_s": "0.03"},
    {"population.speed_depth": "[-0.3,0.3]", "population.position_depth": "[0.0,0.3]"},
    {"population.history_gain": "[-0.6,0.2]", "subject.feedback_delay_s": "0.2"},
    {"population.baseline_hz": "[2.0,8.0]", "session.units": "120"},
    {"subject.natural_frequency_hz": "0.6", "subject.intention_noise": "0.1", "session.units": "40"},
]
SETTINGS = [
    {},
    {"adapter.learning_rate": "4e-3"},
    {"adapter.learning_rate": "4e-2"},
    {"decoder.velocity_sd_m_s": "0.05"},
    {"decoder.velocity_time_constant_s": "0.1"},
    {"decoder.parameter_trust": "0.0"},
    {"task.target_radius_m": "0.01"},
    {"task.hold_s": "0.6"},
]
SECONDS, SEEDS, TRUE_SEEDS = 40.0, 6, 3


class Truth:
    """A known world's units with fresh noise, where a session expects a fitted one."""

    axes = 2


def really(monkeypatch, known: dict, setting: dict, seed: int, drawn_from: int) -> dict[str, float]:
    """Run one session in a known world: the same units, other noise."""
    base = configuration.load(None, [f"{key}={value}" for key, value in known.items()]).model_dump()
    config = sessions.session_config(base, setting, seed)
    section = config.session.model_copy(update={"seed": drawn_from})
    world = World(config.model_copy(update={"session": section}))
    fresh = [np.random.default_rng(one) for one in np.random.SeedSequence([seed, 77]).spawn(3)]
    world.subject.rng, world.population.rng, world.pilot_rng = fresh
    monkeypatch.setattr(sessions, "RehearsedWorld", lambda config, fitted: world)
    found = sessions.simulate_session(config, Truth, SECONDS)
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_a_rehearsal_tells_what_sessions_really_give(number, tmp_path, monkeypatch):
    known, path, seed = BASE | WORLDS[number], tmp_path / "pilot.mcap", 100 + number
    given = [f"recording.path='{path}'", f"session.seed={seed}", *(f"{key}={value}" for key, value in known.items())]
    launch.run(assemble(configuration.load(None, given), "max"), 6000)  # two minutes
    world, pilot = world_of(path)
    plan = study.Rehearsal(world, base_configuration(world, pilot, None, ()), SETTINGS, SEEDS, 1, SECONDS)
    answer = study.answer(plan, study.run_here(plan))
    true = [[really(monkeypatch, known, setting, 1000 + k, seed) for k in range(TRUE_SEEDS)] for setting in SETTINGS]
    inside = []
    for measure in ("hits_per_min", "time_to_target_s"):
        for entry, runs in zip(answer["settings"], true, strict=True):
            low, high = entry[measure]["interval"]
            inside.append(low <= np.nanmean([run[measure] for run in runs]) <= high)
    print(f"world {number}: {np.sum(inside)} of {len(inside)} inside")
    assert np.mean(inside) >= 0.8  # over all worlds nine in ten; single ones vary
    hits = np.array([np.mean([run["hits_per_min"] for run in runs]) for runs in true])
    predicted = np.array([entry["hits_per_min"]["mean"] for entry in answer["settings"]])
    ranks = [np.argsort(np.argsort(values)) for values in (hits, predicted)]
    best = hits[answer["recommended"]["number"]] / hits.max()
    print(f"rank correlation {np.corrcoef(*ranks)[0, 1]:.2f}; recommended {best:.3f} of the best")
    assert np.corrcoef(*ranks)[0, 1] >= 0.6  # settings within a hit of each other change places
    assert hits[answer["recommended"]["number"]] >= 0.97 * hits.max()
