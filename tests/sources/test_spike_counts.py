"""Spike trains counted in bins: against counting one by one, on edges, over segments, and what is refused."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.glm import glm
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.spike_counts import bin_trains, count_spikes


def written_gdf(path, seed=1):
    """Write two units and a rare event; return the ticks of both."""
    rng = np.random.default_rng(seed)
    ticks = [np.sort(rng.choice(np.arange(100, 5000), size, replace=False)) for size in (800, 300)]
    rows = [(unit, tick) for unit, train in zip((7, 9), ticks, strict=True) for tick in train]
    rows += [(64, 100), (64, 5000), (65, 2000)]
    path.write_text("".join(f"{unit} {tick}\n" for unit, tick in sorted(rows, key=lambda row: row[1])))
    return ticks


def test_every_spike_of_a_gdf_is_in_the_bin_of_its_tick(tmp_path):
    ticks = written_gdf(tmp_path / "a.gdf")
    found = count_spikes(tmp_path / "a.gdf", 1e-3)
    assert found.unit_names == ["7", "9"]
    assert found.counts.shape == (4900, 2)
    for unit, train in enumerate(ticks):  # ticks times 1e-3 are not exact in binary
        assert np.array_equal(np.flatnonzero(found.counts[:, unit]), train - 100)
    assert found.left_out == 0


def test_many_units_and_few_events_are_told_apart(tmp_path):
    rng = np.random.default_rng(2)
    rows = [(code, tick) for code in range(12) for tick in rng.integers(0, 9000, 150 * (code + 1))]
    rows += [(code, tick) for code in (100, 101, 102) for tick in rng.integers(0, 9000, 12)]
    (tmp_path / "b.gdf").write_text("".join(f"{code} {tick}\n" for code, tick in sorted(rows, key=lambda row: row[1])))
    assert count_spikes(tmp_path / "b.gdf", 0.01).unit_names == [str(code) for code in range(12)]


def test_counts_agree_with_counting_one_by_one():
    rng = np.random.default_rng(3)
    train_s = np.sort(rng.uniform(-1.0, 11.0, 500))
    counts = bin_trains([train_s], (0.25, 10.05), 0.1)[:, 0]
    assert len(counts) == 98
    expected = [sum(1 for t in train_s if 0.25 + 0.1 * k <= t < 0.25 + 0.1 * (k + 1)) for k in range(98)]
    assert counts.tolist() == expected


def test_a_verb_writes_what_the_other_verbs_read(tmp_path):
    written_gdf(tmp_path / "a.gdf")
    run = CliRunner()
    out = str(tmp_path / "a.npz")
    told = run.invoke(glm, ["bin", str(tmp_path / "a.gdf"), "--units", "9,7", "--out", out, "--json"])
    facts = json.loads(told.stdout.splitlines()[-1])
    assert (facts["units"], facts["spikes"], facts["unit_names"]) == (2, 1100, ["9", "7"])
    fitted = run.invoke(glm, ["fit", out, "--history-bins", "5", "--json"])
    assert fitted.exit_code == 0, fitted.output
    assert len(json.loads(fitted.stdout.splitlines()[-1])["bits_per_spike"]) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"bin_s": 0.0}, "above zero"),
        ({"bin_s": float("nan")}, "above zero"),
        ({"bin_s": 60.0}, "longer than the recording"),
        ({"bin_s": 1e-12}, "too many"),
        ({"bin_s": 0.01, "units": ["8"]}, "has no unit 8; it has 7, 9"),
        ({"bin_s": 0.01, "segment": 2}, "segments 1 to 1, not 2"),
    ],
)
def test_what_cannot_be_counted_is_said(tmp_path, asked, said):
    written_gdf(tmp_path / "a.gdf")
    with pytest.raises(BadInput, match=said):
        count_spikes(tmp_path / "a.gdf", **asked)


def test_the_longest_segment_of_a_real_file_is_taken_and_the_rest_named(recordings):
    pytest.importorskip("neo")
    whole = recordings / "acquisition" / "pause_correct.nev"
    first, second = (count_spikes(whole, 0.01, segment=k) for k in (1, 2))
    longest = count_spikes(whole, 0.01)
    lengths = [stop - start for start, stop in (first.segment_s, second.segment_s)]
    assert longest.segment == 1 + int(np.argmax(lengths))
    assert longest.segments == 2
    assert first.spikes + first.left_out == second.spikes + second.left_out
    assert abs(first.spikes - second.left_out) <= 2 * 200  # but for the spikes behind the last whole bin
