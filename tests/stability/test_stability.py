"""The stability of an array, on simulated days whose changes and whose cost for a fixed decoder are known."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis import array_days, stability, stability_cost
from bmi_runtime.cli.run import run
from bmi_runtime.cli.stability import stability as command
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput

UNITS, BIN_S = 40, 0.02


class Array:
    """Log-linear Poisson units, a first-order movement, and a fixed Kalman-like decoder of the first day's weights."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.first = self._units(UNITS)
        self.weights = self.first.copy()

    def _units(self, count):
        angle, depth = self.rng.uniform(0, 2 * np.pi, count), self.rng.uniform(0.5, 1.0, count)
        return np.array([np.log(self.rng.uniform(5, 15, count)), depth * np.cos(angle), depth * np.sin(angle)])

    def drift(self, turn=0.15, replaced=0.05):
        """One night."""
        angle = self.rng.normal(0.0, turn, UNITS)
        x, y = self.weights[1].copy(), self.weights[2].copy()
        self.weights[1] = np.cos(angle) * x - np.sin(angle) * y
        self.weights[2] = np.sin(angle) * x + np.cos(angle) * y
        new = self.rng.random(UNITS) < replaced
        self.weights[:, new] = self._units(int(new.sum()))

    def session(self, seconds):
        """Return (day, velocity in windows)."""
        steps, keep = round(seconds / BIN_S), np.exp(-BIN_S / 0.5)
        noise = self.rng.standard_normal((steps, 2)) * np.sqrt(1 - keep**2)
        velocity = np.zeros((steps, 2))
        for t in range(1, steps):
            velocity[t] = keep * velocity[t - 1] + noise[t]
        counts = self.rng.poisson(np.exp(self.weights[0] + velocity @ self.weights[1:]) * BIN_S)
        names = [str(unit) for unit in range(UNITS)]
        day = stability.day("day", counts, np.ones(steps, bool), BIN_S, names)
        return day, velocity[: len(day.counts) * 5].reshape(-1, 5, 2).mean(axis=1)

    def model(self):
        model = EncodingModel.untrained(np.exp(self.first[0]), "poisson", BIN_S, 0.1)
        model.weights[:] = self.first
        return model


def _reference(array):
    days = [array.session(120)[0] for _ in range(2)]
    return stability.Reference(days, array.first[1:].T, 30.0)


def test_unchanged_days_are_called_unchanged():
    array = Array(1)
    reference = _reference(array)
    found = [stability.compare(reference, array.session(30)[0]) for _ in range(40)]
    assert sum(one.changed for one in found) <= 1
    assert 0.7 < np.mean([one.score for one in found]) < 1.4
    flagged = [unit for one in found for unit in one.units if unit.verdict != "as before"]
    assert len(flagged) <= 0.005 * 40 * UNITS


def test_score_follows_what_the_change_costs_a_fixed_decoder():
    array = Array(2)
    reference, scores, losses = _reference(array), [], []
    decoder = stability_cost.FixedDecoder(array.model(), 1.0, 0.5)
    for _ in range(20):
        day, velocity = array.session(60)
        scores.append(stability.compare(reference, day).score)
        losses.append(np.sqrt(np.mean(np.sum((decoder.decode(day.counts) - velocity) ** 2, axis=1))))
        array.drift()
    assert np.corrcoef(scores, losses)[0, 1] > 0.8


def test_units_that_changed_are_named():
    array = Array(3)
    reference = _reference(array)
    array.weights[1:, 4] *= -1.0  # the best-tuned direction turned round
    array.weights[0, 7] = -20.0  # silent
    array.weights[0, 9] += 1.0
    found = {unit.unit: unit.verdict for unit in stability.compare(reference, array.session(30)[0]).units}
    assert (found["4"], found["7"], found["9"]) == ("tuning", "silent", "rate")
    assert sum(verdict != "as before" for verdict in found.values()) <= 5


def test_verdicts_go_with_the_expected_cost():
    array = Array(4)
    reference = _reference(array)
    verdicts = []
    for nights in (0, 4, 40):
        for _ in range(nights):
            array.drift()
        found = stability.compare(reference, array.session(30)[0])
        cost = stability_cost.expected_cost(found, reference, array.model(), 0.1, 0.5, 1e-6)
        verdicts.append((stability_cost.verdict(found, cost), cost.error_ratio, cost.weight_sd))
        assert cost.adapt_s > 0
    assert verdicts[0][:2] == ("go-on", 1.0)
    assert verdicts[2][0] == "recalibrate"
    assert verdicts[0][1] <= verdicts[1][1] <= verdicts[2][1] and verdicts[1][2] < verdicts[2][2]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_tuning_that_is_kept_is_that_of_units_that_are_the_same(share):
    array = Array(6)
    reference = _reference(array)
    others = np.random.default_rng(9).permutation(UNITS)[: round(share * UNITS)]
    angle = np.random.default_rng(10).uniform(0.0, 2.0 * np.pi, len(others))
    size = np.linalg.norm(array.weights[1:, others], axis=0)
    before = array.weights[1:].copy()
    array.weights[1:, others] = size * np.array([np.cos(angle), np.sin(angle)])
    told = np.exp(array.weights[0])
    kept = (told * array.weights[1:] * before).sum() / (told * before**2).sum()  # sizes are the same
    found = np.mean([stability.compare(reference, array.session(30)[0]).kept for _ in range(4)])
    assert found == pytest.approx(kept, abs=0.15)


def test_a_unit_that_would_fire_more_than_any_can_does_not_stop_the_answer():
    array = Array(7)
    reference = _reference(array)
    found = stability.compare(reference, array.session(30)[0])
    model = array.model()
    model.weights[1, 0] = 3.0  # at 6 dm/s, which is drawn now and then, e^18
    assert stability_cost.expected_cost(found, reference, model, 0.15, 0.5, 1e-6).adapt_s > 0


def test_too_little_reference_is_refused():
    array = Array(5)
    day, _ = array.session(10)
    with pytest.raises(BadInput, match=r"16 s of reference"):
        stability.block_length_s([day], day)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Recordings of two sessions whose units have nothing to do with each other."""
    folder, paths = tmp_path_factory.mktemp("days"), []
    for seed in ("1", "9"):
        paths.append(str(folder / f"{seed}.mcap"))
        options = ["--headless", "--speed", "max", "--duration", "40", "--seed", seed, "--record", paths[-1]]
        assert CliRunner().invoke(run, options, catch_exceptions=False).exit_code == 0
    return paths


def _answer(*arguments):
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_command_on_sessions(sessions):
    one, other = sessions
    same = _answer(one, one)
    assert same["verdict"] == "go-on" and same["expected_error_ratio"] == 1.0
    changed = _answer(one, other)
    assert changed["verdict"] == "recalibrate" and changed["p"] < 1e-3 and changed["expected_error_ratio"] > 1.3
    assert set(same["moved_units"]) == set()
    with pytest.raises(BadInput, match="at least one reference"):
        CliRunner().invoke(command, [one], catch_exceptions=False)


def test_the_model_with_units_in_their_places_is_written(sessions, tmp_path):
    from bmi_runtime.recording.model_file import load_model

    one, other = sessions
    answer = _answer(one, other, "--write-model", str(tmp_path / "moved.npz"))
    before, found = load_model(one), load_model(answer["model"])
    like = [answer["moved_units"].get(name, name) for name in before.names]
    rows = [before.names.index(name) for name in like]
    assert found.names == before.names and (found.weights == before.weights[:, rows]).all()


def test_bins_that_do_not_fit_a_window_are_shared_out_so_that_rates_stay():
    rng = np.random.default_rng(4)
    for bin_s in (0.03, 0.04, 0.07, 0.12):
        counts = rng.poisson(20.0 * bin_s, (round(120 / bin_s), 5))
        found = stability.day("day", counts, np.ones(len(counts), bool), bin_s, list("abcde")).counts
        assert abs(len(found) - 120 / stability.WINDOW_S) <= 1
        assert found.sum() == pytest.approx(counts.sum(), rel=0.01)
    counts = np.arange(12.0)[:, None]  # bins of 40 ms: a window is two and a half of them
    usable = np.arange(12) != 8
    found = stability.day("day", counts, usable, 0.04, ["a"]).counts[:, 0]
    np.testing.assert_allclose(found, [0 + 1 + 0.5 * 2, 0.5 * 2 + 3 + 4, 5 + 6 + 0.5 * 7])  # the fourth has no bin 8


def test_days_of_other_kinds_are_not_compared():
    rng = np.random.default_rng(5)
    usable, names = np.ones(400, bool), ["a", "b"]
    counts = stability.day("counts.mcap", rng.poisson(1.0, (400, 2)), usable, 0.05, names)
    features = [
        stability.day(f"{w}.mcap", rng.normal(size=(400, 2)), usable, w, names, "gaussian") for w in (0.05, 0.02)
    ]
    with pytest.raises(BadInput, match=r"counts.mcap holds spike counts, 0.05.mcap features"):
        array_days.common_units([counts, features[0]])
    with pytest.raises(BadInput, match=r"bins of 50 ms, 0.02.mcap of 20 ms"):
        array_days.common_units(features)


def test_a_reference_given_twice_and_a_time_that_is_none_are_refused(sessions):
    one, other = sessions
    with pytest.raises(BadInput, match="the same session"):
        CliRunner().invoke(command, [one, one, other], catch_exceptions=False)
    with pytest.raises(BadInput, match="give a positive number"):
        CliRunner().invoke(command, [one, other, "--seconds", "nan"], catch_exceptions=False)
